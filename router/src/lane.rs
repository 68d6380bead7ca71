//! Lanes: what is on its way to one account, in order.
//!
//! Where nothing is kept a lane is empty and costs nothing: stanzas go straight to the mailboxes. A message that nobody may
//! see before the store has it leaves when its receipt is complete, and nothing that came after it leaves before (RFC 6120
//! 10.1). What waited in the store for one of the account's sessions stands before all else while it is read and handed
//! over; where a message in the lane has a lower number than what is read, it goes first.

use crate::{Side, mailbox::Post, row::Row};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use xmpp_core::Stanza;

/// What is on its way to one account. Lives under the account's guard.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    entries: VecDeque<Entry>,
    /// Bytes of the stanzas in it, but for what was read.
    weight: usize,
    last_ticket: u64,
}

/// A stanza with whom it goes to.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) stanza: Stanza,
    pub(crate) way: Way,
    /// Where it stands in the store, if it is kept there until a client has it.
    pub(crate) row: Option<Arc<Row>>,
}

/// Whom a stanza goes to.
#[derive(Debug)]
pub(crate) enum Way {
    /// These sessions, and in copy others that want one.
    To(Sessions),
    /// Only in copy those that want one: it is on its way to somebody else, or kept.
    Copies(Side),
}

/// Numbers of sessions.
pub(crate) type Sessions = SmallVec<[u64; 4]>;

enum Entry {
    Parcel { ticket: u64, settled: bool, parcel: Parcel },
    Backlog(Box<Reading>),
}

/// What waited in the store, on its way to a session.
pub(crate) struct Reading {
    ticket: u64,
    /// For whom it was read.
    pub(crate) session: u64,
    /// What was read last, oldest first; `None` while it is being read.
    page: Option<VecDeque<Old>>,
    /// After which number to read on, where there is more.
    next: Option<i64>,
    /// The session has enough unread.
    full: Option<Arc<Post>>,
    waker: Option<Waker>,
}

/// A message that was read.
pub(crate) type Old = (Arc<Row>, Stanza);

/// What the task that reads has to do.
pub(crate) enum Turn {
    /// Nothing any more.
    Done,
    /// To wait until this session has room.
    Room(Arc<Post>),
    /// To read what comes after this number.
    Next(i64),
}

impl Lane {
    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the stanzas in it.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// A stanza that waits for nothing but its turn takes its place, behind so many entries.
    pub(crate) fn follow(&mut self, place: usize, parcel: Parcel) {
        self.insert(place, 0, true, parcel);
    }

    /// A stanza that waits for its receipt takes its place, behind so many entries.
    pub(crate) fn keep(&mut self, place: usize, parcel: Parcel) -> u64 {
        let ticket = self.ticket();
        self.insert(place, ticket, false, parcel);
        ticket
    }

    fn insert(&mut self, place: usize, ticket: u64, settled: bool, parcel: Parcel) {
        self.weight += parcel.stanza.weight();
        self.entries.insert(place, Entry::Parcel { ticket, settled, parcel });
    }

    /// The receipt is complete; where it failed the stanza does not leave.
    pub(crate) fn settle(&mut self, ticket: u64, kept: bool) {
        let with_ticket =
            |entry: &Entry| matches!(entry, Entry::Parcel { ticket: its, .. } if *its == ticket);
        let Some(place) = self.entries.iter().position(with_ticket) else { return };
        if kept {
            if let Entry::Parcel { settled, .. } = &mut self.entries[place] {
                *settled = true;
            }
        } else if let Some(Entry::Parcel { parcel, .. }) = self.entries.remove(place) {
            self.weight -= parcel.stanza.weight();
        }
    }

    /// The next stanza that may leave now.
    pub(crate) fn leave(&mut self) -> Option<Parcel> {
        if !matches!(self.entries.front()?, Entry::Parcel { settled: true, .. }) {
            return None;
        }
        let Some(Entry::Parcel { parcel, .. }) = self.entries.pop_front() else { return None };
        self.weight -= parcel.stanza.weight();
        self.rest();
        Some(parcel)
    }

    /// What waits in the store is being read for this session, in place of what was read before and is not handed over.
    pub(crate) fn begin_reading(&mut self, session: u64) -> u64 {
        self.end_reading();
        let ticket = self.ticket();
        let reading = Reading { ticket, session, page: None, next: None, full: None, waker: None };
        self.entries.push_front(Entry::Backlog(Box::new(reading)));
        ticket
    }

    /// No more of what waits is handed over.
    pub(crate) fn end_reading(&mut self) {
        self.entries.retain(|entry| !matches!(entry, Entry::Backlog(_)));
        self.rest();
    }

    /// Whether this reading is under way.
    pub(crate) fn is_reading(&self, ticket: u64) -> bool {
        self.readings().any(|reading| reading.ticket == ticket)
    }

    /// This was read; `next`: there is more after this number.
    pub(crate) fn turn_page(&mut self, ticket: u64, page: VecDeque<Old>, next: Option<i64>) {
        if let Some(reading) = self.reading_mut(ticket) {
            reading.page = Some(page);
            reading.next = next;
        }
    }

    /// What the task of this reading has to do; wakes it when there is something.
    pub(crate) fn poll_reading(&mut self, ticket: u64, cx: &mut Context<'_>) -> Poll<Turn> {
        let Some(reading) = self.reading_mut(ticket) else { return Poll::Ready(Turn::Done) };
        if let Some(post) = reading.full.take() {
            return Poll::Ready(Turn::Room(post));
        }
        if let Some(next) = reading.next.filter(|_| reading.is_used_up()) {
            reading.page = None;
            return Poll::Ready(Turn::Next(next));
        }
        reading.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What was read and may be handed over now, with the lowest number of a message that stands behind it.
    pub(crate) fn first_reading(&mut self) -> Option<(&mut Reading, i64)> {
        let rows = self.entries.iter().filter_map(|entry| match entry {
            Entry::Parcel { parcel, .. } => parcel.row.as_ref().map(|row| row.number()),
            Entry::Backlog(_) => None,
        });
        let limit = rows.min().unwrap_or(i64::MAX);
        match self.entries.front_mut()? {
            Entry::Backlog(reading) if reading.page.is_some() => Some((reading, limit)),
            _ => None,
        }
    }

    /// What was read lets the message with this number go first.
    pub(crate) fn step_behind(&mut self, number: i64) {
        let is_it = |entry: &Entry| {
            matches!(entry, Entry::Parcel { parcel: Parcel { row: Some(row), .. }, .. }
                if row.number() == number)
        };
        if let Some(place) = self.entries.iter().position(is_it) {
            self.entries.make_contiguous()[..=place].rotate_left(1);
        }
    }

    fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Backlog(reading) => Some(&**reading),
            Entry::Parcel { .. } => None,
        })
    }

    fn reading_mut(&mut self, ticket: u64) -> Option<&mut Reading> {
        self.entries.iter_mut().find_map(|entry| match entry {
            Entry::Backlog(reading) if reading.ticket == ticket => Some(&mut **reading),
            _ => None,
        })
    }

    /// An empty lane holds no memory: nearly all are.
    fn rest(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl Reading {
    /// The next of what was read where its number is below this.
    pub(crate) fn next_below(&mut self, limit: i64) -> Option<Old> {
        let page = self.page.as_mut()?;
        if page.front()?.0.number() < limit { page.pop_front() } else { None }
    }

    /// Whether all of what was read is handed over.
    pub(crate) fn is_used_up(&self) -> bool {
        self.page.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// Whether there is more to be read, which the task is told if so.
    pub(crate) fn wants_more(&mut self) -> bool {
        if self.next.is_some() {
            self.wake();
        }
        self.next.is_some()
    }

    /// The session has enough unread: the task waits until it has room.
    pub(crate) fn wait_for(&mut self, post: &Arc<Post>) {
        self.full = Some(post.clone());
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.wake();
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parcel { ticket, settled, .. } => write!(f, "Parcel({ticket}, {settled})"),
            Self::Backlog(reading) => write!(f, "Backlog({})", reading.ticket),
        }
    }
}
