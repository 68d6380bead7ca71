//! What was said, in order (XEP-0313).

mod query;

pub use query::{Page, Query};

pub(crate) use query::bare;

use crate::{BoxFuture, MessageId, Result};
use std::time::SystemTime;
use xmpp_core::BareJid;

/// Where an archive begins or ends (XEP-0313 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The message's id.
    pub id: MessageId,
    /// When it was received.
    pub at: SystemTime,
}

/// How much archives remember. What goes is the oldest of an archive, so that none has a hole (XEP-0313 3.2), whether a client
/// has got it or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Messages received before this go, if all before them do.
    pub since: Option<SystemTime>,
    /// So many messages of each archive stay at most.
    pub messages: Option<usize>,
}

/// The archives of accounts: the messages of [`Messages`](crate::Messages) that are archived. Reads see what is safe, and nothing
/// that is still on its way. An owner that is no account here: [`StoreError::NotFound`](crate::StoreError::NotFound).
pub trait Archives: Send + Sync {
    /// A page of an archive. [`StoreError::NotFound`](crate::StoreError::NotFound) too where the query names an id that is not
    /// in it (XEP-0313 4.1.3, 4.3.2). A long search is done in steps, between which others have their turn.
    fn page(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Page>>;
    /// How many messages match, whatever the page; `None` where that would take reading them all: times, words, a full address.
    fn matching(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Option<u64>>>;
    /// The first and the last message; `None` where there is none (XEP-0313 5).
    fn edges(&self, owner: &BareJid) -> BoxFuture<Result<Option<(Edge, Edge)>>>;
    /// One short step of retention, for the first account that comes `after` this one, which also clears away what a deleted
    /// account has left. Gives where to go on; `None` once all have had their turn.
    fn purge(&self, after: Option<i64>, retention: Retention) -> BoxFuture<Result<Option<i64>>>;
}
