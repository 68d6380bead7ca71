//! XEP-0085: messages that say nothing but how somebody types.

use crate::hints;
use xmpp_core::{Kind, Stanza, ns, stanza::MessageType};

/// Whether a message says nothing but a chat state (XEP-0085 5.1): who comes back later has no use for it.
pub(crate) fn says_nothing_else(message: &Stanza) -> bool {
    let mut states = false;
    message.kind() == Kind::Message(MessageType::Chat)
        && message.children().all(|child| {
            let state = child.ns == ns::CHAT_STATES;
            states |= state;
            state
                || child.ns == ns::HINTS
                || child.is(ns::STANZA_IDS, "origin-id")
                || child.is(ns::CLIENT, "thread")
        })
        && states
        && !hints::has(message, "store")
}
