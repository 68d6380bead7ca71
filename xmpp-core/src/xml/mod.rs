//! XML as XMPP has it (RFC 6120 11): framing, strict checking, reading and writing.
//!
//! [`Framer`] cuts complete top-level elements out of a read buffer; [`Element::check`] makes one strict
//! pass over each; [`Node`] is a small tree for payloads that the server itself must understand;
//! [`Writer`] makes the server's own.

use crate::{StreamError, error::StreamCondition};

mod chars;
mod check;
mod element;
mod framer;
mod limit;
mod names;
mod node;
mod text;
mod writer;

pub(crate) use chars::is_uri;
pub(crate) use check::{Parsed, content};
pub use element::{Attribute, Child, Element, Scope};
pub use framer::{Frame, Framer};
pub use node::Node;
pub(crate) use text::{Span, Text};
pub use writer::{Writer, escape_into};

/// What one stream may send. Each limit holds before memory grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one top-level element, and of the stream header.
    pub bytes: usize,
    /// Elements in one top-level element, itself included.
    pub elements: u32,
    /// Depth of nesting below the stream, the top-level element being 1.
    pub depth: u32,
    /// Attributes of one element, namespace declarations not counted.
    pub attributes: u32,
    /// Namespace declarations in one top-level element.
    pub declarations: u32,
    /// Bytes of one element or attribute name.
    pub name: usize,
}

impl Limits {
    /// Before authentication: small.
    pub const BEFORE_AUTH: Self =
        Self { bytes: 8_192, elements: 32, depth: 16, attributes: 16, declarations: 16, name: 256 };
    /// After authentication.
    pub const AFTER_AUTH: Self = Self {
        bytes: 262_144,
        elements: 4_096,
        depth: 128,
        attributes: 64,
        declarations: 256,
        name: 1_024,
    };
}

/// Why bytes are not XML that XMPP allows. Each maps to one stream error (RFC 6120 4.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed (`not-well-formed`).
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// An undeclared or wrongly declared prefix: not namespace-well-formed (`not-well-formed`, RFC 6120 11.3).
    #[error("bad namespace prefix: {0}")]
    BadPrefix(&'static str),
    /// A comment, processing instruction, DTD or unknown entity (`restricted-xml`, RFC 6120 11.1).
    #[error("restricted XML: {0}")]
    Restricted(&'static str),
    /// Text where XMPP has none: between stanzas (`bad-format`).
    #[error("bad format: {0}")]
    BadFormat(&'static str),
    /// Another encoding than UTF-8 (`unsupported-encoding`).
    #[error("unsupported encoding")]
    Encoding,
    /// Over one of [`Limits`] (`policy-violation`).
    #[error("over a limit: {0}")]
    Limit(&'static str),
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> Self {
        let (condition, text) = match error {
            XmlError::NotWellFormed(why) | XmlError::BadPrefix(why) => {
                (StreamCondition::NotWellFormed, Some(why))
            }
            XmlError::Restricted(why) => (StreamCondition::RestrictedXml, Some(why)),
            XmlError::BadFormat(why) => (StreamCondition::BadFormat, Some(why)),
            XmlError::Encoding => (StreamCondition::UnsupportedEncoding, None),
            XmlError::Limit(what) => (StreamCondition::PolicyViolation, Some(what)),
        };
        Self { condition, text, application: None }
    }
}
