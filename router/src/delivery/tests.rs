//! RFC 6121 8.5 and XEP-0191 3.3, a row per clause.

use super::*;
use MessageType::{Chat, Error, Groupchat, Headline, Normal};

type Resources = &'static [(&'static str, Option<i8>)];

struct Account {
    exists: bool,
    resources: Resources,
    /// It has blocked whoever asks.
    blocks: bool,
    /// It shares its presence with whoever asks.
    shows: bool,
}

impl Resource for (&'static str, Option<i8>) {
    fn resource(&self) -> &str {
        self.0
    }
    fn priority(&self) -> Option<i8> {
        self.1
    }
}

impl Recipient for Account {
    type Resource = (&'static str, Option<i8>);
    fn exists(&self) -> bool {
        self.exists
    }
    fn resources(&self) -> &[Self::Resource] {
        self.resources
    }
    fn blocks(&self, _: &Jid) -> bool {
        self.blocks
    }
    fn shows(&self, _: usize, _: &Jid) -> bool {
        self.shows
    }
}

const NOBODY: Resources = &[];
const CONNECTED: Resources = &[("a", None)];
const NEGATIVE: Resources = &[("a", Some(-1))];
const NEGATIVES: Resources = &[("a", Some(-1)), ("b", Some(-128)), ("c", None)];
const ONE: Resources = &[("a", Some(0))];
const ONE_AND_OTHERS: Resources = &[("a", Some(1)), ("b", Some(-1)), ("c", None)];
const SEVERAL: Resources = &[("a", Some(0)), ("b", Some(5)), ("c", Some(127))];
const SEVERAL_AND_OTHERS: Resources =
    &[("a", Some(0)), ("b", Some(-1)), ("c", Some(5)), ("d", None)];

const BARE: &str = "juliet@localhost";
const MATCH: &str = "juliet@localhost/a";
const NO_MATCH: &str = "juliet@localhost/none";

const UNAVAILABLE: Plan = Plan::Refuse(StanzaCondition::ServiceUnavailable);

fn head(kind: Kind, to: &str) -> Head {
    Head {
        kind,
        to: Some(to.parse().unwrap()),
        from: Some("romeo@localhost/orchard".parse().unwrap()),
        id: None,
        lang: None,
        rest: bytes::Bytes::new(),
    }
}

fn to(places: &[usize]) -> Plan {
    Plan::Deliver(Places::from_slice(places))
}

/// What a letter of the RFC's table means for these resources.
fn meaning(letter: char, address: &str, resources: Resources) -> Plan {
    let wants = |(_, priority): &(&str, Option<i8>)| priority.is_some_and(|p| p >= 0);
    let non_negative: Vec<usize> =
        resources.iter().enumerate().filter(|(_, r)| wants(r)).map(|(place, _)| place).collect();
    match letter {
        'O' => Plan::Keep,
        'E' => UNAVAILABLE,
        'S' => Plan::Drop,
        'D' if address == MATCH => to(&[0]),
        'D' => {
            assert_eq!(non_negative.len(), 1, "D is for one");
            to(&non_negative)
        }
        'A' => {
            assert!(non_negative.len() > 1, "A is for several");
            to(&non_negative)
        }
        other => panic!("{other} is no letter of the table"),
    }
}

/// RFC 6121 Table 1 with its conditions, addresses and columns, and one column more for errors, from the text. For each
/// address: what the RFC lets a server do, and what this one does. M, the most available resources, is never chosen.
#[test]
fn rfc6121_8_5_4_table_1_message_delivery_rules() {
    type Row = (&'static str, [&'static str; 5], &'static str);
    type Condition = (&'static str, bool, &'static [Resources], &'static [Row]);
    #[rustfmt::skip]
    let table: &[Condition] = &[
        //               normal  chat  groupchat headline error     ours
        ("account does not exist (8.5.1)", false, &[NOBODY], &[
            (BARE,     ["S/E", "S/E",   "E",   "S",   "S/E"], "EEESS"),
            (NO_MATCH, ["S/E", "S/E",   "S/E", "S/E", "S/E"], "EEEES"),
        ]),
        ("account exists, but no active resources (8.5.2.2.1, 8.5.3.2.1)", true, &[NOBODY, CONNECTED], &[
            (BARE,     ["O/E", "O/E",   "E",   "S",   "S"], "OOESS"),
            (NO_MATCH, ["S/E", "O/E",   "S/E", "S/E", "S"], "EOEES"),
        ]),
        ("connected is enough for a full address (8.5.3.1)", true, &[CONNECTED], &[
            (MATCH,    ["D",   "D",     "D",   "D",   "D"], "DDDDD"),
        ]),
        ("1+ negative resources but zero non-negative (8.5.2.1.1)", true, &[NEGATIVE, NEGATIVES], &[
            (BARE,     ["O/E", "O/E",   "E",   "S",   "S"], "OOESS"),
            (MATCH,    ["D",   "D",     "D",   "D",   "D"], "DDDDD"),
            (NO_MATCH, ["S/E", "O/E",   "S/E", "S/E", "S"], "EOEES"),
        ]),
        ("1 non-negative resource (8.5.2.1.1)", true, &[ONE, ONE_AND_OTHERS], &[
            (BARE,     ["D",   "D",     "E",   "D",   "S"], "DDEDS"),
            (MATCH,    ["D",   "D",     "D",   "D",   "D"], "DDDDD"),
            (NO_MATCH, ["S/E", "D",     "S/E", "S/E", "S"], "EDEES"),
        ]),
        ("1+ non-negative resources (8.5.2.1.1)", true, &[SEVERAL, SEVERAL_AND_OTHERS], &[
            (BARE,     ["M/A", "M/A",   "E",   "A",   "S"], "AAEAS"),
            (MATCH,    ["D",   "D/A",   "D",   "D",   "D"], "DDDDD"),
            (NO_MATCH, ["S/E", "M/A",   "S/E", "S/E", "S"], "EAEES"),
        ]),
    ];
    for &(condition, exists, worlds, rows) in table {
        for (&resources, &(address, allowed, ours)) in
            worlds.iter().flat_map(|world| rows.iter().map(move |row| (world, row)))
        {
            let kinds = [Normal, Chat, Groupchat, Headline, Error];
            for ((kind, allowed), letter) in kinds.into_iter().zip(allowed).zip(ours.chars()) {
                let what = format!("{condition}: {kind:?} to {address} with {resources:?}");
                assert!(allowed.contains(letter), "the RFC does not allow {letter}: {what}");
                let account = Account { exists, resources, blocks: false, shows: false };
                let plan = plan(&head(Kind::Message(kind), address), &account);
                assert_eq!(plan, meaning(letter, address, resources), "{what}");
            }
        }
    }
}

#[test]
fn rfc6121_8_5_3_1_a_full_address_is_for_that_resource_alone() {
    let account =
        Account { exists: true, resources: SEVERAL_AND_OTHERS, blocks: false, shows: false };
    for kind in [Normal, Chat, Groupchat, Headline, Error] {
        for (place, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let address = format!("juliet@localhost/{name}");
            let plan = plan(&head(Kind::Message(kind), &address), &account);
            assert_eq!(plan, to(&[place]), "{kind:?} to {address}");
        }
    }
}

#[test]
fn rfc6121_8_5_presence() {
    use Plan::{Answer, Drop};
    use PresenceType::{
        Available, Error, Probe, Subscribe, Subscribed, Unavailable, Unsubscribe, Unsubscribed,
    };
    // clause, exists, resources, to; then available and unavailable, error, probe, subscribe, the other three
    type Row = (&'static str, bool, Resources, &'static str, Plan, Plan);
    let table: [Row; 10] = [
        ("8.5.1", false, NOBODY, BARE, Drop, Drop),
        ("8.5.1", false, NOBODY, NO_MATCH, Drop, Drop),
        ("8.5.2.2.2", true, NOBODY, BARE, Drop, Drop),
        ("8.5.2.1.2 connected only", true, CONNECTED, BARE, Drop, Drop),
        ("8.5.2.1.2 whatever the priority", true, NEGATIVES, BARE, to(&[0, 1]), Drop),
        ("8.5.2.1.2", true, SEVERAL_AND_OTHERS, BARE, to(&[0, 1, 2]), Drop),
        ("8.5.3.1", true, SEVERAL, MATCH, to(&[0]), to(&[0])),
        ("8.5.3.1 connected only", true, CONNECTED, MATCH, to(&[0]), to(&[0])),
        ("8.5.3.2.2", true, NOBODY, NO_MATCH, Drop, Drop),
        ("8.5.3.2.2", true, SEVERAL, NO_MATCH, Drop, Drop),
    ];
    for (clause, exists, resources, address, notice, error) in table {
        let account = Account { exists, resources, blocks: false, shows: false };
        for (kind, expected) in [
            (Available, &notice),
            (Unavailable, &notice),
            // RFC 6120 8.3.1: never answered, and to an account it is for nobody.
            (Error, &error),
            // RFC 6121 4.3
            (Probe, &Answer),
            // RFC 6121 3, Appendix A
            (Subscribe, &Answer),
            (Subscribed, &Answer),
            (Unsubscribe, &Answer),
            (Unsubscribed, &Answer),
        ] {
            let plan = plan(&head(Kind::Presence(kind), address), &account);
            assert_eq!(plan, *expected, "{clause}: {kind:?} to {address} with {resources:?}");
        }
    }
}

#[test]
fn rfc6121_8_5_iqs() {
    use IqType::{Error, Get, Result, Set};
    use Plan::{Answer, Drop};
    // clause, exists, resources, shares presence, to; get and set, result and error
    type Row = (&'static str, bool, Resources, bool, &'static str, Plan, Plan);
    let table: [Row; 12] = [
        ("8.5.1", false, NOBODY, false, BARE, Answer, Drop),
        ("8.5.1", false, NOBODY, false, NO_MATCH, UNAVAILABLE, Drop),
        ("8.5.2.1.3", true, SEVERAL, true, BARE, Answer, Drop),
        ("8.5.2.1.3", true, SEVERAL, false, BARE, Answer, Drop),
        ("8.5.2.2.3", true, NOBODY, true, BARE, Answer, Drop),
        ("8.5.3.1", true, SEVERAL, true, MATCH, to(&[0]), to(&[0])),
        ("8.5.3.1 negative", true, NEGATIVE, true, MATCH, to(&[0]), to(&[0])),
        ("8.5.3.1 connected", true, CONNECTED, true, MATCH, to(&[0]), to(&[0])),
        ("8.5.3.1 no presence shared", true, SEVERAL, false, MATCH, UNAVAILABLE, to(&[0])),
        ("8.5.3.1 no presence shared", true, CONNECTED, false, MATCH, UNAVAILABLE, to(&[0])),
        ("8.5.3.2.3", true, SEVERAL, true, NO_MATCH, UNAVAILABLE, Drop),
        ("8.5.3.2.3", true, NOBODY, false, NO_MATCH, UNAVAILABLE, Drop),
    ];
    for (clause, exists, resources, shows, address, question, answer) in table {
        let account = Account { exists, resources, blocks: false, shows };
        for (kind, expected) in
            [(Get, &question), (Set, &question), (Result, &answer), (Error, &answer)]
        {
            let plan = plan(&head(Kind::Iq(kind), address), &account);
            assert_eq!(plan, *expected, "{clause}: {kind:?} to {address} with {resources:?}");
        }
    }
}

/// Whatever is there and however it is addressed: it looks the same, and offline.
#[test]
fn xep0191_3_3_a_blocked_sender() {
    use PresenceType as Presence;
    let kinds = [
        (Kind::Message(Normal), UNAVAILABLE),
        (Kind::Message(Chat), UNAVAILABLE),
        (Kind::Message(Groupchat), UNAVAILABLE),
        (Kind::Message(Headline), UNAVAILABLE),
        (Kind::Message(Error), Plan::Drop),
        (Kind::Iq(IqType::Get), UNAVAILABLE),
        (Kind::Iq(IqType::Set), UNAVAILABLE),
        (Kind::Iq(IqType::Result), Plan::Drop),
        (Kind::Iq(IqType::Error), Plan::Drop),
        (Kind::Presence(Presence::Available), Plan::Drop),
        (Kind::Presence(Presence::Unavailable), Plan::Drop),
        (Kind::Presence(Presence::Error), Plan::Drop),
        (Kind::Presence(Presence::Probe), Plan::Drop),
        // for the sender's own roster; the module asks the block list for the rest
        (Kind::Presence(Presence::Subscribe), Plan::Answer),
        (Kind::Presence(Presence::Subscribed), Plan::Answer),
        (Kind::Presence(Presence::Unsubscribe), Plan::Answer),
        (Kind::Presence(Presence::Unsubscribed), Plan::Answer),
    ];
    for resources in [NOBODY, CONNECTED, NEGATIVES, SEVERAL_AND_OTHERS] {
        let account = Account { exists: true, resources, blocks: true, shows: true };
        for (kind, expected) in &kinds {
            for address in [BARE, MATCH, NO_MATCH] {
                let plan = plan(&head(*kind, address), &account);
                assert_eq!(plan, *expected, "{kind:?} to {address} with {resources:?}");
            }
        }
    }
}
