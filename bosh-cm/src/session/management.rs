//! Stream management on behalf of a client that does without (XEP-0198): the server learns what its client has got for
//! certain, and when the session ends it takes the rest back, as it would from a client of its own; what stood in answers
//! that nobody read, too. The client sees nothing of it, and one that manages its stream itself is left alone.
//!
//! ```text
//!   Unasked ──a resource is bound, and the client goes on──► Asked ──<enabled/>──► Counting
//!    │   ▲                                                     └─────<failed/>───► Left
//!    │   └──<failed/>──┐
//!    └──the client asks itself──► Wished
//!
//!   Unasked, Wished, Left ──<enabled/>, <resumed/>──► Theirs
//! ```

use super::request::Request;
use bytes::Bytes;
use std::collections::VecDeque;
use xmpp_core::{
    ns,
    xml::{Element, Writer},
};

/// Without resumption: who comes back to the connection manager finds its session there, or begins anew.
pub(super) const ENABLE: Bytes = Bytes::from_static(b"<enable xmlns='urn:xmpp:sm:3'/>");

/// Answers that are told apart before the client has them for certain: as many as it may ever ask for again. Of more
/// the oldest count as one.
const ANSWERS: usize = 64;

/// Stanzas that the client may have after which it is given a reason to show that it does: fewer than any known server
/// sends ahead before it waits or gives up.
const MUCH: u32 = 64;

/// How far stream management is on one stream.
#[derive(Default)]
pub(super) enum Management {
    /// Neither side has spoken of it.
    #[default]
    Unasked,
    /// The server was asked in the client's stead.
    Asked,
    /// The server counts.
    Counting(Ledger),
    /// The client has asked, and does not know yet.
    Wished,
    /// Nothing of ours: the server has refused.
    Left,
    /// It is the client's own affair: it may come back to a stream that was not closed (XEP-0198 7).
    Theirs,
}

/// What the server counts, and how much of it has arrived.
#[derive(Default)]
pub(super) struct Ledger {
    /// The stanzas that the client has for certain, modulo 2^32 as XEP-0198 4 has it.
    arrived: u32,
    /// The answers that it may not have: the request, and how many stanzas.
    open: VecDeque<(u64, u32)>,
    /// The stanzas in them.
    uncertain: u32,
}

/// An element of stream management from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nonza {
    /// `<enabled/>`
    Enabled,
    /// `<resumed/>`
    Resumed,
    /// `<failed/>`
    Failed,
    /// `<r/>`
    Ask,
    /// Any other.
    Other,
}

/// What becomes of a request's payloads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// They go on.
    Payloads,
    /// They go on, after [`ENABLE`].
    Enable,
    /// They go on without what the client says of stream management.
    Without,
}

impl Nonza {
    /// The element, if it is one of stream management.
    pub(super) fn of(element: &Element) -> Option<Self> {
        (element.ns() == ns::STREAM_MANAGEMENT).then(|| match element.name() {
            "enabled" => Self::Enabled,
            "resumed" => Self::Resumed,
            "failed" => Self::Failed,
            "r" => Self::Ask,
            _ => Self::Other,
        })
    }
}

impl Management {
    /// The client says something. Whether it manages its stream itself is seen by what it says first on one where it can.
    pub(super) fn hear(&mut self, manageable: bool, request: &Request) -> Heard {
        let manages = !request.management.is_empty();
        match self {
            Self::Unasked if manages => {
                *self = Self::Wished;
                Heard::Payloads
            }
            Self::Unasked if !manageable => Heard::Payloads,
            Self::Unasked if request.speaks() => {
                *self = Self::Asked;
                Heard::Enable
            }
            Self::Asked | Self::Counting(_) if manages => Heard::Without,
            _ => Heard::Payloads,
        }
    }

    /// The server says something of stream management: whether it is nothing to the client, and what to answer.
    pub(super) fn learn(&mut self, nonza: Nonza) -> (bool, Option<Bytes>) {
        match (&*self, nonza) {
            (Self::Unasked | Self::Wished | Self::Left, Nonza::Enabled | Nonza::Resumed) => {
                *self = Self::Theirs;
                return (false, None);
            }
            (Self::Wished, Nonza::Failed) => {
                *self = Self::Unasked;
                return (false, None);
            }
            (Self::Unasked | Self::Wished | Self::Left | Self::Theirs, _) => return (false, None),
            (Self::Asked, Nonza::Enabled) => *self = Self::Counting(Ledger::default()),
            (Self::Asked, Nonza::Failed) => *self = Self::Left,
            // XEP-0198 4: at once, with what is certain so far.
            (Self::Counting(ledger), Nonza::Ask) => return (true, Some(ledger.ack())),
            (Self::Asked | Self::Counting(_), _) => {}
        }
        (true, None)
    }

    /// Whether the server waits to hear of the stanzas that it sends now, from us or from the client.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Counting(_) | Self::Theirs)
    }

    /// Whether the client may come back to the stream by another way.
    pub(super) fn is_theirs(&self) -> bool {
        matches!(self, Self::Wished | Self::Theirs)
    }

    /// Whether the server is about to wait for news of what it has sent.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Counting(ledger) if ledger.uncertain >= MUCH)
    }

    /// So many stanzas that the server counts were sent in the answer to this request.
    pub(super) fn answered(&mut self, rid: u64, stanzas: u32) {
        let Self::Counting(ledger) = self else { return };
        ledger.open.push_back((rid, stanzas));
        ledger.uncertain = ledger.uncertain.saturating_add(stanzas);
        if ledger.open.len() > ANSWERS {
            let (_, oldest) = ledger.open.pop_front().expect("more than none");
            ledger.open[0].1 += oldest;
        }
    }

    /// The client has the answers up to this request for certain: what to tell the server, if that is news to it.
    pub(super) fn arrived(&mut self, rid: u64) -> Option<Bytes> {
        let Self::Counting(ledger) = self else { return None };
        let before = ledger.arrived;
        while let Some((_, stanzas)) = ledger.open.front().filter(|(answered, _)| *answered <= rid)
        {
            ledger.arrived = ledger.arrived.wrapping_add(*stanzas);
            ledger.uncertain = ledger.uncertain.saturating_sub(*stanzas);
            ledger.open.pop_front();
        }
        (ledger.arrived != before).then(|| ledger.ack())
    }
}

impl Ledger {
    fn ack(&self) -> Bytes {
        format!("<a xmlns='{}' h='{}'/>", ns::STREAM_MANAGEMENT, self.arrived).into()
    }
}

/// The answer to a client that would manage a stream which is managed for it by now (XEP-0198 3).
pub(super) fn too_late() -> Bytes {
    let mut out = Writer::new();
    out.open_ns("failed", ns::STREAM_MANAGEMENT);
    out.open_ns("unexpected-request", ns::STANZA_ERRORS).close().close();
    out.finish()
}
