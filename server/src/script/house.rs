//! A server for one script: in memory, with the accounts of its characters.

use crate::{Config, Server, users};
use anyhow::Context;
use script::Script;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::io::DuplexStream;
use xmpp_core::sasl::Credentials;

/// Nothing on the disk, no sockets; as many rounds of hashing as SCRAM needs at least (RFC 5802 4), since nothing here
/// is worth an attack.
const SETTINGS: [&str; 5] = [
    "store.url=\"memory:\"",
    "auth.iterations=4096",
    "c2s.listen=[]",
    "c2s.direct_tls=[]",
    "http.listen=[]",
];
/// The tag of a script for a setting that it needs, as after `--set`.
pub(super) const SET: &str = "set";

/// A running server.
pub(super) struct House(Server);

impl House {
    /// Starts a server for the domains of the script's characters and creates their accounts. `settings` are what
    /// `--set` says; what the script says in its tags counts more.
    pub(super) async fn open(script: &Script, settings: &[String]) -> anyhow::Result<Self> {
        let mut domains: Vec<&str> = script.characters.iter().map(|c| c.jid.domain()).collect();
        domains.sort_unstable();
        domains.dedup();
        let domains = match domains[..] {
            [] => "domains=[\"localhost\"]".to_owned(), // a script without characters does nothing, well
            _ => format!("domains={domains:?}"),
        };
        let own = script.tags.iter().filter(|tag| tag.name == SET);
        let own = own.filter_map(|tag| tag.value.as_deref());
        let usual = SETTINGS.into_iter().chain([domains.as_str()]);
        let all: Vec<&str> = usual.chain(settings.iter().map(String::as_str)).chain(own).collect();
        let config = Config::with(&all)?;
        let iterations = config.iterations;
        let house = Self(Server::start(config).await?);
        for character in script.accounts() {
            let credentials = credentials(&character.password, iterations).await?;
            let made = house.0.store().create(&character.jid, credentials).await;
            made.with_context(|| format!("the account {}", character.jid))?;
        }
        Ok(house)
    }

    /// A connection in memory, which counts as secure.
    pub(super) fn pipe(&self) -> DuplexStream {
        self.0.pipe()
    }

    /// Stops the server cleanly.
    pub(super) async fn close(self) {
        self.0.stop().await;
    }
}

/// Derived once per password and process: hashing is slow by design, and scripts share their passwords.
async fn credentials(password: &str, iterations: u32) -> anyhow::Result<Credentials> {
    static KNOWN: Mutex<BTreeMap<(String, u32), Credentials>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (password.to_owned(), iterations);
    if let Some(credentials) = known().get(&key) {
        return Ok(credentials.clone());
    }
    let credentials = users::derive(password.to_owned(), iterations).await?;
    known().insert(key, credentials.clone());
    Ok(credentials)
}
