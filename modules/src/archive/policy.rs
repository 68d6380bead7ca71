//! Whether a conversation is archived (XEP-0441).

use roster_store::{Policy, Preferences};
use router::Relation;
use xmpp_core::Jid;

/// What an account wants archived; in the router's memory with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archiving(Preferences);

impl Archiving {
    /// What the account has said, or else this default.
    pub(crate) fn new(said: Option<Preferences>, default: Policy) -> Self {
        let silent = || Preferences { default, always: Vec::new(), never: Vec::new() };
        Self(said.unwrap_or_else(silent))
    }

    /// What it says.
    pub(crate) fn preferences(&self) -> &Preferences {
        &self.0
    }

    /// Whether messages to or from this address are archived; `relation`: the account's to it (2.3).
    pub(crate) fn wants(&self, other: &Jid, relation: Relation) -> bool {
        let Preferences { default, always, never } = &self.0;
        let listed = |list: &[Jid]| {
            let is_here =
                |jid: &str| list.binary_search_by(|listed| listed.as_str().cmp(jid)).is_ok();
            is_here(other.as_str()) || is_here(other.bare_str())
        };
        if listed(never) {
            return false;
        }
        listed(always)
            || match default {
                Policy::Always => true,
                Policy::Roster => relation.listed,
                Policy::Never => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        text.parse().expect("an address")
    }

    #[test]
    fn xep0441_2_3_lists_go_before_the_default_and_a_bare_address_before_its_resources() {
        let listed = Relation { listed: true, ..Relation::default() };
        let stranger = Relation::default();
        for (default, of_listed, of_stranger) in [
            (Policy::Always, true, true),
            (Policy::Roster, true, false),
            (Policy::Never, false, false),
        ] {
            let said = Preferences {
                default,
                always: vec![jid("a@x"), jid("b@x/1")],
                never: vec![jid("c@x"), jid("d@x/1")],
            };
            let archiving = Archiving::new(Some(said), Policy::Always);
            assert!(
                archiving.wants(&jid("a@x"), stranger) && archiving.wants(&jid("a@x/2"), stranger)
            );
            assert!(archiving.wants(&jid("b@x/1"), stranger));
            assert!(
                !archiving.wants(&jid("c@x"), listed) && !archiving.wants(&jid("c@x/2"), listed)
            );
            assert!(!archiving.wants(&jid("d@x/1"), listed));
            for other in ["b@x/2", "b@x", "d@x/2", "d@x", "x", "e@x"] {
                assert_eq!(archiving.wants(&jid(other), listed), of_listed, "{default:?} {other}");
                assert_eq!(
                    archiving.wants(&jid(other), stranger),
                    of_stranger,
                    "{default:?} {other}"
                );
            }
        }
        for default in [Policy::Always, Policy::Never] {
            let silent = Archiving::new(None, default);
            assert_eq!(silent.wants(&jid("a@x"), listed), default == Policy::Always);
        }
    }
}
