//! Client streams: from a fresh connection to a bound session and back to silence (RFC 6120).
//!
//! A [`Door`] takes connections, from listeners or from inside the process, and serves each as one task. What is said on a
//! stream is decided by a pure value, in `session/`; `driver/` moves its bytes, keeps its time and asks the router and the
//! accounts on its behalf.

mod driver;
mod session;
mod settings;

pub use driver::Door;
pub use settings::{Rate, Registration, Settings};

use std::net::IpAddr;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The visitor's address, if known: what limits per address count.
    pub address: Option<IpAddr>,
    /// The connection is protected already (HTTPS in front, loopback inside this process): no STARTTLS is offered or required.
    pub secure: bool,
}

/// What a [`Door`] has seen, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Streams that are open, authenticated or not, and sessions that may be resumed.
    pub streams: usize,
    /// Logins that succeeded so far.
    pub logins: u64,
    /// Logins that failed so far, whatever was wrong with them.
    pub failed_logins: u64,
}
