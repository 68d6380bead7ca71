//! Who is blocked (XEP-0191) sees and says nothing.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Actor, Task, World, block, change_blocked, finish, unblock};
use std::sync::atomic::Ordering;
use xmpp_core::{Jid, error::StreamCondition};

const ROMEO: &str = "romeo@localhost";
const JULIET: &str = "juliet@localhost";

/// Each sees the presence of the other, and both are there.
fn friends() -> (World, Actor, Actor) {
    let world = World::new(&[]);
    world.people.subscribe(ROMEO, JULIET);
    world.people.subscribe(JULIET, ROMEO);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    juliet.all();
    (world, romeo, juliet)
}

fn unavailable(from: &str, to: &str) -> String {
    format!("<presence type='unavailable' to='{to}' from='{from}'/>")
}

#[test]
fn xep0191_3_3_both_see_each_other_go_and_3_4_come_again() {
    let (world, mut romeo, mut juliet) = friends();
    juliet.send("<presence><show>chat</show></presence>");
    romeo.all();
    juliet.all();
    block(&world.router, JULIET, ROMEO);
    assert_eq!(romeo.one(), unavailable("juliet@localhost/balcony", ROMEO));
    // XEP-0016 2.10
    assert_eq!(juliet.one(), unavailable("romeo@localhost/orchard", JULIET));
    juliet.send("<presence><show>away</show></presence>");
    romeo.send("<presence><show>dnd</show></presence>");
    romeo.all();
    juliet.all();
    unblock(&world.router, JULIET, ROMEO);
    assert_eq!(
        romeo.one(),
        "<presence to='romeo@localhost' from='juliet@localhost/balcony'><show>away</show></presence>"
    );
    assert_eq!(
        juliet.one(),
        "<presence to='juliet@localhost' from='romeo@localhost/orchard'><show>dnd</show></presence>"
    );
}

#[test]
fn xep0191_3_3_who_may_not_see_her_is_not_told_that_she_goes() {
    let world = World::new(&[]);
    // She sees him, not he her.
    world.people.subscribe(JULIET, ROMEO);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    juliet.all();
    block(&world.router, JULIET, ROMEO);
    romeo.nothing();
    assert_eq!(juliet.one(), unavailable("romeo@localhost/orchard", JULIET));
    unblock(&world.router, JULIET, ROMEO);
    romeo.nothing();
    assert!(juliet.one().contains("from='romeo@localhost/orchard'"));
}

#[test]
fn xep0191_3_3_who_was_told_directly_is_told_the_end_and_then_no_more() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    juliet.send("<presence to='romeo@localhost/orchard'/>");
    romeo.send("<presence to='juliet@localhost'/>");
    romeo.all();
    juliet.all();
    block(&world.router, JULIET, "localhost");
    assert_eq!(romeo.one(), unavailable("juliet@localhost/balcony", "romeo@localhost/orchard"));
    unblock(&world.router, JULIET, "localhost");
    juliet.send("<presence type='unavailable'/>");
    romeo.send("<presence to='juliet@localhost/balcony' type='probe'/>");
    romeo.nothing();
}

/// A resource that is listed by its name: nothing of the rest of its account is touched.
#[test]
fn p09_of_an_account_only_the_resource_that_is_listed_is_blocked() {
    let (world, mut orchard, mut juliet) = friends();
    let mut street = world.online("romeo@localhost/street");
    for actor in [&mut orchard, &mut juliet] {
        actor.all();
    }
    block(&world.router, JULIET, "romeo@localhost/street");
    assert_eq!(street.one(), unavailable("juliet@localhost/balcony", "romeo@localhost/street"));
    assert_eq!(juliet.one(), unavailable("romeo@localhost/street", JULIET));
    orchard.nothing();
    juliet.send("<presence id='1'/>");
    assert_eq!(orchard.ids(), ["1"]);
    street.nothing();
    street.send("<presence id='2'/>");
    assert_eq!(orchard.ids(), ["2"]);
    orchard.send("<presence id='3'/>");
    assert_eq!(juliet.ids(), ["1", "3"]);
    orchard.all();
    street.all();
    // Of those who come later too.
    let mut window = world.connect("juliet@localhost/window");
    window.send("<presence id='4'/>");
    let seen = window.all();
    assert!(seen.iter().any(|stanza| stanza.contains("romeo@localhost/orchard")), "{seen:#?}");
    assert!(!seen.iter().any(|stanza| stanza.contains("romeo@localhost/street")), "{seen:#?}");
    assert_eq!(orchard.ids(), ["4"]);
    street.nothing();
    juliet.all();
    juliet.send("<presence to='romeo@localhost' type='probe'/>");
    let seen = juliet.one();
    assert!(seen.contains("from='romeo@localhost/orchard'"), "{seen}");
    let mut street = {
        street.disconnect();
        world.connect("romeo@localhost/street")
    };
    street.send("<presence/>");
    let seen = street.all();
    assert!(!seen.iter().any(|stanza| stanza.contains("juliet@localhost")), "{seen:#?}");
    orchard.all();
    window.disconnect();
    assert_eq!(orchard.all().len(), 1);
    street.nothing();
    unblock(&world.router, JULIET, "romeo@localhost/street");
    assert!(street.one().contains("from='juliet@localhost/balcony'"));
    orchard.nothing();
}

#[test]
fn p09_a_list_that_was_there_before_holds_from_the_first_stanza_on() {
    let world = World::new(&[]);
    world.people.subscribe(ROMEO, JULIET);
    world.people.subscribe(JULIET, ROMEO);
    world.people.block(JULIET, ROMEO);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<message to='romeo@localhost/orchard' id='m'/>");
    assert!(juliet.one().contains("<blocked xmlns='urn:xmpp:blocking:errors'/>"));
    juliet.send("<presence id='p'/>");
    assert_eq!(juliet.ids(), ["p"]);
    romeo.nothing();
}

/// What was read before the change and comes after it is older than the change.
#[test]
fn p09_a_read_that_the_change_overtook_does_not_undo_it() {
    let world = World::new(&[]);
    let mut juliet = world.online("juliet@localhost/balcony");
    let romeo = world.online("romeo@localhost/orchard");
    let account = juliet.account();
    world.router.recheck(&JULIET.parse().unwrap());
    let slow = finish(world.people.slow.clone().lock_owned());
    let mut message = romeo.start("<message to='juliet@localhost' id='1' type='headline'/>");
    assert!(!message.go(), "her account is being read");
    let reads = world.people.reads.load(Ordering::Relaxed);
    let mut turn = finish(world.router.turn(&account));
    world.people.block(JULIET, ROMEO);
    let mut change = Task::new({
        let router = world.router.clone();
        async move {
            router.update_blocked(&mut turn, &[ROMEO.parse().unwrap()], &[], |_| ()).await;
        }
    });
    assert!(change.go());
    drop(slow);
    assert!(message.go());
    assert_eq!(world.people.reads.load(Ordering::Relaxed), reads + 1, "read once more");
    juliet.nothing();
}

#[test]
fn p09_presence_that_waits_for_the_change_does_not_pass_it() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    let account = juliet.account();
    let mut turn = finish(world.router.turn(&account));
    let mut directed = juliet.start("<presence to='romeo@localhost' id='late'/>");
    assert!(!directed.go());
    finish(world.router.update_blocked(&mut turn, &[ROMEO.parse().unwrap()], &[], |_| ()));
    drop(turn);
    assert!(directed.go());
    romeo.nothing();
    assert!(juliet.one().contains("<not-acceptable"));
}

/// The store has it, and somebody has read it, before the change was taken over.
#[test]
fn xep0191_3_3_the_goodbye_is_said_though_the_change_was_read_already() {
    let (world, mut romeo, juliet) = friends();
    let account = juliet.account();
    let turn = finish(world.router.turn(&account));
    world.people.block(JULIET, ROMEO);
    world.router.recheck(&JULIET.parse().unwrap());
    romeo.send("<message to='juliet@localhost' id='m'/>");
    assert!(romeo.one().contains("<service-unavailable"));
    drop(turn);
    block(&world.router, JULIET, ROMEO);
    assert_eq!(romeo.one(), unavailable("juliet@localhost/balcony", ROMEO));
}

#[test]
fn r03_who_blocks_many_at_once_and_takes_it_back_sees_all_of_it() {
    let world = World::with(&[], |settings| settings.mailbox_bytes = 4_096);
    let friends: Vec<_> = (0..100).map(|number| format!("friend{number}@localhost")).collect();
    for name in &friends {
        world.people.add(name);
        world.people.subscribe("juliet@localhost", name);
    }
    let _there: Vec<_> = friends.iter().map(|name| world.online(&format!("{name}/home"))).collect();
    let mut juliet = world.online("juliet@localhost/balcony");
    let mut phone = world.online("juliet@localhost/phone");
    juliet.all();
    let jids: Vec<Jid> = friends.iter().map(|name| name.parse().unwrap()).collect();
    change_blocked(&world.router, "juliet@localhost", &jids, &[]);
    for session in [&mut juliet, &mut phone] {
        let gone = session.all();
        assert_eq!(gone.iter().filter(|xml| xml.contains("type='unavailable'")).count(), 100);
    }
    change_blocked(&world.router, "juliet@localhost", &[], &jids);
    assert_eq!(juliet.all().len(), 100);
    // The phone reads no more.
    change_blocked(&world.router, "juliet@localhost", &jids, &[]);
    change_blocked(&world.router, "juliet@localhost", &[], &jids);
    juliet.all();
    assert_eq!(phone.closed().condition, StreamCondition::PolicyViolation);
}
