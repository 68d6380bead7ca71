//! Lanes: what is on its way to one account, in order.
//!
//! Where nothing is kept a lane is empty and costs nothing: stanzas go straight to the mailboxes. A stanza that
//! something keeps leaves when its receipt is complete, and nothing that came after it leaves before (RFC 6120 10.1). While
//! the offline messages of an account are read for its first available session, what comes meanwhile waits behind
//! them and is planned when its turn comes: so the old messages arrive before the new ones, and none is lost in between.

use crate::{Backlog, Side, delivery::Plan};
use smallvec::SmallVec;
use std::collections::VecDeque;
use xmpp_core::Stanza;

/// What is on its way to one account. Lives under the account's guard.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    entries: VecDeque<Entry>,
    /// Bytes of the stanzas in it.
    weight: usize,
    /// Entries that make new arrivals wait unplanned: backlogs being read, and those behind them.
    barriers: usize,
    last_ticket: u64,
}

/// A stanza with whom it goes to.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) stanza: Stanza,
    pub(crate) way: Way,
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

/// What leaves the lane.
#[derive(Debug)]
pub(crate) enum Leaving {
    /// Its receipt is complete, or it needed none.
    Parcel(Parcel),
    /// The backlog was read for this session.
    Backlog(u64, Backlog),
    /// It waited for a backlog and is planned now.
    Held(Stanza),
}

/// No session has this number: what was read for it is read again for another.
const NOBODY: u64 = 0;

enum Entry {
    Parcel { ticket: u64, settled: bool, parcel: Option<Parcel> },
    Backlog { ticket: u64, session: u64, read: Option<Option<Backlog>> },
    Held(Stanza),
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

    /// Whether a stanza with this plan has to wait here until it can be planned in its turn.
    pub(crate) fn bars(&self, plan: &Plan) -> bool {
        self.barriers > 0 && matches!(plan, Plan::Deliver(_) | Plan::Keep)
    }

    /// Bytes of the stanzas in it.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// A stanza waits for its turn, to be planned then.
    pub(crate) fn hold(&mut self, stanza: Stanza) {
        self.hold_at(self.entries.len(), stanza);
    }

    /// A stanza that was delivered before waits again: before all that wait like it but the first so many, which came
    /// back with it.
    pub(crate) fn hold_again(&mut self, stanza: Stanza, behind: usize) {
        let held = |entry: &Entry| matches!(entry, Entry::Held(_));
        let first = self.entries.iter().position(held).unwrap_or(self.entries.len());
        self.hold_at(first + behind, stanza);
    }

    fn hold_at(&mut self, place: usize, stanza: Stanza) {
        self.weight += stanza.weight();
        self.barriers += 1;
        self.entries.insert(place, Entry::Held(stanza));
    }

    /// A stanza that nothing keeps takes its place, behind so many entries.
    pub(crate) fn follow(&mut self, place: usize, parcel: Parcel) {
        self.weight += parcel.stanza.weight();
        let entry = Entry::Parcel { ticket: 0, settled: true, parcel: Some(parcel) };
        self.entries.insert(place, entry);
    }

    /// A stanza that something keeps takes its place, behind so many entries. Without a parcel nothing is left to
    /// deliver once it is kept.
    pub(crate) fn keep(&mut self, place: usize, parcel: Option<Parcel>) -> u64 {
        self.weight += parcel.as_ref().map_or(0, |parcel| parcel.stanza.weight());
        let ticket = self.ticket();
        self.entries.insert(place, Entry::Parcel { ticket, settled: false, parcel });
        ticket
    }

    /// The backlog is being read for this session. It goes before what is not planned yet, which is newer than all that
    /// is kept, and in place of one that was read for a session that did not stay.
    pub(crate) fn read_backlog(&mut self, session: u64) -> u64 {
        self.barriers += 1;
        let ticket = self.ticket();
        let mut place = self.entries.len();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            match entry {
                Entry::Parcel { .. } => {}
                Entry::Backlog { session, .. } => *session = NOBODY,
                Entry::Held(_) => place = place.min(at),
            }
        }
        self.entries.insert(place, Entry::Backlog { ticket, session, read: None });
        ticket
    }

    /// The receipt is complete; where it failed nothing is delivered.
    pub(crate) fn settle(&mut self, ticket: u64, kept: bool) {
        for entry in &mut self.entries {
            if let Entry::Parcel { ticket: its, settled, parcel } = entry
                && *its == ticket
            {
                *settled = true;
                if !kept && let Some(parcel) = parcel.take() {
                    self.weight -= parcel.stanza.weight();
                }
                return;
            }
        }
    }

    /// The backlog was read; `None` where there is nothing to deliver.
    pub(crate) fn settle_backlog(&mut self, ticket: u64, backlog: Option<Backlog>) {
        for entry in &mut self.entries {
            if let Entry::Backlog { ticket: its, read, .. } = entry
                && *its == ticket
            {
                *read = Some(backlog);
                return;
            }
        }
    }

    /// The next that may leave now.
    pub(crate) fn leave(&mut self) -> Option<Leaving> {
        loop {
            match self.entries.front()? {
                Entry::Parcel { settled: false, .. } | Entry::Backlog { read: None, .. } => {
                    return None;
                }
                _ => {}
            }
            match self.entries.pop_front()? {
                Entry::Parcel { parcel: Some(parcel), .. } => {
                    self.weight -= parcel.stanza.weight();
                    return Some(Leaving::Parcel(parcel));
                }
                Entry::Parcel { parcel: None, .. } => {}
                Entry::Backlog { session, read, .. } => {
                    self.barriers -= 1;
                    if let Some(backlog) = read.flatten()
                        && session != NOBODY
                    {
                        return Some(Leaving::Backlog(session, backlog));
                    }
                }
                Entry::Held(stanza) => {
                    self.barriers -= 1;
                    self.weight -= stanza.weight();
                    return Some(Leaving::Held(stanza));
                }
            }
        }
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parcel { ticket, settled, .. } => write!(f, "Parcel({ticket}, {settled})"),
            Self::Backlog { ticket, session, .. } => write!(f, "Backlog({ticket}, {session})"),
            Self::Held(_) => f.write_str("Held"),
        }
    }
}
