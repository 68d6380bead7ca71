//! Stream management (XEP-0198): what both sides say and count.

use super::*;
use crate::session::{
    Resumed,
    ledger::{Counts, Ledger, Terms},
};
use router::{Letter, Mail};
use std::collections::VecDeque;
use xmpp_core::stanza::{Kind, MessageType};

pub(super) const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
pub(super) const ENABLE_RESUME: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3'/>";
const RESUMABLE: &str = "<enabled xmlns='urn:xmpp:sm:3' id='token' resume='true' max='600'/>";
pub(super) const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// `<a/>`.
pub(super) fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

pub(super) fn failed(condition: &str) -> String {
    format!(
        "<failed xmlns='urn:xmpp:sm:3'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

pub(super) fn message(id: &str) -> Stanza {
    let body = Bytes::from_static(b"<body>hi</body>");
    Stanza::new(Kind::Message(MessageType::Chat), body)
        .to(jid(BALCONY))
        .from(jid("romeo@montague.lit/orchard"))
        .id(id)
}

pub(super) fn text(stanza: &Stanza) -> String {
    let mut out = BytesMut::new();
    stanza.write(&mut out);
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

/// A former stream to which these messages were sent.
pub(super) fn former(unacknowledged: &[&str]) -> Resumed {
    former_at(Counts { handled: 0, acknowledged: 0 }, unacknowledged)
}

pub(super) fn former_at(counts: Counts, unacknowledged: &[&str]) -> Resumed {
    let letters = unacknowledged.iter().map(|id| Letter::from(message(id))).collect();
    let terms = Terms { token: "token".into(), max: 600 * SECOND };
    Resumed {
        jid: jid(BALCONY),
        ledger: Box::new(Ledger::restored(Some(terms), counts, letters, Vec::new())),
    }
}

/// The same, of which this was put before the server was killed.
pub(super) fn heard_before(former: Resumed, heard: Vec<(u32, u64)>) -> Resumed {
    let Resumed { jid, ledger } = former;
    let terms = ledger.terms().cloned();
    let books = Ledger::restored(terms, ledger.counts(), VecDeque::new(), heard);
    Resumed { jid, ledger: Box::new(books) }
}

impl Talk {
    /// A stream that is managed from here on.
    pub(super) fn managed(mut self, enable: &str) -> Self {
        self = self.bound();
        self.hear(enable);
        assert!(matches!(self.effect(), Effect::Manage(_)));
        self.said();
        self
    }

    /// A stream that goes on with this former one.
    pub(super) fn resuming(self, former: Resumed, h: u32) -> Self {
        let mut talk = self.authenticated();
        talk.hear(&resume(h));
        assert!(matches!(talk.effect(), Effect::Resume(account, token)
            if account.as_str() == JULIET && token == "token"));
        talk.event(Event::Resumed(Ok(former)));
        talk
    }

    pub(super) fn mail(&mut self, id: &str) {
        self.event(Event::Mail(Mail::Letter(message(id).into())));
    }

    /// All that the server says without asking for anything.
    pub(super) fn told(&mut self) -> String {
        assert!(self.poll().is_none());
        self.said()
    }

    /// The ids of the letters that the client has since this was last asked.
    pub(super) fn proven(&mut self) -> Vec<String> {
        ids(&self.session.take_proven())
    }
}

pub(super) fn ids(letters: &[Letter]) -> Vec<String> {
    letters
        .iter()
        .filter_map(|letter| letter.stanza().head.id.as_ref().map(ToString::to_string))
        .collect()
}

fn resume(h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='token' h='{h}'/>")
}

#[test]
fn xep0198_2_it_is_offered_with_resource_binding() {
    let mut talk = Talk::secure().authenticating();
    talk.answer("juliet", b"");
    assert!(!talk.said().contains("urn:xmpp:sm:3"));
    talk.hear(&header("capulet.lit"));
    assert!(talk.poll().is_none());
    assert!(talk.said().contains("<sm xmlns='urn:xmpp:sm:3'/>"));
}

#[test]
fn xep0198_3_what_is_enabled_is_what_was_asked_for_and_is_allowed() {
    let bad = failed("bad-request");
    let shorter = RESUMABLE.replace("600", "30");
    let rows = [
        ("", ENABLED),
        ("resume='false'", ENABLED),
        ("resume='0' max='30'", ENABLED),
        ("resume='true'", RESUMABLE),
        ("resume='1'", RESUMABLE),
        ("resume=' true '", RESUMABLE),
        ("resume='true' max='30'", &shorter),
        ("resume='true' max=' 030 '", &shorter),
        ("resume='true' max='601'", RESUMABLE),
        ("resume='true' max='99999999999999999999999999'", RESUMABLE),
        ("resume='true' max='0'", ENABLED),
        ("resume='yes'", &bad),
        ("resume=''", &bad),
        ("resume='true' max=''", &bad),
        ("resume='true' max='-1'", &bad),
        ("resume='true' max='1.5'", &bad),
        ("max='soon'", &bad),
    ];
    for (attributes, answer) in rows {
        in_any_pieces(|| {
            let mut talk = Talk::secure().bound();
            talk.hear(&format!("<enable xmlns='urn:xmpp:sm:3' {attributes}/>"));
            match talk.poll() {
                Some(Effect::Manage(token)) => {
                    assert_eq!(token.is_some(), answer.contains("resume="), "{attributes}");
                }
                effect => assert!(effect.is_none() && answer == bad, "{attributes}"),
            }
            talk.says(answer);
            talk.hear("<message/>");
            talk.dispatched();
        });
    }
}

#[test]
fn xep0198_5_without_a_time_to_resume_there_is_no_resuming() {
    let mut settings = Settings::new("capulet.lit");
    settings.resume = Duration::ZERO;
    let mut talk = Talk::new(settings.clone(), true, false).bound();
    talk.hear(ENABLE_RESUME);
    assert!(matches!(talk.effect(), Effect::Manage(None)));
    talk.says(ENABLED);
    assert!(!talk.session.is_resumable());
    let mut talk = Talk::new(settings, true, false).authenticated();
    talk.hear(&resume(0));
    talk.says(&failed("feature-not-implemented"));
}

#[test]
fn s04_xep0198_3_out_of_order_it_fails_and_the_stream_goes_on() {
    let refusal = failed("unexpected-request");
    in_any_pieces(|| {
        for element in [ENABLE, ENABLE_RESUME, &resume(0), ASK, &a(0)] {
            for mut talk in [Talk::clear(), Talk::secure()] {
                talk = talk.opened();
                talk.hear(element);
                talk.says(&refusal);
                talk.hear(&auth("PLAIN", PLAIN));
                assert!(talk.poll().is_some() || talk.said().contains("encryption-required"));
            }
        }
        for element in [ENABLE, ENABLE_RESUME, ASK, &a(0)] {
            let mut talk = Talk::secure().authenticated();
            talk.hear(element);
            talk.says(&refusal);
            talk.hear(&bind(""));
            talk.claim();
        }
        for element in [&resume(0), ASK, &a(0)] {
            let mut talk = Talk::secure().bound();
            talk.hear(element);
            talk.says(&refusal);
            talk.hear("<message/>");
            talk.dispatched();
        }
        for element in [ENABLE, ENABLE_RESUME, &resume(0)] {
            let mut talk = Talk::secure().managed(ENABLE_RESUME);
            talk.hear("<message/>");
            talk.dispatched();
            talk.hear(element);
            talk.says(&refusal);
            talk.hear(ASK);
            talk.says(&a(1)); // and the count goes on
        }
    });
}

#[test]
fn xep0198_4_what_is_no_element_of_it_ends_the_stream() {
    for element in ["<enabled xmlns='urn:xmpp:sm:3'/>", "<sm xmlns='urn:xmpp:sm:3'/>"] {
        for mut talk in
            [Talk::secure().bound(), Talk::secure().managed(ENABLE), Talk::secure().authenticated()]
        {
            talk.hear(element);
            talk.fails("unsupported-stanza-type");
        }
    }
}

#[test]
fn xep0198_4_stanzas_count_from_enable_on_and_nothing_else_does() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().bound();
        talk.hear("<presence/>");
        talk.dispatched();
        talk.hear(ENABLE);
        talk.effect();
        talk.says(ENABLED);
        talk.hear(ASK);
        talk.says(&a(0));
        talk.hear("<message/><presence/><iq type='result' id='1'/>");
        for _ in 0..3 {
            talk.dispatched();
        }
        talk.hear(&format!(" {ASK}{}<active xmlns='urn:xmpp:csi:0'/>", a(0)));
        assert!(matches!(talk.poll(), Some(Effect::Active(true))));
        talk.says(&a(3));
        talk.hear(ASK);
        talk.says(&a(3));
    });
}

#[test]
fn xep0198_4_what_was_sent_before_it_was_enabled_is_not_counted_when_it_settles() {
    let mut talk = Talk::secure().bound();
    talk.hear("<presence/>");
    talk.routed();
    talk.hear("<presence/>");
    talk.routed();
    talk.hear(ENABLE);
    talk.effect();
    talk.says(ENABLED);
    talk.hear(&format!("<message/>{ASK}"));
    talk.routed();
    talk.says(&a(0));
    talk.event(Event::Settled(2));
    talk.says("");
    talk.event(Event::Settled(1));
    talk.says(&a(1));
}

#[test]
fn xep0198_4_an_answer_comes_at_once_and_again_once_more_is_safe() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().managed(ENABLE);
        talk.hear(&format!("<message/><message/>{ASK}<message/>"));
        talk.routed();
        talk.routed();
        talk.routed();
        talk.says(&a(0));
        talk.event(Event::Settled(1));
        talk.says(&a(1));
        talk.event(Event::Settled(1));
        talk.says(&a(2));
        // nobody has asked for the third
        talk.event(Event::Settled(1));
        talk.says("");
        talk.hear(ASK);
        talk.says(&a(3));
    });
}

#[test]
fn xep0198_4_many_commits_are_told_in_one() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.hear(&format!("{}{ASK}", "<message/>".repeat(5)));
    for _ in 0..5 {
        talk.routed();
    }
    talk.says(&a(0));
    talk.event(Event::Settled(2));
    talk.event(Event::Settled(3));
    talk.says(&a(5));
}

/// What the server answers itself stands before the count that covers it, and behind what came before.
#[test]
fn xep0198_4_what_is_answered_here_counts_in_its_place() {
    let faulty = "<message to='@' id='1'/>";
    in_any_pieces(|| {
        let mut talk = Talk::secure().managed(ENABLE);
        talk.hear(&format!("{faulty}{ASK}"));
        assert!(talk.poll().is_none());
        let said = talk.said();
        let error = said.find("<jid-malformed").expect("an error");
        assert!(error < said.find(&a(1)).expect("an acknowledgement"), "{said}");
        assert!(said.contains(ASK), "the error is a stanza that the client is to have: {said}");
        talk.hear(&a(1));
        // behind one that is not safe yet
        talk.hear(&format!("<message/>{faulty}{faulty}<iq type='error'/>{ASK}"));
        talk.routed();
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert!(said.contains(&a(1)) && said.matches("<jid-malformed").count() == 2, "{said}");
        talk.event(Event::Settled(1));
        talk.says(&a(5));
    });
}

#[test]
fn l01_who_does_not_answer_is_gone_and_may_come_back() {
    let mut talk = Talk::secure().managed(ENABLE_RESUME);
    talk.mail("1");
    talk.told();
    talk.wait(59 * SECOND);
    talk.says("");
    talk.hear("<message/>"); // it lives
    talk.dispatched();
    talk.wait(59 * SECOND);
    talk.says("");
    talk.wait(SECOND);
    assert!(!talk.closed().finished);
    assert!(talk.said().contains("<connection-timeout "));
    assert!(talk.session.is_resumable());
    assert_eq!(ids(&talk.session.take_unproven()), ["1"]);
}

#[test]
fn xep0198_8_2_a_managed_stream_is_asked_for_a_sign_of_life_without_a_stanza() {
    let mut talk = Talk::secure().managed(ENABLE);
    talk.wait(300 * SECOND);
    talk.says(ASK);
    talk.hear(&a(0));
    talk.wait(299 * SECOND);
    talk.says("");
    talk.wait(SECOND);
    talk.says(ASK);
    talk.wait(60 * SECOND);
    talk.fails("connection-timeout");
}

/// The stream ended with this error and is not to be resumed; what was said.
#[track_caller]
pub(super) fn over(talk: &mut Talk, why: &str) -> String {
    let closed = talk.closed();
    assert_eq!((closed.why, closed.finished), (why, true));
    talk.said()
}

#[test]
fn s01_what_is_not_acknowledged_is_bounded_and_the_client_is_still_heard() {
    let mut settings = Settings::new("capulet.lit");
    settings.unacked = 3;
    let mut talk = Talk::new(settings.clone(), true, false).managed(ENABLE);
    for id in ["1", "2", "3"] {
        assert!(talk.session.has_room());
        talk.mail(id);
    }
    talk.said();
    assert!(!talk.session.has_room() && talk.session.wants_input());
    talk.hear(&a(1));
    assert!(talk.session.has_room());
    settings.unacked_bytes = 10;
    let mut talk = Talk::new(settings, true, false).managed(ENABLE);
    talk.mail("one of any size");
    assert!(!talk.session.has_room() && talk.session.wants_input());
}

#[test]
fn l05_no_more_than_so_many_stanzas_are_on_their_way_to_the_store() {
    let mut settings = Settings::new("capulet.lit");
    settings.stanzas.burst = 2_000;
    let mut talk = Talk::new(settings, true, false).managed(ENABLE);
    for _ in 0..crate::session::OPEN_MAX {
        talk.hear("<message/>");
        talk.routed();
    }
    assert!(!talk.session.wants_input() && talk.session.has_room());
    talk.event(Event::Settled(1));
    assert!(talk.session.wants_input());
}

#[test]
fn xep0198_5_a_stream_goes_on_where_it_was() {
    in_any_pieces(|| {
        let counts = Counts { handled: 7, acknowledged: u32::MAX };
        let mut talk = Talk::secure().resuming(former_at(counts, &["1", "2", "3"]), 0);
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='7' previd='token'/>";
        let again = [message("2"), message("3")].map(|message| text(&message)).concat();
        talk.says(&format!("{resumed}{again}{ASK}"));
        assert_eq!(talk.proven(), ["1"]);
        assert!(talk.session.is_resumable(), "and once more");
        talk.mail("4");
        talk.says(&text(&message("4")));
        talk.hear(&format!("<message/>{ASK}{}", a(3)));
        talk.dispatched();
        assert!(talk.poll().is_none());
        assert_eq!(talk.proven(), ["2", "3", "4"]);
        talk.says(&a(8));
        talk.hear("<message from='romeo@montague.lit'/>");
        talk.fails("invalid-from"); // it is Juliet's
    });
}

#[test]
fn s02_xep0198_5_what_is_not_found_may_be_bound_anew_a_few_times() {
    let mut talk = Talk::secure().authenticated();
    let with_count = failed("item-not-found").replace("sm:3'>", "sm:3' h='5'>");
    for (h, answer) in [(None, failed("item-not-found")), (Some(5), with_count)] {
        talk.hear(&resume(0));
        assert!(matches!(talk.effect(), Effect::Resume(..)));
        talk.event(Event::Resumed(Err(h)));
        talk.says(&answer);
    }
    talk.hear(&bind(""));
    talk.claim();
    // who guesses does not guess for long
    let mut talk = Talk::secure().authenticated();
    for _ in 0..5 {
        talk.hear(&resume(0));
        talk.effect();
        talk.event(Event::Resumed(Err(None)));
        talk.said();
    }
    talk.hear(&resume(0));
    talk.effect();
    talk.event(Event::Resumed(Err(None)));
    assert_eq!(talk.closed().why, "policy-violation");
}

#[test]
fn xep0198_5_what_to_resume_must_be_said() {
    for attributes in [
        "h='0'",
        "previd='token'",
        "previd='token' h='x'",
        &format!("previd='{}' h='0'", "x".repeat(4_001)),
    ] {
        let mut talk = Talk::secure().authenticated();
        talk.hear(&format!("<resume xmlns='urn:xmpp:sm:3' {attributes}/>"));
        talk.says(&failed("bad-request"));
        talk.hear(&bind(""));
        talk.claim();
    }
}

#[test]
fn xep0198_7_only_what_is_cut_off_is_resumed() {
    let ended = |happens: fn(&mut Talk)| {
        let mut talk = Talk::secure().managed(ENABLE_RESUME);
        happens(&mut talk);
        (talk.closed().finished, talk.session.is_resumable())
    };
    assert_eq!(ended(|talk| talk.hear("</stream:stream>")), (true, true));
    assert_eq!(ended(|talk| talk.hear("<nonsense/>")), (true, true));
    assert_eq!(ended(|talk| talk.event(Event::Ended)), (false, true));
    assert_eq!(ended(|talk| talk.event(Event::Lost)), (false, true));
    assert_eq!(ended(|talk| talk.event(Event::Shutdown)), (false, true));
    assert_eq!(ended(|talk| talk.event(Event::Replaced)), (false, true));
}

/// Nobody could come back who was not told how.
#[test]
fn xep0198_5_a_stream_is_resumable_once_the_client_was_told_so() {
    let mut talk = Talk::secure().bound();
    talk.hear(ENABLE_RESUME);
    talk.effect();
    talk.event(Event::Written(RESUMABLE.len() - 1));
    assert!(!talk.session.is_resumable());
    talk.event(Event::Written(1));
    assert!(talk.session.is_resumable());
    let talk = Talk::secure().managed(ENABLE);
    assert!(!talk.session.is_resumable(), "nor who did not ask");
}

#[test]
fn xep0198_5_the_former_connection_hears_of_a_conflict() {
    let mut talk = Talk::secure().managed(ENABLE_RESUME);
    talk.event(Event::Replaced);
    talk.fails("conflict");
}

#[test]
fn l03_without_management_what_was_written_is_the_clients() {
    let mut talk = Talk::secure().bound();
    let one = message("1");
    for stanza in [one.clone(), message("2"), message("3")] {
        // owed to nobody but for the router's own letters, which are tried with the driver
        talk.event(Event::Mail(Mail::Letter(stanza.into())));
    }
    assert!(talk.poll().is_none());
    talk.event(Event::Written(text(&one).len()));
    assert_eq!(talk.session.take_unproven().len() + talk.proven().len(), 0);
}
