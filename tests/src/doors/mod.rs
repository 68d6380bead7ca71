//! The ways into a server. Each is a [`Stage`](script::Stage): it gives a script's characters their connections.

mod bosh;
pub mod tls;
mod wire;

pub use bosh::Bosh;
pub use wire::{Memory, Tcp};

use script::Lost;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long a connection waits for an element before the play fails. Long, since other tests share the machine; only
/// plays that fail ever wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a step of the server's within [`PATIENCE`].
async fn patiently<T, E: std::fmt::Display>(
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Lost> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result.map_err(broken),
        Err(_) => Err(Lost::Silence),
    }
}

fn broken(error: impl std::fmt::Display) -> Lost {
    Lost::Broken(error.to_string())
}

/// Different for every login. The tests need no secret, only one that never repeats.
fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
