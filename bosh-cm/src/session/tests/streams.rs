//! Several streams in one session: XEP-0124 16.

use super::*;

fn name(stream: u64) -> String {
    stream::name("SID", StreamId(stream)).to_string()
}

/// The attribute that names a stream.
fn of(stream: u64) -> String {
    format!("stream='{}'", name(stream))
}

/// A usual session with a second stream whose features have come.
fn two(hold: u64) -> Talk {
    let mut talk = Talk::with(&format!("hold='{hold}' wait='60'"));
    talk.on(101, 101, "to='example.org' xml:lang='it'", "");
    assert_eq!(talk.answer(), (101, format!("<body {}/>", of(1))));
    talk.send(102, "");
    talk.other_server(1, &HEADER.replace("example.com", "example.org")).other_server(1, FEATURES);
    talk.answers();
    talk.written();
    talk.further.clear();
    talk
}

#[test]
fn row_64_support_is_announced_by_the_name_of_the_first() {
    let mut talk = Talk::asked("");
    talk.server(HEADER).server(FEATURES);
    assert!(talk.answer().1.contains(&format!(" {} ", of(0))));
    let names: std::collections::BTreeSet<_> = (0..100).map(name).collect();
    assert_eq!(names.len(), 100);
    assert_ne!(stream::name("other", StreamId(0)), stream::name("SID", StreamId(0)));
}

#[test]
fn row_65_an_empty_request_with_a_domain_opens_another_stream() {
    let mut talk = Talk::usual();
    talk.on(101, 101, "to='example.org' from='juliet@example.org' xml:lang='it'", "");
    assert_eq!(talk.answer(), (101, format!("<body {}/>", of(1))), "and no session attributes");
    assert_eq!(talk.connects, ["example.com", "example.org"]);
    let header = &talk.further[&1];
    for part in ["to='example.org'", "from='juliet@example.org'", "xml:lang='it'"] {
        assert!(header.contains(part), "{part} in {header}");
    }
    assert_eq!(talk.written(), "", "the first goes on as before");

    talk.send(102, "").other_server(1, &HEADER.replace("example.com", "example.org"));
    assert_eq!(talk.answers(), []);
    talk.other_server(1, FEATURES);
    let expected = format!(
        "<body xmlns:stream='http://etherx.jabber.org/streams' xmlns:xmpp='urn:xmpp:xbosh' \
         from='example.org' xmpp:version='1.0' authid='i1' {}>{FEATURES}</body>",
        of(1)
    );
    assert_eq!(talk.answer(), (102, expected));
}

#[test]
fn row_65_the_name_comes_in_the_answer_to_the_request_and_in_no_other() {
    let mut talk = Talk::with("hold='2'");
    talk.send(101, "").on(102, 102, "to='example.org'", "");
    assert_eq!(talk.answers(), [empty(101), (102, format!("<body {}/>", of(1)))]);
    talk.on(7, 102, "to='example.org'", "");
    assert_eq!(talk.answer(), (7, format!("<body {}/>", of(1))), "a repeat opens nothing");
    assert_eq!(talk.connects.len(), 2);
}

#[test]
fn row_65_without_the_feature_it_is_an_ordinary_empty_request() {
    let text = format!("<body{BODY} rid='{FIRST}' to='example.com' ver='1.6'/>");
    let terms = Arc::new(Terms { streams: 1, ..Terms::default() });
    let opening = request(&text);
    let now = Instant::now();
    let mut talk = Talk::usual();
    talk.session = Session::open(now, Conn(FIRST), &opening, "SID".into(), &terms).expect("good");
    talk.perform();
    talk.server(HEADER).server(FEATURES);
    assert!(!talk.answer().1.contains(" stream='"));
    talk.after(5).on(101, 101, "to='example.org' stream='x'", "");
    assert_eq!((talk.answers(), talk.end.clone()), (vec![], None));
    talk.after(1).on(102, 102, "to='example.org'", "");
    assert_eq!(talk.answers().pop(), Some((102, terminate("policy-violation"))), "row 56 too");
}

#[test]
fn b03_a_stream_that_cannot_be_opened_is_over_at_once_and_the_session_goes_on() {
    let refused = |stream, condition: &str| {
        format!("<body {} type='terminate' condition='{condition}'/>", of(stream))
    };
    let mut talk = Talk::usual();
    talk.on(101, 101, "to='other.example'", "");
    assert_eq!(talk.answer(), (101, refused(1, "host-unknown")));
    talk.on(102, 102, "to='a@example.org'", "");
    assert_eq!(talk.answer(), (102, refused(2, "improper-addressing")));
    for (rid, stream) in (103..106).zip(3..) {
        talk.on(rid, rid, "to='example.org'", "");
        assert_eq!(talk.answer(), (rid, format!("<body {}/>", of(stream))));
    }
    talk.on(106, 106, "to='example.org'", "");
    assert_eq!(talk.answer(), (106, refused(6, "policy-violation")), "four at a time");
    assert_eq!((talk.connects.len(), talk.end.clone()), (4, None));
    talk.on(107, 107, &of(1), "<a xmlns='x'/>");
    assert_eq!((talk.written(), talk.end), (String::new(), None), "its name is remembered");
}

#[test]
fn row_66_every_body_that_says_something_names_its_stream_and_none_mixes_them() {
    let mut talk = two(1);
    talk.server(&inherited("1")).server(&inherited("2"));
    talk.other_server(1, &inherited("3")).server(&inherited("4"));
    let mut bodies = Vec::new();
    for rid in 103..106 {
        talk.send(rid, "<a xmlns='x'/>");
        bodies.push(talk.answer().1);
    }
    assert_eq!(bodies[0], format!("<body {}>{}{}</body>", of(0), message("1"), message("2")));
    assert_eq!(bodies[1], format!("<body {}>{}</body>", of(1), message("3")));
    assert_eq!(bodies[2], format!("<body {}>{}</body>", of(0), message("4")));
    talk.send(106, "").send(107, "<a xmlns='x'/>");
    assert_eq!(talk.answer(), empty(106), "who says nothing names none");
}

#[test]
fn row_67_payloads_go_to_the_stream_that_is_named_or_to_all() {
    let mut talk = two(1);
    talk.on(103, 103, &of(1), "<one xmlns='x'/>").send(104, "<all xmlns='x'/>");
    talk.on(105, 105, &of(0), "<zero xmlns='x'/>");
    assert_eq!(talk.written(), "<all xmlns='x'/><zero xmlns='x'/>");
    assert_eq!(talk.further[&1], "<one xmlns='x'/><all xmlns='x'/>");
}

#[test]
fn row_67_an_unknown_stream_is_not_found_and_an_empty_request_names_none() {
    let mut talk = two(1);
    talk.on(103, 103, "stream='x'", "");
    assert_eq!((talk.answers(), talk.end.clone()), (vec![], None));
    talk.on(104, 104, "stream='x'", "<a xmlns='x'/>");
    assert_eq!(talk.answers().pop(), Some((104, terminate("item-not-found"))));
    assert_eq!(talk.written(), "</stream:stream>");
    assert_eq!(talk.further[&1], "</stream:stream>");
    let mut talk = Talk::usual();
    talk.on(101, 101, "stream='x'", "<a xmlns='x'/>");
    assert_eq!(talk.answer(), (101, terminate("item-not-found")), "nor is it with one stream");
}

#[test]
fn row_68_a_terminate_request_that_names_a_stream_ends_that_one() {
    let mut talk = two(1);
    let farewell = "<presence type='unavailable' xmlns='jabber:client'/>";
    talk.send(103, "").on(104, 104, &format!("type='terminate' {}", of(1)), farewell);
    assert_eq!(talk.answers(), [(103, format!("<body {} type='terminate'/>", of(1))), empty(104)]);
    assert_eq!(talk.further[&1], format!("{farewell}</stream:stream>"));
    assert_eq!(
        (talk.written(), talk.end.clone(), talk.closed.clone()),
        (String::new(), None, vec![1])
    );

    talk.on(105, 105, &of(1), "<late xmlns='x'/>");
    assert_eq!(
        (talk.written(), talk.end.clone()),
        (String::new(), None),
        "it has just been closed"
    );
    talk.server(&inherited("x"));
    assert_eq!(talk.answer(), (105, format!("<body {}>{}</body>", of(0), message("x"))));

    talk.on(106, 106, &format!("type='terminate' {}", of(0)), "");
    assert_eq!(
        talk.answer(),
        (106, "<body type='terminate'/>".into()),
        "the last ends the session"
    );
    assert_eq!((talk.end, talk.closed), (Some(End::Terminated), vec![1, 0]));
}

#[test]
fn row_68_a_terminate_request_that_names_none_ends_all() {
    let mut talk = two(1);
    talk.on(103, 103, "type='terminate'", "<bye xmlns='x'/>");
    assert_eq!(talk.answer(), (103, "<body type='terminate'/>".into()));
    assert_eq!(talk.written(), "<bye xmlns='x'/></stream:stream>");
    assert_eq!(talk.further[&1], "<bye xmlns='x'/></stream:stream>");
    assert_eq!((talk.end, talk.closed), (Some(End::Terminated), vec![0, 1]));
}

#[test]
fn row_68_an_error_of_one_stream_leaves_the_others() {
    let mut talk = two(1);
    let error =
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    talk.other_server(1, &inherited("last")).other_server(1, error);
    talk.server(&inherited("on")).tell(Event::Closed(StreamId(1)));
    let mut bodies = Vec::new();
    for rid in 103..106 {
        talk.send(rid, "<a xmlns='x'/>");
        bodies.push(talk.answer().1);
    }
    assert_eq!(bodies[0], format!("<body {}>{}</body>", of(1), message("last")));
    assert_eq!(
        bodies[1],
        format!(
            "<body xmlns:stream='http://etherx.jabber.org/streams' {} type='terminate' \
             condition='remote-stream-error'>{error}</body>",
            of(1)
        )
    );
    assert_eq!(bodies[2], format!("<body {}>{}</body>", of(0), message("on")));
    assert_eq!(talk.further[&1], "</stream:stream>");
    assert_eq!(talk.written(), "<a xmlns='x'/>".repeat(3));
}

#[test]
fn row_68_and_25_a_server_that_fails_ends_its_stream() {
    let mut talk = Talk::usual();
    talk.on(101, 101, "to='example.org'", "").answers();
    talk.send(102, "").tell(Event::Failed(StreamId(1), Condition::RemoteConnectionFailed));
    let gone = format!("<body {} type='terminate' condition='remote-connection-failed'/>", of(1));
    assert_eq!((talk.answer(), talk.end.clone()), ((102, gone.clone()), None));

    let mut talk = Talk::usual();
    talk.on(101, 101, "to='example.org'", "").answers();
    talk.send(102, "").after(30);
    assert_eq!((talk.answer(), talk.end.clone()), ((102, gone), None), "it never said a word");
    assert_eq!(talk.closed, [1]);
}

#[test]
fn row_68_the_end_of_the_last_stream_is_the_end_of_the_session() {
    let mut talk = two(1);
    talk.server(&inherited("a")).server("</stream:stream>").other_server(1, &inherited("b"));
    talk.tell(Event::Closed(StreamId(1)));
    assert_eq!(talk.end, None);
    let mut bodies = Vec::new();
    for rid in 103..107 {
        talk.send(rid, "");
        bodies.push(talk.answer().1);
        talk.after(2);
    }
    assert_eq!(bodies[0], format!("<body {}>{}</body>", of(0), message("a")));
    assert_eq!(bodies[1], format!("<body {} type='terminate'/>", of(0)));
    assert_eq!(bodies[2], format!("<body {}>{}</body>", of(1), message("b")));
    assert_eq!(bodies[3], terminate("remote-connection-failed"));
    assert!(talk.end.is_some());
}

#[test]
fn row_28_all_streams_are_closed_when_the_connection_manager_stops() {
    let mut talk = two(1);
    talk.send(103, "").tell(Event::Shutdown);
    assert_eq!(talk.answer(), (103, terminate("system-shutdown")));
    assert_eq!(talk.closed, [0, 1]);
}

#[test]
fn row_73_a_restart_is_of_the_stream_named_or_of_those_that_wait_for_it() {
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for attributes in [of(1), String::new()] {
        let mut talk = two(1);
        talk.send(103, "").other_server(1, success).answers();
        talk.on(104, 104, &format!("xmpp:restart='true' to='example.org' {attributes}"), "");
        assert!(talk.further[&1].contains("<stream:stream "), "{attributes}");
        assert_eq!((talk.written(), talk.end), (String::new(), None));
    }
    let mut talk = two(1);
    talk.send(103, "").other_server(1, success).answers();
    talk.on(104, 104, &format!("xmpp:restart='true' {}", of(0)), "");
    assert_eq!(talk.answer(), (104, terminate("bad-request")), "the first waits for none");
    let mut talk = two(1);
    talk.send(103, "").other_server(1, success).answers();
    talk.on(104, 104, &of(1), "<presence/>");
    assert_eq!(talk.answer(), (104, terminate("bad-request")), "threat A09");
}

#[test]
fn row_55_opening_a_stream_is_no_empty_request() {
    let mut talk = Talk::usual();
    talk.send(101, "").on(102, 102, "to='example.org'", "");
    assert_eq!(talk.end, None);
    assert_eq!(talk.answers().len(), 2);
}

#[test]
fn r05_a_client_that_is_behind_stops_all_servers() {
    let mut talk = two(1);
    let large = inherited(&"x".repeat(100_000));
    talk.server(&large).other_server(1, &large).server(&large);
    assert!(!talk.session.reads(StreamId(0)) && !talk.session.reads(StreamId(1)));
}
