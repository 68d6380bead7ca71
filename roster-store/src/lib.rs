//! What must outlive a restart: accounts, rosters, offline messages.
//!
//! The traits name XMPP operations, not SQL. Two backends stand behind them, [`sqlite`] and [`memory`],
//! and one contract suite tests both. A write is **queued when the method is called**, in call order, and its
//! future completes when the row is committed (and flushed, see [`Durability`]); dropping the future does not undo it.

use std::{future::Future, pin::Pin, sync::Arc, time::SystemTime};
use xmpp_core::{BareJid, Jid, sasl::Credentials};

/// A boxed future: stores are trait objects.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;
/// What every operation gives.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The account (or item) does not exist.
    #[error("not found")]
    NotFound,
    /// It exists already.
    #[error("exists already")]
    Exists,
    /// A cap is reached ([`Caps`]).
    #[error("over the limit of {0}")]
    Full(&'static str),
    /// The store itself failed: nothing was changed.
    #[error("the store failed: {0}")]
    Failed(Arc<str>),
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk (SQLite `synchronous=FULL`).
    Disk,
    /// Survives a kill of the process, not a power cut (`synchronous=NORMAL`).
    Process,
}

/// Limits of what one account may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Roster items, pending requests included.
    pub roster_items: usize,
    /// Groups of one roster item.
    pub roster_groups: usize,
    /// Offline messages.
    pub offline_messages: usize,
    /// Bytes of offline messages.
    pub offline_bytes: usize,
}

/// Accounts and what they authenticate by.
pub trait Accounts: Send + Sync {
    /// The credentials; `None` where there is no such account.
    fn credentials(&self, account: &BareJid) -> BoxFuture<Result<Option<Credentials>>>;
    /// Whether there is such an account.
    fn exists(&self, account: &BareJid) -> BoxFuture<Result<bool>>;
    /// A new account ([`StoreError::Exists`]).
    fn create(&self, account: &BareJid, credentials: Credentials) -> BoxFuture<Result<()>>;
    /// Another password ([`StoreError::NotFound`]).
    fn set_credentials(&self, account: &BareJid, credentials: Credentials)
    -> BoxFuture<Result<()>>;
    /// Deletes the account and all that it owns ([`StoreError::NotFound`]). Contacts keep their items, as
    /// unsubscribed (RFC 6121 3.3), and are given back so that they can be told.
    fn delete(&self, account: &BareJid) -> BoxFuture<Result<()>>;
    /// All accounts in order.
    fn list(&self) -> BoxFuture<Result<Vec<BareJid>>>;
    /// The accounts whose password was changed or which were deleted after `since` (0 at first), in whatever process, and
    /// the number to ask with next time.
    fn revoked(&self, since: i64) -> BoxFuture<Result<(Vec<BareJid>, i64)>>;
    /// A random key of the store's own, made at its creation: masks unknown users across restarts.
    fn masking_key(&self) -> [u8; 32];
}

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
    /// Approved before it was asked (RFC 6121 3.4).
    pub approved: bool,
}

/// One entry of a roster (RFC 6121 2.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The contact.
    pub jid: BareJid,
    /// The owner's name for it.
    pub name: Option<String>,
    /// Groups, sorted, without duplicates.
    pub groups: Vec<String>,
    /// The subscription.
    pub subscription: Subscription,
    /// Whether the roster shows it: false for a contact that only has a request pending in (RFC 6121 A.2.1).
    pub listed: bool,
}

/// A change to one roster, numbered without gaps from 1 per owner.
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
    /// Whether the roster as clients see it changed: a push is due (RFC 6121 2.1.6).
    pub fn is_visible(&self) -> bool {
        let seen = |item: &Option<Item>| {
            item.clone().filter(|i| i.listed).map(|mut i| {
                i.subscription.pending_in = false;
                i
            })
        };
        seen(&self.before) != seen(&self.after)
    }
}

/// A whole roster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The version, 0 where it was never changed.
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

/// What a subscription stanza did, both accounts in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionOutcome {
    /// The sender's roster, where it changed.
    pub sender: Option<Change>,
    /// The recipient's roster, where it is local and changed.
    pub recipient: Option<Change>,
    /// Whether the stanza goes on to the recipient (RFC 6121 3.1.2, A.2).
    pub route: bool,
    /// Whether it is shown to the recipient's clients (RFC 6121 A.3).
    pub deliver: bool,
    /// Whether the recipient's server answers `subscribed` at once, because it was approved before or agreed already
    /// (RFC 6121 3.1.3, 3.4.2); the answer's own changes are in `answer`.
    pub auto_reply: bool,
}

/// Rosters and subscriptions.
pub trait Rosters: Send + Sync {
    /// The whole roster.
    fn roster(&self, owner: &BareJid) -> BoxFuture<Result<Roster>>;
    /// Adds an item or changes its name and groups; the subscription is the server's (RFC 6121 2.3, 2.4).
    fn set_item(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> BoxFuture<Result<Change>>;
    /// Removes an item; both directions of the subscription end, a local contact's side too (RFC 6121 2.5).
    /// [`StoreError::NotFound`] where it is not listed.
    fn remove_item(&self, owner: &BareJid, contact: &BareJid) -> BoxFuture<Result<Removal>>;
    /// Applies a subscription stanza from `sender` to `recipient` to the rosters of those of the two that are accounts here.
    /// `stanza`: the request as it is kept for the recipient (RFC 6121 3.1.3), for `Subscribe`.
    fn subscription(
        &self,
        verb: Verb,
        sender: &BareJid,
        recipient: &BareJid,
        stanza: Vec<u8>,
    ) -> BoxFuture<Result<SubscriptionOutcome>>;
    /// The requests that wait for the owner's answer, as they were received, oldest first.
    fn pending(&self, owner: &BareJid) -> BoxFuture<Result<Vec<(BareJid, Vec<u8>)>>>;
}

/// What removing an item did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The owner's roster.
    pub owner: Change,
    /// The contact's roster, where it is local and changed.
    pub contact: Option<Change>,
    /// What the server says to the contact on the owner's behalf (RFC 6121 2.5.2).
    pub verbs: Vec<Verb>,
}

/// A message kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the store, rising in commit order.
    pub id: i64,
    /// When it was received.
    pub at: SystemTime,
    /// The stanza, serialised, complete with `to` and `from`.
    pub stanza: Vec<u8>,
}

/// Messages for those who are not there (XEP-0160).
pub trait Offline: Send + Sync {
    /// Keeps a message; the future completes when it is safe. [`StoreError::Full`], [`StoreError::NotFound`] (no such account).
    fn keep(&self, owner: &BareJid, at: SystemTime, stanza: Vec<u8>) -> BoxFuture<Result<i64>>;
    /// All that is kept, oldest first, seen after every write queued before this call.
    fn kept(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Kept>>>;
    /// Forgets messages up to this id: they were delivered.
    fn forget(&self, owner: &BareJid, up_to: i64) -> BoxFuture<Result<()>>;
    /// How many are kept.
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>>;
}

/// A whole store.
pub trait Store: Accounts + Rosters + Offline {
    /// Waits until every queued write is committed, then closes: further calls fail.
    fn close(&self) -> BoxFuture<()>;
}
