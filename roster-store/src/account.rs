//! Accounts and what they authenticate by.

use crate::{BoxFuture, Parting, Result};
use xmpp_core::{BareJid, sasl::Credentials};

/// Accounts and what they authenticate by.
pub trait Accounts: Send + Sync {
    /// The credentials; `None` where there is no such account.
    fn credentials(&self, account: &BareJid) -> BoxFuture<Result<Option<Credentials>>>;
    /// Whether there is such an account.
    fn exists(&self, account: &BareJid) -> BoxFuture<Result<bool>>;
    /// A new account ([`StoreError::Exists`](crate::StoreError::Exists)).
    fn create(&self, account: &BareJid, credentials: Credentials) -> BoxFuture<Result<()>>;
    /// Another password ([`StoreError::NotFound`](crate::StoreError::NotFound)).
    fn set_credentials(&self, account: &BareJid, credentials: Credentials)
    -> BoxFuture<Result<()>>;
    /// Deletes the account and all that it owns ([`StoreError::NotFound`](crate::StoreError::NotFound)). As if it had removed
    /// every item of its roster (RFC 6121 2.5.2): contacts here keep their items, as unsubscribed, and nothing
    /// that they had granted to the address passes on to whoever takes it next. Gives all who are to be told.
    fn delete(&self, account: &BareJid) -> BoxFuture<Result<Vec<Parting>>>;
    /// All accounts in order.
    fn list(&self) -> BoxFuture<Result<Vec<BareJid>>>;
    /// What was revoked after `since`, oldest first, in whatever process, and the number to ask with next time. With
    /// `None`, which is for the first call, only the number. The last [`REVOCATIONS`] are remembered.
    fn revoked(&self, since: Option<i64>) -> BoxFuture<Result<(Vec<Revocation>, i64)>>;
    /// A random key of the store's own, made at its creation: masks unknown users across restarts.
    fn masking_key(&self) -> [u8; 32];
}

/// How many revocations are remembered: more than anybody deletes between two polls, at about 100 bytes each.
pub const REVOCATIONS: i64 = 100_000;

/// Something that sessions and caches of any process must no longer rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The account.
    pub account: BareJid,
    /// What is out of date.
    pub what: Revoked,
}

/// What is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// The password was changed: sessions end.
    Password,
    /// The account was deleted: sessions end.
    Account,
    /// Subscriptions in its roster ended because a contact's account was deleted: load the roster again.
    Subscriptions,
}
