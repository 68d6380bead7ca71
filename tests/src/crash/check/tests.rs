//! A history where all is well, and for each rule what breaks it.

use super::*;

const ROMEO: &str = "romeo@localhost/a";
const JULIET: &str = "juliet@localhost/b";

fn text(text: &str) -> String {
    text.to_owned()
}

fn stream(device: &str, resumed: bool) -> Event {
    Event::Stream { device: text(device), resumed }
}

fn sent(id: &str) -> Event {
    Event::Sent { id: text(id), device: text(ROMEO), to: text("juliet@localhost") }
}

fn acked(id: &str) -> Event {
    Event::Acked { id: text(id) }
}

fn refused(id: &str) -> Event {
    Event::Refused { id: text(id), condition: text("resource-constraint") }
}

fn received(id: &str, uid: &str) -> Event {
    Event::Received { id: text(id), device: text(JULIET), uid: text(uid), delayed: false }
}

fn archived(owner: &str, id: &str, uid: &str) -> Event {
    Event::Archived { owner: format!("{owner}@localhost"), id: text(id), uid: text(uid) }
}

fn named(name: &str) -> [Event; 2] {
    let (owner, contact, name) = (text("romeo@localhost"), text("juliet@localhost"), text(name));
    [
        Event::Naming { owner: owner.clone(), contact: contact.clone(), name: name.clone() },
        Event::Named { owner, contact, name },
    ]
}

fn item(name: &str) -> Event {
    Event::Item {
        owner: text("romeo@localhost"),
        contact: text("juliet@localhost"),
        name: text(name),
    }
}

/// Two messages, a kill in between, and nothing wrong.
fn good() -> Vec<Event> {
    let mut events = vec![stream(ROMEO, false), stream(JULIET, false)];
    events.extend(named("Juliet"));
    events.extend([
        sent("1"),
        acked("1"),
        received("1", "u1"),
        sent("2"),
        Event::Killed,
        Event::Ready { after: 100 },
        stream(ROMEO, true),
        stream(JULIET, true),
        acked("2"),
        received("2", "u2"),
        Event::Settled,
        archived("juliet", "1", "u1"),
        archived("juliet", "2", "u2"),
        archived("romeo", "1", "v1"),
        archived("romeo", "2", "v2"),
        item("Juliet"),
    ]);
    events
}

fn rules(events: &[Event]) -> Vec<&'static str> {
    check(events).0.iter().map(|violation| violation.rule).collect()
}

fn without(event: &Event) -> Vec<Event> {
    let events = good();
    let left: Vec<Event> = events.iter().filter(|one| *one != event).cloned().collect();
    assert_eq!(left.len() + 1, events.len(), "{event} is there once");
    left
}

#[test]
fn a_good_history_breaks_no_rule_and_is_counted() {
    let (found, covered) = check(&good());
    assert_eq!(found, []);
    assert_eq!(covered, Covered { sent: 2, acked: 2, refused: 0, resumed: 2, anew: 2 });
}

#[test]
fn n1_what_was_acknowledged_is_in_both_archives_and_was_delivered() {
    assert_eq!(rules(&without(&archived("romeo", "2", "v2"))), ["N1"]);
    assert_eq!(rules(&without(&received("2", "u2"))), ["N1"]);
    // Nor is it there any more as what its recipient has seen.
    assert_eq!(rules(&without(&archived("juliet", "2", "u2"))), ["N1", "N1"]);
}

#[test]
fn n1_an_archive_id_that_was_seen_stays() {
    let mut events = without(&archived("juliet", "1", "u1"));
    events.push(archived("juliet", "1", "another"));
    let found = check(&events).0;
    assert!(found.iter().any(|v| v.rule == "N1" && v.what.contains("u1")), "{found:?}");
}

#[test]
fn n1_what_came_back_was_neither_kept_nor_delivered() {
    let mut events = good();
    events.push(refused("2"));
    assert_eq!(rules(&events), ["N1"]);
}

#[test]
fn n1_nothing_comes_twice_on_a_stream_that_was_resumed() {
    let mut events = good();
    events.insert(14, received("1", "u1"));
    assert_eq!(rules(&events), ["N1"]);
    // On a new stream it may.
    events.insert(14, stream(JULIET, false));
    assert_eq!(rules(&events), Vec::<&str>::new());
}

#[test]
fn n2_a_message_is_in_an_archive_once() {
    let mut events = good();
    events.push(archived("romeo", "2", "v3"));
    assert!(rules(&events).contains(&"N2"));
    let mut events = good();
    events.push(archived("romeo", "nobody's", "v9"));
    assert!(rules(&events).contains(&"N2"));
}

#[test]
fn n3_archives_and_devices_keep_the_order() {
    let mut events = good();
    let archive = events.iter().position(|e| *e == archived("juliet", "1", "u1")).expect("there");
    events.swap(archive, archive + 1);
    assert_eq!(rules(&events), ["N3"]);
    let mut events = good();
    let first = events.iter().position(|e| *e == received("1", "u1")).expect("there");
    let second = events.iter().position(|e| *e == received("2", "u2")).expect("there");
    events.swap(first, second);
    assert_eq!(rules(&events), ["N3"]);
}

#[test]
fn n4_what_was_not_acknowledged_is_in_both_archives_or_in_none() {
    let both = without(&acked("2"));
    assert_eq!(rules(&both), ["N6"], "the sender must hear of it all the same");
    let mut doubtful = both.clone();
    doubtful.push(Event::Doubt { id: text("2") });
    assert_eq!(rules(&doubtful), Vec::<&str>::new(), "a broken stream tells, too");
    let torn: Vec<_> = both.into_iter().filter(|e| *e != archived("romeo", "2", "v2")).collect();
    assert_eq!(rules(&torn), ["N4"]);
}

#[test]
fn n5_a_name_that_was_confirmed_stays_unless_another_was_asked_for() {
    let mut events = without(&item("Juliet"));
    assert_eq!(rules(&events), ["N5"]);
    events.push(item("Jule"));
    assert_eq!(rules(&events), ["N5"]);
    // Asked for and not confirmed: it may have been done.
    events.insert(4, named("Jule")[0].clone());
    assert_eq!(rules(&events), Vec::<&str>::new());
}
