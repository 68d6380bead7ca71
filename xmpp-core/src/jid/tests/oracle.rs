//! What other implementations say of the same texts.
//!
//! `precis-profiles` knows the same profiles on Unicode 6.3: character by character it must agree wherever
//! that version knew the character. `jid` prepares with stringprep (RFC 6122): it must agree on ASCII and
//! on everyday letters. It differs on purpose on: trailing dots (kept there), A-labels (kept apart there), characters newer than
//! Unicode 3.2, symbols and emoji in local parts and domains (RFC 7622 refuses them), compatibility forms
//! (mapped there, refused or kept here), and characters that stringprep deletes (U+00AD, joiners).

use precis_core::{
    DerivedPropertyValue as Derived, FreeformClass, IdentifierClass, StringClass,
    profile::PrecisFastInvocation,
};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use proptest::prelude::*;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::super::*;
use crate::precis::{is_identifier, opaque_string};

/// Valid by the tables, but its normal form is U+00B7, which alone is not: the result of preparing it
/// could not be prepared again, and we refuse it.
const UNSTABLE: [char; 1] = ['\u{387}'];

#[test]
fn p10_every_old_character_has_the_property_of_the_published_tables() {
    let (identifier, freeform) = (IdentifierClass::default(), FreeformClass::default());
    let mut differing = Vec::new();
    for c in ('\0'..=char::MAX).filter(|c| c.general_category() != GeneralCategory::Unassigned) {
        let text = c.to_string();
        for (published, ours) in [
            (identifier.get_value_from_char(c), is_identifier(&text)),
            (freeform.get_value_from_char(c), opaque_string(&text).is_some()),
        ] {
            let expected = match published {
                Derived::PValid | Derived::SpecClassPval => true,
                Derived::SpecClassDis | Derived::Disallowed => false,
                // Newer than the tables, or decided by the neighbours.
                Derived::Unassigned | Derived::ContextJ | Derived::ContextO => continue,
            };
            if ours != expected {
                differing.push(c);
            }
        }
    }
    differing.dedup();
    assert_eq!(differing, UNSTABLE);
}

/// Letters, marks and signs that Unicode 6.3 knew, those with contextual rules among them.
fn old_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        prop::char::range('!', '~'),
        prop::char::range('\u{a1}', '\u{24f}'),
        prop::char::range('\u{370}', '\u{3ff}'),
        prop::char::range('\u{5d0}', '\u{5f4}'),
        prop::char::range('\u{620}', '\u{6fc}'),
        prop::char::range('\u{905}', '\u{94d}'),
        prop::char::range('\u{3041}', '\u{30ff}'),
        prop::char::range('\u{ff01}', '\u{ffdc}'),
        prop::sample::select(
            &['\u{200c}', '\u{200d}', '\u{30fb}', '\u{b7}', 'l', '\u{660}', '\u{6f0}'][..]
        ),
    ];
    prop::collection::vec(character, 1..6).prop_map(String::from_iter).prop_filter(
        "known to the tables",
        |text| {
            let class = FreeformClass::default();
            text.chars().all(|c| class.get_value_from_char(c) != Derived::Unassigned)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn p10_profiles_agree_with_their_other_implementation(text in old_text()) {
        let theirs = OpaqueString::enforce(text.as_str()).ok()
            .filter(|once| OpaqueString::enforce(&**once).as_ref() == Ok(once));
        prop_assert_eq!(opaque_string(&text), theirs);
        let theirs = UsernameCaseMapped::enforce(text.as_str()).ok()
            .filter(|once| UsernameCaseMapped::enforce(&**once).as_ref() == Ok(once))
            .filter(|name| !name.contains(['"', '&', '\'', '/', ':', '<', '>', '@']));
        prop_assert_eq!(prepare_local(&text), theirs);
    }

    #[test]
    fn p10_ascii_addresses_agree_with_the_jid_crate(
        text in "[a-zA-Z0-9._%+!#$'&\" -]{0,6}@?[a-zA-Z0-9.-]{0,9}[a-zA-Z0-9](/[ -~]{0,6})?",
    ) {
        // The other one refuses `--` in the third and fourth place, which names in use have.
        prop_assume!(!text.contains("--"));
        let ours = text.parse::<Jid>();
        match (ours, jid::Jid::new(&text)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.local(), theirs.node().map(|node| node.as_str()));
                prop_assert_eq!(ours.resource(), theirs.resource().map(|resource| resource.as_str()));
                let domain = theirs.domain().as_str();
                let a_label = domain.contains("xn--");
                prop_assert!(a_label || ours.domain() == domain);
            }
            (Ok(ours), Err(error)) => prop_assert!(false, "{ours} is refused there: {error}"),
            // Ours refuses more: what is no domain name.
            (Err(JidError::Domain), Ok(theirs)) => {
                prop_assert_eq!(prepare_domain(theirs.domain().as_str()), None);
            }
            (Err(error), Ok(theirs)) => prop_assert!(false, "{theirs}: {error}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn p10_everyday_letters_agree_with_the_jid_crate(
        text in "[a-zà-öø-ýа-яα-ο\u{5d0}-\u{5ea}一-龥]{1,6}@[a-zà-öø-ýа-я一-龥]{1,6}\\.de/[ a-zA-Zà-ý一-龥]{1,6}",
    ) {
        if let Ok(ours) = text.parse::<Jid>() {
            let theirs = jid::Jid::new(&text).map(|jid| jid.to_string());
            prop_assert_eq!(Ok(ours.to_string()), theirs.map_err(|error| error.to_string()));
        }
    }
}
