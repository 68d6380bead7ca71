//! A small tree, for payloads that the server itself must understand. Not on the routing path.

use super::XmlError;

/// An element with its attributes, children and text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The namespace.
    pub ns: String,
    /// The name without prefix.
    pub name: String,
    /// Attributes: namespace, name, value.
    pub attributes: Vec<(String, String, String)>,
    /// Child elements.
    pub children: Vec<Node>,
    /// Direct character data, joined.
    pub text: String,
}

impl Node {
    /// Reads one element that has passed the strict check; `ns` is the default namespace outside it.
    pub fn parse(_raw: &[u8], _ns: &str) -> Result<Self, XmlError> {
        todo!()
    }
    /// Whether it is this element.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }
    /// An attribute without namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(ns, n, _)| ns.is_empty() && n == name).map(|(_, _, v)| &**v)
    }
    /// The first child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.is(ns, name))
    }
}
