//! Messages: one table for what waits for a client and for what is remembered.

mod id;

pub use id::{MessageId, MessageIdError};

pub(crate) use id::{BLOCK, Numbers, STRIDE};

use crate::{BoxFuture, Result};
use bytes::Bytes;
use std::time::SystemTime;
use xmpp_core::{BareJid, Jid};

/// A message for one owner, on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Whose it is.
    pub owner: BareJid,
    /// The other end: who sent it, or whom the owner sent it to.
    pub with: Jid,
    /// When it was received, to the microsecond. The order is that of the numbers, whatever the clock says.
    pub at: SystemTime,
    /// The stanza, serialised, complete with `to` and `from`; both ends share it.
    pub stanza: Bytes,
    /// Whether it goes into the owner's archive (XEP-0313).
    pub archived: bool,
    /// Whether a client of the owner has still to get it (XEP-0160).
    pub pending: bool,
}

/// A message in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: MessageId,
    /// When it was received, to the microsecond.
    pub at: SystemTime,
    /// The stanza as it was put.
    pub stanza: Bytes,
    /// Whether it is in the owner's archive.
    pub archived: bool,
    /// Whether no client of the owner has got it yet.
    pub pending: bool,
}

/// Messages. A message is **archived**, or **pending** (no client of its owner has acknowledged or fetched it), or both; one
/// that is neither is forgotten.
///
/// An owner that is no account here: [`StoreError::NotFound`](crate::StoreError::NotFound).
pub trait Messages: Send + Sync {
    /// Takes in what one stanza puts into stores: all or none, in one transaction. Their ids are known at once, and rise with
    /// every call; the future completes when all is safe. [`StoreError::Full`](crate::StoreError::Full)`("offline messages")`
    /// where one that is only pending finds no room; then none is kept.
    fn put(&self, messages: Vec<NewMessage>) -> (Vec<MessageId>, BoxFuture<Result<()>>);
    /// Those pending after this number, oldest first, so many at most: with every write queued before this call and none
    /// queued after it.
    fn pending(&self, owner: &BareJid, after: i64, limit: usize) -> BoxFuture<Result<Vec<Kept>>>;
    /// These have reached a client: pending no more, and forgotten where they are not archived. Others are ignored.
    fn settle(&self, owner: &BareJid, numbers: Vec<i64>) -> BoxFuture<Result<()>>;
    /// How many are pending, seen as by [`pending`](Self::pending).
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>>;
}
