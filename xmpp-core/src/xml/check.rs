//! The strict pass over complete bytes: well-formed XML 1.0 with namespaces, less what RFC 6120 11.1 forbids.
//!
//! It never recurses, and its work grows with the bytes alone: prefixes and attributes are looked up among as
//! many as [`Limits`] allows.

use super::{
    Limits, Scope, XmlError,
    chars::{self, QName, is_space},
    limit::{self, Tally},
    text::{Span, Text},
};
use crate::ns;
use memchr::{memchr3, memmem};
use smallvec::SmallVec;
use std::mem;

/// Index of a namespace in [`Parsed::namespaces`].
pub(crate) type NsId = u32;
/// No namespace.
pub(crate) const NONE: NsId = 0;
/// The namespace of the prefix `xml`.
const XML: NsId = 1;

/// Attributes that are compared each with each; more are sorted, so that the work grows with the bytes alone.
const FEW: usize = 6;

/// What the pass found out, all as offsets into the checked bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parsed {
    /// The root's name; empty for content without a root.
    pub(crate) name: QName,
    /// The root's namespace.
    pub(crate) ns: NsId,
    pub(crate) namespaces: SmallVec<[Text; 6]>,
    /// The root's attributes.
    pub(crate) attributes: Attrs,
    /// The prefixes that the root declares, and its default namespace under an empty name.
    pub(crate) declarations: SmallVec<[Declaration; 2]>,
    /// The root's direct children.
    pub(crate) children: SmallVec<[ChildAt; 4]>,
    /// Prefixes taken from outside, first the root's own, then those of each child in turn.
    pub(crate) uses: SmallVec<[Use; 2]>,
    /// What stands between the root's tags.
    pub(crate) inner: Span,
    /// The default namespace outside the root.
    pub(crate) outer_default: NsId,
    /// Whether the root or anything in it takes the default namespace from outside.
    pub(crate) takes_default: bool,
    /// Whether an element of the streams namespace stands anywhere inside.
    pub(crate) holds_stream: bool,
    /// Whether a namespace is declared that is no URI.
    pub(crate) odd_namespace: bool,
}

impl Parsed {
    /// The default namespace between the root's tags.
    pub(crate) fn inner_default(&self) -> NsId {
        let own = self.declarations.iter().find(|d| d.prefix == Span::default());
        own.map_or(self.outer_default, |d| d.ns)
    }
}

type Attrs = SmallVec<[Attr; 6]>;

#[derive(Debug, Clone)]
pub(crate) struct Attr {
    pub(crate) name: QName,
    pub(crate) ns: NsId,
    /// The value between its quotes, not decoded.
    pub(crate) value: Span,
}

#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    /// The declared prefix, empty for the default namespace.
    pub(crate) prefix: Span,
    /// The attribute as it stands.
    pub(crate) whole: Span,
    pub(crate) ns: NsId,
}

#[derive(Debug, Clone)]
pub(crate) struct ChildAt {
    pub(crate) ns: NsId,
    pub(crate) name: QName,
    pub(crate) span: Span,
    /// What it takes from outside itself, of [`Parsed::uses`].
    pub(crate) uses: Span,
    pub(crate) takes_default: bool,
}

/// A prefix that is taken from outside.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) prefix: Text,
    pub(crate) ns: NsId,
    /// It comes from outside the root, and no `Use` before this one tells it.
    pub(crate) outer: bool,
}

/// Checks one whole element.
pub(crate) fn element(raw: &[u8], scope: &Scope, limits: &Limits) -> Result<Box<Parsed>, XmlError> {
    let mut pass = Pass::new(characters(raw, limits)?, scope, limits);
    if raw.first() != Some(&b'<') {
        return Err(XmlError::NotWellFormed("text before the element"));
    }
    pass.start_tag(1)?;
    pass.content()?;
    pass.finish()?;
    Ok(pass.parsed)
}

/// Checks a start tag that is not closed, with nothing before or after.
pub(crate) fn header(raw: &[u8], limits: &Limits) -> Result<Box<Parsed>, XmlError> {
    let nothing = Scope::default();
    let mut pass = Pass::new(characters(raw, limits)?, &nothing, limits);
    if raw.first() != Some(&b'<') {
        return Err(XmlError::NotWellFormed("text before the stream header"));
    }
    pass.start_tag(1)?;
    if pass.open.is_empty() || pass.at < raw.len() {
        return Err(XmlError::NotWellFormed("more than a stream header"));
    }
    Ok(pass.parsed)
}

/// Checks what may stand inside an element: any number of elements, and text.
pub(crate) fn content(raw: &[u8], scope: &Scope, limits: &Limits) -> Result<Box<Parsed>, XmlError> {
    let mut pass = Pass::new(characters(raw, limits)?, scope, limits);
    pass.enter_root();
    pass.open.push(Open { name: Span::default(), bindings: pass.bindings.len() });
    pass.content()?;
    pass.open.pop();
    pass.parsed.inner = Span::new(0, raw.len());
    pass.finish()?;
    Ok(pass.parsed)
}

/// The bytes as text of characters that XML can carry.
fn characters<'a>(raw: &'a [u8], limits: &Limits) -> Result<&'a str, XmlError> {
    limit::bytes(raw.len(), limits)?;
    // Bytes that are not UTF-8 must not reach the tokenizer: where a character ends would be open to doubt.
    let text = str::from_utf8(raw).map_err(|_| XmlError::Encoding)?;
    if chars::all_chars(text) {
        Ok(text)
    } else {
        Err(XmlError::NotWellFormed("a character that XML cannot carry"))
    }
}

/// A prefix in scope.
struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    ns: NsId,
    /// The part (see [`Pass::part`]) that used it last.
    used_in: u32,
}

/// An element whose end tag has not come.
struct Open {
    name: Span,
    /// How many bindings there were before it.
    bindings: usize,
}

struct Pass<'a> {
    text: &'a str,
    limits: &'a Limits,
    tally: Tally,
    /// Where the pass stands.
    at: usize,
    bindings: SmallVec<[Binding<'a>; 12]>,
    open: SmallVec<[Open; 16]>,
    /// Attributes of the tag at hand.
    attributes: Attrs,
    /// Bindings from outside the root.
    outer: usize,
    /// Bindings from outside the part at hand: those of the root too, once its start tag is over.
    outside: usize,
    /// 1 in the root's start tag, then one more with each child.
    part: u32,
    /// Whether the part at hand takes the default namespace from outside.
    takes_default: bool,
    /// Bytes of the declarations that children repeat when each is cut out.
    repeated: usize,
    /// Namespaces that are the streams namespace.
    streams: SmallVec<[NsId; 2]>,
    parsed: Box<Parsed>,
}

impl<'a> Pass<'a> {
    fn new(text: &'a str, scope: &'a Scope, limits: &'a Limits) -> Self {
        let mut pass = Self {
            text,
            limits,
            tally: Tally::default(),
            at: 0,
            bindings: SmallVec::new(),
            open: SmallVec::new(),
            attributes: SmallVec::new(),
            outer: 0,
            outside: 0,
            part: 1,
            takes_default: false,
            repeated: 0,
            streams: SmallVec::new(),
            parsed: Box::default(),
        };
        pass.parsed.namespaces.push(Text::Known("")); // NONE
        pass.parsed.namespaces.push(Text::Known(ns::XML)); // XML
        if !scope.default.is_empty() {
            pass.parsed.outer_default = pass.namespace(Text::copy(&scope.default));
            pass.bind("", pass.parsed.outer_default);
        }
        for (prefix, ns) in &scope.prefixes {
            let ns = pass.namespace(Text::copy(ns));
            pass.bind(prefix, ns);
        }
        pass.outer = pass.bindings.len();
        pass.outside = pass.outer;
        pass
    }

    /// Takes everything up to the end of the root.
    fn content(&mut self) -> Result<(), XmlError> {
        let bytes = self.text.as_bytes();
        while !self.open.is_empty() && self.at < bytes.len() {
            self.characters()?;
            let Some(tag) = bytes.get(self.at..).filter(|rest| !rest.is_empty()) else { break };
            match tag {
                [b'<', b'/', ..] => self.end_tag()?,
                [b'<', b'!', ..] => self.cdata()?,
                [b'<', b'?', rest @ ..] => {
                    return Err(match rest {
                        [b'x', b'm', b'l', b'?' | b' ' | b'\t' | b'\r' | b'\n', ..] => {
                            XmlError::NotWellFormed("an XML declaration after the start")
                        }
                        _ => XmlError::Restricted("a processing instruction"),
                    });
                }
                _ => {
                    self.at += 1;
                    self.start_tag(self.at)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), XmlError> {
        if !self.open.is_empty() {
            Err(XmlError::NotWellFormed("an element without its end"))
        } else if self.at < self.text.len() {
            Err(XmlError::NotWellFormed("more than one element"))
        } else {
            Ok(())
        }
    }

    /// Takes character data up to the next `<` or the end.
    fn characters(&mut self) -> Result<(), XmlError> {
        let bytes = self.text.as_bytes();
        loop {
            let Some(n) = memchr3(b'<', b'&', b'>', &bytes[self.at..]) else {
                self.at = bytes.len();
                return Ok(());
            };
            let at = self.at + n;
            match bytes[at] {
                b'<' => {
                    self.at = at;
                    return Ok(());
                }
                b'&' => self.at = chars::reference(self.text, at)?.1,
                // XML 1.0 2.4; the brackets stand in this run of text, since `<`, `&` and tags end otherwise
                _ if bytes[self.at..at].ends_with(b"]]") => {
                    return Err(XmlError::NotWellFormed("the end of a CDATA section in text"));
                }
                _ => self.at = at + 1,
            }
        }
    }

    fn cdata(&mut self) -> Result<(), XmlError> {
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(b"<![CDATA[") {
            return Err(XmlError::Restricted("a comment or a DTD"));
        }
        match memmem::find(&rest[9..], b"]]>") {
            Some(n) => self.at += 9 + n + 3,
            None => return Err(XmlError::NotWellFormed("a CDATA section without its end")),
        }
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let start = self.at;
        let open = self.open.pop().expect("content ends with the root");
        let bytes = self.text.as_bytes();
        let name = &bytes[open.name.range()];
        self.at = start + 2 + name.len();
        let is_there = bytes[start + 2..].starts_with(name)
            && bytes.get(self.at).is_none_or(|b| chars::ends_name(*b));
        if !is_there {
            QName::read(self.text, start + 2)?;
            return Err(XmlError::NotWellFormed("an end tag of another name"));
        }
        self.spaces();
        if self.peek() != Some(b'>') {
            return Err(XmlError::NotWellFormed("an end tag without its end"));
        }
        self.at += 1;
        self.bindings.truncate(open.bindings);
        match self.open.len() {
            0 => self.parsed.inner.end = Span::new(0, start).end,
            1 => self.leave_child()?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the start tag whose name begins at `start`.
    fn start_tag(&mut self, start: usize) -> Result<(), XmlError> {
        let level = self.open.len();
        self.tally.element(u32::try_from(level + 1).unwrap_or(u32::MAX), self.limits)?;
        if level == 1 {
            self.part += 1;
            self.takes_default = false;
        }
        let name = QName::read(self.text, start)?;
        limit::name(name.end() - start, self.limits)?;
        self.at = name.end();
        let bindings = self.bindings.len();
        self.attributes.clear();
        let empty = self.attributes(level == 0)?;

        let uses = self.parsed.uses.len();
        let prefix = name.prefix(self.text);
        // Not matched with `""`: see `Element::attr_ns`.
        let ns = if prefix.is_empty() {
            self.default_namespace()
        } else if prefix == "xmlns" {
            return Err(XmlError::BadPrefix("the prefix xmlns"));
        } else {
            self.resolve(prefix)?
        };
        self.resolve_attributes()?;
        match level {
            0 => {
                self.parsed.name = name;
                self.parsed.ns = ns;
                self.parsed.attributes = mem::take(&mut self.attributes);
                self.parsed.inner = Span::new(self.at, self.at);
                self.enter_root();
            }
            1 => self.parsed.children.push(ChildAt {
                ns,
                name,
                span: Span::new(start - 1, self.at),
                uses: Span::new(uses, uses),
                takes_default: false,
            }),
            _ => {}
        }
        self.parsed.holds_stream |= level > 0 && self.streams.contains(&ns);
        if empty {
            self.bindings.truncate(bindings);
            match level {
                0 => self.parsed.inner = Span::new(self.at, self.at),
                1 => self.leave_child()?,
                _ => {}
            }
        } else {
            self.open.push(Open { name: name.full, bindings });
        }
        Ok(())
    }

    /// What follows stands inside the root.
    fn enter_root(&mut self) {
        self.outside = self.bindings.len();
    }

    fn leave_child(&mut self) -> Result<(), XmlError> {
        let child = self.parsed.children.last_mut().expect("it was entered");
        child.span = Span::new(child.span.start as usize, self.at);
        child.uses = Span::new(child.uses.start as usize, self.parsed.uses.len());
        child.takes_default = self.takes_default;
        if self.takes_default { self.repeat(0, self.parsed.inner_default()) } else { Ok(()) }
    }

    /// Counts a declaration that a part takes from outside. Cut out one by one, many short children of a parent with
    /// long declarations would come to a large multiple of its size: they may come to as much again as an element
    /// may have.
    fn repeat(&mut self, prefix: usize, ns: NsId) -> Result<(), XmlError> {
        let ns = self.parsed.namespaces[ns as usize].bytes(self.text.as_bytes());
        self.repeated += " xmlns:=''".len() + prefix + ns.len();
        if self.repeated > self.limits.bytes {
            return Err(XmlError::Limit("namespaces taken from outside too often"));
        }
        Ok(())
    }

    /// Takes the rest of a start tag; whether the element is empty.
    fn attributes(&mut self, root: bool) -> Result<bool, XmlError> {
        let first_binding = self.bindings.len();
        loop {
            let before = self.at;
            self.spaces();
            match self.peek() {
                Some(b'>') => {
                    self.at += 1;
                    return Ok(false);
                }
                Some(b'/') if self.text.as_bytes().get(self.at + 1) == Some(&b'>') => {
                    self.at += 2;
                    return Ok(true);
                }
                None => return Err(XmlError::NotWellFormed("a tag without its end")),
                Some(_) if self.at == before => {
                    return Err(XmlError::NotWellFormed("no space before an attribute"));
                }
                Some(_) => {}
            }
            let name = QName::read(self.text, self.at)?;
            let full = &self.text[name.full.range()];
            limit::name(full.len(), self.limits)?;
            self.tally.attribute(full.as_bytes(), self.limits)?;
            self.at = name.end();
            self.spaces();
            if self.peek() != Some(b'=') {
                return Err(XmlError::NotWellFormed("an attribute without a value"));
            }
            self.at += 1;
            self.spaces();
            let value = self.value()?;
            let whole = Span::new(name.full.start as usize, self.at);
            if full == "xmlns" {
                self.declare(Span::default(), value, whole, first_binding, root)?;
            } else if name.prefix(self.text) == "xmlns" {
                self.declare(name.local, value, whole, first_binding, root)?;
            } else {
                self.attributes.push(Attr { name, ns: NONE, value });
            }
        }
    }

    /// Takes a quoted value, and gives what is between the quotes.
    fn value(&mut self) -> Result<Span, XmlError> {
        let bytes = self.text.as_bytes();
        let Some(quote @ (b'"' | b'\'')) = self.peek() else {
            return Err(XmlError::NotWellFormed("an attribute value without quotes"));
        };
        let start = self.at + 1;
        self.at = start;
        loop {
            self.at += bytes[self.at..].iter().take_while(|b| !chars::ends_run(**b)).count();
            match bytes[self.at..] {
                [b'&', ..] => self.at = chars::reference(self.text, self.at)?.1,
                // Well-formed alone, too, but parsers stumble: rxml takes what follows for a line feed and throws it away
                // or refuses it, so that with one such stanza anybody could end the streams of its users.
                [b'\r', b'\n', ..] => self.at += 2,
                [b'\r', ..] => {
                    return Err(XmlError::Restricted("a lone carriage return in a value"));
                }
                [b'<', ..] => return Err(XmlError::NotWellFormed("a < in an attribute value")),
                [byte, ..] if byte == quote => {
                    self.at += 1;
                    return Ok(Span::new(start, self.at - 1));
                }
                [_, ..] => self.at += 1, // the other quote
                [] => return Err(XmlError::NotWellFormed("a value without its end")),
            }
        }
    }

    /// Takes a namespace declaration (Namespaces in XML 1.0 3); an empty `prefix` is the default namespace.
    fn declare(
        &mut self,
        prefix: Span,
        value: Span,
        whole: Span,
        first_binding: usize,
        root: bool,
    ) -> Result<(), XmlError> {
        let raw = &self.text[value.range()];
        let decoded = chars::decode_value(raw);
        let name = &self.text[prefix.range()];
        let ns = match (name, &*decoded) {
            ("xml", ns::XML) => XML,
            ("xml", _) | (_, ns::XML) => {
                return Err(XmlError::BadPrefix("xml declared as something else"));
            }
            ("xmlns", _) | (_, ns::XMLNS) => {
                return Err(XmlError::BadPrefix("a declaration of xmlns"));
            }
            ("", "") => NONE,
            (_, "") => return Err(XmlError::BadPrefix("a prefix declared as nothing")),
            (_, decoded) => {
                self.parsed.odd_namespace |= !chars::is_uri(decoded.as_bytes());
                let plain = decoded == raw;
                self.namespace(if plain { Text::Span(value) } else { Text::copy(decoded) })
            }
        };
        if self.bindings[first_binding..].iter().any(|b| b.prefix == name) {
            return Err(XmlError::NotWellFormed("a prefix declared twice"));
        }
        self.bind(name, ns);
        if root {
            self.parsed.declarations.push(Declaration { prefix, whole, ns });
        }
        Ok(())
    }

    /// Resolves the attributes of the tag at hand; no two may have one expanded name (Namespaces in XML 1.0 6.3).
    fn resolve_attributes(&mut self) -> Result<(), XmlError> {
        for n in 0..self.attributes.len() {
            let prefix = self.attributes[n].name.prefix(self.text);
            if !prefix.is_empty() {
                self.attributes[n].ns = self.resolve(prefix)?;
            }
        }
        if self.repeats_an_attribute() {
            return Err(XmlError::NotWellFormed("an attribute given twice"));
        }
        Ok(())
    }

    fn repeats_an_attribute(&self) -> bool {
        let base = self.text.as_bytes();
        let key = |a: &Attr| {
            (&base[a.name.local.range()], self.parsed.namespaces[a.ns as usize].bytes(base))
        };
        let attributes = &self.attributes;
        if attributes.len() <= FEW {
            let mut before = (1..attributes.len()).map(|n| attributes.split_at(n));
            return before.any(|(before, rest)| before.iter().any(|a| key(a) == key(&rest[0])));
        }
        let mut keys: SmallVec<[_; 16]> = attributes.iter().map(key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The namespace of an element without prefix.
    fn default_namespace(&mut self) -> NsId {
        let found = self.bindings.iter().rposition(|b| b.prefix.is_empty());
        self.takes_default |= found.is_none_or(|n| n < self.outside);
        self.parsed.takes_default |= found.is_none_or(|n| n < self.outer);
        found.map_or(NONE, |n| self.bindings[n].ns)
    }

    /// The namespace of a prefix.
    fn resolve(&mut self, prefix: &str) -> Result<NsId, XmlError> {
        if prefix == "xml" {
            return Ok(XML);
        }
        let found = self.bindings.iter().rposition(|b| b.prefix == prefix);
        let found = found.ok_or(XmlError::BadPrefix("a prefix that is not declared"))?;
        let binding = &mut self.bindings[found];
        let ns = binding.ns;
        if found < self.outside && binding.used_in != self.part {
            let outer = found < self.outer && binding.used_in == 0;
            binding.used_in = self.part;
            self.repeat(prefix.len(), ns)?;
            let prefix = match prefix {
                "stream" => Text::Known("stream"),
                _ => Text::Owned(prefix.into()),
            };
            self.parsed.uses.push(Use { prefix, ns, outer });
        }
        Ok(ns)
    }

    fn bind(&mut self, prefix: &'a str, ns: NsId) {
        self.bindings.push(Binding { prefix, ns, used_in: 0 });
    }

    fn namespace(&mut self, text: Text) -> NsId {
        let id = Span::new(0, self.parsed.namespaces.len()).end;
        if text.bytes(self.text.as_bytes()) == ns::STREAMS.as_bytes() {
            self.streams.push(id);
        }
        self.parsed.namespaces.push(text);
        id
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
