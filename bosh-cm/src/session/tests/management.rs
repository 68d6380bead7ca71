//! Stream management in the client's stead: XEP-0198, and XEP-0206 7 for servers that have it.

use super::*;
use crate::session::management::{Heard, Management, Nonza};

const BOUND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const BIND: &str = "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <jid>juliet@example.com/a</jid></bind></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const PRESENCE: &str = "<presence xmlns='jabber:client'/>";

fn ack(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// A session whose client has bound a resource at a server with these features; its last request is 103.
fn bound_with(features: &str, attributes: &str) -> Talk {
    let mut talk = Talk::with(attributes);
    talk.send(101, "<auth/>").server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    talk.on(102, 102, "xmpp:restart='true'", "").server(HEADER).server(features);
    talk.send(103, "<iq xmlns='jabber:client'/>").server(BIND);
    talk.after(5).answers();
    talk.written();
    talk
}

fn bound() -> Talk {
    bound_with(BOUND, "hold='1' wait='60'")
}

/// One that is managed in its client's stead; its last request is 104, answered.
pub(super) fn managed(attributes: &str) -> Talk {
    let mut talk = bound_with(BOUND, attributes);
    talk.send(104, PRESENCE).server(ENABLED).server(PRESENCE);
    assert_eq!(talk.written(), format!("{ENABLE}{PRESENCE}"));
    assert_eq!(talk.answer(), (104, holding(PRESENCE)));
    talk
}

#[test]
fn row_76_a_stream_is_managed_for_a_client_that_does_not_do_it() {
    let mut talk = bound();
    talk.send(104, PRESENCE);
    assert_eq!(talk.written(), format!("{ENABLE}{PRESENCE}"));
    talk.server(ENABLED).server(ASK);
    assert_eq!(talk.written(), ack(0), "at once, with what is certain");
    talk.server(&inherited("x")).server(ASK);
    assert_eq!(talk.answer(), (104, holding(&message("x"))), "the client sees nothing of it");
    assert_eq!(talk.written(), ack(0), "an answer that was sent is not one that was read");
    talk.send(105, "");
    assert_eq!(talk.written(), ack(1), "who asks for the next has the one before");
    talk.server("<a xmlns='urn:xmpp:sm:3' h='1'/>").server(ASK);
    assert_eq!((talk.answers(), talk.written()), (vec![], ack(1)));
}

#[test]
fn row_76_a_server_takes_back_what_was_sent_and_never_read() {
    let mut talk = managed("hold='1' wait='60'");
    talk.send(105, "");
    assert_eq!(talk.written(), ack(1));
    talk.server(&inherited("unread"));
    assert_eq!(talk.answer(), (105, holding(&message("unread"))));
    talk.server(&inherited("unsent")).after(60);
    assert_eq!(talk.end, Some(End::Inactive));
    assert_eq!(talk.written(), "</stream:stream>", "it counts: nothing is to be said");
}

#[test]
fn row_76_where_the_client_is_refused_what_it_did_not_take_comes_back() {
    let mut talk = bound();
    talk.send(104, ENABLE).server("<failed xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(talk.answer(), (104, holding("<failed xmlns='urn:xmpp:sm:3'/>")));
    talk.written();
    talk.server("<message from='romeo@example.com' id='m'/>").after(60);
    let written = talk.written();
    assert!(written.contains("<recipient-unavailable "), "nobody counts: {written}");
    assert!(written.ends_with("</stream:stream>"), "nor is there anything to come back to");
}

/// XEP-0198 5
#[test]
fn l10_a_stream_that_its_client_resumes_is_left_too() {
    let mut talk = Talk::authenticated();
    talk.server(BOUND).send(103, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>");
    talk.server("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='0'/>").answers();
    talk.written();
    talk.server("<message from='romeo@example.com' id='m'/>").after(60);
    assert_eq!((talk.end.take(), talk.written()), (Some(End::Inactive), String::new()));
}

/// XEP-0198 9
#[test]
fn l10_a_stream_that_sasl_brought_back_or_began_managed_is_left_too() {
    for (inside, is_managed) in [
        ("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='0'/>", true),
        ("<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound>", true),
        ("<failed xmlns='urn:xmpp:sm:3'/><bound xmlns='urn:xmpp:bind:0'/>", false),
    ] {
        let mut talk = Talk::usual();
        talk.send(101, "");
        talk.server(&format!("<success xmlns='urn:xmpp:sasl:2'>{inside}</success>")).server(BOUND);
        talk.server(&inherited("unsent")).after(60);
        assert_eq!(talk.end, Some(End::Inactive));
        assert_eq!(talk.written.is_empty(), is_managed, "{inside}: {}", talk.written);
    }
}

/// XEP-0198 7: nobody has closed the stream, so its client may resume it by another way.
#[test]
fn l10_a_stream_that_its_client_manages_is_left_and_not_closed() {
    let theirs = || {
        let mut talk = bound();
        talk.send(104, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>").server(ENABLED);
        talk.answer();
        talk.written();
        talk.send(105, "").server(&inherited("unread"));
        talk.answer();
        talk.server(&inherited("unsent"));
        talk
    };
    let mut talk = theirs();
    talk.after(60);
    assert_eq!((talk.end.take(), talk.written()), (Some(End::Inactive), String::new()));
    let mut talk = theirs();
    talk.tell(Event::Shutdown);
    assert_eq!(talk.written(), "");
    // The answer may be on its way.
    for asked in
        ["<enable xmlns='urn:xmpp:sm:3'/>", "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"]
    {
        let mut talk = bound();
        talk.send(104, asked);
        assert_eq!(talk.written(), asked);
        talk.tell(Event::Shutdown);
        assert_eq!(talk.written(), "");
    }
    let mut talk = theirs();
    talk.on(106, 106, "type='terminate'", "");
    assert_eq!(talk.written(), "</stream:stream>", "it is the client that closes it");
}

#[test]
fn row_28_what_waits_when_the_connection_manager_stops_goes_back_and_is_not_given_as_well() {
    let mut talk = managed("hold='1' wait='60'");
    talk.server(&inherited("x")).tell(Event::Shutdown);
    assert_eq!(talk.written(), "</stream:stream>", "it counts: nothing is to be said");
    talk.send(105, "");
    assert_eq!(talk.answer(), (105, terminate("system-shutdown")));
    let mut talk = bound();
    talk.server("<message from='romeo@example.com'/>").tell(Event::Shutdown);
    let written = talk.written();
    assert!(written.contains("to='romeo@example.com'"), "{written}");
    assert!(written.ends_with("</stream:stream>"), "{written}");
    talk.send(104, "");
    assert_eq!(talk.answer(), (104, terminate("system-shutdown")));
    // Unless there is no way back.
    let mut talk = bound();
    talk.server(&inherited("x")).server("</stream:stream>").tell(Event::Shutdown);
    talk.send(104, "");
    assert!(talk.answer().1.contains(&message("x")));
}

#[test]
fn row_76_a_client_may_have_what_the_server_refused_us() {
    let mut talk = bound();
    talk.send(104, PRESENCE).server("<failed xmlns='urn:xmpp:sm:3'/>").send(105, ENABLE);
    talk.server(ENABLED).answers();
    talk.written();
    talk.server(&inherited("unsent")).after(60);
    assert_eq!((talk.end, talk.written), (Some(End::Inactive), String::new()));
}

#[test]
fn row_76_what_waits_for_a_client_that_leaves_is_left_to_the_server() {
    let mut talk = managed("hold='1' wait='60'");
    talk.server(&inherited("x")).on(105, 105, "type='terminate'", "");
    assert_eq!(talk.answer(), (105, "<body type='terminate'/>".into()));
    assert_eq!(talk.written(), "</stream:stream>");

    let mut talk = managed("hold='1' wait='60'");
    talk.send(105, "").server(&inherited("read")).send(106, "").answers();
    talk.on(107, 107, "type='terminate'", "<a xmlns='x'/>");
    let written = format!("{}{}<a xmlns='x'/></stream:stream>", ack(1), ack(2));
    assert_eq!(talk.written(), written);
}

/// XEP-0198 4: an acknowledgement without the error that stands before it would tell of a message that is nowhere.
#[test]
fn n1_who_leaves_hears_of_no_acknowledgement_without_the_error_before_it() {
    let mut talk = bound();
    talk.send(104, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>").server(ENABLED).answer();
    talk.server(&ack(1)).server(&inherited("refused")).server(&ack(2));
    talk.on(105, 105, "type='terminate'", "");
    assert_eq!(talk.answer(), (105, format!("<body type='terminate'>{}</body>", ack(1))));
}

#[test]
fn row_76_the_last_stanzas_of_a_stream_that_the_server_ends_are_given_all_the_same() {
    let mut talk = managed("hold='1' wait='60'");
    talk.server(&inherited("x")).server("</stream:stream>").send(105, "");
    assert_eq!(talk.answer(), (105, format!("<body type='terminate'>{}</body>", message("x"))));
}

#[test]
fn row_47_a_request_proves_no_more_than_its_client_must_have() {
    const A: &str = "<a xmlns='x'/>";
    // Two may be open: the one before last is there for certain.
    let mut talk = managed("hold='1' wait='60'");
    talk.send(105, A);
    assert_eq!(talk.written(), A);
    talk.server(PRESENCE).send(106, A);
    assert_eq!(talk.written(), ack(1) + A);
    talk.on(107, 107, "pause='60'", "");
    assert_eq!(talk.written(), "", "a pause may be one more");
    talk.send(108, "");
    assert_eq!(talk.written(), ack(2));
    let mut talk = managed("hold='1' wait='60'");
    talk.send(105, A).server(PRESENCE).send(106, A).on(107, 107, "type='terminate'", "");
    assert_eq!(talk.written(), format!("{A}{}{A}</stream:stream>", ack(1)), "and so may the end");

    // Three may be open, and one that is empty need not be the only one.
    let mut talk = managed("hold='2' wait='60'");
    talk.send(105, A).send(106, A);
    assert_eq!(talk.written(), format!("{A}{A}"));
    talk.after(5).send(107, "");
    assert_eq!(talk.written(), ack(1));

    // Who polls has one only.
    let mut talk = Talk::with("hold='0' wait='0'");
    talk.send(101, "<auth/>").server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    talk.on(102, 102, "xmpp:restart='true'", "").server(HEADER).server(BOUND).server(BIND);
    talk.send(103, PRESENCE).server(ENABLED).server(PRESENCE).send(104, A);
    assert!(talk.answers.pop().is_some_and(|(_, answer)| plain(&answer.body).contains(PRESENCE)));
    assert!(talk.written().ends_with(&format!("{ENABLE}{PRESENCE}{A}")));
    talk.send(105, A).send(106, A);
    assert_eq!(talk.written(), format!("{}{A}{A}", ack(1)));
}

#[test]
fn row_48_who_acknowledges_answers_says_what_it_has() {
    const A: &str = "<a xmlns='x'/>";
    let mut talk = managed("hold='2' wait='60' ack='1'");
    talk.send(105, A).on(106, 106, "ack='104'", A).server(PRESENCE).on(107, 107, "ack='105'", A);
    assert_eq!(talk.written(), format!("{}{A}{A}{}{A}", ack(1), ack(2)));
    talk.server(PRESENCE).server(PRESENCE).send(108, A);
    assert_eq!(talk.written(), ack(4) + A, "saying nothing says all");
    talk.server(PRESENCE).on(109, 109, "ack='200'", A).send(110, A);
    assert_eq!(talk.written(), format!("{A}{A}"), "it has nothing that was not sent");
    talk.on(111, 111, "ack='108'", A);
    assert_eq!(talk.written(), ack(5) + A);
}

#[test]
fn r05_a_client_that_has_much_is_given_a_reason_to_show_it() {
    let mut talk = managed("hold='1' wait='60'");
    talk.send(105, "").server(&inherited("x").repeat(63)).send(106, "<a xmlns='x'/>");
    assert_eq!(talk.answers().len(), 1, "that is not much");
    talk.server(&inherited("x").repeat(64)).send(107, "<a xmlns='x'/>");
    assert_eq!(talk.answers().pop(), Some(empty(107)), "or its server might wait as long as it");
    talk.written();
    talk.send(108, "");
    assert_eq!(talk.written(), ack(1 + 63 + 64));
    assert_eq!(talk.answers(), []);
}

#[test]
fn row_40_a_repeat_proves_nothing() {
    let mut talk = managed("hold='1' wait='60'");
    talk.on(1, 104, "", PRESENCE).on(2, 104, "", PRESENCE).server(ASK);
    assert_eq!(talk.written(), ack(0));
}

#[test]
fn row_76_a_client_that_manages_its_stream_is_left_alone() {
    let asks = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
    let mut talk = bound();
    talk.send(104, asks).server(ENABLED).server(ASK).server(&inherited("x"));
    assert_eq!(talk.written(), asks);
    assert_eq!(talk.answer(), (104, holding(ENABLED)));
    talk.send(105, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(talk.answer(), (105, holding(&format!("{ASK}{}", message("x")))));
    assert_eq!(talk.written(), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    // Also after the request that RFC 3921 wanted first, and beside others.
    let session = "<iq type='set' xmlns='jabber:client'>\
        <session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    let mut talk = bound();
    talk.send(104, session).send(105, &format!("{PRESENCE}{asks}"));
    assert_eq!(talk.written(), format!("{session}{PRESENCE}{asks}"));
    // Or instead of binding.
    let mut talk = Talk::authenticated();
    talk.server(BOUND).send(103, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>");
    talk.server("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='0'/>").send(104, PRESENCE);
    assert!(!talk.written().contains("<enable"));
}

#[test]
fn row_76_a_client_that_comes_too_late_is_told_so() {
    let mut talk = managed("hold='1' wait='60'");
    let late = "<enable xmlns='urn:xmpp:sm:3'/>";
    talk.send(105, &format!("<x/>{late}<y/><r xmlns='urn:xmpp:sm:3'/><z/>"));
    assert_eq!(talk.written(), "<x/><y/><z/>", "nothing of it reaches the server");
    let failed = "<failed xmlns='urn:xmpp:sm:3'>\
        <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    assert_eq!(talk.answer(), (105, holding(failed)));
    talk.send(106, late).after(5).send(107, "");
    assert_eq!(talk.written(), ack(1), "it goes on");
}

#[test]
fn row_76_a_server_that_refuses_is_not_asked_again() {
    let mut talk = bound();
    talk.send(104, PRESENCE).server("<failed xmlns='urn:xmpp:sm:3'/>").server(&inherited("x"));
    assert_eq!(talk.written(), format!("{ENABLE}{PRESENCE}"));
    assert_eq!(talk.answer(), (104, holding(&message("x"))));
    talk.send(105, PRESENCE).server(&inherited("y")).answers();
    assert_eq!(talk.written(), PRESENCE);
    talk.server("<message from='romeo@example.com' id='m'/>").after(60);
    assert!(talk.written().contains("<recipient-unavailable "), "then it comes back as before");
}

#[test]
fn row_76_a_server_without_stream_management_is_not_asked() {
    let without = BOUND.replace("<sm xmlns='urn:xmpp:sm:3'/>", "");
    let mut talk = bound_with(&without, "hold='1' wait='60'");
    talk.send(104, PRESENCE);
    assert_eq!(talk.written(), PRESENCE);
    let mut talk = Talk::authenticated();
    talk.server(BOUND).send(103, PRESENCE);
    assert_eq!(talk.written(), PRESENCE, "nor one where no resource is bound");
}

#[test]
fn row_76_only_what_comes_after_enabled_is_counted() {
    let mut talk = bound();
    talk.send(104, PRESENCE).server(&inherited("before")).server(ENABLED).send(105, "").answers();
    talk.server("<presence/>").send(106, "");
    assert_eq!(talk.written(), format!("{ENABLE}{PRESENCE}{}", ack(1)));
    // What was on its way before it is not the server's to take back.
    let mut talk = bound();
    talk.send(104, PRESENCE).server(PRESENCE).answers();
    talk.server("<message from='romeo@example.com'/>").server(ENABLED);
    talk.server("<message from='nurse@example.com'/>").after(60);
    let written = talk.written();
    assert!(written.contains("to='romeo@example.com'"), "{written}");
    assert!(!written.contains("to='nurse@example.com'"), "{written}");
}

#[test]
fn s03_the_count_goes_round_at_2_to_32() {
    let mut management = Management::default();
    assert_eq!(
        management.hear(true, &request(&format!("<body{BODY} rid='1'>{PRESENCE}</body>"))),
        Heard::Enable
    );
    management.learn(Nonza::Enabled);
    management.answered(1, u32::MAX);
    management.answered(2, 3);
    let text = |ack: Option<Bytes>| ack.map(|ack| String::from_utf8(ack.to_vec()).expect("UTF-8"));
    assert_eq!(text(management.arrived(1)), Some(ack(u32::MAX)));
    assert_eq!(text(management.arrived(2)), Some(ack(2)));
}

#[test]
fn r03_a_client_that_never_acknowledges_is_kept_account_of_in_bounded_space() {
    let mut talk = managed("hold='1' wait='60' ack='1'");
    for rid in 105..1_105 {
        talk.on(rid, rid, "ack='103'", "<a xmlns='x'/>").server("<presence/>");
    }
    talk.written();
    for rid in 1_105..1_110 {
        talk.answers();
        talk.on(rid, rid, "ack='1000'", "<a xmlns='x'/>");
    }
    let newest = talk.answers().into_iter().find(|(conn, _)| *conn == 1_109);
    assert_eq!(newest, None, "who shows nothing is not asked for ever");
    let written = talk.written();
    assert!(written.starts_with("<a xmlns='x'/>"), "of the oldest none is certain yet: {written}");
    talk.on(1_110, 1_110, "ack='1104'", "<a xmlns='x'/>");
    assert!(talk.written().starts_with(&ack(1_000)), "the last answer is still open");
}

#[test]
fn r03_a_client_that_comes_too_late_without_end_fills_no_memory() {
    let mut talk = managed("hold='1' wait='60'");
    for rid in 105..125 {
        let many = "<m:enable/>".repeat(4_000);
        talk.on(rid, rid, "xmlns:m='urn:xmpp:sm:3'", &many);
    }
    assert_eq!(talk.end, None);
    let waits: usize = talk.session.outbox.drain().map(|(_, payload)| payload.bytes.len()).sum();
    assert!((100_000..300_000).contains(&waits), "{waits}");
}

#[test]
fn row_66_each_stream_is_managed_by_itself() {
    let mut talk = managed("hold='1' wait='60'");
    talk.on(105, 105, "to='example.org'", "");
    let names: Vec<_> = (0..2).map(|id| stream::name("SID", StreamId(id))).collect();
    assert_eq!(talk.answer(), (105, format!("<body stream='{}'/>", names[1])));
    talk.written();
    talk.server(&inherited("one")).send(106, "");
    assert!(talk.answer().1.contains(&message("one")));
    assert_eq!(talk.written(), ack(1));
    talk.on(107, 107, &format!("stream='{}'", names[0]), "<a xmlns='x'/>");
    talk.after(5).send(108, "");
    assert_eq!(talk.written(), "<a xmlns='x'/>".to_owned() + &ack(2));
    assert!(!talk.further[&1].contains("urn:xmpp:sm:3"), "{:?}", talk.further);
}
