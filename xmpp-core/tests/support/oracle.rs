//! Foreign eyes on what the checker accepts: rxml as the judge, quick-xml (through [`Node`]) as the reader.
#![allow(unreachable_pub)] // used by several crates of tests

use bytes::{Bytes, BytesMut};
use rxml::{Event, Parse, Parser, error::EndOrError, parser::Options, parser::WithOptions};
use xmpp_core::{
    Stanza, ns,
    xml::{Element, Limits, Node, Scope},
};

/// What rxml makes of a document; `None` where it refuses it.
pub fn judged(raw: &[u8]) -> Option<Node> {
    let mut parser = Parser::with_options(Options {
        max_token_length: raw.len() + 64,
        context: None,
        comments: Default::default(),
    });
    let mut rest = raw;
    let mut open = vec![Node::default()];
    loop {
        match parser.parse(&mut rest, true) {
            Ok(None) => break,
            Ok(Some(Event::XmlDeclaration(..))) => return None,
            Ok(Some(Event::StartElement(_, (ns, name), attributes))) => open.push(Node {
                ns: ns.as_str().to_owned(),
                name: name.as_str().to_owned(),
                attributes: attributes
                    .iter()
                    .map(|((ns, name), value)| {
                        (ns.as_str().to_owned(), name.as_str().to_owned(), value.clone())
                    })
                    .collect(),
                ..Node::default()
            }),
            Ok(Some(Event::Text(_, text))) => open.last_mut()?.text.push_str(&text),
            Ok(Some(Event::EndElement(_))) => {
                let node = open.pop()?;
                open.last_mut()?.children.push(node);
            }
            Err(EndOrError::Error(_) | EndOrError::NeedMoreData) => return None,
        }
    }
    sorted(open.pop()?.children.pop()?).into()
}

/// The same tree with attributes in an order of their own.
pub fn sorted(mut node: Node) -> Node {
    node.attributes.sort();
    node.children = node.children.into_iter().map(sorted).collect();
    node
}

/// All that is in a tree, which its `Debug` does not tell.
fn shown(node: &Node) -> String {
    let children: Vec<_> = node.children.iter().map(shown).collect();
    let Node { ns, name, attributes, text, .. } = node;
    format!("({ns:?} {name:?} {attributes:?} {text:?} {})", children.concat())
}

/// Whatever the checker accepts, rxml accepts with equal events, quick-xml reads to the same tree, and the
/// checker's own eyes see the same; whether it accepted.
pub fn agree(raw: &[u8], limits: &Limits) -> bool {
    let Ok(element) = Element::check(Bytes::copy_from_slice(raw), &Scope::default(), limits) else {
        return false;
    };
    let text = String::from_utf8_lossy(raw);
    assert!(judged(raw).is_some(), "rxml refuses {text}");
    // rxml leaves some line ends in CDATA sections alone, so it gets what parsers must see (XML 1.0 2.11)
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let judged = judged(lines.as_bytes()).expect("accepted before");
    let node = Node::parse(raw, "").expect("quick-xml refuses it");
    assert_eq!(shown(&sorted(node.clone())), shown(&judged), "quick-xml and rxml");
    assert_eq!((element.ns(), element.name()), (&*node.ns, &*node.name));
    assert_eq!(element.text(), node.text);
    let attributes: Vec<_> = element
        .attributes()
        .map(|a| (a.ns.to_owned(), a.name.to_owned(), a.value.into_owned()))
        .collect();
    assert_eq!(attributes, node.attributes);
    assert_eq!(element.standalone(), raw, "nothing is taken from outside a document");
    assert_eq!(element.children().count(), node.children.len());
    for (child, node) in element.children().zip(&node.children) {
        assert_eq!((child.ns, child.name), (&*node.ns, &*node.name));
        assert_eq!(element.inner()[child.span.clone()], *child.raw);
        let alone = element.standalone_child(&child);
        assert!(Element::check(alone.clone(), &Scope::default(), limits).is_ok());
        assert_eq!(Node::parse(&alone, "").as_ref(), Ok(node));
    }
    true
}

/// Content inside an element that declares the prefixes `p` and `q`.
pub fn wrapped(content: &[u8]) -> Vec<u8> {
    [b"<w xmlns:p='urn:p' xmlns:q='urn:q'>", content, b"</w>"].concat()
}

/// The scope of a stream that declares the prefixes `p` and `q`.
pub fn stream_scope() -> Scope {
    let prefixes = [("p", "urn:p"), ("q", "urn:q"), ("stream", ns::STREAMS)];
    Scope {
        default: ns::CLIENT.to_owned(),
        prefixes: prefixes.map(|(p, n)| (p.to_owned(), n.to_owned())).to_vec(),
    }
}

/// A stanza of that stream, written and read where no prefix is declared, is the same; whether it was one.
pub fn round_trip(raw: &[u8]) -> bool {
    let check = |raw: Bytes, scope: &Scope| Element::check(raw, scope, &Limits::AFTER_AUTH);
    let Ok(element) = check(Bytes::copy_from_slice(raw), &stream_scope()) else { return false };
    let Ok(Some(stanza)) = Stanza::parse(&element) else { return false };
    assert_eq!(*stanza.inner(), element.inner(), "no byte of the payload is touched");
    let mut written = BytesMut::new();
    stanza.write(&mut written);
    let plain = Scope { default: ns::CLIENT.to_owned(), prefixes: Vec::new() };
    // what stood shorter in quotes of the other kind is escaped, and prefixes of the stream are declared
    let bytes = 6 * Limits::AFTER_AUTH.bytes;
    let declarations = Limits::AFTER_AUTH.declarations + 3;
    let limits = Limits { bytes, declarations, ..Limits::AFTER_AUTH };
    let again = Element::check(written.freeze(), &plain, &limits).expect("well-formed anywhere");
    let again = Stanza::parse(&again).expect("accepted before").expect("a stanza before");
    assert_eq!(again, stanza);
    assert!(again.children().eq(stanza.children()));
    for child in stanza.children() {
        let node = stanza.node(&child).expect("checked");
        assert_eq!((&*node.ns, &*node.name), (child.ns, child.name));
        assert_eq!(again.node(&child), Ok(node));
    }
    true
}
