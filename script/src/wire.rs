//! The client's end of a byte stream: what to write, and how to read what comes.

use bytes::{Bytes, BytesMut};
use xmpp_core::{
    ns,
    xml::{Element, Frame, Framer, Limits, Node, Scope, XmlError, escape_into},
};

/// The end of the client's stream.
pub const FOOTER: &[u8] = b"</stream:stream>";

/// The client's stream header (RFC 6120 4.7).
pub fn header(domain: &str) -> Bytes {
    let mut out = BytesMut::from(&b"<?xml version='1.0'?><stream:stream to='"[..]);
    escape_into(domain, &mut out);
    out.extend_from_slice(
        format!(
            "' version='1.0' xml:lang='en' xmlns='{}' xmlns:stream='{}'>",
            ns::CLIENT,
            ns::STREAMS
        )
        .as_bytes(),
    );
    out.freeze()
}

/// What a server's stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// The stream header.
    Header,
    /// A top-level element.
    Element(Node),
    /// The end of the stream.
    End,
}

/// Reads a server's stream, as strictly as the server reads its clients.
#[derive(Debug)]
pub struct Reader {
    framer: Framer,
    buffer: BytesMut,
    scope: Scope,
}

impl Reader {
    /// For a fresh stream.
    pub fn new() -> Self {
        Self {
            framer: Framer::new(Limits::AFTER_AUTH),
            buffer: BytesMut::new(),
            scope: Scope::default(),
        }
    }
    /// Expects a header next: the client has opened its stream, for the first time or again. Bytes in hand stay.
    pub fn restart(&mut self) {
        self.framer = Framer::new(Limits::AFTER_AUTH);
    }
    /// Whether every byte was consumed; must hold where TLS begins (RFC 6120 5.4.3.3).
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    /// The next part of the stream, `None` when more bytes are needed. White space between elements is skipped.
    pub fn incoming(&mut self) -> Result<Option<Incoming>, XmlError> {
        loop {
            return Ok(Some(match self.framer.next(&mut self.buffer)? {
                None => return Ok(None),
                Some(Frame::Whitespace) => continue,
                Some(Frame::Footer) => Incoming::End,
                Some(Frame::Header(raw)) => {
                    let (header, scope) = Element::check_header(raw, &Limits::AFTER_AUTH)?;
                    if !header.is(ns::STREAMS, "stream") {
                        return Err(XmlError::BadPrefix("the header is not a stream's"));
                    }
                    self.scope = scope;
                    Incoming::Header
                }
                Some(Frame::Element(raw)) => {
                    let element = Element::check(raw, &self.scope, &Limits::AFTER_AUTH)?;
                    Incoming::Element(Node::parse(&element.standalone(), "")?)
                }
            }));
        }
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// The elements of a text, each with the bytes as they stand in it. Outside of them the default namespace is
/// `jabber:client`, and the prefixes `stream` and `scansion` are declared. Text between them is refused.
pub(crate) fn elements(text: &str) -> Result<Element, XmlError> {
    let wrapped = format!(
        "<block xmlns='{}' xmlns:stream='{}' xmlns:scansion='{}'>{text}</block>",
        ns::CLIENT,
        ns::STREAMS,
        crate::NAMESPACE,
    );
    let block = Element::check(wrapped.into(), &Scope::default(), &Limits::AFTER_AUTH)?;
    if block.has_text() {
        return Err(XmlError::NotWellFormed("text outside of an element"));
    }
    Ok(block)
}

/// Elements as a client writes them on its stream, each made a document of its own: what a BOSH body carries.
pub fn standalone(elements: &[u8]) -> Result<Vec<Bytes>, XmlError> {
    let text = str::from_utf8(elements).map_err(|_| XmlError::NotWellFormed("not UTF-8"))?;
    let block = self::elements(text)?;
    Ok(block.children().map(|child| block.standalone_child(&child)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_in_parts_of_any_size() {
        let stream = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams' id='1'> <message id='a'><body>x</body></message>\n\
            <stream:error/></stream:stream>";
        for size in 1..stream.len() {
            let mut reader = Reader::new();
            let mut got = Vec::new();
            for part in stream.chunks(size) {
                reader.push(part);
                while let Some(incoming) = reader.incoming().unwrap() {
                    got.push(incoming);
                }
            }
            let [
                Incoming::Header,
                Incoming::Element(message),
                Incoming::Element(error),
                Incoming::End,
            ] = &got[..]
            else {
                panic!("{got:?}")
            };
            assert!(message.is(ns::CLIENT, "message"));
            assert_eq!(message.child(ns::CLIENT, "body").unwrap().text, "x");
            assert!(error.is(ns::STREAMS, "error"));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_header_of_another_name_is_refused() {
        let mut reader = Reader::new();
        reader.push(b"<html xmlns='http://www.w3.org/1999/xhtml'>");
        assert!(reader.incoming().is_err());
    }

    #[test]
    fn the_header_escapes_the_domain() {
        let header = header("a'b");
        assert!(!String::from_utf8_lossy(&header).contains("a'b"));
    }

    #[test]
    fn elements_become_documents_of_their_own() {
        let both = standalone(b"<presence/> <iq id='1'><q xmlns='urn:q'/></iq>").unwrap();
        assert_eq!(both.len(), 2);
        let iq = Node::parse(&both[1], "").unwrap();
        assert!(iq.is(ns::CLIENT, "iq"));
        assert!(iq.child("urn:q", "q").is_some());
        assert!(standalone(b"<presence/> and more").is_err());
        assert!(standalone(b"<presence>").is_err());
    }
}
