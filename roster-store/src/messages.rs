//! Messages: one table for what waits for a client and for what is remembered.

mod id;
mod origin;

pub use id::{MessageId, MessageIdError};
pub use origin::Origin;

pub(crate) use id::{BLOCK, Numbers, STRIDE};
pub(crate) use origin::{Noted, ORIGINS, Origins, WINDOW};

use crate::{BoxFuture, Result, Source, StoreError};
use bytes::Bytes;
use std::{
    fmt::{self, Debug, Formatter},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use xmpp_core::{BareJid, Jid};

/// What one stanza puts into stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Put {
    /// For each owner.
    pub messages: Vec<NewMessage>,
    /// What it is known by, should its sender's client send it again.
    pub origin: Option<Origin>,
    /// Which stanza it is, where its stream may be resumed after a kill.
    pub source: Option<Source>,
}

impl Put {
    /// Its origin, where it has one, as these have noted it.
    pub(crate) fn noted(&self, origins: &mut Origins) -> Option<(Origin, Noted)> {
        let (origin, first) = self.origin.zip(self.messages.first())?;
        Some((origin, origins.note(origin, microseconds(first.at))))
    }
}

impl From<Vec<NewMessage>> for Put {
    fn from(messages: Vec<NewMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// What becomes of a stanza that is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is taken in; the ids of its messages.
    New(Vec<MessageId>),
    /// It was, within the last 24 hours: this is the same, sent again, and nothing is put. The future completes when the first
    /// is safe.
    Again,
}

impl Taken {
    /// The ids of what is new.
    pub fn ids(self) -> Vec<MessageId> {
        match self {
            Self::New(ids) => ids,
            Self::Again => Vec::new(),
        }
    }
}

/// Why a message is not kept.
#[derive(thiserror::Error)]
pub enum Unkept {
    /// Nothing was changed.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// It could not be flushed, nor taken back: nobody knows whether the next process will find it. Complete once it is certain
    /// that none will, with what had failed.
    #[error("nobody knows whether it is kept")]
    InDoubt(BoxFuture<StoreError>),
}

impl Debug for Unkept {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::InDoubt(_) => f.debug_struct("InDoubt").finish_non_exhaustive(),
        }
    }
}

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
    /// Whether a session of the owner gets it now: then it needs no room among those that wait, however slow that is.
    pub delivered: bool,
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
    /// where one that is only pending and that nobody gets now finds no room; then none is kept.
    fn put(&self, put: Put) -> (Taken, BoxFuture<Result<(), Unkept>>);
    /// Those pending after this number, oldest first: so many at most, and so many bytes of stanzas, but one where there is one. And
    /// whether there may be more. With every write queued before this call and none queued after it.
    fn pending(
        &self,
        owner: &BareJid,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<Result<(Vec<Kept>, bool)>>;
    /// These have reached a client: pending no more, and forgotten where they are not archived. Others are ignored.
    fn settle(&self, owner: &BareJid, numbers: Vec<i64>) -> BoxFuture<Result<()>>;
    /// How many are pending, seen as by [`pending`](Self::pending).
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>>;
}

/// Since 1970; negative before.
pub(crate) fn microseconds(at: SystemTime) -> i64 {
    let number = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => number(after),
        Err(before) => -number(before.duration()),
    }
}
