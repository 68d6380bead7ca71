//! A server under test: fresh, with an empty store in memory.

use anyhow::{Context, Result};
use server::{Config, Server};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use xmpp_core::{BareJid, sasl::Credentials};

/// No sockets: all connections are made by [`House::pipe`].
pub const MEMORY: &[&str] = &["c2s.listen=[]", "c2s.direct_tls=[]", "http.listen=[]"];
/// Free ports of the loopback, for clients and for HTTP.
pub const LOOPBACK: &[&str] = &[
    "c2s.listen=[\"127.0.0.1:0\"]",
    "c2s.direct_tls=[]",
    "http.listen=[\"127.0.0.1:0\"]",
    "http.bosh=\"/http-bind\"",
];
/// Where [`LOOPBACK`] has its BOSH service.
pub const BOSH_PATH: &str = "/http-bind";

/// A running server with the folder that it writes its certificate to.
pub struct House {
    server: Server,
    _data: TempDir,
}

impl House {
    /// Starts a server for `localhost` with these settings more.
    pub async fn open(settings: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let folder = format!("data={:?}", data.path());
        let mut all = vec!["domains=[\"localhost\"]", "store.url=\"memory:\"", &folder];
        all.extend(settings);
        let server = Server::start(Config::with(&all)?).await?;
        Ok(Self { server, _data: data })
    }

    /// Creates an account.
    pub async fn add(&self, account: &BareJid, password: &str) -> Result<()> {
        Ok(self.server.store().create(account, credentials(password)?).await?)
    }

    /// A connection in memory, which counts as secure.
    pub fn pipe(&self) -> DuplexStream {
        self.server.pipe()
    }

    /// The real address of the listener of this kind (`c2s`, `http`).
    pub fn address(&self, kind: &str) -> Result<SocketAddr> {
        let found = self.server.listening().iter().find(|listening| listening.kind == kind);
        Ok(found.with_context(|| format!("no listener {kind}"))?.address)
    }

    /// Stops the server cleanly.
    pub async fn close(self) {
        self.server.stop().await;
    }
}

/// Derived once per password and process: hashing is slow by design, and the same salts do for tests.
fn credentials(password: &str) -> Result<Credentials> {
    static KNOWN: Mutex<BTreeMap<String, Credentials>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(credentials) = known.get(password) {
        return Ok(credentials.clone());
    }
    let credentials = Credentials::derive(password, 4_096, &[[1; 16], [2; 16], [3; 16]])?;
    known.insert(password.to_owned(), credentials.clone());
    Ok(credentials)
}
