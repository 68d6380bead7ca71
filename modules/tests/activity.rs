//! XEP-0012: how long somebody has been away, for those who may know.

mod house;

use house::{Actor, House};

fn last(actor: &mut Actor, to: &str) -> String {
    actor.send(&format!("<iq type='get' id='i'{to}><query xmlns='jabber:iq:last'/></iq>"));
    actor.one()
}

fn seconds(actor: &mut Actor, to: &str) -> String {
    let answer = last(actor, to);
    let (_, rest) = answer.split_once("<query xmlns='jabber:iq:last' seconds='").expect("a result");
    rest.split_once("</iq>").expect("an end").0.to_owned()
}

#[test]
fn xep0012_3_a_contact_learns_when_the_last_session_left_and_with_what_words() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    let hers = " to='juliet@localhost'";
    assert_eq!(seconds(&mut romeo, hers), "0'/>");

    let chamber = house.online("juliet@localhost/chamber");
    juliet.send("<presence type='unavailable'><status>No</status></presence>");
    romeo.all();
    assert_eq!(seconds(&mut romeo, hers), "0'/>", "the chamber is still there");
    chamber.send("<presence type='unavailable'><status>To &lt;bed&gt;</status></presence>");
    romeo.all();
    juliet.all();
    house.clock.advance(903);
    assert_eq!(seconds(&mut romeo, hers), "903'>To &lt;bed&gt;</query>");
    assert_eq!(
        seconds(&mut juliet, ""),
        "903'>To &lt;bed&gt;</query>",
        "connected is not available"
    );

    // It outlives the end of the streams, and the server.
    juliet.disconnect();
    chamber.disconnect();
    let house = house.restarted();
    house.clock.advance(1_000);
    let mut romeo = house.online("romeo@localhost/orchard");
    assert_eq!(seconds(&mut romeo, hers), "1000'>To &lt;bed&gt;</query>");

    // Who ends abruptly says nothing.
    let juliet = house.online("juliet@localhost/balcony");
    romeo.all();
    assert_eq!(seconds(&mut romeo, hers), "0'/>");
    juliet.disconnect();
    romeo.all();
    house.clock.advance(5);
    assert_eq!(seconds(&mut romeo, hers), "5'/>");
}

#[test]
fn xep0012_a_clock_that_was_put_back_makes_nobody_leave_in_the_future() {
    let house = House::new();
    house.clock.advance(100);
    house.online("romeo@localhost/orchard").disconnect();
    let house = house.restarted(); // its clock begins anew
    let mut romeo = house.connect("romeo@localhost/orchard");
    assert_eq!(seconds(&mut romeo, ""), "0'/>");
}

#[test]
fn a05_strangers_do_not_learn_who_is_there_or_exists() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut of = |who: &str| {
        let answer = last(&mut romeo, &format!(" to='{who}'"));
        assert!(answer.contains("<error type='auth'><forbidden "), "{answer}");
        answer.replace(who, "X")
    };
    let absent = of("juliet@localhost");
    assert_eq!(absent, of("nobody@localhost"));
    let mut juliet = house.online("juliet@localhost/balcony");
    // Presence sent directly is no subscription (XEP-0012 8).
    juliet.send("<presence to='romeo@localhost/orchard'/>");
    romeo.all();
    let mut of = |who: &str| last(&mut romeo, &format!(" to='{who}'")).replace(who, "X");
    assert_eq!(of("juliet@localhost"), absent);
    assert_eq!(of("juliet@localhost/balcony"), absent);
    assert_eq!(of("juliet@localhost/nowhere"), absent);
    assert_eq!(of("nobody@localhost/nowhere"), absent);
    juliet.nothing();
}

#[test]
fn xep0012_3_who_sees_is_decided_by_whose_presence_it_is() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    // She lets him see hers; he does not let her see his.
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>");
    juliet.send("<presence type='subscribed' to='romeo@localhost'/>");
    romeo.all();
    juliet.all();
    assert_eq!(seconds(&mut romeo, " to='juliet@localhost'"), "0'/>");
    assert!(last(&mut juliet, " to='romeo@localhost'").contains("<forbidden "));
    assert!(last(&mut juliet, " to='romeo@localhost/orchard'").contains("<forbidden "));
    romeo.nothing();
    // Of a session it is the client's to say (XEP-0012 4).
    romeo.send(
        "<iq type='get' id='q' to='juliet@localhost/balcony'><query xmlns='jabber:iq:last'/></iq>",
    );
    assert!(juliet.one().contains("id='q'"));
    romeo.nothing();
}

#[test]
fn xep0012_who_was_never_here_is_not_found() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    assert!(last(&mut romeo, "").contains("<item-not-found "));
}

#[test]
fn xep0012_5_the_server_tells_how_long_it_is_up() {
    let house = House::new();
    house.clock.advance(123_456);
    let mut romeo = house.connect("romeo@localhost/orchard");
    assert_eq!(seconds(&mut romeo, " to='localhost'"), "123456'/>");
}
