//! What operators tell everybody who comes (XEP-0133).

use crate::{BoxFuture, Result};
use std::time::SystemTime;

/// The message of the day (XEP-0133 4.24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Motd {
    /// What it says.
    pub text: String,
    /// When it was set.
    pub at: SystemTime,
}

/// What operators tell everybody who comes. It belongs to the store as a whole.
pub trait Notices: Send + Sync {
    /// The message of the day, if one is set.
    fn motd(&self) -> BoxFuture<Result<Option<Motd>>>;
    /// Sets another, or takes it away.
    fn set_motd(&self, motd: Option<Motd>) -> BoxFuture<Result<()>>;
}
