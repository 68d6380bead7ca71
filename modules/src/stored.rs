//! Stanzas on their way into a store and back.

use bytes::{Bytes, BytesMut};
use roster_store::StoreError;
use xmpp_core::{
    Stanza, StanzaError,
    error::{ErrorAction, StanzaCondition},
    ns,
    xml::{Element, Limits, Scope},
};

/// What was checked when it came in is only read again, so these are no limits.
const STORED: Limits = Limits {
    bytes: usize::MAX,
    elements: u32::MAX,
    depth: u32::MAX,
    attributes: u32::MAX,
    declarations: u32::MAX,
    name: usize::MAX,
};

/// A stanza as it is stored.
pub(crate) fn freeze(stanza: &Stanza) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(stanza.weight());
    stanza.write(&mut out);
    out.to_vec()
}

/// A stored stanza; `None`, and a line in the log, where it is none.
pub(crate) fn thaw(stored: Bytes) -> Option<Stanza> {
    let scope = Scope { default: ns::CLIENT.to_owned(), ..Scope::default() };
    let stanza = Element::check(stored, &scope, &STORED)
        .ok()
        .and_then(|element| Stanza::parse(&element).ok().flatten());
    if stanza.is_none() {
        tracing::error!("a stored stanza cannot be read");
    }
    stanza
}

/// What the asker hears of what the store said.
pub(crate) fn refusal(error: &StoreError) -> StanzaError {
    match error {
        StoreError::NotFound => StanzaError::new(StanzaCondition::ItemNotFound),
        StoreError::Exists => StanzaError::new(StanzaCondition::Conflict),
        StoreError::Full(_) | StoreError::Busy => {
            StanzaError::new(StanzaCondition::ResourceConstraint)
        }
        error => failed(error),
    }
}

/// The store failed, which it says in the log itself, once: the sender may try again.
pub(crate) fn failed(error: &StoreError) -> StanzaError {
    tracing::debug!(%error, "the store failed");
    StanzaError {
        action: ErrorAction::Wait,
        ..StanzaError::new(StanzaCondition::InternalServerError)
    }
}
