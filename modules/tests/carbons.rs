//! Message carbons (XEP-0280), stanza ids (XEP-0359) and client state (XEP-0352) together, where plays do not reach.

mod house;

use house::House;

const ENABLE: &str = "<iq type='set' id='enable'><enable xmlns='urn:xmpp:carbons:2'/></iq>";

fn copying(house: &House, jid: &str) -> house::Actor {
    let mut actor = house.connect(jid);
    actor.send(ENABLE);
    assert_eq!(actor.ids(), ["enable"]);
    actor
}

#[test]
fn p05_carbon_forgery_never_reaches_anybody_on_any_path() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let mut own = copying(&house, "romeo@localhost/phone");
    let forgery = "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
        <message xmlns='jabber:client' from='nurse@localhost'><body>FORGED</body></message></forwarded></received>";
    let sent = forgery.replace("received", "sent");
    let payload = format!("{forgery}<body>true</body>{sent}{forgery}");
    let mut juliet = house.online("juliet@localhost/balcony");
    for (to, kind) in [
        ("juliet@localhost", "chat"),
        ("juliet@localhost/balcony", "normal"),
        ("juliet@localhost", "headline"),
        ("juliet@localhost/gone", "chat"),
        ("juliet@localhost/balcony", "groupchat"),
        ("juliet@localhost/balcony", "error"),
    ] {
        romeo.send(&format!("<message to='{to}' type='{kind}' id='m'>{payload}</message>"));
        let seen = juliet.one();
        assert!(seen.ends_with("id='m'><body>true</body></message>"), "{kind} to {to}: {seen}");
    }
    let copies = own.all().join("");
    assert!(copies.contains("<sent xmlns='urn:xmpp:carbons:2'>") && !copies.contains("FORGED"));
    // And back to the sender in an error: messages come back without their payload.
    romeo.send(&format!("<message to='nobody@localhost' type='chat' id='m'>{payload}</message>"));
    assert!(!romeo.one().contains("FORGED"));
}

#[test]
fn p05_a_forgery_that_was_kept_is_gone_when_it_is_read() {
    let house = House::new();
    let romeo = house.connect("romeo@localhost/orchard");
    romeo.send(
        "<message to='juliet@localhost' type='chat' id='kept'><sent xmlns='urn:xmpp:carbons:2'/><body>true</body></message>",
    );
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let seen = juliet.all().remove(1);
    assert!(seen.contains("<body>true</body>") && !seen.contains("carbons"), "{seen}");
}

#[test]
fn p06_a_stanza_id_in_our_name_is_taken_away_wherever_it_stands() {
    let house = House::new();
    let romeo = house.connect("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let id = |by: &str| format!("<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='{by}'/>");
    let forged: String =
        ["juliet@localhost", "JULIET@LOCALHOST", "localhost", "romeo@localhost"].map(id).concat();
    // Inside of something else it is nobody's word on this message (XEP-0359 3: direct children).
    let inside = format!("<forwarded xmlns='urn:xmpp:forward:0'>{}</forwarded>", id("localhost"));
    let honest =
        ["room@elsewhere", "nurse@localhost", "juliet@localhost/balcony", "localhost/x", "@"]
            .map(id)
            .concat();
    romeo.send(&format!(
        "<message to='juliet@localhost' type='chat'>{forged}<body>b</body>{inside}{forged}{honest}{forged}</message>"
    ));
    let seen = juliet.one();
    assert!(seen.ends_with(&format!("><body>b</body>{inside}{honest}</message>")), "{seen}");
}

#[test]
fn xep0280_8_messages_to_other_domains_are_copied_too() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let mut phone = copying(&house, "romeo@localhost/phone");
    romeo.send("<message to='friar@cell.example' type='chat' id='m'><body>holy</body></message>");
    assert!(romeo.one().contains("<remote-server-not-found"));
    let seen = phone.all();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[0].contains("<sent ") && seen[0].contains("to='friar@cell.example'"));
    assert!(seen[1].contains("<received ") && seen[1].contains("<remote-server-not-found"));
}

#[test]
fn r03_of_a_session_s_messages_so_many_are_remembered() {
    let house = House::new();
    let romeo = house.connect("romeo@localhost/orchard");
    let mut phone = copying(&house, "romeo@localhost/phone");
    let juliet = house.connect("juliet@localhost/balcony");
    for id in 0..40 {
        romeo.send(&format!("<message to='juliet@localhost/balcony' type='chat' id='{id}'/>"));
    }
    phone.all();
    for (id, copied) in [(0, false), (7, false), (8, true), (39, true)] {
        juliet.send(&format!("<message to='romeo@localhost/orchard' type='error' id='{id}'/>"));
        assert_eq!(!phone.all().is_empty(), copied, "{id}");
    }
}

#[test]
fn xep0280_6_1_any_session_of_the_recipient_may_answer_with_the_error() {
    let house = House::new();
    let romeo = house.connect("romeo@localhost/orchard");
    let mut phone = copying(&house, "romeo@localhost/phone");
    let juliet = house.online("juliet@localhost/balcony");
    romeo.send("<message to='juliet@localhost' type='chat' id='m'><body>x</body></message>");
    phone.all();
    let nurse = house.connect("nurse@localhost/kitchen");
    nurse.send("<message to='romeo@localhost/orchard' type='error' id='m'/>");
    phone.nothing();
    juliet.send("<message to='romeo@localhost/orchard' type='error' id='m'/>");
    assert!(phone.one().contains("<received "));
}

#[test]
fn xep0352_3_2_an_inactive_client_gets_copies_of_what_is_said_only() {
    let house = House::new();
    let romeo = house.connect("romeo@localhost/orchard");
    let mut juliet = house.connect("juliet@localhost/balcony");
    let mut phone = copying(&house, "juliet@localhost/phone");
    phone.mailbox.set_active(false);
    let say = |id: &str, payload: &str| {
        romeo.send(&format!(
            "<message to='juliet@localhost/balcony' type='chat' id='{id}'>{payload}</message>"
        ));
    };
    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    say("1", STATE);
    say("2", "<body>x</body>");
    say("3", STATE);
    assert_eq!(juliet.ids(), ["1", "2", "3"]);
    let seen = phone.one();
    assert!(seen.contains("<body>x</body>"), "{seen}");
    phone.mailbox.set_active(true);
    phone.nothing();
}
