//! Writes the server's own elements: escaped, balanced, into one buffer.

use bytes::{Bytes, BytesMut};

/// Appends `text` with `&`, `<`, `>`, `'`, `"`, tab and line ends escaped, fit for text and attributes alike.
pub fn escape_into(_text: &str, _out: &mut BytesMut) {
    todo!()
}

/// Builds elements: `open`, `attr`, then `text`, `raw` or further `open`, and `close`.
#[derive(Debug, Default)]
pub struct Writer {
    _out: BytesMut,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }
    /// Opens an element.
    pub fn open(&mut self, _name: &'static str) -> &mut Self {
        todo!()
    }
    /// Opens an element with an `xmlns` of its own.
    pub fn open_ns(&mut self, _name: &'static str, _ns: &str) -> &mut Self {
        todo!()
    }
    /// An attribute of the element just opened.
    pub fn attr(&mut self, _name: &str, _value: &str) -> &mut Self {
        todo!()
    }
    /// An attribute where there is a value.
    pub fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value { self.attr(name, value) } else { self }
    }
    /// Character data, escaped.
    pub fn text(&mut self, _text: &str) -> &mut Self {
        todo!()
    }
    /// Bytes that are well-formed already.
    pub fn raw(&mut self, _bytes: &[u8]) -> &mut Self {
        todo!()
    }
    /// Closes the innermost open element.
    pub fn close(&mut self) -> &mut Self {
        todo!()
    }
    /// All that was written; every open element is closed.
    pub fn finish(self) -> Bytes {
        todo!()
    }
}
