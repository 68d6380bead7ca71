//! Well-formed streams and documents: what comes out of the framer and the checker.

mod support;

use support::read_every_way;
use xmpp_core::xml::{Framer, Limits};

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
