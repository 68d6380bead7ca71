//! Numbers for operators.

use crate::Router;
use std::sync::atomic::{AtomicU64, Ordering};
use xmpp_core::{Kind, Stanza};

/// What a [`Router`] has done, and who is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that hold an address.
    pub sessions: u64,
    /// Messages that sessions have sent so far.
    pub messages: u64,
    /// Presence that they have sent.
    pub presences: u64,
    /// Requests and answers to requests that they have sent.
    pub iqs: u64,
}

/// The same while it grows.
#[derive(Default)]
pub(crate) struct Counters {
    sessions: AtomicU64,
    messages: AtomicU64,
    presences: AtomicU64,
    iqs: AtomicU64,
}

impl Counters {
    pub(crate) fn came(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn went(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, stanza: &Stanza) {
        let counter = match stanza.kind() {
            Kind::Message(_) => &self.messages,
            Kind::Presence(_) => &self.presences,
            Kind::Iq(_) => &self.iqs,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Router {
    /// The numbers as they are now.
    pub fn counts(&self) -> Counts {
        let Counters { sessions, messages, presences, iqs } = &self.counters;
        let [sessions, messages, presences, iqs] =
            [sessions, messages, presences, iqs].map(|counter| counter.load(Ordering::Relaxed));
        Counts { sessions, messages, presences, iqs }
    }
}
