//! The configuration: what may be written ([`keys`]), raised to what it means ([`Config`]).

pub mod keys;
#[cfg(test)]
mod tests;

use ipnet::IpNet;
use keys::{File, Limits};
use modules::Contacts;
use program::{
    Source,
    config::{
        self, CertificateFiles, ConfigError, addresses, certificate, check, http_path, is_uri,
        networks, origins, web_address,
    },
};
use roster_store::{Durability, Policy};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use xmpp_core::{BareJid, Jid, sasl::MechanismName};

/// What stands above the keys in the example.
pub const EXAMPLE: &str = "# Every key of stonechat.toml with its default. Nothing here needs to be written down:\n\
     # no file at all is a working configuration.\n";

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// SQLite in this file.
    Sqlite(PathBuf),
    /// In memory, gone at the end.
    Memory,
}

/// A configuration whose every value is known to make sense.
#[derive(Debug, Clone)]
pub struct Config {
    /// Prepared domains, the first of which is the default; never empty.
    pub domains: Vec<String>,
    /// The data folder.
    pub data: PathBuf,
    /// Listeners for STARTTLS.
    pub c2s: Vec<SocketAddr>,
    /// Listeners for direct TLS.
    pub direct_tls: Vec<SocketAddr>,
    /// Those who say whose connection they bring.
    pub proxies: Vec<IpNet>,
    /// Whether STARTTLS is required.
    pub require_tls: bool,
    /// HTTP listeners.
    pub http: Vec<SocketAddr>,
    /// HTTPS listeners.
    pub https: Vec<SocketAddr>,
    /// Listeners that show numbers.
    pub metrics: Vec<SocketAddr>,
    /// The path of BOSH.
    pub bosh_path: String,
    /// The path of WebSocket.
    pub websocket_path: String,
    /// The web origins whose pages may use both; empty: any.
    pub origins: Vec<String>,
    /// Whether BOSH bodies may be compressed.
    pub compression: bool,
    /// Where the world finds BOSH.
    pub public_bosh: Option<String>,
    /// Where the world finds WebSocket.
    pub public_websocket: Option<String>,
    /// The operator's certificate; `None`: a self-signed one.
    pub certificate: Option<CertificateFiles>,
    /// The store.
    pub store: StoreUrl,
    /// When a write counts as done.
    pub durability: Durability,
    /// Offered SASL mechanisms, strongest first, never empty.
    pub mechanisms: Vec<MechanismName>,
    /// PBKDF2 rounds for new passwords.
    pub iterations: u32,
    /// Trusted addresses.
    pub trusted: Vec<IpNet>,
    /// Who may administer the server from a client.
    pub admins: Vec<BareJid>,
    /// Whether strangers may create accounts.
    pub registration: bool,
    /// What is archived for users who have not said.
    pub archive_policy: Policy,
    /// How much archives remember.
    pub archive: keys::Archive,
    /// Whom to write to about the service.
    pub contacts: Contacts,
    /// The limits.
    pub limits: Limits,
    /// Take a free port where the configured one is in use: for the demonstration.
    pub free_ports: bool,
    /// Serve the chat page at `/`: for the demonstration.
    pub chat_page: bool,
}

impl Config {
    /// Reads the file that is named, else `stonechat.toml` here if it is there, and applies what is set over it.
    ///
    /// # Errors
    /// One line that says which key is wrong, and how.
    pub fn load(source: &Source) -> Result<Self, ConfigError> {
        let (file, base) = config::load(source)?;
        Self::from_file(file, &base)
    }

    /// Only defaults, with these `KEY=VALUE`s: what tests start from.
    pub fn with(sets: &[&str]) -> Result<Self, ConfigError> {
        let mut table = toml::Table::new();
        for assignment in sets {
            config::set(&mut table, assignment)?;
        }
        Self::from_file(config::read(table)?, Path::new("."))
    }

    /// Raises what was written to what it means; `base` is the folder that `data` is relative to.
    pub fn from_file(file: File, base: &Path) -> Result<Self, ConfigError> {
        let data = base.join(&file.top.data);
        check((4_096..=10_000_000).contains(&file.auth.iterations), || {
            format!("auth.iterations: {} is not between 4096 and 10000000", file.auth.iterations)
        })?;
        check(file.http.bosh != file.http.websocket, || {
            "http.websocket: it has the path of http.bosh: give it another".into()
        })?;
        limits(&file.limits)?;
        let policy = policy(&file.archive.default)?;
        let domains = domains(&file.top.domains)?;
        Ok(Self {
            admins: admins(&file.top.admins, &domains)?,
            domains,
            c2s: addresses("c2s.listen", &file.c2s.listen)?,
            direct_tls: addresses("c2s.direct_tls", &file.c2s.direct_tls)?,
            proxies: networks("c2s.proxies", &file.c2s.proxies)?,
            require_tls: file.c2s.require_tls,
            http: addresses("http.listen", &file.http.listen)?,
            https: addresses("https.listen", &file.https.listen)?,
            metrics: addresses("metrics.listen", &file.metrics.listen)?,
            bosh_path: http_path("http.bosh", &file.http.bosh)?,
            websocket_path: http_path("http.websocket", &file.http.websocket)?,
            origins: origins("http.origins", &file.http.origins)?,
            compression: file.http.compression,
            public_bosh: web_address("http.public_bosh", "https://", file.http.public_bosh)?,
            public_websocket: web_address(
                "http.public_websocket",
                "wss://",
                file.http.public_websocket,
            )?,
            certificate: certificate(file.tls.certificate, file.tls.key, base)?,
            store: store(&file.store.url, &data)?,
            durability: match &*file.store.durability {
                "disk" => Durability::Disk,
                "process" => Durability::Process,
                other => {
                    return Err(ConfigError(format!(
                        "store.durability: {other:?} is not \"disk\" or \"process\""
                    )));
                }
            },
            mechanisms: mechanisms(&file.auth.mechanisms)?,
            iterations: file.auth.iterations,
            trusted: networks("limits.trusted", &file.limits.trusted)?,
            contacts: contacts(file.contact)?,
            registration: file.registration.enabled,
            archive_policy: policy,
            archive: file.archive,
            limits: file.limits,
            free_ports: false,
            chat_page: false,
            data,
        })
    }
}

fn domains(written: &[String]) -> Result<Vec<String>, ConfigError> {
    check(!written.is_empty(), || "domains: name at least one, such as [\"example.org\"]".into())?;
    let mut prepared = Vec::new();
    for domain in written {
        let jid = Jid::new(None, domain, None)
            .map_err(|error| ConfigError(format!("domains: {domain:?}: {error}")))?;
        check(!prepared.iter().any(|known| known == jid.domain()), || {
            format!("domains: {domain:?} stands there twice")
        })?;
        prepared.push(jid.domain().to_owned());
    }
    Ok(prepared)
}

fn admins(written: &[String], domains: &[String]) -> Result<Vec<BareJid>, ConfigError> {
    let admin = |text: &String| {
        let jid: Option<BareJid> = text.parse().ok();
        let jid = jid.filter(|jid| jid.local().is_some()).ok_or_else(|| {
            ConfigError(format!("admins: {text:?} is not an address such as admin@example.org"))
        })?;
        check(domains.iter().any(|domain| domain == jid.domain()), || {
            format!("admins: {text:?}: {} is not among `domains`", jid.domain())
        })?;
        Ok(jid)
    };
    written.iter().map(admin).collect()
}

fn store(url: &str, data: &Path) -> Result<StoreUrl, ConfigError> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(StoreUrl::Memory),
        Some(("sqlite", file)) if !file.is_empty() => Ok(StoreUrl::Sqlite(data.join(file))),
        _ => Err(ConfigError(format!("store.url: {url:?} is not \"sqlite:FILE\" or \"memory:\""))),
    }
}

fn mechanisms(written: &[String]) -> Result<Vec<MechanismName>, ConfigError> {
    check(!written.is_empty(), || "auth.mechanisms: name at least one, such as \"PLAIN\"".into())?;
    let mut known = Vec::new();
    for name in written {
        known.push(MechanismName::from_name(name).ok_or_else(|| {
            ConfigError(format!(
                "auth.mechanisms: {name:?} is not SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN"
            ))
        })?);
    }
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

fn contacts(written: keys::Contact) -> Result<Contacts, ConfigError> {
    let keys::Contact { abuse, admin, feedback, sales, security, status, support } = written;
    let uris = |key: &str, written: Vec<String>| match written.iter().find(|text| !is_uri(text)) {
        None => Ok(written),
        Some(text) => Err(ConfigError(format!(
            "contact.{key}: {text:?} is not a URI, such as \"mailto:{key}@example.org\""
        ))),
    };
    Ok(Contacts {
        abuse: uris("abuse", abuse)?,
        admin: uris("admin", admin)?,
        feedback: uris("feedback", feedback)?,
        sales: uris("sales", sales)?,
        security: uris("security", security)?,
        status: uris("status", status)?,
        support: uris("support", support)?,
    })
}

fn policy(default: &str) -> Result<Policy, ConfigError> {
    match default {
        "always" => Ok(Policy::Always),
        "roster" => Ok(Policy::Roster),
        "never" => Ok(Policy::Never),
        other => Err(ConfigError(format!(
            "archive.default: {other:?} is not \"always\", \"roster\" or \"never\""
        ))),
    }
}

/// Limits below which RFC 6120 cannot work.
fn limits(limits: &Limits) -> Result<(), ConfigError> {
    let at_least = |key: &str, value: u64, least: u64| {
        check(value >= least, || format!("limits.{key}: {value} is less than {least}"))
    };
    let bytes = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    // RFC 6120 13.12: no smaller than 10,000 bytes.
    at_least("stanza_bytes", bytes(limits.stanza_bytes), 10_000)?;
    at_least("preauth_bytes", bytes(limits.preauth_bytes), 1_024)?;
    at_least("elements", limits.elements.into(), 16)?;
    at_least("preauth_elements", limits.preauth_elements.into(), 4)?;
    at_least("depth", limits.depth.into(), 8)?;
    at_least("preauth_depth", limits.preauth_depth.into(), 4)?;
    at_least("attributes", limits.attributes.into(), 8)?;
    at_least("preauth_attributes", limits.preauth_attributes.into(), 8)?;
    at_least("send_buffer", bytes(limits.send_buffer), bytes(limits.stanza_bytes))?;
    at_least("http_body", bytes(limits.http_body), bytes(limits.stanza_bytes))?;
    at_least("http_head", bytes(limits.http_head), 8_192)?;
    at_least("rate_burst", limits.rate_burst.into(), 1_024)?;
    for (key, value) in [
        ("auth_timeout", limits.auth_timeout),
        ("tls_timeout", limits.tls_timeout),
        ("idle_check", limits.idle_check),
        ("idle_close", limits.idle_close),
        ("send_timeout", limits.send_timeout),
        ("bosh_inactivity", limits.bosh_inactivity),
        ("bosh_wait", limits.bosh_wait),
        ("http_timeout", limits.http_timeout),
        ("rate_bytes", limits.rate_bytes.into()),
        ("rate_stanzas", limits.rate_stanzas.into()),
        ("rate_stanzas_burst", limits.rate_stanzas_burst.into()),
        ("connections_per_address", limits.connections_per_address.into()),
        ("connections_per_minute", limits.connections_per_minute.into()),
        ("sessions_per_user", bytes(limits.sessions_per_user)),
        ("failed_logins_per_stream", limits.failed_logins_per_stream.into()),
        ("failed_logins_per_minute", limits.failed_logins_per_minute.into()),
        ("bosh_hold", limits.bosh_hold.into()),
        ("websocket_fragments", limits.websocket_fragments.into()),
        ("archive_page", bytes(limits.archive_page)),
        ("archive_page_max", bytes(limits.archive_page_max)),
        ("registration_timeout", limits.registration_timeout),
        ("registrations_per_hour", limits.registrations_per_hour.into()),
    ] {
        at_least(key, value, 1)?;
    }
    Ok(())
}
