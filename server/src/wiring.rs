//! Every room put together: the whole server as a value.

use crate::{
    config::{Config, StoreUrl, keys},
    environment::System,
    listening::{self, Listening},
    page,
};
use anyhow::Context;
use bosh_cm::{
    Insecure, Manager, Terms, Upstream, Visitor,
    http::{Page, Site},
    upstream::Connecting,
};
use c2s::{Door, Origin, Rate};
use http::StatusCode;
use net::{
    address::{AddressBook, AddressLimits},
    tls::Tls,
};
use roster_store::{Caps, Revoked, Store, memory::Memory, sqlite::Sqlite};
use router::{Module, Router};
use std::{
    fs::DirBuilder,
    io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::DirBuilderExt,
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use xmpp_core::{Jid, StreamError, error::StreamCondition, xml::Limits};

/// How often other processes' changes to accounts are looked for: their sessions end within 5 seconds.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(1);
/// What to change where the operator's certificate cannot be used.
const CERTIFICATE_KEYS: &str = "tls.certificate, tls.key";
/// How long the sessions have to take their leave.
const GOODBYE: Duration = Duration::from_secs(5);
/// Bytes in flight in each direction of a stream inside the process.
const PIPE_BYTES: usize = 16 * 1024;
/// HTTP connections of one BOSH session: one held, one sending.
const HTTP_CONNECTIONS: u32 = 2;
/// New HTTP connections of one BOSH session in a minute: somebody types, and none is kept.
const HTTP_REQUESTS_PER_MINUTE: u32 = 60;
/// File descriptors that are not connections: the store, listeners, the log.
const OTHER_FILES: u64 = 64;

/// A running server.
pub struct Server {
    listening: Vec<Listening>,
    store: Arc<dyn Store>,
    tls: Arc<Tls>,
    door: Arc<Door>,
    manager: Arc<Manager>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Starts everything that the configuration names. When this returns the listeners accept.
    ///
    /// # Errors
    /// One clear line: which key or file, and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let store = open_store(&config)?;
        let tls = Arc::new(certificate(&config)?);
        let router = router(&config, &store)?;
        let door = Door::new(
            door_settings(&config),
            Arc::clone(&router),
            Arc::clone(&store) as _,
            Arc::clone(&tls),
        );
        let inside = Inside { router: Arc::clone(&router), door: Arc::clone(&door) };
        let manager = Manager::new(manager_settings(&config), Arc::new(inside));
        let mut server = Self {
            listening: Vec::new(),
            store,
            tls,
            door,
            manager,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        // Before anybody can log in: what is changed from here on ends sessions.
        let revocations = watch_revocations(Arc::clone(&server.store), router).await?;
        server.listen(&config)?;
        server.tasks.spawn(Arc::clone(&server.tls).watch(server.stop.clone().cancelled_owned()));
        server.tasks.spawn(server.stop.clone().run_until_cancelled_owned(revocations));
        Ok(server)
    }

    fn listen(&mut self, config: &Config) -> anyhow::Result<()> {
        let book = AddressBook::new(address_limits(config));
        let bind = |key, addresses| listening::bind(key, addresses, config.free_ports, &book);
        for (kind, key, addresses, direct) in [
            ("c2s", "c2s.listen", &config.c2s, false),
            ("c2s-tls", "c2s.direct_tls", &config.direct_tls, true),
        ] {
            for listener in bind(key, addresses)? {
                self.listening.push(Listening { kind, address: listener.local_addr() });
                self.tasks.spawn(Arc::clone(&self.door).listen(listener, direct));
            }
        }
        let site = Arc::new(site(config, Arc::clone(&self.manager)));
        let book = AddressBook::new(http_limits(config));
        for listener in listening::bind("http.listen", &config.http, config.free_ports, &book)? {
            self.listening.push(Listening { kind: "http", address: listener.local_addr() });
            let serving = bosh_cm::http::serve(listener, Arc::clone(&site), self.stop.clone());
            self.tasks.spawn(serving);
        }
        Ok(())
    }

    /// The listeners, in the order they are reported.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The store, for accounts.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A client's connection inside the process, as if it came from loopback over TLS.
    pub fn pipe(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
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
        let tls = Arc::clone(&self.tls);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(changed)) => tracing::info!(changed, "certificate read again"),
            Ok(Err(error)) => tracing::error!(%error, "the certificate in force stays"),
            Err(error) => tracing::error!(%error, "the certificate could not be read"),
        }
    }

    /// Takes no new connections, tells every client `system-shutdown`, waits for them to go, and closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        // The manager first: its sessions are clients of the door, and tell their own clients why they end.
        self.manager.shut(GOODBYE).await;
        self.door.shut().await;
        self.tasks.close();
        if tokio::time::timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "not everything ended in time");
        }
        self.store.close().await;
    }
}

/// Opens the configured store, making it where there is none.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let caps = caps(&config.limits);
    Ok(match &config.store {
        StoreUrl::Memory => Memory::new(caps),
        StoreUrl::Sqlite(path) => {
            // For its owner only: the database and the certificate's key are in it.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
            made.with_context(|| format!("data: cannot make {}", config.data.display()))?;
            Sqlite::open(path, config.durability, caps).context("store.url")?
        }
    })
}

fn caps(limits: &keys::Limits) -> Caps {
    let usual = Caps::default();
    Caps {
        roster_items: limits.roster_items,
        // Room for as much text as usual in each item, where there may be more of them.
        roster_bytes: usual.roster_bytes.max(limits.roster_items.saturating_mul(200)),
        offline_messages: limits.offline_messages,
        offline_bytes: limits.offline_bytes,
        ..usual
    }
}

/// Reads everything that [`Server::start`] reads, and listens nowhere.
pub(crate) async fn check(config: Config) -> anyhow::Result<()> {
    if let Some(files) = &config.certificate {
        Tls::load(&files.certificate, &files.key).context(CERTIFICATE_KEYS)?;
    }
    if let StoreUrl::Sqlite(path) = &config.store
        && path.exists()
    {
        open_store(&config)?.close().await;
    }
    Ok(())
}

pub(crate) fn modules(
    domains: &[String],
    caps: Caps,
    store: &Arc<dyn Store>,
) -> Vec<Arc<dyn Module>> {
    modules::all(&modules::Deps {
        store: Arc::clone(store),
        caps,
        domains: domains.to_vec(),
        software: modules::Software {
            name: "Stonechat".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            os: None,
        },
    })
}

fn router(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Arc<Router>> {
    let settings = router::Settings {
        sessions_per_account: config.limits.sessions_per_user,
        mailbox_bytes: config.limits.send_buffer,
        lane_bytes: config.limits.send_buffer,
        ..router::Settings::new(config.domains.clone())
    };
    let modules = modules(&config.domains, caps(&config.limits), store);
    let directory = Arc::new(modules::StoreDirectory::new(Arc::clone(store)));
    Ok(Router::new(settings, &modules, directory, Arc::new(System::new()))?)
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

fn door_settings(config: &Config) -> c2s::Settings {
    let limits = &config.limits;
    c2s::Settings {
        require_tls: config.require_tls,
        mechanisms: config.mechanisms.clone(),
        iterations: config.iterations,
        before_auth: Limits {
            bytes: limits.preauth_bytes,
            elements: limits.preauth_elements,
            depth: limits.preauth_depth,
            attributes: limits.preauth_attributes,
            ..Limits::BEFORE_AUTH
        },
        after_auth: Limits {
            bytes: limits.stanza_bytes,
            elements: limits.elements,
            depth: limits.depth,
            attributes: limits.attributes,
            ..Limits::AFTER_AUTH
        },
        auth_timeout: Duration::from_secs(limits.auth_timeout),
        tls_timeout: Duration::from_secs(limits.tls_timeout),
        idle_timeout: Duration::from_secs(limits.idle_check),
        idle_grace: Duration::from_secs(limits.idle_close),
        write_timeout: Duration::from_secs(limits.send_timeout),
        login_retries: limits.failed_logins_per_stream,
        failed_logins_per_minute: limits.failed_logins_per_minute,
        bytes: Rate { per_second: limits.rate_bytes, burst: limits.rate_burst },
        stanzas: Rate { per_second: limits.rate_stanzas, burst: limits.rate_stanzas_burst },
        shutdown_timeout: GOODBYE,
        trusted: config.trusted.clone(),
        ..c2s::Settings::new(config.domains[0].clone())
    }
}

fn manager_settings(config: &Config) -> bosh_cm::Settings {
    let limits = &config.limits;
    bosh_cm::Settings {
        terms: Terms {
            domains: config.domains.clone(),
            hold: limits.bosh_hold.into(),
            wait: Duration::from_secs(limits.bosh_wait),
            inactivity: Duration::from_secs(limits.bosh_inactivity),
            polling: Duration::from_secs(limits.bosh_polling),
            max_pause: Duration::from_secs(limits.bosh_pause),
            stranger_bytes: limits.preauth_bytes + bosh_cm::session::ENVELOPE,
        },
        insecure: if config.require_tls {
            Insecure::Refuse { see_other: None }
        } else {
            Insecure::Accept
        },
        sessions: address_limits(config),
        stanza_bytes: limits.stanza_bytes,
        ..bosh_cm::Settings::default()
    }
}

fn site(config: &Config, manager: Arc<Manager>) -> Site {
    let not_yet = "WebSocket does not exist here yet; BOSH does.\n";
    let mut pages = vec![Page::text(&config.websocket_path, StatusCode::NOT_IMPLEMENTED, not_yet)];
    if config.chat_page {
        pages.push(page::page(&config.bosh_path));
    }
    Site {
        manager,
        bosh: config.bosh_path.clone(),
        origins: Vec::new(),
        proxies: config.trusted.clone(),
        pages,
    }
}

fn address_limits(config: &Config) -> AddressLimits {
    AddressLimits {
        total: connections(),
        per_address: config.limits.connections_per_address,
        new_per_minute: config.limits.connections_per_minute,
        trusted: config.trusted.clone(),
    }
}

/// What `limits` say counts sessions, which the manager counts itself; a session comes in several connections, and
/// in a new one for each request where a client or a proxy does not keep them.
fn http_limits(config: &Config) -> AddressLimits {
    let sessions = address_limits(config);
    AddressLimits {
        per_address: sessions.per_address.saturating_mul(HTTP_CONNECTIONS),
        new_per_minute: sessions.new_per_minute.saturating_mul(HTTP_REQUESTS_PER_MINUTE),
        ..sessions
    }
}

/// Connections that this process can hold: its file descriptors, as many as it may have.
fn connections() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX)
}

/// Ends the sessions of accounts whose password was changed or which were deleted, by whatever process.
async fn watch_revocations(
    store: Arc<dyn Store>,
    router: Arc<Router>,
) -> anyhow::Result<impl Future<Output = ()>> {
    let (_, mut seen) = store.revoked(None).await.context("the store")?;
    Ok(async move {
        let mut turn = tokio::time::interval(REVOCATIONS_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            match store.revoked(Some(seen)).await {
                Ok((revocations, next)) => {
                    seen = next;
                    for revocation in revocations {
                        let gone = match revocation.what {
                            Revoked::Password => "the password was changed",
                            Revoked::Account => "the account was deleted",
                            Revoked::Subscriptions => {
                                router.recheck(&revocation.account);
                                continue;
                            }
                        };
                        let error =
                            StreamError::new(StreamCondition::NotAuthorized).with_text(gone);
                        router.close_account(&revocation.account, &error);
                    }
                }
                Err(error) => tracing::error!(%error, "changes to accounts cannot be read"),
            }
        }
    })
}

/// The connection manager's way to the door of the same process.
struct Inside {
    router: Arc<Router>,
    door: Arc<Door>,
}

impl Upstream for Inside {
    fn connect(&self, domain: &str, visitor: Visitor) -> Connecting<'_> {
        let served = Jid::new(None, domain, None).is_ok_and(|jid| self.router.serves(jid.domain()));
        let connected = served.then(|| {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let origin = Origin { address: visitor.address, secure: visitor.secure };
            tokio::spawn(Arc::clone(&self.door).serve(far, origin));
            Box::new(near) as _
        });
        Box::pin(async move { connected.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}
