//! Rosters (RFC 6121 2).

mod house;

use house::{Actor, House};
use router::Offer;

fn set(actor: &mut Actor, item: &str) -> Vec<String> {
    actor.send(&format!(
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
    ));
    actor.all()
}

fn get(actor: &mut Actor, ver: &str) -> String {
    actor.send(&format!("<iq type='get' id='g'><query xmlns='jabber:iq:roster'{ver}/></iq>"));
    actor.one()
}

#[test]
fn rfc6121_2_3_2_an_item_is_pushed_to_those_who_asked_for_the_roster() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut street = house.online("romeo@localhost/street");
    let mut deaf = house.connect("romeo@localhost/deaf");
    let mut juliet = house.online("juliet@localhost/balcony");
    romeo.all();
    let all = set(
        &mut romeo,
        "<item jid='juliet@localhost' name='J &amp; me' subscription='both' ask='subscribe'><group>B</group><group>A</group></item>",
    );
    let push = "<query xmlns='jabber:iq:roster' ver='1'><item jid='juliet@localhost' name='J &amp; me' subscription='none'><group>A</group><group>B</group></item></query></iq>";
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(
        all[0].starts_with("<iq type='set' to='romeo@localhost/orchard' id='token"),
        "{all:#?}"
    );
    assert!(all[0].ends_with(push), "{all:#?}");
    assert_eq!(all[1], "<iq type='result' to='romeo@localhost/orchard' id='s'/>");
    assert!(street.one().ends_with(push));
    deaf.nothing();
    juliet.nothing();
}

#[test]
fn rfc6121_2_6_1_and_3_4_streams_offer_versions_and_approvals() {
    let house = House::new();
    let offer = |when| {
        let features = house.router.stream_features(when, "localhost");
        String::from_utf8(features.to_vec()).unwrap()
    };
    for feature in [
        "<ver xmlns='urn:xmpp:features:rosterver'/>",
        "<sub xmlns='urn:xmpp:features:pre-approval'/>",
    ] {
        assert!(offer(Offer::AfterAuth).contains(feature));
        assert!(!offer(Offer::BeforeAuth).contains(feature), "there is no roster yet");
    }
}

#[test]
fn rfc6121_2_6_3_an_unchanged_roster_is_not_sent_again() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    assert!(get(&mut romeo, "").contains("<query xmlns='jabber:iq:roster' ver='0'"));
    set(&mut romeo, "<item jid='a@localhost'/>");
    let full = get(&mut romeo, " ver=''");
    assert!(full.contains("ver='1'") && full.contains("<item jid='a@localhost'"), "{full}");
    assert!(!get(&mut romeo, " ver='1'").contains("<query"));
    assert!(get(&mut romeo, " ver='0'").contains("<item jid='a@localhost'"));
    let mut again = house.restarted().online("romeo@localhost/orchard");
    assert!(!get(&mut again, " ver='1'").contains("<query"), "a restart changes nothing");
}

#[test]
fn rfc6121_2_6_3_what_a_client_remembers_of_an_earlier_account_is_no_roster_of_this_one() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    set(&mut romeo, "<item jid='a@localhost'/>");
    let remembered = get(&mut romeo, "");
    drop(romeo);
    let account = "romeo@localhost".parse().unwrap();
    house::finish(house.store.delete(&account)).unwrap();
    house.add("romeo@localhost");
    let mut romeo = house.restarted().online("romeo@localhost/orchard");
    let version = |query: &str| query.split("ver='").nth(1).unwrap()[..1].to_owned();
    let ver = version(&remembered);
    // The new roster is empty, and told: as many changes later too.
    assert!(get(&mut romeo, &format!(" ver='{ver}'")).contains("<query"));
    set(&mut romeo, "<item jid='b@localhost'/>");
    let new = get(&mut romeo, &format!(" ver='{ver}'"));
    assert!(new.contains("<item jid='b@localhost'"), "{new}");
}

#[test]
fn rfc6121_2_3_3_bad_sets_change_nothing() {
    let house = House::with(|caps| {
        caps.roster_items = 2;
        caps.roster_groups = 2;
        caps.roster_text = 10;
    });
    let mut romeo = house.online("romeo@localhost/orchard");
    let rows = [
        ("", "bad-request"),
        ("<item jid='a@localhost'/><item jid='b@localhost'/>", "bad-request"),
        ("<thing xmlns='urn:example'/>", "bad-request"),
        ("<item name='nobody'/>", "bad-request"),
        ("<item jid='@'/>", "jid-malformed"),
        ("<item jid='a@localhost'><group>x</group><group>x</group></item>", "bad-request"),
        ("<item jid='a@localhost'><group/></item>", "not-acceptable"),
        ("<item jid='a@localhost'><group>12345678901</group></item>", "not-acceptable"),
        ("<item jid='a@localhost' name='12345678901'/>", "not-acceptable"),
        (
            "<item jid='a@localhost'><group>1</group><group>2</group><group>3</group></item>",
            "not-acceptable",
        ),
        ("<item jid='romeo@localhost'/>", "not-allowed"),
        ("<item jid='a@localhost' subscription='remove'/>", "item-not-found"),
    ];
    for (item, condition) in rows {
        let all = set(&mut romeo, item);
        assert_eq!(all.len(), 1, "{item}: {all:#?}");
        assert!(all[0].contains(&format!("<{condition} ")), "{item}: {all:#?}");
    }
    assert!(get(&mut romeo, "").contains("ver='0'"));
    set(&mut romeo, "<item jid='a@localhost'/>");
    set(&mut romeo, "<item jid='b@localhost'/>");
    // Threat R03
    let all = set(&mut romeo, "<item jid='c@localhost'/>");
    assert!(all[0].contains("<resource-constraint "), "{all:#?}");
}

#[test]
fn p04_nobody_pushes_into_another_s_roster() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let forged = "<query xmlns='jabber:iq:roster'><item jid='paris@localhost' subscription='both'/></query></iq>";
    let prefixed =
        "<r:query xmlns:r='jabber:iq:roster'><r:item jid='paris@localhost'/></r:query></iq>";
    for payload in [forged, prefixed] {
        for (to, condition) in [
            ("juliet@localhost/balcony", "service-unavailable"),
            ("juliet@localhost/none", "service-unavailable"),
            ("nobody@localhost/none", "service-unavailable"),
            ("juliet@localhost", "forbidden"),
            ("nobody@localhost", "forbidden"),
        ] {
            romeo.send(&format!("<iq type='set' id='p' to='{to}'>{payload}"));
            assert!(romeo.one().contains(&format!("<{condition} ")), "{to}");
        }
    }
    juliet.nothing();
    assert!(get(&mut juliet, "").contains("ver='0'"));
    // To one's own other session neither: it would take it for the server's.
    let mut street = house.online("romeo@localhost/street");
    romeo.all();
    romeo.send(&format!("<iq type='set' id='p' to='romeo@localhost/street'>{forged}"));
    assert!(romeo.one().contains("<service-unavailable "));
    street.nothing();
}

#[test]
fn rfc6121_2_5_2_removing_ends_what_was_agreed() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    let all = set(&mut romeo, "<item jid='juliet@localhost' subscription='remove'/>");
    assert_eq!(all.len(), 3, "{all:#?}");
    assert_eq!(
        all[0],
        "<presence type='unavailable' to='romeo@localhost' from='juliet@localhost/balcony'/>"
    );
    assert!(all[1].contains("<item jid='juliet@localhost' subscription='remove'/>"), "{all:#?}");
    assert!(all[2].contains("type='result'"));
    let hers = juliet.all();
    assert_eq!(hers.len(), 4, "{hers:#?}");
    assert!(hers[0].contains("type='unavailable'") && hers[0].contains("romeo@localhost/orchard"));
    assert!(hers[1].contains("type='unsubscribe'"));
    assert!(hers[2].contains("type='unsubscribed'"));
    assert!(hers[3].contains("<item jid='romeo@localhost' subscription='none'/>"));
    romeo.send("<presence><status>free</status></presence>");
    juliet.nothing();
    juliet.send("<presence><status>alone</status></presence>");
    assert_eq!(romeo.all().len(), 1, "only his own");
}
