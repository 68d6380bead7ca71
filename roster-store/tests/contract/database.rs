//! What only a store with a file promises.

use crate::{
    messages::waiting,
    stage::{CAPS, block_on, credentials, jid, open, written},
};
use roster_store::{
    Accounts, Caps, DocumentKey, Durability, Left, Messages, NewMessage, Origin, Policy,
    Preferences, Put, Retention, Revoked, Store, StoreError, Taken, sqlite::Sqlite,
};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Why a file is refused.
fn refused(path: &Path) -> String {
    match Sqlite::open(path, Durability::Disk, CAPS) {
        Err(error @ StoreError::Unusable(_)) => error.to_string(),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn a_new_database_and_its_folder_are_for_their_owner_only() {
    let folder = folder();
    let path = folder.path().join("new/data/store.db");
    let store = open(&path);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&log(&path)), 0o600);
    assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    block_on(store.close());
}

#[test]
fn a_foreign_database_is_refused_and_left_alone() {
    let folder = folder();
    let other = folder.path().join("other.db");
    let conn = Connection::open(&other).expect("opened");
    conn.execute_batch("CREATE TABLE account (id INTEGER PRIMARY KEY)").expect("made");
    drop(conn);
    let stamped = folder.path().join("stamped.db");
    let conn = Connection::open(&stamped).expect("opened");
    conn.execute_batch("PRAGMA application_id = 7").expect("stamped");
    drop(conn);
    let text = folder.path().join("text.db");
    fs::write(&text, "This is not a database. ".repeat(99)).expect("written");
    for path in [other, stamped, text] {
        let before = fs::read(&path).expect("read");
        let why = format!("{} is not a Stonechat database: name another file", path.display());
        assert_eq!(refused(&path), why);
        assert_eq!(fs::read(&path).expect("read"), before);
        assert!(!log(&path).exists());
    }
}

#[test]
fn an_empty_file_becomes_ours() {
    let folder = folder();
    let path = folder.path().join("store.db");
    fs::write(&path, "").expect("written");
    block_on(open(&path).create(&jid("juliet@capulet.example"), credentials(0))).expect("created");
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = folder();
    let path = folder.path().join("store.db");
    block_on(open(&path).close());
    let conn = Connection::open(&path).expect("opened");
    conn.pragma_update(None, "user_version", 9_999).expect("written");
    drop(conn);
    let why = "was written by a newer version of Stonechat: use that version, or restore a backup";
    assert_eq!(refused(&path), format!("{} {why}", path.display()));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = folder();
    let why = refused(folder.path());
    assert!(why.starts_with(&format!("{} cannot be opened", folder.path().display())), "{why}");
    assert_eq!(why.lines().count(), 1);
}

#[test]
fn two_processes_see_each_others_changes() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let (server, tool) = (open(&path), open(&path));
    let juliet = jid("juliet@capulet.example");
    let (_, since) = block_on(server.revoked(None)).expect("a number");
    block_on(tool.create(&juliet, credentials(1))).expect("created");
    assert!(block_on(server.credentials(&juliet)) == Ok(Some(credentials(1))));
    block_on(server.set_item(&juliet, &jid("romeo@montague.example"), None, vec![])).expect("set");
    block_on(tool.set_credentials(&juliet, credentials(2))).expect("set");
    assert!(block_on(server.credentials(&juliet)) == Ok(Some(credentials(2))));
    let (told, since) = block_on(server.revoked(Some(since))).expect("revocations");
    assert_eq!((told.len(), told[0].what), (1, Revoked::Password));
    block_on(tool.delete(&juliet)).expect("deleted");
    let (told, _) = block_on(server.revoked(Some(since))).expect("revocations");
    assert_eq!((told.len(), told[0].what), (1, Revoked::Account));
    assert_eq!(block_on(server.roster(&juliet)), Err(StoreError::NotFound));
    assert_eq!(server.masking_key(), tool.masking_key());
}

#[test]
fn two_processes_that_write_at_once_lose_nothing() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let stores = [open(&path), open(&path)];
    let mut created = Vec::new();
    for n in 0..200 {
        let account = jid(&format!("n{n}@capulet.example"));
        created.push(stores[n % 2].create(&account, credentials(0)));
    }
    for result in created {
        assert_eq!(block_on(result), Ok(()));
    }
    assert_eq!(block_on(stores[0].list()).expect("a list").len(), 200);
}

#[test]
fn a_second_process_that_serves_the_database_is_refused_until_the_first_has_ended() {
    let folder = folder();
    let path = folder.path().join("new/store.db");
    let serve = || Sqlite::serve(&path, Durability::Process, CAPS);
    let first = serve().expect("opened");
    let again = || serve().map(|_| ());
    let why = format!("{} is being served by another process: stop that one first", path.display());
    assert_eq!(again(), Err(StoreError::Unusable(why.into())));
    let juliet = jid("juliet@capulet.example");
    block_on(open(&path).create(&juliet, credentials(0))).expect("tools work beside it");
    assert_eq!(block_on(first.exists(&juliet)), Ok(true));
    block_on(first.close());
    let second = serve().expect("the first has ended, although its value is still there");
    assert_eq!(block_on(second.exists(&juliet)), Ok(true));
    drop(first);
    assert!(again().is_err());
}

#[test]
fn processes_that_make_the_database_at_once_take_turns() {
    let folder = folder();
    let path = &folder.path().join("store.db");
    let keys: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| open(path).masking_key())).collect();
        threads.into_iter().map(|t| t.join().expect("opened")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn writes_that_wait_together_are_committed_together() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    // Another process holds the lock while they are queued.
    let other = Connection::open(&path).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let before = commits(&path);
    let names = (0..100).map(|n| Some(format!("name {n}")));
    let set = |name| store.set_item(&juliet, &jid("romeo@montague.example"), name, vec![]);
    let writes: Vec<_> = names.map(set).collect();
    other.execute_batch("ROLLBACK").expect("unlocked");
    for (write, version) in writes.into_iter().zip(1..) {
        assert_eq!(block_on(write).expect("set").version, version);
    }
    let commits = commits(&path) - before;
    // The first may have been taken alone, before the others came.
    assert!((1..=2).contains(&commits), "100 writes took {commits} commits");
}

#[test]
fn n5_a_result_is_given_only_after_the_commit() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    let reader = Connection::open(&path).expect("opened");
    for n in 1..=50_i64 {
        block_on(store.set_item(&juliet, &jid("romeo@montague.example"), None, vec![]))
            .expect("set");
        let version: i64 = reader
            .query_row("SELECT roster_version FROM account", [], |row| row.get(0))
            .expect("a version");
        assert_eq!(version, n);
    }
}

#[test]
fn after_close_the_file_alone_is_a_backup() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    drop(store.put(vec![waiting(juliet.as_str(), b"still queued")].into()));
    block_on(store.close());
    assert!(!log(&path).exists());
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).expect("copied");
    assert_eq!(block_on(open(&copy).count(&juliet)), Ok(1));
}

#[test]
fn a_deleted_account_leaves_no_rows() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    let stranger = jid("paris@verona.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    block_on(store.set_item(&juliet, &stranger, None, vec!["Suitors".into()])).expect("set");
    let ask = store.subscription(roster_store::Verb::Subscribe, &stranger, &juliet, b"?".into());
    block_on(ask).expect("asked");
    block_on(store.put(vec![waiting(juliet.as_str(), b"hello")].into()).1).expect("kept");
    block_on(store.put_documents(&juliet, vec![(DocumentKey::VCard, b"?".into())])).expect("put");
    block_on(store.block(&juliet, vec![stranger.as_jid().clone()])).expect("blocked");
    let always = vec![stranger.as_jid().clone()];
    let preferences = Preferences { default: Policy::Never, always, never: vec![] };
    block_on(store.set_preferences(&juliet, preferences)).expect("set");
    block_on(store.left(&juliet, Left { at: UNIX_EPOCH, status: None })).expect("noted");
    let conn = Connection::open(&path).expect("opened");
    let rows = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).expect("a count")
    };
    let owned = [
        "account",
        "credential",
        "roster",
        "roster_group",
        "request",
        "message",
        "pending",
        "document",
        "blocked",
        "activity",
        "archive_default",
        "archive_rule",
    ];
    assert_eq!(owned.map(rows), [1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    block_on(store.delete(&juliet)).expect("deleted");
    assert_eq!(owned.map(rows), [0; 12]);
}

#[test]
fn n2_what_is_sent_again_before_the_first_has_failed_fails_with_it() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    let put = || {
        let messages = vec![waiting(juliet.as_str(), b"hello")];
        store.put(Put { messages, origin: Some(Origin::of([1; 8])), source: None })
    };
    // Another process holds the lock while they are queued.
    let other = Connection::open(&path).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let ((_, first), (taken, second)) = (put(), put());
    other.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(written(first), Err(StoreError::NotFound), "there is no Juliet");
    assert_eq!(taken, Taken::Again);
    assert!(matches!(written(second), Err(StoreError::Failed(_))));
    block_on(store.create(&juliet, credentials(0))).expect("created");
    let (taken, third) = put();
    assert!(matches!(taken, Taken::New(_)));
    assert_eq!(written(third), Ok(()));
}

#[test]
fn n2_what_cannot_come_again_is_cleared_away() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    for hours in 0..50 {
        let at = UNIX_EPOCH + Duration::from_secs(60 * 60 * hours);
        let messages = vec![NewMessage { archived: true, at, ..waiting(juliet.as_str(), b"?") }];
        let origin = Some(Origin::of(u64::to_le_bytes(hours)));
        block_on(store.put(Put { messages, origin, source: None }).1).expect("kept");
    }
    block_on(store.purge(None, Retention::default())).expect("a step");
    let conn = Connection::open(&path).expect("opened");
    let rows: i64 =
        conn.query_row("SELECT count(*) FROM origin", [], |row| row.get(0)).expect("a count");
    assert_eq!(rows, 26, "a day, an hour more, and the last");
}

/// The bytes of a log's file.
fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |file| file.len())
}

#[test]
fn what_a_kill_left_in_the_log_is_in_the_database_before_it_is_served() {
    let folder = folder();
    let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
    let store = open(&path);
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    let put = || {
        let messages = vec![waiting(juliet.as_str(), b"hello")];
        Put { messages, origin: Some(Origin::of([1; 8])), source: None }
    };
    block_on(store.put(put()).1).expect("kept");
    for (from, to) in [(&path, &copy), (&log(&path), &log(&copy))] {
        fs::copy(from, to).expect("copied");
    }
    assert!(length(&log(&copy)) > 0);
    let copied = Sqlite::serve(&copy, Durability::Disk, CAPS).expect("opened");
    assert_eq!(length(&log(&copy)), 0);
    assert_eq!(block_on(copied.count(&juliet)), Ok(1));
    let (taken, kept) = copied.put(put());
    assert_eq!((taken, written(kept)), (Taken::Again, Ok(())));
}

#[test]
fn r03_the_log_does_not_grow_without_end_while_somebody_always_reads() {
    const LONG: u64 = 32 * 1024 * 1024;
    let folder = folder();
    let path = &folder.path().join("store.db");
    let store = Sqlite::open(path, Durability::Process, Caps::default()).expect("opened");
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    let over = &AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        // Each begins before the other ends.
        for _ in 0..2 {
            scope.spawn(move || {
                let conn = Connection::open(path).expect("opened");
                while !over.load(Ordering::Relaxed) {
                    conn.execute_batch("BEGIN; SELECT count(*) FROM account").expect("read");
                    thread::sleep(Duration::from_millis(3));
                    conn.execute_batch("COMMIT").expect("read");
                }
            });
        }
        let mut longest = 0;
        for _ in 0..500 {
            let stanza = vec![b'a'; 200_000];
            let message = NewMessage { archived: true, ..waiting(juliet.as_str(), &stanza) };
            block_on(store.put(vec![message].into()).1).expect("kept");
            longest = longest.max(length(&log(path)));
        }
        over.store(true, Ordering::Relaxed);
        longest
    });
    // Of 100 MB; where the readers were slow it is tried again a little later.
    assert!(longest <= 2 * LONG + LONG / 8, "{longest}");
}

#[test]
fn a_tool_that_reads_for_long_keeps_nobody_waiting() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, Durability::Process, Caps::default()).expect("opened");
    let juliet = jid("juliet@capulet.example");
    block_on(store.create(&juliet, credentials(0))).expect("created");
    let tool = Connection::open(&path).expect("opened");
    tool.execute_batch("BEGIN; SELECT count(*) FROM account").expect("read");
    let begin = Instant::now();
    let put = |count| {
        for _ in 0..count {
            let stanza = vec![b'a'; 200_000];
            let message = NewMessage { archived: true, ..waiting(juliet.as_str(), &stanza) };
            block_on(store.put(vec![message].into()).1).expect("kept");
        }
    };
    put(400);
    assert!(length(&log(&path)) > 64 * 1024 * 1024, "it sees what was there when it began");
    let waited = begin.elapsed();
    assert!(waited < Duration::from_secs(20), "{waited:?}, if 5 seconds for each commit, an hour");
    tool.execute_batch("COMMIT").expect("read");
    put(3);
    assert!(length(&log(&path)) <= 16 * 1024 * 1024, "cut back once it has ended");
}

/// The write-ahead log of a database.
fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Commits in the log: its frames that carry the size of the database after them (SQLite file format 4.1).
fn commits(path: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let log = fs::read(log(path)).expect("the log");
    let word = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().expect("four bytes"));
    let (page, salt) = (word(8) as usize, word(16));
    let frames = (HEADER..log.len()).step_by(FRAME_HEADER + page);
    frames.filter(|&frame| word(frame + 8) == salt && word(frame + 4) != 0).count()
}
