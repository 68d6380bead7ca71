//! Whom an account wants nothing to do with (XEP-0191).

use crate::{BoxFuture, Result};
use xmpp_core::{BareJid, Jid};

/// Block lists (XEP-0191). Reads see every write queued before them and none queued after. An owner that is no account here:
/// [`StoreError::NotFound`](crate::StoreError::NotFound).
pub trait BlockLists: Send + Sync {
    /// The blocked addresses, sorted.
    fn blocked(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Jid>>>;
    /// Adds addresses, all or none; gives those that were not there, sorted.
    /// [`StoreError::Full`](crate::StoreError::Full)`("blocked addresses")`.
    fn block(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>>;
    /// Removes these, or all where the list is empty (XEP-0191 3.5); gives those that were there, sorted.
    fn unblock(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>>;
}
