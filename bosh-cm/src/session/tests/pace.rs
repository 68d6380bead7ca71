//! Silence, pause, haste: XEP-0124 10 to 12.

use super::*;

#[test]
fn row_50_and_52_silence_after_the_last_response_ends_the_session() {
    let mut talk = Talk::usual();
    talk.send(101, "").after(30).server(&inherited("x")).answers();
    talk.after(59);
    assert_eq!(talk.end, None, "the clock starts at the response");
    talk.after(1);
    assert_eq!(talk.end, Some(End::Inactive));
    assert_eq!(talk.answers(), []);
    assert_eq!(talk.written(), "</stream:stream>");
    assert_eq!(talk.closed, [0]);
}

#[test]
fn row_52_a_repeat_counts_as_activity() {
    let mut talk = Talk::usual();
    talk.send(101, "").server(&inherited("x")).after(50);
    talk.on(1, 101, "", "").after(50);
    assert_eq!(talk.end, None);
    talk.after(10);
    assert_eq!(talk.end, Some(End::Inactive));
}

#[test]
fn row_50_a_held_request_keeps_the_session_and_a_lost_one_does_not() {
    let mut talk = Talk::usual();
    for rid in 101..110 {
        talk.send(rid, "").after(60);
        assert_eq!(talk.answer(), empty(rid));
    }
    talk.send(110, "").after(10).lose(110).after(59);
    assert_eq!(talk.end, None);
    talk.after(1);
    assert_eq!(talk.end, Some(End::Inactive));
}

#[test]
fn row_51_a_polling_session_may_be_silent_for_longer() {
    let mut talk = Talk::asked("hold='0'");
    let (_, body) = talk.answer();
    assert!(
        body.contains(" hold='0' requests='1' ") && body.contains(" inactivity='90' "),
        "{body}"
    );
    talk.server(HEADER).server(FEATURES).after(89);
    assert_eq!(talk.end, None);
    talk.after(1);
    assert_eq!(talk.end, Some(End::Inactive));
}

#[test]
fn row_53_a_pause_sends_every_request_home_and_allows_more_silence() {
    let mut talk = Talk::usual();
    talk.send(101, "").on(102, 102, "pause='120'", "");
    assert_eq!(talk.answers(), [empty(101), empty(102)]);
    talk.server(&inherited("x")).after(119);
    assert_eq!(talk.end, None);
    talk.send(103, "");
    assert_eq!(talk.answer(), (103, holding(&message("x"))));
    talk.after(60);
    assert_eq!(talk.end, Some(End::Inactive), "row 54: the next request restores the usual");
}

#[test]
fn b12_the_answer_to_a_pause_has_no_payload() {
    let mut talk = Talk::usual();
    talk.server(&inherited("x")).on(101, 101, "pause='60'", &message("on my way"));
    assert_eq!(talk.answer(), empty(101));
    assert_eq!(talk.written(), message("on my way"));
    talk.send(102, "");
    assert_eq!(talk.answer(), (102, holding(&message("x"))));
}

#[test]
fn row_54_and_b12_a_pause_may_shorten_but_not_exceed() {
    let mut talk = Talk::usual();
    talk.on(101, 101, "pause='5'", "").after(5);
    assert_eq!(talk.end, Some(End::Inactive));
    let mut talk = Talk::usual();
    talk.send(101, "").on(102, 102, "pause='121'", "");
    assert_eq!(
        talk.answers(),
        [(101, terminate("other-request")), (102, terminate("policy-violation"))]
    );
}

#[test]
fn row_55_and_b03_too_many_unanswered_requests_are_a_violation() {
    let mut talk = Talk::with("hold='4'");
    for rid in 101..=104 {
        talk.send(rid, "<a xmlns='x'/>");
    }
    talk.send(106, "<a xmlns='x'/>");
    assert_eq!(talk.end, None, "five are allowed");
    talk.send(107, "<a xmlns='x'/>");
    assert_eq!(talk.answers().pop(), Some((107, terminate("policy-violation"))));
    assert_eq!(talk.end, Some(End::Condition(Condition::PolicyViolation)));
}

#[test]
fn row_55_one_more_to_pause_or_to_terminate_is_allowed() {
    for wish in ["pause='10'", "type='terminate'"] {
        let mut talk = Talk::usual();
        talk.send(102, "<b xmlns='x'/>").on(103, 103, wish, "");
        assert_eq!((talk.end.clone(), talk.answers()), (None, vec![]), "{wish}");
        talk.send(101, "<a xmlns='x'/>");
        assert!(talk.written().starts_with("<a xmlns='x'/><b xmlns='x'/>"));
        assert_eq!(talk.answers().len(), 3);
    }
}

#[test]
fn row_55_repeats_do_not_count() {
    let mut talk = Talk::usual();
    for conn in 0..10 {
        talk.on(conn, 101, "", "");
    }
    assert_eq!(talk.end, None);
}

#[test]
fn row_56_the_last_request_allowed_may_not_be_empty_and_hasty() {
    let mut talk = Talk::usual();
    talk.send(101, "").after(1).send(102, "");
    assert_eq!(
        talk.answers(),
        [(101, terminate("other-request")), (102, terminate("policy-violation"))]
    );
    let mut talk = Talk::usual();
    talk.send(101, "").after(2).send(102, "");
    assert_eq!(talk.answer(), empty(101));
    let mut talk = Talk::usual();
    talk.send(101, "").send(102, "<a xmlns='x'/>");
    assert_eq!(talk.answer(), empty(101), "a request that brings something is not hasty");
}

#[test]
fn row_56_an_empty_request_that_comes_late_is_not_hasty() {
    let mut talk = Talk::usual();
    talk.send(102, "<a xmlns='x'/>").send(101, "");
    assert_eq!(talk.answer(), empty(101));
}

#[test]
fn row_56_a_new_page_may_go_on_where_the_old_one_broke_off() {
    let mut talk = Talk::usual();
    talk.send(101, "").lose(101).send(102, "");
    assert_eq!((talk.end.clone(), talk.answers()), (None, vec![]));
}

#[test]
fn b04_and_row_57_polling_too_often_is_a_violation_unless_it_pays() {
    let polling = || {
        let mut talk = Talk::with("wait='0'");
        talk.send(101, "");
        assert!(talk.answer().1.contains("<stream:features>"));
        talk.after(5).send(102, "");
        assert_eq!(talk.answer(), empty(102), "nothing is held");
        talk
    };
    let mut talk = polling();
    talk.after(1).send(103, "");
    assert_eq!(talk.answer(), (103, terminate("policy-violation")));

    let mut talk = polling();
    talk.after(2).send(103, "");
    assert_eq!(talk.answer(), empty(103));

    let mut talk = polling();
    talk.server(&inherited("x")).after(2).send(103, "").after(1).send(104, "");
    assert_eq!(talk.end, None, "the request before had a payload in its answer");

    let mut talk = polling();
    talk.send(103, "<a xmlns='x'/>").send(104, "<b xmlns='x'/>");
    assert_eq!(talk.end, None, "these bring something");
}
