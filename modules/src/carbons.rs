//! XEP-0280: Message Carbons.
//!
//! Where the XEP leaves a choice: a copy goes to every connected session that asked for copies, available or not,
//! whatever its priority; what a session sends to its own account is copied once, as received, and never back to it; what
//! is refused is not copied. An error is known to answer an eligible message by the session that sent that: it is copied
//! to those who saw the message in copy.

use crate::hints;
use bytes::Bytes;
use futures_util::FutureExt;
use router::{Answer, At, Copying, Declare, Module, Reply, Request, Side};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use xmpp_core::{
    Jid, Kind, Stanza, StanzaError,
    error::StanzaCondition,
    ns,
    stanza::{Head, IqType, MessageType},
    xml::Child,
};

/// Lets sessions see what their account says and hears elsewhere.
pub(crate) struct Carbons;

/// What is remembered of a session that has asked for copies, or for no more of them.
struct Enabled(bool);

/// The latest messages of a session that others saw in copy, by recipient and id: an error that answers one of them is for
/// these others too (6.1).
#[derive(Default)]
struct Sent(VecDeque<u64>);

/// Messages remembered of a session: errors come soon if they come.
const SENT_MAX: usize = 32;

impl Module for Carbons {
    fn name(&self) -> &'static str {
        "carbons"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(280, "Message Carbons", "1.0.1");
        declare.feature(At::Server, ns::CARBONS);
        declare.feature(At::Server, ns::CARBONS_RULES);
        for (name, enabled) in [("enable", true), ("disable", false)] {
            let payload = (ns::CARBONS, name);
            declare.handle(IqType::Set, payload, [At::Own], move |request| {
                switch(request, enabled).boxed()
            });
            // 4.1, 5.1: whoever it is, and whether there is such an account or not
            declare.answer(IqType::Set, payload, [At::Contact, At::Stranger], |_| {
                Err(StanzaError::new(StanzaCondition::NotAllowed))
            });
        }
        for side in [Side::Sender, Side::Recipient] {
            declare.mark(side, |stanza, _| without_forged(stanza));
        }
        declare.remember(
            |Enabled(enabled)| Bytes::from_static(if *enabled { b"enabled" } else { b"disabled" }),
            |words| Some(Enabled(words == b"enabled")),
        );
        declare.copy(|seat| matches!(seat.get(), Some(Enabled(true))), copy);
    }
}

/// 4, 5: the result stands before the first copy, or behind the last.
async fn switch(request: Request, enabled: bool) -> Answer {
    let Request { router, session, stanza, .. } = request;
    let result = stanza.result(Bytes::new());
    router
        .enter(session.account(), |view| {
            if let Some(seat) = view.seat(&session) {
                seat.put(Enabled(enabled));
                seat.answer(result);
            }
        })
        .await;
    Ok(Reply::Sent)
}

/// 11, threat P05: copies are made by the server alone, so nobody else sends anything that looks like one.
fn without_forged(stanza: Stanza) -> Stanza {
    if !matches!(stanza.kind(), Kind::Message(_)) {
        return stanza;
    }
    stanza.without(|child| child.ns == ns::CARBONS && matches!(child.name, "received" | "sent"))
}

/// 7, 8
fn copy(copying: Copying<'_>) -> Option<Stanza> {
    let Copying { side, account, message, seat } = copying;
    let Kind::Message(kind) = message.kind() else { return None };
    let head = &message.head;
    if kind == MessageType::Error {
        let sent = seat?.get::<Sent>()?;
        if side == Side::Sender || !sent.0.contains(&mark(head.from.as_ref(), head)) {
            return None;
        }
    } else {
        if !is_eligible(side, kind, message) {
            return None;
        }
        if let (Side::Sender, Some(seat)) = (side, seat) {
            if seat.get::<Sent>().is_none() {
                seat.put(Sent::default());
            }
            if let Some(sent) = seat.get_mut::<Sent>() {
                sent.0.truncate(SENT_MAX - 1);
                sent.0.push_front(mark(head.to.as_ref(), head));
            }
        }
    }
    let name = match side {
        Side::Sender => "sent",
        Side::Recipient => "received",
    };
    Some(message.forwarded(message.kind(), ns::CARBONS, name).from(account.as_jid().clone()))
}

/// Stands for a message with this id between us and this account, any of whose sessions may answer. Two alike would cost a
/// copy too many.
fn mark(peer: Option<&Jid>, head: &Head) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.map(Jid::bare_str), &head.id).hash(&mut hasher);
    hasher.finish()
}

/// 6.1, for all types but `error`.
fn is_eligible(side: Side, kind: MessageType, message: &Stanza) -> bool {
    if kind == MessageType::Groupchat
        || message.child(ns::CARBONS, "private").is_some()
        || hints::has(message, "no-copy")
    {
        return false;
    }
    let peer = match side {
        Side::Sender => &message.head.to,
        Side::Recipient => &message.head.from,
    };
    let is_occupant = peer.as_ref().is_some_and(|peer| !peer.is_bare());
    let room = message.child(ns::MUC_USER, "x");
    let is_invitation = room.as_ref().is_some_and(|x| holds_invitation(message, x));
    if room.is_some() && is_occupant && !is_invitation {
        // Between occupants of a room: what comes the room itself gives to all who are in.
        return side == Side::Sender;
    }
    kind == MessageType::Chat
        || is_invitation
        || message.children().any(|child| match child.ns {
            ns::CLIENT => child.name == "body" && kind == MessageType::Normal,
            ns::RECEIPTS | ns::CHAT_STATES | ns::CHAT_MARKERS => true,
            ns::CONFERENCE => child.name == "x",
            _ => false,
        })
}

/// XEP-0045 7.8.2
fn holds_invitation(message: &Stanza, x: &Child<'_>) -> bool {
    message.node(x).is_ok_and(|x| x.child(ns::MUC_USER, "invite").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::thaw;

    const BODY: &str = "<body>x</body>";
    const ROOM: &str = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    const MEDIATED: &str =
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>";
    const DIRECT: &str = "<x xmlns='jabber:x:conference' jid='room@muc.localhost'/>";
    const BARE: &str = "peer@localhost";
    const FULL: &str = "peer@localhost/x";

    /// Whether it is eligible on the sender's side and on the recipient's.
    #[track_caller]
    fn eligible(peer: &str, kind: &str, payload: &str, expected: [bool; 2]) {
        let xml = format!("<message to='{peer}' from='{peer}' type='{kind}'>{payload}</message>");
        let message = thaw(xml.clone().into()).expect("a stanza");
        let Kind::Message(kind) = message.kind() else { panic!("no message") };
        let found = [Side::Sender, Side::Recipient].map(|side| is_eligible(side, kind, &message));
        assert_eq!(found, expected, "{xml}");
    }

    #[test]
    fn xep0280_6_1_what_is_eligible() {
        const BOTH: [bool; 2] = [true, true];
        const NONE: [bool; 2] = [false, false];
        const SENT: [bool; 2] = [true, false];
        let rows = [
            // of type "chat"
            (BARE, "chat", "", BOTH),
            (FULL, "chat", BODY, BOTH),
            (FULL, "chat", "<encrypted xmlns='urn:xmpp:omemo:2'/>", BOTH),
            // of type "normal" with a body
            (BARE, "normal", BODY, BOTH),
            (BARE, "unknown", BODY, BOTH),
            (BARE, "normal", "", NONE),
            (BARE, "normal", "<subject>x</subject>", NONE),
            (BARE, "normal", "<body xmlns='urn:example'/>", NONE),
            (BARE, "headline", BODY, NONE),
            // payloads of instant messaging, whatever the type
            (BARE, "normal", "<received xmlns='urn:xmpp:receipts' id='1'/>", BOTH),
            (BARE, "normal", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", BOTH),
            (BARE, "headline", "<gone xmlns='http://jabber.org/protocol/chatstates'/>", BOTH),
            (BARE, "normal", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>", NONE),
            // rooms
            (FULL, "groupchat", BODY, NONE),
            (BARE, "groupchat", "<active xmlns='http://jabber.org/protocol/chatstates'/>", NONE),
            (BARE, "normal", DIRECT, BOTH),
            (FULL, "normal", DIRECT, BOTH),
            (BARE, "normal", MEDIATED, BOTH),
            (FULL, "normal", MEDIATED, BOTH),
            (BARE, "normal", ROOM, NONE),
            (FULL, "chat", &[BODY, ROOM].concat(), SENT),
            (FULL, "normal", ROOM, SENT),
            (BARE, "chat", ROOM, BOTH),
            // asked not to
            (BARE, "chat", "<private xmlns='urn:xmpp:carbons:2'/>", NONE),
            (FULL, "normal", &[BODY, "<private xmlns='urn:xmpp:carbons:2'/>"].concat(), NONE),
            (FULL, "chat", "<no-copy xmlns='urn:xmpp:hints'/>", NONE),
            (BARE, "normal", &[MEDIATED, "<no-copy xmlns='urn:xmpp:hints'/>"].concat(), NONE),
            (FULL, "chat", "<private/>", BOTH),
        ];
        for (peer, kind, payload, expected) in rows {
            eligible(peer, kind, payload, expected);
        }
    }

    #[test]
    fn p05_only_the_wrappers_are_taken_away() {
        let xml = "<message xmlns:c='urn:xmpp:carbons:2'>\
            <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>\
            <body>x</body><c:sent/><c:private/><received xmlns='urn:xmpp:receipts' id='1'/></message>";
        let stanza = without_forged(thaw(xml.to_owned().into()).expect("a stanza"));
        assert_eq!(
            stanza.inner(),
            "<body>x</body><c:private/><received xmlns='urn:xmpp:receipts' id='1'/>"
        );
    }
}
