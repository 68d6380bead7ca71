//! SQLite's write-ahead log: folded into the database where the database starts and ends, and kept short in between.

use crate::{Result, StoreError};
use rusqlite::Connection;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The log's file is cut back to so many bytes after a burst. It stays that long: so much can be written on a full disk still, which
/// is all the reserve there is. More would only put off, by minutes, what has to be done by hand.
pub(super) const KEPT: i64 = 16 * 1024 * 1024;

/// It is folded into the database at so many pages, which is as long: a page that many messages write to is copied once.
pub(super) const PAGES: i64 = if faults::ARMED { 64 } else { 4_096 };

/// Past so many bytes somebody always reads, so that it never begins anew by itself: then writing waits for the readers.
const LONG: u64 = 32 * 1024 * 1024;

/// How long it waits. Our own readers take some milliseconds; a tool that takes longer is left to it, and the log grows.
const FOR_READERS: Duration = Duration::from_millis(100);

/// The log of a database, for the thread that writes it.
pub(super) struct Log {
    file: PathBuf,
    /// When it is too long.
    limit: u64,
}

impl Log {
    pub(super) fn of(database: &Path) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), limit: LONG }
    }

    /// Makes what it says as safe as if it had been acknowledged: a kill leaves commits that were written and perhaps not flushed,
    /// and from now on the database holds them for kept. Where a flush has failed before, the system may believe that they are on
    /// the disk and write nothing: so they are written once more, into the database, and flushed there.
    pub(super) fn secure(&self, conn: &Connection) -> Result<()> {
        match File::open(&self.file).and_then(|log| log.sync_data()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            flushed => flushed.map_err(|error| StoreError::Failed(error.to_string().into()))?,
        }
        faults::site!("log-flushed");
        // On a full disk it has to wait.
        match fold(conn) {
            Ok(true) => {}
            Ok(false) => tracing::warn!("somebody reads the database: its log stays as it is"),
            Err(error) => tracing::warn!(%error, "the log cannot be folded into the database"),
        }
        Ok(())
    }

    /// Lets it begin anew where it has grown too long. `usual`: how long the connection waits for others otherwise.
    pub(super) fn keep_short(&mut self, conn: &Connection, usual: Duration) {
        let length = || fs::metadata(&self.file).map_or(0, |file| file.len());
        if length() < self.limit {
            return;
        }
        let folded = conn
            .busy_timeout(FOR_READERS)
            .map_err(StoreError::from)
            .and_then(|()| fold(conn))
            .and_then(|done| Ok(conn.busy_timeout(usual).map(|()| done)?));
        if let Err(error) = folded {
            tracing::debug!(%error, "the log cannot be folded into the database");
        }
        // In vain: again once so much more is written that the waiting is of no account beside it.
        self.limit = LONG.max(length() + LONG / 4);
    }
}

/// Folds the log into the database and empties it; false where somebody's reading is in the way.
pub(super) fn fold(conn: &Connection) -> Result<bool> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}
