//! Properties of framer, checker and stanzas over generated and corrupted input.
#![allow(clippy::unwrap_used)] // helpers of tests

#[path = "support/oracle.rs"]
mod oracle;
mod support;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::select};
use support::read;
use xmpp_core::{
    Stanza, ns,
    xml::{Element, Framer, Limits, Node, Scope, XmlError},
};

/// Text as it may stand between tags, now and then malformed.
fn text() -> impl Strategy<Value = String> + Clone {
    let pieces = [
        "x",
        " ",
        "é",
        "🥰",
        "&amp;",
        "&lt;",
        "&#10;",
        "&#x1F970;",
        "&apos;",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "]]",
        ">",
        "'",
        "\"",
        "<![CDATA[",
        "]]>",
        "&",
        ";",
        "\u{85}",
        "\u{FFFE}",
        "&#13;",
        "=",
        "/",
    ];
    // the first pieces are the likely ones
    vec((0..pieces.len(), 0..pieces.len()).prop_map(move |(a, b)| pieces[a.min(b)]), 0..5)
        .prop_map(|pieces| pieces.concat())
}

fn attribute() -> impl Strategy<Value = String> + Clone {
    let names = ["x", "y", "p:x", "q:x", "xml:lang", "é", "type", "id", "r:x"];
    let value = text().prop_map(|text| text.replace(['\'', '<'], ""));
    let space = select(vec![" ", "  ", "\n", "\t"]);
    prop_oneof![
        4 => (space.clone(), select(names.to_vec()), value, any::<bool>()).prop_map(|(s, n, v, double)| {
            if double { format!("{s}{n}=\"{}\"", v.replace('"', "")) } else { format!("{s}{n}='{v}'") }
        }),
        1 => (space, select(vec!["xmlns", "xmlns:p", "xmlns:q"]), select(vec!["urn:u", "urn:v", "a&amp;b", ""]))
            .prop_map(|(s, n, v)| format!("{s}{n} = '{v}'")),
    ]
}

/// An element that may take the prefixes `p` and `q` from outside, not always well-formed.
fn element() -> impl Strategy<Value = String> {
    let name = select(vec!["a", "b", "p:a", "q:b", "č", "body", "a.b-c"]);
    let tag = (name.clone(), vec(attribute(), 0..4), select(vec!["", " ", "\n"]))
        .prop_map(|(name, attributes, space)| (name, attributes.concat() + space));
    let leaf = tag.clone().prop_map(|(name, rest)| format!("<{name}{rest}/>"));
    leaf.prop_recursive(5, 24, 4, move |inner| {
        (tag.clone(), vec(prop_oneof![text(), inner], 0..4)).prop_map(|((name, rest), content)| {
            format!("<{name}{rest}>{}</{name}>", content.concat())
        })
    })
}

/// Bytes, legible where a test fails.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// The same after some small accidents.
fn corrupted(inner: impl Strategy<Value = String>) -> impl Strategy<Value = Raw> {
    let bytes = prop_oneof![
        3 => select(b"<>&;'\"=/! ?[]:-xa1\n\0".to_vec()),
        1 => any::<u8>(),
    ];
    let accident = (any::<proptest::sample::Index>(), 0..4, bytes);
    (inner, vec(accident, 0..3)).prop_map(|(text, accidents)| {
        let mut raw = text.into_bytes();
        for (at, kind, byte) in accidents {
            let at = at.index(raw.len().max(1)).min(raw.len().saturating_sub(1));
            match kind {
                _ if raw.is_empty() => {}
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                2 => drop(raw.remove(at)),
                _ => {
                    let again = raw[at..].to_vec();
                    raw.truncate(at + at / 2 % 7);
                    raw.extend(again);
                }
            }
        }
        Raw(raw)
    })
}

/// A stanza's text.
fn stanza() -> impl Strategy<Value = String> {
    let name = select(vec!["message", "presence", "iq", "iq type='get'", "presence type='probe'"]);
    (name, vec(attribute(), 0..3), vec(element(), 0..3)).prop_map(|(start, rest, inner)| {
        let name = start.split(' ').next().unwrap();
        format!(
            "<{start} to='ROMEO@localhost/🥰&amp;' from='a.example'{}>{}</{name}>",
            rest.concat(),
            inner.concat()
        )
    })
}

#[test]
fn rxml_takes_every_name_that_the_checker_takes() {
    for char in '\u{80}'..='\u{FFFF}' {
        oracle::agree(format!("<a{char}/>").as_bytes(), &Limits::AFTER_AUTH);
        oracle::agree(format!("<{char}/>").as_bytes(), &Limits::AFTER_AUTH);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_frames(
        elements in vec(corrupted(element()), 0..4),
        sizes in vec(1..40_usize, 1..20),
    ) {
        let header: &[u8] =
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='urn:s' xmlns:p='p' xmlns:q='q'>";
        let input = [header, &elements.iter().map(|e| &*e.0).collect::<Vec<_>>().join(&b" \n"[..]), b"</stream:stream>"].concat();
        let limits = Limits { bytes: 150, elements: 6, depth: 4, attributes: 3, ..Limits::BEFORE_AUTH };
        let whole = read(Framer::new(limits.clone()), &limits, [&*input]);
        let mut pieces = Vec::new();
        let mut rest = &*input;
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() { break }
        }
        let split = read(Framer::new(limits.clone()), &limits, pieces);
        prop_assert_eq!(whole.same(), split.same());
        prop_assert!(split.kept <= limits.bytes + 40);
    }

    #[test]
    fn what_the_checker_accepts_all_read_alike(Raw(raw) in corrupted(element())) {
        oracle::agree(&oracle::wrapped(&raw), &Limits::AFTER_AUTH);
        oracle::agree(&raw, &Limits::AFTER_AUTH);
    }

    #[test]
    fn what_rxml_accepts_is_not_refused_without_reason(Raw(raw) in corrupted(element())) {
        let raw = oracle::wrapped(&raw);
        if oracle::judged(&raw).is_some() {
            let limits = Limits::AFTER_AUTH;
            let checked = Element::check(raw.clone().into(), &Scope::default(), &limits).err();
            // rxml does not see the first, and takes the names of XML's fifth edition, which other parsers do not
            let reasons = [
                XmlError::NotWellFormed("a prefix declared twice"),
                XmlError::NotWellFormed("a character not allowed in a name"),
                XmlError::Restricted("a lone carriage return in a value"),
            ];
            let fine = checked.is_none_or(|error| reasons.contains(&error));
            prop_assert!(fine, "{:?}: {}", checked, String::from_utf8_lossy(&raw));
        }
    }

    #[test]
    fn an_element_means_the_same_standing_alone(raw in element()) {
        if let Ok(element) = Element::check(raw.clone().into(), &oracle::stream_scope(), &Limits::AFTER_AUTH) {
            let inside = format!("<w xmlns='jabber:client' xmlns:p='urn:p' xmlns:q='urn:q'>{raw}</w>");
            let node = Node::parse(inside.as_bytes(), "").unwrap().children.remove(0);
            let alone = element.standalone();
            prop_assert_eq!(Node::parse(&alone, ""), Ok(node.clone()));
            prop_assert!(oracle::agree(&alone, &Limits::AFTER_AUTH));
            for (child, node) in element.children().zip(&node.children) {
                let alone = element.standalone_child(&child);
                prop_assert_eq!(&Node::parse(&alone, "").unwrap(), node);
            }
        }
    }

    #[test]
    fn a_stanza_written_and_read_is_the_same(text in stanza()) {
        oracle::round_trip(text.as_bytes());
    }

    #[test]
    fn children_come_and_go(text in stanza(), added in element(), keep in any::<u8>()) {
        let Ok(element) = Element::check(text.into(), &oracle::stream_scope(), &Limits::AFTER_AUTH) else { return Ok(()) };
        let Ok(Some(stanza)) = Stanza::parse(&element) else { return Ok(()) };
        let plain = Scope { default: ns::CLIENT.to_owned(), prefixes: Vec::new() };
        let Ok(added) = Element::check(added.into(), &plain, &Limits::AFTER_AUTH) else { return Ok(()) };
        let more = stanza.clone().with_child(added.raw());
        prop_assert_eq!(more.children().count(), stanza.children().count() + 1);
        prop_assert_eq!(more.children().last().unwrap().raw, added.raw());
        let number = |child: &xmpp_core::xml::Child<'_>| {
            more.children().position(|c| c.span == child.span).unwrap()
        };
        let less = more.clone().without(|child| (keep >> number(child)) & 1 == 0);
        let kept: Vec<_> =
            more.children().filter(|c| (keep >> number(c)) & 1 == 1).map(|c| (c.ns, c.name, c.raw)).collect();
        prop_assert!(less.children().map(|c| (c.ns, c.name, c.raw)).eq(kept));
        let mut written = BytesMut::new();
        less.write(&mut written);
        let again = Stanza::parse(&Element::check(written.freeze(), &plain, &Limits::AFTER_AUTH).unwrap());
        if let Ok(Some(again)) = again {
            prop_assert!(again.children().eq(less.children()));
        }
    }
}
