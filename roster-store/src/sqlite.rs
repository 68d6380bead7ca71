//! The store in an SQLite database (WAL): one file that an operator can copy and look into.
//!
//! ```text
//!  callers ──> queue ──> writer thread: a transaction for all that waits, a savepoint for each, one commit ──> futures
//!         └──> queue ──> two reader threads: what need not be in order with the writes
//! ```
//!
//! Other processes may work on the same file at the same time, so nothing of it is cached here.

mod archive;
mod blocks;
mod health;
mod log;
mod messages;
mod open;
mod personal;
mod queue;
mod rows;
mod worker;

use crate::{
    Accounts, BoxFuture, Caps, Change, Durability, Health, Parting, Profile, Removal, Request,
    Result, Revocation, Roster, Rosters, Store, StoreError, SubscriptionOutcome, Verb,
    law::{self, Rows},
    messages::{Numbers, Origins},
};
use futures_channel::oneshot;
use health::Pulse;
use log::Log;
use queue::Queue;
use rows::Tx;
use std::{
    fs::File,
    future::ready,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use worker::{Access, Job};
use xmpp_core::{BareJid, sasl::Credentials};

/// Threads that read: one may be busy with a long list while logins go on.
const READERS: usize = 2;

/// A store in a database file. Dropped without [`close`](Store::close) it still commits what is queued, unless the
/// process ends first.
pub struct Sqlite {
    caps: Caps,
    masking_key: [u8; 32],
    path: PathBuf,
    /// What messages are given on their way in, and what was put before. Locked while they are queued, so that they are written in
    /// the order of their numbers.
    intake: Arc<Mutex<(Numbers, Origins)>>,
    writes: Arc<Queue<Job>>,
    reads: Arc<Queue<Job>>,
    pulse: Arc<Pulse>,
    /// Gone when the last thread has closed its connection.
    closing: Weak<Closing>,
}

/// What ends with the last thread, in this order.
struct Closing {
    /// The right to serve the database.
    _alone: Option<File>,
    /// Those who wait for the end: woken when it is dropped.
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Sqlite {
    /// Opens the database, making it (mode 0600) and its folder where they are missing, and upgrading its schema. Blocks.
    /// [`StoreError::Unusable`] says in one line why not: not ours, newer than us, no permission.
    pub fn open(path: &Path, durability: Durability, caps: Caps) -> Result<Arc<Self>> {
        Self::start(path, durability, caps, None)
    }

    /// As [`open`](Self::open), for the one process that serves the accounts: what sessions see of each other goes through
    /// its memory. Another that wants to serve the same database meanwhile is refused; tools that `open` it are not.
    pub fn serve(path: &Path, durability: Durability, caps: Caps) -> Result<Arc<Self>> {
        Self::start(path, durability, caps, Some(open::alone(path)?))
    }

    fn start(
        path: &Path,
        durability: Durability,
        caps: Caps,
        alone: Option<File>,
    ) -> Result<Arc<Self>> {
        let (conn, masking_key) = open::writable(path, durability)?;
        let log = Log::of(path);
        if alone.is_some() && durability == Durability::Disk {
            log.secure(&conn).map_err(|error| open::unusable(path, error))?;
        }
        let intake =
            (Numbers::after(Tx(&conn).last_message()?), Origins::restored(Tx(&conn).origins()?));
        let closing = Arc::new(Closing { _alone: alone, waiting: Mutex::default() });
        let store = Arc::new(Self {
            caps,
            masking_key,
            path: path.to_owned(),
            intake: Arc::new(Mutex::new(intake)),
            writes: Arc::new(Queue::new()),
            reads: Arc::new(Queue::new()),
            pulse: Arc::default(),
            closing: Arc::downgrade(&closing),
        });
        let thread = |started: io::Result<()>| {
            started
                .map_err(|e| StoreError::Unusable(format!("no thread for the store: {e}").into()))
        };
        for _ in 0..READERS {
            let conn = open::readable(path)?;
            let (queue, pulse) = (store.reads.clone(), store.pulse.clone());
            thread(worker::reader(conn, queue, pulse, closing.clone()))?;
        }
        let (queue, pulse) = (store.writes.clone(), store.pulse.clone());
        thread(worker::writer(conn, log, queue, pulse, closing))?;
        Ok(store)
    }

    /// Queues an operation that writes; `bytes` of stanzas wait with it.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> BoxFuture<Result<T>> {
        submit(&self.writes, Access::Write, bytes, operation)
    }

    /// Queues an operation that reads, after the writes before it.
    fn read_in_order<T: Send + 'static>(
        &self,
        operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> BoxFuture<Result<T>> {
        submit(&self.writes, Access::Read, 0, operation)
    }

    /// Queues an operation that reads what is committed: one statement, since it has no transaction.
    fn read<T: Send + 'static>(
        &self,
        operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> BoxFuture<Result<T>> {
        submit(&self.reads, Access::Read, 0, operation)
    }
}

fn submit<T: Send + 'static>(
    queue: &Queue<Job>,
    access: Access,
    bytes: usize,
    operation: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> BoxFuture<Result<T>> {
    let (job, result) = Job::new(access, operation);
    match queue.push(job, bytes) {
        Ok(()) => result,
        Err(error) => Box::pin(ready(Err(error))),
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Accounts for Sqlite {
    fn credentials(&self, account: &BareJid) -> BoxFuture<Result<Option<Credentials>>> {
        let account = account.clone();
        self.read(move |tx| tx.credentials(&account))
    }
    fn exists(&self, account: &BareJid) -> BoxFuture<Result<bool>> {
        let account = account.clone();
        self.read(move |tx| Ok(tx.account(&account)?.is_some()))
    }
    fn create(&self, account: &BareJid, credentials: Credentials) -> BoxFuture<Result<()>> {
        let account = account.clone();
        self.write(0, move |tx| tx.create(&account, &credentials))
    }
    fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
    ) -> BoxFuture<Result<()>> {
        let account = account.clone();
        self.write(0, move |tx| tx.set_credentials(&account, &credentials))
    }
    fn delete(&self, account: &BareJid) -> BoxFuture<Result<Vec<Parting>>> {
        let account = account.clone();
        self.write(0, move |tx| law::delete_account(tx, &account))
    }
    fn list(&self) -> BoxFuture<Result<Vec<BareJid>>> {
        self.read(|tx| tx.list())
    }
    fn revoked(&self, since: Option<i64>) -> BoxFuture<Result<(Vec<Revocation>, i64)>> {
        self.read(move |tx| tx.revoked(since))
    }
    fn masking_key(&self) -> [u8; 32] {
        self.masking_key
    }
}

impl Rosters for Sqlite {
    fn roster(&self, owner: &BareJid) -> BoxFuture<Result<Roster>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| law::roster(tx, &owner))
    }
    fn set_item(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> BoxFuture<Result<Change>> {
        let (caps, owner, contact) = (self.caps, owner.clone(), contact.clone());
        let bytes = name.iter().chain(&groups).map(String::len).sum();
        self.write(bytes, move |tx| {
            law::set_item(tx, &caps, &owner, &contact, name.as_deref(), &groups)
        })
    }
    fn remove_item(&self, owner: &BareJid, contact: &BareJid) -> BoxFuture<Result<Removal>> {
        let (owner, contact) = (owner.clone(), contact.clone());
        self.write(0, move |tx| law::remove_item(tx, &owner, &contact))
    }
    fn subscription(
        &self,
        verb: Verb,
        sender: &BareJid,
        recipient: &BareJid,
        stanza: Vec<u8>,
    ) -> BoxFuture<Result<SubscriptionOutcome>> {
        let (caps, sender, recipient) = (self.caps, sender.clone(), recipient.clone());
        self.write(stanza.len(), move |tx| {
            law::subscription(tx, &caps, verb, &sender, &recipient, &stanza)
        })
    }
    fn ask_in_vain(
        &self,
        sender: &BareJid,
        recipient: &BareJid,
    ) -> BoxFuture<Result<Option<Change>>> {
        let (caps, sender, recipient) = (self.caps, sender.clone(), recipient.clone());
        self.write(0, move |tx| law::ask_in_vain(tx, &caps, &sender, &recipient))
    }
    fn requests(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Request>>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| tx.requests(&owner))
    }
}

impl Store for Sqlite {
    fn profile(&self, owner: &BareJid) -> BoxFuture<Result<Profile>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| law::profile(tx, &owner))
    }
    fn queued(&self) -> usize {
        self.writes.len() + self.reads.len()
    }
    fn health(&self) -> Health {
        self.pulse.health()
    }
    fn close(&self) -> BoxFuture<()> {
        let (end, ended) = oneshot::channel();
        if let Some(closing) = self.closing.upgrade() {
            closing.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(end);
        }
        self.writes.close();
        self.reads.close();
        Box::pin(async {
            ended.await.ok(); // nothing is sent: it ends when the last thread drops the other side
        })
    }
}
