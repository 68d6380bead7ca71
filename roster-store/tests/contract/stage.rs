//! Stores to try the rules on, and short words for calling them.

use roster_store::{
    BoxFuture, Caps, Change, Durability, Parting, Removal, Result, Roster, Store, StoreError,
    SubscriptionOutcome, Unkept, Verb, memory::Memory, sqlite::Sqlite,
};
use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};
use tempfile::TempDir;
use xmpp_core::{
    BareJid,
    sasl::{Credentials, ScramKeys},
};

/// Small, so that they are soon reached.
pub(crate) const CAPS: Caps = Caps {
    roster_items: 4,
    roster_bytes: 200,
    roster_groups: 3,
    roster_text: 40,
    requests: 2,
    request_bytes: 64,
    offline_messages: 3,
    offline_bytes: 100,
    documents: 3,
    documents_bytes: 100,
    blocked: 4,
    blocked_bytes: 100,
    archive_rules: 3,
    archive_rules_bytes: 60,
    status_bytes: 10,
};

/// A store for one test.
pub(crate) struct Stage {
    store: Arc<dyn Store>,
    folder: Option<TempDir>,
    reopens: bool,
}

impl Stage {
    pub(crate) fn memory() -> Self {
        Self { store: Memory::new(CAPS), folder: None, reopens: false }
    }
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { store: open(&folder.path().join("store.db")), folder: Some(folder), reopens: false }
    }
    pub(crate) fn reopened() -> Self {
        Self { reopens: true, ..Self::sqlite() }
    }

    /// The store for the next step.
    pub(crate) fn next(&mut self) -> Arc<dyn Store> {
        if self.reopens
            && let Some(folder) = &self.folder
        {
            block_on(self.store.close());
            self.store = open(&folder.path().join("store.db"));
        }
        self.store.clone()
    }
    /// One step.
    pub(crate) fn run<T>(&mut self, call: impl FnOnce(&dyn Store) -> BoxFuture<T>) -> T {
        block_on(call(&*self.next()))
    }

    pub(crate) fn create(&mut self, account: &str) {
        self.run(|s| s.create(&jid(account), credentials(0))).expect("created");
    }
    pub(crate) fn delete(&mut self, account: &str) -> Vec<Parting> {
        self.run(|s| s.delete(&jid(account))).expect("deleted")
    }
    pub(crate) fn roster(&mut self, owner: &str) -> Roster {
        self.run(|s| s.roster(&jid(owner))).expect("a roster")
    }
    /// `jid state name groups` of each item, unlisted ones in brackets.
    pub(crate) fn shown(&mut self, owner: &str) -> Vec<String> {
        let items = self.roster(owner).items;
        let show = |item| show_item(&Some(item));
        items.into_iter().map(show).collect()
    }
    pub(crate) fn set(
        &mut self,
        owner: &str,
        contact: &str,
        name: &str,
        groups: &[&str],
    ) -> Result<Change> {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        self.run(|s| s.set_item(&jid(owner), &jid(contact), Some(name.to_owned()), groups))
    }
    pub(crate) fn remove(&mut self, owner: &str, contact: &str) -> Result<Removal> {
        self.run(|s| s.remove_item(&jid(owner), &jid(contact)))
    }
    pub(crate) fn say(&mut self, sender: &str, verb: Verb, recipient: &str) -> SubscriptionOutcome {
        let stanza = format!("{sender} asks");
        self.try_say(sender, verb, recipient, &stanza).expect("applied")
    }
    pub(crate) fn try_say(
        &mut self,
        sender: &str,
        verb: Verb,
        recipient: &str,
        stanza: &str,
    ) -> Result<SubscriptionOutcome> {
        self.run(|s| s.subscription(verb, &jid(sender), &jid(recipient), stanza.into()))
    }
    /// Both agree to both directions.
    pub(crate) fn befriend(&mut self, one: &str, other: &str) {
        for (asks, agrees) in [(one, other), (other, one)] {
            self.say(asks, Verb::Subscribe, agrees);
            self.say(agrees, Verb::Subscribed, asks);
        }
    }
    pub(crate) fn pending(&mut self, owner: &str) -> Vec<(String, String)> {
        let requests = self.run(|s| s.requests(&jid(owner))).expect("requests");
        let text = |stanza| String::from_utf8(stanza).expect("what was put in");
        requests.into_iter().map(|(jid, stanza)| (jid.to_string(), text(stanza))).collect()
    }
}

pub(crate) fn open(path: &Path) -> Arc<dyn Store> {
    // The tests do not cut the power.
    Sqlite::open(path, Durability::Process, CAPS).expect("opened")
}

pub(crate) fn jid(text: &str) -> BareJid {
    text.parse().expect("an address")
}

/// Distinct ones for each seed; not derived from a password, which is slow.
pub(crate) fn credentials(seed: u8) -> Credentials {
    let keys = |bytes: usize, iterations| ScramKeys {
        salt: vec![seed; 16],
        iterations,
        stored_key: vec![seed ^ 1; bytes],
        server_key: vec![seed ^ 2; bytes],
    };
    Credentials { sha1: keys(20, 4096), sha256: keys(32, 5000), sha512: keys(64, 6000) }
}

/// A change as `#version owner: before -> after`.
pub(crate) fn show(change: &Option<Change>) -> String {
    let Some(c) = change else { return "unchanged".into() };
    format!("#{} {}: {} -> {}", c.version, c.owner, show_item(&c.before), show_item(&c.after))
}

fn show_item(item: &Option<roster_store::Item>) -> String {
    let Some(item) = item else { return "nothing".into() };
    let s = item.subscription;
    let mut text = item.jid.to_string();
    let state = match (s.to, s.from) {
        (false, false) => " none",
        (true, false) => " to",
        (false, true) => " from",
        (true, true) => " both",
    };
    text.push_str(state);
    for (flag, word) in [(s.pending_out, " out"), (s.pending_in, " in"), (s.approved, " approved")]
    {
        if flag {
            text.push_str(word);
        }
    }
    if let Some(name) = &item.name {
        text.push_str(&format!(" {name:?}"));
    }
    if !item.groups.is_empty() {
        text.push_str(&format!(" {:?}", item.groups));
    }
    if item.listed { text } else { format!("({text})") }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// What became of messages that were put.
pub(crate) fn written(put: BoxFuture<Result<(), Unkept>>) -> Result<(), StoreError> {
    block_on(put).map_err(|why| match why {
        Unkept::Failed(error) => error,
        Unkept::InDoubt(_) => panic!("nobody knows"),
    })
}
