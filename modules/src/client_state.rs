//! XEP-0352: Client State Indication: what a client that nobody looks at can wait for.
//!
//! Streams hand the client's word to its mailbox, which holds back what is not urgent here.

use crate::chat_state;
use bytes::Bytes;
use router::{Declare, Module, Offer, Urgency};
use std::sync::Arc;
use xmpp_core::{Kind, Stanza, ns, stanza::PresenceType};

/// Says what inactive clients can wait for.
pub(crate) struct ClientState;

impl Module for ClientState {
    fn name(&self) -> &'static str {
        "client-state"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(352, "Client State Indication", "1.0.0");
        // 4.1
        declare.stream_feature(Offer::AfterAuth, |_, _| {
            Bytes::from_static(b"<csi xmlns='urn:xmpp:csi:0'/>")
        });
        declare.urgency(urgency);
    }
}

/// XEP-0352 3.2
fn urgency(stanza: &Stanza) -> Urgency {
    match stanza.kind() {
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable)
            if !is_own_entrance(stanza) =>
        {
            Urgency::Later
        }
        Kind::Message(_) if chat_state::says_nothing_else(stanza) => Urgency::Never,
        Kind::Presence(_) | Kind::Message(_) | Kind::Iq(_) => Urgency::Now,
    }
}

/// Whether it tells an occupant of a room about itself: the client waits for that to be in, or to know that it is out
/// (XEP-0045 7.2.2, status 110).
fn is_own_entrance(presence: &Stanza) -> bool {
    let Some(x) = presence.child(ns::MUC_USER, "x") else { return false };
    presence.node(&x).is_ok_and(|x| {
        let mut statuses = x.children.iter().filter(|child| child.is(ns::MUC_USER, "status"));
        statuses.any(|status| status.attr("code") == Some("110"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::thaw;
    use Urgency::{Later, Never, Now};

    #[test]
    fn xep0352_3_2_what_can_wait() {
        const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        let rows = [
            ("<presence/>", Later),
            ("<presence type='unavailable'><status>gone</status></presence>", Later),
            ("<presence type='subscribe'/>", Now),
            ("<presence type='subscribed'/>", Now),
            ("<presence type='unsubscribe'/>", Now),
            ("<presence type='unsubscribed'/>", Now),
            ("<presence type='error'/>", Now),
            (
                "<presence><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>",
                Later,
            ),
            (
                "<presence><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x></presence>",
                Now,
            ),
            ("<iq type='get' id='1'><x xmlns='y'/></iq>", Now),
            ("<iq type='result' id='1'/>", Now),
            ("<message/>", Now),
            ("<message type='headline'/>", Now),
            ("<message type='chat'><body>x</body></message>", Now),
            (&format!("<message type='chat'>{STATE}</message>"), Never),
            (
                &format!(
                    "<message type='chat'>{STATE}<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>\
                     <origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>"
                ),
                Never,
            ),
            (
                &format!("<message type='chat'>{STATE}<store xmlns='urn:xmpp:hints'/></message>"),
                Now,
            ),
            (&format!("<message type='chat'>{STATE}<body>x</body></message>"), Now),
            (&format!("<message type='chat'>{STATE}<x xmlns='y'/></message>"), Now),
            (&format!("<message type='groupchat'>{STATE}</message>"), Now),
        ];
        for (xml, expected) in rows {
            let stanza = thaw(xml.to_owned().into()).expect("a stanza");
            assert_eq!(urgency(&stanza), expected, "{xml}");
        }
    }
}
