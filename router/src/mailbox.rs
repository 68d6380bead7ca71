//! Mailboxes: what waits for one session to be written.
//!
//! The sender never waits and memory never grows without bound: what others send is counted in bytes, and a
//! session that lets more than its limit wait reads too slowly and is closed. What a session asked for itself
//! (its roster, the presence of its contacts) is bounded where it is kept and is not refused for its size alone. What
//! waited for it in the store comes as far as there is room, and the rest later.
//!
//! While its client is inactive (XEP-0352), what can wait does: it is held behind what is due until something urgent
//! comes, the client is active again, or too much is held; then all of it becomes due, in order. So nothing overtakes
//! anything but the answers to the session's own iqs, and what is held is in the mailbox as all else is.

use crate::{Urgency, declare::UrgencyFn, lock, row::Row};
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
        queue.rest();
        Poll::Pending
    }

    /// The next mail if there is one now. Without any the task is not woken before it has polled again: it is awake, and what
    /// it causes itself it will see.
    pub fn try_next(&mut self) -> Option<Mail> {
        let mut queue = lock(&self.post.queue);
        let mail = queue.take();
        if mail.is_none() {
            queue.waker = None;
        }
        mail
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
    /// It may go on after a kill of the server.
    outlives: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
    /// What waits for something urgent, behind the letters.
    held: Vec<Letter>,
    /// Bytes held.
    held_bytes: usize,
    inactive: bool,
    /// Bytes waiting, by their cause.
    bytes: [usize; 3],
    close: Close,
    /// Over the limit: whoever holds the account's guard takes the session out of the table.
    overflowed: bool,
    /// The session is out of the table; whatever comes now has nobody to go to.
    gone: bool,
    waker: Option<Waker>,
    /// Whether the waker is for stanzas too, and not for the end alone.
    room: bool,
    /// Who waits for room for what waits in the store.
    reader: Option<Waker>,
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
    cause: Cause,
}

/// Why something waits for a session; each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Others sent it.
    Sent,
    /// The session asked for it.
    Asked,
    /// It waited in the store.
    Old,
}

/// What is owed to a message whose session does not take it.
#[derive(Debug, Clone)]
pub(crate) enum Owed {
    /// It is routed again.
    Routing,
    /// Others got it too, themselves or in copy: it is routed again once none of them took it.
    Shared(Arc<FanOut>),
    /// The store keeps it until one of those took it who got it, themselves or in copy.
    Row(Arc<Row>),
    /// Nothing: it is a copy of what is kept, or on its way to somebody else.
    Nothing,
}

/// What becomes of a letter that its session did not take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Nobody took the message: it is routed again.
    Message(Stanza),
    /// Nobody took the message, which waits in the store.
    Row,
    /// Nothing.
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
    pub(crate) fn restored(stanza: Stanza, row: Option<Arc<Row>>) -> Self {
        Self { stanza, owed: row.map_or(Owed::Routing, Owed::Row), cause: Cause::Asked }
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

    /// Its number in the store, which keeps it until the client has it.
    pub fn row(&self) -> Option<i64> {
        match &self.owed {
            Owed::Row(row) => Some(row.number()),
            Owed::Routing | Owed::Shared(_) | Owed::Nothing => None,
        }
    }

    /// The client has it: so what the store keeps of it can be settled.
    pub(crate) fn take(self) -> Option<Arc<Row>> {
        match self.owed {
            Owed::Row(row) => return Some(row),
            Owed::Shared(all) => {
                all.taken.store(true, Ordering::Release);
                all.left.fetch_sub(1, Ordering::AcqRel);
            }
            Owed::Routing | Owed::Nothing => {}
        }
        None
    }

    /// The session is gone and the client does not have it. Under the account's guard.
    pub(crate) fn into_undelivered(self) -> Undelivered {
        match self.owed {
            Owed::Routing => Undelivered::Message(self.stanza),
            Owed::Shared(all) if all.is_lost() => Undelivered::Message(all.message.clone()),
            Owed::Row(row) => {
                if row.is_orphaned() {
                    Undelivered::Row
                } else {
                    Undelivered::Nothing
                }
            }
            Owed::Shared(_) | Owed::Nothing => Undelivered::Nothing,
        }
    }
}

impl From<Stanza> for Letter {
    /// What a session itself tells its client.
    fn from(stanza: Stanza) -> Self {
        Self { stanza, owed: Owed::Nothing, cause: Cause::Asked }
    }
}

impl Post {
    pub(crate) fn new(limit: usize, urgency: Option<Arc<UrgencyFn>>) -> Arc<Self> {
        let [managed, outlives] = [false; 2].map(AtomicBool::new);
        Arc::new(Self { queue: Mutex::default(), limit, urgency, managed, outlives })
    }

    /// Takes a stanza from somebody else. False: the mailbox overflowed, and the stanza waits as its last; the
    /// caller, who holds the account's guard, takes the session out of the table and routes all of it again.
    #[must_use]
    pub(crate) fn send(&self, stanza: Stanza, owed: Owed) -> bool {
        let mut queue = lock(&self.queue);
        let urgency = self.urgency_of(&stanza, &queue);
        queue.put(Letter { stanza, owed, cause: Cause::Sent }, urgency, self.limit)
    }

    /// Takes the copy of a message, which is as urgent as that is.
    #[must_use]
    pub(crate) fn send_copy(&self, copy: Stanza, message: &Stanza, owed: Owed) -> bool {
        let mut queue = lock(&self.queue);
        let urgency = self.urgency_of(message, &queue);
        queue.put(Letter { stanza: copy, owed, cause: Cause::Sent }, urgency, self.limit)
    }

    pub(crate) fn manage(&self, outlives: bool) {
        self.managed.store(true, Ordering::Relaxed);
        self.outlives.store(outlives, Ordering::Relaxed);
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.managed.load(Ordering::Relaxed)
    }

    pub(crate) fn outlives(&self) -> bool {
        self.outlives.load(Ordering::Relaxed)
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
        if queue.bytes[Cause::Asked as usize] > self.limit {
            queue.overflow();
            queue.wake();
        }
    }

    /// Takes some of what the session [asked](Self::ask) for.
    pub(crate) fn answer(&self, stanzas: impl IntoIterator<Item = Stanza>) {
        self.answer_owing(stanzas.into_iter().map(|stanza| (stanza, Owed::Routing)));
    }

    /// The same where this is owed to it.
    pub(crate) fn answer_owing(&self, stanzas: impl IntoIterator<Item = (Stanza, Owed)>) {
        let mut queue = lock(&self.queue);
        for (stanza, owed) in stanzas {
            queue.give(Letter { stanza, owed, cause: Cause::Asked });
        }
        queue.wake();
    }

    /// Takes what waited in the store.
    pub(crate) fn send_old(&self, stanza: Stanza, owed: Owed) {
        let mut queue = lock(&self.queue);
        queue.give(Letter { stanza, owed, cause: Cause::Old });
        queue.wake();
    }

    /// Whether there is room for more of what waits in the store.
    pub(crate) fn has_room_for_old(&self) -> bool {
        lock(&self.queue).has_room_for_old(self.limit)
    }

    /// Waits for it, or for the session's end.
    pub(crate) fn poll_room_for_old(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.queue);
        if queue.gone || queue.has_room_for_old(self.limit) {
            return Poll::Ready(());
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
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
        let mut queue = lock(&self.queue);
        queue.gone = true;
        queue.wake_reader();
    }

    /// Takes all that waits; nothing is accepted from now on.
    pub(crate) fn empty(&self) -> VecDeque<Letter> {
        let mut queue = lock(&self.queue);
        queue.gone = true;
        queue.bytes = [0; 3];
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
                let sent = self.bytes[Cause::Sent as usize];
                if sent > 0 && sent + weight > limit {
                    self.overflow();
                }
                self.release();
                self.push(letter);
                self.wake();
            }
            // What the store keeps it keeps until a client has it, of use or not.
            Urgency::Never if !matches!(letter.owed, Owed::Row(_)) => {
                if let Owed::Shared(all) = &letter.owed {
                    all.is_lost();
                }
            }
            Urgency::Never | Urgency::Later => {
                self.hold(letter);
                if self.held_bytes > limit / HELD_SHARE {
                    self.release();
                    self.wake();
                }
            }
        }
        !self.overflowed
    }

    /// Takes a letter that is not refused for its size.
    fn give(&mut self, letter: Letter) {
        if self.gone {
            return;
        }
        if !matches!(letter.stanza.kind(), Kind::Iq(_)) {
            self.release(); // it may be newer than what is held
        }
        self.push(letter);
    }

    fn push(&mut self, letter: Letter) {
        self.bytes[letter.cause as usize] += letter.stanza.weight();
        if faults::planted!("overtake") && matches!(letter.owed, Owed::Row(_)) {
            return self.letters.push_front(letter);
        }
        self.letters.push_back(letter);
    }

    fn has_room_for_old(&self, limit: usize) -> bool {
        self.bytes[Cause::Old as usize] <= limit / OLD_SHARE
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
        self.bytes[Cause::Sent as usize] += mem::take(&mut self.held_bytes);
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
        self.bytes[letter.cause as usize] -= letter.stanza.weight();
        if letter.cause == Cause::Old {
            self.wake_reader();
        }
        Some(Mail::Letter(letter))
    }

    /// A session that waits for mail holds no memory for it: most wait.
    fn rest(&mut self) {
        if self.letters.is_empty() {
            self.letters = VecDeque::new();
        }
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

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
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

/// The part of a mailbox that may be held: small, so that what becomes due at once is no reason to close a session that
/// reads well.
const HELD_SHARE: usize = 4;

/// The part of a mailbox that is filled at once with what waits in the store: enough to keep a fast client busy.
const OLD_SHARE: usize = 4;

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("queue", &self.queue).field("limit", &self.limit).finish()
    }
}

#[cfg(test)]
mod tests;
