//! Every room put together: the whole server as a value.

use crate::{
    config::{Config, StoreUrl},
    environment::System,
    listening::{self, Listening},
    numbers::Numbers,
    retention,
    settings::{self, GOODBYE},
};
use anyhow::Context;
use bosh_cm::{
    Manager, Upstream, Visitor, gauges,
    http::Https,
    upstream::{Connecting, Destination},
};
use c2s::{Door, Origin};
use modules::{End, Power, Registrar};
use net::{
    address::AddressBook,
    hashing::Hashing,
    pipe::{Pipe, attended, pipe},
    tls::Tls,
};
use roster_store::{Caps, Durability, Store, StoreError, memory::Memory, sqlite::Sqlite};
use router::{BoxFuture, Module, Router};
use std::{
    fs::DirBuilder,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use xmpp_core::{
    Jid,
    sasl::{Credentials, PasswordError},
};

/// How often other processes' changes to accounts are looked for: their sessions end within 5 seconds.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(1);
/// What to change where the operator's certificate cannot be used.
const CERTIFICATE_KEYS: &str = "tls.certificate, tls.key";
/// Passwords hashed at a time: each takes a core for milliseconds.
const HASHES: usize = 2;
/// Bytes in flight in each direction of a stream inside the process.
const PIPE_BYTES: usize = 16 * 1024;
/// A running server.
pub struct Server {
    listening: Vec<Listening>,
    store: Arc<dyn Store>,
    tls: Arc<Tls>,
    door: Arc<Door>,
    manager: Arc<Manager>,
    lever: Arc<Lever>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Starts everything that the configuration names. When this returns the listeners accept.
    ///
    /// # Errors
    /// One clear line: which key or file, and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let store = open_store(&config, Sqlite::serve)?;
        faults::site!("store-opened");
        let tls = Arc::new(certificate(&config)?);
        let hashing = hashing(&config);
        let lever = Arc::<Lever>::default();
        let registrar =
            Registrar::new(Arc::clone(&store), Arc::new(OffReactor(Arc::clone(&hashing))));
        let router = router(&config, &store, &registrar, &lever)?;
        let door = Door::new(
            settings::door(&config),
            Arc::clone(&router),
            Arc::clone(&store) as _,
            Arc::clone(&store) as _,
            Arc::clone(&tls),
            hashing,
        );
        let inside = Inside { router: Arc::clone(&router), door: Arc::clone(&door) };
        let manager = Manager::new(settings::manager(&config), Arc::new(inside));
        let mut server = Self {
            listening: Vec::new(),
            store,
            tls,
            door,
            manager,
            lever,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        // Before anybody can log in: what is changed from here on ends sessions.
        registrar.catch_up(&router).await.context("the store")?;
        server.door.take_up().await.context("the store")?;
        faults::site!("taken-up");
        server.listen(&config, &router)?;
        server.tasks.spawn(Arc::clone(&server.tls).watch(server.stop.clone().cancelled_owned()));
        let revocations = watch_revocations(registrar, router);
        server.tasks.spawn(server.stop.clone().run_until_cancelled_owned(revocations));
        let retention = retention::watch(Arc::clone(&server.store), config.archive.clone());
        server.tasks.spawn(server.stop.clone().run_until_cancelled_owned(retention));
        Ok(server)
    }

    fn listen(&mut self, config: &Config, router: &Arc<Router>) -> anyhow::Result<()> {
        let free_ports = config.free_ports;
        let c2s = AddressBook::new(settings::addresses(config));
        for (kind, key, addresses, direct) in [
            ("c2s", "c2s.listen", &config.c2s, false),
            ("c2s-tls", "c2s.direct_tls", &config.direct_tls, true),
        ] {
            for listener in listening::bind(key, addresses, free_ports, &c2s)? {
                self.listening.push(Listening { kind, address: listener.local_addr() });
                let listener = listener.behind(&config.proxies);
                self.tasks.spawn(Arc::clone(&self.door).listen(listener, direct));
            }
        }
        let site = Arc::new(settings::site(config, Arc::clone(&self.manager)));
        let http = AddressBook::new(settings::http_addresses(config));
        let deadline = Duration::from_secs(config.limits.tls_timeout);
        let https = Https { tls: Arc::clone(&self.tls), deadline };
        for (kind, key, addresses, tls) in [
            ("http", "http.listen", &config.http, None),
            ("https", "https.listen", &config.https, Some(https)),
        ] {
            for listener in listening::bind(key, addresses, free_ports, &http)? {
                self.listening.push(Listening { kind, address: listener.local_addr() });
                let (site, stop) = (Arc::clone(&site), self.stop.clone());
                self.tasks.spawn(bosh_cm::http::serve(listener, tls.clone(), site, stop));
            }
        }
        let (router, door) = (Arc::clone(router), Arc::clone(&self.door));
        let (store, manager) = (Arc::clone(&self.store), Arc::clone(&self.manager));
        let board = Numbers { router, door, store, manager, c2s, http }.board();
        let (key, book) = ("metrics.listen", gauges::http::book());
        for listener in listening::bind(key, &config.metrics, free_ports, &book)? {
            let (kind, address) = ("metrics", listener.local_addr());
            self.listening.push(Listening { kind, address });
            let (board, stop) = (Arc::clone(&board), self.stop.clone());
            self.tasks.spawn(gauges::http::serve(listener, board, stop));
        }
        Ok(())
    }

    /// The listeners, in the order they are reported.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The first listener of this kind: `c2s`, `c2s-tls`, `http`, `https` or `metrics`.
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.listening.iter().find(|listening| listening.kind == kind).map(|l| l.address)
    }

    /// The store, for accounts.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A client's connection inside the process, as if it came from loopback over TLS.
    pub fn pipe(&self) -> Pipe {
        let (near, far) = pipe(PIPE_BYTES);
        self.attach(far, true);
        near
    }

    /// Serves a client's connection that came by no listener, as if from loopback. `secure`: as if over TLS, so that
    /// STARTTLS is neither offered nor required.
    pub fn attach<S>(&self, stream: S, secure: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let origin = Origin { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), secure };
        self.tasks.spawn(Arc::clone(&self.door).serve(stream, origin));
    }

    /// Reads certificate and key again; a bad pair leaves the old one in force and is logged.
    pub async fn reload_certificate(&self) {
        self.tls.read_again().await;
    }

    /// Waits until an operator wishes it to end ([`modules::Power`]).
    pub async fn ordered(&self) -> End {
        self.lever.pulled().await
    }

    /// Takes no new connections, tells every client `system-shutdown`, waits for them to go, and closes the store.
    pub async fn stop(self) {
        self.door.close();
        // Before the rest of the door: its sessions are clients of the door, and tell their own clients why they end; and before
        // its listeners, which whoever asks meanwhile asks.
        self.manager.shut(GOODBYE).await;
        self.stop.cancel();
        self.door.shut().await;
        self.tasks.close();
        if tokio::time::timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "not everything ended in time");
        }
        self.store.close().await;
    }
}

/// Opens the configured store, making it where there is none; a database by [`Sqlite::serve`], or by [`Sqlite::open`] for work
/// beside a server.
pub(crate) fn open_store(
    config: &Config,
    open: impl FnOnce(&Path, Durability, Caps) -> Result<Arc<Sqlite>, StoreError>,
) -> anyhow::Result<Arc<dyn Store>> {
    let caps = settings::caps(&config.limits);
    Ok(match &config.store {
        StoreUrl::Memory => Memory::new(caps),
        StoreUrl::Sqlite(path) => {
            // For its owner only: the database and the certificate's key are in it.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
            made.with_context(|| format!("data: cannot make {}", config.data.display()))?;
            open(path, config.durability, caps).context("store.url")?
        }
    })
}

/// Reads everything that [`Server::start`] reads, and listens nowhere.
pub(crate) async fn check(config: Config) -> anyhow::Result<()> {
    if let Some(files) = &config.certificate {
        Tls::load(&files.certificate, &files.key).context(CERTIFICATE_KEYS)?;
    }
    if let StoreUrl::Sqlite(path) = &config.store
        && path.exists()
    {
        open_store(&config, Sqlite::open)?.close().await;
    }
    Ok(())
}

pub(crate) fn modules(
    config: &Config,
    store: &Arc<dyn Store>,
    registrar: &Arc<Registrar>,
    lever: &Arc<Lever>,
) -> Vec<Arc<dyn Module>> {
    modules::all(&modules::Deps {
        store: Arc::clone(store),
        caps: settings::caps(&config.limits),
        archive: settings::archive(config),
        domains: config.domains.clone(),
        contacts: config.contacts.clone(),
        admins: config.admins.clone(),
        registrar: Arc::clone(registrar),
        power: Arc::clone(lever) as _,
        software: modules::Software {
            name: "Stonechat".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            os: None,
        },
    })
}

fn router(
    config: &Config,
    store: &Arc<dyn Store>,
    registrar: &Arc<Registrar>,
    lever: &Arc<Lever>,
) -> anyhow::Result<Arc<Router>> {
    let modules = modules(config, store, registrar, lever);
    let directory =
        Arc::new(modules::StoreDirectory::new(Arc::clone(store), config.archive_policy));
    Ok(Router::new(settings::router(config), &modules, directory, Arc::new(System::new()))?)
}

fn certificate(config: &Config) -> anyhow::Result<Tls> {
    let names: Vec<&str> = config.domains.iter().map(String::as_str).collect();
    match (&config.certificate, &config.store) {
        (Some(files), _) => Tls::load(&files.certificate, &files.key).context(CERTIFICATE_KEYS),
        // Nothing on the disk where nothing is to be kept.
        (None, StoreUrl::Memory) => Tls::ephemeral(&names).context("the certificate"),
        (None, StoreUrl::Sqlite(_)) => {
            Tls::self_signed(&config.data, &names).context("the self-signed certificate in `data`")
        }
    }
}

/// Ends the sessions of accounts whose password was changed or which were deleted, by whatever process.
async fn watch_revocations(registrar: Arc<Registrar>, router: Arc<Router>) {
    let mut turn = tokio::time::interval(REVOCATIONS_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = registrar.catch_up(&router).await {
            tracing::debug!(%error, "changes to accounts cannot be read");
        }
    }
}

/// Hashes passwords, new ones in as many rounds as the configuration says.
pub(crate) fn hashing(config: &Config) -> Arc<Hashing> {
    Hashing::new(HASHES, config.iterations)
}

/// The modules' way to the threads that hash.
pub(crate) struct OffReactor(pub(crate) Arc<Hashing>);

impl modules::Passwords for OffReactor {
    fn derive(&self, password: String) -> BoxFuture<'static, Result<Credentials, PasswordError>> {
        let hashing = Arc::clone(&self.0);
        Box::pin(async move { hashing.derive(password).await })
    }
}

/// What an operator pulls to end the server: how, and when.
#[derive(Default)]
pub(crate) struct Lever(watch::Sender<Option<(End, Instant)>>);

impl Power for Lever {
    fn end(&self, end: End, after: Duration) {
        self.0.send_replace(Some((end, Instant::now() + after)));
    }
}

impl Lever {
    async fn pulled(&self) -> End {
        let mut wish = self.0.subscribe();
        loop {
            let due = *wish.borrow_and_update();
            let changed = wish.changed();
            match due {
                None => drop(changed.await),
                Some((end, at)) => tokio::select! {
                    () = tokio::time::sleep_until(at) => return end,
                    // Somebody thought better of it.
                    _ = changed => {}
                },
            }
        }
    }
}

/// The connection manager's way to the door of the same process.
struct Inside {
    router: Arc<Router>,
    door: Arc<Door>,
}

impl Upstream for Inside {
    fn connect(&self, to: &Destination, visitor: Visitor) -> Connecting<'_> {
        // Whatever `route` says: there is one server here (XEP-0124 7.1).
        let served =
            Jid::new(None, &to.domain, None).is_ok_and(|jid| self.router.serves(jid.domain()));
        let connected = served.then(|| {
            let origin = Origin { address: visitor.address, secure: visitor.secure };
            let door = Arc::clone(&self.door);
            Box::new(attended(PIPE_BYTES, |far| door.serve(far, origin))) as _
        });
        Box::pin(async move { connected.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}
