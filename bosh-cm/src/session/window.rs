//! The window of request identifiers (XEP-0124 14): which requests wait for their turn, which are held,
//! and which answers may be asked for again.
//!
//! ```text
//!   sent                 held              early
//!   answered, buffered   processed, open   before its turn
//!   … last-3 last-2      last-1 last   |   last+2 …  last+size
//! ```

use super::{Conn, request::Request};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// How often one request may be repeated (XEP-0124 14.3): often enough for any network, too seldom to get
/// round the polling limits.
const REPEATS: u8 = 32;

/// The requests and answers of one session.
pub(super) struct Window {
    size: u64,
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
    repeats: u8,
}

struct Sent {
    rid: u64,
    body: Bytes,
    repeats: u8,
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
    /// Too large, or too small to be remembered: not told apart (threat B02).
    Outside,
}

impl Ticket {
    pub(super) fn new(conn: Conn, due: Instant) -> Self {
        Self { conn: Some(conn), due, repeats: 0 }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.conn.is_some() && self.due <= now
    }
}

impl Window {
    /// A window of `size` requests after the one that opened the session, which is held.
    pub(super) fn new(size: u64, rid: u64, ticket: Ticket) -> Self {
        Self {
            size,
            last: rid,
            early: BTreeMap::new(),
            held: VecDeque::from([Held { rid, ticket }]),
            sent: VecDeque::new(),
        }
    }

    /// Places a request; a repeat takes over the ticket at once. `extra`: see [`Request::is_extra`].
    pub(super) fn place(&mut self, rid: u64, conn: Conn, due: Instant, extra: bool) -> Place {
        if let Some(ticket) = self.ticket(rid) {
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
                true => Place::Worn,
                false => Place::Answered(sent.body.clone()),
            };
        }
        // XEP-0124 14.2
        let end = self.last + self.size + u64::from(extra);
        if rid > self.last && rid <= end { Place::New } else { Place::Outside }
    }

    /// Keeps a new request until its turn.
    pub(super) fn keep(&mut self, request: Box<Request>, ticket: Ticket) {
        self.early.insert(request.rid, Early { request, ticket });
    }

    /// Takes the next request in order, if it is there.
    pub(super) fn next(&mut self) -> Option<Early> {
        let early = self.early.remove(&(self.last + 1))?;
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

    /// Takes the request whose answer is next (XEP-0124 8: in the order of `rid`).
    pub(super) fn take(&mut self) -> Option<Held> {
        self.held.pop_front()
    }

    /// Whether any held request has a connection that waits.
    pub(super) fn has_listener(&self) -> bool {
        self.held.iter().any(|held| held.ticket.conn.is_some())
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

    /// Remembers an answer; of the older ones as many as there may be requests at once, and one more
    /// since the answer to a pause does not count (XEP-0124 14.3).
    pub(super) fn remember(&mut self, rid: u64, body: Bytes) {
        self.sent.push_back(Sent { rid, body, repeats: 0 });
        while self.sent.len() as u64 > self.size + 1 {
            self.sent.pop_front();
        }
    }

    /// A connection is gone: whether it waited for an answer.
    pub(super) fn lose(&mut self, conn: Conn) -> bool {
        let held = self.held.iter_mut().map(|held| &mut held.ticket);
        let early = self.early.values_mut().map(|early| &mut early.ticket);
        let ticket = held.chain(early).find(|ticket| ticket.conn == Some(conn));
        ticket.and_then(|ticket| ticket.conn.take()).is_some()
    }

    /// Whether a held request has waited long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.held.iter().any(|held| held.ticket.is_due(now))
    }

    /// The connections that have waited long enough for a request before theirs; their requests stay.
    pub(super) fn stuck(&mut self, now: Instant) -> Vec<Conn> {
        let tickets = self.early.values_mut().map(|early| &mut early.ticket);
        tickets.filter(|ticket| ticket.is_due(now)).filter_map(|t| t.conn.take()).collect()
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
