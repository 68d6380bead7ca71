//! The phase copy: who gets copies, when, and that they are in the order of what they are copies of.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/drawer.rs"]
mod drawer;

use bytes::Bytes;
use common::{World, block};
use drawer::{Drawer, ids, open};
use router::{Declare, Module, Side, Urgency};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use xmpp_core::{Kind, Stanza, stanza::PresenceType};

/// Gives a copy of every message to sessions whose resource begins with `copy`. Its id is that of the message with
/// `sent-` or `received-` before it.
#[derive(Default)]
struct Copier {
    made: AtomicUsize,
}

impl Module for Copier {
    fn name(&self) -> &'static str {
        "copier"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let wants = |resource: &str| resource.starts_with("copy");
        declare.copy(
            move |seat| seat.jid().resource().is_some_and(wants),
            move |copying| {
                self.made.fetch_add(1, Ordering::Relaxed);
                let side = match copying.side {
                    Side::Sender => "sent",
                    Side::Recipient => "received",
                };
                let id = copying.message.head.id.clone().unwrap();
                let kind = copying.message.kind();
                let copy = Stanza::new(kind, Bytes::from_static(b"<copy xmlns='urn:example'/>"));
                Some(copy.id(&format!("{side}-{id}")).from(copying.account.as_jid().clone()))
            },
        );
        declare.urgency(|stanza| match stanza.kind() {
            Kind::Presence(PresenceType::Available) => Urgency::Later,
            _ => Urgency::Now,
        });
    }
}

fn world(drawer: Drawer) -> (World, Arc<Drawer>, Arc<Copier>) {
    let (drawer, copier) = (Arc::new(drawer), Arc::new(Copier::default()));
    let modules: [Arc<dyn Module>; 2] = [drawer.clone(), copier.clone()];
    (World::new(&modules), drawer, copier)
}

fn to(resource: &str, id: &str) -> String {
    format!("<message to='juliet@localhost/{resource}' type='chat' id='{id}'/>")
}

#[test]
fn a_copy_is_made_once_for_all_and_only_where_somebody_wants_it() {
    let (world, _, copier) = world(Drawer::default());
    let romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    romeo.send(&to("balcony", "1"));
    assert_eq!(juliet.ids(), ["1"]);
    assert_eq!(copier.made.load(Ordering::Relaxed), 0);

    let mut others = ["copy1", "copy2", "copy3"]
        .map(|resource| world.connect(&format!("juliet@localhost/{resource}")));
    romeo.send(&to("balcony", "2"));
    for other in &mut others {
        let (own, copy) = (other.jid(), other.one());
        assert_eq!(
            copy,
            format!(
                "<message type='chat' to='{own}' from='juliet@localhost' id='received-2'>\
                 <copy xmlns='urn:example'/></message>"
            )
        );
    }
    assert_eq!(juliet.ids(), ["2"]);
    assert_eq!(copier.made.load(Ordering::Relaxed), 1);
}

#[test]
fn messages_alone_are_copied() {
    let (world, _, copier) = world(Drawer::default());
    let romeo = world.connect("romeo@localhost/orchard");
    let _own = world.connect("romeo@localhost/copy");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let _other = world.connect("juliet@localhost/copy");
    romeo.send("<iq to='juliet@localhost/balcony' type='result' id='1'/>");
    romeo.send("<presence to='juliet@localhost/balcony' id='2'/>");
    assert_eq!(juliet.ids(), ["1", "2"]);
    assert_eq!(copier.made.load(Ordering::Relaxed), 0);
}

#[test]
fn l12_a_copy_leaves_with_the_message_and_not_before() {
    let (world, drawer, _) = world(Drawer { archive: true, ..Drawer::default() });
    let romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let mut other = world.connect("juliet@localhost/copy");
    let gate = drawer.next_waits();
    let mut first = romeo.start(&to("balcony", "1"));
    assert!(!first.go());
    // Written before the first one is, and not delivered before it either: to nobody.
    romeo.send(&to("copy", "2"));
    assert_eq!((juliet.ids().len(), other.ids().len()), (0, 0));
    open(&gate);
    assert!(first.go());
    assert_eq!(juliet.ids(), ["1"]);
    assert_eq!(other.ids(), ["received-1", "2"]);
}

#[test]
fn who_comes_while_a_message_is_written_gets_its_copy_too() {
    let (world, drawer, _) = world(Drawer { archive: true, ..Drawer::default() });
    let romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let gates = [drawer.next_waits(), drawer.next_waits()];
    let mut first = romeo.start(&to("balcony", "1"));
    assert!(!first.go(), "no archive that he reads now has it yet");
    let mut other = world.connect("romeo@localhost/copy");
    let mut second = romeo.start(&to("balcony", "2"));
    assert!(!second.go());
    gates.iter().for_each(open);
    assert!(first.go() && second.go());
    assert_eq!(juliet.ids(), ["1", "2"]);
    assert_eq!(other.ids(), ["sent-1", "sent-2"]);
}

#[test]
fn what_is_kept_is_seen_in_copy_once_it_is_written() {
    let (world, drawer, _) = world(Drawer::default());
    let romeo = world.connect("romeo@localhost/orchard");
    let mut other = world.connect("juliet@localhost/copy");
    let gate = drawer.next_waits();
    let mut sending = romeo.start("<message to='juliet@localhost' type='chat' id='1'/>");
    assert!(!sending.go());
    other.nothing();
    open(&gate);
    assert!(sending.go());
    assert_eq!(other.ids(), ["received-1"]);
    assert_eq!(drawer.ids(), ["1"]);
}

#[test]
fn what_cannot_be_kept_comes_back_and_is_not_copied() {
    let (world, drawer, _) = world(Drawer::default());
    drawer.full.store(true, Ordering::Relaxed);
    let mut romeo = world.connect("romeo@localhost/orchard");
    let mut other = world.connect("juliet@localhost/copy");
    romeo.send("<message to='juliet@localhost' type='chat' id='1'/>");
    assert!(romeo.one().contains("<resource-constraint"));
    other.nothing();
}

#[test]
fn copies_of_what_is_sent_stand_behind_what_is_on_its_way() {
    let (world, drawer, _) = world(Drawer::default());
    let juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<message to='romeo@localhost' type='chat' id='1'/>");
    let gate = drawer.next_waits();
    let mut copy = world.connect("romeo@localhost/copy");
    let romeo = world.connect("romeo@localhost/orchard");
    let mut arrival = copy.start("<presence/>");
    assert!(arrival.go());
    romeo.send("<message to='juliet@localhost/balcony' type='chat' id='2'/>");
    romeo.send("<message to='nobody@localhost' type='chat' id='3'/>");
    assert_eq!(ids(&mut copy), [""; 0], "older messages are still being read");
    open(&gate);
    assert!(arrival.go());
    // The error is behind the copy of what it answers.
    assert_eq!(ids(&mut copy), ["1", "sent-2", "sent-3", "received-3"]);
}

#[test]
fn r03_where_there_is_no_room_for_copies_nothing_is_sent() {
    let (drawer, copier) = (Arc::new(Drawer::default()), Arc::new(Copier::default()));
    let modules: [Arc<dyn Module>; 2] = [drawer.clone(), copier];
    let world = World::with(&modules, |settings| settings.lane_bytes = 1_000);
    let gate = drawer.next_waits();
    let copy = world.connect("romeo@localhost/copy");
    let mut romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let mut arrival = copy.start("<presence/>");
    assert!(arrival.go());
    let sent = (0..20).take_while(|_| {
        romeo.send(&to("balcony", "m"));
        !romeo.all().iter().any(|error| error.contains("<resource-constraint"))
    });
    let sent = sent.count();
    assert!((1..20).contains(&sent), "{sent}");
    assert_eq!(juliet.ids().len(), sent);
    open(&gate);
    assert!(arrival.go());
}

#[test]
fn what_a_copy_has_told_is_not_routed_again() {
    let (world, drawer, _) = world(Drawer::default());
    let mut romeo = world.connect("romeo@localhost/orchard");
    let juliet = world.connect("juliet@localhost/balcony");
    let mut other = world.online("juliet@localhost/copy");
    romeo.send(&to("balcony", "1"));
    assert_eq!(other.ids(), ["received-1"]);
    juliet.disconnect();
    assert_eq!(ids(&mut other), [""; 0]);
    romeo.nothing();
    assert_eq!(drawer.ids(), [""; 0]);
}

#[test]
fn what_nobody_took_neither_itself_nor_in_copy_is_routed_again_itself() {
    let (world, drawer, _) = world(Drawer::default());
    let romeo = world.connect("romeo@localhost/orchard");
    let juliet = world.connect("juliet@localhost/balcony");
    let other = world.connect("juliet@localhost/copy");
    romeo.send(&to("balcony", "1"));
    juliet.disconnect();
    assert_eq!(drawer.ids(), [""; 0], "the copy may still be read");
    other.disconnect();
    assert_eq!(drawer.ids(), ["1"]);
}

#[test]
fn a_copy_of_what_was_sent_is_nobody_s_message() {
    let (world, drawer, _) = world(Drawer::default());
    let mut romeo = world.connect("romeo@localhost/orchard");
    let copy = world.connect("romeo@localhost/copy");
    let mut juliet = world.connect("juliet@localhost/balcony");
    romeo.send(&to("balcony", "1"));
    assert_eq!(juliet.ids(), ["1"]);
    copy.disconnect();
    romeo.nothing();
    assert_eq!(drawer.ids(), [""; 0]);
}

#[test]
fn r03_a_session_that_does_not_read_its_copies_is_closed() {
    let (drawer, copier) = (Arc::new(Drawer::default()), Arc::new(Copier::default()));
    let modules: [Arc<dyn Module>; 2] = [drawer, copier];
    let world = World::with(&modules, |settings| settings.mailbox_bytes = 1_000);
    let romeo = world.connect("romeo@localhost/orchard");
    let mut deaf = world.connect("romeo@localhost/copy");
    let mut juliet = world.connect("juliet@localhost/balcony");
    for number in 0..20 {
        romeo.send(&to("balcony", &number.to_string()));
        assert_eq!(juliet.ids().len(), 1, "nobody else notices");
    }
    deaf.closed();
}

#[test]
fn l20_held_presence_goes_with_the_session_and_not_before() {
    let (world, ..) = world(Drawer::default());
    let romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.mailbox.set_active(false);
    romeo.send("<presence to='juliet@localhost/balcony' id='1'/>");
    romeo.send("<presence to='juliet@localhost/balcony' id='2'/>");
    juliet.nothing();
    romeo.send(&to("balcony", "3"));
    assert_eq!(juliet.ids(), ["2", "3"]);
    romeo.send("<presence to='juliet@localhost/balcony' id='4'/>");
    juliet.nothing();
    juliet.mailbox.set_active(true);
    assert_eq!(juliet.ids(), ["4"]);
}

#[test]
fn p09_nothing_from_or_to_the_blocked_is_copied() {
    let (world, _, copier) = world(Drawer::default());
    let mut romeo = world.connect("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let mut other = world.connect("juliet@localhost/copy");
    block(&world.router, "juliet@localhost", "romeo@localhost");
    for address in ["juliet@localhost/balcony", "juliet@localhost", "juliet@localhost/gone"] {
        romeo.send(&format!("<message to='{address}' type='chat' id='1'/>"));
        assert!(romeo.one().contains("<service-unavailable"), "{address}");
    }
    juliet.send("<message to='romeo@localhost/orchard' type='chat' id='2'/>");
    assert!(juliet.one().contains("<not-acceptable"));
    assert_eq!(other.ids(), ["received-2"], "the error, which is hers");
    assert_eq!(copier.made.load(Ordering::Relaxed), 1);
}

#[test]
fn two_modules_that_copy_stop_the_start_up() {
    let modules: [Arc<dyn Module>; 2] = [Arc::new(Copier::default()), Arc::new(Copier::default())];
    assert_eq!(router::xeps(&modules).unwrap_err().what, "copies");
}
