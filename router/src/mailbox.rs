//! Mailboxes: what waits for one session to be written.
//!
//! The sender never waits and memory never grows without bound: what others send is counted in bytes, and a
//! session that lets more than its limit wait reads too slowly and is closed. What a session asked for itself
//! (its roster, the presence of its contacts, its offline messages) is bounded where it is kept and is not refused
//! for its size alone.

use crate::lock;
use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use xmpp_core::{Stanza, StreamError, error::StreamCondition};

/// What a mailbox gives its session.
#[derive(Debug, Clone)]
pub enum Mail {
    /// A stanza for this session, to be written as it is.
    Stanza(Stanza),
    /// The session ends with this error: replaced, its account gone, its mailbox full. It is given before
    /// anything that still waits; give the rest back with [`Router::release`](crate::Router::release).
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
}

/// The sending end, shared by all who deliver. Its lock is a leaf: nothing is locked or called under it.
#[derive(Debug)]
pub(crate) struct Post {
    queue: Mutex<Queue>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
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
    /// The session has to be told.
    Due(StreamError),
    /// It was told.
    Told,
}

/// One stanza on its way to one session.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) stanza: Stanza,
    /// Where several sessions got a copy: what became of the others.
    copies: Option<Arc<Copies>>,
    asked: bool,
}

/// One message fanned out to several sessions: it counts as undelivered once none of them took it.
#[derive(Debug)]
pub(crate) struct Copies {
    left: AtomicUsize,
    taken: AtomicBool,
}

impl Copies {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(count), taken: AtomicBool::new(false) })
    }
}

impl Letter {
    /// The stanza where nobody got it, so that it must be routed again.
    pub(crate) fn into_undelivered(self) -> Option<Stanza> {
        let undelivered = self.copies.is_none_or(|copies| {
            copies.left.fetch_sub(1, Ordering::AcqRel) == 1 && !copies.taken.load(Ordering::Acquire)
        });
        undelivered.then_some(self.stanza)
    }
}

impl Post {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), limit })
    }

    /// Takes a stanza from somebody else. False: the mailbox overflowed, and the stanza waits as its last; the
    /// caller, who holds the account's guard, takes the session out of the table and routes all of it again.
    #[must_use]
    pub(crate) fn send(&self, stanza: Stanza, copies: Option<Arc<Copies>>) -> bool {
        let weight = stanza.weight();
        let mut queue = lock(&self.queue);
        if queue.gone {
            return true;
        }
        // A single stanza of any size passes: its size is limited where it enters.
        if queue.sent > 0 && queue.sent + weight > self.limit {
            queue.overflow();
        }
        queue.sent += weight;
        queue.letters.push_back(Letter { stanza, copies, asked: false });
        queue.wake();
        !queue.overflowed
    }

    /// Takes what the session asked for. It overflows only where more than the limit waits unread already.
    pub(crate) fn answer(&self, stanzas: impl IntoIterator<Item = Stanza>) {
        let mut queue = lock(&self.queue);
        if queue.gone {
            return;
        }
        if queue.asked > self.limit {
            queue.overflow();
        }
        for stanza in stanzas {
            queue.asked += stanza.weight();
            queue.letters.push_back(Letter { stanza, copies: None, asked: true });
        }
        queue.wake();
    }

    /// Ends the session with this error, unless it is ending already.
    pub(crate) fn close(&self, error: StreamError) {
        let mut queue = lock(&self.queue);
        queue.close(error);
        queue.wake();
    }

    /// Whether it overflowed and the session has to leave the table.
    pub(crate) fn has_overflowed(&self) -> bool {
        lock(&self.queue).overflowed
    }

    /// Takes all that waits; nothing is accepted from now on.
    pub(crate) fn empty(&self) -> VecDeque<Letter> {
        let mut queue = lock(&self.queue);
        queue.gone = true;
        queue.sent = 0;
        queue.asked = 0;
        mem::take(&mut queue.letters)
    }
}

impl Queue {
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
        if let Some(copies) = &letter.copies {
            copies.taken.store(true, Ordering::Release);
            copies.left.fetch_sub(1, Ordering::AcqRel);
        }
        if self.letters.is_empty() {
            // A burst does not pin its memory for the life of the session.
            self.letters.shrink_to(IDLE_LETTERS);
        }
        Some(Mail::Stanza(letter.stanza))
    }

    fn take_close(&mut self) -> Option<Mail> {
        match mem::replace(&mut self.close, Close::Told) {
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
        if matches!(self.close, Close::No) {
            self.close = Close::Due(error);
        }
    }

    fn wake(&mut self) {
        if (self.room || matches!(self.close, Close::Due(_)))
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

/// Places that an empty mailbox keeps: an ordinary exchange allocates nothing.
const IDLE_LETTERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use xmpp_core::{Kind, stanza::MessageType};

    fn message(bytes: usize) -> Stanza {
        Stanza::new(Kind::Message(MessageType::Chat), Bytes::from(vec![b' '; bytes]))
    }

    fn lose(post: &Post) -> Option<Stanza> {
        post.empty().pop_front().unwrap().into_undelivered()
    }

    #[test]
    fn mail_comes_in_the_order_it_was_sent() {
        let post = Post::new(1_000_000);
        let mut mailbox = Mailbox::new(post.clone());
        assert!(mailbox.try_next().is_none());
        assert!(post.send(message(1), None));
        post.answer([message(2)]);
        for bytes in [1, 2] {
            let Some(Mail::Stanza(stanza)) = mailbox.try_next() else { panic!("no mail") };
            assert_eq!(stanza.inner().len(), bytes);
        }
    }

    #[test]
    fn r03_a_slow_reader_is_closed_and_keeps_what_waits_for_routing() {
        let post = Post::new(4_096);
        let mut mailbox = Mailbox::new(post.clone());
        let sent = (0..100).take_while(|_| post.send(message(1_024), None)).count();
        assert!((1..4).contains(&sent), "{sent} of 1 KiB fit into 4 KiB");
        let Some(Mail::Close(error)) = mailbox.try_next() else { panic!("still open") };
        assert_eq!(error.condition, StreamCondition::PolicyViolation);
        assert_eq!(post.empty().len(), sent + 1, "the one that did not fit is kept too");
    }

    #[test]
    fn one_large_stanza_passes_an_empty_mailbox() {
        let post = Post::new(100);
        assert!(post.send(message(10_000), None));
    }

    #[test]
    fn what_the_session_asked_for_does_not_count_against_what_others_send() {
        let post = Post::new(4_096);
        post.answer((0..100).map(|_| message(1_024)));
        assert!(post.send(message(100), None));
        post.answer([message(1)]);
        assert!(
            post.has_overflowed(),
            "asking for more while that much is unread ends the session"
        );
    }

    #[test]
    fn a_fanned_out_message_is_undelivered_only_where_nobody_took_it() {
        let (one, two) = (Post::new(1_000), Post::new(1_000));
        let copies = Copies::new(2);
        for post in [&one, &two] {
            assert!(post.send(message(1), Some(copies.clone())));
        }
        assert!(lose(&one).is_none(), "the other may still take it");
        assert!(lose(&two).is_some(), "the last one answers for all");

        let (one, two) = (Post::new(1_000), Post::new(1_000));
        let copies = Copies::new(2);
        for post in [&one, &two] {
            assert!(post.send(message(1), Some(copies.clone())));
        }
        assert!(Mailbox::new(one).try_next().is_some());
        assert!(lose(&two).is_none());
    }

    #[test]
    fn without_room_only_the_end_comes_through_and_wakes() {
        use futures_util::task::{ArcWake, waker};
        struct Count(AtomicUsize);
        impl ArcWake for Count {
            fn wake_by_ref(this: &Arc<Self>) {
                this.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = waker(count.clone());
        let mut cx = Context::from_waker(&waker);
        let woken = || count.0.load(Ordering::Relaxed);
        let post = Post::new(1_000);
        let mut mailbox = Mailbox::new(post.clone());

        assert!(mailbox.poll_next(&mut cx, false).is_pending());
        assert!(post.send(message(1), None));
        assert_eq!(woken(), 0, "there is no room for it");
        assert!(mailbox.poll_next(&mut cx, false).is_pending());
        assert!(matches!(mailbox.poll_next(&mut cx, true), Poll::Ready(Mail::Stanza(_))));
        assert!(mailbox.poll_next(&mut cx, true).is_pending());
        assert!(post.send(message(1), None));
        assert_eq!(woken(), 1);
        assert!(mailbox.poll_next(&mut cx, false).is_pending());
        post.close(StreamError::new(StreamCondition::Conflict));
        assert_eq!(woken(), 2);
        assert!(matches!(mailbox.poll_next(&mut cx, false), Poll::Ready(Mail::Close(_))));
        assert!(mailbox.poll_next(&mut cx, true).is_pending(), "nothing comes after it");
    }

    #[test]
    fn closing_comes_first_and_once_for_all() {
        let post = Post::new(1_000);
        let mut mailbox = Mailbox::new(post.clone());
        assert!(post.send(message(1), None));
        post.close(StreamError::new(StreamCondition::Conflict));
        post.close(StreamError::new(StreamCondition::NotAuthorized));
        let Some(Mail::Close(error)) = mailbox.try_next() else { panic!("open") };
        assert_eq!(error.condition, StreamCondition::Conflict);
        post.close(StreamError::new(StreamCondition::NotAuthorized));
        assert!(mailbox.try_next().is_none());
        assert_eq!(post.empty().len(), 1, "what waited is there to be routed again");
    }
}
