//! Characters, names and references of XML 1.0, and what parsers make of them.

use super::{XmlError, names, text::Span};
use memchr::memchr_iter;
use std::borrow::Cow;

/// What the five entities stand for, and nothing else does (RFC 6120 11.1).
const ENTITIES: [(&str, char); 5] =
    [("lt", '<'), ("gt", '>'), ("amp", '&'), ("apos", '\''), ("quot", '"')];

/// Digits of a character reference. U+10FFFF takes 7; XML allows any number of zeros before them, and there
/// parsers part ways.
const REFERENCE_DIGITS_MAX: usize = 8;

/// White space (XML 1.0 2.3).
const SPACE: u8 = 1;
/// ASCII of `NameStartChar` but for the colon.
const NAME_START: u8 = 2;
/// ASCII of `NameChar` but for the colon.
const NAME: u8 = 4;
/// What a name in a tag ends at.
const NAME_END: u8 = 8;
/// What URIs consist of (RFC 3986 2).
const URI: u8 = 16;
/// What parsers would change or refuse in a text or a value, or may, going by the first byte alone.
const UNSAFE: u8 = 32;
/// What has to be looked at in an attribute's value.
const RUN_END: u8 = 64;

/// What each byte is good for: every byte of every tag is looked up here.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0_u8;
    loop {
        let space = matches!(at, b' ' | b'\t' | b'\r' | b'\n');
        let start = at.is_ascii_alphabetic() || at == b'_';
        let name = start || at.is_ascii_digit() || matches!(at, b'-' | b'.');
        let end = space || matches!(at, b'>' | b'/' | b'=' | b'"' | b'\'' | b'<');
        let uri = at.is_ascii_alphanumeric()
            || matches!(
                at,
                b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'/' | b'?' | b'#' | b'[' | b']'
            )
            || matches!(
                at,
                b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            );
        let unsafe_ = at < b' ' || matches!(at, b'&' | b'<' | b'>' | b'\'' | b'"' | 0xEF);
        let run_end = matches!(at, b'&' | b'<' | b'\'' | b'"' | b'\r');
        classes[at as usize] = (unsafe_ as u8) * UNSAFE
            + (run_end as u8) * RUN_END
            + (space as u8) * SPACE
            + (start as u8) * NAME_START
            + (name as u8) * NAME
            + (end as u8) * NAME_END
            + (uri as u8) * URI;
        if at == 255 {
            break classes;
        }
        at += 1;
    }
};

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// White space (XML 1.0 2.3).
pub(super) fn is_space(byte: u8) -> bool {
    is(byte, SPACE)
}

/// Whether a name in a tag has ended before this byte.
pub(super) fn ends_name(byte: u8) -> bool {
    is(byte, NAME_END)
}

/// Whether the checker has to look at this byte of an attribute's value.
pub(super) fn ends_run(byte: u8) -> bool {
    is(byte, RUN_END)
}

/// Whether the writer has to look at this byte.
pub(super) fn is_unsafe(byte: u8) -> bool {
    is(byte, UNSAFE)
}

/// Whether a namespace has nothing in it but what URIs consist of (Namespaces in XML 1.0 2.1, RFC 3986 2).
pub(crate) fn is_uri(ns: &[u8]) -> bool {
    ns.iter().all(|b| is(*b, URI))
}

/// Whether XML can carry the text: `Char` (XML 1.0 2.2).
pub(super) fn all_chars(text: &str) -> bool {
    let bytes = text.as_bytes();
    // without a branch or a look-up, so that the compiler makes vectors of it
    let control = |b: u8| (b < b' ') & (b != b'\t') & (b != b'\n') & (b != b'\r');
    let controls = bytes.iter().fold(false, |bad, b| bad | control(*b));
    // U+FFFE and U+FFFF are the only other scalar values left out
    !controls && !memchr_iter(0xEF, bytes).any(|n| matches!(bytes[n..], [_, 0xBF, 0xBE | 0xBF, ..]))
}

/// A name with or without a prefix, by byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QName {
    /// The whole name.
    pub(crate) full: Span,
    /// The part after the colon, or the whole.
    pub(crate) local: Span,
}

impl QName {
    /// Reads the name at this offset (`QName`, Namespaces in XML 1.0 4).
    pub(super) fn read(text: &str, start: usize) -> Result<Self, XmlError> {
        let first = ncname(text, start)?;
        let (local, end) = if text.as_bytes().get(first) == Some(&b':') {
            (first + 1, ncname(text, first + 1)?)
        } else {
            (start, first)
        };
        Ok(Self { full: Span::new(start, end), local: Span::new(local, end) })
    }
    /// The prefix, empty where there is none.
    pub(super) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        let colon = self.local.start.saturating_sub(1).max(self.full.start);
        &text[self.full.start as usize..colon as usize]
    }
    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.full.end as usize
    }
}

/// The end of the name without colon at this offset.
fn ncname(text: &str, start: usize) -> Result<usize, XmlError> {
    let bytes = text.as_bytes();
    let mut at = start;
    loop {
        if bytes.get(at).is_some_and(|b| is(*b, if at == start { NAME_START } else { NAME })) {
            at += 1;
            at += bytes[at..].iter().take_while(|b| is(**b, NAME)).count();
        }
        if bytes.get(at).is_none_or(u8::is_ascii) {
            break;
        }
        let char = text[at..].chars().next().expect("there is a byte");
        if !(names::is_letter(char) || (at > start && names::is_mark(char))) {
            return Err(XmlError::NotWellFormed("a character not allowed in a name"));
        }
        at += char.len_utf8();
    }
    if at == start { Err(XmlError::NotWellFormed("a malformed name")) } else { Ok(at) }
}

/// The character that the reference at this `&` stands for, and the offset after it (XML 1.0 4.1).
pub(super) fn reference(text: &str, start: usize) -> Result<(char, usize), XmlError> {
    const BAD: XmlError = XmlError::NotWellFormed("a malformed reference");
    let name_at = start + 1;
    let (char, end) = if text[name_at..].starts_with('#') {
        let (radix, digits_at) = if text[name_at + 1..].starts_with('x') {
            (16, name_at + 2)
        } else {
            (10, name_at + 1)
        };
        let digits = text[digits_at..].bytes().take_while(|b| char::from(*b).is_digit(radix));
        let end = digits_at + digits.count();
        if end == digits_at {
            return Err(BAD);
        } else if end > digits_at + REFERENCE_DIGITS_MAX {
            return Err(XmlError::Limit("a reference too long"));
        }
        let value = u32::from_str_radix(&text[digits_at..end], radix).ok();
        let char = value.and_then(char::from_u32).filter(|c| all_chars(c.encode_utf8(&mut [0; 4])));
        (char.ok_or(XmlError::NotWellFormed("a reference to no character"))?, end)
    } else {
        let end = ncname(text, name_at).map_err(|_| BAD)?;
        let entity = ENTITIES.iter().find(|(name, _)| *name == &text[name_at..end]);
        let unknown = || match text.as_bytes().get(end) {
            Some(b';') => XmlError::Restricted("an entity other than the five"),
            _ => BAD,
        };
        (entity.ok_or_else(unknown)?.1, end)
    };
    if text.as_bytes().get(end) == Some(&b';') { Ok((char, end + 1)) } else { Err(BAD) }
}

/// An attribute value as parsers give it (XML 1.0 3.3.3), from a checked one.
pub(super) fn decode_value(raw: &str) -> Cow<'_, str> {
    decode(raw, |byte| matches!(byte, b'&' | b'\t' | b'\r' | b'\n'), ' ')
}

/// Appends character data as parsers give it, from checked bytes between two tags.
pub(super) fn decode_text(mut raw: &str, out: &mut String) {
    while let Some(start) = raw.find("<![CDATA[") {
        out.push_str(&decode(&raw[..start], |byte| matches!(byte, b'&' | b'\r'), '\n'));
        raw = &raw[start + 9..];
        let end = raw.find("]]>").expect("checked: the section ends");
        out.push_str(&decode(&raw[..end], |byte| byte == b'\r', '\n'));
        raw = &raw[end + 3..];
    }
    out.push_str(&decode(raw, |byte| matches!(byte, b'&' | b'\r'), '\n'));
}

/// Replaces references by their characters, and every other `special` byte by `space`: a pair of carriage
/// return and line feed by one (XML 1.0 2.11).
fn decode(raw: &str, special: impl Fn(u8) -> bool, space: char) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    let next = |from: usize| bytes[from..].iter().position(|b| special(*b)).map(|n| from + n);
    let Some(mut at) = next(0) else { return Cow::Borrowed(raw) };
    let mut out = String::with_capacity(raw.len());
    let mut copied = 0;
    loop {
        out.push_str(&raw[copied..at]);
        copied = if bytes[at] == b'&' {
            let (char, end) = reference(raw, at).expect("checked: a reference");
            out.push(char);
            end
        } else {
            out.push(space);
            at + if bytes[at..].starts_with(b"\r\n") { 2 } else { 1 }
        };
        match next(copied) {
            Some(n) => at = n,
            None => break,
        }
    }
    out.push_str(&raw[copied..]);
    Cow::Owned(out)
}
