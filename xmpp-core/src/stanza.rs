//! Stanzas (RFC 6120 8): a small owned head, and the payload exactly as it arrived.

use crate::{
    Jid, StanzaError,
    xml::{Child, Element},
};
use bytes::{Bytes, BytesMut};
use compact_str::CompactString;

/// The kind of a stanza with its `type` (RFC 6121 4.7.1, 5.2.2; RFC 6120 8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Message(MessageType),
    Presence(PresenceType),
    Iq(IqType),
}

/// RFC 6121 5.2.2. An unknown type counts as `Normal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MessageType {
    Chat,
    Error,
    Groupchat,
    Headline,
    Normal,
}

/// RFC 6121 4.7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PresenceType {
    /// No `type` at all.
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Error,
}

/// RFC 6120 8.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum IqType {
    Get,
    Set,
    Result,
    Error,
}

/// What a stanza's start tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Kind and type.
    pub kind: Kind,
    /// The recipient.
    pub to: Option<Jid>,
    /// The sender; stamped by the server (RFC 6120 8.1.2.1).
    pub from: Option<Jid>,
    /// The id, any text.
    pub id: Option<CompactString>,
    /// `xml:lang`.
    pub lang: Option<CompactString>,
    /// The rest of the start tag as it must be repeated: namespace declarations that `inner` takes from
    /// outside itself, and attributes of other namespaces. Starts with a space where not empty.
    pub rest: Bytes,
}

/// A stanza: parsed once, forwarded without touching its payload. Cloning copies no payload.
#[derive(Debug, Clone)]
pub struct Stanza {
    /// The start tag.
    pub head: Head,
    inner: Bytes,
    // index of the direct children: namespace, name, span
}

/// A stanza that gets an error instead of being routed.
#[derive(Debug, Clone)]
pub struct StanzaFault {
    /// The error, addressed back (to = its sender's `from` if any); `None` where the fault is in an error stanza,
    /// a result or anything else that must not be answered (RFC 6120 8.3.1).
    pub reply: Option<Stanza>,
}

impl Stanza {
    /// Reads a checked element in `jabber:client` or `jabber:server`. `Ok(None)`: it is not a stanza.
    /// Refused: an address that is not a JID (`jid-malformed`, RFC 6120 8.3.3.8), an iq without id, type or with
    /// not exactly one child for get and set (`bad-request`, 8.2.3), a presence of unknown type (`bad-request`),
    /// a child in the streams namespace.
    pub fn parse(_element: &Element) -> Result<Option<Self>, StanzaFault> {
        todo!()
    }
    /// A stanza of the server's own; `inner` is well-formed in the scope of `jabber:client`.
    pub fn new(_kind: Kind, _inner: Bytes) -> Self {
        todo!()
    }
    /// The same to this recipient.
    pub fn to(mut self, to: Jid) -> Self {
        self.head.to = Some(to);
        self
    }
    /// The same from this sender.
    pub fn from(mut self, from: Jid) -> Self {
        self.head.from = Some(from);
        self
    }
    /// The same with this id.
    pub fn id(mut self, id: &str) -> Self {
        self.head.id = Some(id.into());
        self
    }
    /// Its kind and type.
    pub fn kind(&self) -> Kind {
        self.head.kind
    }
    /// The payload, as it arrived.
    pub fn inner(&self) -> &Bytes {
        &self.inner
    }
    /// The direct children.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        std::iter::empty()
    }
    /// The first direct child of this namespace and name.
    pub fn child(&self, _ns: &str, _name: &str) -> Option<Child<'_>> {
        todo!()
    }
    /// The same stanza with `element` (one whole element, serialised) added as its last child.
    pub fn with_child(self, _element: &[u8]) -> Self {
        todo!()
    }
    /// The same stanza without the children for which `drop` is true.
    pub fn without(self, _drop: impl Fn(&Child<'_>) -> bool) -> Self {
        todo!()
    }
    /// The result of an iq, to and from exchanged (RFC 6120 8.2.3).
    pub fn result(&self, _inner: Bytes) -> Self {
        todo!()
    }
    /// The error in reply, to and from exchanged, with the payload of the original for iq only;
    /// `None` for errors and results, which are never answered (RFC 6120 8.3.1).
    pub fn error(&self, _error: &StanzaError) -> Option<Self> {
        todo!()
    }
    /// Appends the stanza as it stands on a stream whose default namespace is the stanza's.
    pub fn write(&self, _out: &mut BytesMut) {
        todo!()
    }
    /// Bytes it takes when written, about: what bounded queues count.
    pub fn weight(&self) -> usize {
        todo!()
    }
    /// The stanza with a payload of its own allocation, for keeping long (a slice pins its read block).
    pub fn detached(self) -> Self {
        todo!()
    }
}
