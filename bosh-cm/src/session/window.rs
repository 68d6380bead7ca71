//! The window of request identifiers (XEP-0124 14): which requests wait for their turn, which are held,
//! and which answers may be asked for again.
//!
//! ```text
//!   sent                 held              early
//!   answered, buffered   processed, open   before its turn
//!   … last-3 last-2      last-1 last   |   last+2 …  last+size
//! ```

use super::{Conn, key::Key, request::Request};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// How often one request may be repeated (XEP-0124 14.3): often enough for any network, too seldom to get
/// round the polling limits.
const REPEATS: u8 = 32;
/// Answers that are kept for a client that acknowledges, beyond as many as it may have requests: in number, and
/// in bytes, so that one which never does keeps no more.
const UNACKNOWLEDGED: usize = 64;
const UNACKNOWLEDGED_BYTES: usize = 262_144;

/// The requests and answers of one session.
pub(super) struct Window {
    size: u64,
    /// Whether the client tells which answers it has (XEP-0124 9.2).
    acknowledges: bool,
    first: u64,
    last: u64,
    early: BTreeMap<u64, Early>,
    held: VecDeque<Held>,
    sent: VecDeque<Sent>,
}

/// A request that waits for the ones before it, or for the server to take what came before.
pub(super) struct Early {
    pub(super) request: Box<Request>,
    pub(super) ticket: Ticket,
}

/// A processed request without an answer.
pub(super) struct Held {
    pub(super) rid: u64,
    pub(super) ticket: Ticket,
}

/// Where an answer goes, and when at the latest.
pub(super) struct Ticket {
    /// The newest connection that asks; `None` once it is lost.
    pub(super) conn: Option<Conn>,
    /// When it must have an answer.
    pub(super) due: Instant,
    /// What a repeat has to bring again (XEP-0124 15).
    key: Option<Key>,
    repeats: u8,
}

struct Sent {
    rid: u64,
    body: Bytes,
    at: Instant,
    key: Option<Key>,
    repeats: u8,
}

/// An answer that the client should have had by now (XEP-0124 9.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Missing {
    pub(super) rid: u64,
    /// When it was sent.
    pub(super) at: Instant,
}

/// What a request's number says of it.
pub(super) enum Place {
    /// Not seen before, and within the window.
    New,
    /// Seen, not answered yet: the connection that asked before, if it is still there.
    Open(Option<Conn>),
    /// Answered, with this.
    Answered(Bytes),
    /// Repeated too often.
    Worn,
    /// Answered, and the answer is no longer remembered.
    Forgotten,
    /// Too large, or smaller than any of the session, or a repeat with another key: not told apart (threat B02).
    Outside,
}

impl Ticket {
    pub(super) fn new(conn: Conn, due: Instant, key: Option<Key>) -> Self {
        Self { conn: Some(conn), due, key, repeats: 0 }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.conn.is_some() && self.due <= now
    }
}

impl Window {
    /// A window of `size` requests after the one that opened the session, which is held.
    pub(super) fn new(size: u64, rid: u64, ticket: Ticket, acknowledges: bool) -> Self {
        Self {
            size,
            acknowledges,
            first: rid,
            last: rid,
            early: BTreeMap::new(),
            held: VecDeque::from([Held { rid, ticket }]),
            sent: VecDeque::new(),
        }
    }

    /// Places a request; a repeat takes over the ticket at once.
    pub(super) fn place(&mut self, request: &Request, conn: Conn, due: Instant) -> Place {
        let rid = request.rid;
        if let Some(ticket) = self.ticket(rid) {
            if ticket.key != Key::of(request) {
                return Place::Outside;
            }
            ticket.repeats += 1;
            if ticket.repeats > REPEATS {
                return Place::Worn;
            }
            ticket.due = due;
            return Place::Open(ticket.conn.replace(conn));
        }
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.rid == rid) {
            sent.repeats += 1;
            return match sent.repeats > REPEATS {
                _ if sent.key != Key::of(request) => Place::Outside,
                true => Place::Worn,
                false => Place::Answered(sent.body.clone()),
            };
        }
        if (self.first..=self.last).contains(&rid) {
            return Place::Forgotten;
        }
        // XEP-0124 14.2, and 11 for the one more.
        let end = self.last + self.size + u64::from(request.is_extra());
        if rid > self.last && rid <= end { Place::New } else { Place::Outside }
    }

    /// What the client says it has: `ack`, or where it says nothing all before this request (XEP-0124 9.2). Those
    /// answers are forgotten. If a later one has been sent, and none has gone missing for sure, the first that it
    /// does not have.
    pub(super) fn acknowledge(&mut self, rid: u64, ack: Option<u64>) -> Option<Missing> {
        let answered = self.sent.back()?.rid;
        let ack = ack.unwrap_or(rid - 1);
        if !self.acknowledges || ack > answered {
            return None; // it cannot have what was not sent, so it says nothing
        }
        while self.sent.front().is_some_and(|sent| sent.rid <= ack) {
            self.sent.pop_front();
        }
        let first = self.sent.front().filter(|sent| sent.rid == ack + 1)?;
        Some(Missing { rid: first.rid, at: first.at })
    }

    /// The highest request whose answer the client has, with all before it, as this request shows whose turn has just
    /// come: by `ack` if it tells, or else by rules that it keeps. It goes no further than what can still be asked for
    /// again (XEP-0124 14.3). And with one request held at most, it asks for no more than to have one held when it knows
    /// of none (XEP-0124 10), so that the last one is answered, and by the other rule all before that.
    pub(super) fn proven(&self, request: &Request, ack: Option<u64>) -> u64 {
        let rid = request.rid;
        // It is held itself by now.
        let answered = self.held.front().map_or(rid, |held| held.rid) - 1;
        let told = ack.unwrap_or(rid - 1);
        if self.acknowledges && told <= answered {
            return told;
        }
        match self.size <= 2 && request.is_empty() {
            true => rid - 1,
            // XEP-0124 11: those may be one more.
            false => rid.saturating_sub(self.size + u64::from(request.is_extra())),
        }
    }

    /// The highest request that has come, with all before it; `None` where the client does not care (XEP-0124
    /// 9.1).
    pub(super) fn received(&self) -> Option<u64> {
        let mut last = self.last;
        while self.early.contains_key(&(last + 1)) {
            last += 1;
        }
        self.acknowledges.then_some(last)
    }

    /// Keeps a new request until its turn.
    pub(super) fn keep(&mut self, request: Box<Request>, ticket: Ticket) {
        self.early.insert(request.rid, Early { request, ticket });
    }

    /// Takes the next request in order, if it is there.
    pub(super) fn next(&mut self) -> Option<Early> {
        let early = self.early.remove(&(self.last + 1))?;
        if self.early.is_empty() {
            self.early = BTreeMap::new(); // which keeps its memory otherwise
        }
        self.last += 1;
        Some(early)
    }

    /// Holds a processed request.
    pub(super) fn hold(&mut self, rid: u64, ticket: Ticket) {
        self.held.push_back(Held { rid, ticket });
    }

    /// How many are held, lost connections included.
    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// Takes the request whose answer is next if it comes before this one.
    pub(super) fn take_before(&mut self, rid: u64) -> Option<Held> {
        let before = self.held.front().is_some_and(|held| held.rid < rid);
        before.then(|| self.take())?
    }

    /// Takes the request whose answer is next (XEP-0124 8: in the order of `rid`).
    pub(super) fn take(&mut self) -> Option<Held> {
        self.held.pop_front()
    }

    /// How many held requests have a connection that waits.
    pub(super) fn listeners(&self) -> usize {
        self.held.iter().filter(|held| held.ticket.conn.is_some()).count()
    }

    /// Whether any held request has one.
    pub(super) fn has_listener(&self) -> bool {
        self.listeners() > 0
    }

    /// Whether anybody waits for an answer.
    pub(super) fn is_open(&self) -> bool {
        self.deadline().is_some()
    }

    /// How many requests wait for an answer on a live connection, but for those to pause or to terminate.
    pub(super) fn open(&self) -> u64 {
        let early = self.early.values().filter(|early| !early.request.is_extra());
        let held = self.held.iter().map(|held| &held.ticket);
        let all = held.chain(early.map(|early| &early.ticket));
        all.filter(|ticket| ticket.conn.is_some()).map(|_| 1).sum()
    }

    /// Remembers an answer. Of the older ones as many are kept as there may be requests at once, and one more
    /// since the answer to a pause does not count; or those that are not acknowledged (XEP-0124 14.3).
    pub(super) fn remember(&mut self, held: Held, body: Bytes, now: Instant) {
        let Held { rid, ticket: Ticket { key, .. } } = held;
        self.sent.push_back(Sent { rid, body, at: now, key, repeats: 0 });
        while self.sent.len() as u64 > self.size + 1 && !self.has_room() {
            self.sent.pop_front();
        }
    }

    fn has_room(&self) -> bool {
        let bytes = || self.sent.iter().map(|sent| sent.body.len()).sum::<usize>();
        self.acknowledges && self.sent.len() <= UNACKNOWLEDGED && bytes() <= UNACKNOWLEDGED_BYTES
    }

    /// A connection is gone: whether it waited for an answer.
    pub(super) fn lose(&mut self, conn: Conn) -> bool {
        let held = self.held.iter_mut().map(|held| &mut held.ticket);
        let early = self.early.values_mut().map(|early| &mut early.ticket);
        let ticket = held.chain(early).find(|ticket| ticket.conn == Some(conn));
        ticket.and_then(|ticket| ticket.conn.take()).is_some()
    }

    /// Whether a held request waits on this connection.
    pub(super) fn is_held(&self, conn: Conn) -> bool {
        self.held.iter().any(|held| held.ticket.conn == Some(conn))
    }

    /// Takes the connection from the request before its turn that waits on it, and gives that one's number.
    pub(super) fn release(&mut self, conn: Conn) -> Option<u64> {
        let mut early = self.early.iter_mut().map(|(rid, early)| (*rid, &mut early.ticket));
        let (rid, ticket) = early.find(|(_, ticket)| ticket.conn == Some(conn))?;
        ticket.conn = None;
        Some(rid)
    }

    /// Whether a held request has waited long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.held.iter().any(|held| held.ticket.is_due(now))
    }

    /// Who has waited long enough for a request before theirs, which stays: the number and the connection.
    pub(super) fn stuck(&mut self, now: Instant) -> Vec<(u64, Conn)> {
        let due = self.early.iter_mut().filter(|(_, early)| early.ticket.is_due(now));
        due.filter_map(|(rid, early)| Some((*rid, early.ticket.conn.take()?))).collect()
    }

    /// When the next connection must have an answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let early = self.early.values().map(|early| &early.ticket);
        let all = self.held.iter().map(|held| &held.ticket).chain(early);
        all.filter(|ticket| ticket.conn.is_some()).map(|ticket| ticket.due).min()
    }

    /// Everyone who waits, in the order of `rid`: the session is over.
    pub(super) fn drain(&mut self) -> Vec<Conn> {
        let held = self.held.drain(..).map(|held| held.ticket);
        let early = std::mem::take(&mut self.early).into_values().map(|early| early.ticket);
        held.chain(early).filter_map(|ticket| ticket.conn).collect()
    }

    fn ticket(&mut self, rid: u64) -> Option<&mut Ticket> {
        let held = self.held.iter_mut().find(|held| held.rid == rid).map(|held| &mut held.ticket);
        held.or_else(|| self.early.get_mut(&rid).map(|early| &mut early.ticket))
    }
}
