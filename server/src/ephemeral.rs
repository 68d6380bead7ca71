//! A server for a test: everything in memory, nothing on the disk, free ports of loopback.

use crate::{Config, Server, config::StoreUrl, users};
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;
use xmpp_core::{BareJid, sasl::Credentials};

/// What differs from the defaults. Settings of one's own count more.
const SETTINGS: [&str; 5] = [
    "store.url=memory:",
    "auth.iterations=4096", // the fewest that clients accept (RFC 7677 4): nothing here is worth an attack
    "c2s.listen=['127.0.0.1:0']",
    "c2s.direct_tls=['127.0.0.1:0']",
    "http.listen=['127.0.0.1:0']",
];

/// A server for a test, until it is [started](Self::start): everything in memory, on ports of loopback that the
/// system chooses, with a self-signed certificate that was made for it.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let server = server::Ephemeral::new()
///     .user("romeo@localhost", "wherefore")
///     .user("juliet@localhost", "art thou")
///     .set("limits.roster_items=10")
///     .start()
///     .await?;
/// let address = server.address("c2s").expect("it listens");
/// // … the client to be tested connects to this address …
/// # assert!(address.ip().is_loopback());
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// Hashing passwords is slow by design: a value and its clones hash each password once, so that the second server that
/// is started from them starts faster.
#[derive(Clone, Default)]
pub struct Ephemeral {
    users: Vec<(String, String)>,
    settings: Vec<String>,
    hashed: Hashed,
}

/// By password and rounds.
type Hashed = Arc<Mutex<HashMap<(String, u32), Credentials>>>;

impl Ephemeral {
    /// A server for `localhost` without accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this account. The domains of the accounts are those that are served, unless `domains` is set; an account of another
    /// cannot log in.
    #[must_use]
    pub fn user(mut self, jid: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((jid.into(), password.into()));
        self
    }

    /// With this setting, `KEY=VALUE` as for `--set`: a listener on another address, too.
    #[must_use]
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Without listeners: clients connect by [`Server::pipe`].
    #[must_use]
    pub fn without_listeners(self) -> Self {
        ["c2s.listen=[]", "c2s.direct_tls=[]", "http.listen=[]"].into_iter().fold(self, Self::set)
    }

    /// Starts it. When this returns the listeners accept and the accounts can log in.
    ///
    /// # Errors
    /// One clear line: which setting or account, and why.
    pub async fn start(self) -> anyhow::Result<Server> {
        let users = self.users.iter().map(|(jid, _)| users::address(jid));
        let users: Vec<BareJid> = users.collect::<anyhow::Result<_>>()?;
        let config = self.config(&users)?;
        for (n, jid) in users.iter().enumerate() {
            ensure!(!users[..n].contains(jid), "{jid} is there twice");
        }
        // On as many cores as there are, while everything else starts.
        let accounts = users.into_iter().zip(self.users).map(|(jid, (_, password))| {
            let credentials = hash(Arc::clone(&self.hashed), password, config.iterations);
            (jid, tokio::spawn(credentials))
        });
        let accounts: Vec<_> = accounts.collect();
        let server = Server::start(config).await?;
        match create(&server, accounts).await {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    fn config(&self, users: &[BareJid]) -> anyhow::Result<Config> {
        let settings = self.settings.iter().map(String::as_str);
        let mut config = Config::with(&SETTINGS.into_iter().chain(settings).collect::<Vec<_>>())?;
        ensure!(
            config.store == StoreUrl::Memory,
            "store.url: an ephemeral server keeps everything in memory"
        );
        let key = |setting: &String| setting.split('=').next().map(str::trim) == Some("domains");
        if !users.is_empty() && !self.settings.iter().any(key) {
            config.domains.clear();
            for domain in users.iter().map(|jid| jid.domain()) {
                if !config.domains.iter().any(|known| known == domain) {
                    config.domains.push(domain.to_owned());
                }
            }
        }
        Ok(config)
    }
}

/// What the store keeps of a password, derived unless it is known already.
async fn hash(known: Hashed, password: String, iterations: u32) -> anyhow::Result<Credentials> {
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (password, iterations);
    if let Some(credentials) = known().get(&key) {
        return Ok(credentials.clone());
    }
    let credentials = users::derive(key.0.clone(), iterations).await?;
    known().insert(key, credentials.clone());
    Ok(credentials)
}

async fn create(
    server: &Server,
    accounts: Vec<(BareJid, JoinHandle<anyhow::Result<Credentials>>)>,
) -> anyhow::Result<()> {
    for (jid, credentials) in accounts {
        let credentials = credentials.await.context("hashing a password")?;
        let credentials = credentials.with_context(|| jid.to_string())?;
        server.store().create(&jid, credentials).await.with_context(|| jid.to_string())?;
    }
    Ok(())
}
