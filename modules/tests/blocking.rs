//! Blocking (XEP-0191): the command, and that nothing gets past the list (P09).

mod house;

use house::{Actor, House, finish};
use roster_store::Caps;

const ROMEO: &str = "romeo@localhost";
const JULIET: &str = "juliet@localhost";

fn block(actor: &Actor, addresses: &[&str]) {
    actor.send(&command("block", addresses));
}

fn unblock(actor: &Actor, addresses: &[&str]) {
    actor.send(&command("unblock", addresses));
}

fn command(name: &str, addresses: &[&str]) -> String {
    let items: String = addresses.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
    format!("<iq type='set' id='c'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>")
}

fn ask_list(actor: &mut Actor) -> String {
    actor.send("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
    actor.one()
}

fn listed(addresses: &[&str]) -> String {
    if addresses.is_empty() {
        return "<blocklist xmlns='urn:xmpp:blocking'/>".into();
    }
    let items: String = addresses.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
    format!("<blocklist xmlns='urn:xmpp:blocking'>{items}</blocklist>")
}

/// Romeo and Juliet, who see each other's presence.
fn friends(house: &House) -> (Actor, Actor) {
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    (romeo, juliet)
}

/// What becomes of a stanza of somebody blocked (XEP-0191 3.3).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// `service-unavailable`
    Error,
    Silence,
}
use Fate::{Error, Silence};

/// Every way of one user to another: the stanza, what a blocked sender gets, and whether the sender's address in it is
/// the session's (subscriptions are between accounts: a listed resource does not match them).
const PATHS: [(&str, Fate, bool); 31] = [
    ("<message to='JULIET' id='i'><body>?</body></message>", Error, true),
    ("<message to='JULIET' id='i' type='chat'><body>?</body></message>", Error, true),
    ("<message to='JULIET' id='i' type='chat'><x xmlns='urn:receipt'/></message>", Error, true),
    ("<message to='JULIET' id='i' type='headline'/>", Error, true),
    ("<message to='JULIET' id='i' type='groupchat'/>", Error, true),
    ("<message to='JULIET' id='i' type='error'/>", Silence, true),
    ("<message to='JULIET/balcony' id='i'/>", Error, true),
    ("<message to='JULIET/balcony' id='i' type='chat'/>", Error, true),
    ("<message to='JULIET/balcony' id='i' type='headline'/>", Error, true),
    ("<message to='JULIET/balcony' id='i' type='groupchat'/>", Error, true),
    ("<message to='JULIET/balcony' id='i' type='error'/>", Silence, true),
    ("<message to='JULIET/gone' id='i' type='chat'/>", Error, true),
    ("<iq to='JULIET' id='i' type='get'><ping xmlns='urn:xmpp:ping'/></iq>", Error, true),
    (
        "<iq to='JULIET' id='i' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        Error,
        true,
    ),
    (
        "<iq to='JULIET' id='i' type='get'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        Error,
        true,
    ),
    ("<iq to='JULIET' id='i' type='get'><vCard xmlns='vcard-temp'/></iq>", Error, true),
    ("<iq to='JULIET' id='i' type='get'><query xmlns='jabber:iq:last'/></iq>", Error, true),
    ("<iq to='JULIET/balcony' id='i' type='get'><x xmlns='urn:x'/></iq>", Error, true),
    ("<iq to='JULIET/balcony' id='i' type='set'><x xmlns='urn:x'/></iq>", Error, true),
    ("<iq to='JULIET/gone' id='i' type='get'><x xmlns='urn:x'/></iq>", Error, true),
    ("<iq to='JULIET/balcony' id='i' type='result'/>", Silence, true),
    ("<iq to='JULIET/balcony' id='i' type='error'/>", Silence, true),
    ("<presence to='JULIET' id='i'/>", Silence, true),
    ("<presence to='JULIET/balcony' id='i' type='unavailable'/>", Silence, true),
    ("<presence to='JULIET/balcony' id='i' type='error'/>", Silence, true),
    ("<presence to='JULIET' id='i' type='probe'/>", Silence, true),
    ("<presence to='JULIET/balcony' id='i' type='probe'/>", Silence, true),
    ("<presence to='JULIET' id='i' type='subscribe'/>", Silence, false),
    ("<presence to='JULIET' id='i' type='subscribed'/>", Silence, false),
    ("<presence to='JULIET' id='i' type='unsubscribed'/>", Silence, false),
    ("<presence to='JULIET' id='i' type='unsubscribe'/>", Silence, false),
];

#[test]
fn p09_nothing_comes_in_from_somebody_blocked() {
    for (form, account) in
        [("romeo@localhost/orchard", false), ("romeo@localhost", true), ("localhost", true)]
    {
        for (path, fate, _) in PATHS.iter().filter(|(_, _, by_session)| *by_session || account) {
            let house = House::new();
            let (mut romeo, mut juliet) = friends(&house);
            let mut phone = house.connect("juliet@localhost/phone");
            // Nor does anything come in copy.
            phone.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
            block(&juliet, &[form]);
            for actor in [&mut romeo, &mut juliet, &mut phone] {
                actor.all();
            }
            romeo.send(&path.replace("JULIET", JULIET));
            let seen: Vec<_> = romeo
                .all()
                .into_iter()
                .filter(|stanza| !stanza.contains("jabber:iq:roster"))
                .collect();
            let what = format!("{form}: {path}: {seen:#?}");
            match fate {
                Silence => assert!(seen.is_empty(), "{what}"),
                Error => {
                    assert_eq!(seen.len(), 1, "{what}");
                    assert!(seen[0].contains("<service-unavailable"), "{what}");
                    assert!(!seen[0].contains("urn:xmpp:blocking"), "{what}");
                }
            }
            // What he ends ends in her roster too; but she hears nothing from him.
            let hers = juliet.all();
            let from_him = hers.iter().filter(|stanza| stanza.contains("from='romeo@localhost"));
            assert_eq!(from_him.count(), 0, "{what} {hers:#?}");
            phone.nothing();
            // Nor later.
            juliet.disconnect();
            phone.send("<presence/>");
            let late = phone.all();
            assert_eq!(late.len(), 1, "{what} {late:#?}");
        }
    }
}

#[test]
fn p09_nothing_goes_out_to_somebody_blocked() {
    for form in ["romeo@localhost/orchard", "romeo@localhost", "localhost"] {
        for (path, _, _) in PATHS {
            let house = House::new();
            let (mut romeo, mut juliet) = friends(&house);
            block(&juliet, &[form]);
            for actor in [&mut romeo, &mut juliet] {
                actor.all();
            }
            // With her words the other way round, to the address that is listed.
            let path = path.replace("JULIET/balcony", "romeo@localhost/orchard");
            let to = if form == "localhost" { ROMEO } else { form };
            let path = path.replace("JULIET/gone", to).replace("JULIET", to);
            juliet.send(&path);
            let seen = juliet.all();
            let answered = !path.contains("type='error'") && !path.contains("type='result'");
            assert_eq!(seen.len(), usize::from(answered), "{form}: {path}: {seen:#?}");
            for error in seen {
                assert!(error.contains("<error type='cancel'><not-acceptable"), "{path}: {error}");
                assert!(
                    error.contains("<blocked xmlns='urn:xmpp:blocking:errors'/>"),
                    "{path}: {error}"
                );
            }
            romeo.nothing();
        }
    }
}

/// What the server does by itself: presence at login, updates and ends, for subscribers and after directed presence.
#[test]
fn p09_presence_does_not_get_past_the_list() {
    for form in ["romeo@localhost", "localhost"] {
        let house = House::new();
        let (mut romeo, mut juliet) = friends(&house);
        block(&juliet, &[form]);
        assert_eq!(
            romeo.one(),
            "<presence type='unavailable' to='romeo@localhost' from='juliet@localhost/balcony'/>"
        );
        juliet.all();
        // an update, a further session, directed presence of another session before and its end
        juliet.send("<presence><show>away</show></presence>");
        let phone = house.online("juliet@localhost/phone");
        phone.disconnect();
        juliet.send("<presence type='unavailable'/>");
        juliet.send("<presence/>");
        romeo.nothing();
        // his
        juliet.all();
        romeo.send("<presence><show>dnd</show></presence>");
        let mut street = house.connect("romeo@localhost/street");
        street.send("<presence/>");
        let seen = street.all();
        assert!(!seen.iter().any(|stanza| stanza.contains(JULIET)), "{seen:#?}");
        street.disconnect();
        romeo.send("<presence type='unavailable'/>");
        romeo.send("<presence/>");
        romeo.disconnect();
        juliet.nothing();
        // the same after a restart
        let house = house.restarted();
        let mut romeo = house.online("romeo@localhost/orchard");
        let mut juliet = house.connect("juliet@localhost/balcony");
        juliet.send("<presence/>");
        assert_eq!(juliet.all().len(), 1);
        romeo.nothing();
    }
}

#[test]
fn p09_what_was_kept_before_the_block_is_not_shown_in_it() {
    let house = House::new();
    let romeo = house.online("romeo@localhost/orchard");
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>");
    romeo.send("<message to='juliet@localhost' id='m'><body>Hear me</body></message>");
    let mut juliet = house.connect("juliet@localhost/balcony");
    block(&juliet, &[ROMEO]);
    juliet.all();
    juliet.send("<presence/>");
    assert_eq!(juliet.all().len(), 1);
    // The request waits on; the message does not.
    unblock(&juliet, &[ROMEO]);
    juliet.disconnect();
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let seen = juliet.all();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[1].contains("type='subscribe'"), "{seen:#?}");
}

/// XEP-0191 3.3: the blocked side sees what it would see of somebody who does not exist.
#[test]
fn p09_who_is_blocked_cannot_tell() {
    let mut transcripts = Vec::new();
    for contact in [JULIET, "nobody@localhost"] {
        let house = House::new();
        let juliet = house.online("juliet@localhost/balcony");
        // She would say yes to him, and has said so (RFC 6121 3.4).
        juliet.send("<presence type='subscribed' to='romeo@localhost'/>");
        block(&juliet, &[ROMEO]);
        let mut romeo = house.online("romeo@localhost/orchard");
        for line in [
            "<message to='WHO' id='1'><body>?</body></message>",
            "<message to='WHO' type='chat' id='2'><body>?</body></message>",
            "<message to='WHO/balcony' type='chat' id='3'><body>?</body></message>",
            "<presence to='WHO' type='probe' id='4'/>",
            "<presence to='WHO/balcony' type='probe' id='5'/>",
            "<presence to='WHO' id='6'/>",
            "<presence to='WHO' type='subscribe' id='7'/>",
            "<presence to='WHO' type='subscribe' id='8'/>",
            "<presence to='WHO' type='subscribed' id='9'/>",
            "<iq to='WHO' type='get' id='10'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq to='WHO/balcony' type='get' id='11'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<presence to='WHO' type='unsubscribe' id='12'/>",
            "<presence to='WHO' type='unsubscribed' id='13'/>",
            "<iq type='set' id='14'><query xmlns='jabber:iq:roster'><item jid='WHO' subscription='remove'/></query></iq>",
        ] {
            romeo.send(&line.replace("WHO", contact));
        }
        let seen = romeo.all().join("\n").replace(contact, "WHO");
        // Ids of pushes and versions of the roster count on in each house.
        let seen = without(&seen, "id='token", "'");
        transcripts.push(without(&seen, "ver='", "'"));
    }
    assert!(transcripts[0].contains("ask='subscribe'"), "{}", transcripts[0]);
    assert_eq!(transcripts[0], transcripts[1]);
}

fn without(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once(to).map_or(part, |(_, rest)| rest))
}

#[test]
fn xep0191_3_3_what_the_blocked_side_ends_is_ended_and_not_shown() {
    let house = House::new();
    let (mut romeo, mut juliet) = friends(&house);
    block(&juliet, &[ROMEO]);
    juliet.all();
    romeo.all();
    romeo.send("<presence type='unsubscribe' to='juliet@localhost'/>");
    romeo.send("<presence type='unsubscribed' to='juliet@localhost'/>");
    let his = romeo.all();
    assert!(his.last().unwrap().contains("subscription='none'"), "{his:#?}");
    let hers = juliet.all();
    assert_eq!(hers.len(), 2, "{hers:#?}");
    assert!(hers.iter().all(|stanza| stanza.contains("jabber:iq:roster")), "{hers:#?}");
    assert!(hers[1].contains("subscription='none'"), "{hers:#?}");
    unblock(&juliet, &[ROMEO]);
    romeo.nothing();
}

#[test]
fn xep0191_3_3_a_roster_item_that_is_removed_says_nothing_to_somebody_blocked() {
    for by_him in [false, true] {
        let house = House::new();
        let (mut romeo, mut juliet) = friends(&house);
        block(if by_him { &romeo } else { &juliet }, &[if by_him { JULIET } else { ROMEO }]);
        for actor in [&mut romeo, &mut juliet] {
            actor.all();
        }
        juliet.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='romeo@localhost' subscription='remove'/></query></iq>");
        let hers = juliet.all();
        assert!(hers.iter().any(|stanza| stanza.contains("subscription='remove'")), "{hers:#?}");
        let his = romeo.all();
        assert!(!his.iter().any(|stanza| stanza.contains("<presence")), "{his:#?}");
    }
}

#[test]
fn xep0191_5_ones_own_sessions_are_never_blocked() {
    let house = House::new();
    let mut juliet = house.online("juliet@localhost/balcony");
    let mut phone = house.online("juliet@localhost/phone");
    block(&juliet, &[JULIET, "juliet@localhost/phone", "localhost"]);
    juliet.all();
    juliet.send("<message to='juliet@localhost/phone' id='m'/>");
    juliet.send("<iq to='juliet@localhost/phone' type='get' id='i'><x xmlns='y'/></iq>");
    juliet.send("<presence id='p'/>");
    assert_eq!(phone.ids(), ["m", "i", "p"]);
    juliet.all();
    // Without an address, or at one's own, the server is still there; at its own address it is blocked.
    for (to, answer) in [
        ("", "type='result'"),
        ("to='juliet@localhost'", "type='result'"),
        ("to='localhost'", "urn:xmpp:blocking:errors"),
    ] {
        juliet.send(&format!(
            "<iq {to} type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ));
        let seen = juliet.one();
        assert!(seen.contains(answer), "{to}: {seen}");
    }
}

#[test]
fn xep0191_3_2_to_3_5_the_list_is_kept_and_pushed_to_those_who_asked() {
    let house = House::new();
    let mut juliet = house.connect("juliet@localhost/balcony");
    let mut phone = house.connect("juliet@localhost/phone");
    let mut clock = house.connect("juliet@localhost/clock");
    assert!(ask_list(&mut juliet).contains(&listed(&[])));
    ask_list(&mut phone);
    block(&juliet, &["Romeo@LOCALHOST/Orchard", "paris@elsewhere", "paris@elsewhere"]);
    let hers = juliet.all();
    assert_eq!(hers.len(), 2, "{hers:#?}");
    assert!(hers[0].contains("type='set' to='juliet@localhost/balcony'"), "{hers:#?}");
    assert!(
        hers[0].contains(
            "<block xmlns='urn:xmpp:blocking'><item jid='paris@elsewhere'/><item jid='romeo@localhost/Orchard'/></block>"
        ),
        "{hers:#?}"
    );
    assert_eq!(hers[1], "<iq type='result' to='juliet@localhost/balcony' id='c'/>");
    assert!(phone.one().contains("to='juliet@localhost/phone'"));
    clock.nothing();
    // kept, whole, whatever the server did meanwhile
    let again = house.restarted();
    let mut there = again.connect("juliet@localhost/balcony");
    let all = ["paris@elsewhere", "romeo@localhost/Orchard"];
    assert!(ask_list(&mut there).contains(&listed(&all)));
    unblock(&phone, &["paris@elsewhere"]);
    assert!(
        juliet
            .one()
            .contains("<unblock xmlns='urn:xmpp:blocking'><item jid='paris@elsewhere'/></unblock>")
    );
    phone.all();
    assert!(ask_list(&mut juliet).contains(&listed(&all[1..])));
    unblock(&juliet, &[]);
    assert!(juliet.all()[0].contains("<unblock xmlns='urn:xmpp:blocking'/>"));
    assert!(phone.one().contains("<unblock xmlns='urn:xmpp:blocking'/>"));
    assert!(ask_list(&mut juliet).contains(&listed(&[])));
}

#[test]
fn xep0191_3_3_bad_commands_change_nothing() {
    let house = House::with(|caps: &mut Caps| caps.blocked = 2);
    let mut juliet = house.connect("juliet@localhost/balcony");
    ask_list(&mut juliet);
    block(&juliet, &["paris@elsewhere"]);
    juliet.all();
    for (payload, condition) in [
        ("<block xmlns='urn:xmpp:blocking'/>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><x/></block>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item/></block>", "bad-request"),
        (
            "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/><item jid='@b'/></block>",
            "jid-malformed",
        ),
        ("<block xmlns='urn:xmpp:blocking'><item jid=''/></block>", "jid-malformed"),
        // all or none
        (
            "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/><item jid='c@d'/></block>",
            "resource-constraint",
        ),
        ("<unblock xmlns='urn:xmpp:blocking'><x/></unblock>", "bad-request"),
        ("<unblock xmlns='urn:xmpp:blocking'><item/></unblock>", "bad-request"),
        ("<unblock xmlns='urn:xmpp:blocking'><item jid='@'/></unblock>", "jid-malformed"),
        ("<blocklist xmlns='urn:xmpp:blocking'/>", "service-unavailable"),
    ] {
        juliet.send(&format!("<iq type='set' id='bad'>{payload}</iq>"));
        let answer = juliet.one();
        assert!(answer.contains(&format!("<{condition} xmlns=")), "{payload}: {answer}");
    }
    assert!(ask_list(&mut juliet).contains(&listed(&["paris@elsewhere"])));
    juliet.send("<message to='a@b' id='m'/>");
    assert!(juliet.one().contains("<remote-server-not-found"));
    // What is on the list already, or is not, is no error.
    block(&juliet, &["paris@elsewhere"]);
    unblock(&juliet, &["nurse@localhost"]);
    assert_eq!(juliet.all().iter().filter(|s| s.contains("type='result'")).count(), 2);
    assert!(ask_list(&mut juliet).contains(&listed(&["paris@elsewhere"])));
}

#[test]
fn p04_what_looks_like_a_push_goes_to_nobody_else() {
    let house = House::new();
    let (mut romeo, mut juliet) = friends(&house);
    for to in [JULIET, "juliet@localhost/balcony", "nobody@localhost", "localhost"] {
        for name in ["block", "unblock"] {
            romeo.send(
                &command(name, &["nurse@localhost"]).replace("<iq ", &format!("<iq to='{to}' ")),
            );
            assert!(romeo.one().contains("<service-unavailable"), "{name} to {to}");
        }
    }
    juliet.nothing();
    assert!(ask_list(&mut juliet).contains(&listed(&[])));
}

#[test]
fn xep0191_the_list_goes_with_its_account() {
    let house = House::new();
    let juliet = house.connect("juliet@localhost/balcony");
    block(&juliet, &[ROMEO]);
    juliet.disconnect();
    let jid = JULIET.parse().unwrap();
    finish(house.store.delete(&jid)).unwrap();
    house.add(JULIET);
    house.router.close_account(
        &jid,
        &xmpp_core::error::StreamCondition::NotAuthorized.into(),
        None,
    );
    assert_eq!(finish(house.store.blocked(&jid)), Ok(Vec::new()));
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    romeo.send("<message to='juliet@localhost' id='m'/>");
    romeo.nothing();
    assert_eq!(juliet.ids(), ["m"]);
}
