//! Mailboxes: what waits for one session to be written.
//!
//! The sender never waits and memory never grows without bound: what others send is counted in bytes, and a
//! session that lets more than its limit wait reads too slowly and is closed. What a session asked for itself
//! (its roster, the presence of its contacts, its offline messages) is bounded where it is kept and is not refused
//! for its size alone.
//!
//! While its client is inactive (XEP-0352), what can wait does: it is held behind what is due until something urgent
//! comes, the client is active again, or too much is held; then all of it becomes due, in order. So nothing overtakes
//! anything but the answers to the session's own iqs, and what is held is in the mailbox as all else is.

use crate::{Urgency, declare::UrgencyFn, lock};
use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use xmpp_core::{Kind, Stanza, StreamError, error::StreamCondition, stanza::IqType};

/// What a mailbox gives its session.
#[derive(Debug)]
pub enum Mail {
    /// A stanza for this session, to be written as it is. The letter goes back with
    /// [`Router::took`](crate::Router::took) or, where the client did not get it, with
    /// [`Router::release`](crate::Router::release).
    Letter(Letter),
    /// The session ends with this error: replaced, its account gone, its mailbox full. Unless the session asked for
    /// it ([`Session::close`](crate::Session::close)), it is given before anything that still waits; give the rest back with [`Router::release`](crate::Router::release).
    Close(StreamError),
}

/// The receiving end of a session's mailbox; bounded in bytes.
#[derive(Debug)]
pub struct Mailbox {
    post: Arc<Post>,
}

impl Mailbox {
    pub(crate) fn new(post: Arc<Post>) -> Self {
        Self { post }
    }

    /// The next mail; wakes the task when there is some. Nothing comes after [`Mail::Close`].
    ///
    /// Without `room` a stanza has to wait, and only the end comes through: who reads too slowly must not hold it up.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, room: bool) -> Poll<Mail> {
        let mut queue = lock(&self.post.queue);
        let mail = if room { queue.take() } else { queue.take_close() };
        if let Some(mail) = mail {
            return Poll::Ready(mail);
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        queue.room = room;
        Poll::Pending
    }

    /// The next mail if there is one now.
    pub fn try_next(&mut self) -> Option<Mail> {
        lock(&self.post.queue).take()
    }

    /// The client says whether somebody is looking at it (XEP-0352 4.2); at first somebody is.
    pub fn set_active(&mut self, active: bool) {
        let mut queue = lock(&self.post.queue);
        queue.inactive = !active;
        if active {
            queue.release();
        }
    }
}

/// The sending end, shared by all who deliver. Its lock is a leaf: nothing is locked under it.
pub(crate) struct Post {
    queue: Mutex<Queue>,
    limit: usize,
    /// What can wait while the client is inactive.
    urgency: Option<Arc<UrgencyFn>>,
    /// Its client hears what the server has taken in (XEP-0198).
    managed: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
    /// What waits for something urgent, behind the letters.
    held: Vec<Letter>,
    /// Bytes held.
    held_bytes: usize,
    inactive: bool,
    /// Bytes waiting that others sent.
    sent: usize,
    /// Bytes waiting that the session asked for.
    asked: usize,
    close: Close,
    /// Over the limit: whoever holds the account's guard takes the session out of the table.
    overflowed: bool,
    /// The session is out of the table; whatever comes now has nobody to go to.
    gone: bool,
    waker: Option<Waker>,
    /// Whether the waker is for stanzas too, and not for the end alone.
    room: bool,
}

/// How far the session's end has come.
#[derive(Debug, Default)]
enum Close {
    #[default]
    No,
    /// The session has to be told once it got what waits for it.
    Last(StreamError),
    /// The session has to be told now.
    Due(StreamError),
    /// It was told.
    Told,
}

/// One stanza on its way to one session. It is kept until the client is known to have it: by an acknowledgement (XEP-0198)
/// or, without any, once it was written to the connection.
#[derive(Debug)]
pub struct Letter {
    pub(crate) stanza: Stanza,
    owed: Owed,
    asked: bool,
}

/// What is owed to a message whose session does not take it.
#[derive(Debug, Clone)]
pub(crate) enum Owed {
    /// It is routed again.
    Routing,
    /// Others got it too, themselves or in copy: it is routed again once none of them took it.
    Shared(Arc<FanOut>),
    /// Nothing: it is a copy of what is kept, or on its way to somebody else.
    Nothing,
}

/// One message fanned out to several sessions.
#[derive(Debug)]
pub(crate) struct FanOut {
    message: Stanza,
    left: AtomicUsize,
    taken: AtomicBool,
}

impl FanOut {
    pub(crate) fn new(count: usize, message: &Stanza) -> Arc<Self> {
        let (left, taken) = (AtomicUsize::new(count), AtomicBool::new(false));
        Arc::new(Self { message: message.clone(), left, taken })
    }

    /// One of the sessions has done with it; whether it was the last one and none took it.
    fn is_lost(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1 && !self.taken.load(Ordering::Acquire)
    }
}

impl Letter {
    /// One that was on its way before the process began.
    pub(crate) fn restored(stanza: Stanza) -> Self {
        Self { stanza, owed: Owed::Routing, asked: false }
    }

    /// What is to be written.
    pub fn stanza(&self) -> &Stanza {
        &self.stanza
    }

    /// Whether something becomes of it where the client does not get it; what is not owed may be forgotten once written.
    pub fn is_owed(&self) -> bool {
        match self.stanza.kind() {
            Kind::Message(_) => !matches!(self.owed, Owed::Nothing),
            Kind::Iq(IqType::Get | IqType::Set) => true,
            Kind::Iq(IqType::Result | IqType::Error) | Kind::Presence(_) => false,
        }
    }

    /// The client has it.
    pub(crate) fn take(self) {
        if let Owed::Shared(all) = &self.owed {
            all.taken.store(true, Ordering::Release);
            all.left.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The message where nobody got it, so that it must be routed again.
    pub(crate) fn into_undelivered(self) -> Option<Stanza> {
        match self.owed {
            Owed::Routing => Some(self.stanza),
            Owed::Shared(all) => all.is_lost().then(|| all.message.clone()),
            Owed::Nothing => None,
        }
    }
}

impl From<Stanza> for Letter {
    /// What a session itself tells its client.
    fn from(stanza: Stanza) -> Self {
        Self { stanza, owed: Owed::Nothing, asked: false }
    }
}

impl Post {
    pub(crate) fn new(limit: usize, urgency: Option<Arc<UrgencyFn>>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), limit, urgency, managed: AtomicBool::new(false) })
    }

    /// Takes a stanza from somebody else. False: the mailbox overflowed, and the stanza waits as its last; the
    /// caller, who holds the account's guard, takes the session out of the table and routes all of it again.
    #[must_use]
    pub(crate) fn send(&self, stanza: Stanza, owed: Owed) -> bool {
        let mut queue = lock(&self.queue);
        let urgency = self.urgency_of(&stanza, &queue);
        queue.put(Letter { stanza, owed, asked: false }, urgency, self.limit)
    }

    /// Takes the copy of a message, which is as urgent as that is.
    #[must_use]
    pub(crate) fn send_copy(&self, copy: Stanza, message: &Stanza, owed: Owed) -> bool {
        let mut queue = lock(&self.queue);
        let urgency = self.urgency_of(message, &queue);
        queue.put(Letter { stanza: copy, owed, asked: false }, urgency, self.limit)
    }

    pub(crate) fn manage(&self) {
        self.managed.store(true, Ordering::Relaxed);
    }

    fn urgency_of(&self, stanza: &Stanza, queue: &Queue) -> Urgency {
        match &self.urgency {
            Some(urgency) if queue.inactive => urgency(stanza),
            _ => Urgency::Now,
        }
    }

    /// The session asks for something: where more than the limit of what it asked for waits unread already, it overflows.
    /// So whatever a single request is answered with fits, and nothing but that waits beyond the limit.
    pub(crate) fn ask(&self) {
        let mut queue = lock(&self.queue);
        if queue.asked > self.limit {
            queue.overflow();
            queue.wake();
        }
    }

    /// Takes some of what the session [asked](Self::ask) for.
    pub(crate) fn answer(&self, stanzas: impl IntoIterator<Item = Stanza>) {
        let mut queue = lock(&self.queue);
        if queue.gone {
            return;
        }
        for stanza in stanzas {
            if !matches!(stanza.kind(), Kind::Iq(_)) {
                queue.release(); // it may be newer than what is held
            }
            queue.asked += stanza.weight();
            queue.letters.push_back(Letter { stanza, owed: Owed::Routing, asked: true });
        }
        queue.wake();
    }

    /// Ends the session with this error, unless it is ending already.
    pub(crate) fn close(&self, error: StreamError) {
        let mut queue = lock(&self.queue);
        queue.close(error);
        queue.wake();
    }

    /// Ends the session with this error once it got all that waits for it, unless it is ending already.
    pub(crate) fn close_last(&self, error: StreamError) {
        let mut queue = lock(&self.queue);
        if matches!(queue.close, Close::No) {
            queue.close = Close::Last(error);
            queue.release();
            queue.wake();
        }
    }

    /// Whether the session is ending.
    pub(crate) fn is_closed(&self) -> bool {
        !matches!(lock(&self.queue).close, Close::No)
    }

    /// Whether it overflowed and the session has to leave the table.
    pub(crate) fn has_overflowed(&self) -> bool {
        lock(&self.queue).overflowed
    }

    /// The session is out of the table: nothing is accepted from now on.
    pub(crate) fn shut(&self) {
        lock(&self.queue).gone = true;
    }

    /// Takes all that waits; nothing is accepted from now on.
    pub(crate) fn empty(&self) -> VecDeque<Letter> {
        let mut queue = lock(&self.queue);
        queue.gone = true;
        queue.sent = 0;
        queue.asked = 0;
        queue.held_bytes = 0;
        let held = mem::take(&mut queue.held);
        let mut letters = mem::take(&mut queue.letters);
        letters.extend(held);
        letters
    }
}

impl Queue {
    /// Takes a letter from somebody else. Whether there is room.
    fn put(&mut self, letter: Letter, urgency: Urgency, limit: usize) -> bool {
        if self.gone {
            return true;
        }
        match urgency {
            Urgency::Now => {
                let weight = letter.stanza.weight();
                // A single stanza of any size passes: its size is limited where it enters.
                if self.sent > 0 && self.sent + weight > limit {
                    self.overflow();
                }
                self.release();
                self.sent += weight;
                self.letters.push_back(letter);
                self.wake();
            }
            Urgency::Later => {
                self.hold(letter);
                if self.held_bytes > limit / HELD_SHARE {
                    self.release();
                    self.wake();
                }
            }
            Urgency::Never => {
                if let Owed::Shared(all) = &letter.owed {
                    all.is_lost();
                }
            }
        }
        !self.overflowed
    }

    fn hold(&mut self, letter: Letter) {
        if matches!(letter.stanza.kind(), Kind::Presence(_)) {
            let from = &letter.stanza.head.from;
            let outdated = self.held.iter().position(|held| {
                matches!(held.stanza.kind(), Kind::Presence(_)) && held.stanza.head.from == *from
            });
            if let Some(outdated) = outdated {
                self.held_bytes -= self.held.remove(outdated).stanza.weight();
            }
        }
        self.held_bytes += letter.stanza.weight();
        self.held.push(letter);
    }

    /// What is held is due.
    fn release(&mut self) {
        self.sent += mem::take(&mut self.held_bytes);
        self.letters.extend(mem::take(&mut self.held));
    }

    fn take(&mut self) -> Option<Mail> {
        if let Some(close) = self.take_close() {
            return Some(close);
        }
        if matches!(self.close, Close::Told) {
            return None;
        }
        let letter = self.letters.pop_front()?;
        let waiting = if letter.asked { &mut self.asked } else { &mut self.sent };
        *waiting -= letter.stanza.weight();
        if self.letters.is_empty() {
            // A burst does not pin its memory for the life of the session.
            self.letters.shrink_to(IDLE_LETTERS);
        }
        Some(Mail::Letter(letter))
    }

    fn take_close(&mut self) -> Option<Mail> {
        match mem::replace(&mut self.close, Close::Told) {
            Close::Last(error) if self.letters.is_empty() => Some(Mail::Close(error)),
            Close::Due(error) => Some(Mail::Close(error)),
            other => {
                self.close = other;
                None
            }
        }
    }

    fn overflow(&mut self) {
        self.overflowed = true;
        self.close(
            StreamError::new(StreamCondition::PolicyViolation)
                .with_text("too much waits unread for this session"),
        );
    }

    fn close(&mut self, error: StreamError) {
        if matches!(self.close, Close::No | Close::Last(_)) {
            self.close = Close::Due(error);
        }
    }

    fn wake(&mut self) {
        if (self.room || matches!(self.close, Close::Last(_) | Close::Due(_)))
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

/// Places that an empty mailbox keeps: an ordinary exchange allocates nothing.
const IDLE_LETTERS: usize = 4;

/// The part of a mailbox that may be held: small, so that what becomes due at once is no reason to close a session that
/// reads well.
const HELD_SHARE: usize = 4;

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("queue", &self.queue).field("limit", &self.limit).finish()
    }
}

#[cfg(test)]
mod tests;
