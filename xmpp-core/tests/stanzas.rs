//! Stanzas: what is read, refused, answered and forwarded.
#![allow(clippy::unwrap_used)] // helpers of tests

use bytes::{Bytes, BytesMut};
use xmpp_core::{
    Kind, Stanza, StanzaError,
    error::{StanzaCondition, StreamCondition},
    ns,
    stanza::{ID_MAX, IqType, LANG_MAX, MessageType, PresenceType, StanzaFault},
    xml::{Element, Limits, Node, Scope},
};

fn element(text: &str) -> Element {
    let prefixes = [("stream", ns::STREAMS), ("out", "urn:out")];
    let scope = Scope {
        default: ns::CLIENT.to_owned(),
        prefixes: prefixes.map(|(p, n)| (p.to_owned(), n.to_owned())).to_vec(),
    };
    Element::check(Bytes::copy_from_slice(text.as_bytes()), &scope, &Limits::AFTER_AUTH).unwrap()
}

fn parse(text: &str) -> Result<Option<Stanza>, StanzaFault> {
    Stanza::parse(&element(text))
}

fn stanza(text: &str) -> Stanza {
    parse(text).unwrap().unwrap()
}

fn written(stanza: &Stanza) -> String {
    let mut out = BytesMut::new();
    stanza.write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn error(action: &str, condition: &str) -> String {
    format!(
        "<error type='{action}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )
}

#[test]
fn a_stanza_is_forwarded_with_its_payload_untouched() {
    let s = stanza(
        "<message  to='a@b/c' id = '1' type=\"chat\" xml:lang='en'>\
         <body>x &amp;  y</body>\n<out:x/><z xmlns='urn:z'/></message>",
    );
    assert_eq!(s.kind(), Kind::Message(MessageType::Chat));
    assert_eq!(
        written(&s.clone().from("r@d/x".parse().unwrap())),
        "<message type='chat' to='a@b/c' from='r@d/x' id='1' xml:lang='en' xmlns:out='urn:out'>\
         <body>x &amp;  y</body>\n<out:x/><z xmlns='urn:z'/></message>"
    );
    let children: Vec<_> = s.children().map(|c| (c.ns, c.name)).collect();
    assert_eq!(children, [(ns::CLIENT, "body"), ("urn:out", "x"), ("urn:z", "z")]);
    assert_eq!(s.child("urn:z", "z").unwrap().raw, b"<z xmlns='urn:z'/>");
    assert_eq!(s.child("urn:z", "body"), None);
    assert_eq!(stanza(&written(&s)), s);
}

#[test]
fn the_payload_is_shared_not_copied() {
    let s = stanza("<message to='a@b'><body>hello</body></message>");
    let copy = s.clone().to("c@d".parse().unwrap());
    assert_eq!(copy.inner().as_ptr(), s.inner().as_ptr());
    let detached = s.clone().detached();
    assert_ne!(detached.inner().as_ptr(), s.inner().as_ptr());
    assert_eq!(detached, s);
    assert_eq!(detached.child(ns::CLIENT, "body").unwrap().raw, b"<body>hello</body>");
}

#[test]
fn the_start_tag_keeps_what_has_no_field() {
    let s = stanza(
        "<message xmlns='jabber:client' out:a='&lt;' by=\"x'\" xmlns:p = \"urn:p\" p:b='' type='normal'><p:x/></message>",
    );
    assert_eq!(
        written(&s),
        "<message xmlns:p = \"urn:p\" xmlns:out='urn:out' out:a='&lt;' by=\"x'\" p:b=''><p:x/></message>"
    );
    assert_eq!(s.child("urn:p", "x").unwrap().raw, b"<p:x/>");
    assert_eq!(s.node(&s.child("urn:p", "x").unwrap()).unwrap().ns, "urn:p");
    assert_eq!(stanza(&written(&s)), s);
}

#[test]
fn only_stanzas_are_stanzas() {
    for text in [
        "<foo/>",
        "<Message/>",
        "<message xmlns='urn:x'/>",
        "<iq xmlns=''/>",
        "<stream:features/>",
        "<out:iq id='1' type='get'><x/></out:iq>",
    ] {
        assert_eq!(parse(text), Ok(None), "{text}");
    }
}

#[test]
fn servers_stanzas_are_the_same_stanzas() {
    let text =
        "<message xmlns='jabber:server' to='a@b'><body/><x xmlns='jabber:server'/></message>";
    let s = stanza(text);
    assert_eq!(s.child(ns::CLIENT, "body").unwrap().raw, b"<body/>");
    assert_eq!(written(&s), "<message to='a@b'><body/><x xmlns='jabber:server'/></message>");
}

#[test]
fn a_prefix_on_the_stanza_itself_ends_the_stream() {
    let close = StanzaFault::Close(StreamCondition::BadNamespacePrefix.into());
    for text in [
        "<c:message xmlns:c='jabber:client'/>",
        "<c:iq xmlns:c='jabber:client' xmlns='urn:x' type='get' id='1'><x/></c:iq>",
    ] {
        assert_eq!(parse(text), Err(close.clone()), "{text}");
    }
}

#[test]
fn types() {
    use {
        IqType::{Get, Result, Set},
        MessageType::{Chat, Groupchat, Headline, Normal},
        PresenceType::*,
    };
    let message = Kind::Message;
    let presence = Kind::Presence;
    for (name, type_, kind) in [
        ("message", None, message(Normal)),
        ("message", Some("normal"), message(Normal)),
        ("message", Some("chat"), message(Chat)),
        ("message", Some("groupchat"), message(Groupchat)),
        ("message", Some("headline"), message(Headline)),
        ("message", Some("error"), message(MessageType::Error)),
        ("message", Some("CHAT"), message(Normal)),
        ("message", Some(""), message(Normal)),
        ("presence", None, presence(Available)),
        ("presence", Some("unavailable"), presence(Unavailable)),
        ("presence", Some("subscribe"), presence(Subscribe)),
        ("presence", Some("subscribed"), presence(Subscribed)),
        ("presence", Some("unsubscribe"), presence(Unsubscribe)),
        ("presence", Some("unsubscribed"), presence(Unsubscribed)),
        ("presence", Some("probe"), presence(Probe)),
        ("presence", Some("error"), presence(Error)),
        ("iq", Some("get"), Kind::Iq(Get)),
        ("iq", Some("set"), Kind::Iq(Set)),
        ("iq", Some("result"), Kind::Iq(Result)),
        ("iq", Some("error"), Kind::Iq(IqType::Error)),
    ] {
        let attribute = type_.map(|t| format!(" type='{t}'")).unwrap_or_default();
        let s = stanza(&format!("<{name}{attribute} id='1'><x xmlns='urn:x'/></{name}>"));
        assert_eq!(s.kind(), kind);
        assert_eq!((kind.name(), stanza(&written(&s)).kind()), (name, kind));
    }
}

#[test]
fn what_is_refused_is_answered_as_rfc_6120_8_3_says() {
    let long = "x".repeat(ID_MAX + 1);
    let lang = "x".repeat(LANG_MAX + 1);
    let jid = error("modify", "jid-malformed");
    let bad = error("modify", "bad-request");
    for (text, reply) in [
        (
            "<iq type='get' id='1' to='@b' from='a@b/c'><x/></iq>".to_owned(),
            format!("<iq type='error' to='a@b/c' id='1'>{jid}</iq>"), // a malformed address is not repeated
        ),
        (
            "<message to='' id='1'><body/></message>".to_owned(),
            format!("<message type='error' id='1'>{jid}</message>"),
        ),
        ("<presence to='a b@c'/>".to_owned(), format!("<presence type='error'>{jid}</presence>")),
        (
            "<presence from='a@@b' to='c@d'/>".to_owned(),
            format!("<presence type='error' from='c@d'>{jid}</presence>"),
        ),
        (
            "<iq type='get' to='a@b' from='c@d'><x/></iq>".to_owned(),
            format!("<iq type='error' to='c@d' from='a@b' id=''>{bad}</iq>"),
        ),
        ("<iq id='1'><x/></iq>".to_owned(), format!("<iq type='error' id='1'>{bad}</iq>")),
        (
            "<iq id='1' type='GET'><x/></iq>".to_owned(),
            format!("<iq type='error' id='1'>{bad}</iq>"),
        ),
        ("<iq id='1' type='get'/>".to_owned(), format!("<iq type='error' id='1'>{bad}</iq>")),
        ("<iq id='1' type='set'>x</iq>".to_owned(), format!("<iq type='error' id='1'>{bad}</iq>")),
        (
            "<iq id='1' type='set'><x/><y/></iq>".to_owned(),
            format!("<iq type='error' id='1'>{bad}</iq>"),
        ),
        ("<presence type='away'/>".to_owned(), format!("<presence type='error'>{bad}</presence>")),
        ("<presence type=''/>".to_owned(), format!("<presence type='error'>{bad}</presence>")),
        (
            format!("<message id='{long}'/>"),
            format!("<message type='error' id='{long}'>{bad}</message>"),
        ),
        (format!("<message xml:lang='{lang}'/>"), format!("<message type='error'>{bad}</message>")),
    ] {
        match parse(&text) {
            Err(StanzaFault::Reply(answer)) => assert_eq!(written(&answer), reply, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn errors_and_results_are_not_answered() {
    for text in [
        "<message type='error' to='@'/>",
        "<presence type='error' to='@'/>",
        "<iq type='error' to='@' id='1'/>",
        "<iq type='result' to='@' id='1'/>",
        "<iq type='result'/>",
        "<iq type='error'/>",
        "<message type='error'><stream:x/></message>",
    ] {
        assert_eq!(parse(text), Err(StanzaFault::Ignore), "{text}");
    }
}

/// RFC 6120 8.2.3: rules 6 and 7 are for who answers; whoever asked has to get the answer all the same.
#[test]
fn results_and_errors_pass_whatever_is_in_them() {
    for text in [
        "<iq type='result' id='1'/>",
        "<iq type='result' id='1'>text</iq>",
        "<iq type='result' id='1'><a xmlns='urn:a'/></iq>",
        "<iq type='result' id='1'><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
        "<iq type='error' id='1'/>",
        "<iq type='error' id='1'><a xmlns='urn:a'/></iq>",
        "<iq type='error' id='1'><a xmlns='urn:a'/><b xmlns='urn:b'/><error/></iq>",
    ] {
        assert_eq!(written(&stanza(text)), text);
    }
}

#[test]
fn x10_the_streams_namespace_inside_a_stanza() {
    for inner in [
        "<stream:stream/>",
        "<stream:error/>",
        "<x><stream:stream><y/></stream:stream></x>",
        "<x><y xmlns='http://etherx.jabber.org/streams'/></x>",
        "<s:z xmlns:s='http://etherx.jabber.org/stream&#115;'/>",
        "<body/><a><b><c><stream:features/></c></b></a>",
    ] {
        let fault = parse(&format!("<message id='1' to='a@b'>{inner}</message>")).unwrap_err();
        let StanzaFault::Reply(reply) = fault else { panic!("{fault:?}") };
        let bad = error("modify", "bad-request");
        assert_eq!(
            written(&reply),
            format!("<message type='error' from='a@b' id='1'>{bad}</message>")
        );
    }
    // declared but not used, it does no harm
    assert!(parse("<message xmlns:s='http://etherx.jabber.org/streams'><s/></message>").is_ok());
}

#[test]
fn x10_namespaces_that_could_be_taken_for_names() {
    for ns in [
        "jabber:client|body",
        "a&#10;b",
        "a\nb",
        "a}b",
        "a b",
        "a{",
        "a\"",
        "a&lt;",
        "é",
        "^",
        "a\\b",
        "`",
    ] {
        for inner in [format!("<x xmlns='{ns}'/>"), format!("<x><p:y xmlns:p='{ns}'/></x>")] {
            let fault = parse(&format!("<message id='1'>{inner}</message>")).unwrap_err();
            let StanzaFault::Reply(reply) = fault else { panic!("{fault:?}") };
            let bad = error("modify", "bad-request");
            assert_eq!(written(&reply), format!("<message type='error' id='1'>{bad}</message>"));
        }
    }
    for ns in ["http://a.example/-._~:/?#[]@!$&amp;&apos;()*+,;=%41", "urn:xmpp:sid:0", "x"] {
        assert!(parse(&format!("<message><x xmlns='{ns}'/></message>")).is_ok());
    }
}

#[test]
fn ids_and_languages_up_to_the_limit() {
    let (id, lang) = ("i".repeat(ID_MAX), "l".repeat(LANG_MAX));
    let s = stanza(&format!("<iq type='get' id='{id}' xml:lang='{lang}'><x/></iq>"));
    assert_eq!((s.head.id.as_deref(), s.head.lang.as_deref()), (Some(&*id), Some(&*lang)));
    assert_eq!(stanza("<iq type='get' id=''><x/></iq>").head.id.as_deref(), Some(""));
}

#[test]
fn results_and_errors_go_back() {
    let iq =
        stanza("<iq type='get' id='1' to='a@b' from='c@d/e' xml:lang='de'><out:q>1</out:q></iq>");
    assert_eq!(
        written(&iq.result(Bytes::from_static(b"<r xmlns='urn:r'/>"))),
        "<iq type='result' to='c@d/e' from='a@b' id='1'><r xmlns='urn:r'/></iq>"
    );
    let unavailable = StanzaError::new(StanzaCondition::ServiceUnavailable);
    let reply = iq.error(&unavailable).unwrap();
    assert_eq!(
        written(&reply),
        format!(
            "<iq type='error' to='c@d/e' from='a@b' id='1' xmlns:out='urn:out'><out:q>1</out:q>{}</iq>",
            error("cancel", "service-unavailable")
        )
    );
    assert_eq!(reply.child(ns::CLIENT, "error").unwrap().name, "error");
    let message = stanza("<message type='chat' to='a@b'><body>long</body></message>");
    assert_eq!(
        written(&message.error(&unavailable).unwrap()),
        format!(
            "<message type='error' from='a@b'>{}</message>",
            error("cancel", "service-unavailable")
        )
    );
    for text in [
        "<iq type='result' id='1'/>",
        "<iq type='error' id='1'/>",
        "<message type='error'/>",
        "<presence type='error'/>",
    ] {
        assert_eq!(stanza(text).error(&unavailable), None);
    }
}

#[test]
fn children_are_added_and_taken_out() {
    let s = stanza("<message>a<x xmlns='urn:1'/>b<out:y/>c<x xmlns='urn:2'><x/></x>d</message>");
    let s = s.with_child(b"<delay xmlns='urn:xmpp:delay'/>");
    assert_eq!(s.child("urn:xmpp:delay", "delay").unwrap().raw, b"<delay xmlns='urn:xmpp:delay'/>");
    let s = s.without(|child| child.is("urn:1", "x") || child.is("urn:out", "y"));
    assert_eq!(s.inner(), "abc<x xmlns='urn:2'><x/></x>d<delay xmlns='urn:xmpp:delay'/>");
    let children: Vec<_> = s.children().map(|c| (c.ns, c.name)).collect();
    assert_eq!(children, [("urn:2", "x"), ("urn:xmpp:delay", "delay")]);
    let same = s.clone().without(|_| false);
    assert_eq!(same.inner().as_ptr(), s.inner().as_ptr());
    assert_eq!(s.without(|_| true).inner(), "abcd");
}

#[test]
fn a_child_reads_the_namespaces_around_it() {
    let s = stanza(
        "<iq type='set' id='1' xmlns:r='jabber:iq:roster' xmlns:u='urn:a&amp;b'>\
         <r:query u:ver='&#10;1\n'><r:item jid='a@b'>x<![CDATA[<]]>&amp;</r:item></r:query></iq>",
    );
    let query = s.node(&s.child(ns::ROSTER, "query").unwrap()).unwrap();
    let item = Node {
        ns: ns::ROSTER.to_owned(),
        name: "item".to_owned(),
        attributes: vec![(String::new(), "jid".to_owned(), "a@b".to_owned())],
        children: Vec::new(),
        text: "x<&".to_owned(),
    };
    assert_eq!(query.attributes, [("urn:a&b".to_owned(), "ver".to_owned(), "\n1 ".to_owned())]);
    assert_eq!(query.child(ns::ROSTER, "item"), Some(&item));
    assert_eq!(item.attr("jid"), Some("a@b"));
}

#[test]
fn xep0297_3_a_forwarded_stanza_is_whole_and_in_its_own_namespace() {
    let s = stanza(
        "<message type='chat' to='a@b/c' from='d@e/f' id='&apos;' xml:lang='it' xmlns:r='urn:r' out:x='1'>\
         a<body>hi</body><r:x/><out:y><z xmlns=''/></out:y></message>",
    );
    let wrapped = s.forwarded(s.kind(), "urn:xmpp:carbons:2", "received");
    let children: Vec<_> = wrapped.children().map(|c| (c.ns, c.name, c.span.len())).collect();
    assert_eq!(children, [("urn:xmpp:carbons:2", "received", wrapped.inner().len())]);
    // Read again by the strict checker, and by the reader of trees.
    let again = stanza(&written(&wrapped));
    assert_eq!(again, wrapped);
    let received = again.node(&again.child("urn:xmpp:carbons:2", "received").unwrap()).unwrap();
    let message = received.child(ns::FORWARD, "forwarded").unwrap();
    let message = message.child(ns::CLIENT, "message").unwrap();
    let names: Vec<_> = message.children.iter().map(|c| (&*c.ns, &*c.name)).collect();
    assert_eq!(names, [(ns::CLIENT, "body"), ("urn:r", "x"), ("urn:out", "y")]);
    assert_eq!((message.attr("id"), message.attr("from")), (Some("'"), Some("d@e/f")));
    assert_eq!(message.text, "a");
    let moved = wrapped.with_child(b"<x xmlns='urn:1'/>").without(|child| child.name == "received");
    assert_eq!(moved.inner(), "<x xmlns='urn:1'/>");
}

#[test]
fn weight_is_about_what_is_written() {
    for text in [
        "<message/>",
        "<iq type='get' id='12345' to='a@b/c' from='d@e'><query xmlns='jabber:iq:roster'/></iq>",
    ] {
        let s = stanza(text);
        assert!(written(&s).len() <= s.weight() && s.weight() <= written(&s).len() + 80);
    }
}

#[test]
fn debug_output_tells_no_content() {
    let text = "<message to='a@b' out:x='hunter2'><body x='hunter2'>hunter2</body></message>";
    let (e, s) = (element(text), stanza(text));
    let node = s.node(&s.child(ns::CLIENT, "body").unwrap()).unwrap();
    let attributes: Vec<_> = e.attributes().collect();
    let children: Vec<_> = e.children().collect();
    let all = format!("{e:?} {s:?} {node:?} {attributes:?} {children:?}");
    assert!(all.contains("body") && all.contains("a@b") && !all.contains("hunter2"), "{all}");
}
