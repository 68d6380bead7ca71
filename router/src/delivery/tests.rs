//! RFC 6121 8.5, a row per clause.

use super::*;
use MessageType::{Chat, Error, Groupchat, Headline, Normal};

struct Account {
    exists: bool,
    resources: Vec<(&'static str, Option<i8>)>,
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
        &self.resources
    }
}

const NOBODY: &[(&str, Option<i8>)] = &[];
const CONNECTED: &[(&str, Option<i8>)] = &[("a", None)];
const NEGATIVE: &[(&str, Option<i8>)] = &[("a", Some(-1))];
const ONE: &[(&str, Option<i8>)] = &[("a", Some(0))];
const SEVERAL: &[(&str, Option<i8>)] =
    &[("a", Some(0)), ("b", Some(-1)), ("c", Some(5)), ("d", None)];

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

const UNAVAILABLE: Plan = Plan::Refuse(StanzaCondition::ServiceUnavailable);

#[test]
fn rfc6121_8_5_messages() {
    const BARE: &str = "juliet@localhost";
    const A: &str = "juliet@localhost/a";
    const NONE: &str = "juliet@localhost/none";
    type Row = (
        &'static str,
        bool,
        &'static [(&'static str, Option<i8>)],
        &'static str,
        MessageType,
        Plan,
    );
    let table: Vec<Row> = vec![
        // clause, exists, resources, to, type, expected
        ("8.5.1", false, NOBODY, BARE, Normal, UNAVAILABLE),
        ("8.5.1", false, NOBODY, BARE, Chat, UNAVAILABLE),
        ("8.5.1, table 1", false, NOBODY, BARE, Groupchat, UNAVAILABLE),
        ("8.5.1, table 1", false, NOBODY, BARE, Headline, Plan::Drop),
        ("8.5.1", false, NOBODY, BARE, Error, Plan::Drop),
        ("8.5.1", false, NOBODY, NONE, Normal, UNAVAILABLE),
        ("8.5.1", false, NOBODY, NONE, Chat, UNAVAILABLE),
        ("8.5.1", false, NOBODY, NONE, Groupchat, UNAVAILABLE),
        ("8.5.1", false, NOBODY, NONE, Headline, UNAVAILABLE),
        ("8.5.1", false, NOBODY, NONE, Error, Plan::Drop),
        ("8.5.2.2.1", true, NOBODY, BARE, Normal, Plan::Keep),
        ("8.5.2.2.1", true, NOBODY, BARE, Chat, Plan::Keep),
        ("8.5.2.2.1", true, NOBODY, BARE, Groupchat, UNAVAILABLE),
        ("8.5.2.2.1", true, NOBODY, BARE, Headline, Plan::Drop),
        ("8.5.2.2.1", true, NOBODY, BARE, Error, Plan::Drop),
        ("8.5.2.2.1 connected", true, CONNECTED, BARE, Chat, Plan::Keep),
        ("8.5.3.2.1", true, NOBODY, NONE, Normal, UNAVAILABLE),
        ("8.5.3.2.1", true, NOBODY, NONE, Chat, Plan::Keep),
        ("8.5.3.2.1", true, NOBODY, NONE, Groupchat, UNAVAILABLE),
        ("8.5.3.2.1", true, NOBODY, NONE, Headline, UNAVAILABLE),
        ("8.5.3.2.1", true, NOBODY, NONE, Error, Plan::Drop),
        ("8.5.2.1.1 negative", true, NEGATIVE, BARE, Normal, Plan::Keep),
        ("8.5.2.1.1 negative", true, NEGATIVE, BARE, Chat, Plan::Keep),
        ("8.5.2.1.1 negative", true, NEGATIVE, BARE, Groupchat, UNAVAILABLE),
        ("8.5.2.1.1 negative", true, NEGATIVE, BARE, Headline, Plan::Drop),
        ("8.5.3.1 negative", true, NEGATIVE, A, Normal, to(&[0])),
        ("8.5.3.1 negative", true, NEGATIVE, A, Chat, to(&[0])),
        ("8.5.3.1 negative", true, NEGATIVE, A, Groupchat, to(&[0])),
        ("8.5.3.1 negative", true, NEGATIVE, A, Headline, to(&[0])),
        ("8.5.3.2.1 negative", true, NEGATIVE, NONE, Normal, UNAVAILABLE),
        ("8.5.3.2.1 negative", true, NEGATIVE, NONE, Chat, Plan::Keep),
        ("8.5.2.1.1 one", true, ONE, BARE, Normal, to(&[0])),
        ("8.5.2.1.1 one", true, ONE, BARE, Chat, to(&[0])),
        ("8.5.2.1.1 one", true, ONE, BARE, Groupchat, UNAVAILABLE),
        ("8.5.2.1.1 one", true, ONE, BARE, Headline, to(&[0])),
        ("8.5.2.1.1 one", true, ONE, BARE, Error, Plan::Drop),
        ("8.5.3.1 one", true, ONE, A, Groupchat, to(&[0])),
        ("8.5.3.1 one", true, ONE, A, Error, to(&[0])),
        ("8.5.3.2.1 one", true, ONE, NONE, Normal, UNAVAILABLE),
        ("8.5.3.2.1 one", true, ONE, NONE, Chat, to(&[0])),
        ("8.5.3.2.1 one", true, ONE, NONE, Groupchat, UNAVAILABLE),
        ("8.5.3.2.1 one", true, ONE, NONE, Headline, UNAVAILABLE),
        ("8.5.2.1.1 several", true, SEVERAL, BARE, Normal, to(&[0, 2])),
        ("8.5.2.1.1 several", true, SEVERAL, BARE, Chat, to(&[0, 2])),
        ("8.5.2.1.1 several", true, SEVERAL, BARE, Groupchat, UNAVAILABLE),
        ("8.5.2.1.1 several", true, SEVERAL, BARE, Headline, to(&[0, 2])),
        ("8.5.3.2.1 several", true, SEVERAL, NONE, Chat, to(&[0, 2])),
        ("8.5.3.1 several", true, SEVERAL, "juliet@localhost/b", Chat, to(&[1])),
        ("8.5.3.1 connected", true, SEVERAL, "juliet@localhost/d", Normal, to(&[3])),
    ];
    for (clause, exists, resources, address, kind, expected) in table {
        let account = Account { exists, resources: resources.to_vec() };
        let plan = plan(&head(Kind::Message(kind), address), &account);
        assert_eq!(plan, expected, "{clause}: {kind:?} to {address} with {resources:?}");
    }
}

#[test]
fn rfc6121_8_5_presence() {
    use PresenceType::{
        Available, Error, Probe, Subscribe, Subscribed, Unavailable, Unsubscribe, Unsubscribed,
    };
    type Row =
        (&'static str, &'static [(&'static str, Option<i8>)], &'static str, PresenceType, Plan);
    let table: Vec<Row> = vec![
        ("8.5.2.2.2", NOBODY, "juliet@localhost", Available, Plan::Drop),
        ("8.5.2.2.2", NOBODY, "juliet@localhost", Unavailable, Plan::Drop),
        ("8.5.2.2.2 connected", CONNECTED, "juliet@localhost", Available, Plan::Drop),
        ("8.5.2.1.2", SEVERAL, "juliet@localhost", Available, to(&[0, 1, 2])),
        ("8.5.2.1.2", SEVERAL, "juliet@localhost", Unavailable, to(&[0, 1, 2])),
        ("8.5.3.1", SEVERAL, "juliet@localhost/b", Available, to(&[1])),
        ("8.5.3.1 connected", SEVERAL, "juliet@localhost/d", Unavailable, to(&[3])),
        ("8.5.3.1", SEVERAL, "juliet@localhost/b", Error, to(&[1])),
        ("8.5.3.2.2", SEVERAL, "juliet@localhost/none", Available, Plan::Drop),
        ("8.5.3.2.2", SEVERAL, "juliet@localhost/none", Unavailable, Plan::Drop),
        ("RFC 6120 8.3.1", SEVERAL, "juliet@localhost", Error, Plan::Drop),
        ("8.5.2.1.2", SEVERAL, "juliet@localhost", Subscribe, Plan::Answer),
        ("8.5.2.2.2", NOBODY, "juliet@localhost", Subscribed, Plan::Answer),
        ("8.5.2.1.2", SEVERAL, "juliet@localhost", Unsubscribe, Plan::Answer),
        ("8.5.2.1.2", SEVERAL, "juliet@localhost", Unsubscribed, Plan::Answer),
        ("8.5.3.1", SEVERAL, "juliet@localhost/a", Probe, Plan::Answer),
    ];
    for (clause, resources, address, kind, expected) in table {
        let account = Account { exists: true, resources: resources.to_vec() };
        let plan = plan(&head(Kind::Presence(kind), address), &account);
        assert_eq!(plan, expected, "{clause}: {kind:?} to {address} with {resources:?}");
    }
}

#[test]
fn rfc6121_8_5_iqs() {
    use IqType::{Error, Get, Result, Set};
    type Row = (&'static str, bool, &'static str, IqType, Plan);
    let table: Vec<Row> = vec![
        // clause, exists, to, type, expected
        ("8.5.2.1.3", true, "juliet@localhost", Get, Plan::Answer),
        ("8.5.2.1.3", true, "juliet@localhost", Set, Plan::Answer),
        ("RFC 6120 10.3.3", true, "juliet@localhost", Result, Plan::Drop),
        ("RFC 6120 10.3.3", true, "juliet@localhost", Error, Plan::Drop),
        ("8.5.3.1", true, "juliet@localhost/a", Get, to(&[0])),
        ("8.5.3.1 negative", true, "juliet@localhost/b", Set, to(&[1])),
        ("8.5.3.1 connected", true, "juliet@localhost/d", Get, to(&[3])),
        ("8.5.3.1", true, "juliet@localhost/a", Result, to(&[0])),
        ("8.5.3.1", true, "juliet@localhost/a", Error, to(&[0])),
        ("8.5.3.2.3", true, "juliet@localhost/none", Get, UNAVAILABLE),
        ("8.5.3.2.3", true, "juliet@localhost/none", Result, Plan::Drop),
        ("8.5.1", false, "nobody@localhost", Get, Plan::Answer),
        ("8.5.1", false, "nobody@localhost/a", Set, UNAVAILABLE),
        ("8.5.1", false, "nobody@localhost/a", Error, Plan::Drop),
    ];
    for (clause, exists, address, kind, expected) in table {
        let resources = if exists { SEVERAL.to_vec() } else { Vec::new() };
        let plan = plan(&head(Kind::Iq(kind), address), &Account { exists, resources });
        assert_eq!(plan, expected, "{clause}: {kind:?} to {address}");
    }
}
