//! Who sees whom (RFC 6121 4).

mod common;

use common::{Actor, World, finish};
use router::{Declare, Module, Router, Side};
use std::sync::{Arc, Mutex, Weak};
use xmpp_core::{Kind, stanza::PresenceType};

fn acquainted() -> World {
    let world = World::new(&[]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    world
}

#[test]
fn rfc6121_4_2_2_initial_presence_is_told_and_asked() {
    let world = acquainted();
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence id='p'><show>chat</show></presence>");
    assert_eq!(
        juliet.one(),
        "<presence to='juliet@localhost' from='juliet@localhost/balcony' id='p'><show>chat</show></presence>"
    );
    assert_eq!(
        romeo.one(),
        "<presence to='romeo@localhost' from='juliet@localhost/balcony' id='p'><show>chat</show></presence>"
    );
    // Whoever comes later hears of those who are there.
    let mut again = world.connect("romeo@localhost/street");
    again.send("<presence/>");
    let seen = again.all();
    assert_eq!(seen.len(), 3, "{seen:#?}");
    assert!(seen[0].contains("from='romeo@localhost/orchard'"));
    assert!(seen[1].contains("from='romeo@localhost/street'"));
    assert!(seen[2].contains("from='juliet@localhost/balcony' id='p'"));
    juliet.nothing();
}

#[test]
fn rfc6121_4_4_2_and_4_5_2_updates_and_the_end_are_told_in_full() {
    let world = acquainted();
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    juliet.send("<presence><status>asleep</status></presence>");
    assert!(romeo.one().contains("<status>asleep</status>"));
    juliet.all();
    juliet.send("<presence type='unavailable'><status>dead</status></presence>");
    assert!(romeo.one().contains("<status>dead</status>"));
    assert!(juliet.one().contains("type='unavailable'"));
    juliet.send("<presence type='unavailable'/>");
    romeo.nothing();
    juliet.disconnect();
    romeo.nothing();
}

#[test]
fn rfc6121_4_5_2_an_abrupt_end_is_told() {
    let world = acquainted();
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    juliet.disconnect();
    assert_eq!(
        romeo.one(),
        "<presence type='unavailable' to='romeo@localhost' from='juliet@localhost/balcony'/>"
    );
}

#[test]
fn p08_presence_goes_one_way_where_the_subscription_does() {
    let world = acquainted();
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.send("<presence><show>away</show></presence>");
    juliet.nothing();
    juliet.send("<presence to='romeo@localhost' type='probe'/>");
    juliet.send("<presence to='romeo@localhost/orchard' type='probe'/>");
    juliet.nothing();
    romeo.disconnect();
    juliet.nothing();
}

#[test]
fn rfc6121_4_3_2_probes() {
    let world = acquainted();
    let mut romeo = world.online("romeo@localhost/orchard");
    romeo.send("<presence to='juliet@localhost' type='probe' id='who'/>");
    assert_eq!(
        romeo.one(),
        "<presence type='unavailable' to='romeo@localhost/orchard' from='juliet@localhost' id='who'/>"
    );
    let _juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    romeo.send("<presence to='juliet@localhost' type='probe' id='who'/>");
    assert!(romeo.one().contains("from='juliet@localhost/balcony'"));
    romeo.send("<presence to='juliet@localhost/balcony' type='probe' id='who'/>");
    assert_eq!(
        romeo.one(),
        "<presence to='romeo@localhost/orchard' from='juliet@localhost/balcony'/>"
    );
}

#[test]
fn rfc6121_4_6_directed_presence_ends_with_the_session() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    juliet.send("<presence to='romeo@localhost/orchard'><status>you only</status></presence>");
    assert!(romeo.one().contains("you only"));
    juliet.send("<presence><status>everybody</status></presence>");
    romeo.nothing();
    // RFC 6121 4.6.6: whoever was told may ask, and hears no more than that.
    romeo.send("<presence to='juliet@localhost/balcony' type='probe'/>");
    assert_eq!(
        romeo.one(),
        "<presence to='romeo@localhost/orchard' from='juliet@localhost/balcony'/>"
    );
    juliet.all();
    juliet.send("<presence type='unavailable'/>");
    assert!(romeo.one().contains("type='unavailable'"));
    juliet.disconnect();
    romeo.nothing();
}

#[test]
fn rfc6121_4_6_1_who_said_goodbye_is_not_told_it_again() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    juliet.send("<presence to='romeo@localhost/orchard'/>");
    juliet.send("<presence to='romeo@localhost/orchard' type='unavailable'/>");
    assert_eq!(romeo.all().len(), 2);
    juliet.send("<presence to='romeo@localhost/orchard'/>");
    romeo.send("<presence to='juliet@localhost/balcony' type='unavailable'/>");
    romeo.all();
    juliet.all();
    juliet.disconnect();
    romeo.nothing();
}

#[test]
fn r03_directed_presence_is_capped() {
    let world = World::with(&[], |settings| settings.directed_presence = 3);
    let mut juliet = world.online("juliet@localhost/balcony");
    for number in 0..3 {
        juliet.send(&format!("<presence to='room{number}@localhost'/>"));
        juliet.send(&format!("<presence to='room{number}@localhost'/>"));
    }
    juliet.nothing();
    juliet.send("<presence to='room3@localhost' id='one too many'/>");
    assert!(juliet.one().contains("<resource-constraint"));
    juliet.send("<presence to='room0@localhost' type='unavailable'/>");
    juliet.send("<presence to='room3@localhost'/>");
    juliet.nothing();
}

#[test]
fn rfc6121_4_7_2_3_a_priority_is_a_small_number() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let twice = "1</priority><priority>1";
    for bad in ["128", "-129", "high", "", "\u{3000}1", "1<b/>", twice] {
        juliet.send(&format!("<presence><priority>{bad}</priority></presence>"));
        assert!(juliet.one().contains("<bad-request"), "{bad}");
    }
    juliet.send("<presence><priority> -1 </priority></presence>");
    juliet.all();
    romeo.send("<message to='juliet@localhost' type='headline'/>");
    juliet.nothing();
    juliet.send("<presence><priority>127</priority></presence>");
    juliet.all();
    romeo.send("<message to='juliet@localhost' type='headline' id='h'/>");
    assert_eq!(juliet.ids(), ["h"]);
}

/// Ends a session just when its available presence is on its way to somebody.
#[derive(Default)]
struct Cutter(Mutex<Weak<Router>>);

impl Module for Cutter {
    fn name(&self) -> &'static str {
        "cutter"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.mark(Side::Recipient, move |stanza, account| {
            let router = std::mem::take(&mut *self.0.lock().expect("nobody panics")).upgrade();
            if let (Some(router), Kind::Presence(PresenceType::Available), Some(from)) =
                (router, stanza.kind(), &stanza.head.from)
                && from.bare_str() != account.jid().as_str()
            {
                // The newer session with the same resource wins.
                Actor::connect(&router, from.as_str()).disconnect();
            }
            stanza
        });
    }
}

#[test]
fn rfc6121_4_5_2_presence_that_is_overtaken_by_the_end_of_its_session_does_not_stay() {
    for presence in ["<presence/>", "<presence to='romeo@localhost'/>"] {
        let cutter = Arc::new(Cutter::default());
        let modules: [Arc<dyn Module>; 1] = [cutter.clone()];
        let world = World::new(&modules);
        world.people.subscribe("romeo@localhost", "juliet@localhost");
        let mut romeo = world.online("romeo@localhost/orchard");
        let juliet = world.connect("juliet@localhost/balcony");
        *cutter.0.lock().unwrap() = Arc::downgrade(&world.router);
        juliet.send(presence);
        let last = romeo.all().pop().unwrap_or_default();
        assert!(last.contains("type='unavailable'"), "{presence}: {last}");
        // Whoever is out of the table is not shown any more.
        juliet.send(presence);
        romeo.nothing();
    }
}

#[test]
fn rfc6121_4_5_2_presence_that_is_shared_with_a_new_subscriber_does_not_outlive_its_session() {
    let cutter = Arc::new(Cutter::default());
    let modules: [Arc<dyn Module>; 1] = [cutter.clone()];
    let world = World::new(&modules);
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    *cutter.0.lock().unwrap() = Arc::downgrade(&world.router);
    let account = finish(world.router.account(&juliet.jid().parse().unwrap())).unwrap();
    finish(world.router.share_presence(&account, &"romeo@localhost".parse().unwrap()));
    let last = romeo.all().pop().unwrap_or_default();
    assert!(last.contains("type='unavailable'"), "{last}");
}
