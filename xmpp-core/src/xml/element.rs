//! One strict pass over a complete element: what it accepts, any XML parser accepts alike.

use super::{Limits, XmlError};
use bytes::Bytes;
use std::{borrow::Cow, ops::Range};

/// Namespaces in force where an element stands: those of the stream header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The default namespace, empty if none.
    pub default: String,
    /// Declared prefixes and their namespaces.
    pub prefixes: Vec<(String, String)>,
}

/// A checked top-level element.
#[derive(Debug, Clone)]
pub struct Element {
    _raw: Bytes,
}

/// One attribute, its value decoded. Namespace declarations are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The namespace, empty for an attribute without prefix.
    pub ns: &'a str,
    /// The name without its prefix.
    pub name: &'a str,
    /// The decoded value.
    pub value: Cow<'a, str>,
}

/// A direct child of an element.
#[derive(Debug, Clone)]
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

impl Element {
    /// Checks a complete element as the framer cut it.
    pub fn check(_raw: Bytes, _scope: &Scope, _limits: &Limits) -> Result<Self, XmlError> {
        todo!()
    }
    /// Checks a stream header (a start tag without its end tag) and gives the scope that it opens.
    pub fn check_header(_raw: Bytes, _limits: &Limits) -> Result<(Self, Scope), XmlError> {
        todo!()
    }
    /// The namespace of the element.
    pub fn ns(&self) -> &str {
        todo!()
    }
    /// Its name without prefix.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// Whether it is this element.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name() == name && self.ns() == ns
    }
    /// Its attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        std::iter::empty()
    }
    /// The value of the attribute without namespace of this name.
    pub fn attr(&self, _name: &str) -> Option<Cow<'_, str>> {
        todo!()
    }
    /// The value of the attribute of this namespace and name.
    pub fn attr_ns(&self, _ns: &str, _name: &str) -> Option<Cow<'_, str>> {
        todo!()
    }
    /// The whole element as it arrived.
    pub fn raw(&self) -> &Bytes {
        &self._raw
    }
    /// What stands between its tags, as it arrived; empty for an empty element.
    pub fn inner(&self) -> Bytes {
        todo!()
    }
    /// Its direct children.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        std::iter::empty()
    }
    /// Whether there is character data other than white space directly inside.
    pub fn has_text(&self) -> bool {
        todo!()
    }
    /// Direct character data, decoded and joined.
    pub fn text(&self) -> String {
        todo!()
    }
    /// The element as a document of its own: namespaces that it takes from outside are declared on it
    /// (the default namespace too), nothing else is changed. A copy is made only where one is missing.
    pub fn standalone(&self) -> Bytes {
        todo!()
    }
    /// The same for the direct child at `span` (see [`Child::span`]).
    pub fn standalone_child(&self, _child: &Child<'_>) -> Bytes {
        todo!()
    }
}
