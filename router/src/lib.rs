//! Who is here, and the law of delivery between them; and the contract of a [`Module`].
//!
//! A driver [`claim`](Router::claim)s a full address for a session, hands every stanza of the session to
//! [`Router::dispatch`] one at a time, and writes what its [`Mailbox`] gives. Everything else — delivery, presence,
//! iq handlers — happens between these three calls, in the sender's task.
//!
//! Nothing here knows a socket, a clock, a store or an executor: time and randomness come from an [`Environment`],
//! accounts from a [`Directory`], and what must wait is waited for in the task that caused it, or by the environment.

mod account;
mod admit;
mod backlog;
mod blocks;
mod claim;
mod copy;
mod counts;
mod declare;
mod delivery;
mod directory;
mod frozen;
mod info;
mod iq;
mod lane;
mod mailbox;
mod module;
mod presence;
mod probe;
mod route;
mod row;
mod settling;
mod table;

pub use account::{Account, Seat, Session, Turn, View};
pub use claim::{Claim, ClaimError};
pub use copy::Copying;
pub use counts::Counts;
pub use declare::{ClashError, Declare, xeps};
pub use directory::{Directory, Facets, LoadError, Record, Relation};
pub use frozen::Frozen;
pub use futures_util::future::BoxFuture;
pub use info::{Extension, Identity, Info, Offer};
pub use mailbox::{Letter, Mail, Mailbox};
pub use module::{
    Answer, At, Backlog, Discovery, Keeping, Kept, Leaving, Module, Party, Receipt, Reply, Request,
    Side, Source, Unkept, Urgency, Xep,
};
pub use settling::{Refusals, Settling};

use bytes::Bytes;
use counts::Counters;
use declare::{Declare as Law, UrgencyFn};
use futures_util::FutureExt;
use route::After;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use table::Table;
use xmpp_core::{BareJid, Jid, StanzaError, StreamError};

/// Time, dice, and somebody who finishes what nobody waits for.
pub trait Environment: Send + Sync {
    /// The wall clock.
    fn now(&self) -> SystemTime;
    /// A clock that never goes back, since any fixed moment.
    fn monotonic(&self) -> Duration;
    /// A random text of at least 128 bits, fit for a resource and an id.
    fn token(&self) -> String;
    /// Sees this through to its end, beside all else: it begins once the call is over, which may be under an account's
    /// guard.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// What the router must know, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The domains served here, in prepared form (RFC 7622 3.2); at least one.
    pub domains: Vec<String>,
    /// Sessions of one account at a time.
    pub sessions_per_account: usize,
    /// Bytes that may wait in one session's mailbox; a session that reads slower than that is closed.
    pub mailbox_bytes: usize,
    /// Bytes that may wait in one account's lane; past it senders get `resource-constraint`.
    pub lane_bytes: usize,
    /// Entities that one session may send directed presence to (RFC 6121 4.6).
    pub directed_presence: usize,
    /// Accounts kept in memory, known and unknown, besides those with sessions.
    pub accounts_in_memory: usize,
}

impl Settings {
    /// The usual limits for these domains.
    pub fn new(domains: Vec<String>) -> Self {
        Self {
            domains,
            sessions_per_account: 10,
            mailbox_bytes: 256 * 1024,
            lane_bytes: 256 * 1024,
            directed_presence: 1_000,
            accounts_in_memory: 100_000,
        }
    }
}

/// How long "there is no such account" is believed: another process may create it.
const ABSENCE: Duration = Duration::from_secs(5);

/// The table of who is here. One per process, shared.
pub struct Router {
    settings: Settings,
    /// The domains served here, and what their streams offer before and after authentication.
    domains: HashMap<String, [Bytes; 2]>,
    law: Law,
    infos: [Info; 2],
    directory: Arc<dyn Directory>,
    environment: Arc<dyn Environment>,
    table: Table,
    sessions: AtomicU64,
    counters: Counters,
    /// When it was made (monotonic).
    started: Duration,
}

impl Router {
    /// A router with these modules, in this order.
    ///
    /// # Errors
    /// Two modules claim the same.
    pub fn new(
        settings: Settings,
        modules: &[Arc<dyn Module>],
        directory: Arc<dyn Directory>,
        environment: Arc<dyn Environment>,
    ) -> Result<Arc<Self>, ClashError> {
        let law = Law::collect(modules)?;
        let infos = [At::Server, At::Own].map(|at| law.info(at));
        let offers = |domain: &str| {
            [Offer::BeforeAuth, Offer::AfterAuth]
                .map(|offer| law.offers_at(offer, &infos[0], domain))
        };
        Ok(Arc::new(Self {
            domains: settings.domains.iter().map(|name| (name.clone(), offers(name))).collect(),
            law,
            infos,
            table: Table::new(settings.accounts_in_memory),
            sessions: AtomicU64::new(0),
            counters: Counters::default(),
            settings,
            directory,
            started: environment.monotonic(),
            environment,
        }))
    }

    /// Closes all sessions of an account, e.g. after it was deleted, and [`recheck`](Self::recheck)s it. Where one of them
    /// asked for it, that one gets first what waits for it.
    pub fn close_account(&self, account: &BareJid, error: &StreamError, asked: Option<&Session>) {
        if let Some(account) = self.table.get(account.as_str()) {
            let mut state = account.guard();
            state.doubt();
            // The address may be another account's by now, whose roster begins anew.
            state.version = 0;
            for seat in &state.seats {
                match asked.filter(|session| seat.is_of(session)) {
                    Some(session) => session.close(error),
                    None => seat.post.close(error.clone()),
                }
            }
        }
    }

    /// Closes the sessions of an account for which this is true; how many there are.
    pub fn close_sessions(
        &self,
        account: &BareJid,
        error: &StreamError,
        which: impl Fn(&Seat) -> bool,
    ) -> usize {
        let Some(account) = self.table.get(account.as_str()) else { return 0 };
        let state = account.guard();
        let closed = state.seats.iter().filter(|seat| which(seat));
        closed.map(|seat| seat.post.close(error.clone())).count()
    }

    /// The accounts that have sessions now, in no order.
    pub fn online(&self) -> Vec<Arc<Account>> {
        let mut accounts = self.table.all();
        accounts.retain(|account| !account.guard().seats.is_empty());
        accounts
    }

    /// What is known of an account is read again before its next use: another process created or deleted it, or
    /// changed its roster.
    pub fn recheck(&self, account: &BareJid) {
        if let Some(account) = self.table.get(account.as_str()) {
            account.guard().doubt();
        }
    }

    /// Whether a domain is served here (prepared form).
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    /// Time and dice.
    pub fn environment(&self) -> &dyn Environment {
        &*self.environment
    }

    /// How long it has been here.
    pub fn uptime(&self) -> Duration {
        self.environment.monotonic().saturating_sub(self.started)
    }

    /// What service discovery says of the server ([`At::Server`]), or else of an account.
    pub fn info(&self, at: At) -> &Info {
        let [server, account] = &self.infos;
        if at == At::Server { server } else { account }
    }

    /// What the modules offer on a stream to this domain (prepared form), serialised; nothing where it is not served.
    pub fn stream_features(&self, offer: Offer, domain: &str) -> Bytes {
        let offers = self.domains.get(domain);
        offers.map_or_else(Bytes::new, |[before, after]| match offer {
            Offer::BeforeAuth => before.clone(),
            Offer::AfterAuth => after.clone(),
        })
    }

    /// What service discovery finds in a node: what stands in the `<query/>`; `None` where nobody knows the node.
    pub fn node(
        &self,
        request: &Request,
        what: Discovery,
        node: &str,
    ) -> Option<Result<Bytes, StanzaError>> {
        self.law.node(request, what, node)
    }

    /// The account of this address, loaded once for all who ask. Whether there is such an account is for
    /// [`Account::exists`] to say.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn account(&self, address: &Jid) -> Result<Arc<Account>, LoadError> {
        if let Some(account) = self.table.get(address.bare_str())
            && account.is_known(|| self.environment.monotonic())
        {
            return Ok(account);
        }
        let account = self.table.get_or_insert(address);
        while !account.is_known(|| self.environment.monotonic()) {
            let (load, number) = account
                .guard()
                .load(|| self.directory.load(account.jid()).map(share).boxed().shared());
            let result = load.await;
            let absent_until = self.environment.monotonic() + ABSENCE;
            account.guard().learn(account.jid(), number, &result, absent_until);
            result?;
        }
        Ok(account)
    }

    /// The account if it is in memory: one with sessions always is.
    pub(crate) fn present(&self, account: &str) -> Option<Arc<Account>> {
        self.table.get(account)
    }

    /// Looks at an account's sessions and sends to them, under its guard: nobody else delivers meanwhile. `look` must
    /// not call the router.
    pub async fn enter<T>(
        self: &Arc<Self>,
        account: &Arc<Account>,
        look: impl FnOnce(&mut View<'_>) -> T,
    ) -> T {
        let mut after = After::default();
        let result = {
            let mut state = account.guard();
            let result = look(&mut View { state: &mut state });
            self.clear_overflowed(account, &mut state, &mut after);
            result
        };
        self.finish(after).await;
        result
    }

    /// Waits for the right to change an account's roster: take it before the store is asked. Whoever needs two
    /// takes them with [`Router::turns`].
    pub async fn turn(&self, account: &Arc<Account>) -> Turn {
        account.turn().await
    }

    /// Waits for the right to change both rosters; in the order of the addresses, so that no two wait for each other.
    pub async fn turns(&self, one: &Arc<Account>, other: &Arc<Account>) -> (Turn, Turn) {
        if one.jid() < other.jid() {
            let first = one.turn().await;
            (first, other.turn().await)
        } else {
            let first = other.turn().await;
            (one.turn().await, first)
        }
    }

    /// Takes over a change that the store has made to a roster, and tells the sessions, under the account's guard.
    pub async fn update<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        version: u64,
        contact: &BareJid,
        relation: Relation,
        tell: impl FnOnce(&mut View<'_>) -> T,
    ) -> T {
        turn.unchanged();
        let account = turn.account.clone();
        self.enter(&account, |view| {
            let state = &mut *view.state;
            if version > state.version + 1 {
                // Another process has changed the roster too.
                state.doubt();
            }
            state.version = state.version.max(version);
            if relation == Relation::default() {
                state.contacts.remove(contact);
            } else {
                state.contacts.insert(contact.clone(), relation);
            }
            tell(view)
        })
        .await
    }

    /// What inactive sessions can wait for, if any module says so.
    pub(crate) fn urgency(&self) -> Option<Arc<UrgencyFn>> {
        self.law.urgency.as_ref().map(|(_, urgency)| urgency.clone())
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn share(result: Result<Option<Record>, LoadError>) -> Result<Option<Arc<Record>>, LoadError> {
    result.map(|record| record.map(Arc::new))
}

/// Locks; a fault in one session must not end the others, so a poisoned lock is taken as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
