//! What a client sends again after the server was killed (XEP-0198 5): what had been put is counted, and not done twice.

use super::{
    manage::{former_at, heard_before},
    *,
};
use crate::session::{ledger::Counts, mark};

const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn message(body: &str) -> String {
    format!("<message to='romeo@montague.lit' id='{body}'><body>{body}</body></message>")
}

/// What the session says of it when it is dispatched.
fn mark_of(xml: &str) -> u64 {
    let mut talk = Talk::secure().bound();
    talk.hear(xml);
    mark(&talk.dispatched())
}

/// A stream of which so many are handled, and these put beyond them.
fn killed_at(handled: u32, put: &[(u32, &str)]) -> Talk {
    let counts = Counts { handled, acknowledged: 0 };
    let heard = put.iter().map(|(number, xml)| (*number, mark_of(xml))).collect();
    let mut talk = Talk::secure().resuming(heard_before(former_at(counts, &[]), heard), 0);
    assert!(talk.poll().is_none());
    assert!(talk.said().contains(&format!("h='{handled}'")));
    talk
}

fn count(talk: &mut Talk, h: u32) {
    talk.hear(ASK);
    talk.says(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
}

#[test]
fn n2_what_had_been_put_is_counted_and_not_done_again() {
    let [one, two, three, four] = ["1", "2", "3", "4"].map(message);
    for handled in [5, u32::MAX - 1] {
        let at = |more: u32| handled.wrapping_add(more);
        let mut talk = killed_at(handled, &[(at(1), &one), (at(3), &three)]);
        talk.hear(&one);
        count(&mut talk, at(1));
        talk.hear(&two);
        talk.routed();
        // behind one that is not safe yet
        talk.hear(&three);
        count(&mut talk, at(1));
        talk.event(Event::Settled(1));
        talk.says(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", at(3)));
        talk.hear(&four);
        talk.dispatched();
        // and what is the same once more is another one
        talk.hear(&three);
        talk.dispatched();
        count(&mut talk, at(5));
    }
}

#[test]
fn n1_what_is_new_is_done_whatever_its_number() {
    let mut talk = killed_at(0, &[(1, &message("1")), (2, &message("2"))]);
    for other in [
        message("2"),
        message("1").replace("<body>1", "<body>2"),
        message("1").replace("romeo", "paris"),
        message("1").replace("id='1'", ""),
    ] {
        talk.hear(&other);
        talk.dispatched();
    }
}

#[test]
fn xep0203_since_when_it_waits_makes_no_other_stanza_of_it() {
    let mut talk = killed_at(0, &[(1, &message("1"))]);
    let delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/></message>";
    talk.hear(&message("1").replace("</message>", delay));
    count(&mut talk, 1);
}
