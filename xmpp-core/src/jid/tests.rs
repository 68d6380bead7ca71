//! Which texts are addresses, and what they become.

use std::{collections::HashSet, sync::Arc};

use super::*;

fn jid(text: &str) -> Jid {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn parts_of_an_address() {
    let full = jid("Romeo@Montague.example/Orchard Wall@x/y");
    assert_eq!(full.as_str(), "romeo@montague.example/Orchard Wall@x/y");
    assert_eq!(full.local(), Some("romeo"));
    assert_eq!(full.domain(), "montague.example");
    assert_eq!(full.resource(), Some("Orchard Wall@x/y"));
    assert_eq!(full.bare_str(), "romeo@montague.example");
    assert!(!full.is_bare());
    let host = jid("montague.example");
    assert_eq!((host.local(), host.domain(), host.resource()), (None, "montague.example", None));
    let host = jid("montague.example/a@b");
    assert_eq!((host.local(), host.resource()), (None, Some("a@b")));
}

#[test]
fn bare_form_of_a_bare_address_shares_its_text() {
    let bare = jid("romeo@montague.example");
    assert!(Arc::ptr_eq(&bare.text, &bare.to_bare().0.text));
    let full = jid("romeo@montague.example/orchard");
    assert_eq!(full.to_bare().as_jid(), &bare);
    assert_eq!(full.to_bare().with_resource("orchard"), Ok(full));
}

#[test]
fn a_table_of_addresses_is_asked_with_text() {
    let table: HashSet<BareJid> = [jid("a@b").to_bare()].into();
    assert!(table.contains("a@b"));
}
