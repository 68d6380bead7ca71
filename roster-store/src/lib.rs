//! What must outlive a restart: accounts, rosters, block lists, documents, messages.
//!
//! The traits name XMPP operations, not SQL. Two backends stand behind them, [`sqlite`] and [`memory`], and one
//! contract suite tests both. A write is **queued when the method is called**, in call order, and its future completes
//! when the row is committed (and flushed, see [`Durability`]); dropping the future does not undo it. What a
//! roster set, a subscription stanza or a block does is decided once, in `law.rs`, for both backends. When a store begins to fail,
//! and when it has recovered, it says so in the log: callers need not, for every operation.

mod account;
mod activity;
mod archive;
mod blocking;
mod course;
mod documents;
mod journal;
mod law;
pub mod memory;
mod messages;
mod notice;
mod preferences;
mod roster;
mod sessions;
pub mod sqlite;
mod subscription;

pub use account::{Accounts, REVOCATIONS, Revocation, Revoked};
pub use activity::{LastActivity, Left};
pub use archive::{Archives, Edge, Page, Query, Retention};
pub use blocking::BlockLists;
pub use documents::{Document, DocumentKey, Documents};
pub use journal::{Journal, LeftStreams, Record, Slot};
pub use messages::{
    Kept, MessageId, MessageIdError, Messages, NewMessage, Origin, Put, Taken, Unkept,
};
pub use notice::{Motd, Notices};
pub use preferences::{ArchivePreferences, Policy, Preferences};
pub use roster::{
    Change, Item, Notice, Parting, Removal, Reply, Request, Roster, Rosters, Subscription,
    SubscriptionOutcome, Verb,
};
pub use sessions::{Heard, Sessions, Source};

use std::{future::Future, pin::Pin, sync::Arc};
use xmpp_core::{BareJid, Jid};

/// A boxed future: stores are trait objects.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;
/// What every operation gives.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The account (or item) does not exist.
    #[error("not found")]
    NotFound,
    /// It exists already.
    #[error("exists already")]
    Exists,
    /// A cap is reached ([`Caps`]): what it counts.
    #[error("over the limit of {0}")]
    Full(&'static str),
    /// Too much waits for the store already: try again later.
    #[error("the store has too much to do")]
    Busy,
    /// The store itself failed: no space, an I/O error, another process that holds the database, closed.
    #[error("the store failed: {0}")]
    Failed(Arc<str>),
    /// The store cannot be opened: one line for the operator.
    #[error("{0}")]
    Unusable(Arc<str>),
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk (SQLite `synchronous=FULL`).
    Disk,
    /// Survives a kill of the process, not a power cut (`synchronous=NORMAL`).
    Process,
}

/// Limits of what one account may fill. Past one of them a call fails with [`StoreError::Full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Listed roster items.
    pub roster_items: usize,
    /// Bytes of addresses, names and groups of all listed items: a roster is sent whole, in one answer.
    pub roster_bytes: usize,
    /// Groups of one roster item.
    pub roster_groups: usize,
    /// Bytes of an item's name, and of each group.
    pub roster_text: usize,
    /// Subscription requests of contacts that are not listed, counted apart from the items so that strangers cannot
    /// fill a roster (RFC 6121 3.1.3, security warning).
    pub requests: usize,
    /// Bytes of one subscription request as it is kept.
    pub request_bytes: usize,
    /// Messages that only wait for a client; those in an archive are not counted, and those that a session gets at once are
    /// never refused.
    pub offline_messages: usize,
    /// Bytes of them.
    pub offline_bytes: usize,
    /// Documents (XEP-0049, XEP-0054).
    pub documents: usize,
    /// Bytes of all documents. A single one is as long as a stanza can be.
    pub documents_bytes: usize,
    /// Blocked addresses (XEP-0191).
    pub blocked: usize,
    /// Bytes of the blocked addresses: the router keeps them in memory.
    pub blocked_bytes: usize,
    /// Addresses that an account may have in its archive preferences (XEP-0441).
    pub archive_rules: usize,
    /// Bytes of them: the router keeps them in memory.
    pub archive_rules_bytes: usize,
    /// Bytes of the status that is kept of an absent user (XEP-0012); a longer one is cut.
    pub status_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            roster_items: 5_000,     // ten times the largest rosters that people keep by hand
            roster_bytes: 1_048_576, // 200 for each of so many items
            roster_groups: 32,       // clients show groups as a list of headings
            roster_text: 1_023,      // as long as a part of an address (RFC 7622 3.1)
            requests: 1_000,         // more than anybody will answer
            request_bytes: 8_192,    // a nickname and a line of greeting, with room to spare
            offline_messages: 1_000, // a catch-up that a client can still swallow at login
            offline_bytes: 10 * 1024 * 1024, // 40 stanzas of the largest size
            documents: 256,          // ten times what the most diligent clients keep
            documents_bytes: 1_048_576, // four stanzas of the largest size: a vCard with a picture, and bookmarks
            blocked: 1_000,             // more than anybody blocks by hand
            blocked_bytes: 65_536,      // 65 for each of so many
            archive_rules: 1_000,       // as many as can be blocked
            archive_rules_bytes: 65_536, // and as long
            status_bytes: 1_023,        // a line of text, as long as a name in a roster
        }
    }
}

/// What stanzas from and to an account are judged by, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The roster.
    pub roster: Roster,
    /// The blocked addresses (XEP-0191), sorted.
    pub blocked: Vec<Jid>,
    /// What it wants archived (XEP-0441), where it has said so.
    pub archive: Option<Preferences>,
}

/// Whether a store does its work, and how much at once. It says so in the log, when it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Something could not be read, a short while ago.
    pub reads_fail: bool,
    /// Something could not be written, a short while ago. While that is so it is tried every second, so that it is known when it can.
    pub writes_fail: bool,
    /// Commits that were written since it was opened: each carries all that waited for it, and is flushed once.
    pub commits: u64,
}

/// A whole store.
pub trait Store:
    Accounts
    + Rosters
    + Messages
    + Archives
    + Documents
    + BlockLists
    + ArchivePreferences
    + LastActivity
    + Notices
    + Sessions
{
    /// [`roster`](Rosters::roster), [`blocked`](BlockLists::blocked) and archive preferences in one read.
    fn profile(&self, owner: &BareJid) -> BoxFuture<Result<Profile>>;
    /// How many operations wait for their turn.
    fn queued(&self) -> usize;
    /// Whether it does its work.
    fn health(&self) -> Health;
    /// Waits until every queued write is committed, folds the log into the database, then closes: further
    /// calls fail.
    fn close(&self) -> BoxFuture<()>;
}
