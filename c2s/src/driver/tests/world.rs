//! A server with two domains and four accounts, and a client that knows just enough.

use crate::{Door, Origin, Settings, driver::wire::Io};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use net::{
    hashing::Hashing,
    random,
    tls::{self, Tls},
};
use roster_store::{
    Accounts, BoxFuture as StoreFuture, Caps, Heard, Journal, LeftStreams, Result as StoreResult,
    Sessions, memory::Memory,
};
use router::{BoxFuture, Directory, Environment, LoadError, Module, Record, Router};
use std::{
    mem,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, empty},
    task::JoinHandle,
    time::Instant,
};
use xmpp_core::{
    BareJid, Jid, ns,
    sasl::{Credentials, MechanismName, client},
    stream,
};

pub(super) const PASSWORD: &str = "r0m30myr0m30";
/// That of the other Romeo, at `mantua.lit`.
pub(super) const PASSWORD_IN_MANTUA: &str = "apothecary";
/// Few rounds: hashing is not what is tested here.
const ROUNDS: u32 = 2;
/// What a kernel would hold for a slow reader.
const PIPE: usize = 16 * 1_024;

pub(super) struct Verona {
    pub(super) door: Arc<Door>,
    settings: Settings,
    pub(super) store: Arc<Memory>,
    shelf: Arc<Shelf>,
    start: Instant,
}

impl Verona {
    pub(super) async fn new() -> Self {
        Self::with(Settings::new("verona.lit")).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        Self::of(settings, &[]).await
    }

    /// With these features.
    pub(super) async fn of(mut settings: Settings, modules: &[Arc<dyn Module>]) -> Self {
        settings.iterations = ROUNDS;
        let store = Memory::new(Caps::default());
        for user in ["romeo", "juliet", "nurse"] {
            let credentials = Credentials::derive(PASSWORD, ROUNDS, &[[7; 16]; 3]).unwrap();
            let account = Jid::new(Some(user), "verona.lit", None).unwrap().to_bare();
            store.create(&account, credentials).await.unwrap();
        }
        let credentials = Credentials::derive(PASSWORD_IN_MANTUA, ROUNDS, &[[8; 16]; 3]).unwrap();
        store.create(&"romeo@mantua.lit".parse().unwrap(), credentials).await.unwrap();
        let start = Instant::now();
        let shelf = Arc::new(Shelf {
            folder: tempfile::tempdir().unwrap(),
            boot: Mutex::new("a boot, in as many letters as one has".into()),
            store: Arc::clone(&store),
        });
        let door = open(&settings, &store, &shelf, modules, start);
        door.take_up().await.unwrap();
        Self { door, settings, store, shelf, start }
    }

    /// The server shuts down, and another process begins.
    pub(super) async fn restart(&mut self) {
        self.door.shut().await;
        self.begin().await;
    }

    /// Another process begins, whatever became of the one before.
    pub(super) async fn begin(&mut self) {
        self.door = open(&self.settings, &self.store, &self.shelf, &[], self.start);
        self.door.take_up().await.unwrap();
    }

    /// The machine is started anew.
    pub(super) fn boot(&self) {
        self.shelf.boot.lock().unwrap().replace_range(..1, "A");
    }

    /// A connection in memory, and the task that serves it.
    pub(super) fn connect(&self, origin: Origin) -> (Client, JoinHandle<()>) {
        let (near, far) = duplex(PIPE);
        (Client::new(near), tokio::spawn(Arc::clone(&self.door).serve(far, origin)))
    }

    /// A protected connection from nowhere.
    pub(super) fn pipe(&self) -> (Client, JoinHandle<()>) {
        self.connect(Origin { address: None, secure: true })
    }

    /// Somebody who is bound to `home`.
    pub(super) async fn resident(&self, user: &str) -> (Client, JoinHandle<()>) {
        let (mut client, task) = self.pipe();
        client.log_in(MechanismName::ScramSha256, user).await;
        client.bind("home").await;
        (client, task)
    }
}

/// A process.
fn open(
    settings: &Settings,
    store: &Arc<Memory>,
    shelf: &Arc<Shelf>,
    modules: &[Arc<dyn Module>],
    start: Instant,
) -> Arc<Door> {
    let world = Arc::new(World { store: Arc::clone(store), start });
    let router = Router::new(
        router::Settings::new(vec!["verona.lit".into(), "mantua.lit".into()]),
        modules,
        Arc::clone(&world) as _,
        world,
    );
    let tls = Tls::ephemeral(&["verona.lit"]).unwrap();
    let hashing = Hashing::new(2, ROUNDS);
    let (accounts, sessions) = (Arc::clone(store) as _, Arc::clone(shelf) as _);
    Door::new(settings.clone(), router.unwrap(), accounts, sessions, Arc::new(tls), hashing)
}

/// What outlives a process beside the store.
struct Shelf {
    folder: tempfile::TempDir,
    boot: Mutex<String>,
    store: Arc<Memory>,
}

impl Sessions for Shelf {
    fn journal(&self) -> StoreResult<Option<(Journal, LeftStreams)>> {
        let boot = self.boot.lock().unwrap();
        Journal::open(&self.folder.path().join("streams"), Some(&boot)).map(Some)
    }
    fn heard(&self, streams: Vec<u32>) -> StoreFuture<StoreResult<Vec<(u32, Heard)>>> {
        self.store.heard(streams)
    }
    fn forget(&self, stream: u32) -> StoreFuture<StoreResult<()>> {
        self.store.forget(stream)
    }
}

struct World {
    store: Arc<Memory>,
    start: Instant,
}

impl Environment for World {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.start.elapsed()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn token(&self) -> String {
        random::token()
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

impl Directory for World {
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>> {
        let exists = self.store.exists(account);
        async move { Ok(exists.await.map_err(|_| LoadError)?.then(Record::default)) }.boxed()
    }
}

pub(super) struct Client {
    io: Box<dyn Io>,
    heard: String,
}

impl Client {
    pub(super) fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), heard: String::new() }
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads until this has come, and gives all up to its end.
    pub(super) async fn hear(&mut self, text: &str) -> String {
        self.hear_one_of(text, text).await
    }

    pub(super) async fn hear_one_of(&mut self, text: &str, other: &str) -> String {
        loop {
            let ends = [text, other].map(|text| self.heard.find(text).map(|at| at + text.len()));
            if let Some(end) = ends.into_iter().flatten().min() {
                let rest = self.heard.split_off(end);
                return mem::replace(&mut self.heard, rest);
            }
            let mut bytes = [0; 4_096];
            let count = self.io.read(&mut bytes).await.unwrap();
            assert!(count > 0, "ended before {text:?}: {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    /// Reads to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        self.io.read_to_string(&mut self.heard).await.unwrap();
        mem::take(&mut self.heard)
    }

    pub(super) fn header() -> String {
        let mut header = bytes::BytesMut::new();
        stream::write_initiating_header(&mut header, "verona.lit", None, None);
        String::from_utf8(header.to_vec()).unwrap()
    }

    /// Opens a stream and gives its features.
    pub(super) async fn open(&mut self) -> String {
        self.say(&Self::header()).await;
        self.hear("</stream:features>").await
    }

    pub(super) async fn start_tls(&mut self) {
        self.say(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
        let proceed = self.hear("/>").await;
        assert_eq!(proceed, format!("<proceed xmlns='{}'/>", ns::TLS));
        assert_eq!(self.heard, "");
        let io = mem::replace(&mut self.io, Box::new(empty()));
        self.io = Box::new(connect_tls(io, &[]).await.unwrap());
    }

    /// Opens a stream, authenticates and opens the next.
    pub(super) async fn log_in(&mut self, mechanism: MechanismName, user: &str) {
        self.open().await;
        let success = self.authenticate(mechanism, user, PASSWORD).await;
        assert!(success.is_ok(), "{success:?}");
        let features = self.open().await;
        assert!(features.contains(ns::BIND), "{features}");
    }

    /// Authenticates and checks the server's proof; an error is its answer.
    pub(super) async fn authenticate(
        &mut self,
        mechanism: MechanismName,
        user: &str,
        password: &str,
    ) -> Result<(), String> {
        let mut exchange =
            client::Client::new(mechanism, user, password, "fyko+d2lbbFgONRv").unwrap();
        let first = STANDARD.encode(exchange.first());
        let name = mechanism.as_str();
        self.say(&format!("<auth xmlns='{}' mechanism='{name}'>{first}</auth>", ns::SASL)).await;
        if mechanism != MechanismName::Plain {
            let challenge = content(&self.hear("</challenge>").await);
            let response = STANDARD.encode(exchange.respond(&challenge).unwrap());
            self.say(&format!("<response xmlns='{}'>{response}</response>", ns::SASL)).await;
        }
        // <success>…</success> or <failure>…</failure>
        let answer = self.hear_one_of("</success>", "</failure>").await;
        if answer.ends_with("</failure>") {
            return Err(answer);
        }
        exchange.verify(&content(&answer)).unwrap();
        Ok(())
    }

    /// Binds this resource and gives the server's answer.
    pub(super) async fn bind(&mut self, resource: &str) -> String {
        self.say(&format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        ))
        .await;
        self.hear("</iq>").await
    }
}

/// TLS to a server whose certificate nobody signed.
pub(super) async fn connect_tls<S: Io>(
    io: S,
    alpn: &[&str],
) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
    tls::client::connect(io, "verona.lit", tls::client::trusting_anyone(alpn)).await
}

/// The data in one element.
fn content(element: &str) -> Vec<u8> {
    let (_, data) = element.rsplit_once("'>").unwrap();
    STANDARD.decode(data.split_once('<').unwrap().0).unwrap()
}
