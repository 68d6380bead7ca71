//! Rosters change one step at a time, and views follow.

mod common;

use common::{Task, World, finish};
use router::{Relation, Turn};
use std::sync::atomic::Ordering;

const BOTH: Relation = Relation { to: true, from: true, listed: true };

#[test]
fn a_broadcast_waits_for_the_change_that_is_under_way() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    let contact = "romeo@localhost".parse().unwrap();
    let account = finish(world.router.account(&"juliet@localhost".parse().unwrap())).unwrap();
    let mut turn = finish(world.router.turn(&account));
    let mut broadcast = juliet.start("<presence id='p'/>");
    assert!(!broadcast.go());
    finish(world.router.update(&mut turn, 1, &contact, BOTH, |_| {}));
    drop(turn);
    assert!(broadcast.go());
    assert_eq!(romeo.ids(), ["p"], "it goes to whom the change made a subscriber");
}

#[test]
fn two_who_need_the_same_turns_do_not_wait_for_each_other() {
    let world = World::new(&[]);
    let account = |jid: &str| finish(world.router.account(&jid.parse().unwrap())).unwrap();
    let (romeo, juliet) = (account("romeo@localhost"), account("juliet@localhost"));
    let take = |one: &std::sync::Arc<router::Account>, other: &std::sync::Arc<router::Account>| {
        let (router, one, other) = (world.router.clone(), one.clone(), other.clone());
        Task::new(async move {
            let (mut a, mut b): (Turn, Turn) = router.turns(&one, &other).await;
            assert_eq!((a.account().jid(), b.account().jid()), (one.jid(), other.jid()));
            a.unchanged();
            b.unchanged();
        })
    };
    let held = finish(world.router.turn(&juliet));
    let (mut one, mut two) = (take(&romeo, &juliet), take(&juliet, &romeo));
    assert!(!one.go() && !two.go());
    drop(held);
    for _ in 0..2 {
        one.go();
        two.go();
    }
    assert!(one.go() && two.go());
}

#[test]
fn a_change_that_was_cut_off_is_read_again() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    let account = finish(world.router.account(&"juliet@localhost".parse().unwrap())).unwrap();
    let turn = finish(world.router.turn(&account));
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    drop(turn);
    juliet.send("<presence id='p'/>");
    assert_eq!(romeo.ids(), ["p"]);
    // Nothing of the kind where the store has answered.
    let reads = world.people.reads.load(Ordering::Relaxed);
    finish(world.router.turn(&account)).unchanged();
    juliet.send("<presence/>");
    assert_eq!(world.people.reads.load(Ordering::Relaxed), reads);
}

#[test]
fn a_facet_is_read_with_the_account_and_changed_in_memory() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Mood(u8);
    let world = World::new(&[]);
    world.people.put_facet("juliet@localhost", Mood(1));
    let juliet = world.connect("juliet@localhost/balcony");
    let account = juliet.account();
    let mood = || finish(world.router.enter(&account, |view| view.facet::<Mood>().copied()));
    assert_eq!(mood(), Some(Mood(1)));
    // A read that began before the change does not undo it.
    world.router.recheck(account.jid());
    let slow = world.people.slow.clone();
    let held = finish(slow.lock());
    let mut reading = juliet.start("<message to='juliet@localhost/none' type='error'/>");
    assert!(!reading.go());
    world.people.put_facet("juliet@localhost", Mood(2));
    finish(world.router.enter(&account, |view| view.put_facet(Mood(2))));
    drop(held);
    assert!(reading.go());
    assert_eq!(mood(), Some(Mood(2)));
}

#[test]
fn an_older_reading_never_replaces_a_newer_change() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    let contact = "romeo@localhost".parse().unwrap();
    let account = finish(world.router.account(&"juliet@localhost".parse().unwrap())).unwrap();
    world.router.recheck(account.jid());
    let slow = world.people.slow.clone();
    let held = finish(slow.lock());
    let mut probe = romeo.start("<message to='juliet@localhost/none' type='error'/>");
    assert!(!probe.go(), "the old roster is being read");
    let mut turn = finish(world.router.turn(&account));
    finish(world.router.update(&mut turn, 1, &contact, BOTH, |_| {}));
    drop(turn);
    drop(held);
    assert!(probe.go());
    juliet.send("<presence id='p'/>");
    assert_eq!(romeo.ids(), ["p"]);
}
