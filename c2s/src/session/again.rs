//! What a client sends again after the server was killed (XEP-0198 5): what had been put is not done twice.

use super::ledger::Ledger;
use std::hash::{DefaultHasher, Hash, Hasher};
use xmpp_core::{Jid, Stanza, ns};

/// What tells a stanza from another one with the same number: a client that does not send again what it has to, but something new,
/// must not lose that. Only a client itself could make two alike, and to its own harm.
pub(crate) fn mark(stanza: &Stanza) -> u64 {
    let mut hasher = DefaultHasher::new();
    let to = stanza.head.to.as_ref().map(Jid::as_str);
    (stanza.kind(), &stanza.head.id, to, stanza.inner()).hash(&mut hasher);
    hasher.finish()
}

impl Ledger {
    /// Whether the stanza that was received last had been put before. Clients may say, sending it again, since when it has been
    /// waiting (XEP-0203).
    pub(super) fn knows(&mut self, stanza: &Stanza) -> bool {
        self.was_heard(|its| {
            its == mark(stanza)
                || its == mark(&stanza.clone().without(|child| child.is(ns::DELAY, "delay")))
        })
    }
}
