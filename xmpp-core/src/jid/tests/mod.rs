//! Which texts are addresses, and what they become.

mod oracle;
mod table;

use std::{collections::HashSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::precis::opaque_string;

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
fn parts_given_apart_make_the_same_address() {
    let together = jid("Ａdmin@MÜNCHEN.de/a\u{3000}b");
    assert_eq!(Jid::new(Some("Ａdmin"), "MÜNCHEN.de", Some("a\u{3000}b")), Ok(together));
    // A separator in a part does not move the border between parts.
    assert_eq!(Jid::new(Some("a@b"), "c", None), Err(JidError::Local));
    assert_eq!(Jid::new(Some(""), "c", None), Err(JidError::Local));
    assert_eq!(Jid::new(None, "c@d", None), Err(JidError::Domain));
    assert_eq!(Jid::new(None, "c/d", None), Err(JidError::Domain));
    assert_eq!(Jid::new(None, "c", Some("")), Err(JidError::Resource));
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
fn a_bare_address_has_no_resource() {
    assert_eq!("a@b/c".parse::<BareJid>(), Err(JidError::Resource));
    assert_eq!("a@B".parse::<BareJid>().map(|b| b.to_string()), Ok("a@b".to_owned()));
}

#[test]
fn a_table_of_addresses_is_asked_with_text() {
    let bare: HashSet<BareJid> = [jid("a@b").to_bare()].into();
    assert!(bare.contains("a@b"));
    let full: HashSet<Jid> = [jid("a@b/c")].into();
    assert!(full.contains("a@b/c"));
}

#[test]
fn addresses_are_ordered_as_their_texts_are() {
    let texts = ["a", "a.b", "a/b", "a@b", "a@b/c", "b", "ab@c"];
    let mut jids: Vec<Jid> = texts.iter().map(|t| jid(t)).collect();
    jids.sort();
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    assert_eq!(jids.iter().map(Jid::as_str).collect::<Vec<_>>(), texts);
}

#[test]
fn domain_has_a_form_for_dns() {
    let cases = [("münchen.de", "xn--mnchen-3ya.de"), ("example.com", "example.com")];
    for (domain, ascii) in cases {
        assert_eq!(domain_to_ascii(domain).as_deref(), Some(ascii));
    }
    assert_eq!(domain_to_ascii("a\u{ad}\u{0}ü"), None);
}

#[test]
fn opaque_string_keeps_case_and_width() {
    let cases = [
        ("Ａdmin", Some("Ａdmin")),
        ("correct\u{a0}horse\u{3000}battery", Some("correct horse battery")),
        ("e\u{301}", Some("é")),
        ("\u{212b}", Some("Å")),
        (" ", Some(" ")),
        ("", None),
        ("a\tb", None),
        ("a\u{7f}", None),
    ];
    for (text, prepared) in cases {
        assert_eq!(opaque_string(text).as_deref(), prepared, "{text:?}");
    }
}

/// Texts that meet the rules often: letters of many scripts, marks, spaces, joiners, separators.
fn awkward_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range('!', '~'),
        2 => any::<char>(),
        2 => prop::sample::select(&[
            'ß', 'ẞ', 'ς', 'Σ', 'İ', 'ı', 'Å', 'ﬁ', 'Ａ', '＠', '。', '\u{301}', '\u{307}', '\u{94d}',
            '\u{200c}', '\u{200d}', '\u{b7}', 'l', '\u{375}', 'α', 'א', '\u{5f3}', '\u{30fb}', '日',
            '\u{660}', '\u{6f0}', 'ب', '\u{3000}', '\u{a0}', '\u{ad}', 'Ꭰ', 'ꭰ', '가', '\u{1100}',
            '🥰', '.', '-', '@', '/', 'x', 'n', ' ',
        ][..]),
        1 => prop::char::range('\u{600}', '\u{6ff}'),
        1 => prop::char::range('\u{1f00}', '\u{1fff}'),
    ];
    prop::collection::vec(character, 1..12).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn preparing_twice_changes_nothing(text in awkward_text()) {
        if let Ok(first) = text.parse::<Jid>() {
            prop_assert_eq!(&jid(first.as_str()), &first);
        }
        for prepare in [prepare_local, prepare_domain, prepare_resource] {
            if let Some(once) = prepare(&text) {
                let twice = prepare(&once);
                prop_assert_eq!(twice.as_ref(), Some(&once));
            }
        }
        if let Some(domain) = prepare_domain(&text) {
            let ascii = domain_to_ascii(&domain).expect("a prepared domain");
            let back = prepare_domain(&ascii);
            prop_assert_eq!(back.as_ref(), Some(&domain));
        }
    }

    #[test]
    fn a_prepared_address_falls_into_the_parts_it_was_made_of(
        local in proptest::option::of(awkward_text()),
        domain in "[a-z]{1,8}(\\.[a-z]{1,8})?",
        resource in proptest::option::of(awkward_text()),
    ) {
        if let Ok(made) = Jid::new(local.as_deref(), &domain, resource.as_deref()) {
            let read = jid(made.as_str());
            prop_assert_eq!(read.local(), made.local());
            prop_assert_eq!(read.domain(), made.domain());
            prop_assert_eq!(read.resource(), made.resource());
        }
    }
}

#[test]
fn every_character_prepares_to_itself_or_to_something_stable() {
    for c in '\0'..=char::MAX {
        let text = c.to_string();
        if let Some(local) = prepare_local(&text) {
            assert_eq!(prepare_local(&local).as_deref(), Some(&*local), "{c:?}");
        }
        if let Some(resource) = prepare_resource(&text) {
            assert_eq!(prepare_resource(&resource).as_deref(), Some(&*resource), "{c:?}");
        }
    }
}

#[test]
fn p10_a_part_over_the_limit_is_refused_before_and_after_preparation() {
    let (most, over) = ("a".repeat(MAX_PART_BYTES), "a".repeat(MAX_PART_BYTES + 1));
    assert!(prepare_local(&most).is_some() && prepare_resource(&most).is_some());
    assert!(prepare_local(&over).is_none() && prepare_resource(&over).is_none());
    // Lower case makes two bytes three, NFC makes three six.
    let (capital, nukta) = ("İ".repeat(511), "\u{958}".repeat(341));
    assert!(capital.len() <= MAX_PART_BYTES && nukta.len() <= MAX_PART_BYTES);
    assert!(prepare_local(&capital).is_none() && prepare_resource(&nukta).is_none());
    assert!(prepare_local(&"İ".repeat(300)).is_some());
    assert!(prepare_resource(&"\u{958}".repeat(100)).is_some());
    let name = |labels: usize| vec!["a".repeat(31); labels].join(".");
    assert!(prepare_domain(&name(7)).is_some(), "223 bytes");
    assert!(prepare_domain(&name(8)).is_none(), "255 bytes");
    assert!(prepare_domain(&"ü.".repeat(600)).is_none());
}
