//! What is kept on its way, and that nothing overtakes it (RFC 6120 10.1).
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/drawer.rs"]
mod drawer;

use common::{World, block, finish};
use drawer::{Drawer, chat, ids, open};
use router::{Mail, Module};
use std::sync::{Arc, atomic::Ordering};

fn over(drawer: &Arc<Drawer>) -> World {
    let drawer: Arc<dyn Module> = drawer.clone();
    World::new(&[drawer])
}

fn world() -> (World, Arc<Drawer>) {
    let drawer = Arc::new(Drawer::default());
    (over(&drawer), drawer)
}

#[test]
fn kept_and_then_delivered_in_order() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    romeo.send(&chat("2"));
    assert_eq!(drawer.ids(), ["1", "2"]);
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence><priority>-1</priority></presence>");
    assert_eq!(ids(&mut juliet), Vec::<String>::new());
    juliet.send("<presence/>");
    assert_eq!(ids(&mut juliet), ["1", "2"]);
    assert_eq!(drawer.ids(), Vec::<String>::new());
    juliet.send("<presence type='unavailable'/>");
    juliet.send("<presence/>");
    assert_eq!(ids(&mut juliet), Vec::<String>::new());
}

#[test]
fn l06_a_login_while_a_message_is_being_written_loses_nothing() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let written = drawer.next_waits();
    let mut first = romeo.start(&chat("1"));
    assert!(!first.go(), "the sender waits for the row");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    let mut second = romeo.start(&chat("2"));
    assert!(second.go(), "nobody but the owner of a row waits");
    open(&read);
    // The row is read before the sender of the first message has heard that it is safe: still in order.
    assert_eq!(ids(&mut juliet), ["1", "2"]);
    open(&written);
    assert!(first.go());
    juliet.nothing();
    assert_eq!(drawer.ids(), Vec::<String>::new());
}

#[test]
fn l06_what_comes_while_the_backlog_is_read_comes_after_it() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    let mut juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    romeo.send(&chat("2"));
    romeo.send("<message to='juliet@localhost/balcony' id='3'/>");
    assert_eq!(ids(&mut juliet), Vec::<String>::new());
    open(&read);
    assert!(login.go());
    assert_eq!(ids(&mut juliet), ["1", "2", "3"]);
    romeo.send(&chat("4"));
    assert_eq!(ids(&mut juliet), ["4"]);
}

#[test]
fn a_session_that_ends_while_its_backlog_is_read_loses_nothing() {
    let (world, drawer) = world();
    let mut romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    let juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    romeo.send(&chat("2"));
    // Cut off in the middle: the task is dropped, then the claim.
    drop(login);
    juliet.disconnect();
    open(&read);
    romeo.nothing();
    assert_eq!(drawer.ids(), ["1", "2"]);
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(ids(&mut juliet), ["1", "2"]);
}

#[test]
fn l06_a_second_login_while_the_first_one_is_not_done_gets_all_in_order() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    let written = drawer.next_waits();
    let mut first = romeo.start(&chat("1"));
    assert!(!first.go());
    let juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    romeo.send(&chat("2"));
    juliet.disconnect();
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    romeo.send(&chat("3"));
    open(&written);
    assert!(first.go());
    assert_eq!(ids(&mut juliet), ["1", "2", "3"]);
    assert_eq!(drawer.ids(), Vec::<String>::new());
}

#[test]
fn what_waits_is_read_page_by_page_and_in_order() {
    let drawer = Arc::new(Drawer { page: 2, ..Drawer::default() });
    let world = over(&drawer);
    let romeo = world.online("romeo@localhost/orchard");
    for id in ["1", "2", "3", "4", "5"] {
        romeo.send(&chat(id));
    }
    let mut juliet = world.connect("juliet@localhost/balcony");
    let pages = [(); 2].map(|()| drawer.next_waits());
    juliet.send("<presence/>");
    open(&pages[0]);
    assert_eq!(ids(&mut juliet), ["1", "2"]);
    romeo.send(&chat("6"));
    assert_eq!(ids(&mut juliet), [""; 0]);
    open(&pages[1]);
    assert_eq!(ids(&mut juliet), ["3", "4", "5", "6"]);
    assert_eq!(drawer.ids(), [""; 0]);
}

#[test]
fn l19_what_overflowed_and_what_was_not_acknowledged_waits_in_order() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let modules: [Arc<dyn Module>; 1] = [drawer.clone()];
    let world = World::with(&modules, |settings| settings.mailbox_bytes = 1_000);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut deaf = world.online("juliet@localhost/balcony");
    let mut unproven = Vec::new();
    for id in 0..20 {
        romeo.send(&chat(&id.to_string()));
        if id < 2
            && let Some(Mail::Letter(letter)) = deaf.mailbox.try_next()
        {
            unproven.push(letter);
        }
    }
    deaf.closed();
    assert_eq!((unproven.len(), drawer.ids().len()), (2, 20));
    let mut phone = world.online("juliet@localhost/phone");
    assert_eq!(ids(&mut phone), [""; 0], "read, and taken, when she came");
    let claim = Arc::into_inner(deaf.claim).unwrap();
    finish(world.router.release(claim, deaf.mailbox, unproven));
    let told = ids(&mut phone);
    let told: Vec<usize> = told.iter().map(|id| id.parse().unwrap()).collect();
    assert!(told.starts_with(&[0, 1, 2]) && told.is_sorted(), "{told:?}");
    assert_eq!(drawer.ids(), [""; 0], "all of it is taken, once");
    assert_eq!(drawer.archived.lock().unwrap().len(), 20);
    romeo.nothing();
}

#[test]
fn r03_what_waits_comes_as_there_is_room_for_it() {
    let drawer = Arc::new(Drawer::default());
    let modules: [Arc<dyn Module>; 1] = [drawer.clone()];
    let world = World::with(&modules, |settings| settings.mailbox_bytes = 4_000);
    let romeo = world.online("romeo@localhost/orchard");
    let message = |id: usize| {
        let body = "x".repeat(500);
        format!(
            "<message to='juliet@localhost' type='chat' id='{id}'><body>{body}</body></message>"
        )
    };
    (0..20).for_each(|id| romeo.send(&message(id)));
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    // She may ask for what she likes meanwhile.
    juliet.send("<iq to='juliet@localhost' type='get' id='q'><x xmlns='y'/></iq>");
    let first = std::iter::from_fn(|| match juliet.mailbox.try_next()? {
        Mail::Letter(letter) => Some(letter),
        Mail::Close(error) => panic!("{error:?}"),
    });
    let mut first: Vec<_> = first.collect();
    let messages = first.iter().filter(|letter| letter.row().is_some()).count();
    assert!((1..5).contains(&messages), "{messages} of 20");
    juliet.router.took(&juliet.claim, first.drain(..));
    let rest: Vec<_> = (messages..20).map(|id| id.to_string()).collect();
    assert_eq!(ids(&mut juliet), rest);
    assert_eq!(drawer.ids(), [""; 0]);
}

#[test]
fn what_waits_lets_go_first_what_came_before_it() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&drawer);
    let romeo = world.online("romeo@localhost/orchard");
    let mut phone = world.connect("juliet@localhost/phone");
    phone.send("<presence><priority>-1</priority></presence>");
    phone.all();
    let written = drawer.next_waits();
    let mut first = romeo.start("<message to='juliet@localhost/phone' type='chat' id='1'/>");
    assert!(!first.go());
    // For the account, which nobody takes messages for now.
    romeo.send(&chat("2"));
    phone.send("<presence/>");
    assert_eq!(ids(&mut phone), [""; 0]);
    open(&written);
    assert!(first.go());
    assert_eq!(ids(&mut phone), ["1", "2"]);
}

#[test]
fn who_leaves_and_comes_back_while_the_backlog_is_read_gets_it_once() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    let mut juliet = world.connect("juliet@localhost/balcony");
    let reads = [drawer.next_waits(), drawer.next_waits()];
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    juliet.send("<presence type='unavailable'/>");
    let mut again = juliet.start("<presence/>");
    assert!(again.go());
    for read in &reads {
        open(read);
    }
    assert!(login.go() && again.go());
    assert_eq!(ids(&mut juliet), ["1"]);
    assert_eq!(drawer.ids(), Vec::<String>::new());
}

#[test]
fn who_leaves_while_the_backlog_is_read_does_not_get_it() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    let mut juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    juliet.send("<presence type='unavailable'/>");
    open(&read);
    assert!(login.go());
    assert_eq!(ids(&mut juliet), Vec::<String>::new());
    assert_eq!(drawer.ids(), ["1"]);
}

#[test]
fn another_session_that_is_there_gets_what_the_first_one_left() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    let juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    romeo.send(&chat("1"));
    let mut phone = world.online("juliet@localhost/phone");
    open(&read);
    assert_eq!(ids(&mut phone), [""; 0]);
    juliet.disconnect();
    assert_eq!(ids(&mut phone), ["1"]);
    assert_eq!(drawer.ids(), Vec::<String>::new());
}

#[test]
fn l06_a_backlog_whose_session_is_replaced_goes_to_another_that_is_there() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    let balcony = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = balcony.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    let mut phone = world.online("juliet@localhost/phone");
    let mut again = world.connect("juliet@localhost/balcony");
    romeo.send(&chat("2"));
    open(&read);
    assert!(login.go());
    assert_eq!(ids(&mut phone), ["1", "2"]);
    assert_eq!(ids(&mut again), Vec::<String>::new());
    assert_eq!(drawer.ids(), Vec::<String>::new());
}

#[test]
fn what_was_handed_over_and_not_read_is_kept_again_in_order() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send(&chat("1"));
    romeo.send(&chat("2"));
    let juliet = world.online("juliet@localhost/balcony");
    romeo.send(&chat("3"));
    romeo.send(&chat("4"));
    assert_eq!(drawer.ids(), Vec::<String>::new());
    juliet.disconnect();
    // The first two were read by `online`; the rest is as it was sent.
    assert_eq!(drawer.ids(), ["3", "4"]);
}

#[test]
fn what_a_session_did_not_take_comes_before_what_came_later() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    let balcony = world.online("juliet@localhost/balcony");
    romeo.send(&chat("1"));
    romeo.send(&chat("2"));
    balcony.send("<presence type='unavailable'/>");
    let mut phone = world.connect("juliet@localhost/phone");
    let read = drawer.next_waits();
    let mut login = phone.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    romeo.send(&chat("3"));
    balcony.disconnect();
    romeo.send(&chat("4"));
    open(&read);
    assert!(login.go());
    assert_eq!(ids(&mut phone), ["1", "2", "3", "4"]);
}

#[test]
fn a_message_that_cannot_be_kept_comes_back() {
    let (world, drawer) = world();
    let mut romeo = world.online("romeo@localhost/orchard");
    drawer.full.store(true, Ordering::Relaxed);
    romeo.send(&chat("1"));
    let error = romeo.one();
    assert!(error.contains("id='1'") && error.contains("<resource-constraint"), "{error}");
    drawer.full.store(false, Ordering::Relaxed);
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(ids(&mut juliet), Vec::<String>::new());
}

#[test]
fn rfc6120_10_1_what_is_archived_is_not_overtaken() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&drawer);
    world.people.subscribe("juliet@localhost", "romeo@localhost");
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    let gates = [drawer.next_waits(), drawer.next_waits()];
    let mut one = romeo.start(&chat("1"));
    let mut two = romeo.start(&chat("2"));
    assert!(!one.go() && !two.go(), "both rows are on their way at once");
    romeo.send("<iq to='juliet@localhost/balcony' type='get' id='3'><x xmlns='y'/></iq>");
    romeo.send("<presence id='4'/>");
    open(&gates[1]);
    assert!(two.go());
    juliet.nothing();
    open(&gates[0]);
    assert!(one.go());
    assert_eq!(ids(&mut juliet), ["1", "2", "3", "4"]);
}

#[test]
fn an_archived_message_that_could_not_be_written_is_not_delivered() {
    let drawer = Arc::new(Drawer { archive: true, full: true.into(), ..Drawer::default() });
    let world = over(&drawer);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.send(&chat("1"));
    assert!(romeo.one().contains("<resource-constraint"));
    juliet.nothing();
}

#[test]
fn a_message_in_doubt_is_neither_handled_nor_refused_and_holds_up_nobody() {
    let drawer = Arc::new(Drawer { archive: true, full: true.into(), ..Drawer::default() });
    drawer.doubts.store(true, Ordering::Relaxed);
    let world = over(&drawer);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    let (failed, certain) = (drawer.next_waits(), drawer.next_waits());
    let mut send = romeo.start(&chat("1"));
    assert!(!send.go());
    drawer.full.store(false, Ordering::Relaxed);
    drawer.doubts.store(false, Ordering::Relaxed);
    romeo.send(&chat("2"));
    juliet.nothing();
    open(&failed);
    assert!(!send.go(), "it does not count as handled");
    assert_eq!(ids(&mut juliet), ["2"], "what waits behind it goes on");
    romeo.nothing();
    open(&certain);
    assert!(send.go());
    assert!(romeo.one().contains("<resource-constraint"));
    juliet.nothing();
}

#[test]
fn an_archived_message_whose_session_is_gone_when_it_is_written_is_kept() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&drawer);
    let romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    let written = drawer.next_waits();
    let mut send = romeo.start(&chat("1"));
    assert!(!send.go());
    juliet.disconnect();
    open(&written);
    assert!(send.go());
    assert_eq!(drawer.ids(), ["1"]);
}

#[test]
fn l02_what_a_session_did_not_take_goes_to_another_in_order_and_is_not_archived_again() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&drawer);
    let romeo = world.online("romeo@localhost/orchard");
    let balcony = world.online("juliet@localhost/balcony");
    let mut phone = world.connect("juliet@localhost/phone");
    phone.send("<presence><priority>-1</priority></presence>");
    for id in ["1", "2", "3"] {
        romeo.send(&chat(id));
    }
    phone.send("<presence/>");
    phone.all();
    // Something older is on its way still.
    let gates = [(); 5].map(|()| drawer.next_waits());
    let mut older = romeo.start("<message to='juliet@localhost/phone' id='0'/>");
    assert!(!older.go());
    balcony.disconnect();
    let mut later = romeo.start(&chat("4"));
    assert!(!later.go());
    for gate in &gates {
        open(gate);
    }
    assert!(older.go() && later.go());
    assert_eq!(ids(&mut phone), ["1", "2", "3", "0", "4"]);
    assert_eq!(drawer.archived.lock().unwrap().len(), 5);
    assert_eq!(drawer.ids(), [""; 0], "all of it is taken");
}

#[test]
fn l04_what_a_task_leaves_behind_is_shown_once_it_is_written_and_not_before() {
    let drawer = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&drawer);
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    let written = drawer.next_waits();
    let mut send = romeo.start(&chat("1"));
    assert!(!send.go());
    romeo.send("<message to='juliet@localhost' type='headline' id='2'/>");
    drop(send);
    juliet.nothing();
    open(&written);
    assert_eq!(ids(&mut juliet), ["1", "2"]);
}

#[test]
fn r03_a_lane_is_bounded_in_bytes() {
    let drawer = Arc::new(Drawer::default());
    let modules: [Arc<dyn Module>; 1] = [drawer.clone()];
    let world = World::with(&modules, |settings| settings.lane_bytes = 4_096);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    let body = "x".repeat(1_000);
    for id in 0..10 {
        romeo.send(&format!(
            "<message to='juliet@localhost' type='chat' id='{id}'><body>{body}</body></message>"
        ));
    }
    let refused = romeo.all();
    assert!(refused.iter().all(|error| error.contains("<resource-constraint")));
    open(&read);
    assert!(login.go());
    let delivered = ids(&mut juliet);
    assert_eq!(delivered.len() + refused.len(), 10);
    assert_eq!(delivered, (0..delivered.len()).map(|id| id.to_string()).collect::<Vec<_>>());
    assert!((1..10).contains(&delivered.len()));
}

#[test]
fn a_long_lane_leaves_without_a_deep_stack() {
    let (world, drawer) = world();
    let romeo = world.online("romeo@localhost/orchard");
    let juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    juliet.send("<presence/>");
    let count = 1_500;
    for id in 0..count {
        romeo.send(&chat(&id.to_string()));
    }
    juliet.disconnect();
    open(&read);
    assert_eq!(drawer.ids(), (0..count).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn p09_what_was_kept_before_its_sender_was_blocked_vanishes() {
    let (world, drawer) = world();
    world.people.add("nurse@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let nurse = world.online("nurse@localhost/chamber");
    romeo.send(&chat("1"));
    nurse.send(&chat("2"));
    romeo.send(&chat("3"));
    assert_eq!(drawer.ids(), ["1", "2", "3"]);
    block(&world.router, "juliet@localhost", "romeo@localhost");
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence id='p'/>");
    assert_eq!(juliet.ids(), ["p", "2"]);
    // It is gone, and he cannot tell that she came.
    assert_eq!(drawer.ids(), Vec::<String>::new());
    romeo.nothing();
}

#[test]
fn p09_what_is_on_its_way_when_its_sender_is_blocked_does_not_arrive() {
    // written down, and delivered when that is done
    let archive = Arc::new(Drawer { archive: true, ..Drawer::default() });
    let world = over(&archive);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    let written = archive.next_waits();
    let mut first = romeo.start(&chat("1"));
    assert!(!first.go());
    block(&world.router, "juliet@localhost", "romeo@localhost");
    open(&written);
    assert!(first.go());
    juliet.nothing();
    // It was taken in before, so it does not come back either.
    romeo.nothing();
    assert_eq!(archive.ids(), [""; 0]);

    // waiting behind what is read
    let (world, drawer) = self::world();
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let read = drawer.next_waits();
    let mut login = juliet.start("<presence id='p'/>");
    assert!(login.go(), "nobody's stanza waits for what is read");
    romeo.send(&chat("1"));
    block(&world.router, "juliet@localhost", "localhost");
    open(&read);
    assert!(login.go());
    assert_eq!(juliet.ids(), ["p"]);
    romeo.nothing();
    assert_eq!(drawer.ids(), [""; 0]);

    // in the mailbox of a session that ends without having read it
    let (world, drawer) = self::world();
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    romeo.send(&chat("1"));
    block(&world.router, "juliet@localhost", "romeo@localhost/orchard");
    juliet.disconnect();
    assert!(romeo.one().contains("<service-unavailable"));
    assert_eq!(drawer.ids(), Vec::<String>::new());
}
