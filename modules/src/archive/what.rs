//! Which messages are kept, and where.

use crate::{chat_state, hints};
use xmpp_core::{Kind, Stanza, ns, stanza::MessageType};

/// What a message is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worth {
    /// Whether it waits for a recipient who is not there (XEP-0160 3).
    pub(crate) pending: bool,
    /// Whether it goes into archives that want it (XEP-0313 6.1.1).
    pub(crate) archive: bool,
}

/// Says what a message is worth, by its type, its hints (XEP-0334) and what it holds.
pub(crate) fn worth(message: &Stanza) -> Worth {
    // Not of rooms, which have archives of their own, and no errors.
    let conversation =
        matches!(message.kind(), Kind::Message(MessageType::Normal | MessageType::Chat));
    // XEP-0334 4.2
    let storable = conversation && !hints::has(message, "no-store");
    Worth {
        pending: storable && !chat_state::says_nothing_else(message),
        // XEP-0334 4.1, 4.4
        archive: storable
            && !hints::has(message, "no-permanent-store")
            && (hints::has(message, "store") || says_something(message)),
    }
}

/// Whether somebody who reads the conversation later would miss it (XEP-0313 3): more than how somebody types, and more than what
/// is said about other parts of it.
fn says_something(message: &Stanza) -> bool {
    message.children().any(|child| {
        !matches!(child.ns, ns::CHAT_STATES | ns::HINTS | ns::STANZA_IDS | ns::DELAY)
            && !child.is(ns::CLIENT, "thread")
            && !child.is(ns::RECEIPTS, "request")
            && !child.is(ns::CHAT_MARKERS, "markable")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::thaw;

    #[test]
    fn xep0313_6_1_1_what_goes_into_an_archive_and_what_waits() {
        const BODY: &str = "<body>x</body>";
        const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
        let rows = [
            ("chat", BODY.to_owned(), true, true),
            ("normal", BODY.to_owned(), true, true),
            ("", BODY.to_owned(), true, true),
            ("headline", BODY.to_owned(), false, false),
            ("groupchat", BODY.to_owned(), false, false),
            ("error", BODY.to_owned(), false, false),
            ("chat", STATE.to_owned(), false, false),
            ("chat", format!("{BODY}{STATE}"), true, true),
            ("chat", format!("{STATE}{}", hint("store")), true, true),
            ("chat", format!("{BODY}{}", hint("no-store")), false, false),
            ("chat", format!("{BODY}{}{}", hint("store"), hint("no-store")), false, false),
            ("chat", format!("{BODY}{}", hint("no-permanent-store")), true, false),
            ("chat", format!("{BODY}{}", hint("no-copy")), true, true),
            // XEP-0333, XEP-0184: what has been read and what has arrived
            ("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>".to_owned(), true, true),
            ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>".to_owned(), true, true),
            // XEP-0384, XEP-0444: a body is not all that can be said
            ("chat", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>".to_owned(), true, true),
            ("chat", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>".to_owned(), true, true),
            ("normal", "<subject>x</subject>".to_owned(), true, true),
            // XEP-0160 keeps a normal message in any case.
            ("normal", String::new(), true, false),
            ("normal", format!("{STATE}<thread>t</thread>"), true, false),
            (
                "chat",
                "<thread>t</thread><request xmlns='urn:xmpp:receipts'/>".to_owned(),
                true,
                false,
            ),
        ];
        for (kind, payload, pending, archive) in rows {
            let kind = if kind.is_empty() { String::new() } else { format!(" type='{kind}'") };
            let xml = format!("<message from='a@x/1' to='b@x'{kind}>{payload}</message>");
            let message = thaw(xml.clone().into()).expect("a stanza");
            assert_eq!(worth(&message), Worth { pending, archive }, "{xml}");
        }
    }
}
