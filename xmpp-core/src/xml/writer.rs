//! Writes the server's own elements: escaped, balanced, into one buffer.

use super::chars::is_unsafe;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::fmt;

/// Appends `text` with `&`, `<`, `>`, `'`, `"`, tab and line ends escaped, fit for text and attributes alike:
/// every parser reads the same text back, whatever it does to white space. A character that XML 1.0 cannot
/// carry at all (2.2: other control characters, U+FFFE, U+FFFF) becomes U+FFFD.
pub fn escape_into(text: &str, out: &mut BytesMut) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    let mut at = 0;
    while let Some(n) = bytes[at..].iter().position(|b| is_unsafe(*b)) {
        at += n;
        let (replacement, width) = match bytes[at] {
            b'&' => ("&amp;", 1),
            b'<' => ("&lt;", 1),
            b'>' => ("&gt;", 1),
            b'\'' => ("&apos;", 1),
            b'"' => ("&quot;", 1),
            b'\t' => ("&#9;", 1),
            b'\n' => ("&#10;", 1),
            b'\r' => ("&#13;", 1),
            0..0x20 => ("\u{FFFD}", 1),
            _ if matches!(bytes[at..], [0xEF, 0xBF, 0xBE | 0xBF, ..]) => ("\u{FFFD}", 3),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(replacement.as_bytes());
        at += width;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Builds elements: `open`, `attr`, then `text`, `raw` or further `open`, and `close`.
#[derive(Default)]
pub struct Writer {
    out: BytesMut,
    open: SmallVec<[&'static str; 8]>,
    /// The start tag of the innermost element still lacks its `>`.
    in_tag: bool,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }
    /// One that takes so many bytes without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: BytesMut::with_capacity(bytes), ..Self::default() }
    }
    /// Opens an element.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.end_tag();
        self.put(&["<", name]);
        self.open.push(name);
        self.in_tag = true;
        self
    }
    /// Opens an element with an `xmlns` of its own.
    pub fn open_ns(&mut self, name: &'static str, ns: &str) -> &mut Self {
        self.open(name).attr("xmlns", ns)
    }
    /// An attribute of the element just opened.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "attributes come before content");
        self.put(&[" ", name, "='"]);
        escape_into(value, &mut self.out);
        self.put(&["'"])
    }
    /// An attribute where there is a value.
    pub fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value { self.attr(name, value) } else { self }
    }
    /// Character data, escaped.
    pub fn text(&mut self, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.end_tag();
            escape_into(text, &mut self.out);
        }
        self
    }
    /// Bytes that are well-formed already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        if !bytes.is_empty() {
            self.end_tag();
            self.out.extend_from_slice(bytes);
        }
        self
    }
    /// Closes the innermost open element.
    pub fn close(&mut self) -> &mut Self {
        debug_assert!(!self.open.is_empty(), "close without open");
        match self.open.pop() {
            Some(_) if self.in_tag => {
                self.in_tag = false;
                self.put(&["/>"])
            }
            Some(name) => self.put(&["</", name, ">"]),
            None => self,
        }
    }
    /// All that was written, with what is still open closed.
    pub fn finish(mut self) -> Bytes {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.freeze()
    }

    fn end_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.put(&[">"]);
        }
    }

    fn put(&mut self, parts: &[&str]) -> &mut Self {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} bytes, open: {:?})", self.out.len(), self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = BytesMut::new();
        escape_into(text, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn what_parsers_would_change_is_escaped() {
        assert_eq!(escaped("a&b<c>d'e\"f"), "a&amp;b&lt;c&gt;d&apos;e&quot;f");
        assert_eq!(escaped("\t\r\n"), "&#9;&#13;&#10;");
        assert_eq!(escaped("]]>"), "]]&gt;");
        assert_eq!(escaped("žluťoučký 🥰"), "žluťoučký 🥰");
    }

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        assert_eq!(escaped("a\0b\u{1b}c"), "a\u{FFFD}b\u{FFFD}c");
        assert_eq!(escaped("\u{FFFE}x\u{FFFF}"), "\u{FFFD}x\u{FFFD}");
        assert_eq!(escaped("\u{FFFD}\u{FEFF}\u{7f}"), "\u{FFFD}\u{FEFF}\u{7f}");
    }

    #[test]
    fn elements_nest_and_close() {
        let mut w = Writer::new();
        w.open_ns("query", "a'b").attr("ver", "").maybe("none", None).maybe("some", Some("1"));
        w.open("item").close().open("item").text("x<y").close().open("e").text("").close();
        w.raw(b"<raw/>").close();
        assert_eq!(
            w.finish(),
            "<query xmlns='a&apos;b' ver='' some='1'><item/><item>x&lt;y</item><e/><raw/></query>"
        );
    }

    #[test]
    fn what_is_open_at_the_end_is_closed() {
        let mut w = Writer::new();
        w.open("a").open("b");
        assert_eq!(w.finish(), "<a><b/></a>");
    }
}
