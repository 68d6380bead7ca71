//! Requests in order, answers in order, repeats: XEP-0124 8 and 14.

use super::*;

#[test]
fn row_31_one_request_more_than_held_sends_the_oldest_home() {
    let mut talk = Talk::with("hold='2'");
    talk.send(101, "").send(102, "<a xmlns='x'/>");
    assert_eq!(talk.answers(), []);
    talk.send(103, "<b xmlns='x'/>");
    assert_eq!(talk.answer(), empty(101));
}

#[test]
fn row_32_every_request_is_answered_within_wait() {
    let mut talk = Talk::with("wait='20'");
    talk.send(101, "").after(19);
    assert_eq!(talk.answers(), []);
    talk.after(1);
    assert_eq!(talk.answers[0].1.gist, Gist::Empty);
    assert_eq!(talk.answer(), empty(101));
}

#[test]
fn row_33_and_35_data_goes_out_at_once_on_the_lowest_rid() {
    let mut talk = Talk::with("hold='2'");
    talk.send(101, "").send(102, "<a xmlns='x'/>").server(&inherited("hi"));
    assert_eq!(talk.answer(), (101, holding(&message("hi"))));
    talk.server(&inherited("ho"));
    assert_eq!(talk.answer(), (102, holding(&message("ho"))));
}

#[test]
fn row_34_payloads_reach_the_server_in_the_order_of_rid() {
    let mut talk = Talk::with("hold='4'");
    for rid in [104, 102, 103] {
        talk.send(rid, &format!("<m{rid} xmlns='x'/>"));
    }
    assert_eq!(talk.written(), "");
    talk.send(101, "<m101 xmlns='x'/>");
    assert_eq!(
        talk.written(),
        "<m101 xmlns='x'/><m102 xmlns='x'/><m103 xmlns='x'/><m104 xmlns='x'/>"
    );
    assert_eq!(talk.answers(), [], "all four may be held");
    talk.send(105, "<m105 xmlns='x'/>");
    assert_eq!(talk.answer(), empty(101));
}

#[test]
fn row_36_a_rid_beyond_the_window_ends_the_session() {
    let mut talk = Talk::usual();
    talk.send(102, "<a xmlns='x'/>");
    assert_eq!(talk.answers(), [], "last + requests is the end of the window");
    talk.send(103, "<b xmlns='x'/>");
    assert_eq!(
        talk.answers(),
        [(102, terminate("other-request")), (103, terminate("item-not-found"))]
    );
    assert_eq!(talk.end, Some(End::Condition(Condition::ItemNotFound)));
    assert_eq!(talk.written(), "</stream:stream>", "nothing out of order is delivered");
}

#[test]
fn row_37_a_gap_of_one_and_of_requests_less_one_is_waited_for() {
    for hold in 1..=4 {
        for gap in [1, hold] {
            let mut talk = Talk::with(&format!("hold='{hold}'"));
            talk.send(101 + gap, "<late xmlns='x'/>");
            assert_eq!(talk.written(), "");
            for rid in 101..101 + gap {
                talk.send(rid, "<early xmlns='x'/>");
            }
            let gap = usize::try_from(gap).expect("small");
            assert_eq!(talk.written(), "<early xmlns='x'/>".repeat(gap) + "<late xmlns='x'/>");
            assert_eq!(talk.end, None);
        }
    }
}

#[test]
fn row_39_a_repeated_rid_gets_the_identical_response() {
    let mut talk = Talk::usual();
    talk.send(101, "<a xmlns='x'/>").server(&inherited("one"));
    let first = talk.answers.remove(0).1;
    talk.written();
    talk.on(7, 101, "", "<a xmlns='x'/>");
    let (conn, again) = talk.answers.remove(0);
    assert_eq!((conn, again.status, first.gist), (7, 200, Gist::Payloads));
    assert_eq!(again, Answer { gist: Gist::Repeat, ..first });
    assert_eq!(talk.written(), "", "payloads are not processed again");
}

#[test]
fn row_38_and_41_as_many_responses_as_requests_are_kept() {
    let mut talk = Talk::with("hold='1'");
    for rid in 101..=105 {
        talk.send(rid, "").server(&inherited(&rid.to_string()));
    }
    talk.answers();
    for rid in [105, 104] {
        talk.on(1, rid, "", "");
        assert_eq!(talk.answer(), (1, holding(&message(&rid.to_string()))));
    }
    talk.on(1, 101, "", "");
    assert_eq!(talk.answer(), (1, terminate("item-not-found")));
}

/// A copy of a request that the network delivers late ends nothing, not even a pause.
#[test]
fn row_41_a_request_answered_long_ago_is_refused_and_the_session_goes_on() {
    let mut talk = Talk::usual();
    for rid in 101..=105 {
        talk.send(rid, "").server(&inherited(&rid.to_string()));
    }
    talk.on(106, 106, "pause='100'", "").answers();
    talk.on(1, 101, "", "<a xmlns='x'/>");
    assert_eq!(talk.answer(), (1, terminate("item-not-found")));
    assert_eq!(talk.written(), "", "it is not processed again");
    talk.after(90);
    assert_eq!(talk.end, None);
    talk.send(107, "").server(&inherited("hi"));
    assert_eq!(talk.answer(), (107, holding(&message("hi"))));
    talk.on(2, 99, "", "");
    assert_eq!(talk.end, Some(End::Condition(Condition::ItemNotFound)), "never of this session");
}

#[test]
fn row_38_the_answer_to_a_pause_takes_no_place() {
    let mut talk = Talk::usual();
    for rid in [101, 102] {
        talk.send(rid, "").server(&inherited(&rid.to_string()));
    }
    talk.on(103, 103, "pause='60'", "").answers();
    talk.on(1, 101, "", "");
    assert_eq!(talk.answer(), (1, holding(&message("101"))));
}

#[test]
fn row_23_too_large_and_too_small_look_the_same() {
    let mut bodies = Vec::new();
    for rid in [1, 50, 103, RID_MAX] {
        let mut talk = Talk::usual();
        talk.on(1, rid, "", "");
        bodies.push(talk.answers.remove(0).1);
    }
    assert!(bodies.iter().all(|answer| *answer == Condition::ItemNotFound.answer(true)));
}

#[test]
fn row_40_a_repeat_of_a_held_request_takes_its_place() {
    let mut talk = Talk::usual();
    talk.on(1, 101, "", "<a xmlns='x'/>").on(2, 101, "", "<a xmlns='x'/>");
    assert_eq!(talk.answers[0].1.gist, Gist::Again);
    assert_eq!(talk.answer(), (1, "<body type='error'/>".into()));
    assert_eq!(talk.written(), "<a xmlns='x'/>");
    talk.server(&inherited("hi"));
    assert_eq!(talk.answer(), (2, holding(&message("hi"))));
}

#[test]
fn row_40_a_repeat_waits_as_long_as_any_request() {
    let mut talk = Talk::with("wait='20'");
    talk.on(1, 101, "", "").after(15).on(2, 101, "", "").answers();
    talk.after(19);
    assert_eq!(talk.answers(), []);
    talk.after(1);
    assert_eq!(talk.answer(), empty(2));
}

#[test]
fn row_40_a_repeat_of_a_request_before_its_turn_takes_its_place() {
    let mut talk = Talk::usual();
    talk.on(1, 102, "", "<b xmlns='x'/>").on(2, 102, "", "<b xmlns='x'/>");
    assert_eq!(talk.answer(), (1, "<body type='error'/>".into()));
    talk.on(3, 101, "", "<a xmlns='x'/>");
    assert_eq!(talk.written(), "<a xmlns='x'/><b xmlns='x'/>");
    assert_eq!(talk.answer(), empty(3));
}

#[test]
fn row_42_a_rid_repeated_without_end_is_a_violation() {
    for answered in [false, true] {
        let mut talk = Talk::usual();
        talk.send(101, "");
        if answered {
            talk.server(&inherited("x"));
        }
        for conn in 0..32 {
            talk.on(conn, 101, "", "");
            assert_eq!(talk.end, None);
        }
        talk.answers();
        talk.on(33, 101, "", "");
        assert_eq!(talk.answers().pop(), Some((33, terminate("policy-violation"))));
    }
}

#[test]
fn row_43_rids_go_up_to_2_to_53_less_1() {
    let text = format!("<body{BODY} rid='{}' to='example.com' ver='1.6'/>", RID_MAX - 1);
    let terms = Arc::new(Terms::default());
    let now = Instant::now();
    let mut session =
        Session::open(now, Conn(0), &request(&text), "SID".into(), &terms).expect("a session");
    session.handle(
        now,
        Event::Received(StreamId::FIRST, &mut BytesMut::from(&*format!("{HEADER}{FEATURES}"))),
    );
    let last = format!("<body{BODY} rid='{RID_MAX}' sid='SID'><a xmlns='x'/></body>");
    session.handle(now, Event::Request(Conn(1), Box::new(request(&last))));
    let effects: Vec<_> = std::iter::from_fn(|| session.poll()).collect();
    assert!(
        effects.contains(&Effect::Write(StreamId::FIRST, Bytes::from_static(b"<a xmlns='x'/>")))
    );
}

#[test]
fn row_44_a_lost_connection_loses_and_doubles_nothing() {
    let mut talk = Talk::usual();
    talk.on(1, 101, "", "<a xmlns='x'/>").lose(1).server(&inherited("hi"));
    assert_eq!(talk.answers(), [], "nobody is there to be answered");
    talk.on(2, 101, "", "<a xmlns='x'/>");
    assert_eq!(talk.answer(), (2, holding(&message("hi"))));
    assert_eq!(talk.written(), "<a xmlns='x'/>");
}

#[test]
fn row_44_a_client_that_goes_on_instead_gets_the_data_too() {
    let mut talk = Talk::usual();
    talk.on(1, 101, "", "").lose(1).server(&inherited("hi"));
    talk.on(2, 102, "", "");
    assert_eq!(talk.answer(), (2, holding(&message("hi"))));
    talk.on(3, 101, "", "");
    assert_eq!(talk.answer(), empty(3));
}

#[test]
fn row_30_a_request_that_never_comes_is_asked_for_and_the_session_goes_on() {
    let mut talk = Talk::with("wait='20'");
    talk.on(1, 102, "", "<b xmlns='x'/>").after(20);
    assert_eq!(talk.answer(), (1, "<body type='error'/>".into()));
    talk.on(2, 101, "", "<a xmlns='x'/>").on(3, 102, "", "<b xmlns='x'/>");
    assert_eq!(talk.written(), "<a xmlns='x'/><b xmlns='x'/>", "once each");
    assert_eq!(talk.answers(), [empty(2)]);
    talk.server(&inherited("hi"));
    assert_eq!(talk.answer(), (3, holding(&message("hi"))));
}

#[test]
fn row_2_a_client_with_more_to_say_is_answered_with_all_before_it() {
    let mut talk = Talk::with("hold='3'");
    for rid in 101..=103 {
        talk.send(rid, "<a xmlns='x'/>");
    }
    talk.tell(Event::Pressed(Conn(102)));
    assert_eq!(talk.answers(), [empty(101), empty(102)]);
    talk.tell(Event::Pressed(Conn(102)));
    assert_eq!(talk.answers(), [], "it has its answer");
    talk.server(&inherited("hi"));
    assert_eq!(talk.answer(), (103, holding(&message("hi"))));
}

#[test]
fn row_2_and_30_a_client_that_holds_up_itself_is_asked_again() {
    let mut talk = Talk::usual();
    talk.send(102, "<b xmlns='x'/>").tell(Event::Pressed(Conn(102)));
    assert_eq!(talk.answer(), (102, "<body type='error'/>".into()));
    talk.send(101, "<a xmlns='x'/>").on(1, 102, "", "<b xmlns='x'/>");
    assert_eq!(talk.written(), "<a xmlns='x'/><b xmlns='x'/>", "once each");
}

#[test]
fn xep_0206_2_features_and_sasl_travel_alone_and_stanzas_together() {
    let mut talk = Talk::usual();
    let sasl = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>eA==</challenge>";
    talk.server(&inherited("1")).server(&inherited("2")).server(sasl).server(&inherited("3"));
    let mut bodies = Vec::new();
    for rid in 101..=103 {
        talk.send(rid, "");
        bodies.push(talk.answer().1);
    }
    assert_eq!(bodies[0], holding(&(message("1") + &message("2"))));
    assert_eq!(bodies[1], holding(sasl));
    assert_eq!(bodies[2], holding(&message("3")));
}

#[test]
fn row_10_a_prefix_of_the_stream_travels_with_the_stanza() {
    let mut talk = Talk::asked("ver='1.6'");
    talk.server(&HEADER.replace(" id=", " xmlns:d='urn:d' id=")).server(FEATURES).answers();
    talk.send(101, "").server("<iq><d:x/></iq>");
    let (_, body) = talk.answer();
    assert!(body.contains("xmlns:d='urn:d'") && body.contains("xmlns='jabber:client'"), "{body}");
}

#[test]
fn r05_a_client_that_does_not_ask_stops_the_server() {
    let mut talk = Talk::usual();
    let large = inherited(&"x".repeat(100_000));
    for _ in 0..2 {
        talk.server(&large);
        assert!(talk.session.reads(StreamId::FIRST));
    }
    talk.server(&large);
    assert!(!talk.session.reads(StreamId::FIRST), "over 256 KiB wait");
    talk.send(101, "");
    let first = talk.answers.remove(0).1;
    assert!(first.body.len() > 131_072 && first.body.len() < 262_144, "{}", first.body.len());
    assert!(talk.session.reads(StreamId::FIRST));
}

#[test]
fn r05_a_server_that_does_not_read_stops_the_client() {
    let mut talk = Talk::authenticated();
    talk.stalled = Some(0);
    let large = message(&"x".repeat(200_000));
    talk.send(103, &large).send(104, &large);
    assert_eq!(talk.answers(), [empty(103)]);
    talk.send(105, &message("waits"));
    assert_eq!(talk.answers(), []);
    assert!(!talk.written().contains("waits"));
    let stalled = talk.stalled.take().expect("stalled");
    talk.tell(Event::Written(StreamId::FIRST, stalled));
    assert_eq!(talk.written(), message("waits"));
    assert_eq!(talk.answer(), empty(104));
}

#[test]
fn x04_a_stranger_s_requests_are_small() {
    let large = message(&"x".repeat(16_384));
    let mut talk = Talk::usual();
    talk.send(102, &large);
    assert_eq!(talk.answer(), (102, terminate("policy-violation")));

    let mut talk = Talk::authenticated();
    talk.send(104, &large).send(103, "");
    assert_eq!(talk.written(), large);

    let mut talk = Talk::usual();
    talk.send(101, "").server("<success xmlns='urn:xmpp:sasl:2'/>");
    talk.send(102, &large);
    assert!(talk.authenticated && talk.written() == large, "no restart follows (XEP-0388 4)");

    let creation = open(&format!("from='{}'", "x".repeat(16_384)));
    assert_eq!(creation.err(), Some(Condition::PolicyViolation));
}
