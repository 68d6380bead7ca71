//! A small world: accounts and contacts written by hand, a clock that stands still, tasks polled by hand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test helpers, of which every file uses some"
)]

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use router::{
    BoxFuture, Claim, Directory, Environment, LoadError, Mail, Mailbox, Module, Record, Relation,
    Router, Settings,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};
use xmpp_core::{
    BareJid, Jid, Stanza, StreamError, ns,
    xml::{Element, Limits, Scope},
};

pub struct World {
    pub router: Arc<Router>,
    pub clock: Arc<Clock>,
    pub people: Arc<People>,
}

impl World {
    /// Romeo and Juliet, who do not know each other.
    pub fn new(modules: &[Arc<dyn Module>]) -> Self {
        Self::with(modules, |_| {})
    }

    pub fn with(modules: &[Arc<dyn Module>], set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(vec!["localhost".into()]);
        set(&mut settings);
        let clock = Arc::new(Clock::default());
        let people = Arc::new(People::default());
        for name in ["romeo@localhost", "juliet@localhost"] {
            people.add(name);
        }
        let router = Router::new(settings, modules, people.clone(), clock.clone()).unwrap();
        Self { router, clock, people }
    }

    pub fn connect(&self, jid: &str) -> Actor {
        Actor::connect(&self.router, jid)
    }

    /// Connected, available, and told so.
    pub fn online(&self, jid: &str) -> Actor {
        let mut actor = self.connect(jid);
        actor.send("<presence/>");
        actor.all();
        actor
    }
}

pub fn block(router: &Arc<Router>, owner: &str, address: &str) {
    change_blocked(router, owner, &[address.parse().unwrap()], &[]);
}

pub fn unblock(router: &Arc<Router>, owner: &str, address: &str) {
    change_blocked(router, owner, &[], &[address.parse().unwrap()]);
}

pub fn change_blocked(router: &Arc<Router>, owner: &str, added: &[Jid], removed: &[Jid]) {
    let account = finish(router.account(&owner.parse().unwrap())).unwrap();
    let mut turn = finish(router.turn(&account));
    finish(router.update_blocked(&mut turn, added, removed, |_| {}));
}

/// A session in a test's hands.
pub struct Actor {
    pub router: Arc<Router>,
    pub claim: Arc<Claim>,
    pub mailbox: Mailbox,
}

impl Actor {
    pub fn connect(router: &Arc<Router>, jid: &str) -> Self {
        let jid: Jid = jid.parse().unwrap();
        let (claim, mailbox) = finish(router.claim(&jid.to_bare(), jid.resource())).unwrap();
        Self { router: router.clone(), claim: Arc::new(claim), mailbox }
    }

    pub fn jid(&self) -> String {
        self.claim.jid().to_string()
    }

    pub fn account(&self) -> Arc<router::Account> {
        finish(self.router.account(self.claim.jid())).unwrap()
    }

    /// Sends a stanza and sees it through.
    pub fn send(&self, xml: &str) {
        finish(async { self.router.dispatch(&self.claim, stanza(xml), None).await.await.tell() });
    }

    /// Sends a stanza whose way is seen through later.
    pub fn start(&self, xml: &str) -> Task<()> {
        let (router, claim, stanza) = (self.router.clone(), self.claim.clone(), stanza(xml));
        Task::new(async move { router.dispatch(&claim, stanza, None).await.await.tell() })
    }

    /// All that has come, as it would be written.
    pub fn all(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(stanza) = self.take() {
            all.push(xml(&stanza));
        }
        all
    }

    /// Takes the next stanza that has come.
    pub fn take(&mut self) -> Option<Stanza> {
        go();
        let Some(Mail::Letter(letter)) = self.mailbox.try_next() else { return None };
        let stanza = letter.stanza().clone();
        self.router.took(&self.claim, [letter]);
        Some(stanza)
    }

    /// The next thing that has come; what comes behind it waits.
    pub fn next(&mut self) -> String {
        self.take().map(|stanza| xml(&stanza)).expect("a stanza")
    }

    /// The ids of all that has come.
    pub fn ids(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(stanza) = self.take() {
            ids.push(stanza.head.id.as_deref().unwrap_or_default().to_owned());
        }
        ids
    }

    /// The only thing that has come.
    pub fn one(&mut self) -> String {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    pub fn nothing(&mut self) {
        assert_eq!(self.all(), Vec::<String>::new());
    }

    pub fn closed(&mut self) -> StreamError {
        match self.mailbox.try_next() {
            Some(Mail::Close(error)) => error,
            other => panic!("not closed: {other:?}"),
        }
    }

    pub fn disconnect(self) {
        assert!(self.start_disconnect().go(), "it waits for something");
    }

    /// Ends the session; whoever else it concerns hears of it later.
    pub fn start_disconnect(self) -> Task<()> {
        let claim = Arc::into_inner(self.claim).expect("nothing of it is on its way");
        let (router, mailbox) = (self.router, self.mailbox);
        Task::new(async move { router.release(claim, mailbox, Vec::new()).await })
    }
}

/// A future that is polled by hand.
pub struct Task<T>(Option<BoxFuture<'static, T>>);

impl<T> Task<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(future.boxed()))
    }

    /// Goes as far as it can, and so do the tasks of their own; whether it is done.
    pub fn go(&mut self) -> bool {
        go();
        let done = self.poll();
        go();
        done || self.poll()
    }

    fn poll(&mut self) -> bool {
        let Some(future) = &mut self.0 else { return true };
        let done = Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if done {
            self.0 = None;
        }
        done
    }
}

/// Polls a future that has nothing to wait for, and then the tasks of their own.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => {
            go();
            value
        }
        Poll::Pending => panic!("it waits for something"),
    }
}

pub fn stanza(xml: &str) -> Stanza {
    let scope = Scope { default: ns::CLIENT.into(), ..Scope::default() };
    let raw = Bytes::copy_from_slice(xml.as_bytes());
    let element = Element::check(raw, &scope, &Limits::AFTER_AUTH).unwrap();
    Stanza::parse(&element).unwrap().unwrap()
}

pub fn xml(stanza: &Stanza) -> String {
    let mut out = BytesMut::new();
    stanza.write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[derive(Default)]
pub struct Clock {
    seconds: AtomicU64,
    tokens: AtomicU64,
    /// Sees tasks of their own through, where it is not [`go`].
    pub spawner: OnceLock<fn(BoxFuture<'static, ()>)>,
}

impl Clock {
    pub fn advance(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Environment for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }
    fn token(&self) -> String {
        format!("token{}", self.tokens.fetch_add(1, Ordering::Relaxed))
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        match self.spawner.get() {
            Some(spawn) => spawn(task),
            None => TASKS.with_borrow_mut(|tasks| tasks.push(Task(Some(task)))),
        }
    }
}

thread_local! {
    /// Tasks of their own that are not done.
    static TASKS: RefCell<Vec<Task<()>>> = const { RefCell::new(Vec::new()) };
}

/// Lets all tasks of their own go as far as they can.
pub fn go() {
    loop {
        let mut tasks = TASKS.take();
        let before = tasks.len();
        tasks.retain_mut(|task| !task.poll());
        let done = before - tasks.len();
        let new = TASKS.with_borrow_mut(|new| {
            let count = new.len();
            tasks.append(new);
            *new = tasks;
            count
        });
        if done == 0 && new == 0 {
            return;
        }
    }
}

/// A directory written by hand.
#[derive(Default)]
pub struct People {
    records: Mutex<HashMap<BareJid, Record>>,
    pub reads: AtomicUsize,
    /// Reads wait while it is held.
    pub slow: Arc<futures_util::lock::Mutex<()>>,
    pub broken: Mutex<bool>,
}

impl People {
    pub fn add(&self, name: &str) {
        self.records.lock().unwrap().insert(name.parse().unwrap(), Record::default());
    }

    pub fn remove(&self, name: &str) {
        self.records.lock().unwrap().remove(name);
    }

    /// What a module has to know of it.
    pub fn put_facet<T: std::any::Any + Send + Sync>(&self, owner: &str, value: T) {
        let owner: BareJid = owner.parse().unwrap();
        self.records.lock().unwrap().get_mut(&owner).unwrap().facets.put(value);
    }

    /// `owner` has blocked this address; to be said before it is read.
    pub fn block(&self, owner: &str, address: &str) {
        let owner: BareJid = owner.parse().unwrap();
        let mut records = self.records.lock().unwrap();
        records.get_mut(&owner).unwrap().blocked.push(address.parse().unwrap());
    }

    /// `contact` sees the presence of `owner`; to be said before either is read.
    pub fn subscribe(&self, contact: &str, owner: &str) {
        let mut records = self.records.lock().unwrap();
        let (contact, owner): (BareJid, BareJid) =
            (contact.parse().unwrap(), owner.parse().unwrap());
        let mut relation = |of: &BareJid, with: &BareJid, f: fn(&mut Relation)| {
            let record = records.get_mut(of).unwrap();
            record.version += 1;
            f(record.contacts.entry(with.clone()).or_default());
        };
        relation(&owner, &contact, |relation| relation.from = true);
        relation(&contact, &owner, |relation| relation.to = true);
    }
}

impl Directory for People {
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let record = self.records.lock().unwrap().get(account).cloned();
        let result = if *self.broken.lock().unwrap() { Err(LoadError) } else { Ok(record) };
        let slow = self.slow.clone();
        async move {
            drop(slow.lock().await);
            result
        }
        .boxed()
    }
}
