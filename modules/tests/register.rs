//! In-band registration of those who have an account (XEP-0077).

mod house;

use house::{Actor, House, finish};
use xmpp_core::{BareJid, error::StreamCondition, sasl::Credentials};

fn set(fields: &str) -> String {
    format!("<iq type='set' id='r'><query xmlns='jabber:iq:register'>{fields}</query></iq>")
}

fn change(username: &str, password: &str) -> String {
    set(&format!("<username>{username}</username><password>{password}</password>"))
}

fn ask(actor: &mut Actor, stanza: &str) -> String {
    actor.send(stanza);
    actor.one()
}

fn credentials(house: &House, account: &str) -> Option<Credentials> {
    finish(house.store.credentials(&account.parse().expect("an address")))
        .expect("the store answers")
}

#[track_caller]
fn refused(answer: &str, condition: &str) {
    assert!(answer.contains(&format!("<{condition} ")), "{answer}");
    assert!(!answer.contains("query"), "repeated: {answer}");
}

#[test]
fn xep0077_3_1_what_is_registered_is_told_to_its_owner() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    for to in ["", " to='localhost'", " to='romeo@localhost'"] {
        let get = format!("<iq type='get' id='r'{to}><query xmlns='jabber:iq:register'/></iq>");
        let answer = ask(&mut romeo, &get);
        assert!(answer.contains("<query xmlns='jabber:iq:register'><registered/>"), "{answer}");
        assert!(answer.contains("<username>romeo</username><password/></query>"), "{answer}");
    }
    for to in ["juliet@localhost", "nobody@localhost"] {
        let get =
            format!("<iq type='get' id='r' to='{to}'><query xmlns='jabber:iq:register'/></iq>");
        assert!(ask(&mut romeo, &get).contains("<service-unavailable "));
    }
}

#[test]
fn xep0077_3_3_a12_a_new_password_ends_all_other_sessions() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut other = house.online("romeo@localhost/street");
    romeo.all();
    let before = credentials(&house, "romeo@localhost");
    let answer = ask(&mut romeo, &change("Romeo", "wherefore"));
    assert!(answer.contains("type='result'"), "{answer}");
    assert_ne!(credentials(&house, "romeo@localhost"), before);
    assert_eq!(other.closed().text, Some("the password was changed"));
    finish(house.registrar.catch_up(&house.router)).unwrap();
    romeo.nothing();
}

#[test]
fn a12_another_process_s_password_ends_the_session_that_set_its_own_before() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    ask(&mut romeo, &change("romeo", "wherefore"));
    let reset = Credentials::derive("by the operator", 1, &[[99; 16]; 3]).unwrap();
    finish(house.store.set_credentials(&"romeo@localhost".parse().unwrap(), reset)).unwrap();
    finish(house.registrar.catch_up(&house.router)).unwrap();
    romeo.closed();
}

#[test]
fn a12_a_password_reset_at_the_same_time_wins() {
    let house = House::new();
    finish(house.registrar.catch_up(&house.router)).unwrap();
    let mut juliet = house.online("juliet@localhost/balcony");
    let mut romeo = house.online("romeo@localhost/orchard");
    let reset = Credentials::derive("by the operator", 1, &[[99; 16]; 3]).unwrap();
    finish(house.store.set_credentials(&"romeo@localhost".parse().unwrap(), reset)).unwrap();
    // Whatever changes next here finds it first.
    ask(&mut juliet, &change("juliet", "wherefore"));
    romeo.closed();
    juliet.nothing();
}

#[test]
fn a11_nobody_changes_another_s_password() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let before = credentials(&house, "juliet@localhost");
    for name in ["juliet", "juliet@localhost", "JULIET", "", "@", "nobody"] {
        refused(&ask(&mut romeo, &change(name, "mine")), "bad-request");
    }
    for to in ["juliet@localhost", "juliet@localhost/balcony"] {
        let to = change("juliet", "mine").replace("<iq", &format!("<iq to='{to}'"));
        romeo.send(&to);
        let answer = romeo.one();
        assert!(answer.contains("<service-unavailable "), "{answer}");
    }
    assert_eq!(credentials(&house, "juliet@localhost"), before);
    juliet.nothing();
}

#[test]
fn xep0077_3_3_an_empty_password_changes_nothing() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let before = credentials(&house, "romeo@localhost");
    for password in ["", "&#9;"] {
        refused(&ask(&mut romeo, &change("romeo", password)), "not-acceptable");
    }
    for fields in ["", "<username>romeo</username>", "<password>x</password>", "<other/>"] {
        refused(&ask(&mut romeo, &set(fields)), "bad-request");
    }
    assert_eq!(credentials(&house, "romeo@localhost"), before);
}

#[test]
fn xep0077_3_2_who_cancels_gets_the_result_and_then_the_end() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut other = house.online("romeo@localhost/street");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    other.all();
    refused(&ask(&mut romeo, &set("<remove/><username>romeo</username>")), "bad-request");
    assert!(credentials(&house, "romeo@localhost").is_some());
    romeo.send(&set("<remove/>"));
    // RFC 6121 3.2.3: the contact leaves first, as from a roster.
    let left =
        "<presence type='unavailable' to='romeo@localhost' from='juliet@localhost/balcony'/>";
    assert_eq!(romeo.next(), left);
    assert_eq!(romeo.next(), "<iq type='result' to='romeo@localhost/orchard' id='r'/>");
    assert_eq!(romeo.closed().condition, StreamCondition::NotAuthorized);
    assert_eq!(other.closed().condition, StreamCondition::NotAuthorized);
    assert_eq!(credentials(&house, "romeo@localhost"), None);
    let told = juliet.all();
    assert!(told.iter().any(|stanza| stanza.contains("type='unsubscribed'")), "{told:#?}");
    let left = told.iter().filter(|stanza| stanza.contains("type='unavailable'")).count();
    assert_eq!(left, 2, "each session once: {told:#?}");
    romeo.disconnect();
    other.disconnect();
    juliet.nothing();
}

#[test]
fn a_contact_s_later_change_is_not_undone_by_a_push() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    let juliets: BareJid = "juliet@localhost".parse().unwrap();
    let account = finish(house.router.account(juliets.as_jid())).unwrap();
    // Somebody is changing Juliet's roster: the deletion waits, and so do those who wait behind it.
    let mut turn = finish(house.router.turn(&account));
    turn.unchanged();
    let mut leaving = romeo.start(&set("<remove/>"));
    assert!(!leaving.go());
    assert!(credentials(&house, "romeo@localhost").is_some(), "nothing is done by halves");
    drop(turn);
    assert!(leaving.go());
    let told = juliet.all();
    let pushed = told.last().unwrap();
    assert!(pushed.contains("<item jid='romeo@localhost' subscription='none'/>"), "{told:#?}");
}

#[test]
fn an_approval_beforehand_ends_with_the_account_that_it_was_for() {
    let house = House::new();
    let romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    ask(&mut juliet, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let approved = ask(&mut juliet, "<presence to='romeo@localhost' type='subscribed'/>");
    assert!(approved.contains("approved='true'"), "{approved}");
    let juliets: BareJid = "juliet@localhost".parse().unwrap();
    let account = finish(house.router.account(juliets.as_jid())).unwrap();
    let mut turn = finish(house.router.turn(&account));
    turn.unchanged();
    let mut leaving = romeo.start(&set("<remove/>"));
    assert!(!leaving.go(), "she is told in her turn");
    // Who leaves holds up nobody meanwhile, not even somebody who waits for both.
    finish(house.router.turn(&romeo.account())).unchanged();
    drop(turn);
    assert!(leaving.go());
    let pushed = juliet.one();
    assert!(pushed.contains("<item jid='romeo@localhost' subscription='none'/>"), "{pushed}");
}
