//! What is counted: each work is prepared once and then done again and again.

mod bosh;
mod chat;
mod login;
mod routing;
mod websocket;
mod xml;

/// Something that is counted.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How many times what is counted happens when it is done once.
    pub(crate) parts: u64,
    pub(crate) prepare: fn() -> Once,
}

/// Does the work once.
pub(crate) type Once = Box<dyn FnMut()>;

/// In the order in which they are shown.
pub(crate) const ALL: &[Work] = &[
    one("xml_frame", "a message is cut out of a stream", xml::frame),
    one("xml_check", "it is checked", xml::check),
    one("xml_parse", "its start tag is taken apart", xml::parse),
    one("xml_write", "it is written", xml::write),
    one("dispatch_message", "a message into the mailbox of its recipient", routing::message),
    Work {
        name: "dispatch_presence_500",
        what: "presence into 500 mailboxes, each",
        parts: routing::CONTACTS,
        prepare: routing::presence,
    },
    one("chat_1", "a message through the server, from stream to stream", chat::one_at_a_time),
    Work {
        name: "chat_16",
        what: "the same with 16 in flight, each",
        parts: chat::IN_FLIGHT,
        prepare: chat::many_at_a_time,
    },
    one("bosh", "a request brings a message, its answer another", bosh::exchange),
    one("websocket_in", "a frame brings a message to the server", websocket::inwards),
    one("websocket_out", "the server's message in a frame", websocket::outwards),
    one("scram", "the server's part of SCRAM-SHA-1", login::scram),
];

/// A work that happens once when it is done once.
const fn one(name: &'static str, what: &'static str, prepare: fn() -> Once) -> Work {
    Work { name, what, parts: 1, prepare }
}

/// A message of 170 bytes, as clients write them.
pub(crate) const MESSAGE: &str = "<message to='juliet@localhost/balcony' type='chat' id='m471'>\
    <body>My ears have not yet drunk a hundred words of that tongue&apos;s utterance, yet I know</body>\
    </message>";
const _: () = assert!(MESSAGE.len() == 170);
