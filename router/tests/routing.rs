//! From one session to another.

mod common;

use common::{Task, World, finish};
use router::{At, ClaimError, Counts, Declare, Mail, Module, Reply};
use std::sync::{Arc, atomic::Ordering};
use xmpp_core::{StreamError, error::StreamCondition, stanza::IqType};

#[test]
fn rfc6120_8_1_2_1_from_is_stamped_with_the_full_address() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.send("<message to='juliet@localhost/balcony' id='m'><body>Ay me</body></message>");
    assert_eq!(
        juliet.one(),
        "<message to='juliet@localhost/balcony' from='romeo@localhost/orchard' id='m'><body>Ay me</body></message>"
    );
}

#[test]
fn sessions_are_counted_while_they_are_here_and_stanzas_by_their_kind() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    // The newer one has the address (RFC 6120 7.7.2.2).
    let newer = world.online("juliet@localhost/balcony");
    for stanza in ["<message to='x@elsewhere'/>", "<message/>", "<iq type='result' id='1'/>"] {
        romeo.send(stanza);
    }
    let counts = Counts { sessions: 2, messages: 2, presences: 3, iqs: 1 };
    assert_eq!(world.router.counts(), counts);
    drop(juliet);
    assert_eq!(world.router.counts().sessions, 2, "it was gone before");
    drop((romeo, newer));
    assert_eq!(world.router.counts(), Counts { sessions: 0, ..counts });
}

#[test]
fn p01_a_forged_from_never_reaches_anybody() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    for forged in ["paris@localhost", "localhost", "juliet@localhost/balcony", "paris@elsewhere/x"]
    {
        for (open, close) in [
            ("message to='juliet@localhost'", "message"),
            ("message to='juliet@localhost/balcony' type='error'", "message"),
            ("presence to='juliet@localhost'", "presence"),
            ("presence to='juliet@localhost/balcony' type='unavailable'", "presence"),
            ("iq to='juliet@localhost/balcony' type='result' id='1'", "iq"),
        ] {
            romeo.send(&format!("<{open} from='{forged}'></{close}>"));
            let seen = juliet.one();
            assert!(seen.contains("from='romeo@localhost/orchard'"), "{seen}");
        }
    }
}

#[test]
fn rfc6120_10_3_1_a_message_to_nobody_is_for_oneself() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    romeo.send("<message id='note'/>");
    assert_eq!(romeo.ids(), ["note"]);
}

#[test]
fn rfc6120_10_4_3_another_domain_is_not_found() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    for stanza in [
        "<message to='nurse@elsewhere' id='1'/>",
        "<presence to='nurse@elsewhere' id='2'/>",
        "<presence to='nurse@elsewhere' type='subscribe' id='3'/>",
        "<iq to='nurse@elsewhere' type='get' id='4'><x xmlns='y'/></iq>",
    ] {
        romeo.send(stanza);
        let error = romeo.one();
        assert!(
            error.contains("type='error'") && error.contains("<remote-server-not-found"),
            "{error}"
        );
        assert!(error.contains("to='romeo@localhost/orchard' from='nurse@elsewhere'"), "{error}");
    }
}

#[test]
fn rfc6121_8_5_1_no_such_user() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    romeo.send("<message to='nobody@localhost' id='1'/>");
    assert!(romeo.one().contains("<service-unavailable"));
    romeo.send("<iq to='nobody@localhost' type='get' id='2'><x xmlns='y'/></iq>");
    assert!(romeo.one().contains("<service-unavailable"));
    romeo.send("<presence to='nobody@localhost'/>");
    romeo.send("<presence to='nobody@localhost' type='probe'/>");
    romeo.nothing();
}

#[test]
fn r04_an_error_is_never_answered() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    for to in [
        "nobody@localhost",
        "juliet@localhost",
        "juliet@localhost/none",
        "elsewhere",
        "localhost",
        "localhost/resource",
    ] {
        romeo.send(&format!("<message to='{to}' type='error'/>"));
        romeo.send(&format!("<presence to='{to}' type='error'/>"));
        romeo.send(&format!("<iq to='{to}' type='error' id='1'/>"));
        romeo.send(&format!("<iq to='{to}' type='result' id='2'/>"));
    }
    romeo.send("<iq type='result' id='3'/>");
    romeo.send("<presence type='error'/>");
    romeo.nothing();
}

#[test]
fn rfc6121_8_5_3_1_an_iq_to_a_full_address_is_for_that_session() {
    let world = World::new(&[]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.connect("juliet@localhost/balcony");
    let mut phone = world.online("juliet@localhost/phone");
    romeo.all();
    romeo.send("<iq to='juliet@localhost/balcony' type='get' id='i'><x xmlns='y'/></iq>");
    assert_eq!(juliet.ids(), ["i"]);
    phone.nothing();
    juliet.send("<iq to='romeo@localhost/orchard' type='result' id='i'/>");
    assert_eq!(romeo.ids(), ["i"]);
    romeo.send("<iq to='juliet@localhost/none' type='get' id='i'><x xmlns='y'/></iq>");
    assert!(romeo.one().contains("<service-unavailable"));
}

/// Who is there shows to those who share presence only: to all others it is as if nobody were.
#[test]
fn rfc6121_8_5_3_1_an_iq_of_a_stranger_does_not_find_a_session() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut street = world.online("romeo@localhost/street");
    romeo.all();
    let mut juliet = world.online("juliet@localhost/balcony");
    let question = |to: &str| format!("<iq to='{to}' type='get' id='i'><x xmlns='y'/></iq>");
    let mut answers = Vec::new();
    for to in ["juliet@localhost/balcony", "juliet@localhost/none", "nobody@localhost/none"] {
        romeo.send(&question(to));
        answers.push(romeo.one().replace(to, "X"));
    }
    juliet.nothing();
    assert!(answers[0].contains("<service-unavailable"), "{}", answers[0]);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    // Directed presence is for whoever got it, from the session that sent it.
    juliet.send("<presence to='romeo@localhost/orchard'/>");
    romeo.all();
    romeo.send(&question("juliet@localhost/balcony"));
    assert_eq!(juliet.ids(), ["i"]);
    street.send(&question("juliet@localhost/balcony"));
    assert!(street.one().contains("<service-unavailable"));
    // An answer was asked for, so it may come.
    juliet.send(&question("romeo@localhost/street").replace("type='get'", "type='result'"));
    assert_eq!(street.ids(), ["i"]);
    juliet.send("<presence to='romeo@localhost/orchard' type='unavailable'/>");
    romeo.all();
    romeo.send(&question("juliet@localhost/balcony"));
    assert!(romeo.one().contains("<service-unavailable"));
    juliet.nothing();
    // One's own sessions always share it.
    romeo.send(&question("romeo@localhost/street"));
    assert_eq!(street.ids(), ["i"]);
}

/// Answers `<ask xmlns='urn:example'/>` in two places.
struct Oracle(&'static str);

impl Module for Oracle {
    fn name(&self) -> &'static str {
        self.0
    }
    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.answer(IqType::Get, ("urn:example", "ask"), [At::Server, At::Contact], |request| {
            let at = format!("<at xmlns='urn:example'>{:?}</at>", request.at);
            Ok(Reply::Result(at.into()))
        });
    }
}

#[test]
fn rfc6120_10_3_3_iqs_are_answered_where_they_are_claimed() {
    let world = World::new(&[Arc::new(Oracle("oracle"))]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut ask = |to: &str, kind: &str| {
        romeo.send(&format!("<iq {to} type='{kind}' id='q'><ask xmlns='urn:example'/></iq>"));
        romeo.one()
    };
    assert!(ask("to='localhost'", "get").contains(">Server<"));
    assert!(ask("to='juliet@localhost'", "get").contains(">Contact<"));
    for (to, kind) in [
        ("to='localhost'", "set"),
        ("", "get"),
        ("to='romeo@localhost'", "get"),
        ("to='nobody@localhost'", "get"),
    ] {
        assert!(ask(to, kind).contains("<service-unavailable"), "{to} {kind}");
    }
}

#[test]
fn two_claims_on_one_iq_stop_the_start_up_with_both_names() {
    let modules: [Arc<dyn Module>; 2] = [Arc::new(Oracle("delphi")), Arc::new(Oracle("dodona"))];
    let clash = router::xeps(&modules).unwrap_err();
    assert_eq!((clash.first, clash.second), ("delphi", "dodona"));
    assert_eq!(
        clash.to_string(),
        "the modules delphi and dodona both claim iq Get {urn:example}ask at Server"
    );
}

#[test]
fn rfc6120_7_7_2_2_the_newer_claim_wins() {
    let world = World::new(&[]);
    let mut old = world.online("juliet@localhost/balcony");
    let mut phone = world.online("juliet@localhost/phone");
    old.all();
    let romeo = world.online("romeo@localhost/orchard");
    romeo.send("<message to='juliet@localhost/balcony' type='chat' id='unread'/>");
    let mut new = world.connect("juliet@localhost/balcony");
    assert_eq!(old.closed().condition, StreamCondition::Conflict);
    let seen = phone.all();
    assert!(seen[0].contains("from='juliet@localhost/balcony'"), "{seen:?}");
    assert!(seen[0].contains("type='unavailable'"), "{seen:?}");
    assert_eq!(seen.len(), 1, "{seen:?}");
    // The old session's end changes nothing any more, but for what it had not read.
    old.disconnect();
    phone.nothing();
    assert_eq!(new.ids(), ["unread"]);
    romeo.send("<message to='juliet@localhost/balcony' id='m'/>");
    assert_eq!(new.ids(), ["m"]);
}

#[test]
fn r03_an_account_has_so_many_sessions() {
    let world = World::with(&[], |settings| settings.sessions_per_account = 2);
    let one = world.connect("romeo@localhost/1");
    let _two = world.connect("romeo@localhost/2");
    let account = "romeo@localhost".parse().unwrap();
    let third = || finish(world.router.claim(&account, None));
    assert_eq!(third().unwrap_err(), ClaimError::TooMany);
    one.disconnect();
    assert!(third().is_ok());
}

#[test]
fn a_claim_needs_an_account_and_a_resource() {
    let world = World::new(&[]);
    let claim = |account: &str, resource: Option<&str>| {
        finish(world.router.claim(&account.parse().unwrap(), resource))
            .map(|(claim, _)| claim.jid().clone())
    };
    assert_eq!(claim("nobody@localhost", None), Err(ClaimError::NoAccount));
    assert_eq!(claim("romeo@localhost", Some("")), Err(ClaimError::BadResource));
    assert_eq!(claim("romeo@localhost", Some("a")).unwrap().as_str(), "romeo@localhost/a");
    let (one, two) =
        (claim("romeo@localhost", None).unwrap(), claim("romeo@localhost", None).unwrap());
    assert_ne!(one, two);
    // Created a moment after somebody asked for it.
    world.people.add("nobody@localhost");
    assert!(claim("nobody@localhost", None).is_ok());
}

#[test]
fn an_absent_account_is_believed_for_five_seconds() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut ask = || {
        romeo.send("<message to='new@localhost' type='headline'/>");
        romeo.send("<message to='new@localhost/none' id='m'/>");
        romeo.all();
        world.people.reads.load(Ordering::Relaxed)
    };
    let reads = ask();
    world.people.add("new@localhost");
    world.clock.advance(4);
    assert_eq!(ask(), reads);
    world.clock.advance(1);
    assert_eq!(ask(), reads + 1);
    world.clock.advance(1_000);
    assert_eq!(ask(), reads + 1, "an account that is there is not read again");
}

#[test]
fn an_account_is_read_once_for_all_who_wait() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let reads = world.people.reads.load(Ordering::Relaxed);
    let slow = world.people.slow.clone();
    let held = finish(slow.lock());
    let mut tasks: Vec<Task<()>> =
        (0..5).map(|_| romeo.start("<message to='juliet@localhost/none' id='m'/>")).collect();
    assert!(tasks.iter_mut().all(|task| !task.go()));
    drop(tasks.remove(0)); // whoever drives it may give up
    drop(held);
    assert!(tasks.iter_mut().all(Task::go));
    assert_eq!(world.people.reads.load(Ordering::Relaxed), reads + 1);
}

#[test]
fn a_store_that_cannot_be_read_is_said_so() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    *world.people.broken.lock().unwrap() = true;
    romeo.send("<message to='juliet@localhost' id='m'/>");
    let error = romeo.one();
    assert!(error.contains("type='wait'") && error.contains("<internal-server-error"), "{error}");
    *world.people.broken.lock().unwrap() = false;
    let _juliet = world.online("juliet@localhost/balcony");
    romeo.send("<message to='juliet@localhost' id='m'/>");
    romeo.nothing();
}

#[test]
fn a_closed_account_ends_its_sessions_and_is_read_again() {
    let world = World::new(&[]);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut juliet = world.online("juliet@localhost/balcony");
    world.people.remove("juliet@localhost");
    let account = "juliet@localhost".parse().unwrap();
    world.router.close_account(&account, &StreamError::new(StreamCondition::NotAuthorized), None);
    assert_eq!(juliet.closed().condition, StreamCondition::NotAuthorized);
    juliet.disconnect();
    romeo.send("<message to='juliet@localhost/balcony' id='m'/>");
    assert!(romeo.one().contains("<service-unavailable"));
    let claim = finish(world.router.claim(&account, None));
    assert_eq!(claim.unwrap_err(), ClaimError::NoAccount);
}

#[test]
fn p08_an_account_made_anew_has_none_of_the_old_ones_contacts() {
    let world = World::new(&[]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    juliet.disconnect();
    romeo.all();
    world.people.remove("juliet@localhost");
    world.people.add("juliet@localhost");
    let account = "juliet@localhost".parse().unwrap();
    world.router.close_account(&account, &StreamError::new(StreamCondition::NotAuthorized), None);
    let _another = world.online("juliet@localhost/balcony");
    romeo.nothing();
}

#[test]
fn a_dropped_claim_leaves_the_table_too() {
    let world = World::new(&[]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    drop(juliet);
    assert!(romeo.one().contains("type='unavailable'"));
    romeo.send("<message to='juliet@localhost/balcony' id='m'/>");
    assert!(romeo.one().contains("<service-unavailable"));
}

#[test]
fn what_a_session_leaves_behind_is_routed_as_to_one_that_is_gone() {
    let world = World::new(&[]);
    world.people.subscribe("romeo@localhost", "juliet@localhost");
    let mut romeo = world.online("romeo@localhost/orchard");
    let juliet = world.online("juliet@localhost/balcony");
    romeo.all();
    romeo.send("<message to='juliet@localhost/balcony' id='normal'/>");
    romeo.send("<message to='juliet@localhost' type='headline' id='headline'/>");
    romeo.send("<message to='juliet@localhost' type='chat' id='chat'/>");
    romeo.send("<iq to='juliet@localhost/balcony' type='get' id='iq'><x xmlns='y'/></iq>");
    romeo.send("<iq to='juliet@localhost/balcony' type='result' id='result'/>");
    romeo.send("<presence to='juliet@localhost/balcony' id='presence'/>");
    juliet.disconnect();
    let mut left = romeo.all();
    left.sort();
    assert_eq!(left.len(), 4, "{left:#?}");
    assert!(left[0].starts_with("<iq type='error'") && left[0].contains("id='iq'"));
    assert!(left[1].starts_with("<message type='error'") && left[1].contains("id='chat'"));
    assert!(left[2].starts_with("<message type='error'") && left[2].contains("id='normal'"));
    assert!(left[3].starts_with("<presence type='unavailable'"));
}

#[test]
fn a_message_that_another_session_took_does_not_come_twice() {
    let world = World::new(&[]);
    let romeo = world.online("romeo@localhost/orchard");
    let mut phone = world.online("juliet@localhost/phone");
    let balcony = world.online("juliet@localhost/balcony");
    phone.all();
    romeo.send("<message to='juliet@localhost' type='chat' id='m'/>");
    balcony.disconnect();
    let ids = phone.ids();
    assert_eq!(ids, ["m", ""], "the message, once, and unavailable presence");
}

#[test]
fn r03_who_does_not_read_is_closed_and_nobody_else_notices() {
    let world = World::with(&[], |settings| settings.mailbox_bytes = 4_096);
    let mut romeo = world.online("romeo@localhost/orchard");
    let mut deaf = world.online("juliet@localhost/deaf");
    let body = "x".repeat(1_000);
    let mut sent = 0;
    while !matches!(deaf.mailbox.try_next(), Some(Mail::Close(_))) {
        // Nothing is read but the end, if it has come.
        for _ in 0..8 {
            sent += 1;
            romeo.send(&format!("<message to='juliet@localhost' type='chat' id='{sent}'><body>{body}</body></message>"));
        }
        assert!(sent < 100);
    }
    let bounced = romeo.ids();
    assert!(!bounced.is_empty());
    let mut in_order = bounced.clone();
    in_order.sort_by_key(|id| id.parse::<u32>().unwrap());
    in_order.dedup();
    assert_eq!(in_order.len(), bounced.len(), "none twice");
    let mut juliet = world.online("juliet@localhost/balcony");
    romeo.send("<message to='juliet@localhost' type='chat' id='last'/>");
    assert_eq!(juliet.ids(), ["last"]);
    deaf.disconnect();
}

#[test]
fn rfc6121_4_3_1_who_has_many_contacts_online_is_told_of_all_at_once() {
    let world = World::with(&[], |settings| settings.mailbox_bytes = 4_096);
    let status = "x".repeat(100);
    let mut there = Vec::new();
    for number in 0..100 {
        let name = format!("friend{number}@localhost");
        world.people.add(&name);
        world.people.subscribe("juliet@localhost", &name);
        let friend = world.connect(&format!("{name}/home"));
        friend.send(&format!("<presence><status>{status}</status></presence>"));
        there.push(friend);
    }
    let mut juliet = world.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(juliet.all().len(), 101);
    juliet.send("<presence id='still here'/>");
    assert!(juliet.one().contains("still here"));
}
