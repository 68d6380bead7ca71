//! When a client is asked what it has (XEP-0198 4).

use super::{
    manage::{ASK, ENABLE, ENABLE_RESUME, a, message, text},
    *,
};

#[test]
fn xep0198_4_the_client_is_asked_in_the_same_breath() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.mail("1");
    talk.mail("2");
    talk.says(&format!("{}{}{ASK}", text(&message("1")), text(&message("2"))));
    // one request at a time
    talk.mail("3");
    talk.says(&text(&message("3")));
    talk.hear(&a(2));
    assert_eq!(talk.proven(), ["1", "2"]);
    talk.says(ASK);
    talk.hear(&a(3));
    assert_eq!(talk.proven(), ["3"]);
    talk.says("");
}

#[test]
fn xep0198_4_the_client_may_acknowledge_unasked() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.mail("1");
    talk.hear(&a(1));
    assert_eq!(talk.proven(), ["1"]);
    talk.says(&text(&message("1")));
    talk.hear(&a(1));
    talk.hear(&a(1));
    talk.says("");
}

#[test]
fn xep0198_4_who_soon_acknowledges_unasked_is_not_asked_until_it_does_not() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.mail("1");
    talk.told();
    talk.hear(&a(0)); // not yet
    talk.hear(&a(1));
    for (id, h) in [("2", 2), ("3", 3)] {
        talk.mail(id);
        talk.says(&text(&message(id)));
        talk.wait(SECOND / 2);
        talk.hear(&a(h));
        talk.says("");
    }
    // Part of it is as good a sign.
    talk.mail("4");
    talk.mail("5");
    talk.told();
    talk.hear(&a(4));
    talk.wait(9 * SECOND);
    talk.says("");
    talk.wait(SECOND);
    talk.says(ASK);
    talk.hear(&a(5));
    assert_eq!(talk.proven(), ["1", "2", "3", "4", "5"]);
    // As long as that lasts.
    talk.mail("6");
    talk.told();
    talk.hear(&a(5));
    talk.hear(&a(6));
    talk.mail("7");
    talk.says(&text(&message("7")));
    talk.wait(2 * SECOND);
    talk.says("");
    talk.mail("8");
    talk.says(&format!("{}{ASK}", text(&message("8"))));
}

#[test]
fn xep0198_4_many_letters_are_asked_about() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.mail("0");
    talk.told();
    talk.hear(&a(0));
    talk.hear(&a(1));
    for id in 1..=64 {
        talk.mail(&id.to_string());
        assert!(!talk.told().contains(ASK));
    }
    talk.mail("65");
    assert!(talk.told().contains(ASK));
}

#[test]
fn xep0198_4_who_acknowledges_when_asked_or_late_is_asked() {
    let mut talk = Talk::secure().managed(ENABLE_RESUME);
    for (id, h) in [("1", 1), ("2", 2)] {
        talk.mail(id);
        talk.says(&format!("{}{ASK}", text(&message(id))));
        talk.hear(&a(h));
    }
    talk.mail("3");
    talk.told();
    talk.hear(&a(2));
    talk.wait(2 * SECOND);
    talk.hear(&a(3));
    talk.mail("4");
    talk.says(&format!("{}{ASK}", text(&message("4"))));
}

/// Whoever answers without having handled anything more is not asked again and again.
#[test]
fn xep0198_4_an_answer_that_says_nothing_new_is_no_reason_to_ask_again() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.mail("1");
    talk.mail("2");
    talk.told();
    for _ in 0..3 {
        talk.hear(&a(0));
        talk.says("");
    }
    talk.wait(60 * SECOND);
    talk.says(ASK);
    talk.hear(&a(1));
    talk.says(ASK);
    talk.hear(&a(1));
    talk.says("");
    talk.mail("3");
    talk.says(&format!("{}{ASK}", text(&message("3"))));
}
