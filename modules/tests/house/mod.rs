//! A server without its doors: router, modules and a store in memory, or one that fails on demand.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "test helpers, of which every file uses some"
)]

#[path = "../../../router/tests/common/mod.rs"]
mod common;

pub use common::{Actor, Clock, finish, stanza};

use futures_util::{FutureExt, future::ready};
use modules::{
    ArchiveSettings, Contacts, Deps, End, Passwords, Power, Registrar, Software, StoreDirectory,
};
use roster_store::{Caps, Policy, Store, memory::Memory};
use router::{BoxFuture, Module, Router, Settings};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use xmpp_core::sasl::{Credentials, PasswordError};

pub struct House {
    pub router: Arc<Router>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<Clock>,
    pub registrar: Arc<Registrar>,
    pub power: Arc<Lever>,
    /// What is archived for those who have not said.
    archive: Policy,
}

/// What operators have asked for.
#[derive(Default)]
pub struct Lever(pub Mutex<Vec<(End, Duration)>>);

impl Power for Lever {
    fn end(&self, end: End, after: Duration) {
        self.0.lock().unwrap().push((end, after));
    }
}

/// Hashes at once: it is not what is tested here.
struct OneRound;

impl Passwords for OneRound {
    fn derive(&self, password: String) -> BoxFuture<'static, Result<Credentials, PasswordError>> {
        static SALT: AtomicU8 = AtomicU8::new(1);
        let salt = [SALT.fetch_add(1, Ordering::Relaxed); 16];
        ready(Credentials::derive(&password, 1, &[salt; 3])).boxed()
    }
}

impl House {
    /// Romeo, Juliet and the nurse, who do not know each other. Nothing is archived unless they say so.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(limit: impl FnOnce(&mut Caps)) -> Self {
        let mut caps = Caps::default();
        limit(&mut caps);
        let store = Memory::new(caps);
        let house = Self::over(store, caps);
        for name in ["romeo@localhost", "juliet@localhost", "nurse@localhost"] {
            house.add(name);
        }
        house
    }

    /// The same, and everything is archived.
    pub fn archiving() -> Self {
        let Self { store, .. } = Self::new();
        Self::build(store, Caps::default(), Policy::Always, Vec::new())
    }

    /// The same store behind another router: the server was restarted.
    pub fn restarted(&self) -> Self {
        Self::build(self.store.clone(), Caps::default(), self.archive, Vec::new())
    }

    /// The same store, with another module before all others.
    pub fn behind(&self, module: Arc<dyn Module>) -> Self {
        Self::build(self.store.clone(), Caps::default(), self.archive, vec![module])
    }

    /// Over any store, with nobody in it.
    pub fn over(store: Arc<dyn Store>, caps: Caps) -> Self {
        Self::build(store, caps, Policy::Never, Vec::new())
    }

    fn build(
        store: Arc<dyn Store>,
        caps: Caps,
        archive: Policy,
        mut modules: Vec<Arc<dyn Module>>,
    ) -> Self {
        let domains = vec!["localhost".to_owned()];
        let power = Arc::new(Lever::default());
        let software = Software { name: "House".into(), version: "1".into(), os: None };
        let deps = Deps {
            store: store.clone(),
            caps,
            archive: ArchiveSettings { default: archive, ..ArchiveSettings::default() },
            domains: domains.clone(),
            software,
            contacts: Contacts::default(),
            admins: vec!["nurse@localhost".parse().unwrap()],
            registrar: Registrar::new(store.clone(), Arc::new(OneRound)),
            power: power.clone(),
        };
        let registrar = deps.registrar.clone();
        let clock = Arc::new(Clock::default());
        let directory = Arc::new(StoreDirectory::new(store.clone(), archive));
        modules.extend(modules::all(&deps));
        let router =
            Router::new(Settings::new(domains), &modules, directory, clock.clone()).unwrap();
        Self { router, store, clock, registrar, power, archive }
    }

    pub fn add(&self, name: &str) {
        let credentials = Credentials::derive("secret", 1, &[[0; 16]; 3]).unwrap();
        finish(self.store.create(&name.parse().unwrap(), credentials)).unwrap();
    }

    /// Connected, and nothing more.
    pub fn connect(&self, jid: &str) -> Actor {
        Actor::connect(&self.router, jid)
    }

    /// Connected, has asked for its roster, available; all that came of it is read.
    pub fn online(&self, jid: &str) -> Actor {
        let mut actor = self.connect(jid);
        actor.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        actor.send("<presence/>");
        actor.all();
        actor
    }

    /// Both see each other's presence.
    pub fn befriend(&self, one: &mut Actor, other: &mut Actor) {
        for (asks, answers) in [(&*one, &*other), (&*other, &*one)] {
            let bare = |actor: &Actor| actor.claim.jid().to_bare();
            asks.send(&format!("<presence type='subscribe' to='{}'/>", bare(answers)));
            answers.send(&format!("<presence type='subscribed' to='{}'/>", bare(asks)));
        }
        one.all();
        other.all();
    }
}
