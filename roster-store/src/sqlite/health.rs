//! Whether the database can be read and written: said in the log when that changes, and not for each operation that fails. A full
//! disk would be a line for each message.

use super::worker::Access;
use crate::{Health, Result};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// All is well again once nothing has failed for so long: where there is little room left, small writes succeed between others
/// that do not.
const QUIET: Duration = Duration::from_secs(2);

/// How the work goes, as the threads see it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    reads: Course,
    writes: Course,
    commits: AtomicU64,
}

/// How one kind of work goes.
#[derive(Debug, Default)]
struct Course {
    fails: AtomicBool,
    last_failure: Mutex<Option<Instant>>,
}

impl Pulse {
    /// What came of the last that was read or written.
    pub(super) fn note(&self, access: Access, outcome: &Result<()>) {
        let (course, what) = match access {
            Access::Read => (&self.reads, "reads"),
            Access::Write => (&self.writes, "writes"),
        };
        if access == Access::Write && outcome.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        match outcome {
            Err(error) => {
                *course.last_failure() = Some(Instant::now());
                if !course.fails.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "{what} fail");
                }
            }
            Ok(()) if course.fails() => {
                let quiet = course.last_failure().is_none_or(|last| last.elapsed() >= QUIET);
                if quiet && course.fails.swap(false, Ordering::Relaxed) {
                    tracing::info!("{what} succeed again");
                }
            }
            Ok(()) => {}
        }
    }

    pub(super) fn writes_fail(&self) -> bool {
        self.writes.fails()
    }

    pub(super) fn health(&self) -> Health {
        Health {
            reads_fail: self.reads.fails(),
            writes_fail: self.writes.fails(),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}

impl Course {
    fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing under the lock can panic.
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
