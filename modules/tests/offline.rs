//! Messages for those who are not there (XEP-0160), and what is said of their age (XEP-0203).

mod house;

use house::House;

fn chat(id: &str) -> String {
    format!("<message to='juliet@localhost' type='chat' id='{id}'><body>{id}</body></message>")
}

fn ids(actor: &mut house::Actor) -> Vec<String> {
    actor.ids().into_iter().filter(|id| !id.is_empty()).collect()
}

#[test]
fn xep0160_2_kept_over_a_restart_and_delivered_with_the_time() {
    let house = House::new();
    let romeo = house.online("romeo@localhost/orchard");
    house.clock.advance(1_000);
    romeo.send("<message to='juliet@localhost' type='chat' id='m' xml:lang='it' xmlns:x='urn:x' x:y='z'><body>Ciao</body><x:thing/></message>");
    let house = house.restarted();
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let message = juliet.all().remove(1);
    assert_eq!(
        message,
        "<message type='chat' to='juliet@localhost' from='romeo@localhost/orchard' id='m' xml:lang='it' xmlns:x='urn:x' x:y='z'><body>Ciao</body><x:thing/>\
         <delay xmlns='urn:xmpp:delay' from='localhost' stamp='1970-01-01T00:16:40.000Z'>Offline Storage</delay></message>"
    );
}

#[test]
fn xep0160_3_what_is_kept() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let rows = [
        ("", "<body>x</body>", "kept"),
        ("type='normal'", "", "kept"),
        ("type='chat'", "<body>x</body>", "kept"),
        (
            "type='chat'",
            "<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
            "kept",
        ),
        ("type='chat'", "<received xmlns='urn:xmpp:receipts' id='1'/>", "kept"),
        ("type='chat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", "dropped"),
        (
            "type='chat'",
            "<gone xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread><no-store xmlns='urn:xmpp:hints'/>",
            "dropped",
        ),
        (
            "type='chat'",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='1'/>",
            "dropped",
        ),
        // XEP-0334 4.4
        (
            "type='chat'",
            "<active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>",
            "kept",
        ),
        // XEP-0334 4.1, 3.3: kept for a while is not kept for good
        ("type='chat'", "<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>", "kept"),
        (
            "type='chat'",
            "<body>x</body><store xmlns='urn:xmpp:hints'/><no-store xmlns='urn:xmpp:hints'/>",
            "returned",
        ),
        ("type='chat'", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", "returned"),
        ("type='groupchat'", "<body>x</body>", "returned"),
        ("type='headline'", "<body>x</body>", "dropped"),
        ("type='error'", "<body>x</body>", "dropped"),
    ];
    let owner = "juliet@localhost".parse().unwrap();
    for (kind, payload, expected) in rows {
        romeo.send(&format!("<message to='juliet@localhost' {kind}>{payload}</message>"));
        let kept = house::finish(house.store.pending(&owner, 0, 9, usize::MAX)).unwrap().0;
        let numbers: Vec<_> = kept.iter().map(|kept| kept.id.number()).collect();
        let count = numbers.len();
        house::finish(house.store.settle(&owner, numbers)).unwrap();
        let what = match (count, romeo.all().as_slice()) {
            (1, []) => "kept",
            (0, []) => "dropped",
            (0, [error]) if error.contains("<service-unavailable ") => "returned",
            other => panic!("{kind} {payload}: {other:?}"),
        };
        assert_eq!(what, expected, "{kind} {payload}");
    }
}

#[test]
fn xep0160_2_a_full_queue_is_said_so() {
    let house = House::with(|caps| caps.offline_messages = 2);
    let mut romeo = house.online("romeo@localhost/orchard");
    for id in ["1", "2", "3"] {
        romeo.send(&chat(id));
    }
    let error = romeo.one();
    assert!(error.contains("id='3'") && error.contains("<service-unavailable "), "{error}");
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    assert_eq!(ids(&mut juliet), ["1", "2"]);
}

#[test]
fn l16_a_client_that_is_slow_to_acknowledge_is_no_full_queue() {
    let house = House::with(|caps| caps.offline_messages = 2);
    let mut romeo = house.online("romeo@localhost/orchard");
    romeo.claim.manage(false); // so each is kept until she has it
    let mut juliet = house.online("juliet@localhost/balcony");
    for id in ["1", "2", "3", "4"] {
        romeo.send(&chat(id));
    }
    romeo.nothing();
    assert_eq!(ids(&mut juliet), ["1", "2", "3", "4"]);
}

#[test]
fn a_session_that_dies_with_them_unread_leaves_them_in_order_with_their_first_time() {
    let house = House::new();
    let romeo = house.online("romeo@localhost/orchard");
    for id in ["1", "2", "3"] {
        romeo.send(&chat(id));
    }
    house.clock.advance(60);
    let juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    romeo.send(&chat("4"));
    juliet.disconnect();
    house.clock.advance(60);
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let messages: Vec<_> = juliet.all().into_iter().filter(|s| s.starts_with("<message")).collect();
    assert_eq!(messages.len(), 4, "{messages:#?}");
    for (message, (id, stamp)) in messages.iter().zip([
        ("1", "00:00:00"),
        ("2", "00:00:00"),
        ("3", "00:00:00"),
        ("4", "00:01:00"),
    ]) {
        assert!(message.contains(&format!("id='{id}'")), "{messages:#?}");
        assert!(message.contains(stamp) && message.matches("<delay").count() == 1, "{message}");
    }
}

#[test]
fn p06_a_forged_delay_of_the_server_s_is_taken_away() {
    let house = House::new();
    let romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let forged = [
        "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2002-09-10T23:08:25Z'/>",
        "<delay xmlns='urn:xmpp:delay' from='LOCALHOST' stamp='2002-09-10T23:08:25Z'/>",
        "<delay xmlns='urn:xmpp:delay' from='localhost/x' stamp='2002-09-10T23:08:25Z'/>",
        "<d:delay xmlns:d='urn:xmpp:delay' from='localhost' stamp='2002-09-10T23:08:25Z'/>",
        "<o:delay from='localhost' stamp='2002-09-10T23:08:25Z'/>",
    ];
    let honest =
        "<delay xmlns='urn:xmpp:delay' from='room@elsewhere' stamp='2002-09-10T23:08:25Z'/>";
    let all = forged.join("");
    romeo.send(&format!(
        "<message to='juliet@localhost' xmlns:o='urn:xmpp:delay'>{all}<body>old</body>{honest}{all}</message>"
    ));
    let seen = juliet.one();
    assert!(
        seen.ends_with(&format!(" xmlns:o='urn:xmpp:delay'><body>old</body>{honest}</message>")),
        "{seen}"
    );
}
