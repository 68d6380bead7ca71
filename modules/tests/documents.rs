//! Private storage and vCards: what is kept, for whom, and what is refused.

mod house;

use house::{Actor, House};

fn ask(actor: &mut Actor, kind: &str, to: &str, payload: &str) -> String {
    actor.send(&format!("<iq type='{kind}' id='i'{to}>{payload}</iq>"));
    actor.one()
}

fn query(inner: &str) -> String {
    format!("<query xmlns='jabber:iq:private'>{inner}</query>")
}

/// What is kept, as it comes back.
fn kept(actor: &mut Actor, asked: &str) -> String {
    let answer = ask(actor, "get", "", &query(asked));
    let (_, rest) = answer.split_once("<query xmlns='jabber:iq:private'>").expect("a result");
    rest.split_once("</query>").expect("an end").0.to_owned()
}

const NOTES: &str = "<notes xmlns='urn:notes'/>";

#[test]
fn xep0049_2_3_what_was_kept_comes_back_as_a_document_of_its_own() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    assert_eq!(kept(&mut romeo, NOTES), NOTES, "nothing yet");
    // It takes a prefix from the query, another from the stanza, and its namespace from neither.
    romeo.send(
        "<iq type='set' id='i' xmlns:b='urn:b'>\
         <query xmlns='jabber:iq:private' xmlns:a='urn:a'>\
         <a:notes a:x='1'><b:y>&lt;&amp;</b:y></a:notes><n:notes xmlns:n='urn:notes'>2</n:notes>\
         </query></iq>",
    );
    assert!(romeo.one().contains("type='result'"));
    let a = kept(&mut romeo, "<notes xmlns='urn:a'/>");
    assert!(
        a.starts_with("<a:notes xmlns:") && a.ends_with("a:x='1'><b:y>&lt;&amp;</b:y></a:notes>"),
        "{a}"
    );
    assert!(a.contains(" xmlns:a='urn:a'") && a.contains(" xmlns:b='urn:b'"), "{a}");
    let n = "<n:notes xmlns:n='urn:notes'>2</n:notes>";
    assert_eq!(kept(&mut romeo, NOTES), n);
    assert_eq!(kept(&mut romeo, "<other xmlns='urn:notes'/>"), "<other xmlns='urn:notes'/>");
    // Another session of the account sees the same, after a restart too, and nobody else does.
    let house = house.restarted();
    assert_eq!(kept(&mut house.connect("romeo@localhost/balcony"), NOTES), n);
    assert_eq!(kept(&mut house.connect("juliet@localhost/balcony"), NOTES), NOTES);
}

#[test]
fn xep0049_3_what_is_wrong_is_refused_and_changes_nothing() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let good = "<notes xmlns='urn:notes'>1</notes>";
    ask(&mut romeo, "set", "", &query(good));
    let more = "<notes xmlns='urn:notes'>2</notes>";
    let bad = [
        // no namespace of its own, none at all, and reserved ones
        ("set", "<notes>2</notes>".to_owned(), "not-acceptable"),
        ("set", "<notes xmlns=''>2</notes>".to_owned(), "not-acceptable"),
        ("set", "<query xmlns='jabber:iq:roster'/>".to_owned(), "not-acceptable"),
        ("set", "<x xmlns='http://jabber.org/protocol/muc'/>".to_owned(), "not-acceptable"),
        ("set", "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>".to_owned(), "not-acceptable"),
        ("set", String::new(), "not-acceptable"),
        ("set", "2".to_owned(), "not-acceptable"),
        // all or nothing
        ("set", format!("{more}<notes>2</notes>"), "not-acceptable"),
        ("set", format!("{more}<n:notes xmlns:n='urn:notes'>3</n:notes>"), "bad-request"),
        ("get", String::new(), "bad-request"),
        ("get", format!("{NOTES}<other xmlns='urn:notes'/>"), "bad-request"),
        ("get", "<notes/>".to_owned(), "not-acceptable"),
        ("get", "<vCard xmlns='vcard-temp'/>".to_owned(), "not-acceptable"),
    ];
    for (kind, inner, condition) in bad {
        let answer = ask(&mut romeo, kind, "", &query(&inner));
        assert!(answer.contains(&format!("<{condition} ")), "{inner}: {answer}");
        assert!(answer.contains("<error type='modify'>"), "{inner}: {answer}");
    }
    assert_eq!(kept(&mut romeo, NOTES), good);
}

#[test]
fn a05_private_data_of_others_is_forbidden_whoever_they_are() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    let notes = "<notes xmlns='urn:notes'>hers</notes>";
    ask(&mut juliet, "set", "", &query(notes));
    for kind in ["get", "set"] {
        let of = |romeo: &mut Actor, who: &str| {
            let answer = ask(romeo, kind, &format!(" to='{who}'"), &query(NOTES));
            assert!(answer.contains("<error type='auth'><forbidden "), "{answer}");
            answer.replace(who, "X")
        };
        let friend = of(&mut romeo, "juliet@localhost");
        assert_eq!(friend, of(&mut romeo, "nurse@localhost"));
        assert_eq!(friend, of(&mut romeo, "nobody@localhost"));
    }
    assert_eq!(kept(&mut juliet, NOTES), notes);
    juliet.nothing();
}

#[test]
fn r03_documents_have_a_cap_and_room_can_be_made() {
    let house = House::with(|caps| caps.documents = 2);
    let mut romeo = house.connect("romeo@localhost/orchard");
    let note = |n: u8| format!("<n{n} xmlns='urn:notes'>{n}</n{n}>");
    ask(&mut romeo, "set", "", &query(&note(1)));
    let full = ask(&mut romeo, "set", "", &query(&(note(2) + &note(3))));
    assert!(full.contains("<resource-constraint "), "{full}");
    assert_eq!(
        kept(&mut romeo, "<n2 xmlns='urn:notes'/>"),
        "<n2 xmlns='urn:notes'/>",
        "all or none"
    );
    ask(&mut romeo, "set", "", "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>");
    let full = ask(&mut romeo, "set", "", &query(&note(2)));
    assert!(full.contains("<resource-constraint "), "{full}");
    // An empty element takes the place of nothing.
    ask(&mut romeo, "set", "", &query("<n1 xmlns='urn:notes'/>"));
    ask(&mut romeo, "set", "", "<vCard xmlns='vcard-temp'/>");
    let both = ask(&mut romeo, "set", "", &query(&(note(2) + &note(3))));
    assert!(both.contains("type='result'"), "{both}");
}

#[test]
fn xep0054_3_a_vcard_is_its_owners_to_write_and_anybodys_to_read() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let none = ask(&mut juliet, "get", "", "<vCard xmlns='vcard-temp'/>");
    assert!(none.contains("<item-not-found "), "{none}");
    let written = "<v:vCard xmlns:v='vcard-temp'><v:FN>Juliet &amp; Co</v:FN></v:vCard>";
    assert!(ask(&mut juliet, "set", "", written).contains("type='result'"));
    // A stranger reads it as she wrote it; her client does not hear of it.
    let read = ask(&mut romeo, "get", " to='juliet@localhost'", "<vCard xmlns='vcard-temp'/>");
    assert!(read.contains(&format!(">{written}</iq>")), "{read}");
    let read = ask(&mut juliet, "get", " to='juliet@localhost'", "<vCard xmlns='vcard-temp'/>");
    assert!(read.contains(written), "{read}");
    let forged = "<vCard xmlns='vcard-temp'><FN>Rosaline</FN></vCard>";
    for who in ["juliet@localhost", "nobody@localhost"] {
        let refused = ask(&mut romeo, "set", &format!(" to='{who}'"), forged);
        assert!(refused.contains("<error type='auth'><forbidden "), "{refused}");
    }
    juliet.nothing();
    assert!(ask(&mut juliet, "get", "", "<vCard xmlns='vcard-temp'/>").contains(written));
}

#[test]
fn a05_no_vcard_and_no_account_are_the_same() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let mut of = |who: &str| {
        let answer = ask(&mut romeo, "get", &format!(" to='{who}'"), "<vCard xmlns='vcard-temp'/>");
        assert!(answer.contains("<service-unavailable "), "{answer}");
        answer.replace(who, "X")
    };
    let stranger = of("juliet@localhost");
    assert_eq!(stranger, of("nobody@localhost"));
    house.befriend(&mut romeo, &mut juliet);
    let mut of = |who: &str| {
        ask(&mut romeo, "get", &format!(" to='{who}'"), "<vCard xmlns='vcard-temp'/>")
            .replace(who, "X")
    };
    assert_eq!(of("juliet@localhost"), stranger, "friends have none either");
}
