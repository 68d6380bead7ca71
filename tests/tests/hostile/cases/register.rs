//! Registration by strangers, where it is on: R01, A05, A09, A13.

use super::UNFINISHED;
use crate::case::{
    Case, Expect,
    Expect::{Answer, StanzaError, StreamError},
    Met,
    Stage::*,
    case, made,
};
use std::sync::atomic::{AtomicU64, Ordering};
use xmpp_core::{ns, xml::Node};

const FORM: &str = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>";

/// XEP-0077 3.1: the form, and nobody's name in it.
const ASKED: Expect = Answer(|node| {
    let field =
        |query: &Node, name| query.child(ns::REGISTER, name).is_some_and(|f| f.text.is_empty());
    node.attr("type") == Some("result")
        && node
            .child(ns::REGISTER, "query")
            .is_some_and(|query| field(query, "username") && field(query, "password"))
});

fn set(username: &str, password: &str) -> String {
    format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{username}</username>\
         <password>{password}</password></query></iq>"
    )
}

/// Somebody new each time.
fn newcomer(_: &Met) -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    set(&format!("newcomer{:06}", COUNT.fetch_add(1, Ordering::Relaxed)), "wherefore").into()
}

pub fn cases() -> Vec<Case> {
    let refused = StanzaError("not-acceptable");
    vec![
        case("r01_form", Offered, FORM, ASKED),
        made("r01_newcomer", Offered, newcomer, Answer(|node| node.attr("type") == Some("result"))),
        case("a05_taken", Offered, set("nurse", "mine"), StanzaError("conflict")),
        case("a13_taken_in_capitals", Offered, set("NURSE", "mine"), StanzaError("conflict")),
        case(
            "a13_taken_in_wide_letters",
            Offered,
            set("\u{ff2e}urse", "x"),
            StanzaError("conflict"),
        ),
        case("a13_soft_hyphen", Offered, set("nur\u{ad}se", "mine"), refused),
        case("a13_address_as_name", Offered, set("nurse@capulet.lit", "mine"), refused),
        case("a13_spaces", Offered, set("the nurse", "mine"), refused),
        case("a13_nothing", Offered, set("", "mine"), refused),
        case("a13_too_long", Offered, set(&"n".repeat(1_024), "mine"), refused),
        case("a13_password_of_nothing", Offered, set("tybalt", ""), refused),
        case("a13_password_too_long", Offered, set("tybalt", &"x".repeat(1_024)), refused),
        case("a13_password_with_a_tab", Offered, set("tybalt", "a&#9;b"), refused),
        case(
            "a11_removal_of_nobody",
            Offered,
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
            StanzaError("unexpected-request"),
        ),
        case(
            "a11_removal_by_a_claimed_sender",
            Offered,
            "<iq type='set' id='r' from='nurse@capulet.lit'>\
             <query xmlns='jabber:iq:register'><remove/></query></iq>",
            StanzaError("unexpected-request"),
        ),
        case(
            "a09_form_of_another_host",
            Offered,
            FORM.replace("<iq", "<iq to='montague.lit'"),
            StanzaError("service-unavailable"),
        ),
        case(
            "a09_form_of_an_account",
            Offered,
            FORM.replace("<iq", "<iq to='nurse@capulet.lit'"),
            StanzaError("service-unavailable"),
        ),
        case(
            "a09_two_payloads",
            Offered,
            FORM.replace("<query", "<ping xmlns='urn:xmpp:ping'/><query"),
            StanzaError("bad-request"),
        ),
        case("a09_form_in_the_clear", Clear, FORM, StreamError("not-authorized"))
            .stream_only("over HTTP on loopback nobody else listens"),
        case("a09_form_during_sasl", Challenged, FORM, StreamError("not-authorized")),
        case("a09_form_before_bind", Restarted, FORM, StreamError("not-authorized")),
        case(
            "x16_more_than_a_stranger_may_say",
            Offered,
            set("tybalt", &"x".repeat(9_000)),
            StreamError("policy-violation"),
        )
        .stream_only(UNFINISHED),
    ]
}
