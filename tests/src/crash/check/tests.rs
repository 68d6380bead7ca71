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

const NAME: &str = "name of juliet@localhost";

fn named(name: &str) -> [Event; 2] {
    let (owner, subject, value) = (text("romeo@localhost"), text(NAME), text(name));
    [
        Event::Asked { owner: owner.clone(), subject: subject.clone(), value: value.clone() },
        Event::Done { owner, subject, value },
    ]
}

fn item(name: &str) -> Event {
    Event::Is { owner: text("romeo@localhost"), subject: text(NAME), value: text(name) }
}

fn half(owner: &str, half: &'static str) -> Event {
    let (owner, contact) = match owner {
        "romeo" => (text("romeo@localhost"), text("juliet@localhost")),
        _ => (text("juliet@localhost"), text("romeo@localhost")),
    };
    Event::Half { owner, contact, half }
}

fn killed() -> Event {
    Event::Killed { what: "server" }
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
        killed(),
        Event::Ready { after: 100, what: "server" },
        stream(ROMEO, true),
        stream(JULIET, true),
        acked("2"),
        received("2", "u2"),
        Event::Settled { after: 200 },
        archived("juliet", "1", "u1"),
        archived("juliet", "2", "u2"),
        archived("romeo", "1", "v1"),
        archived("romeo", "2", "v2"),
        item("Juliet"),
        half("romeo", "to"),
        half("juliet", "from"),
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
    assert_eq!(covered, Covered { sent: 2, acked: 2, refused: 0, resumed: 2, failed: 0, anew: 2 });
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
    let acked = events.iter().position(|e| *e == acked("2")).expect("there");
    events.insert(acked, refused("2"));
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
fn n1_what_a_device_has_taken_for_certain_does_not_come_to_it_again() {
    let again = |between: &[Event]| {
        let mut events = good();
        let settled = events.iter().position(|e| matches!(e, Event::Settled { .. }));
        let mut more = vec![Event::Taken { id: text("2"), device: text(JULIET) }];
        more.extend_from_slice(between);
        more.extend([stream(JULIET, false), received("2", "u2")]);
        let settled = settled.expect("there");
        events.splice(settled..settled, more);
        rules(&events)
    };
    assert_eq!(again(&[]), ["N1"]);
    assert_eq!(again(&[Event::Killed { what: "manager" }]), ["N1"]);
    assert_eq!(again(&[killed()]), Vec::<&str>::new());
}

#[test]
fn n1_what_a_device_has_taken_does_not_wait_for_others() {
    let left = Event::Left { owner: text("juliet@localhost"), id: text("2") };
    assert_eq!(rules(&[good(), vec![left.clone()]].concat()), Vec::<&str>::new());
    let taken = Event::Taken { id: text("2"), device: text(JULIET) };
    assert_eq!(rules(&[good(), vec![taken.clone(), left.clone()]].concat()), ["N1"]);
    assert_eq!(rules(&[good(), vec![taken, killed(), left]].concat()), Vec::<&str>::new());
}

#[test]
fn n1_a_device_lacks_nothing_between_what_came_to_it() {
    let other = "juliet@localhost/phone";
    let got = |id: &str, delayed: bool| Event::Received {
        id: text(id),
        device: text(other),
        uid: String::new(),
        delayed,
    };
    let mut events = good();
    let settled = events.iter().position(|e| matches!(e, Event::Settled { .. })).expect("there");
    events.splice(settled..settled, [sent("3"), acked("3"), received("3", "u3")]);
    events.extend([archived("juliet", "3", "u3"), archived("romeo", "3", "v3")]);
    let with = |more: &[Event]| rules(&[&events[..], &[stream(other, false)], more].concat());
    assert_eq!(with(&[got("1", false), got("2", false), got("3", false)]), Vec::<&str>::new());
    assert_eq!(with(&[got("1", false), got("3", false)]), ["N1"]);
    assert_eq!(with(&[got("1", false), stream(other, true), got("3", false)]), ["N1"]);
    // What it got late it has, what came before it was there it need not, nor what a kill took.
    assert_eq!(with(&[got("2", true), got("1", false), got("3", false)]), Vec::<&str>::new());
    assert_eq!(with(&[got("1", true), got("3", false)]), Vec::<&str>::new());
    assert_eq!(with(&[got("1", false), killed(), got("3", false)]), Vec::<&str>::new());
    assert_eq!(with(&[got("1", false), stream(other, false), got("3", false)]), Vec::<&str>::new());
}

#[test]
fn copies_come_once_to_others_of_the_account_in_order_without_gaps() {
    let copied = |id: &str, device: &str| Event::Copied {
        id: text(id),
        device: text(device),
        uid: String::new(),
    };
    let mut events = good();
    let settled = events.iter().position(|e| matches!(e, Event::Settled { .. })).expect("there");
    events.splice(settled..settled, [sent("3"), acked("3"), received("3", "u3")]);
    events.extend([archived("juliet", "3", "u3"), archived("romeo", "3", "v3")]);
    let phone = "romeo@localhost/phone";
    let with = |ids: &[&str]| {
        let copies: Vec<_> = ids.iter().map(|id| copied(id, phone)).collect();
        rules(&[&events[..], &[stream(phone, false)], &copies].concat())
    };
    assert_eq!(with(&["1", "2", "3"]), Vec::<&str>::new());
    assert_eq!(with(&["2", "3"]), Vec::<&str>::new());
    assert_eq!(with(&["1", "3"]), ["N1"]);
    assert_eq!(with(&["1", "2", "2"]), ["N1"]);
    assert_eq!(with(&["2", "1"]), ["N3"]);
    for wrong in [ROMEO, JULIET] {
        let found = check(&[&events[..], &[copied("1", wrong)]].concat()).0;
        assert!(found.iter().any(|one| one.what.contains("a copy of 1")), "{found:?}");
    }
}

#[test]
fn n1_nobody_gets_what_is_for_somebody_else() {
    let mut events = good();
    let stray = |device: &str| Event::Received {
        id: text("1"),
        device: text(device),
        uid: String::new(),
        delayed: false,
    };
    events.push(stray("juliet@localhost/c"));
    assert_eq!(rules(&events), Vec::<&str>::new());
    events.push(stray("tybalt@localhost/d"));
    assert_eq!(rules(&events), ["N1"]);
    assert!(rules(&[good(), vec![archived("tybalt", "1", "w1")]].concat()).contains(&"N2"));
}

#[test]
fn n1_where_nothing_is_archived_messages_have_to_come_all_the_same() {
    let kept = |event: &Event| !matches!(event, Event::Archived { .. });
    let mut events: Vec<_> = good().into_iter().filter(kept).collect();
    for event in &mut events {
        if let Event::Received { uid, .. } = event {
            uid.clear();
        }
    }
    events.insert(0, Event::Unarchived);
    assert_eq!(rules(&events), Vec::<&str>::new());
    events.retain(|event| *event != received("2", ""));
    assert_eq!(rules(&events), ["N1"]);
}

#[test]
fn l14_where_streams_last_whoever_asks_resumes() {
    let mut events = good();
    events.push(Event::Failed { device: "romeo@localhost/a".into() });
    assert_eq!(rules(&events), Vec::<&str>::new());
    events.insert(0, Event::Lasting);
    assert_eq!(rules(&events), ["XEP-0198"]);
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
    assert_eq!(rules(&events), ["N3", "N3"], "nor is it what the device saw");
    let mut events = good();
    let first = events.iter().position(|e| *e == received("1", "u1")).expect("there");
    let second = events.iter().position(|e| *e == received("2", "u2")).expect("there");
    events.swap(first, second);
    assert_eq!(rules(&events), ["N3", "N3"]);
}

#[test]
fn n3_the_order_of_an_archive_is_that_of_every_device() {
    let mut events = good();
    let sends = |id: &str, device: &str| Event::Sent {
        id: text(id),
        device: text(device),
        to: text("juliet@localhost"),
    };
    let settled = events.iter().position(|e| matches!(e, Event::Settled { .. })).expect("there");
    // Of two senders: no order of sending is broken.
    events.splice(
        settled..settled,
        [
            sends("3", "tybalt@localhost/c"),
            acked("3"),
            sends("4", "paris@localhost/d"),
            acked("4"),
            received("3", "u3"),
            received("4", "u4"),
        ],
    );
    events.extend([archived("tybalt", "3", "w3"), archived("paris", "4", "w4")]);
    let archive = |first: [&str; 2], second: [&str; 2]| {
        let rows = [first, second].map(|[id, uid]| archived("juliet", id, uid));
        rules(&[events.clone(), rows.to_vec()].concat())
    };
    assert_eq!(archive(["3", "u3"], ["4", "u4"]), Vec::<&str>::new());
    assert_eq!(archive(["4", "u4"], ["3", "u3"]), ["N3"]);
}

#[test]
fn n4_rosters_agree() {
    assert_eq!(rules(&without(&half("juliet", "from"))), ["N4"]);
    assert_eq!(rules(&without(&half("romeo", "to"))), ["N4"]);
    assert_eq!(rules(&[good(), vec![half("romeo", "ask")]].concat()), ["N4"]);
    let asked = [half("romeo", "ask"), half("juliet", "asked")];
    assert_eq!(rules(&[&good()[..], &asked].concat()), Vec::<&str>::new());
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
fn n5_nothing_is_done_that_nobody_asked_for() {
    let mut events = good();
    let subject = text("block of tybalt@localhost");
    let is = Event::Is { owner: text("romeo@localhost"), subject, value: text("yes") };
    events.push(is);
    assert_eq!(rules(&events), ["N5"]);
}

#[test]
fn n6_all_is_there_in_time_and_what_was_acknowledged_does_not_come_back() {
    let mut events = good();
    events.push(Event::Settled { after: 30_001 });
    assert_eq!(rules(&events), ["N6"]);
    let refused = |id: &str| {
        let mut events = good();
        events.retain(|e| {
            !matches!(e, Event::Archived { id: its, .. } | Event::Received { id: its, .. } if its == id)
        });
        let acked = events.iter().position(|e| *e == acked(id)).unwrap();
        events.insert(acked + 1, refused(id));
        events
    };
    assert_eq!(rules(&refused("1")), ["N6"]);
    // Directly behind `<resumed/>`, which covers it, comes what was lost on the way (XEP-0198 5).
    assert_eq!(rules(&refused("2")), Vec::<&str>::new());
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
