//! Opening the database: whose it is, how it is kept, what its schema must be.

use super::{
    log,
    rows::{number, size},
};
use crate::{Durability, Result, StoreError};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{
    fmt::Display,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Says that a database is ours: "Stnc".
const APPLICATION_ID: i32 = 0x5374_6E63;

/// What each version of the schema has over the one before; `PRAGMA user_version` says how many of them are done. None is ever
/// changed, once a release has it.
const SCHEMA: [&str; 4] = [
    include_str!("../../migrations/V1__accounts_rosters_offline.sql"),
    include_str!("../../migrations/V2__documents_blocks_activity.sql"),
    include_str!("../../migrations/V3__message_of_the_day.sql"),
    include_str!("../../migrations/V4__messages.sql"),
];

/// How long to wait for another process that writes. Ours never hold the lock for long; past this the batch fails.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Room for every statement there is, so that none is compiled twice.
const STATEMENTS: usize = 64;

/// Pages of the database in the writer's memory, in KiB: those that a burst of messages to a thousand accounts writes to, so that none
/// is written twice for want of room.
const WRITER_CACHE: i64 = 16 * 1024;

/// The same for each that reads: what leads to the rows. These themselves are seldom read twice, and the system has them in memory.
const READER_CACHE: i64 = 256;

/// Opens the database for writing, making and upgrading it as needed, and gives its masking key.
pub(super) fn writable(path: &Path, durability: Durability) -> Result<(Connection, [u8; 32])> {
    let cannot = |error: &dyn Display| unusable(path, format_args!("cannot be opened: {error}"));
    let folder = make_folder(path).map_err(|e| cannot(&e))?;
    // Two processes that make the database at once take turns.
    let turn = File::open(folder).map_err(|e| cannot(&e))?;
    turn.lock().map_err(|e| cannot(&e))?;
    create(path).map_err(|e| cannot(&e))?;

    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| cannot(&e))?;
    if !is_ours(&conn).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => foreign(path),
        _ => cannot(&error),
    })? {
        return Err(foreign(path));
    }
    configure(&conn, durability).map_err(|e| cannot(&e))?;
    faults::site!("before-migration");
    migrate(&mut conn, path)?;
    faults::site!("migrated");
    conn.pragma_update(None, "foreign_keys", true)?;
    let key = masking_key(&conn)?;
    Ok((conn, key))
}

/// Opens the database, which is open for writing already, for reading.
pub(super) fn readable(path: &Path) -> Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE)?;
    Ok(conn)
}

/// Takes the right to serve the database, which one process has at a time, until the file is closed. Not a lock of the database
/// itself: tools work on it meanwhile. The file stays; it is the lock on it that counts, and the system ends that with the process.
pub(super) fn alone(path: &Path) -> Result<File> {
    let cannot = |error: &dyn Display| unusable(path, format_args!("cannot be locked: {error}"));
    make_folder(path).map_err(|e| cannot(&e))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(beside(path, "-lock")).map_err(|e| cannot(&e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(unusable(path, "is being served by another process: stop that one first"))
        }
        Err(TryLockError::Error(error)) => Err(cannot(&error)),
    }
}

/// A file that belongs to the database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Makes the folder of the database, for its owner only, where it is missing.
fn make_folder(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok(folder)
}

/// Makes the file, for its owner only. An existing one is not touched: were it opened and closed here, POSIX would drop the
/// locks that this process holds on it.
fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Whether the database is ours; an empty one becomes so. Nothing of a foreign one is changed.
fn is_ours(conn: &Connection) -> rusqlite::Result<bool> {
    let id: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(true);
    }
    let objects: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != 0 || objects != 0 {
        return Ok(false);
    }
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(true)
}

fn configure(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Disk if faults::planted!("fsync_off") => "OFF",
        Durability::Disk => "FULL",
        Durability::Process => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "journal_size_limit", log::KEPT)?;
    conn.pragma_update(None, "wal_autocheckpoint", log::PAGES)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE) // negative: KiB
}

/// Brings the schema from the version that the database says it has to the last there is.
fn migrate(conn: &mut Connection, path: &Path) -> Result<()> {
    let cannot =
        |error: rusqlite::Error| unusable(path, format_args!("cannot be upgraded: {error}"));
    // In one transaction: a kill half-way leaves no half schema.
    let whole = conn.transaction().map_err(cannot)?;
    let version = version(&whole).map_err(cannot)?;
    let Some(missing) = SCHEMA.get(version..) else {
        return Err(unusable(
            path,
            "was written by a newer version of Stonechat: use that version, or restore a backup",
        ));
    };
    missing.iter().try_for_each(|step| whole.execute_batch(step)).map_err(cannot)?;
    if !missing.is_empty() {
        whole.pragma_update(None, "user_version", number(SCHEMA.len())).map_err(cannot)?;
    }
    whole.commit().map_err(cannot)
}

fn version(conn: &Connection) -> rusqlite::Result<usize> {
    // The first builds noted it in a table.
    if conn.table_exists(None, "refinery_schema_history")? {
        let sql = "SELECT max(version) FROM refinery_schema_history";
        let version: i64 = conn.query_row(sql, [], |row| row.get(0))?;
        conn.pragma_update(None, "user_version", version)?;
        conn.execute_batch("DROP TABLE refinery_schema_history")?;
    }
    conn.pragma_query_value(None, "user_version", |row| size(row, 0))
}

/// The key that was made with the database.
fn masking_key(conn: &Connection) -> Result<[u8; 32]> {
    // SQLite's generator is ChaCha20, seeded by the operating system.
    conn.execute("INSERT OR IGNORE INTO meta VALUES ('masking_key', randomblob(32))", [])?;
    Ok(conn.query_row("SELECT value FROM meta WHERE key = 'masking_key'", [], |row| row.get(0))?)
}

fn foreign(path: &Path) -> StoreError {
    unusable(path, "is not a Stonechat database: name another file")
}

pub(super) fn unusable(path: &Path, why: impl Display) -> StoreError {
    StoreError::Unusable(format!("{} {why}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_decides_what_a_commit_flushes() {
        for (durability, level) in [(Durability::Disk, 2), (Durability::Process, 1)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("store.db");
            let (conn, _) = writable(&path, durability).expect("opened");
            let pragma = |name| {
                conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a value")
            };
            assert_eq!(pragma("synchronous"), level);
            assert_eq!(pragma("foreign_keys"), 1);
            let journal: String =
                conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a value");
            assert_eq!(journal, "wal");
        }
    }

    /// A database as an older version leaves it.
    fn of_version(version: usize, path: &Path) -> Connection {
        create(path).expect("made");
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("opened");
        assert!(is_ours(&conn).expect("read"));
        for step in &SCHEMA[..version] {
            conn.execute_batch(step).expect("made");
        }
        conn.pragma_update(None, "user_version", number(version)).expect("set");
        conn
    }

    #[test]
    fn a_database_of_the_first_schema_is_upgraded_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let conn = of_version(1, &path);
        conn.execute_batch("INSERT INTO account (jid, roster_version) VALUES ('juliet@x', 7)")
            .expect("written");
        drop(conn);
        let (conn, _) = writable(&path, Durability::Process).expect("upgraded");
        let version: i64 = conn
            .query_row("SELECT roster_version FROM account WHERE jid = 'juliet@x'", [], |r| {
                r.get(0)
            })
            .expect("still there");
        assert_eq!(version, 7);
        conn.execute_batch("SELECT * FROM document, blocked, activity, counter").expect("new");
    }

    #[test]
    fn a_database_of_the_first_builds_is_upgraded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let conn = of_version(4, &path);
        conn.execute_batch(
            "PRAGMA user_version = 0;
             CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name, applied_on, checksum);
             INSERT INTO refinery_schema_history (version) VALUES (1), (2), (3), (4)",
        )
        .expect("as they left it");
        drop(conn);
        let (conn, _) = writable(&path, Durability::Process).expect("opened");
        assert_eq!(version(&conn), Ok(4));
    }

    #[test]
    fn messages_of_the_third_schema_still_wait_after_the_upgrade() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let conn = of_version(3, &path);
        conn.execute_batch(
            "INSERT INTO account (id, jid, offline_count, offline_bytes) VALUES (2, 'j@x', 2, 7), (3, 'r@x', 1, 3);
             INSERT INTO offline (account, received, stanza) VALUES (2, 10, x'61'), (3, 20, x'626262'), (2, 30, x'636363636363')",
        )
        .expect("written");
        drop(conn);
        let (conn, _) = writable(&path, Durability::Process).expect("upgraded");
        let mut waiting = conn
            .prepare(
                "SELECT message.id >> 32, message.id & 0xffffffff, received, CAST(stanza AS TEXT), bytes, peer
                 FROM message JOIN pending ON pending.id = message.id ORDER BY message.id",
            )
            .expect("both tables");
        let rows = waiting.query_map([], |row| {
            let peer: Option<String> = row.get(5)?;
            assert_eq!(peer, None, "none is in an archive");
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get(4)?))
        });
        let rows: Vec<(i64, i64, i64, _, i64)> =
            rows.expect("read").collect::<Result<_, _>>().expect("rows");
        let expected = [(2, 1, 10, "a", 1), (2, 2, 30, "cccccc", 6), (3, 1, 20, "bbb", 3)];
        assert_eq!(
            rows,
            expected.map(|(a, n, at, text, bytes)| (a, n, at, text.to_owned(), bytes))
        );
        let last = "SELECT value FROM counter WHERE name = 'last_message'";
        assert_eq!(conn.query_row(last, [], |row| row.get(0)), Ok(2_i64));
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let (_conn, _) = writable(&path, Durability::Process).expect("opened");
        let reader = readable(&path).expect("opened");
        assert!(reader.execute("DELETE FROM meta", []).is_err());
    }

    #[test]
    fn a_kill_before_the_first_migration_leaves_a_database_of_ours() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        create(&path).expect("made");
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("opened");
        assert!(is_ours(&conn).expect("read"));
        drop(conn);
        writable(&path, Durability::Process).expect("opened");
    }
}
