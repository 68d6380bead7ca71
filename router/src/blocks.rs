//! Whom an account has blocked (XEP-0191): the one predicate, and what everybody sees when a list changes.
//!
//! The predicate is [`Blocks::cover`]. It is asked of all that comes in by the law of delivery (`delivery.rs`, its first
//! rule), of all that goes out by `take` (`route.rs`), and of presence that the server sends for an account by
//! `send_presence` (`presence.rs`). Where the list is empty that is one branch.

use crate::{
    Router, Turn, View,
    account::{Account, State},
    presence::bare_presence,
    route::After,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};
use xmpp_core::{
    BareJid, Jid, Stanza, StanzaError,
    error::{ErrorAction, StanzaCondition},
    stanza::PresenceType,
};

/// A block list as it is at one moment; cloning bumps a counter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks(Option<Arc<List>>);

#[derive(Debug)]
struct List {
    owner: BareJid,
    addresses: HashSet<Jid>,
    /// The accounts of which it names a resource.
    in_part: HashSet<BareJid>,
}

impl Blocks {
    pub(crate) fn new(owner: &BareJid, addresses: HashSet<Jid>) -> Self {
        if addresses.is_empty() {
            return Self(None);
        }
        let in_part = addresses.iter().filter(|jid| !jid.is_bare()).map(Jid::to_bare).collect();
        Self(Some(Arc::new(List { owner: owner.clone(), addresses, in_part })))
    }

    /// Whether this address is blocked (XEP-0191 6): by itself, by its account or by its domain.
    pub(crate) fn cover(&self, other: &Jid) -> bool {
        let Some(list) = &self.0 else { return false };
        let named = |address: &str| list.addresses.contains(address);
        // XEP-0191 5: one's own sessions never are, whatever the list says.
        other.bare_str() != list.owner.as_str()
            && (named(other.as_str()) || named(other.bare_str()) || named(other.domain()))
    }

    /// Whether it names a resource of this account.
    pub(crate) fn cover_in_part(&self, account: &str) -> bool {
        self.0.as_ref().is_some_and(|list| list.in_part.contains(account))
    }

    /// The same with these and without those.
    fn changed(&self, owner: &BareJid, with: &[Jid], without: &[Jid]) -> Self {
        let mut list = self.0.as_ref().map(|list| list.addresses.clone()).unwrap_or_default();
        list.extend(with.iter().cloned());
        list.retain(|jid| !without.contains(jid));
        Self::new(owner, list)
    }

    /// Whether an address is blocked here and was not before.
    fn newly_cover(&self, before: &Self, other: &Jid) -> bool {
        self.cover(other) && !before.cover(other)
    }
}

/// What those get who write to somebody they have blocked (XEP-0191 3.3).
pub(crate) fn blocked() -> StanzaError {
    StanzaError {
        action: ErrorAction::Cancel,
        application: Some("<blocked xmlns='urn:xmpp:blocking:errors'/>"),
        ..StanzaError::new(StanzaCondition::NotAcceptable)
    }
}

impl Router {
    /// Takes over a change that the store has made to an account's block list (what was not there and is, what was there
    /// and is not), and tells the sessions, under the account's guard. Then those who are blocked now and the account see each other go (XEP-0191 3.3, XEP-0016 2.10),
    /// and those who are not any more and the account see each other again (XEP-0191 3.4): as far as they are subscribed,
    /// or were told directly.
    pub async fn update_blocked<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        added: &[Jid],
        removed: &[Jid],
        tell: impl FnOnce(&mut View<'_>) -> T,
    ) -> T {
        turn.unchanged();
        let account = turn.account.clone();
        let (was, is, lost, won) = {
            let state = account.guard();
            // All of them see what one of them did.
            state.seats.iter().for_each(|seat| seat.post.ask());
            // A read may have brought the change, or not.
            let was = state.blocks.changed(account.jid(), removed, added);
            let is = state.blocks.changed(account.jid(), added, removed);
            let (lost, won) = (state.newly_blocked(&was, &is), state.newly_blocked(&is, &was));
            (was, is, lost, won)
        };
        // What was seen of them is looked at on both sides of the change, since they come and go meanwhile.
        let mut gone = self.seen_by(&account, &lost);
        let mut after = After::default();
        let (result, goodbyes) = {
            let mut state = account.guard();
            state.put_blocks(is.clone());
            let goodbyes = state.say_goodbye(&was, &is, &lost);
            let result = tell(&mut View { state: &mut state });
            self.clear_overflowed(&account, &mut state, &mut after);
            (result, goodbyes)
        };
        for (presence, to) in goodbyes {
            self.send_presence(&Blocks::default(), &presence, &to, &mut after);
        }
        gone.extend(self.seen_by(&account, &lost));
        Self::show_gone(&account, gone);
        self.finish(after).await;
        for contact in &won {
            let relation = account.relation(&contact.to_bare());
            if relation.from {
                self.share_presence(&account, contact).await;
            }
            if relation.to {
                let viewers = account.guard().viewers();
                self.look(account.jid(), &is, contact, &viewers);
            }
        }
        result
    }

    /// The sessions at these addresses whose presence the account sees.
    fn seen_by(&self, account: &Account, addresses: &BTreeSet<Jid>) -> BTreeSet<Jid> {
        let mut seen = BTreeSet::new();
        if addresses.is_empty() {
            return seen;
        }
        let viewers = account.guard().viewers();
        for address in addresses {
            let Some(contact) = self.present(address.bare_str()) else { continue };
            let subscribed = account.relation(&address.to_bare()).to;
            let state = contact.guard();
            let at = state.seats.iter().filter(|seat| address.is_bare() || seat.jid == *address);
            let visible = at.filter(|seat| {
                (subscribed && seat.is_available())
                    || viewers.iter().any(|viewer| seat.has_told(&viewer.jid))
            });
            seen.extend(visible.map(|seat| seat.jid.clone()));
        }
        seen
    }

    /// Shows an account's own sessions that these are gone (XEP-0016 2.10).
    fn show_gone(account: &Account, gone: BTreeSet<Jid>) {
        let state = account.guard();
        for jid in gone {
            let presence = bare_presence(PresenceType::Unavailable, jid);
            let presence = presence.to(account.jid().as_jid().clone());
            for seat in state.seats.iter().filter(|seat| seat.is_available()) {
                seat.answer(presence.clone());
            }
        }
    }
}

impl State {
    /// Whether the sender of a stanza on its way here is not blocked.
    pub(crate) fn hears(&self, stanza: &Stanza) -> bool {
        !stanza.head.from.as_ref().is_some_and(|from| self.blocks.cover(from))
    }

    /// The list is this from now on; a read that is under way is not believed.
    fn put_blocks(&mut self, blocks: Blocks) {
        self.blocks = blocks;
        self.overtake_reads();
    }

    /// Who is affected by a list that takes the place of another, of those it concerns: the contacts, and whoever the
    /// list names. A resource is not named besides its account.
    fn newly_blocked(&self, was: &Blocks, is: &Blocks) -> BTreeSet<Jid> {
        let named = is.0.iter().flat_map(|list| &list.addresses);
        let named = named.filter(|jid| jid.local().is_some());
        let contacts = self.contacts.keys().map(BareJid::as_jid);
        let all = contacts.chain(named).filter(|jid| is.newly_cover(was, jid));
        let (mut all, resources): (BTreeSet<_>, BTreeSet<_>) =
            all.cloned().partition(|jid: &Jid| jid.is_bare());
        let alone = resources.into_iter().filter(|jid| !all.contains(jid.bare_str()));
        let alone: Vec<_> = alone.collect();
        all.extend(alone);
        all
    }

    /// What the sessions have to say to those who are blocked now (XEP-0191 3.3), and to whom: to subscribers and to those
    /// whom they had told, who are told no more.
    fn say_goodbye(
        &mut self,
        was: &Blocks,
        is: &Blocks,
        lost: &BTreeSet<Jid>,
    ) -> Vec<(Stanza, Jid)> {
        let mut goodbyes = Vec::new();
        for seat in &mut self.seats {
            let available = seat.is_available();
            let told: HashSet<&str> = seat.directed.iter().map(Jid::as_str).collect();
            let mut hearers: BTreeSet<Jid> = BTreeSet::new();
            for jid in lost {
                let subscriber = self.contacts.get(jid.bare_str()).is_some_and(|r| r.from);
                if (available && subscriber)
                    || told.contains(jid.as_str())
                    || told.contains(jid.bare_str())
                {
                    hearers.insert(jid.clone());
                }
            }
            seat.directed.retain(|told| {
                if is.newly_cover(was, told) && !hearers.contains(told.bare_str()) {
                    hearers.insert(told.clone());
                }
                !is.cover(told)
            });
            let goodbye = bare_presence(PresenceType::Unavailable, seat.jid.clone());
            goodbyes.extend(hearers.into_iter().map(|jid| (goodbye.clone().to(jid.clone()), jid)));
        }
        goodbyes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        text.parse().unwrap()
    }

    fn blocks(addresses: &[&str]) -> Blocks {
        Blocks::new(
            &jid("juliet@capulet.lit").to_bare(),
            addresses.iter().map(|a| jid(a)).collect(),
        )
    }

    /// XEP-0191 6, a row per form of the address that is listed.
    #[test]
    fn xep0191_6_jid_matching() {
        const OTHERS: [&str; 6] = [
            "romeo@montague.lit/orchard",
            "romeo@montague.lit/street",
            "romeo@montague.lit",
            "montague.lit/orchard",
            "montague.lit",
            "romeo@house.montague.lit/orchard",
        ];
        for (listed, covered) in [
            ("romeo@montague.lit/orchard", [true, false, false, false, false, false]),
            ("romeo@montague.lit", [true, true, true, false, false, false]),
            ("montague.lit/orchard", [false, false, false, true, false, false]),
            ("montague.lit", [true, true, true, true, true, false]),
        ] {
            let blocks = blocks(&[listed, "paris@capulet.lit"]);
            let found = OTHERS.map(|other| blocks.cover(&jid(other)));
            assert_eq!(found, covered, "{listed} listed");
            assert!(!Blocks::default().cover(&jid(listed)));
        }
    }

    #[test]
    fn xep0191_5_ones_own_sessions_are_never_blocked() {
        let blocks = blocks(&["juliet@capulet.lit", "juliet@capulet.lit/balcony", "capulet.lit"]);
        assert!(!blocks.cover(&jid("juliet@capulet.lit/balcony")));
        assert!(!blocks.cover(&jid("juliet@capulet.lit")));
        assert!(blocks.cover(&jid("nurse@capulet.lit/chamber")));
        assert!(blocks.cover(&jid("capulet.lit")));
    }
}
