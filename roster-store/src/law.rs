//! What roster sets, subscription stanzas, deletions and the like do, once for both backends.
//!
//! Each function runs inside a transaction of a backend, which lends its rows. Whatever can be refused is
//! refused before the first write.

mod blocking;
mod documents;
mod messages;
mod preferences;

pub(crate) use blocking::{BlockRows, block, unblock};
pub(crate) use documents::{DocumentRows, put_documents};
pub(crate) use messages::{MessageRows, put_messages};
pub(crate) use preferences::{PreferenceRows, set_preferences};

use crate::{
    Caps, Change, Item, Left, Notice, Parting, Profile, Removal, Reply, Result, Revoked, Roster,
    StoreError, Subscription, SubscriptionOutcome, Verb,
    subscription::{receive, send},
};
use std::collections::BTreeMap;
use xmpp_core::BareJid;

/// An account within one store.
pub(crate) type AccountId = i64;

/// The rows that a backend lends to one transaction.
pub(crate) trait Rows {
    /// The account at an address.
    fn account(&self, jid: &BareJid) -> Result<Option<AccountId>>;
    /// One item.
    fn item(&self, owner: AccountId, contact: &BareJid) -> Result<Option<Item>>;
    /// All items in order of JID.
    fn items(&self, owner: AccountId) -> Result<Vec<Item>>;
    /// How many items are listed, or are not.
    fn count_items(&self, owner: AccountId, listed: bool) -> Result<usize>;
    /// The accounts that have an item for this contact, in order of JID.
    fn holders(&self, contact: &BareJid) -> Result<Vec<(AccountId, BareJid)>>;
    /// The roster's version.
    fn version(&self, owner: AccountId) -> Result<u64>;
    /// What the listed items weigh together ([`weight`]).
    fn roster_bytes(&self, owner: AccountId) -> Result<usize>;
    /// Moves the roster's version on, and its weight from `was` by one item to `is`.
    fn next_version(&mut self, owner: AccountId, was: usize, is: usize) -> Result<u64>;
    /// Adds or replaces an item.
    fn put_item(&mut self, owner: AccountId, item: &Item) -> Result<()>;
    /// Takes an item away.
    fn drop_item(&mut self, owner: AccountId, contact: &BareJid) -> Result<()>;
    /// Keeps a subscription request; `version` orders them.
    fn put_request(
        &mut self,
        owner: AccountId,
        contact: &BareJid,
        version: u64,
        stanza: &[u8],
    ) -> Result<()>;
    /// Forgets a subscription request.
    fn drop_request(&mut self, owner: AccountId, contact: &BareJid) -> Result<()>;
    /// Takes an account away with all that it owns. No later account has one of its roster's versions.
    fn drop_account(&mut self, id: AccountId) -> Result<()>;
    /// Notes a revocation.
    fn revoke(&mut self, account: &BareJid, what: Revoked) -> Result<()>;
}

/// The account, or [`StoreError::NotFound`].
pub(crate) fn account(rows: &impl Rows, jid: &BareJid) -> Result<AccountId> {
    rows.account(jid)?.ok_or(StoreError::NotFound)
}

/// The whole roster.
pub(crate) fn roster(rows: &impl Rows, owner: &BareJid) -> Result<Roster> {
    let id = account(rows, owner)?;
    Ok(Roster { version: rows.version(id)?, items: rows.items(id)? })
}

/// What stanzas from and to an account are judged by.
pub(crate) fn profile(
    rows: &(impl BlockRows + PreferenceRows),
    owner: &BareJid,
) -> Result<Profile> {
    let id = account(rows, owner)?;
    Ok(Profile {
        roster: roster(rows, owner)?,
        blocked: rows.blocked(id)?,
        archive: rows.preferences(id)?,
    })
}

/// The last of an account as it is noted: its status no longer than the cap (XEP-0012).
pub(crate) fn left(caps: &Caps, mut left: Left) -> Left {
    if let Some(status) = &mut left.status {
        status.truncate(status.floor_char_boundary(caps.status_bytes));
    }
    left
}

/// Adds an item or changes its name and groups (RFC 6121 2.3, 2.4).
pub(crate) fn set_item(
    rows: &mut impl Rows,
    caps: &Caps,
    owner: &BareJid,
    contact: &BareJid,
    name: Option<&str>,
    groups: &[String],
) -> Result<Change> {
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    // RFC 6121 2.4.1: an empty name is no name.
    let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
    if groups.len() > caps.roster_groups {
        return Err(StoreError::Full("groups of a roster item"));
    }
    if name.iter().chain(&groups).any(|text| text.len() > caps.roster_text) {
        return Err(StoreError::Full("bytes of a roster name"));
    }
    let id = account(rows, owner)?;
    let before = rows.item(id, contact)?;
    let subscription = before.as_ref().map(|item| item.subscription).unwrap_or_default();
    let after = Item { jid: contact.clone(), name, groups, subscription, listed: true };
    let step = Step { owner, id, contact, before, after: Some(after) };
    step.check(rows, caps)?;
    step.write(rows, &[])
}

/// Removes an item and ends what it stood for (RFC 6121 2.5).
pub(crate) fn remove_item(
    rows: &mut impl Rows,
    owner: &BareJid,
    contact: &BareJid,
) -> Result<Removal> {
    let id = account(rows, owner)?;
    let item = rows.item(id, contact)?.filter(|item| item.listed).ok_or(StoreError::NotFound)?;
    let verbs = farewell(item.subscription);
    let theirs = match rows.account(contact)? {
        // One's own address has one item, which goes anyway.
        Some(other) if other != id => rows.item(other, owner)?.map(|item| (other, item)),
        _ => None,
    };
    let removed = Step { owner, id, contact, before: Some(item), after: None };
    let change = removed.write(rows, &[])?;
    let parting = part(rows, owner, contact, &verbs, theirs, Subscription::clone)?;
    Ok(Removal { owner: change, parting })
}

/// Applies a subscription stanza to both rosters (RFC 6121 3, Appendix A).
pub(crate) fn subscription(
    rows: &mut impl Rows,
    caps: &Caps,
    verb: Verb,
    sender: &BareJid,
    recipient: &BareJid,
    stanza: &[u8],
) -> Result<SubscriptionOutcome> {
    let mut outcome = SubscriptionOutcome {
        sender: None,
        recipient: None,
        route: false,
        deliver: false,
        reply: None,
    };
    if sender == recipient {
        return Ok(outcome);
    }
    // Whoever it is for: the answer must not tell whether there is such an account (RFC 6121 8.1).
    if verb == Verb::Subscribe && stanza.len() > caps.request_bytes {
        return Err(StoreError::Full("bytes of a subscription request"));
    }
    // The steps are made and checked first and written together.
    let mut sent = None;
    outcome.route = true; // a sender elsewhere has routed it
    if let Some(id) = rows.account(sender)? {
        let before = rows.item(id, recipient)?;
        let (route, after) = send(verb, subscription_of(&before));
        outcome.route = route;
        sent = Some(Step::new(sender, id, recipient, before, after));
    }
    let mut received = None;
    let mut answered = None;
    if outcome.route
        && let Some(id) = rows.account(recipient)?
    {
        let before = rows.item(id, sender)?;
        let got = receive(verb, subscription_of(&before));
        outcome.deliver = got.deliver;
        received = Some(Step::new(recipient, id, sender, before, got.after));
        outcome.reply = got.reply.map(|verb| Reply { verb, change: None, deliver: false });
        if let (Some(reply), Some(sent)) = (&mut outcome.reply, &sent) {
            let got = receive(reply.verb, subscription_of(&sent.after));
            reply.deliver = got.deliver;
            answered = Some(Step::new(sender, sent.id, recipient, sent.after.clone(), got.after));
        }
    }
    for step in [&sent, &received].into_iter().flatten() {
        step.check(rows, caps)?;
    }
    let mut write = |step: Option<Step<'_>>| {
        step.filter(Step::changes).map(|step| step.write(rows, stanza)).transpose()
    };
    outcome.sender = write(sent)?;
    faults::site!("one-roster-changed");
    outcome.recipient = write(received)?;
    let change = write(answered)?;
    if let Some(reply) = &mut outcome.reply {
        reply.change = change;
    }
    Ok(outcome)
}

/// Applies a subscription request to the sender's roster alone.
pub(crate) fn ask_in_vain(
    rows: &mut impl Rows,
    caps: &Caps,
    sender: &BareJid,
    recipient: &BareJid,
) -> Result<Option<Change>> {
    let id = account(rows, sender)?;
    let before = rows.item(id, recipient)?;
    let (_, after) = send(Verb::Subscribe, subscription_of(&before));
    let step = Step::new(sender, id, recipient, before, after);
    step.check(rows, caps)?;
    step.changes().then(|| step.write(rows, &[])).transpose()
}

/// Deletes an account, and what others had granted to its address.
pub(crate) fn delete_account(rows: &mut impl Rows, owner: &BareJid) -> Result<Vec<Parting>> {
    let id = account(rows, owner)?;
    let mut contacts: BTreeMap<BareJid, (Subscription, Option<(AccountId, Item)>)> =
        rows.items(id)?.into_iter().map(|item| (item.jid, (item.subscription, None))).collect();
    for (other, jid) in rows.holders(owner)? {
        if let Some(item) = rows.item(other, owner)? {
            contacts.entry(jid).or_default().1 = Some((other, item));
        }
    }
    contacts.remove(owner);
    let mut partings = Vec::new();
    for (contact, (mut ours, theirs)) in contacts {
        // What stands on either side ends, should the two have disagreed.
        if let Some((_, item)) = &theirs {
            let s = item.subscription;
            ours.to |= s.from || s.pending_in;
            ours.from |= s.to || s.pending_out;
        }
        let parting = part(rows, owner, &contact, &farewell(ours), theirs, |after| Subscription {
            approved: false, // it was meant for somebody who is no more
            ..*after
        })?;
        if parting.change.is_some() {
            rows.revoke(&contact, Revoked::Subscriptions)?;
        }
        if parting.change.is_some() || !parting.notices.is_empty() {
            partings.push(parting);
        }
    }
    rows.drop_account(id)?;
    rows.revoke(owner, Revoked::Account)?;
    Ok(partings)
}

/// What the server says for an owner whose item goes (RFC 6121 2.5.2). Requests count too: an answer that comes
/// later would leave the contact with half a subscription.
fn farewell(s: Subscription) -> Vec<Verb> {
    let mut verbs = Vec::new();
    if s.to || s.pending_out {
        verbs.push(Verb::Unsubscribe);
    }
    if s.from || s.pending_in {
        verbs.push(Verb::Unsubscribed);
    }
    verbs
}

/// Says the verbs to the contact, whose item for the owner is `theirs` where it is here.
fn part(
    rows: &mut impl Rows,
    owner: &BareJid,
    contact: &BareJid,
    verbs: &[Verb],
    theirs: Option<(AccountId, Item)>,
    finish: impl Fn(&Subscription) -> Subscription,
) -> Result<Parting> {
    let mut state = theirs.as_ref().map(|(_, item)| item.subscription).unwrap_or_default();
    let mut notices = Vec::with_capacity(verbs.len());
    for &verb in verbs {
        let got = receive(verb, state);
        state = got.after;
        notices.push(Notice { verb, deliver: got.deliver });
    }
    let change = match theirs {
        Some((id, item)) => {
            let step = Step::new(contact, id, owner, Some(item), finish(&state));
            step.changes().then(|| step.write(rows, &[])).transpose()?
        }
        None => None,
    };
    Ok(Parting { contact: contact.clone(), change, notices })
}

/// What an item counts for in its roster's bytes; nothing until it is listed.
fn weight(item: &Option<Item>) -> usize {
    item.as_ref().filter(|item| item.listed).map_or(0, |item| {
        let texts = item.name.iter().chain(&item.groups).map(String::len);
        item.jid.as_str().len() + texts.sum::<usize>()
    })
}

fn subscription_of(item: &Option<Item>) -> Subscription {
    item.as_ref().map(|item| item.subscription).unwrap_or_default()
}

/// One item's way from one state to the next, not written yet.
struct Step<'a> {
    owner: &'a BareJid,
    id: AccountId,
    contact: &'a BareJid,
    before: Option<Item>,
    after: Option<Item>,
}

impl<'a> Step<'a> {
    fn new(
        owner: &'a BareJid,
        id: AccountId,
        contact: &'a BareJid,
        before: Option<Item>,
        s: Subscription,
    ) -> Self {
        let mut after = before.clone().unwrap_or_else(|| Item {
            jid: contact.clone(),
            name: None,
            groups: Vec::new(),
            subscription: Subscription::default(),
            listed: false,
        });
        after.subscription = s;
        // RFC 6121 3.1.3: a request alone lists nobody. Whatever the owner has a part in does.
        after.listed |= s.to || s.from || s.pending_out || s.approved;
        let after = Some(after).filter(|item| item.listed || s.pending_in);
        Self { owner, id, contact, before, after }
    }

    fn changes(&self) -> bool {
        self.before != self.after
    }

    /// Whether a request begins to wait.
    fn asks(&self) -> bool {
        !subscription_of(&self.before).pending_in && subscription_of(&self.after).pending_in
    }

    /// Whether there is room for it.
    fn check(&self, rows: &impl Rows, caps: &Caps) -> Result<()> {
        let listed = |item: &Option<Item>| item.as_ref().is_some_and(|item| item.listed);
        let (was, is) = (listed(&self.before), listed(&self.after));
        if is && !was && rows.count_items(self.id, true)? >= caps.roster_items {
            return Err(StoreError::Full("roster items"));
        }
        let begins = self.before.is_none() && self.after.is_some();
        if begins && !is && rows.count_items(self.id, false)? >= caps.requests {
            return Err(StoreError::Full("subscription requests"));
        }
        let (was, is) = (weight(&self.before), weight(&self.after));
        if is > was && rows.roster_bytes(self.id)? + is - was > caps.roster_bytes {
            return Err(StoreError::Full("bytes of a roster"));
        }
        Ok(())
    }

    fn write(self, rows: &mut impl Rows, stanza: &[u8]) -> Result<Change> {
        let version = rows.next_version(self.id, weight(&self.before), weight(&self.after))?;
        match &self.after {
            Some(item) => rows.put_item(self.id, item)?,
            None => rows.drop_item(self.id, self.contact)?,
        }
        if self.asks() {
            rows.put_request(self.id, self.contact, version, stanza)?;
        } else if !subscription_of(&self.after).pending_in
            && subscription_of(&self.before).pending_in
        {
            rows.drop_request(self.id, self.contact)?;
        }
        Ok(Change {
            owner: self.owner.clone(),
            version,
            jid: self.contact.clone(),
            before: self.before,
            after: self.after,
        })
    }
}
