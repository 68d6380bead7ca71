//! Elements as people like to read them.

use std::{borrow::Cow, fmt::Write as _};
use xmpp_core::{
    ns,
    xml::{Node, escape_into},
};

/// The element on lines of its own, two spaces per level after `indent`, with `xmlns` wherever the namespace changes
/// (`jabber:client` outside), but for what belongs to the stream itself, which has its usual prefix.
pub fn pretty(node: &Node, indent: usize) -> String {
    within(node, ns::CLIENT, indent)
}

/// The same inside an element of this namespace.
pub(crate) fn within(node: &Node, outer: &str, indent: usize) -> String {
    let mut out = String::new();
    write(node, outer, indent, &mut out);
    out
}

/// The start tag inside an element of this namespace, without its end.
pub(crate) fn start(node: &Node, outer: &str) -> String {
    let mut out = format!("<{}", name(node));
    if node.ns != outer && node.ns != ns::STREAMS {
        write!(out, " xmlns='{}'", escaped(&node.ns)).expect("a String takes all");
    }
    for (space, name, value) in &node.attributes {
        let prefix = match space.as_str() {
            "" => "",
            ns::XML => "xml:",
            crate::NAMESPACE => "scansion:",
            _ => "?:",
        };
        write!(out, " {prefix}{name}='{}'", escaped(value)).expect("a String takes all");
    }
    out
}

/// The name as it is written, with the prefix of the stream's own elements.
pub(crate) fn name(node: &Node) -> Cow<'_, str> {
    match node.ns == ns::STREAMS {
        true => format!("stream:{}", node.name).into(),
        false => (&*node.name).into(),
    }
}

/// The default namespace inside an element that stands in `outer`.
pub(crate) fn inside<'a>(node: &'a Node, outer: &'a str) -> &'a str {
    if node.ns == ns::STREAMS { outer } else { &node.ns }
}

/// Recursive: scripts and what a server answers to them are shallow (at most the reader's limit of depth).
fn write(node: &Node, outer: &str, indent: usize, out: &mut String) {
    let margin = " ".repeat(indent);
    let name = name(node);
    write!(out, "{margin}{}", start(node, outer)).expect("a String takes all");
    let text = node.text.trim();
    match (text.is_empty(), node.children.is_empty()) {
        (true, true) => out.push_str("/>\n"),
        (false, true) => {
            writeln!(out, ">{}</{name}>", escaped(&node.text)).expect("a String takes all");
        }
        _ => {
            out.push_str(">\n");
            if !text.is_empty() {
                writeln!(out, "{margin}  {}", escaped(text)).expect("a String takes all");
            }
            for child in &node.children {
                write(child, inside(node, outer), indent + 2, out);
            }
            writeln!(out, "{margin}</{name}>").expect("a String takes all");
        }
    }
}

/// Text with what would be markup escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = bytes::BytesMut::new();
    escape_into(text, &mut out);
    String::from_utf8(out.to_vec()).expect("escaping keeps UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_own_elements_have_their_prefix() {
        let raw = b"<s:error xmlns:s='http://etherx.jabber.org/streams'><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error>";
        assert_eq!(
            pretty(&Node::parse(raw, "").unwrap(), 0),
            "<stream:error>\n  <reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\n</stream:error>\n"
        );
    }

    #[test]
    fn namespaces_are_shown_where_they_change() {
        let raw = b"<iq xmlns='jabber:client' id='1'><query xmlns='urn:a' b='&lt;'><c/><d>e&amp;f</d></query></iq>";
        let node = Node::parse(raw, "").unwrap();
        assert_eq!(
            pretty(&node, 1),
            " <iq id='1'>\n   <query xmlns='urn:a' b='&lt;'>\n     <c/>\n     <d>e&amp;f</d>\n   </query>\n </iq>\n"
        );
    }
}
