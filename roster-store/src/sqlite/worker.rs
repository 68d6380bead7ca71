//! The threads that own a connection: one that writes, with group commit, and those that read.
//!
//! # When a commit fails
//!
//! Every write in it fails, its callers hear so at once, and nothing is tried again by itself. The next commit stands for
//! itself, after a failed flush too, where the system may have marked pages as clean that are not on the disk: SQLite takes a failed
//! commit back by going on in its log where that began. So the next one writes every page of the log anew that it needs, flushes
//! them, and is believed for that flush alone; what stands before it was flushed by commits that succeeded. Pages of the database
//! that could not be flushed are copied to it from the log once more, since the log does not begin anew before that has succeeded.
//!
//! What a failed commit has left in the log is another matter: if only the flush failed it is all there, and after a kill the next
//! process would take it for committed, although the senders have heard that it is not kept. So before they hear so a
//! commit of no importance, a trial, writes over its beginning; that need not be flushed to be what the next process finds.
//! Only a power cut between the failed flush and the next good one can bring it back: what was refused then is there. Where
//! nothing can be written any more (a file system that has made itself read-only between the two), nobody can say what the next
//! process will find. Such a message is in doubt ([`Unkept`]) until something has been written there. While writes fail a trial
//! is made every second, so that it is known when they succeed again.

use super::{
    health::Pulse,
    log::{Log, fold},
    open::BUSY,
    queue::Queue,
    rows::Tx,
};
use crate::{BoxFuture, Result, StoreError, Unkept};
use futures_channel::oneshot;
use rusqlite::{Connection, ErrorCode, ffi};
use std::{
    future::pending,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

/// How many operations one commit carries at most: under full load a commit stays within a few milliseconds.
const BATCH: usize = 1_024;

/// How long after a failure, with nothing to write, it is tried whether writing works again.
const TRIAL: Duration = Duration::from_secs(1);

/// Whether an operation writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// An operation on its way to a thread. Dropped without having been done, its future fails.
pub(super) struct Job {
    access: Access,
    work: Box<dyn Work>,
}

impl Job {
    /// A job and the future of its result. The operation runs again if it only read and its transaction failed, and if another
    /// one in its transaction failed half-way.
    pub(super) fn new<T: Send + 'static>(
        access: Access,
        operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> (Self, BoxFuture<Result<T>>) {
        let (job, outcome) = Self::of(access, operation, |_| ());
        let result = async {
            match outcome.await {
                Ok(Outcome::Known(result)) => result,
                Ok(Outcome::InDoubt(error, _)) => Err(error),
                Err(oneshot::Canceled) => Err(failed("the thread has ended")),
            }
        };
        (job, Box::pin(result))
    }

    /// A job that puts messages. What is known of them in the end is shown to `watch` before anybody else hears of it.
    pub(super) fn put(
        operation: impl FnMut(&mut Tx<'_>) -> Result<()> + Send + 'static,
        watch: impl FnOnce(&Result<()>) + Send + 'static,
    ) -> (Self, BoxFuture<Result<(), Unkept>>) {
        let (job, outcome) = Self::of(Access::Write, operation, watch);
        let result = async {
            match outcome.await {
                Ok(Outcome::Known(result)) => Ok(result?),
                Ok(Outcome::InDoubt(_, later)) => Err(Unkept::InDoubt(Box::pin(failure(later)))),
                Err(oneshot::Canceled) => Err(failed("the thread has ended").into()),
            }
        };
        (job, Box::pin(result))
    }

    fn of<T: Send + 'static>(
        access: Access,
        operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
        watch: impl FnOnce(&Result<T>) + Send + 'static,
    ) -> (Self, oneshot::Receiver<Outcome<T>>) {
        let (reply, outcome) = oneshot::channel();
        let work = Box::new(Task { operation, watch, result: None, reply, in_doubt: false });
        (Self { access, work }, outcome)
    }
}

/// What is known of an operation.
enum Outcome<T> {
    Known(Result<T>),
    /// It has failed, but the next process may find it done. If that becomes impossible, it is told there.
    InDoubt(StoreError, oneshot::Receiver<Outcome<T>>),
}

/// That it has failed after all, and why.
async fn failure(later: oneshot::Receiver<Outcome<()>>) -> StoreError {
    match later.await {
        Ok(Outcome::Known(Err(error))) => error,
        _ => pending().await, // the thread has ended, and the next process will know
    }
}

/// Starts the thread that writes. It ends when its queue is closed and empty.
pub(super) fn writer(
    conn: Connection,
    mut log: Log,
    queue: Arc<Queue<Job>>,
    pulse: Arc<Pulse>,
    alive: impl Send + 'static,
) -> io::Result<()> {
    start("store-writer", queue, alive, move |queue| {
        let mut doubts = Doubts::default();
        let unwell = |doubts: &Doubts| pulse.writes_fail() || !doubts.0.is_empty();
        while let Some(batch) = queue.take(BATCH, unwell(&doubts).then_some(TRIAL)) {
            if batch.is_empty() {
                pulse.note(Access::Write, &try_out(&conn, &mut doubts));
                continue;
            }
            faults::site!("batch-taken");
            let access = if any_writes(&batch) { Access::Write } else { Access::Read };
            let outcome = commit(&conn, batch, &mut doubts);
            pulse.note(access, &outcome);
            log.keep_short(&conn, BUSY);
            // Whoever has work to do first: what comes of it goes with the next commit.
            thread::yield_now();
        }
        faults::site!("stop-before-checkpoint");
        // Everything into one file, so that a copy of it is a backup.
        match fold(&conn) {
            Ok(true) => {}
            Ok(false) => tracing::warn!("somebody reads the database: its log stays beside it"),
            Err(error) => {
                tracing::warn!(%error, "the store could not fold its log into the database");
            }
        }
        faults::site!("stop-after-checkpoint");
    })
}

/// Starts a thread that reads. It ends when its queue is closed and empty.
pub(super) fn reader(
    conn: Connection,
    queue: Arc<Queue<Job>>,
    pulse: Arc<Pulse>,
    alive: impl Send + 'static,
) -> io::Result<()> {
    start("store-reader", queue, alive, move |queue| {
        while let Some(mut job) = queue.take(1, None).and_then(|mut jobs| jobs.pop()) {
            pulse.note(Access::Read, &job.work.run(&conn));
            job.work.finish(Ok(()));
        }
    })
}

fn start<A: Send + 'static>(
    name: &str,
    queue: Arc<Queue<Job>>,
    alive: A,
    body: impl FnOnce(&Queue<Job>) + Send + 'static,
) -> io::Result<()> {
    /// Should the thread ever panic, nobody waits for it.
    struct Ended<A>(Arc<Queue<Job>>, A);
    impl<A> Drop for Ended<A> {
        fn drop(&mut self) {
            self.0.abandon();
        }
    }
    let ended = Ended(queue, alive);
    let thread = thread::Builder::new().name(name.into());
    // `body` owns the connection, which is closed before `ended` says so.
    thread.spawn(move || {
        let ended = ended;
        body(&ended.0);
    })?;
    Ok(())
}

fn any_writes(jobs: &[Job]) -> bool {
    jobs.iter().any(|job| job.access == Access::Write)
}

/// Writes whose commit has failed, and that the next process may find in the log all the same.
#[derive(Default)]
struct Doubts(Vec<(Job, StoreError)>);

impl Doubts {
    /// Tries to be rid of them, if there are any.
    fn clear_up(&mut self, conn: &Connection) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { try_out(conn, self) }
    }
    /// It will not: they have failed.
    fn dispel(&mut self) {
        for (job, error) in self.0.drain(..) {
            job.work.finish(Err(error));
        }
    }
    /// That is not known: who waits for them may do something else meanwhile.
    fn tell(&mut self) {
        for (job, error) in &mut self.0 {
            job.work.doubt(error);
        }
    }
}

/// How much of a commit stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Less than all: nothing, to whoever reads it.
    Part,
    /// Perhaps all.
    Unknown,
    /// All, flushed or not.
    Whole,
}

impl Extent {
    fn of(committed: &rusqlite::Result<usize>) -> Self {
        let Err(error) = committed else { return Self::Whole };
        match error.sqlite_error().map(|error| (error.code, error.extended_code)) {
            // Its last step; or a step of beginning the log anew, after which nothing of the old one counts.
            Some((_, ffi::SQLITE_IOERR_FSYNC)) => Self::Whole,
            Some((_, ffi::SQLITE_IOERR_WRITE)) => Self::Part,
            Some((ErrorCode::DiskFull | ErrorCode::ReadOnly, _)) => Self::Part,
            Some((ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy, _)) => Self::Part,
            _ => Self::Unknown,
        }
    }
}

/// Runs the jobs in one transaction and completes them when it is committed. If it cannot be, those that only read run
/// again without the others: who is here can still be known.
fn commit(conn: &Connection, mut jobs: Vec<Job>, doubts: &mut Doubts) -> Result<()> {
    let writes = any_writes(&jobs);
    let mut extent = Extent::Part;
    // Before that nothing else is certain either, not even that there was nothing to change.
    let certain = if writes { doubts.clear_up(conn) } else { Ok(()) };
    let committed = certain.and_then(|()| transact(conn, writes, &mut jobs, &mut extent));
    if writes && let Err(error) = &committed {
        let failed = jobs.extract_if(.., |job| job.access == Access::Write);
        let mut failed = Doubts(failed.map(|job| (job, error.clone())).collect());
        if extent == Extent::Part {
            failed.dispel();
        } else {
            doubts.0.append(&mut failed.0);
            if let Err(error) = doubts.clear_up(conn) {
                tracing::debug!(%error, count = doubts.0.len(), "what became of some writes is not known");
                doubts.tell();
            }
        }
        commit(conn, jobs, doubts)?;
    } else {
        for job in jobs {
            faults::site!("before-reply");
            job.work.finish(committed.clone());
        }
    }
    committed
}

/// `extent`: how much of it has come into the log.
fn transact(conn: &Connection, writes: bool, jobs: &mut [Job], extent: &mut Extent) -> Result<()> {
    let begin = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let mut outcome = attempt(conn, begin, Care::Together, jobs, extent);
    if let Ok(Attempt::Spoiled) = outcome {
        outcome = roll_back(conn).and_then(|()| attempt(conn, begin, Care::Apart, jobs, extent));
    }
    if outcome.is_err() && !conn.is_autocommit() {
        roll_back(conn)?;
    }
    outcome.map(drop)
}

fn roll_back(conn: &Connection) -> Result<()> {
    conn.prepare_cached("ROLLBACK")?.execute([])?;
    Ok(())
}

/// What becomes of an operation that fails after it has written something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Nothing is kept. That is seldom, and costs nothing where it does not happen.
    Together,
    /// It takes only itself back: each that writes has a savepoint, for which SQLite copies every page that it changes.
    Apart,
}

/// A transaction in which nothing of SQLite's has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Committed,
    /// An operation has failed half-way, and would have to be taken back by itself.
    Spoiled,
}

fn attempt(
    conn: &Connection,
    begin: &str,
    care: Care,
    jobs: &mut [Job],
    extent: &mut Extent,
) -> Result<Attempt> {
    conn.prepare_cached(begin)?.execute([])?;
    let mut count = 0;
    let mut fault = Ok(());
    for job in jobs {
        faults::site!("before-operation");
        let apart = care == Care::Apart && job.access == Access::Write;
        if apart {
            conn.prepare_cached("SAVEPOINT operation")?.execute([])?;
        }
        let before = conn.total_changes();
        let done = job.work.run(conn);
        if conn.is_autocommit() {
            // SQLite itself rolls everything back on a full disk and the like.
            return done.and(Err(failed("the transaction was rolled back")));
        }
        let spoils = !job.work.is_done() && conn.total_changes() != before;
        if spoils && !apart {
            return Ok(Attempt::Spoiled);
        }
        if spoils {
            conn.prepare_cached("ROLLBACK TO operation")?.execute([])?;
        }
        if apart {
            conn.prepare_cached("RELEASE operation")?.execute([])?;
        }
        if done.is_err() {
            count += 1;
            fault = fault.and(done);
        }
    }
    faults::site!("before-commit");
    let committed = conn.prepare_cached("COMMIT")?.execute([]);
    *extent = Extent::of(&committed);
    committed?;
    faults::site!("after-commit");
    if let Err(error) = fault {
        tracing::error!(count, %error, "operations failed by themselves");
    }
    Ok(Attempt::Committed)
}

/// A commit of no importance, which takes its place in the log.
fn try_out(conn: &Connection, doubts: &mut Doubts) -> Result<()> {
    let mut trial =
        conn.prepare_cached("UPDATE counter SET value = value + 1 WHERE name = 'trials'")?;
    let tried = trial.execute([]);
    if Extent::of(&tried) == Extent::Whole {
        doubts.dispel();
    }
    tried?;
    Ok(())
}

trait Work: Send {
    /// Runs the operation and keeps its result; an error where the store is at fault.
    fn run(&mut self, conn: &Connection) -> Result<()>;
    /// Whether it has succeeded.
    fn is_done(&self) -> bool;
    /// Completes the future: it has failed, and may be done.
    fn doubt(&mut self, error: &StoreError);
    /// Completes the future: with the result, or with why there was no commit.
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Task<T, F, W> {
    operation: F,
    watch: W,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Outcome<T>>,
    in_doubt: bool,
}

impl<T, F, W> Work for Task<T, F, W>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send,
    W: FnOnce(&Result<T>) + Send,
{
    fn run(&mut self, conn: &Connection) -> Result<()> {
        // What the operation wrote is rolled back, and what it holds it does not change: nothing sees a broken state.
        let result = catch_unwind(AssertUnwindSafe(|| (self.operation)(&mut Tx(conn))));
        let result = self.result.insert(result.unwrap_or_else(|_| Err(failed("a fault inside"))));
        match result {
            Err(error @ StoreError::Failed(_)) => Err(error.clone()),
            _ => Ok(()),
        }
    }
    fn is_done(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }
    fn doubt(&mut self, error: &StoreError) {
        if !mem::replace(&mut self.in_doubt, true) {
            let (reply, outcome) = oneshot::channel();
            let first = mem::replace(&mut self.reply, reply);
            first.send(Outcome::InDoubt(error.clone(), outcome)).ok();
        }
    }
    fn finish(self: Box<Self>, committed: Result<()>) {
        let Self { watch, result, reply, .. } = *self;
        let result = committed.and_then(|()| result.expect("what is committed has been run"));
        watch(&result);
        // Who has dropped the future does not want to know.
        reply.send(Outcome::Known(result)).ok();
    }
}

fn failed(why: &str) -> StoreError {
    StoreError::Failed(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().expect("opened");
        conn.execute_batch("CREATE TABLE word (text TEXT PRIMARY KEY)").expect("made");
        conn
    }

    fn insert(text: &str) -> (Job, BoxFuture<Result<i64>>) {
        let text = text.to_owned();
        Job::new(Access::Write, move |tx| {
            tx.0.execute("INSERT INTO word VALUES (?1)", [&text])?;
            Ok(tx.0.last_insert_rowid())
        })
    }

    fn count() -> (Job, BoxFuture<Result<i64>>) {
        Job::new(Access::Read, |tx| {
            Ok(tx.0.query_row("SELECT count(*) FROM word", [], |row| row.get(0))?)
        })
    }

    /// Runs the operations as one batch.
    fn batch<T>(
        conn: &Connection,
        operations: impl IntoIterator<Item = (Job, BoxFuture<Result<T>>)>,
    ) -> Vec<Result<T>> {
        let (jobs, results): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        // Its outcome is each write's own.
        commit(conn, jobs, &mut Doubts::default()).ok();
        let now = |result: BoxFuture<_>| {
            futures_util::FutureExt::now_or_never(result).expect("every future is completed")
        };
        results.into_iter().map(now).collect()
    }

    #[test]
    fn what_fails_takes_only_itself_back() {
        let conn = database();
        let results =
            batch(&conn, [insert("a"), count(), insert("a"), insert("b"), count(), insert("c")]);
        assert_eq!(results[..2], [Ok(1), Ok(1)]);
        assert!(matches!(results[2], Err(StoreError::Failed(_))));
        assert_eq!(results[3..], [Ok(2), Ok(2), Ok(3)]);
    }

    #[test]
    fn a_fault_inside_an_operation_is_rolled_back_and_reported() {
        let conn = database();
        let faulty = Job::new(Access::Write, |tx| {
            tx.0.execute("INSERT INTO word VALUES ('half')", [])?;
            panic!("planted here")
        });
        let results = batch(&conn, [insert("a"), faulty, insert("b"), count()]);
        assert_eq!(results, [Ok(1), Err(failed("a fault inside")), Ok(2), Ok(2)]);
    }

    #[test]
    fn a_full_disk_fails_the_writes_serves_the_reads_and_heals() {
        let conn = database();
        let pages: i64 = conn.query_row("PRAGMA page_count", [], |r| r.get(0)).expect("a count");
        conn.pragma_update(None, "max_page_count", pages).expect("set");
        let long = "long ".repeat(10_000);
        let results = batch(&conn, [count(), insert(&long), count()]);
        assert!(matches!(results[1], Err(StoreError::Failed(_))), "{results:?}");
        assert_eq!((&results[0], &results[2]), (&Ok(0), &Ok(0)));
        conn.pragma_update(None, "max_page_count", 1_000).expect("set");
        assert_eq!(batch(&conn, [insert(&long), count()])[1], Ok(1));
    }

    #[test]
    fn a_commit_that_fails_fails_every_write_in_it_and_no_read() {
        let conn = database();
        conn.execute_batch(
            "PRAGMA foreign_keys = ON;
             CREATE TABLE child (word TEXT REFERENCES word DEFERRABLE INITIALLY DEFERRED)",
        )
        .expect("made");
        let orphan = Job::new(Access::Write, |tx| {
            tx.0.execute("INSERT INTO child VALUES ('nobody')", [])?; // noticed at the commit
            Ok(0)
        });
        let results = batch(&conn, [insert("a"), orphan, count()]);
        assert!(matches!(&results[..2], [Err(StoreError::Failed(_)), Err(StoreError::Failed(_))]));
        assert_eq!(results[2], Ok(0), "read again, without what was not committed");
        assert_eq!(batch(&conn, [insert("a"), count()]), [Ok(1), Ok(1)]);
    }

    #[test]
    fn what_sqlite_rolls_back_by_itself_is_neither_done_nor_reported_as_done() {
        let conn = database();
        // As it does when it cannot read: inside the batch only, not when the reads run again.
        let mut first = true;
        let rollback = Job::new(Access::Read, move |tx| {
            if mem::take(&mut first) {
                tx.0.execute_batch("ROLLBACK")?;
            }
            Ok(0)
        });
        let results = batch(&conn, [insert("a"), rollback, insert("b"), count()]);
        assert!(matches!(results[0], Err(StoreError::Failed(_))), "{results:?}");
        assert!(matches!(results[2], Err(StoreError::Failed(_))), "{results:?}");
        assert_eq!((&results[1], &results[3]), (&Ok(0), &Ok(0)));
    }

    #[test]
    fn a_job_that_is_never_run_fails_its_future() {
        let (job, result) = count();
        drop(job);
        let result = futures_util::FutureExt::now_or_never(result).expect("completed");
        assert_eq!(result, Err(failed("the thread has ended")));
    }
}
