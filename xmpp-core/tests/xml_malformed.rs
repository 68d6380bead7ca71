//! What must be refused, and how: each case whole, byte by byte, and cut at every place.
#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use support::{read, read_every_way};
use xmpp_core::xml::{Framer, Limits, XmlError, XmlError::*};

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// The kinds of [`XmlError`], since the words matter to nobody.
fn kind(error: Option<XmlError>) -> &'static str {
    match error {
        None => "accepted",
        Some(NotWellFormed(_)) => "not-well-formed",
        Some(BadPrefix(_)) => "bad-prefix",
        Some(Restricted(_)) => "restricted-xml",
        Some(BadFormat(_)) => "bad-format",
        Some(Encoding) => "unsupported-encoding",
        Some(Limit(_)) => "policy-violation",
    }
}

const NWF: &str = "not-well-formed";
const PREFIX: &str = "bad-prefix";
const RESTRICTED: &str = "restricted-xml";
const FORMAT: &str = "bad-format";
const ENCODING: &str = "unsupported-encoding";
const POLICY: &str = "policy-violation";

/// Each input alone is refused so, by a fresh stream with these limits.
fn refused_with(limits: &Limits, cases: &[(&str, &[u8])]) {
    for (expected, input) in cases {
        let outcome = read_every_way(|| Framer::new(limits.clone()), limits, input);
        assert_eq!(kind(outcome.error), *expected, "{}", String::from_utf8_lossy(input));
        assert!(outcome.kept <= limits.bytes);
    }
}

/// Each input is refused so after a stream header, with the small limits.
fn refused(cases: &[(&str, impl AsRef<[u8]>)]) {
    refused_after(HEADER, cases);
}

fn refused_after(header: &str, cases: &[(&str, impl AsRef<[u8]>)]) {
    for (expected, input) in cases {
        let input = [header.as_bytes(), input.as_ref()].concat();
        refused_with(&Limits::BEFORE_AUTH, &[(expected, &input)]);
    }
}

/// Each is refused inside an element, as text.
fn refused_inside(cases: &[(&str, &str)]) {
    for (expected, text) in cases {
        refused(&[(expected, format!("<message><body>{text}</body></message>"))]);
    }
}

#[test]
fn x01_x02_a_document_type_is_refused_at_once() {
    let laughs = "<!DOCTYPE l [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\">]>";
    for doctype in [laughs, "<!DOCTYPE s SYSTEM \"file:///secret\">", "<!D", "<!ENTITY", "<!["] {
        let first = if doctype == "<![" { NWF } else { RESTRICTED };
        refused_with(&Limits::BEFORE_AUTH, &[(first, doctype.as_bytes())]);
        refused_after("<?xml version='1.0'?>", &[(first, doctype)]);
        let after = if doctype == "<![" { FORMAT } else { RESTRICTED };
        refused(&[(after, doctype)]);
    }
    refused(&[
        (RESTRICTED, "<a><!DOCTYPE"),
        (RESTRICTED, "<a><b><![INCLUDE["),
        (RESTRICTED, "<a><!>"),
    ]);
    let document = read_every_way(
        || Framer::document(Limits::BEFORE_AUTH),
        &Limits::BEFORE_AUTH,
        format!("{laughs}<body/>").as_bytes(),
    );
    assert_eq!(kind(document.error), RESTRICTED);
}

#[test]
fn x03_comments_instructions_and_entities_are_refused() {
    for comment in [
        "<!-- x -->",
        "<!--",
        "<!-",
        "<?php echo ?>",
        "<?x?>",
        "<?xm ",
        "<?xmla?>",
        "<?XML ?>",
        "<? xml?>",
    ] {
        refused_with(&Limits::BEFORE_AUTH, &[(RESTRICTED, comment.as_bytes())]);
        refused(&[
            (RESTRICTED, comment.to_owned()),
            (RESTRICTED, format!("<a>{comment}")),
            (RESTRICTED, format!("<a><b><c><d>{comment}</d></c></b></a>")),
        ]);
    }
    refused_with(&Limits::BEFORE_AUTH, &[(NWF, b"&foo;"), (NWF, b"&lt;")]);
    refused(&[(RESTRICTED, "&foo;"), (RESTRICTED, "&amp;"), (RESTRICTED, "<a b='&foo;'/>")]);
    refused_inside(&[
        (RESTRICTED, "&foo;"),
        (RESTRICTED, "&nbsp;"),
        (RESTRICTED, "&LT;"),
        (RESTRICTED, "&ltx;"),
        (RESTRICTED, "a&amp;&b;"),
    ]);
}

#[test]
fn references_to_no_character_are_refused() {
    refused_inside(&[
        (NWF, "&"),
        (NWF, "& "),
        (NWF, "&;"),
        (NWF, "&lt"),
        (NWF, "&lt ;"),
        (NWF, "&#;"),
        (NWF, "&#x;"),
        (NWF, "&#X41;"),
        (NWF, "&#65"),
        (NWF, "&#-65;"),
        (NWF, "&#+65;"),
        (NWF, "&# 65;"),
        (NWF, "&#6 5;"),
        (NWF, "&#x4G;"),
        (NWF, "&#1e3;"),
        (NWF, "&#\u{661};"), // Arabic digits are not digits here
        (NWF, "&#0;"),
        (NWF, "&#00;"),
        (NWF, "&#1;"),
        (NWF, "&#x1F;"),
        (NWF, "&#xD800;"),
        (NWF, "&#xDFFF;"),
        (NWF, "&#xFFFE;"),
        (NWF, "&#65535;"),
        (NWF, "&#x110000;"),
        (POLICY, "&#4294967361;"),           // 2^32 + 65
        (POLICY, "&#18446744073709551681;"), // 2^64 + 65
        (POLICY, "&#x100000041;"),
        (POLICY, &format!("&#{};", "9".repeat(400))),
        (POLICY, "&#xFFFFFFFFFFFFFFFF0000000000000041;"),
        (NWF, "&#99999999;"),
        (NWF, "&#xFFFFFFFF;"),
        (POLICY, "&#000000065;"),
        (NWF, "&1;"),
        (NWF, "&a:b;"),
    ]);
}

#[test]
fn x04_one_element_too_many_is_refused_at_its_first_byte() {
    let limits = Limits::BEFORE_AUTH;
    let within = format!("{HEADER}<m>{}</m>", "<a/>".repeat(31));
    let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, within.as_bytes());
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
    let over = format!("{HEADER}<m>{}", "<a/>".repeat(32));
    let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, over.as_bytes());
    assert_eq!(kind(outcome.error), POLICY);
    assert_eq!(outcome.fed, over.len() - 2, "the `a` of the 33rd element");
}

#[test]
fn x06_one_level_too_many_is_refused_at_its_first_byte() {
    for (limits, depth) in [(Limits::BEFORE_AUTH, 16), (Limits::AFTER_AUTH, 128)] {
        let nested = |n: usize| format!("{HEADER}{}{}", "<a>".repeat(n), "</a>".repeat(n));
        let within = nested(depth);
        let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, within.as_bytes());
        assert_eq!((outcome.frames.len(), outcome.error), (2, None));
        let outcome =
            read_every_way(|| Framer::new(limits.clone()), &limits, nested(depth + 1).as_bytes());
        assert_eq!(kind(outcome.error), POLICY);
        assert_eq!(outcome.fed, HEADER.len() + 3 * depth + 2);
        // an empty element is a level too
        let empty = format!("{HEADER}{}<a/>", "<a>".repeat(depth));
        refused_with(&limits, &[(POLICY, empty.as_bytes())]);
    }
}

#[test]
fn x07_attribute_flood() {
    for (limits, most) in [(Limits::BEFORE_AUTH, 16), (Limits::AFTER_AUTH, 64)] {
        let tag = |n: usize| {
            let attributes: String = (0..n).map(|i| format!(" a{i}=''")).collect();
            format!("{HEADER}<m><b{attributes}/></m>")
        };
        let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, tag(most).as_bytes());
        assert_eq!((outcome.frames.len(), outcome.error), (2, None));
        let over = tag(most + 1);
        let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, over.as_bytes());
        assert_eq!(kind(outcome.error), POLICY);
        assert_eq!(outcome.fed, over.len() - "''/></m>".len(), "at the end of its name");
    }
}

#[test]
fn x07_duplicate_attribute() {
    refused(&[
        (NWF, "<a b='1' b='1'/>"),
        (NWF, "<a b='1' c='' b=\"2\"></a>"),
        (NWF, "<a><b c='' c=''/></a>"),
        (NWF, "<a xml:lang='' xml:lang=''/>"),
        (NWF, "<a xmlns='x' xmlns='x'/>"),
        (NWF, "<a xmlns:p='x' xmlns:p='y'/>"),
    ]);
}

#[test]
fn x07_duplicate_attribute_by_two_prefixes() {
    refused(&[
        (NWF, "<a xmlns:p='x' xmlns:q='x' p:b='1' q:b='2'/>"),
        (NWF, "<a xmlns:p='x'><c q:b='1' p:b='2' xmlns:q='&#120;'/></a>"),
        (NWF, "<a xmlns:s='http://etherx.jabber.org/streams' s:b='' stream:b=''/>"),
        (NWF, "<a xmlns:p='a b' xmlns:q='a\nb' p:b='1' q:b='2'/>"), // white space is normalised
    ]);
}

#[test]
fn x08_namespace_flood() {
    let limits = Limits::AFTER_AUTH;
    let element = |n: usize| {
        let inner: String = (0..n).map(|i| format!("<b xmlns:p{i}='u'/>")).collect();
        format!("{HEADER}<m>{inner}</m>")
    };
    let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, element(256).as_bytes());
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
    refused_with(&limits, &[(POLICY, element(257).as_bytes())]);
    let header: String = (0..17).map(|i| format!(" xmlns:p{i}='u'")).collect();
    refused_with(&Limits::BEFORE_AUTH, &[(POLICY, format!("<s{header}>").as_bytes())]);
}

#[test]
fn x08_prefixes() {
    refused(&[
        (PREFIX, "<p:a/>"),
        (PREFIX, "<a p:b=''/>"),
        (PREFIX, "<a><b xmlns:p='x'/><p:c/></a>"),
        (PREFIX, "<a xmlns:p=''/>"),
        (PREFIX, "<a xmlns:xml='x'/>"),
        (PREFIX, "<a xmlns:xml=''/>"),
        (PREFIX, "<a xmlns:xmlns='x'/>"),
        (PREFIX, "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>"),
        (PREFIX, "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>"),
        (PREFIX, "<a xmlns='http://www.w3.org/2000/xmlns/'/>"),
        (PREFIX, "<a xmlns='http://www.w3.org/XML/1998/namespace'/>"),
        (PREFIX, "<a xmlns:p='http://www.w3.org/XML/1998/namespac&#101;'/>"),
        (PREFIX, "<xmlns:a/>"),
        (PREFIX, "<Xml:a/>"),
        (NWF, "<a xmlns:=''/>"),
        (NWF, "<a xmlns:1='x'/>"),
        (NWF, "<a xmlns:p:q='x'/>"),
    ]);
    refused_with(
        &Limits::BEFORE_AUTH,
        &[
            (PREFIX, b"<stream:stream xmlns='jabber:client'>"),
            (PREFIX, b"<s xmlns:p=''>"),
            (PREFIX, b"<s p:a='' xmlns='x'>"),
        ],
    );
}

/// Byte sequences that are not UTF-8.
fn not_utf8() -> Vec<Vec<u8>> {
    let mut bad: Vec<Vec<u8>> = (0x80..=0xC1).chain(0xF5..=0xFF).map(|b| vec![b]).collect();
    for start in [0xC2, 0xDF, 0xE1, 0xEB, 0xEF, 0xF1, 0xF4] {
        bad.push(vec![start]); // cut short by what follows, be it `<`, `>` or a quote
        bad.push(vec![start, b'A']);
        bad.push(vec![start, 0xC3, 0xA9]);
    }
    bad.extend([
        vec![0xC0, 0xBC],             // `<` in two bytes
        vec![0xE0, 0x80, 0xBC],       // in three
        vec![0xF0, 0x80, 0x80, 0xBC], // in four
        vec![0xE0, 0x9F, 0xBF],
        vec![0xF0, 0x8F, 0xBF, 0xBF],
        vec![0xED, 0xA0, 0x80], // surrogates
        vec![0xED, 0xAD, 0xBF],
        vec![0xED, 0xBF, 0xBF],
        vec![0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80], // a pair of them
        vec![0xF4, 0x90, 0x80, 0x80],             // past U+10FFFF
        vec![0xF7, 0xBF, 0xBF, 0xBF],
        vec![0xE2, 0x82],
        vec![0xF0, 0x9F, 0xA5],
        vec![0xC3, 0xA9, 0xA9],
    ]);
    bad
}

#[test]
fn x09_bytes_that_are_not_utf8() {
    for bad in not_utf8() {
        for (before, after) in [
            ("<a>", "</a>"),
            ("<a>x", "x</a>"),
            ("<a b='", "'/>"),
            ("<a ", "='1'/>"),
            ("<a", "/>"),
            ("<a><![CDATA[", "]]></a>"),
        ] {
            let input = [HEADER.as_bytes(), before.as_bytes(), &bad, after.as_bytes()].concat();
            refused_with(&Limits::BEFORE_AUTH, &[(ENCODING, &input)]);
        }
    }
}

#[test]
fn x11_characters_that_xml_cannot_carry() {
    for bad in (0..0x20u8)
        .filter(|b| !b"\t\n\r".contains(b))
        .map(char::from)
        .chain(['\u{FFFE}', '\u{FFFF}'])
    {
        refused(&[
            (NWF, format!("<a>{bad}</a>")),
            (NWF, format!("<a b='{bad}'/>")),
            (NWF, format!("<a><![CDATA[{bad}]]></a>")),
            (NWF, format!("<a x{bad}='1'/>")),
        ]);
    }
}

#[test]
fn x11_text_that_parsers_read_differently() {
    refused_inside(&[
        (NWF, "]]>"),
        (NWF, "x]]]>"),
        (NWF, "&#10;]]>"),
        (NWF, "<![CDATA[]]>]]>"),
        (NWF, "<![CDATA[x]]]]>]]>"),
    ]);
    refused(&[(NWF, "<a b='<'/>"), (NWF, "<a b=\"<c/>\"></a>"), (NWF, "<a b='&#'/>")]);
    refused(&[(RESTRICTED, "<a b='\r'/>"), (RESTRICTED, "<a b='x\r\n\ry'/>")]);
}

#[test]
fn x12_encodings_and_declarations() {
    refused_with(
        &Limits::BEFORE_AUTH,
        &[
            (NWF, b"\xEF\xBB\xBF<stream:stream>"),
            (NWF, b"\xEF\xBB\xBF<?xml version='1.0'?>"),
            (ENCODING, b"\xFE\xFF\0<\0s"),
            (ENCODING, b"\xFF\xFE<\0s\0"),
            (ENCODING, b"\0<\0s"),
            (ENCODING, b"<\0s\0"),
            (ENCODING, b"\0\0\xFE\xFF"),
            (ENCODING, b"<?xml version='1.0' encoding='ISO-8859-1'?>"),
            (ENCODING, b"<?xml version='1.0' encoding=\"UTF-16\"?>"),
            (ENCODING, b"<?xml version='1.0' encoding=''?>"),
            (ENCODING, b"<?xml version='1.0' encoding='\xE9'?>"),
            (NWF, b"<?xml version='1.1'?>"),
            (NWF, b"<?xml version=\"2.0\"?>"),
            (NWF, b"<?xml version='1.0>"),
            (NWF, b"<?xml version=1.0?>"),
            (NWF, b"<?xml version='1.0\"?>"),
            (NWF, b"<?xml version='1.0'encoding='utf-8'?>"),
            (NWF, b"<?xml encoding='utf-8' version='1.0'?>"),
            (NWF, b"<?xml encoding='utf-8'?>"),
            (NWF, b"<?xml version='1.0' encoding?>"),
            (NWF, b"<?xml version='1.0' standalone='maybe'?>"),
            (NWF, b"<?xml version='1.0' other='1'?>"),
            (NWF, b"<?xml version='1.0' version='1.0'?>"),
            (NWF, b"<?xml ?>"),
            (NWF, b"<?xml?>"),
            (NWF, b" <?xml version='1.0'?>"),
            (NWF, b"<?xml version='1.0'?><?xml version='1.0'?>"),
            (NWF, b"<?xml version='1.0'?>\n<?xml version='1.0'?>"),
        ],
    );
    refused(&[
        (NWF, "<?xml version='1.0'?>"),
        (NWF, "<a/><?xml version='1.0'?>"),
        (NWF, "<a><?xml version='1.0'?></a>"),
        (NWF, "<a><?xml?></a>"),
    ]);
    let limits = Limits::BEFORE_AUTH;
    let inside = b"<body><?xml version='1.0'?><a/></body>";
    let outcome = read_every_way(|| Framer::document(limits.clone()), &limits, inside);
    assert_eq!(kind(outcome.error), NWF);
}

#[test]
fn x13_text_outside_elements() {
    refused_with(
        &Limits::BEFORE_AUTH,
        &[(NWF, b"GET / HTTP/1.1"), (NWF, b"\n x"), (NWF, b"\x16\x03\x01")],
    );
    refused(&[
        (FORMAT, "x"),
        (FORMAT, " \n\tx"),
        (FORMAT, "<a/>x<b/>"),
        (FORMAT, "<a/>\0"),
        (FORMAT, "<![CDATA[ ]]>"),
        (FORMAT, ">"),
    ]);
}

#[test]
fn tags_that_do_not_match() {
    refused(&[
        (NWF, "<a></b>"),
        (NWF, "<a><b></a></b>"),
        (NWF, "<a></A>"),
        (NWF, "<a><b></b ></c>"),
        (NWF, "<p:a xmlns:p='x' xmlns:q='x'></q:a>"), // the same name, written otherwise
        (NWF, "</a>"),
        (NWF, "</stream>"),
        (NWF, "</stream:stream></stream:stream>"),
        (NWF, "</stream:stream><a/>"),
        (NWF, "</stream:stream>x"),
        (NWF, "</>"),
        (NWF, "</ stream:stream>"),
        (NWF, "</stream:stream a=''>"),
        (NWF, "<a></a b=''>"),
        (NWF, "<a></a/>"),
        (NWF, "<a></a<"),
        (NWF, "<a></ a>"),
    ]);
    let limits = Limits::BEFORE_AUTH;
    for (expected, document) in [
        (NWF, "<a/><b/>"),
        (NWF, "<a/>x"),
        (NWF, "<a></a></a>"),
        (NWF, "</a>"),
        (NWF, "x<a/>"),
        (NWF, "<![CDATA[x]]><a/>"),
        ("accepted", "\n<a/>\n"),
    ] {
        let outcome =
            read_every_way(|| Framer::document(limits.clone()), &limits, document.as_bytes());
        assert_eq!(kind(outcome.error), expected, "{document}");
    }
    refused_with(&limits, &[(FORMAT, b"<stream:stream xmlns:stream='x'/>"), (NWF, b"</a>")]);
}

#[test]
fn malformed_tags() {
    refused(&[
        (NWF, "<>"),
        (NWF, "< a/>"),
        (NWF, "<a b/>"),
        (NWF, "<a b=1/>"),
        (NWF, "<a b='1'c='2'/>"),
        (NWF, "<a b='1'c/>"),
        (NWF, "<a b=''''/>"),
        (NWF, "<a ='1'/>"),
        (NWF, "<a '1'/>"),
        (NWF, "<a'b'/>"),
        (NWF, "<a b=='1'/>"),
        (NWF, "<a b='1' = />"),
        (NWF, "<a/ >"),
        (NWF, "<a//>"),
        (NWF, "<a /b='1'>"),
        (NWF, "<a <b/>"),
        (NWF, "<a b='1' <"),
        (NWF, "<1a/>"),
        (NWF, "<-a/>"),
        (NWF, "<.a/>"),
        (NWF, "<a!b/>"),
        (NWF, "<a$/>"),
        (NWF, "<:a/>"),
        (NWF, "<a:/>"),
        (NWF, "<stream:a:b/>"),
        (NWF, "<stream:1/>"),
        (NWF, "<a b:='1'/>"),
        (NWF, "<a :b='1'/>"),
        (NWF, "<a 1='1'/>"),
        (NWF, "<\u{B7}a/>"),
        (NWF, "<\u{300}a/>"),
        (NWF, "<a\u{D7}/>"),
        (NWF, "<a\u{37E}/>"),
        (NWF, "<a\u{2028}b='1'/>"),
        (NWF, "<a\u{A0}b='1'/>"),
        (NWF, "<a\u{85}b='1'/>"),
        (NWF, "<\u{F0000}/>"),
    ]);
}

#[test]
fn x16_an_element_over_the_limit_is_refused_before_its_end() {
    for limits in [Limits::BEFORE_AUTH, Limits::AFTER_AUTH] {
        let shell = "<a></a>".len();
        let element = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - shell));
        for (text, error) in
            [(element(limits.bytes), None), (element(limits.bytes + 1), Some(POLICY))]
        {
            let input = format!("{HEADER}{text}");
            let outcome =
                read(Framer::new(limits.clone()), &limits, input.as_bytes().chunks(1_000));
            assert_eq!(outcome.error.map(|e| kind(Some(e))), error);
            assert!(outcome.kept <= limits.bytes + 1_000);
            let outcome = read(Framer::new(limits.clone()), &limits, [input.as_bytes()]);
            assert_eq!(outcome.error.map(|e| kind(Some(e))), error);
        }
    }
}

#[test]
fn x16_nothing_unfinished_grows_over_the_limit() {
    let limits = Limits::BEFORE_AUTH;
    let endless = "x".repeat(3 * limits.bytes);
    let spaces = " ".repeat(3 * limits.bytes);
    for (start, rest) in [
        ("", format!("<?xml {spaces}")),
        ("", format!("<?xml version='{endless}")),
        ("", format!("<s {spaces}")),
        ("", format!("<s a='{endless}")),
        ("", format!("<{endless}")),
        (HEADER, format!("<{endless}")),
        (HEADER, format!("<a {endless}")),
        (HEADER, format!("<a b{spaces}")),
        (HEADER, format!("<a b='{endless}")),
        (HEADER, format!("<a b='1'{spaces}")),
        (HEADER, format!("<a>{endless}")),
        (HEADER, format!("<a>{spaces}")),
        (HEADER, format!("<a>&{endless}")),
        (HEADER, format!("<a><![CDATA[{endless}")),
        (HEADER, format!("<a></{endless}")),
        (HEADER, format!("<a></a{spaces}")),
        (HEADER, format!("</{endless}")),
        (HEADER, format!("</stream:stream{spaces}")),
    ] {
        for chunk in [1, 100, 4_096] {
            let input = format!("{start}{rest}");
            let outcome =
                read(Framer::new(limits.clone()), &limits, input.as_bytes().chunks(chunk));
            assert_eq!(kind(outcome.error), POLICY, "{}", &input[..start.len() + 20]);
            assert!(outcome.fed <= start.len() + limits.bytes + chunk);
            assert!(outcome.kept <= limits.bytes + chunk);
        }
    }
    // white space outside elements is dropped, so it may go on
    let outcome = read(
        Framer::new(limits.clone()),
        &limits,
        format!("{spaces}{HEADER}{spaces}<a/>{spaces}").as_bytes().chunks(100),
    );
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
    assert!(outcome.kept <= HEADER.len());
}

#[test]
fn a_name_over_the_limit_is_refused_while_it_grows() {
    let limits = Limits::BEFORE_AUTH;
    let long = "n".repeat(limits.name);
    let fits = format!("{HEADER}<{long} {long}=''></{long}>");
    let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, fits.as_bytes());
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
    for start in ["<", "<a ", "<a></", "</"] {
        let input = format!("{HEADER}{start}{long}n");
        let outcome = read_every_way(|| Framer::new(limits.clone()), &limits, input.as_bytes());
        assert_eq!((kind(outcome.error), outcome.fed), (POLICY, input.len()));
    }
}

#[test]
fn after_an_error_the_same_error_comes_again() {
    let mut framer = Framer::new(Limits::BEFORE_AUTH);
    let mut buffer = bytes::BytesMut::from("<!--");
    let first = framer.next(&mut buffer).unwrap_err();
    buffer.clear();
    buffer.extend_from_slice(HEADER.as_bytes());
    assert_eq!(framer.next(&mut buffer).unwrap_err(), first);
}
