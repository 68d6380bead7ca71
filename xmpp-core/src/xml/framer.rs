//! Cuts a stream into its top-level parts, resumable at any byte.
//!
//! The framer knows just enough XML to find where an element ends: tags, quotes and CDATA sections. What it
//! cuts out is judged by [`Element::check`](super::Element::check), which takes nothing on trust. Only limits and
//! what XMPP forbids outright are refused here, at the very byte, so that nothing of the kind piles up in memory.

use super::{
    Limits, XmlError,
    chars::{ends_name, is_space},
    limit,
    limit::Tally,
};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use smallvec::SmallVec;
use std::fmt;

/// One part of a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// The start tag of the stream, with the XML declaration before it, if any, cut off.
    Header(Bytes),
    /// A complete element at depth 1, unchecked but for its end.
    Element(Bytes),
    /// The end tag of the stream.
    Footer,
    /// White space between elements: a sign of life, its bytes dropped.
    Whitespace,
}

impl fmt::Debug for Frame {
    /// Without content: what people write to each other, and passwords, do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(raw) => write!(f, "Header({} bytes)", raw.len()),
            Self::Element(raw) => write!(f, "Element({} bytes)", raw.len()),
            Self::Footer => f.write_str("Footer"),
            Self::Whitespace => f.write_str("Whitespace"),
        }
    }
}

/// Finds frames in a read buffer without copying and without scanning a byte twice.
///
/// The part of the buffer that stays behind between calls never needs to grow over [`Limits::bytes`].
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    /// Bytes at the front of the buffer that are scanned: the part of the frame that is there.
    at: usize,
    /// Depth that stanzas have: 1 below a stream header, 0 in a document.
    base: u32,
    /// Open elements, the stream among them.
    depth: u32,
    tally: Tally,
    /// The name of the stream's element, for its end tag.
    root: SmallVec<[u8; 16]>,
    /// No byte was seen yet, so an XML declaration may come.
    fresh: bool,
    /// The root element is closed.
    done: bool,
    failed: Option<XmlError>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Character data, or white space between frames.
    Content,
    /// After `<`.
    Open,
    /// After `<?` and this many letters of `xml`.
    Instruction(u8),
    /// In the XML declaration.
    Declaration,
    /// After `<!` and this many bytes of `[CDATA[`.
    Bang(u8),
    /// In a CDATA section, after this many bytes of `]]>`.
    Cdata(u8),
    /// In the name of a start tag, which begins here.
    StartName(usize),
    /// In a start tag, between attributes or around their `=`.
    Tag,
    /// In the name of an attribute, which begins here.
    AttributeName(usize),
    /// In an attribute value between such quotes.
    Value(u8),
    /// After `/` in a start tag.
    Slash,
    /// In the name of an end tag, which begins here.
    EndName(usize),
    /// In an end tag after its name, which stands here.
    EndTag(usize, usize),
}

/// What ends with the byte just taken.
enum Cut {
    Declaration,
    Header,
    Element,
    Footer,
}

impl Framer {
    /// For a fresh stream: the first frame is a header.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Content,
            at: 0,
            base: 1,
            depth: 0,
            tally: Tally::default(),
            root: SmallVec::new(),
            fresh: true,
            done: false,
            failed: None,
        }
    }
    /// For one self-contained element such as a BOSH body: no header, [`Frame::Element`] at the root, an XML
    /// declaration before it cut off. White space around it is dropped without a frame. Whatever else follows
    /// it is an error, so at the end of the input the buffer must be empty and one element seen.
    pub fn document(limits: Limits) -> Self {
        Self { base: 0, ..Self::new(limits) }
    }
    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
    /// The next frame at the front of `buffer`, split off; `None` when more bytes are needed. Call again
    /// until `None`, and between calls only append to the buffer. After an error the stream is lost, and the
    /// same error comes again.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, XmlError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.scan(buffer);
        self.failed = result.as_ref().err().copied();
        result
    }

    fn scan(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, XmlError> {
        loop {
            if self.state == State::Content && self.depth <= self.base && self.between(buffer) {
                return Ok(Some(Frame::Whitespace));
            }
            // Nothing past the limit is looked at: an element still open there is too large.
            let bytes = &buffer[..buffer.len().min(self.limits.bytes)];
            let cut = loop {
                if self.at >= bytes.len() {
                    return if self.at < self.limits.bytes {
                        Ok(None)
                    } else {
                        Err(limit::TOO_LARGE)
                    };
                }
                if let Some(cut) = self.step(bytes)? {
                    break cut;
                }
            };
            let frame = buffer.split_to(std::mem::take(&mut self.at));
            self.state = State::Content;
            self.fresh = false;
            self.tally = Tally::default();
            match cut {
                Cut::Declaration => declaration(&frame)?,
                Cut::Header => return Ok(Some(Frame::Header(frame.freeze()))),
                Cut::Element => return Ok(Some(Frame::Element(frame.freeze()))),
                Cut::Footer => return Ok(Some(Frame::Footer)),
            }
        }
    }

    /// Drops white space outside top-level elements; whether it was a sign of life between two.
    fn between(&mut self, buffer: &mut BytesMut) -> bool {
        let spaces = buffer.iter().take_while(|b| is_space(**b)).count();
        if spaces == 0 {
            return false;
        }
        buffer.advance(spaces);
        self.fresh = false;
        self.depth == 1
    }

    /// Takes the next byte, or a run of bytes of which only the last matters.
    fn step(&mut self, bytes: &[u8]) -> Result<Option<Cut>, XmlError> {
        let byte = bytes[self.at];
        match self.state {
            State::Content if self.depth > self.base => {
                if self.skip_to(b'<', bytes) {
                    self.state = State::Open;
                }
                return Ok(None);
            }
            State::Content if byte == b'<' && !self.done => self.state = State::Open,
            State::Content => return Err(self.stray(byte)),
            State::Open => match byte {
                b'/' if self.depth == 0 => {
                    return Err(XmlError::NotWellFormed("an end tag without a start tag"));
                }
                b'/' => self.state = State::EndName(self.at + 1),
                b'!' => self.state = State::Bang(0),
                b'?' => self.state = State::Instruction(0),
                0 => return Err(XmlError::Encoding), // UTF-16, little end first
                _ => {
                    // level 0 is the stream header
                    self.tally.element(self.depth + 1 - self.base, &self.limits)?;
                    self.state = State::StartName(self.at);
                    return Ok(None);
                }
            },
            State::StartName(start) => {
                if let Some(name) = self.name(start, bytes)? {
                    if self.depth == 0 {
                        self.root = SmallVec::from_slice(name);
                    }
                    self.state = State::Tag;
                }
                return Ok(None);
            }
            State::Tag => match byte {
                b'>' => {
                    self.depth += 1;
                    self.state = State::Content;
                    self.at += 1;
                    return Ok((self.depth == self.base).then_some(Cut::Header));
                }
                b'/' => self.state = State::Slash,
                b'"' | b'\'' => self.state = State::Value(byte),
                b'=' | b' ' | b'\t' | b'\r' | b'\n' => {}
                b'<' => return Err(XmlError::NotWellFormed("a tag in a tag")),
                _ => {
                    self.state = State::AttributeName(self.at);
                    return Ok(None);
                }
            },
            State::AttributeName(start) => {
                if let Some(name) = self.name(start, bytes)? {
                    self.tally.attribute(name, &self.limits)?;
                    self.state = State::Tag;
                    // as nearly everybody writes it: no byte of it needs a look of its own
                    if let [b'=', quote @ (b'"' | b'\''), ..] = bytes[self.at..] {
                        self.at += 2;
                        self.state = State::Value(quote);
                    }
                }
                return Ok(None);
            }
            State::Value(quote) => {
                if self.skip_to(quote, bytes) {
                    self.state = State::Tag;
                }
                return Ok(None);
            }
            State::Slash if byte != b'>' => {
                return Err(XmlError::NotWellFormed("a slash inside a tag"));
            }
            State::Slash if self.depth < self.base => {
                return Err(XmlError::BadFormat("a stream header closed at once"));
            }
            State::Slash => {
                self.at += 1;
                return Ok(self.closed());
            }
            State::EndName(start) => {
                if self.name(start, bytes)?.is_some() {
                    self.state = State::EndTag(start, self.at);
                }
                return Ok(None);
            }
            State::EndTag(..) if is_space(byte) => {}
            State::EndTag(start, end) if byte == b'>' => {
                if self.depth == 1 && self.base == 1 && bytes[start..end] != *self.root {
                    return Err(XmlError::NotWellFormed("an end tag of another name"));
                }
                self.depth -= 1;
                self.at += 1;
                return Ok(self.closed());
            }
            State::EndTag(..) => {
                return Err(XmlError::NotWellFormed("more than a name in an end tag"));
            }
            State::Bang(n) if b"[CDATA["[usize::from(n)] == byte => {
                if self.depth <= self.base {
                    return Err(self.stray(byte));
                }
                self.state = if n == 6 { State::Cdata(0) } else { State::Bang(n + 1) };
            }
            State::Bang(_) => return Err(XmlError::Restricted("a comment or a DTD")),
            State::Cdata(2) if byte == b'>' => self.state = State::Content,
            State::Cdata(2) if byte == b']' => {}
            State::Cdata(n) if byte == b']' => self.state = State::Cdata(n + 1),
            State::Cdata(_) => {
                // only the bracket found counts, so that it is looked at only once
                let found = self.skip_to(b']', bytes);
                self.state = State::Cdata(u8::from(found));
                return Ok(None);
            }
            State::Instruction(3) if is_space(byte) && self.fresh && self.depth == 0 => {
                self.state = State::Declaration;
            }
            State::Instruction(3) if is_space(byte) || byte == b'?' => {
                return Err(XmlError::NotWellFormed("an XML declaration not at the start"));
            }
            State::Instruction(n) if b"xml".get(usize::from(n)) == Some(&byte) => {
                self.state = State::Instruction(n + 1);
            }
            State::Instruction(_) => return Err(XmlError::Restricted("a processing instruction")),
            State::Declaration => {
                return Ok(self.skip_to(b'>', bytes).then_some(Cut::Declaration));
            }
        }
        self.at += 1;
        Ok(None)
    }

    /// An element is closed: the stream, a top-level element, or one inside.
    fn closed(&mut self) -> Option<Cut> {
        self.state = State::Content;
        self.done = self.depth == 0;
        if self.depth < self.base {
            Some(Cut::Footer)
        } else {
            (self.depth == self.base).then_some(Cut::Element)
        }
    }

    /// Goes on behind the next `wanted`, or to the end; whether it was found.
    fn skip_to(&mut self, wanted: u8, bytes: &[u8]) -> bool {
        let found = memchr(wanted, &bytes[self.at..]);
        self.at = found.map_or(bytes.len(), |n| self.at + n + 1);
        found.is_some()
    }

    /// Goes on to the end of the name that begins at `start`; the name, if its end is there.
    fn name<'a>(&mut self, start: usize, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, XmlError> {
        let end = bytes[self.at..].iter().position(|b| ends_name(*b)).map(|n| self.at + n);
        self.at = end.unwrap_or(bytes.len());
        limit::name(self.at - start, &self.limits)?;
        match end {
            Some(end) if end == start => Err(XmlError::NotWellFormed("a tag without a name")),
            _ => Ok(end.map(|end| &bytes[start..end])),
        }
    }

    /// Why this byte cannot stand between frames.
    fn stray(&self, byte: u8) -> XmlError {
        if self.done {
            XmlError::NotWellFormed("more after the end")
        } else if self.fresh && matches!(byte, 0 | 0xFE | 0xFF) {
            XmlError::Encoding // UTF-16 or UTF-32
        } else if self.depth == 0 {
            // a byte order mark too: here it is a character like any other (RFC 6120 11.6)
            XmlError::NotWellFormed("text before the first tag")
        } else if byte == b'&' {
            XmlError::Restricted("a reference between stanzas")
        } else {
            XmlError::BadFormat("text between stanzas")
        }
    }
}

/// Judges an XML declaration, of which only the version and the encoding matter (RFC 6120 11.5, 11.6, 11.8).
/// `standalone` is ignored as 11.5 allows.
fn declaration(raw: &[u8]) -> Result<(), XmlError> {
    const BAD: XmlError = XmlError::NotWellFormed("a malformed XML declaration");
    let text = str::from_utf8(raw).map_err(|_| XmlError::Encoding)?;
    let mut rest = text.strip_prefix("<?xml").and_then(|t| t.strip_suffix("?>")).ok_or(BAD)?;
    // XML 1.0 2.8: these names in this order, the first required
    for (name, required) in [("version", true), ("encoding", false), ("standalone", false)] {
        let spaced = rest.trim_start_matches(XML_SPACE);
        let Some(after) = spaced.strip_prefix(name) else {
            if required {
                return Err(BAD);
            }
            continue;
        };
        if spaced.len() == rest.len() {
            return Err(BAD);
        }
        let after = after.trim_start_matches(XML_SPACE).strip_prefix('=').ok_or(BAD)?;
        let after = after.trim_start_matches(XML_SPACE);
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(BAD)?;
        let (value, after) = after[1..].split_once(quote).ok_or(BAD)?;
        match name {
            "version" if value != "1.0" => return Err(XmlError::NotWellFormed("not XML 1.0")),
            "encoding" if !value.eq_ignore_ascii_case("utf-8") => return Err(XmlError::Encoding),
            "standalone" if !matches!(value, "yes" | "no") => return Err(BAD),
            _ => rest = after,
        }
    }
    if rest.trim_start_matches(XML_SPACE).is_empty() { Ok(()) } else { Err(BAD) }
}

/// White space (XML 1.0 2.3).
const XML_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
