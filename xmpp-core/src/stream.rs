//! Stream headers and features (RFC 6120 4).

use crate::{
    StreamError,
    xml::{Limits, Scope},
};
use bytes::{Bytes, BytesMut};

/// What the peer's stream header said (RFC 6120 4.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `to`, as written.
    pub to: Option<String>,
    /// `from`, as written.
    pub from: Option<String>,
    /// `id` (servers only).
    pub id: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// `version`, major and minor; `None` where absent (before 1.0).
    pub version: Option<(u32, u32)>,
    /// The namespaces the header opens.
    pub scope: Scope,
}

impl Header {
    /// Reads the header as the framer cut it. The element must be `stream` in the streams namespace
    /// (`invalid-namespace`, `bad-format`) and the content namespace `content` its default (RFC 6120 4.8.2).
    pub fn parse(_raw: Bytes, _content: &str, _limits: &Limits) -> Result<Self, StreamError> {
        todo!()
    }
}

/// Appends the server's answer: XML declaration and start tag (RFC 6120 4.7).
pub fn write_header(_out: &mut BytesMut, _from: &str, _to: Option<&str>, _id: &str, _lang: &str) {
    todo!()
}

/// Appends an initiating entity's header (what a client or a connection manager sends).
pub fn write_initiating_header(
    _out: &mut BytesMut,
    _to: &str,
    _from: Option<&str>,
    _lang: Option<&str>,
) {
    todo!()
}

/// The end of a stream.
pub const FOOTER: &str = "</stream:stream>";

/// What `<stream:features/>` offers (RFC 6120 4.3.2), in the order they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    elements: Vec<u8>,
}

impl Features {
    /// STARTTLS (RFC 6120 5.4.1).
    pub fn starttls(&mut self, _required: bool) -> &mut Self {
        todo!()
    }
    /// SASL mechanisms (RFC 6120 6.4.1).
    pub fn mechanisms<'a>(&mut self, _names: impl IntoIterator<Item = &'a str>) -> &mut Self {
        todo!()
    }
    /// Resource binding (RFC 6120 7.4).
    pub fn bind(&mut self) -> &mut Self {
        todo!()
    }
    /// Legacy session establishment, optional (draft-cridland-xmpp-session).
    pub fn session(&mut self) -> &mut Self {
        todo!()
    }
    /// Any other feature, serialised.
    pub fn other(&mut self, _element: &[u8]) -> &mut Self {
        todo!()
    }
    /// Appends the element.
    pub fn write(&self, _out: &mut BytesMut) {
        todo!()
    }
}
