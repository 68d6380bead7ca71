//! The router with all modules, without streams.

use super::{Once, xml};
use futures_util::FutureExt;
use modules::{ArchiveSettings, Contacts, Deps, End, Passwords, Power, Registrar, Software};
use roster_store::{Accounts, Caps, Policy, Store, memory::Memory};
use router::{
    BoxFuture, Claim, Directory, Environment, LoadError, Mail, Mailbox, Record, Relation, Router,
    Settings,
};
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use xmpp_core::{
    BareJid, Jid, Stanza,
    sasl::{Credentials, PasswordError},
    stanza::{Kind, PresenceType},
};

/// Those who see Romeo's presence.
pub(crate) const CONTACTS: u64 = 500;

/// A message to somebody who is there.
pub(crate) fn message() -> Once {
    let hall = Hall::new();
    let romeo = hall.enter("romeo@localhost/orchard");
    let mut juliet = hall.enter("juliet@localhost/balcony");
    let message = xml::stanza();
    Box::new(move || {
        romeo.send(message.clone());
        juliet.hear();
    })
}

/// Presence to many.
pub(crate) fn presence() -> Once {
    let hall = Hall::new();
    let mut romeo = hall.enter("romeo@localhost/orchard");
    let mut contacts: Vec<_> = (0..CONTACTS).map(|n| hall.enter(&contact(n, "/home"))).collect();
    while romeo.mailbox.try_next().is_some() {}
    for contact in &mut contacts {
        while contact.mailbox.try_next().is_some() {}
    }
    let presence = Stanza::new(Kind::Presence(PresenceType::Available), "<show>away</show>".into());
    Box::new(move || {
        romeo.send(presence.clone());
        romeo.hear();
        contacts.iter_mut().for_each(Actor::hear);
    })
}

fn contact(number: u64, resource: &str) -> String {
    format!("contact{number}@localhost{resource}")
}

/// A router and who is there.
struct Hall {
    router: Arc<Router>,
    still: Arc<Still>,
    store: Arc<Memory>,
}

impl Hall {
    fn new() -> Self {
        let store = Memory::new(Caps::default());
        let everything: Arc<dyn Store> = store.clone();
        let archive = ArchiveSettings { default: Policy::Never, ..ArchiveSettings::default() };
        let modules = modules::all(&Deps {
            store: everything.clone(),
            caps: Caps::default(),
            archive,
            domains: vec!["localhost".into()],
            software: Software { name: "Stonechat".into(), version: "0".into(), os: None },
            contacts: Contacts::default(),
            admins: Vec::new(),
            registrar: Registrar::new(everything.clone(), Arc::new(Nobody)),
            power: Arc::new(Nobody),
        });
        let directory = modules::StoreDirectory::new(everything, archive.default);
        let settings = Settings::new(vec!["localhost".into()]);
        let people = Arc::new(People(directory));
        let still = Arc::<Still>::default();
        let router = Router::new(settings, &modules, people, still.clone()).expect("no clash");
        Self { router, still, store }
    }

    /// Somebody with an account, available.
    fn enter(&self, jid: &str) -> Actor {
        let jid: Jid = jid.parse().expect("an address");
        let account = jid.to_bare();
        let credentials = Credentials::derive("secret", 1, &[[0; 16]; 3]).expect("a password");
        now(self.store.create(&account, credentials)).expect("a new account");
        let (claim, mailbox) =
            now(self.router.claim(&account, jid.resource())).expect("nobody else is there");
        let mut actor = Actor { router: Arc::clone(&self.router), claim, mailbox };
        actor.send(Stanza::new(Kind::Presence(PresenceType::Available), "".into()));
        self.still.go();
        while actor.mailbox.try_next().is_some() {}
        actor
    }
}

/// A session without a stream.
struct Actor {
    router: Arc<Router>,
    claim: Claim,
    mailbox: Mailbox,
}

impl Actor {
    fn send(&self, stanza: Stanza) {
        now(async { self.router.dispatch(&self.claim, stanza, None).await.await.tell() });
    }

    fn hear(&mut self) {
        let Some(Mail::Letter(letter)) = self.mailbox.try_next() else { panic!("nothing came") };
        self.router.took(&self.claim, [letter]);
    }
}

/// Romeo's contacts see his presence.
struct People(modules::StoreDirectory);

impl Directory for People {
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>> {
        let (load, is_romeo) = (self.0.load(account), account.as_str() == "romeo@localhost");
        Box::pin(async move {
            let mut record = load.await?;
            if let Some(record) = record.as_mut().filter(|_| is_romeo) {
                let relation = Relation { from: true, listed: true, ..Relation::default() };
                let contacts = (0..CONTACTS).map(|n| contact(n, "").parse().expect("an address"));
                record.contacts = contacts.map(|contact| (contact, relation)).collect();
            }
            Ok(record)
        })
    }
}

/// A clock that stands still, no dice, and what is to be seen through.
#[derive(Default)]
struct Still(Mutex<Vec<BoxFuture<'static, ()>>>);

impl Still {
    /// Sees through what was asked for.
    fn go(&self) {
        let tasks = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.into_iter().for_each(now);
    }
}

impl Environment for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn token(&self) -> String {
        "token".into()
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// Hashes no password and ends nothing.
struct Nobody;

impl Passwords for Nobody {
    fn derive(&self, _: String) -> BoxFuture<'static, Result<Credentials, PasswordError>> {
        Box::pin(async { Err(PasswordError) })
    }
}

impl Power for Nobody {
    fn end(&self, _: End, _: Duration) {}
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}
