//! Rosters and subscriptions (RFC 6121 2 and 3).

use crate::{BoxFuture, Result};
use xmpp_core::BareJid;

/// The state of a subscription (RFC 6121 Appendix A): what is agreed, and what is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The owner gets the contact's presence.
    pub to: bool,
    /// The contact gets the owner's presence.
    pub from: bool,
    /// The owner has asked (`ask='subscribe'`, Pending Out).
    pub pending_out: bool,
    /// The contact has asked and waits for an answer (Pending In): not shown in the roster.
    pub pending_in: bool,
    /// Approved before it was asked (RFC 6121 3.4); the request that comes uses it up.
    pub approved: bool,
}

/// One entry of a roster (RFC 6121 2.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The contact.
    pub jid: BareJid,
    /// The owner's name for it, never empty.
    pub name: Option<String>,
    /// Groups, sorted, without duplicates.
    pub groups: Vec<String>,
    /// The subscription.
    pub subscription: Subscription,
    /// Whether the roster shows it: false for a contact that only has a request pending in (RFC 6121 A.1).
    pub listed: bool,
}

impl Item {
    /// Whether two states of an item look alike to clients.
    fn looks_like(&self, other: &Self) -> bool {
        let shown = |s: Subscription| Subscription { pending_in: false, ..s };
        self.listed == other.listed
            && self.name == other.name
            && self.groups == other.groups
            && shown(self.subscription) == shown(other.subscription)
    }
}

/// A change to one roster, numbered without gaps per owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The roster's owner.
    pub owner: BareJid,
    /// The roster's version after it (RFC 6121 2.6).
    pub version: u64,
    /// The contact.
    pub jid: BareJid,
    /// The item before, if there was one.
    pub before: Option<Item>,
    /// The item after; `None`: removed.
    pub after: Option<Item>,
}

impl Change {
    /// Whether the roster as clients see it changed: a push is due (RFC 6121 2.1.6). After a roster set it is due in
    /// any case (RFC 6121 2.4.2).
    pub fn is_visible(&self) -> bool {
        let listed = |item: &Option<Item>| item.as_ref().is_some_and(|i| i.listed);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => !before.looks_like(after),
            (before, after) => listed(before) != listed(after),
        }
    }
    /// The subscription before and after; all false where there was no item.
    pub fn subscription(&self) -> (Subscription, Subscription) {
        let of = |item: &Option<Item>| item.as_ref().map(|i| i.subscription).unwrap_or_default();
        (of(&self.before), of(&self.after))
    }
}

/// A whole roster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The version. A new account's is one that no earlier account at its address had (RFC 6121 2.6).
    pub version: u64,
    /// All items in order of JID, unlisted ones too.
    pub items: Vec<Item>,
}

/// The four subscription stanzas (RFC 6121 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Verb {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// What a subscription stanza did, both accounts in one transaction. Show and push in this order: the stanza to the
/// recipient (if `deliver`), `recipient`, `sender`, then the `reply`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionOutcome {
    /// The sender's roster, where it is here and changed.
    pub sender: Option<Change>,
    /// The recipient's roster, where it is here and changed.
    pub recipient: Option<Change>,
    /// Whether the stanza goes on to the recipient's server (RFC 6121 A.2): what to do for a recipient in another domain.
    pub route: bool,
    /// Whether it is shown to the recipient's clients here (RFC 6121 A.3).
    pub deliver: bool,
    /// What the recipient's server answers at once on its behalf.
    pub reply: Option<Reply>,
}

/// An answer by the server on behalf of an account here, from its bare JID to the sender's: `subscribed`, because it was
/// approved before or agreed already (RFC 6121 3.1.3, 3.4.2), or `unsubscribed`, which confirms `unsubscribe` (A.3.2).
/// After `subscribed` the recipient's presence follows (RFC 6121 3.1.5). To another domain it is sent; here it has been
/// applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// [`Verb::Subscribed`] or [`Verb::Unsubscribed`].
    pub verb: Verb,
    /// The second change to the sender's roster, where it is here and changed.
    pub change: Option<Change>,
    /// Whether the reply is shown to the sender's clients here (RFC 6121 A.3.3, A.3.4).
    pub deliver: bool,
}

/// A subscription stanza that the server sends on an account's behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// [`Verb::Unsubscribe`] or [`Verb::Unsubscribed`].
    pub verb: Verb,
    /// Whether it is shown to the contact's clients, where the contact is here (RFC 6121 A.3). To another domain it is
    /// sent in any case.
    pub deliver: bool,
}

/// What ends for a contact when its item is removed or the account behind it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The contact.
    pub contact: BareJid,
    /// The contact's roster, where it is here and changed.
    pub change: Option<Change>,
    /// What the server says to the contact on the owner's behalf, in this order, before the change is pushed.
    pub notices: Vec<Notice>,
}

/// What removing an item did (RFC 6121 2.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The owner's roster.
    pub owner: Change,
    /// What ended for the contact.
    pub parting: Parting,
}

/// A request that waits: who asks, and the stanza as it was received.
pub type Request = (BareJid, Vec<u8>);

/// Rosters and subscriptions. An "account here" is one that this store has; an operation of an owner that it does not have
/// fails with [`StoreError::NotFound`](crate::StoreError::NotFound). Reads see every write queued before them and none
/// queued after.
pub trait Rosters: Send + Sync {
    /// The whole roster.
    fn roster(&self, owner: &BareJid) -> BoxFuture<Result<Roster>>;
    /// Adds an item or changes its name and groups; the subscription is the server's (RFC 6121 2.3, 2.4). An empty name is no
    /// name. The change has a number even if nothing differs.
    fn set_item(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> BoxFuture<Result<Change>>;
    /// Removes an item; both directions of the subscription end, and requests with them, on a contact's side here too
    /// (RFC 6121 2.5). [`StoreError::NotFound`](crate::StoreError::NotFound) where it is not listed.
    fn remove_item(&self, owner: &BareJid, contact: &BareJid) -> BoxFuture<Result<Removal>>;
    /// Applies a subscription stanza from `sender` to `recipient` to the rosters of those of the two that are accounts here,
    /// both or neither. `stanza`: the request as it is kept for the recipient (RFC 6121 3.1.3), for `Subscribe`; the
    /// first of several is kept.
    ///
    /// To oneself it does nothing: an account sees its own presence anyway. To an address of ours without an account the
    /// sender's roster changes as for somebody who does not answer (RFC 6121 8.5.1), so that it tells nobody who
    /// exists.
    fn subscription(
        &self,
        verb: Verb,
        sender: &BareJid,
        recipient: &BareJid,
        stanza: Vec<u8>,
    ) -> BoxFuture<Result<SubscriptionOutcome>>;
    /// A subscription request that its recipient does not hear, having blocked the sender (XEP-0191 3.3): the sender's
    /// roster changes as for somebody who does not answer, the recipient's does not.
    fn ask_in_vain(
        &self,
        sender: &BareJid,
        recipient: &BareJid,
    ) -> BoxFuture<Result<Option<Change>>>;
    /// The requests that wait for the owner's answer, oldest first.
    fn requests(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Request>>>;
}
