//! Whether the database can be read and written.

use super::worker::Access;
use crate::{Health, Result, course::Course};
use std::sync::atomic::{AtomicU64, Ordering};

/// How the work goes, as the threads see it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    reads: Course,
    writes: Course,
    commits: AtomicU64,
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
        course.note(what, outcome);
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
