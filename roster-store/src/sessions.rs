//! Streams that may be resumed after a restart (XEP-0198).

use crate::{BoxFuture, Result};
use std::time::SystemTime;
use xmpp_core::BareJid;

/// A stream that may be resumed.
#[derive(Clone, PartialEq, Eq)]
pub struct Parked {
    /// What its client resumes it with: a secret.
    pub token: String,
    /// Its account.
    pub owner: BareJid,
    /// When it ends, to the microsecond, unless it is resumed.
    pub until: SystemTime,
    /// All that is known of it, in the words of who parks it.
    pub state: Vec<u8>,
}

/// Streams that may be resumed, from the end of one server process to the beginning of the next.
pub trait Sessions: Send + Sync {
    /// Keeps them, all in one transaction, but for those whose account is gone.
    fn park(&self, sessions: Vec<Parked>) -> BoxFuture<Result<()>>;
    /// Takes them out: all that are there, in no order, and none is given twice.
    fn parked(&self) -> BoxFuture<Result<Vec<Parked>>>;
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parked({})", self.owner)
    }
}
