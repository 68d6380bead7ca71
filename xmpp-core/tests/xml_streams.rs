//! Well-formed streams and documents: what comes out of the framer and the checker.
#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use bytes::BytesMut;
use support::{read, read_every_way};
use xmpp_core::xml::{Element, Frame, Framer, Limits, Node, Scope, XmlError};

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

fn stream(rest: &str) -> Vec<String> {
    let limits = Limits::AFTER_AUTH;
    let input = format!("{HEADER}{rest}");
    let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, input.as_bytes());
    assert_eq!(outcome.error, None, "{rest}");
    assert_eq!(outcome.frames[0], HEADER);
    outcome.frames[1..].to_vec()
}

#[test]
fn elements_come_out_as_they_arrived() {
    for element in [
        "<a/>",
        "<a />",
        "<a\n/>",
        "<a></a>",
        "<a></a \t>",
        "<a b='>' c=\"/>'\" d = '/a>'/>",
        "<a><a><a/></a><a/></a>",
        "<a>text &lt; &#x1F970; &#10; ]] > ]]&gt;</a>",
        "<a><![CDATA[ </a> ]]&foo; > ]]]]><![CDATA[>]]></a>",
        "<a><![CDATA[]]]></a>",
        "<a xmlns=''><b xmlns:p='urn:p' p:c='1' c='1'/></a>",
        "<a xmlns:p='urn:p' xmlns:q='urn:q' p:c='1' q:c='2'/>",
        "<stream:features/>",
        "<č:é xmlns:č='urn:x' ž='1'>🥰</č:é>",
        "<a xml:lang='en' xml:space='preserve' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a.b-c_1/>",
        "<a>\u{FEFF}\u{7F}\u{85}\u{FFFD}\u{10FFFF}</a>",
    ] {
        assert_eq!(
            stream(&format!("{element} \n{element}</stream:stream >\n")),
            [element, element, "</>"]
        );
    }
}

#[test]
fn an_xml_declaration_is_cut_off() {
    for declaration in [
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n",
        "<?xml\tversion = '1.0' encoding='UTF-8' standalone='no'?>",
    ] {
        let limits = Limits::BEFORE_AUTH;
        let input = format!("{declaration}{HEADER}<a/>");
        let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, input.as_bytes());
        assert_eq!((outcome.frames, outcome.error), (vec![HEADER.into(), "<a/>".into()], None));
        let input = format!("{declaration}<body>x<a/></body>\n");
        let outcome =
            read_every_way(|| Framer::document(limits.clone()), &limits, input.as_bytes());
        assert_eq!((outcome.frames, outcome.error), (vec!["<body>x<a/></body>".into()], None));
    }
}

#[test]
fn x06_a_million_levels_take_no_stack() {
    const DEPTH: usize = 1_000_000;
    let work = || {
        let limits =
            Limits { bytes: usize::MAX, elements: u32::MAX, depth: u32::MAX, ..Limits::AFTER_AUTH };
        let text = ["<a>".repeat(DEPTH), "</a>".repeat(DEPTH)].concat();
        let outcome = read(Framer::document(limits.clone()), &limits, [text.as_bytes()]);
        assert_eq!((outcome.frames.len(), outcome.error), (1, None));
        assert!(matches!(Node::parse(text.as_bytes(), ""), Err(XmlError::Limit(_))));
    };
    let thread = std::thread::Builder::new().stack_size(128 * 1_024).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn x06_the_deepest_tree_fits_a_small_stack() {
    let work = || {
        let nested = |depth| ["<a>".repeat(depth), "</a>".repeat(depth)].concat();
        let node = Node::parse(nested(128).as_bytes(), "").unwrap();
        assert_eq!(node.clone(), node);
        assert!(matches!(Node::parse(nested(129).as_bytes(), ""), Err(XmlError::Limit(_))));
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1_024).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn an_element_tells_what_is_in_it() {
    let raw = "<a x='&lt;\n&#10;' p:x=\"'\" xmlns:p='urn:&quot;p'> <p:b/>t&amp;<![CDATA[&amp;]]>\r\n<c xmlns='urn:c'/></a>";
    let scope = Scope { default: "urn:d".into(), prefixes: Vec::new() };
    let element = Element::check(raw.into(), &scope, &Limits::BEFORE_AUTH).unwrap();
    assert!(element.is("urn:d", "a"));
    assert_eq!(element.attr("x").as_deref(), Some("< \n"));
    assert_eq!(element.attr_ns("urn:\"p", "x").as_deref(), Some("'"));
    assert_eq!(element.attr("p:x"), None);
    assert_eq!(element.text(), " t&&amp;\n");
    assert!(element.has_text());
    let children: Vec<_> = element.children().map(|c| (c.ns, c.name, c.raw)).collect();
    assert_eq!(children, [("urn:\"p", "b", &b"<p:b/>"[..]), ("urn:c", "c", b"<c xmlns='urn:c'/>")]);
    assert_eq!(element.standalone(), raw.replacen("<a", "<a xmlns='urn:d'", 1));
    assert_eq!(element.within("urn:d"), raw);
    assert_eq!(element.within("urn:x"), element.standalone());
    let document = Element::check(raw.into(), &Scope::default(), &Limits::BEFORE_AUTH).unwrap();
    assert_eq!(document.standalone(), raw);
    assert_eq!(document.within("urn:d"), raw.replacen("<a", "<a xmlns=''", 1));
    let alone: Vec<_> = element.children().map(|c| element.standalone_child(&c)).collect();
    assert_eq!(alone, ["<p:b xmlns:p='urn:&quot;p'/>", "<c xmlns='urn:c'/>"]);
}

#[test]
fn white_space_is_no_text() {
    for (raw, text) in [
        ("<a/>", false),
        ("<a> \r\n\t</a>", false),
        ("<a>&#32;<![CDATA[ ]]></a>", false),
        ("<a> <b>x</b> </a>", false),
        ("<a><b/>x</a>", true),
        ("<a><![CDATA[x]]></a>", true),
        ("<a>\u{A0}</a>", true),
    ] {
        let element = Element::check(raw.into(), &Scope::default(), &Limits::BEFORE_AUTH).unwrap();
        assert_eq!(element.has_text(), text, "{raw}");
    }
}

#[test]
fn x08_an_element_repeats_only_what_it_takes() {
    let declared: String = (0..13).map(|i| format!(" xmlns:p{i}='urn:{i}'")).collect();
    let raw = format!(
        "<b xmlns='urn:b'{declared}><p3:a/><c p5:a='' xmlns='urn:c'/><d xmlns:p1='x'><p1:e/></d></b>"
    );
    let element = Element::check(raw.into(), &Scope::default(), &Limits::BEFORE_AUTH).unwrap();
    let alone: Vec<_> = element.children().map(|c| element.standalone_child(&c)).collect();
    assert_eq!(
        alone,
        [
            "<p3:a xmlns:p3='urn:3'/>",
            "<c xmlns:p5='urn:5' p5:a='' xmlns='urn:c'/>",
            "<d xmlns='urn:b' xmlns:p1='x'><p1:e/></d>",
        ]
    );
    let place: Vec<_> = element.children().map(|c| element.child_within(&c, "urn:b")).collect();
    assert_eq!(place[2], "<d xmlns:p1='x'><p1:e/></d>");
}

#[test]
fn limits_may_change_between_frames() {
    let mut framer = Framer::new(Limits::BEFORE_AUTH);
    let large = format!("<a>{}</a>", "x".repeat(9_000));
    let mut buffer = BytesMut::from(&*format!("{HEADER}{large}{large}"));
    assert!(matches!(framer.next(&mut buffer), Ok(Some(Frame::Header(_)))));
    framer.set_limits(Limits::AFTER_AUTH);
    assert_eq!(framer.next(&mut buffer), Ok(Some(Frame::Element(large.into()))));
    framer.set_limits(Limits::BEFORE_AUTH);
    assert!(matches!(framer.next(&mut buffer), Err(XmlError::Limit(_))));
}

#[test]
fn white_space_is_a_sign_of_life_between_elements_only() {
    let mut framer = Framer::new(Limits::BEFORE_AUTH);
    let mut buffer = BytesMut::from(" ");
    assert_eq!(framer.next(&mut buffer), Ok(None));
    buffer.extend_from_slice(HEADER.as_bytes());
    assert!(matches!(framer.next(&mut buffer), Ok(Some(Frame::Header(_)))));
    buffer.extend_from_slice(b" \n <a> </a>");
    assert_eq!(framer.next(&mut buffer), Ok(Some(Frame::Whitespace)));
    assert_eq!(framer.next(&mut buffer), Ok(Some(Frame::Element("<a> </a>".into()))));
    assert_eq!(framer.next(&mut buffer), Ok(None));
    buffer.extend_from_slice(b"</stream:stream> ");
    assert_eq!(framer.next(&mut buffer), Ok(Some(Frame::Footer)));
    assert_eq!(framer.next(&mut buffer), Ok(None));
    assert!(buffer.is_empty());
}

#[test]
fn x08_children_cut_out_do_not_grow_without_bound() {
    let limits = Limits::BEFORE_AUTH;
    let cut_out = |ns: usize, children: usize, child: &str| {
        let ns = "n".repeat(ns);
        let raw = format!("<b xmlns='{ns}' xmlns:p='{ns}'>{}</b>", child.repeat(children));
        let element = Element::check(raw.into(), &Scope::default(), &limits)?;
        Ok(element.children().map(|c| element.standalone_child(&c).len()).sum::<usize>())
    };
    for child in ["<c/>", "<p:c/>", "<p:c p:a=''/>"] {
        let bytes = cut_out(200, 30, child);
        assert!(bytes.is_ok_and(|bytes| bytes < 2 * limits.bytes), "{child} {bytes:?}");
        assert_eq!(cut_out(3_000, 1, child).map(|bytes| bytes > 3_000), Ok(true));
        assert!(matches!(cut_out(3_000, 3, child), Err(XmlError::Limit(_))));
    }
    // once for all is not often
    assert!(cut_out(3_000, 1, "<c><c/><c/><c/><p:c/><p:c/></c>").is_ok());
}
