//! Disco, ping, version, time, session, and the list of all.

mod house;

use house::House;
use modules::{Contacts, Deps, Software};
use roster_store::Caps;

#[test]
fn xep0030_3_1_features_are_what_the_modules_declare() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    romeo.send("<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    let info = romeo.one();
    assert!(info.contains("<identity category='server' type='im' name='House'/>"), "{info}");
    for feature in &house.router.info(router::At::Server).features {
        assert_eq!(info.matches(&format!("<feature var='{feature}'/>")).count(), 1, "{feature}");
    }
    for feature in ["urn:xmpp:ping", "msgoffline", "http://jabber.org/protocol/disco#info"] {
        assert!(info.contains(&format!("'{feature}'")), "{feature}");
    }
}

#[test]
fn xep0030_8_strangers_learn_nothing() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let ask = |actor: &mut house::Actor, to: &str, what: &str, node: &str| {
        actor.send(&format!(
            "<iq type='get' id='i' to='{to}'><query xmlns='http://jabber.org/protocol/disco#{what}'{node}/></iq>"
        ));
        actor.one().replace(to, "X")
    };
    for node in ["", " node='n'"] {
        let info = ask(&mut romeo, "juliet@localhost", "info", node);
        assert!(info.contains("<service-unavailable "), "{info}");
        assert_eq!(info, ask(&mut romeo, "nobody@localhost", "info", node));
        let items = ask(&mut romeo, "juliet@localhost", "items", node);
        assert!(items.contains("type='result'") && !items.contains("<item"), "{items}");
        assert_eq!(items, ask(&mut romeo, "nobody@localhost", "items", node));
    }
    house.befriend(&mut romeo, &mut juliet);
    let info = ask(&mut romeo, "juliet@localhost", "info", "");
    assert!(info.contains("<identity category='account' type='registered'/>"), "{info}");
    let items = ask(&mut romeo, "juliet@localhost", "items", "");
    assert!(items.contains("<item jid='X/balcony'/>"), "{items}");
    for what in ["info", "items"] {
        let none = ask(&mut romeo, "juliet@localhost", what, " node='n'");
        assert!(none.contains("<item-not-found "), "{none}");
    }
}

#[test]
fn xep0115_6_what_the_stream_offers_is_answered_by_its_node() {
    let house = House::new();
    let offered = house.router.stream_features(router::Offer::AfterAuth, "localhost");
    let offered = str::from_utf8(&offered).expect("it is text");
    let (_, caps) = offered
        .split_once("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='")
        .expect("it is on offer");
    let (node, rest) = caps.split_once("' ver='").expect("a node and a hash");
    let (ver, _) = rest.split_once('\'').expect("an end");
    let mut romeo = house.connect("romeo@localhost/orchard");
    let mut ask = |what: &str, node: &str| {
        romeo.send(&format!(
            "<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#{what}'{node}/></iq>"
        ));
        romeo.one()
    };
    let attr = format!(" node='{node}#{ver}'");
    assert_eq!(ask("info", &attr).replacen(&attr, "", 1), ask("info", ""));
    for (what, node) in [
        ("items", attr),
        ("info", format!(" node='{node}#{ver}='")),
        ("info", format!(" node='{node}'")),
        ("info", format!(" node='{ver}'")),
        ("info", " node=''".to_owned()),
    ] {
        let none = ask(what, &node);
        assert!(none.contains("<item-not-found "), "{none}");
    }
}

#[test]
fn xep0199_0092_0202_and_session() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    house.clock.advance(86_400);
    let mut ask = |to: &str, kind: &str, payload: &str| {
        romeo.send(&format!("<iq type='{kind}' id='i'{to}>{payload}</iq>"));
        romeo.one()
    };
    let server = " to='localhost'";
    for to in ["", server, " to='romeo@localhost'"] {
        let pong = ask(to, "get", "<ping xmlns='urn:xmpp:ping'/>");
        assert!(pong.contains("type='result'"), "{pong}");
    }
    let version = ask(server, "get", "<query xmlns='jabber:iq:version'/>");
    assert!(version.contains("<name>House</name><version>1</version></query>"), "{version}");
    let time = ask(server, "get", "<time xmlns='urn:xmpp:time'/>");
    assert!(time.contains("<tzo>+00:00</tzo><utc>1970-01-02T00:00:00.000Z</utc>"), "{time}");
    for to in ["", server] {
        let session = ask(to, "set", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>");
        assert!(session.contains("type='result'"), "{session}");
    }
    let wrong = ask(server, "set", "<ping xmlns='urn:xmpp:ping'/>");
    assert!(wrong.contains("<service-unavailable "), "{wrong}");
}

#[test]
fn the_table_of_xeps_comes_from_the_declarations() {
    let house = House::new();
    let deps = Deps {
        store: house.store.clone(),
        caps: Caps::default(),
        archive: modules::ArchiveSettings::default(),
        domains: vec!["localhost".into()],
        software: Software { name: String::new(), version: String::new(), os: None },
        contacts: Contacts::default(),
        admins: Vec::new(),
        registrar: house.registrar.clone(),
        power: house.power.clone(),
    };
    let xeps = modules::declarations(&modules::all(&deps)).unwrap();
    let numbers: Vec<_> = xeps.iter().map(|xep| xep.number).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "each once: {numbers:?}");
    for xep in &xeps {
        assert!(!xep.name.is_empty(), "{xep:?}");
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        assert!(xep.version.contains('.') && xep.version.split('.').all(digits), "{xep:?}");
    }
    assert!([30, 160, 199].iter().all(|known| numbers.contains(known)), "{numbers:?}");
}
