//! How some kind of work goes: said in the log when it begins to fail and when it succeeds again, and not for each time. A full
//! disk would be a line for each message.

use crate::Result;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// All is well again once nothing has failed for so long: where there is little room left, small writes succeed between others
/// that do not.
const QUIET: Duration = Duration::from_secs(2);

/// How one kind of work goes.
#[derive(Debug, Default)]
pub(crate) struct Course {
    fails: AtomicBool,
    last_failure: Mutex<Option<Instant>>,
}

impl Course {
    /// What came of the last of it; `what` it is, in the plural.
    pub(crate) fn note<T>(&self, what: &str, outcome: &Result<T>) {
        match outcome {
            Err(error) => {
                *self.last_failure() = Some(Instant::now());
                if !self.fails.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "{what} fail");
                }
            }
            Ok(_) if self.fails() => {
                let quiet = self.last_failure().is_none_or(|last| last.elapsed() >= QUIET);
                if quiet && self.fails.swap(false, Ordering::Relaxed) {
                    tracing::info!("{what} succeed again");
                }
            }
            Ok(_) => {}
        }
    }

    /// Whether it failed a short while ago.
    pub(crate) fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing under the lock can panic.
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
