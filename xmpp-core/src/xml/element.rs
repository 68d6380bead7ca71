//! One strict pass over a complete element: what it accepts, any XML parser accepts alike.

use super::{
    Limits, XmlError, chars,
    check::{self, ChildAt, NONE, NsId, Parsed},
    escape_into,
    text::Span,
};
use bytes::{Bytes, BytesMut};
use std::{borrow::Cow, fmt, ops::Range};

/// Namespaces in force where an element stands: those of the stream header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The default namespace, empty if none.
    pub default: String,
    /// Declared prefixes and their namespaces.
    pub prefixes: Vec<(String, String)>,
}

/// A checked top-level element.
#[derive(Clone)]
pub struct Element {
    raw: Bytes,
    parsed: Box<Parsed>,
}

/// One attribute, its value decoded. Namespace declarations are not among them.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The namespace, empty for an attribute without prefix.
    pub ns: &'a str,
    /// The name without its prefix.
    pub name: &'a str,
    /// The decoded value.
    pub value: Cow<'a, str>,
}

/// A direct child of an element.
#[derive(Clone, PartialEq, Eq)]
pub struct Child<'a> {
    /// Its namespace.
    pub ns: &'a str,
    /// Its name without prefix.
    pub name: &'a str,
    /// Where it stands in the parent's inner bytes, tags included.
    pub span: Range<usize>,
    /// Its bytes, tags included, as they arrived.
    pub raw: &'a [u8],
}

impl Child<'_> {
    /// Whether it is this element.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }
}

impl Element {
    /// Checks a complete element as the framer cut it.
    pub fn check(raw: Bytes, scope: &Scope, limits: &Limits) -> Result<Self, XmlError> {
        Ok(Self { parsed: check::element(&raw, scope, limits)?, raw })
    }
    /// Checks a stream header (a start tag without its end tag) and gives the scope that it opens.
    pub fn check_header(raw: Bytes, limits: &Limits) -> Result<(Self, Scope), XmlError> {
        let parsed = check::header(&raw, limits)?;
        let mut scope = Scope::default();
        for declaration in &parsed.declarations {
            let ns = parsed.namespaces[declaration.ns as usize].str(&raw).to_owned();
            match declaration.prefix.str(&raw) {
                "" => scope.default = ns,
                "xml" => {} // in force everywhere
                prefix => scope.prefixes.push((prefix.to_owned(), ns)),
            }
        }
        Ok((Self { parsed, raw }, scope))
    }
    /// The namespace of the element, empty if none.
    pub fn ns(&self) -> &str {
        self.namespace(self.parsed.ns)
    }
    /// Its name without prefix.
    pub fn name(&self) -> &str {
        self.parsed.name.local.str(&self.raw)
    }
    /// Whether it is this element.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name() == name && self.ns() == ns
    }
    /// Its attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.parsed.attributes.iter().map(|a| Attribute {
            ns: self.namespace(a.ns),
            name: a.name.local.str(&self.raw),
            value: self.decode(a.value),
        })
    }
    /// The value of the attribute without namespace of this name.
    pub fn attr(&self, name: &str) -> Option<Cow<'_, str>> {
        self.attr_ns("", name)
    }
    /// The value of the attribute of this namespace and name.
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<Cow<'_, str>> {
        let found = self.parsed.attributes.iter().find(|a| {
            // Empty texts are not compared as bytes: on some processors `memcmp` of nothing, at an address that is
            // none, costs more than all else here.
            self.raw[a.name.local.range()] == *name.as_bytes()
                && (if ns.is_empty() { a.ns == NONE } else { self.namespace(a.ns) == ns })
        })?;
        Some(self.decode(found.value))
    }
    /// The whole element as it arrived.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
    /// What stands between its tags, as it arrived; empty for an empty element.
    pub fn inner(&self) -> Bytes {
        self.raw.slice(self.parsed.inner.range())
    }
    /// Its direct children.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        let start = self.parsed.inner.start;
        self.parsed.children.iter().map(move |child| Child {
            ns: self.namespace(child.ns),
            name: child.name.local.str(&self.raw),
            span: child.span.back(start).range(),
            raw: &self.raw[child.span.range()],
        })
    }
    /// Whether there is character data other than white space directly inside.
    pub fn has_text(&self) -> bool {
        self.gaps().any(|gap| gap.bytes().any(|b| !chars::is_space(b)))
            && self.text().bytes().any(|b| !chars::is_space(b))
    }
    /// Direct character data, decoded and joined.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.gaps().for_each(|gap| chars::decode_text(gap, &mut text));
        text
    }
    /// The element as a document of its own: namespaces that it takes from outside are declared on it
    /// (the default namespace too), nothing else is changed. A copy is made only where one is missing.
    pub fn standalone(&self) -> Bytes {
        self.within("")
    }
    /// The same for a place where `default` is the default namespace already: it is declared only if the element takes
    /// another one from outside, or none.
    pub fn within(&self, default: &str) -> Bytes {
        let mut declarations = BytesMut::new();
        let taken = self.parsed.outer_default;
        if self.parsed.takes_default && self.namespace(taken) != default {
            self.declare("", taken, &mut declarations);
        }
        let uses = self.parsed.uses.iter().filter(|u| u.outer);
        uses.for_each(|u| self.declare(u.prefix.str(&self.raw), u.ns, &mut declarations));
        let whole = Span::new(0, self.raw.len());
        self.insert(whole, self.parsed.name.end(), &declarations)
    }
    /// The same for the direct child at `span` (see [`Child::span`]).
    pub fn standalone_child(&self, child: &Child<'_>) -> Bytes {
        self.child_within(child, "")
    }
    /// The same for a place where `default` is the default namespace already: it is declared on the child only
    /// if the child takes another one from outside.
    ///
    /// Each child repeats what it takes. The check has seen to it that all together repeat no more than
    /// [`Limits::bytes`].
    pub fn child_within(&self, child: &Child<'_>, default: &str) -> Bytes {
        let start = self.parsed.inner.start as usize + child.span.start;
        let children = &self.parsed.children;
        let index = children.binary_search_by_key(&start, |c| c.span.start as usize);
        let child = &children[index.expect("a child of this element")];
        let mut declarations = BytesMut::new();
        let taken = self.parsed.inner_default();
        if child.takes_default && self.namespace(taken) != default {
            self.declare("", taken, &mut declarations);
        }
        for u in &self.parsed.uses[child.uses.range()] {
            self.declare(u.prefix.str(&self.raw), u.ns, &mut declarations);
        }
        self.insert(child.span, child.name.end(), &declarations)
    }

    pub(crate) fn parsed(&self) -> &Parsed {
        &self.parsed
    }
    /// Whether its name is written with a prefix.
    pub(crate) fn has_prefix(&self) -> bool {
        self.parsed.name.full != self.parsed.name.local
    }

    /// Gives each attribute to `take`: namespace, name, and what is to be [decoded](Self::decode). Those that it does not
    /// take go to `rest` as they must be repeated, behind the start tag's declarations of prefixes and those that the
    /// element takes from outside, each after a space.
    pub(crate) fn take_tag(
        &self,
        rest: &mut BytesMut,
        mut take: impl FnMut(&str, &[u8], Span) -> bool,
    ) {
        for declaration in self.parsed.declarations.iter().filter(|d| d.prefix.start > 0) {
            rest.extend_from_slice(b" ");
            rest.extend_from_slice(&self.raw[declaration.whole.range()]);
        }
        for u in self.parsed.uses.iter().filter(|u| u.outer) {
            self.declare(u.prefix.str(&self.raw), u.ns, rest);
        }
        for attribute in &self.parsed.attributes {
            let name = attribute.name;
            let local = &self.raw[name.local.range()];
            if !take(self.namespace(attribute.ns), local, attribute.value) {
                rest.extend_from_slice(b" ");
                let whole = name.full.start as usize..=attribute.value.end as usize;
                rest.extend_from_slice(&self.raw[whole]);
            }
        }
    }

    /// What stands there as an attribute's value, as parsers give it.
    pub(crate) fn decode(&self, value: Span) -> Cow<'_, str> {
        chars::decode_value(value.str(&self.raw))
    }

    fn namespace(&self, id: NsId) -> &str {
        self.parsed.namespaces[id as usize].str(&self.raw)
    }

    /// The bytes between the tags that are in no child.
    fn gaps(&self) -> impl Iterator<Item = &str> {
        let ends = self.parsed.children.iter().map(|c: &ChildAt| c.span.end);
        let starts = self.parsed.children.iter().map(|c| c.span.start);
        std::iter::once(self.parsed.inner.start)
            .chain(ends)
            .zip(starts.chain([self.parsed.inner.end]))
            .map(|(start, end)| Span { start, end }.str(&self.raw))
    }

    fn declare(&self, prefix: &str, ns: NsId, out: &mut BytesMut) {
        out.reserve(" xmlns:=''".len() + prefix.len() + self.namespace(ns).len());
        out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"='");
        escape_into(self.namespace(ns), out);
        out.extend_from_slice(b"'");
    }

    /// The bytes at `span` with `addition` inserted at the offset `at`.
    fn insert(&self, span: Span, at: usize, addition: &[u8]) -> Bytes {
        if addition.is_empty() {
            return self.raw.slice(span.range());
        }
        let Range { start, end } = span.range();
        let mut out = BytesMut::with_capacity(end - start + addition.len());
        out.extend_from_slice(&self.raw[start..at]);
        out.extend_from_slice(addition);
        out.extend_from_slice(&self.raw[at..end]);
        out.freeze()
    }
}

// Names only: what people write to each other, and passwords, do not belong in logs.

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({} {}, {} bytes)", self.ns(), self.name(), self.raw.len())
    }
}

impl fmt::Debug for Child<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({} {}, at {:?})", self.ns, self.name, self.span)
    }
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({} {})", self.ns, self.name)
    }
}
