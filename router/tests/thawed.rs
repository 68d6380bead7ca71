//! Sessions that go on in another process (XEP-0198 5): what their clients have, what they are still to get, and whom they see.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/drawer.rs"]
mod drawer;

use common::{Actor, World, finish, stanza, xml};
use drawer::Drawer;
use router::{Declare, Frozen, Keeping, Mail, Module};
use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

fn with(module: Arc<dyn Module>) -> World {
    World::new(&[module])
}

/// Somebody who was available before the process began.
fn thaw(world: &World, jid: &str) -> Actor {
    let frozen = Frozen {
        jid: jid.parse().unwrap(),
        since: SystemTime::UNIX_EPOCH,
        presence: Some(stanza(&format!("<presence from='{jid}'/>"))),
        directed: Vec::new(),
        remembered: Vec::new(),
    };
    let (claim, mailbox) = finish(world.router.thaw(frozen)).unwrap();
    Actor { router: world.router.clone(), claim: Arc::new(claim), mailbox }
}

fn message(number: i64) -> String {
    format!("<message to='juliet@localhost/balcony' from='romeo@localhost/orchard' id='{number}'/>")
}

#[test]
fn l07_what_waits_comes_once_and_what_was_acknowledged_does_not() {
    let drawer = Arc::new(Drawer::default());
    let world = with(drawer.clone());
    drawer.kept.lock().unwrap().extend((1..=5).map(|number| (number, message(number))));
    let mut juliet = thaw(&world, "juliet@localhost/balcony");
    let mut other = thaw(&world, "juliet@localhost/garden");
    // One has acknowledged the first, and the other still has it in its books; each has another one.
    let shared = other.claim.letter(stanza(&message(1)), Some(1));
    let second = juliet.claim.letter(stanza(&message(2)), Some(2));
    let third = other.claim.letter(stanza(&message(3)), Some(3));
    world.router.took_rows(&juliet.claim, [1]);
    common::go();
    assert!(!drawer.kept.lock().unwrap().contains_key(&1));
    assert!(juliet.claim.is_on_its_way(2) && juliet.claim.is_on_its_way(3));
    assert!(!juliet.claim.is_on_its_way(4));
    world.router.deliver_what_waits(&juliet.claim);
    assert_eq!(juliet.ids(), ["4", "5"]);
    other.nothing();
    world.router.took(&juliet.claim, [second]);
    world.router.took(&other.claim, [shared, third]);
    common::go();
    assert!(drawer.kept.lock().unwrap().is_empty());
}

/// Of two sessions one was further than the other when the server was killed.
#[test]
fn l11_each_session_gets_what_it_had_not_been_sent() {
    let drawer = Arc::new(Drawer { page: 2, ..Drawer::default() });
    let world = with(drawer.clone());
    let for_both = |number| message(number).replace("/balcony", "");
    drawer.kept.lock().unwrap().extend((1..=4).map(|number| (number, for_both(number))));
    drawer.kept.lock().unwrap().insert(5, message(5)); // for one of them
    let mut juliet = thaw(&world, "juliet@localhost/balcony");
    let mut other = thaw(&world, "juliet@localhost/garden");
    let mut silent = thaw(&world, "juliet@localhost/cellar");
    silent.send("<presence><priority>-1</priority></presence>");
    for actor in [&mut juliet, &mut other, &mut silent] {
        actor.all();
    }
    let first = other.claim.letter(stanza(&for_both(1)), Some(1));
    let third = juliet.claim.letter(stanza(&for_both(3)), Some(3));
    // The second one has acknowledged already.
    let sessions = [(&*juliet.claim, 3), (&*other.claim, 1), (&*silent.claim, 0)];
    finish(world.router.catch_up(&sessions));
    world.router.took_rows(&juliet.claim, [2]);
    world.router.deliver_what_waits(&juliet.claim);
    assert_eq!(juliet.ids(), ["4", "5"]);
    assert_eq!(other.ids(), ["2", "3", "4"]);
    silent.nothing();
    world.router.took(&juliet.claim, [third]);
    world.router.took(&other.claim, [first]);
    common::go();
    assert!(drawer.kept.lock().unwrap().is_empty());
}

#[test]
fn l07_what_nobody_takes_stays() {
    let drawer = Arc::new(Drawer::default());
    let world = with(drawer.clone());
    drawer.kept.lock().unwrap().insert(1, message(1));
    let mut juliet = thaw(&world, "juliet@localhost/balcony");
    juliet.send("<presence><priority>-1</priority></presence>");
    juliet.all();
    world.router.deliver_what_waits(&juliet.claim);
    juliet.nothing();
    assert_eq!(drawer.ids(), ["1"]);
}

#[test]
fn rfc6121_4_3_2_who_comes_back_after_a_kill_sees_who_is_there_now() {
    let world = World::new(&[]);
    for name in ["nurse@localhost", "paris@localhost", "tybalt@localhost"] {
        world.people.add(name);
        world.people.subscribe("juliet@localhost", name);
    }
    world.people.subscribe("juliet@localhost", "romeo@localhost");
    world.people.block("juliet@localhost", "tybalt@localhost");
    let mut juliet = thaw(&world, "juliet@localhost/balcony");
    let _romeo = thaw(&world, "romeo@localhost/orchard");
    let _paris = world.online("paris@localhost/street");
    juliet.all();
    world.router.show_contacts(&juliet.claim);
    let mut seen = Vec::new();
    while let Some(Mail::Letter(letter)) = juliet.mailbox.try_next() {
        let head = &letter.stanza().head;
        assert_eq!(head.to.as_ref().unwrap().as_str(), "juliet@localhost");
        let gone = xml(letter.stanza()).contains("type='unavailable'");
        seen.push((head.from.as_ref().unwrap().to_string(), gone));
    }
    for (name, session) in
        [("romeo@localhost", "orchard"), ("nurse@localhost", ""), ("paris@localhost", "street")]
    {
        let of: Vec<_> = seen.iter().filter(|(from, _)| from.starts_with(name)).collect();
        let there = (!session.is_empty()).then(|| (format!("{name}/{session}"), false));
        let expected: Vec<_> = [(name.to_owned(), true)].into_iter().chain(there).collect();
        assert_eq!(of, expected.iter().collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    // and who is not available sees nobody
    juliet.send("<presence type='unavailable'/>");
    juliet.all();
    world.router.show_contacts(&juliet.claim);
    juliet.nothing();
}

/// Notes of each message whether a session of its recipient may go on after a kill.
#[derive(Default)]
struct Notes(Mutex<Vec<bool>>);

impl Module for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }
    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.keep(move |keeping: &Keeping<'_>| {
            self.0.lock().unwrap().push(keeping.outlives);
            None
        });
    }
}

#[test]
fn xep0198_5_it_is_known_who_goes_on_after_a_kill() {
    let notes = Arc::new(Notes::default());
    let world = with(notes.clone());
    let romeo = world.connect("romeo@localhost/orchard");
    let juliet = world.connect("juliet@localhost/balcony");
    romeo.send(&message(1));
    juliet.claim.manage(false);
    romeo.claim.manage(true);
    romeo.send(&message(2));
    juliet.claim.manage(true);
    romeo.send(&message(3));
    assert_eq!(*notes.0.lock().unwrap(), [false, false, true]);
}
