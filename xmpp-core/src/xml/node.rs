//! A small tree, for payloads that the server itself must understand. Not on the routing path.

use super::{Scope, XmlError, escape_into};
use bytes::BytesMut;
use quick_xml::{
    XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event, attributes::Attribute},
    name::{Namespace, PrefixDeclaration, QName, ResolveResult},
    reader::NsReader,
};
use std::fmt;

/// Deepest nesting that becomes a tree: a tree is cloned, compared and dropped by recursion. As deep as
/// [`Limits::AFTER_AUTH`](super::Limits::AFTER_AUTH) lets through.
const DEPTH_MAX: usize = 128;

/// An element with its attributes, children and text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The namespace.
    pub ns: String,
    /// The name without prefix.
    pub name: String,
    /// Attributes: namespace, name, value. Namespace declarations are not among them.
    pub attributes: Vec<(String, String, String)>,
    /// Child elements.
    pub children: Vec<Node>,
    /// Direct character data, joined.
    pub text: String,
}

impl Node {
    /// Reads one element that has passed the strict check; `ns` is the default namespace outside it. For an
    /// element that takes prefixes from outside, see [`Stanza::node`](crate::Stanza::node) and
    /// [`Element::standalone_child`](super::Element::standalone_child).
    pub fn parse(raw: &[u8], ns: &str) -> Result<Self, XmlError> {
        Self::parse_in(raw, &Scope { default: ns.to_owned(), prefixes: Vec::new() })
    }
    /// Whether it is this element.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }
    /// Whether there is nothing in it: no attribute, no element, no text.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty() && self.text.is_empty()
    }
    /// An attribute without namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(ns, n, _)| ns.is_empty() && n == name).map(|(_, _, v)| &**v)
    }
    /// The first child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.is(ns, name))
    }

    /// The same where prefixes may come from outside.
    pub(crate) fn parse_in(raw: &[u8], scope: &Scope) -> Result<Self, XmlError> {
        let text = str::from_utf8(raw).map_err(|_| XmlError::Encoding)?;
        let mut reader = NsReader::from_str(text);
        let resolver = reader.resolver_mut();
        resolver.set_max_namespace_bindings(usize::MAX); // the check has its own limit
        let mut add = |prefix, ns: &str| {
            // written as in a declaration, since that is how the resolver keeps them (see `bound`)
            let mut written = BytesMut::new();
            escape_into(ns, &mut written);
            let written = str::from_utf8(&written).expect("escaped text is text");
            resolver.add(prefix, Namespace(written)).map_err(|_| BAD_PREFIX)
        };
        if !scope.default.is_empty() {
            add(PrefixDeclaration::Default, &scope.default)?;
        }
        for (prefix, ns) in &scope.prefixes {
            add(PrefixDeclaration::Named(prefix), ns)?;
        }
        let mut open: Vec<Self> = Vec::new();
        loop {
            match reader.read_event().map_err(|_| NOT_CHECKED)? {
                Event::Start(tag) => {
                    if open.len() == DEPTH_MAX {
                        return Err(XmlError::Limit("elements nested too deeply"));
                    }
                    open.push(Self::start(&tag, &reader)?);
                }
                Event::Empty(tag) => {
                    let node = Self::start(&tag, &reader)?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Ok(node),
                    }
                }
                Event::End(_) => {
                    let node = open.pop().ok_or(NOT_CHECKED)?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Ok(node),
                    }
                }
                Event::Text(text) => inside(&mut open)?.push_str(&text.xml10_content()),
                Event::CData(text) => inside(&mut open)?.push_str(&text.xml10_content()),
                Event::GeneralRef(name) => {
                    match name.resolve_char_ref().map_err(|_| NOT_CHECKED)? {
                        Some(char) => inside(&mut open)?.push(char),
                        None => {
                            let text = resolve_predefined_entity(&name).ok_or(NOT_CHECKED)?;
                            inside(&mut open)?.push_str(text);
                        }
                    }
                }
                _ => return Err(NOT_CHECKED),
            }
        }
    }

    fn start(tag: &BytesStart<'_>, reader: &NsReader<&[u8]>) -> Result<Self, XmlError> {
        let (ns, name) = reader.resolver().resolve_element(tag.name());
        let mut node = Self { ns: bound(ns)?, name: name.as_ref().to_owned(), ..Self::default() };
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| NOT_CHECKED)?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (ns, name) = reader.resolver().resolve_attribute(attribute.key);
            node.attributes.push((bound(ns)?, name.as_ref().to_owned(), value(&attribute)?));
        }
        Ok(node)
    }
}

impl fmt::Debug for Node {
    /// Names only: what people write to each other, and passwords, do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {}, {:?})", self.ns, self.name, self.children)
    }
}

const NOT_CHECKED: XmlError = XmlError::NotWellFormed("not a checked element");
const BAD_PREFIX: XmlError = XmlError::BadPrefix("a prefix that is not declared");

/// Where text goes.
fn inside(open: &mut [Node]) -> Result<&mut String, XmlError> {
    open.last_mut().map(|node| &mut node.text).ok_or(NOT_CHECKED)
}

/// The namespace, its references decoded: the resolver keeps it as it is written.
fn bound(result: ResolveResult<'_>) -> Result<String, XmlError> {
    match result {
        ResolveResult::Bound(Namespace(ns)) => {
            let declaration = Attribute { key: QName("xmlns"), value: ns.into() };
            value(&declaration)
        }
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(_) => Err(BAD_PREFIX),
    }
}

fn value(attribute: &Attribute<'_>) -> Result<String, XmlError> {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| NOT_CHECKED)?;
    Ok(value.into_owned())
}
