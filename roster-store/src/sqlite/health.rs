//! Whether the database can be read and written: said in the log when that changes, and not for each operation that fails. A full
//! disk would be a line for each message.

use super::worker::Access;
use crate::{Health, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the work goes, as the threads see it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    commits: AtomicU64,
}

impl Pulse {
    /// What came of the last that was read or written.
    pub(super) fn note(&self, access: Access, outcome: &Result<()>) {
        let (fails, what) = match access {
            Access::Read => (&self.reads_fail, "reads"),
            Access::Write => (&self.writes_fail, "writes"),
        };
        if access == Access::Write && outcome.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        if fails.swap(outcome.is_err(), Ordering::Relaxed) == outcome.is_err() {
            return;
        }
        match outcome {
            Ok(()) => tracing::info!("{what} succeed again"),
            Err(error) => tracing::error!(%error, "{what} fail"),
        }
    }

    pub(super) fn writes_fail(&self) -> bool {
        self.writes_fail.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> Health {
        Health {
            reads_fail: self.reads_fail.load(Ordering::Relaxed),
            writes_fail: self.writes_fail(),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}
