//! XEP-0334: Message Processing Hints. They are followed where something is kept or copied.
//!
//! `no-store` and `store`: offline messages and archives. `no-copy`: carbons. `no-permanent-store`: archives; what is kept for
//! an account until it comes back is no permanent record (XEP-0334 3.3).

use xmpp_core::{Kind, Stanza, ns, stanza::MessageType};

/// Whether a message gives this hint. Those in an error are the original's and are not for us (XEP-0334 5).
pub(crate) fn has(message: &Stanza, hint: &str) -> bool {
    message.kind() != Kind::Message(MessageType::Error) && message.child(ns::HINTS, hint).is_some()
}
