//! When an account was last here (XEP-0012).

use crate::{BoxFuture, Result};
use std::time::SystemTime;
use xmpp_core::BareJid;

/// The last that was seen of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When, to the microsecond.
    pub at: SystemTime,
    /// The status of the last unavailable presence.
    pub status: Option<String>,
}

/// When accounts were last here. Reads see every write that is done. An owner that is no account here:
/// [`StoreError::NotFound`](crate::StoreError::NotFound).
pub trait LastActivity: Send + Sync {
    /// Notes when the account's last session became unavailable (XEP-0012 3). A status that is longer than
    /// [`Caps::status_bytes`](crate::Caps::status_bytes) is cut, at a character.
    fn left(&self, owner: &BareJid, left: Left) -> BoxFuture<Result<()>>;
    /// What was noted last; `None`: it was never here.
    fn last_left(&self, owner: &BareJid) -> BoxFuture<Result<Option<Left>>>;
}
