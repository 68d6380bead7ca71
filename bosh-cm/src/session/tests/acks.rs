//! What has arrived, told both ways: XEP-0124 9.

use super::*;

/// A session whose client acknowledges, with its first answer.
fn acknowledging(hold: u64) -> Talk {
    Talk::with(&format!("hold='{hold}' wait='60' ack='1'"))
}

#[test]
fn row_16_acknowledgements_are_announced_to_who_announces_them() {
    let mut talk = Talk::asked("ver='1.6' ack='1'");
    talk.server(HEADER).server(FEATURES);
    assert!(talk.answer().1.contains(&format!(" ack='{FIRST}' ")));
    for other in ["", "ack='0'", "ack='100'"] {
        let mut talk = Talk::asked(other);
        talk.server(HEADER)
            .server(FEATURES)
            .send(101, "<a xmlns='x'/>")
            .send(102, "<a xmlns='x'/>");
        assert!(talk.answers().iter().all(|(_, body)| !body.contains("ack=")), "{other}");
    }
    assert_eq!(open("ack='x'").err(), Some(Condition::BadRequest));
}

#[test]
fn row_46_and_47_an_answer_names_the_highest_request_that_came_with_all_before_it() {
    let mut talk = acknowledging(3);
    talk.send(101, "<a xmlns='x'/>").server(&inherited("goes without saying"));
    assert_eq!(talk.answer().1, holding(&message("goes without saying")));
    talk.send(102, "<a xmlns='x'/>").send(103, "<a xmlns='x'/>").send(105, "<a xmlns='x'/>");
    talk.server(&inherited("hi"));
    let (conn, body) = talk.answer();
    assert_eq!((conn, body), (102, format!("<body ack='103'>{}</body>", message("hi"))));
    talk.on(104, 104, "ack='102'", "").server(&inherited("ho"));
    assert_eq!(talk.answer(), (103, format!("<body ack='105'>{}</body>", message("ho"))));
}

#[test]
fn row_46_a_repeat_gets_the_ack_of_the_first_time() {
    let mut talk = acknowledging(2);
    talk.send(101, "").send(102, "<a xmlns='x'/>").server(&inherited("hi"));
    let first = talk.answers.remove(0).1;
    assert!(plain(&first.body).contains(" ack='102'"));
    talk.on(103, 103, "ack='100'", "<b xmlns='x'/>").answers();
    talk.on(1, 101, "", "");
    assert_eq!(talk.answers.remove(0), (1, Answer { gist: Gist::Repeat, ..first }));
}

#[test]
fn row_30_and_47_a_request_sent_back_says_how_far_the_others_came() {
    let mut talk = Talk::with("hold='2' wait='20' ack='1'");
    talk.send(102, "<b xmlns='x'/>").after(20);
    assert_eq!(talk.answer(), (102, format!("<body type='error' ack='{FIRST}'/>")));
}

#[test]
fn b02_what_ends_a_session_says_nothing_of_the_requests_that_came() {
    for rid in [1, 104, RID_MAX] {
        let mut talk = acknowledging(1);
        talk.send(101, "").on(1, rid, "", "");
        assert_eq!(talk.answers().pop(), Some((1, terminate("item-not-found"))));
    }
}

#[test]
fn row_48_answers_are_kept_until_they_are_acknowledged() {
    let mut talk = acknowledging(1);
    for rid in 101..=120 {
        let ack = format!("ack='{FIRST}'");
        talk.on(rid, rid, if rid == 101 { "" } else { &ack }, "");
        talk.server(&inherited(&rid.to_string())).after(2);
    }
    talk.answers();
    talk.on(1, 101, "", "");
    assert!(talk.answer().1.contains(&message("101")), "a client without acks has lost it by now");
    talk.on(121, 121, "ack='118'", "").answers();
    talk.on(2, 119, "", "");
    assert!(talk.answer().1.contains(&message("118")), "each after the first was late by one");
    talk.on(3, 118, "", "");
    assert_eq!(talk.answers().pop(), Some((3, terminate("item-not-found"))), "it is forgotten");
}

#[test]
fn row_48_silence_says_that_all_has_come() {
    let mut talk = acknowledging(1);
    talk.send(101, "").server(&inherited("1"));
    talk.send(102, "").server(&inherited("2"));
    talk.on(1, 101, "", "");
    assert_eq!(talk.answers().pop(), Some((1, terminate("item-not-found"))));
}

#[test]
fn row_48_who_cannot_have_an_answer_yet_frees_nothing() {
    let mut talk = acknowledging(1);
    talk.send(101, "").server(&inherited("1"));
    talk.on(102, 102, "ack='101'", "").on(103, 103, "", "<a xmlns='x'/>").answers();
    talk.server(&inherited("2"));
    assert_eq!(talk.answer().0, 103, "102 went home when 103 came");
    talk.on(1, 102, "ack='101'", "");
    assert_eq!(talk.answer(), (1, "<body ack='103'/>".into()));
}

#[test]
fn b03_a_client_that_acknowledges_nothing_keeps_a_bounded_number() {
    let mut talk = acknowledging(1);
    for rid in 101..=300 {
        let ack = format!("ack='{FIRST}'");
        talk.on(rid, rid, &ack, "").server(&inherited("x")).after(2);
    }
    talk.answers();
    talk.on(1, 237, "", "");
    assert!(talk.answer().1.contains(&message("x")));
    talk.on(1, 236, "", "");
    assert_eq!(talk.answer(), (1, terminate("item-not-found")));

    let mut talk = acknowledging(1);
    let large = inherited(&"x".repeat(100_000));
    for rid in 101..=110 {
        let ack = format!("ack='{FIRST}'");
        talk.on(rid, rid, &ack, "").server(&large).after(2);
    }
    talk.answers();
    talk.on(1, 108, "", "");
    assert!(talk.answer().1.len() > 100_000, "as many as there may be requests, and one");
    talk.on(1, 107, "", "");
    assert_eq!(talk.answer(), (1, terminate("item-not-found")));
}

#[test]
fn row_49_an_answer_that_should_have_come_by_now_is_reported_at_once() {
    let mut talk = acknowledging(1);
    talk.send(101, "").server(&inherited("lost")).answers();
    talk.after(2);
    talk.on(102, 102, &format!("ack='{FIRST}'"), "");
    assert_eq!(talk.answer(), (102, "<body report='101' time='2000'/>".into()));
    talk.on(1, 101, "", "");
    assert_eq!(talk.answer(), (1, holding(&message("lost"))), "it can be asked for");
    talk.on(103, 103, "", "");
    assert_eq!(talk.answers(), [], "all is well again");
}

#[test]
fn row_49_what_is_there_to_be_said_goes_with_the_report() {
    let mut talk = acknowledging(1);
    talk.send(101, "").server(&inherited("lost")).server(&inherited("next")).answers();
    talk.on(102, 102, &format!("ack='{FIRST}'"), "");
    let expected = format!("<body report='101' time='0'>{}</body>", message("next"));
    assert_eq!(talk.answer(), (102, expected));
}

#[test]
fn row_49_who_is_up_to_date_waits() {
    let mut talk = acknowledging(2);
    talk.send(101, "").server(&inherited("1")).answers();
    talk.on(102, 102, "ack='101'", "").on(103, 103, "ack='101'", "<a xmlns='x'/>");
    assert_eq!(talk.answers(), []);
}
