//! Messages for those who are not there (XEP-0160).

use crate::{BoxFuture, Result};
use std::time::SystemTime;
use xmpp_core::BareJid;

/// A message kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the store, rising in commit order and never used again.
    pub id: i64,
    /// When it was received, to the microsecond.
    pub at: SystemTime,
    /// The stanza, serialised, complete with `to` and `from`.
    pub stanza: Vec<u8>,
}

/// Messages for those who are not there (XEP-0160).
pub trait Offline: Send + Sync {
    /// Keeps a message and gives its number; the future completes when it is safe.
    /// [`StoreError::Full`](crate::StoreError::Full), [`StoreError::NotFound`](crate::StoreError::NotFound) (no such account).
    fn keep(&self, owner: &BareJid, at: SystemTime, stanza: Vec<u8>) -> BoxFuture<Result<i64>>;
    /// All that is kept, oldest first: with every write queued before this call and none queued after it.
    fn kept(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Kept>>>;
    /// Forgets messages up to this id: they were delivered.
    fn forget(&self, owner: &BareJid, up_to: i64) -> BoxFuture<Result<()>>;
    /// How many are kept, seen as by [`kept`](Self::kept).
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>>;
}
