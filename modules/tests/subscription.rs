//! Subscriptions (RFC 6121 3).

mod house;

use futures_util::{FutureExt, lock::Mutex};
use house::{House, finish};
use router::{Declare, Module};
use std::sync::Arc;

#[test]
fn rfc6121_3_1_the_stanza_then_the_push_then_the_presence() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    romeo.send("<presence type='subscribe' to='juliet@localhost/balcony' id='1'><status>Pray</status></presence>");
    assert!(
        romeo.one().contains("<item jid='juliet@localhost' subscription='none' ask='subscribe'/>")
    );
    // RFC 6121 3.1.2: between bare addresses, and nothing of it in her roster yet (3.1.3).
    assert_eq!(
        juliet.one(),
        "<presence type='subscribe' to='juliet@localhost' from='romeo@localhost' id='1'><status>Pray</status></presence>"
    );
    juliet.send("<presence type='subscribed' to='romeo@localhost'/>");
    let his = romeo.all();
    assert_eq!(his.len(), 3, "{his:#?}");
    assert_eq!(
        his[0],
        "<presence type='subscribed' to='romeo@localhost' from='juliet@localhost'/>"
    );
    assert!(his[1].contains("<item jid='juliet@localhost' subscription='to'/>"));
    assert_eq!(his[2], "<presence to='romeo@localhost' from='juliet@localhost/balcony'/>");
    assert!(juliet.one().contains("<item jid='romeo@localhost' subscription='from'/>"));
}

#[test]
fn rfc6121_3_2_2_a_cancelled_subscription_ends_the_presence_first() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    juliet.send("<presence type='unsubscribed' to='romeo@localhost'/>");
    let his = romeo.all();
    assert_eq!(his.len(), 3, "{his:#?}");
    assert!(his[0].contains("type='unavailable'") && his[0].contains("juliet@localhost/balcony"));
    assert!(his[1].contains("type='unsubscribed'"));
    assert!(his[2].contains("<item jid='juliet@localhost' subscription='from'/>"));
    assert!(juliet.one().contains("<item jid='romeo@localhost' subscription='to'/>"));
    juliet.send("<presence><status>gone</status></presence>");
    romeo.nothing();
}

#[test]
fn rfc6121_3_3_3_who_unsubscribes_sees_the_contact_go() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    romeo.send("<presence type='unsubscribe' to='juliet@localhost'/>");
    let his = romeo.all();
    assert!(his[0].contains("<item jid='juliet@localhost' subscription='from'/>"), "{his:#?}");
    assert!(his[1].contains("type='unavailable'") && his[1].contains("juliet@localhost/balcony"));
    let hers = juliet.all();
    assert!(hers[0].contains("type='unsubscribe'"), "{hers:#?}");
    assert!(hers[1].contains("<item jid='romeo@localhost' subscription='to'/>"));
    juliet.send("<presence><status>unseen</status></presence>");
    romeo.nothing();
}

#[test]
fn rfc6121_3_1_3_a_request_waits_and_comes_at_each_login_until_answered() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    for word in ["first", "second"] {
        romeo.send(&format!(
            "<presence type='subscribe' to='juliet@localhost'><status>{word}</status></presence>"
        ));
    }
    romeo.all();
    let requests = |actor: &mut house::Actor| {
        actor.all().into_iter().filter(|s| s.contains("type='subscribe'")).collect::<Vec<_>>()
    };
    for house in [house.restarted(), house.restarted()] {
        let mut juliet = house.connect("juliet@localhost/balcony");
        juliet.send("<presence/>");
        let shown = requests(&mut juliet);
        assert_eq!(shown.len(), 1, "{shown:#?}");
        assert!(shown[0].contains("from='romeo@localhost'") && shown[0].contains("first"));
        juliet.disconnect();
    }
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(requests(&mut juliet).len(), 1);
    juliet.send("<presence type='unsubscribed' to='romeo@localhost'/>");
    juliet.disconnect();
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(requests(&mut juliet).len(), 0);
}

#[test]
fn rfc6121_3_4_what_was_approved_before_is_answered_at_once() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    juliet.send("<presence type='subscribed' to='romeo@localhost'/>");
    assert!(
        juliet.one().contains("<item jid='romeo@localhost' subscription='none' approved='true'/>")
    );
    romeo.nothing();
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>");
    let his = romeo.all();
    assert_eq!(his.len(), 4, "{his:#?}");
    assert!(his[0].contains("ask='subscribe'"));
    assert!(his[1].contains("type='subscribed'"));
    assert!(his[2].contains("<item jid='juliet@localhost' subscription='to'/>"));
    assert!(his[3].contains("from='juliet@localhost/balcony'"));
    assert!(juliet.one().contains("subscription='from'"));
}

#[test]
fn a05_an_account_that_does_not_exist_looks_like_one_that_does_not_answer() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut asked = Vec::new();
    for contact in ["juliet@localhost", "nobody@localhost"] {
        for verb in ["subscribe", "unsubscribe", "subscribe", "unsubscribed", "subscribed"] {
            romeo.send(&format!("<presence type='{verb}' to='{contact}'/>"));
        }
        romeo.send(&format!("<presence type='probe' to='{contact}'/>"));
        romeo.send(&format!(
            "<iq type='get' id='i' to='{contact}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        let seen = romeo.all().join("\n").replace(contact, "X");
        let seen: String = seen
            .split("id='token")
            .map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()))
            .collect();
        asked.push(without_versions(&seen));
    }
    assert_eq!(asked[0], asked[1]);
}

fn without_versions(text: &str) -> String {
    let mut parts = text.split("ver='");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('\'').map_or(part, |(_, rest)| rest))
}

#[test]
fn a05_and_p09_a_request_that_is_too_long_tells_nothing_of_whom_it_was_for() {
    let house = House::with(|caps| caps.request_bytes = 200);
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let mut nurse = house.online("nurse@localhost/kitchen");
    nurse.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>");
    nurse.all();
    for contact in ["juliet@localhost", "nobody@localhost", "nurse@localhost"] {
        let status = "x".repeat(200);
        romeo.send(&format!("<presence type='subscribe' to='{contact}'>{status}</presence>"));
        assert!(romeo.one().contains("<resource-constraint "), "{contact}");
    }
    juliet.nothing();
    nurse.nothing();
}

#[test]
fn rfc6121_4_3_2_who_is_away_is_said_to_be_away_since_then() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    house.clock.advance(86_400);
    juliet.send("<presence type='unavailable'><status>none of your business</status></presence>");
    house.clock.advance(60);
    romeo.all();
    romeo.send("<presence type='probe' to='juliet@localhost' id='p'/>");
    assert_eq!(
        romeo.one(),
        "<presence type='unavailable' to='romeo@localhost/orchard' from='juliet@localhost' id='p'>\
         <delay xmlns='urn:xmpp:delay' from='localhost' stamp='1970-01-02T00:00:00.000Z'/></presence>"
    );
    // Of one session nobody knows.
    romeo.send("<presence type='probe' to='juliet@localhost/balcony'/>");
    assert!(!romeo.one().contains("<delay "));
    // Nor is it told to those who do not get her presence.
    let mut nurse = house.online("nurse@localhost/kitchen");
    nurse.send("<presence type='probe' to='juliet@localhost'/>");
    nurse.nothing();
}

#[test]
fn nobody_subscribes_to_oneself() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    romeo.send("<presence type='subscribe' to='romeo@localhost' id='self'/>");
    let error = romeo.one();
    assert!(
        error.contains("<not-allowed ") && error.contains("to='romeo@localhost/orchard'"),
        "{error}"
    );
}

#[test]
fn p08_a_request_that_is_not_answered_shows_nothing() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let juliet = house.online("juliet@localhost/balcony");
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>");
    romeo.all();
    juliet.send("<presence><status>secret</status></presence>");
    romeo.send("<presence type='probe' to='juliet@localhost'/>");
    romeo.send("<presence type='probe' to='juliet@localhost/balcony'/>");
    romeo.nothing();
    juliet.disconnect();
    romeo.nothing();
}

/// Stands between a session's presence and what it is shown then.
#[derive(Default)]
struct Gate(Arc<Mutex<()>>);

impl Module for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.arrival(move |_, _| {
            let gate = self.0.clone();
            async move { drop(gate.lock().await) }.boxed()
        });
    }
}

const REQUEST: &str = "<presence type='subscribe' to='juliet@localhost'/>";

#[test]
fn rfc6121_3_1_3_a_request_that_comes_during_a_login_is_shown_once() {
    let gate = Arc::new(Gate::default());
    let house = House::new().behind(gate.clone());
    let romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.connect("juliet@localhost/balcony");
    for again in ["", "<presence type='unavailable'/>"] {
        if !again.is_empty() {
            juliet.send(again);
            romeo.send("<presence type='unsubscribe' to='juliet@localhost'/>");
            juliet.all();
        }
        let closed = gate.0.try_lock().unwrap();
        let mut login = juliet.start("<presence/>");
        assert!(!login.go(), "available, and not shown anything yet");
        let mut request = romeo.start(REQUEST);
        request.go();
        drop(closed);
        assert!(login.go() && request.go());
        let shown = juliet.all().into_iter().filter(|s| s.contains("type='subscribe'")).count();
        assert_eq!(shown, 1);
    }
}

#[test]
fn rfc6121_3_1_3_a_login_during_a_request_shows_it_once() {
    for login_first in [true, false] {
        let house = House::new();
        let romeo = house.online("romeo@localhost/orchard");
        let mut juliet = house.connect("juliet@localhost/balcony");
        let account = finish(house.router.account(&"juliet@localhost".parse().unwrap())).unwrap();
        let mut turn = finish(house.router.turn(&account));
        let mut waiting = [romeo.start(REQUEST), juliet.start("<presence/>")];
        assert!(waiting.iter_mut().all(|task| !task.go()), "both wait for her roster");
        turn.unchanged();
        drop(turn);
        if login_first {
            waiting.reverse();
        }
        for _ in 0..2 {
            for task in &mut waiting {
                task.go();
            }
        }
        assert!(waiting.iter_mut().all(|task| task.go()));
        let shown = juliet.all().into_iter().filter(|s| s.contains("type='subscribe'")).count();
        assert_eq!(shown, 1, "the login first: {login_first}");
    }
}

#[test]
fn p09_requests_of_many_strangers_keep_nobody_from_logging_in() {
    let house = House::new();
    let greeting = "x".repeat(7_000);
    for number in 0..100 {
        let name = format!("stranger{number}@localhost");
        house.add(&name);
        house.connect(&name).send(&format!(
            "<presence type='subscribe' to='juliet@localhost'><status>{greeting}</status></presence>"
        ));
    }
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let shown = juliet.all();
    assert_eq!(shown.iter().filter(|xml| xml.contains("type='subscribe'")).count(), 100);
    juliet.send("<presence to='juliet@localhost' id='still here'/>");
    assert!(juliet.one().contains("still here"));
}
