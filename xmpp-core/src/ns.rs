//! Namespace names, one constant each, named as the field names them.

/// Stanzas on a client's stream (RFC 6120 4.8.2).
pub const CLIENT: &str = "jabber:client";
/// Stanzas on a server's stream (RFC 6120 4.8.2).
pub const SERVER: &str = "jabber:server";
/// The stream element, its features and its errors (RFC 6120 4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions of stream errors (RFC 6120 4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors (RFC 6120 8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS negotiation (RFC 6120 5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL negotiation (RFC 6120 6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Legacy session establishment (RFC 3921 3).
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Rosters (RFC 6121 2).
pub const ROSTER: &str = "jabber:iq:roster";
/// XEP-0030: disco#info.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030: disco#items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0004: Data Forms.
pub const DATA_FORM: &str = "jabber:x:data";
/// XEP-0050: Ad-Hoc Commands.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0077: In-Band Registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0133: Service Administration, and its forms' type.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0012: Last Activity.
pub const LAST_ACTIVITY: &str = "jabber:iq:last";
/// XEP-0049: Private XML Storage.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054: vcard-temp.
pub const VCARD: &str = "vcard-temp";
/// XEP-0115: Entity Capabilities.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0157: Contact Addresses for XMPP Services.
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// XEP-0191: Blocking Command.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0478: Stream Limits Advertisement.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0198: Stream Management.
pub const STREAM_MANAGEMENT: &str = "urn:xmpp:sm:3";
/// XEP-0199: XMPP Ping.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0092: Software Version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0202: Entity Time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203: Delayed Delivery.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0085: Chat State Notifications.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0334: Message Processing Hints.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0280: Message Carbons.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0280 6.2: that all of its rules for what is copied are followed.
pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
/// XEP-0297: Stanza Forwarding.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0352: Client State Indication.
pub const CLIENT_STATE: &str = "urn:xmpp:csi:0";
/// XEP-0359: Unique and Stable Stanza IDs.
pub const STANZA_IDS: &str = "urn:xmpp:sid:0";
/// XEP-0313: Message Archive Management.
pub const ARCHIVE: &str = "urn:xmpp:mam:2";
/// XEP-0059: Result Set Management.
pub const RESULT_SETS: &str = "http://jabber.org/protocol/rsm";
/// XEP-0122: Data Forms Validation.
pub const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0184: Message Delivery Receipts.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0333: Displayed Markers.
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0045: what a room says of its occupants, and its invitations.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0249: Direct MUC Invitations.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0124: the body element.
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206: XMPP over BOSH.
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// RFC 7395: stream headers over WebSocket.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// The `xml` prefix.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Declarations of namespaces themselves.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The constant for a namespace that elements usually take from outside themselves.
pub(crate) fn of_headers(ns: &str) -> Option<&'static str> {
    [CLIENT, STREAMS, SERVER, HTTPBIND, XBOSH].into_iter().find(|known| *known == ns)
}
