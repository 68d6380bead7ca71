//! The configuration of the program: every key declared once, and raised to what it means.

use ipnet::IpNet;
use program::{
    Source,
    config::{
        self, CertificateFiles, ConfigError, addresses, certificate, check, http_path, networks,
        origins, web_address,
    },
    file, table,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use xmpp_core::Jid;

/// What stands above the keys in the example.
pub(crate) const EXAMPLE: &str = "# Every key of bosh-cm.toml with its default. Say what domains there are, or where the server is:\n\
     # the rest need not be written down.\n";

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

table! {
    /// Keys outside any table.
    Top {
        /// The domains served, besides those that have a table of their own; their server is reached as `upstream`
        /// says. []: where upstream.server is set, every domain, and it decides.
        domains: Vec<String> = Vec::new();
        /// Domains that are not served any more, as their visitors are to be told.
        gone: Vec<String> = Vec::new();
    }
}

table! {
    /// The HTTP listener.
    Http {
        /// Where browsers, or a proxy in front, connect. For visitors from elsewhere set https.listen, or put a proxy with
        /// HTTPS in front.
        listen: Vec<String> = strings(["127.0.0.1:5280"]);
        /// The path of BOSH (XEP-0124).
        bosh: String = "/http-bind".into();
        /// The path of WebSocket (RFC 7395).
        websocket: String = "/xmpp-websocket".into();
        /// Web origins whose scripts may use both, such as ["https://chat.example.org"]. []: all.
        origins: Vec<String> = Vec::new();
        /// Whether BOSH bodies may be compressed: requests, and answers after login. Where an attacker can make others
        /// send what it chooses, the length of what it is compressed with says something of the secrets beside it, even
        /// under TLS (CRIME, BREACH): leave it off unless bytes are dear.
        compression: bool = false;
        /// Whether sessions need HTTPS: of https.listen, or of a trusted proxy that says so. This machine needs none.
        require_https: bool = true;
        /// Where the world finds BOSH: an address with https:, told to whoever comes without HTTPS, and at
        /// /.well-known/host-meta and host-meta.json (XEP-0156), which https://YOUR.DOMAIN has to answer.
        public_bosh: Option<String> = None, sample "\"https://chat.example.org/http-bind\"";
        /// Where the world finds WebSocket: an address with wss:, told likewise.
        public_websocket: Option<String> = None, sample "\"wss://chat.example.org/xmpp-websocket\"";
    }
}

table! {
    /// The HTTPS listener: the same as over HTTP.
    Https {
        /// Where browsers connect over HTTPS, such as ["[::]:5281"]; with the certificate of `tls`. []: only a proxy does TLS.
        listen: Vec<String> = Vec::new();
    }
}

table! {
    /// The certificate of the HTTPS listener. Both keys or neither.
    Tls {
        /// The chain in PEM, relative to this file, this machine's certificate first. Read again on SIGHUP and when the file
        /// changes.
        certificate: Option<String> = None, sample "\"/etc/ssl/chat.example.org/fullchain.pem\"";
        /// Its private key in PEM.
        key: Option<String> = None, sample "\"/etc/ssl/chat.example.org/privkey.pem\"";
    }
}

table! {
    /// Numbers for operators.
    Metrics {
        /// Where they are shown: /metrics for Prometheus, / as a page for people. Whoever gets there may look, so keep it to
        /// yourself, as ["127.0.0.1:9280"] does. []: nowhere.
        listen: Vec<String> = Vec::new();
    }
}

table! {
    /// How a server is reached.
    Server {
        /// HOST:PORT of its port for clients. Absent: the SRV records of the domain say where it is, and whether TLS
        /// comes first (RFC 6120 3.2, XEP-0368); without any, it is the domain itself, port 5222.
        server: Option<String> = None, sample "\"127.0.0.1:5222\"";
        /// "starttls", "direct" for TLS from the first byte, or "none", to a server on this machine only. The
        /// certificate has to be the domain's.
        tls: String = "starttls".into();
        /// A PEM file with the authorities that are trusted, relative to this file. Absent: the system's.
        ca: Option<String> = None, sample "\"/etc/ssl/example.org/authority.pem\"";
        /// Other places where clients may have this server, HOST:PORT each, protected as `tls` says, STARTTLS if its place
        /// is looked up: those that they may name by `route` (XEP-0124 7.1). []: what they name is ignored.
        routes: Vec<String> = Vec::new();
        /// Whether the server takes the visitor's address by the PROXY protocol, version 2, as a Stonechat does
        /// that has this machine in its c2s.proxies.
        proxy_protocol: bool = false;
    }
}

table! {
    /// Limits. Each holds before memory grows.
    Limits {
        /// Addresses that limits per address do not count, and whose Forwarded, or X-Forwarded-For
        /// and X-Forwarded-Proto, is believed.
        trusted: Vec<String> = strings(["127.0.0.0/8", "::1"]);
        /// Sessions of all visitors.
        sessions: usize = 10_000;
        /// Sessions of one address (IPv4, or an IPv6 network of 64 bits).
        sessions_per_address: u32 = 100;
        /// New sessions of one address in a minute, those that log in not counted.
        sessions_per_minute: u32 = 30;
        /// HTTP connections of all visitors.
        connections: usize = 20_000;
        /// HTTP connections of one address.
        connections_per_address: u32 = 200;
        /// New HTTP connections of one address in a minute.
        connections_per_minute: u32 = 1_800;
        /// Requests of all visitors that wait for an answer.
        requests: usize = 20_000;
        /// Requests of one address that wait for an answer.
        requests_per_address: u32 = 200;
        /// Requests of one address in a minute that name a session which is not there.
        strays_per_minute: u32 = 20;
        /// Bytes of an HTTP request's head.
        http_head: usize = 8_192;
        /// Bytes of an HTTP request's body.
        http_body: usize = 270_336;
        /// Seconds for the head of an HTTP request, and again for its body.
        http_timeout: u64 = 10;
        /// Seconds for a TLS handshake.
        tls_timeout: u64 = 10;
        /// Bytes of one message over WebSocket.
        websocket_message: usize = 262_144;
        /// Bytes of one message over WebSocket before authentication; a BOSH request may have as many and 8192 more.
        preauth_bytes: usize = 8_192;
        /// Fragments of one WebSocket message.
        websocket_fragments: u32 = 64;
        /// Seconds of silence that end a session.
        inactivity: u64 = 60;
        /// Seconds between two empty polls of a session at least.
        polling: u64 = 2;
        /// Seconds that a request is held at most.
        wait: u64 = 60;
        /// Requests of one session held at once; a client gets what it asks for up to this, 1 if it does not ask.
        /// Some ask for 2, stanza among them, that never make a third, and could not speak while 2 are held.
        hold: u8 = 1;
        /// Seconds that a client may pause (XEP-0124 10).
        pause: u64 = 120;
        /// Seconds that sessions have at the end to hear of it.
        drain: u64 = 5;
    }
}

file! {
    /// The whole file as it is written.
    File of "bosh-cm" {
        top: Top = "";
        http: Http = "http";
        https: Https = "https";
        tls: Tls = "tls";
        metrics: Metrics = "metrics";
        upstream: Server = "upstream";
        domain: BTreeMap<String, Server> = "domain";
        limits: Limits = "limits";
    }
}

/// A configuration whose every value is known to make sense.
#[derive(Debug)]
pub(crate) struct Config {
    /// HTTP listeners.
    pub(crate) http: Vec<SocketAddr>,
    /// Listeners that show numbers.
    pub(crate) metrics: Vec<SocketAddr>,
    /// HTTPS listeners; there is a certificate where there is any.
    pub(crate) https: Vec<SocketAddr>,
    /// The certificate.
    pub(crate) certificate: Option<CertificateFiles>,
    /// Whether sessions need HTTPS.
    pub(crate) require_https: bool,
    /// Where the world finds BOSH.
    pub(crate) public_bosh: Option<String>,
    /// Where the world finds WebSocket.
    pub(crate) public_websocket: Option<String>,
    /// The path of BOSH.
    pub(crate) bosh_path: String,
    /// The path of WebSocket.
    pub(crate) websocket_path: String,
    /// Domains that are not served any more.
    pub(crate) gone: Vec<String>,
    /// Web origins; none: all.
    pub(crate) origins: Vec<String>,
    /// Whether BOSH bodies may be compressed.
    pub(crate) compression: bool,
    /// The ways to the servers of these domains.
    pub(crate) domains: BTreeMap<String, Way>,
    /// The way to the server of all other domains.
    pub(crate) others: Option<Way>,
    /// Trusted addresses.
    pub(crate) trusted: Vec<IpNet>,
    /// The limits.
    pub(crate) limits: Limits,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The table that says so, for errors.
    pub(crate) table: String,
    /// Its place and protection; `None`: as SRV records say.
    pub(crate) server: Option<(String, Protection)>,
    /// Where else clients may have it.
    pub(crate) routes: Vec<String>,
    /// The authorities.
    pub(crate) ca: Option<PathBuf>,
    /// Whether the PROXY protocol comes first.
    pub(crate) proxy_protocol: bool,
}

/// How the stream to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Not at all.
    Loopback,
    /// By STARTTLS.
    StartTls,
    /// By TLS from the first byte.
    Direct,
}

impl Config {
    /// Reads the file that is named, else `bosh-cm.toml` here if it is there, and applies what is set over it.
    pub(crate) fn load(source: &Source) -> Result<Self, ConfigError> {
        let (file, base) = config::load(source)?;
        Self::from_file(file, &base)
    }

    fn from_file(file: File, base: &Path) -> Result<Self, ConfigError> {
        let upstream = way("upstream", file.upstream, base)?;
        let mut domains = BTreeMap::new();
        for (name, server) in file.domain {
            let table = format!("domain.{name}");
            let domain = domain(&table, &name)?;
            check(!domains.contains_key(&domain), || format!("{table}: it stands there twice"))?;
            domains.insert(domain, way(&table, server, base)?);
        }
        let mut listed = BTreeSet::new();
        for name in &file.top.domains {
            let domain = domain("domains", name)?;
            let new = !domains.contains_key(&domain) && listed.insert(domain);
            check(new, || format!("domains: {name:?} stands there twice, or has a table"))?;
        }
        domains.extend(listed.into_iter().map(|domain| (domain, upstream.clone())));
        let others = Some(upstream).filter(|way| domains.is_empty() && way.server.is_some());
        // Threat B07: what strangers name is not looked up.
        check(others.is_some() || !domains.is_empty(), || {
            "upstream.server: say where the server is, such as \"127.0.0.1:5222\", or list \
             `domains` to look up"
                .into()
        })?;
        check(file.http.bosh != file.http.websocket, || {
            "http.websocket: it has the path of http.bosh: give it another".into()
        })?;
        limits(&file.limits)?;
        let https = addresses("https.listen", &file.https.listen)?;
        let certificate = certificate(file.tls.certificate, file.tls.key, base)?;
        check(https.is_empty() || certificate.is_some(), || {
            "https.listen: HTTPS needs a certificate: set tls.certificate and tls.key".into()
        })?;
        let gone = file.top.gone.iter().map(|name| domain("gone", name));
        Ok(Self {
            gone: gone.collect::<Result<_, _>>()?,
            websocket_path: http_path("http.websocket", &file.http.websocket)?,
            http: addresses("http.listen", &file.http.listen)?,
            metrics: addresses("metrics.listen", &file.metrics.listen)?,
            https,
            certificate,
            require_https: file.http.require_https,
            public_bosh: web_address("http.public_bosh", "https://", file.http.public_bosh)?,
            public_websocket: web_address(
                "http.public_websocket",
                "wss://",
                file.http.public_websocket,
            )?,
            bosh_path: http_path("http.bosh", &file.http.bosh)?,
            origins: origins("http.origins", &file.http.origins)?,
            compression: file.http.compression,
            domains,
            others,
            trusted: networks("limits.trusted", &file.limits.trusted)?,
            limits: file.limits,
        })
    }
}

fn way(table: &str, written: Server, base: &Path) -> Result<Way, ConfigError> {
    let protection = match &*written.tls {
        "starttls" => Protection::StartTls,
        "direct" => Protection::Direct,
        "none" => Protection::Loopback,
        other => {
            return Err(ConfigError(format!(
                "{table}.tls: {other:?} is not \"starttls\", \"direct\" or \"none\""
            )));
        }
    };
    let server = match written.server {
        Some(server) => {
            place(table, "server", &server, protection)?;
            Some((server, protection))
        }
        None => {
            check(protection == Protection::StartTls, || {
                format!("{table}.tls: without {table}.server the SRV records say how: leave it out")
            })?;
            None
        }
    };
    let ca = written.ca.map(|file| base.join(file));
    check(ca.is_none() || protection != Protection::Loopback, || {
        format!("{table}.ca: there is no certificate with {table}.tls = \"none\"")
    })?;
    for route in &written.routes {
        place(table, "routes", route, protection)?;
    }
    let (routes, proxy_protocol) = (written.routes, written.proxy_protocol);
    Ok(Way { table: table.into(), server, routes, ca, proxy_protocol })
}

/// Checks a place of a server.
fn place(table: &str, key: &str, place: &str, tls: Protection) -> Result<(), ConfigError> {
    let (host, port) = place.rsplit_once(':').unwrap_or_default();
    check(!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0), || {
        format!("{table}.{key}: {place:?} is not HOST:PORT, such as \"127.0.0.1:5222\"")
    })?;
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let elsewhere = address.is_ok_and(|ip| !ip.to_canonical().is_loopback());
    check(!(elsewhere && tls == Protection::Loopback), || {
        format!("{table}.tls: \"none\" is for a server on this machine, not for {host}")
    })
}

fn domain(key: &str, written: &str) -> Result<String, ConfigError> {
    let jid = Jid::new(None, written, None)
        .map_err(|error| ConfigError(format!("{key}: {written:?}: {error}")))?;
    Ok(jid.domain().to_owned())
}

fn limits(limits: &Limits) -> Result<(), ConfigError> {
    let at_least = |key: &str, value: u64, least: u64| {
        check(value >= least, || format!("limits.{key}: {value} is less than {least}"))
    };
    let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    at_least("http_head", count(limits.http_head), 8_192)?;
    // RFC 6120 13.12: a stanza of 10,000 bytes has to fit, and the body around it.
    at_least("http_body", count(limits.http_body), 16_384)?;
    at_least("websocket_message", count(limits.websocket_message), 10_000)?;
    at_least("preauth_bytes", count(limits.preauth_bytes), 1_024)?;
    for (key, value) in [
        ("sessions", count(limits.sessions)),
        ("sessions_per_address", limits.sessions_per_address.into()),
        ("sessions_per_minute", limits.sessions_per_minute.into()),
        ("connections", count(limits.connections)),
        ("connections_per_address", limits.connections_per_address.into()),
        ("connections_per_minute", limits.connections_per_minute.into()),
        ("requests", count(limits.requests)),
        ("requests_per_address", limits.requests_per_address.into()),
        ("websocket_fragments", limits.websocket_fragments.into()),
        ("http_timeout", limits.http_timeout),
        ("tls_timeout", limits.tls_timeout),
        ("inactivity", limits.inactivity),
        ("wait", limits.wait),
        ("hold", limits.hold.into()),
    ] {
        at_least(key, value, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let source = Source { config: None, set: sets.iter().map(|set| set.to_string()).collect() };
        Config::load(&source)
    }

    #[test]
    fn the_example_can_be_uncommented() {
        let example = config::example::<File>(EXAMPLE);
        let all: String = example
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.contains(" = ") => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let file = config::read(config::parse(&all, "example").expect("TOML")).expect("valid");
        let config = Config::from_file(file, Path::new(".")).expect("good");
        assert!(config.domains.contains_key("example.org"), "{all}");
    }

    #[test]
    fn domains_go_their_own_ways() {
        let config = with(&[
            "domains=['A.example']",
            "upstream.server=127.0.0.1:5222",
            "upstream.tls=none",
            "domain.b.example.proxy_protocol=true",
        ]);
        let config = config.expect("good");
        let fixed = Some(("127.0.0.1:5222".to_owned(), Protection::Loopback));
        assert_eq!(config.domains["a.example"].server, fixed);
        let looked_up = &config.domains["b.example"];
        assert!(looked_up.server.is_none() && looked_up.proxy_protocol);
        assert!(config.others.is_none());
    }

    #[test]
    fn with_a_server_alone_it_decides_about_domains() {
        let config = with(&["upstream.server=[::1]:5222", "upstream.tls=none"]).expect("good");
        assert!(config.domains.is_empty() && config.others.is_some());
    }

    #[test]
    fn wrong_values_name_their_key() {
        const GOOD: &str = "domains=['a.example']";
        for (sets, words) in [
            (&[][..], "upstream.server: "),
            (&["domains=['a b']"], "domains: \"a b\""),
            (&["domains=['a.example','A.example']"], "domains: \"A.example\" stands there twice"),
            (&[GOOD, "domain.a.example.tls=starttls"], "domains: \"a.example\" stands there twice"),
            (
                &[GOOD, "upstream.server=localhost"],
                "upstream.server: \"localhost\" is not HOST:PORT",
            ),
            (&["upstream.server=192.0.2.1:5222", "upstream.tls=none"], "upstream.tls: \"none\""),
            (&[GOOD, "upstream.routes=['xmpp:a:b']"], "upstream.routes: \"xmpp:a:b\" is not HOST:"),
            (
                &[
                    "upstream.server=localhost:1",
                    "upstream.tls=none",
                    "upstream.routes=['localhost:2', '192.0.2.1:5222']",
                ],
                "upstream.tls: \"none\" is for a server on this machine, not for 192.0.2.1",
            ),
            (&[GOOD, "upstream.tls=maybe"], "upstream.tls: \"maybe\" is not"),
            (&[GOOD, "upstream.tls=none"], "upstream.tls: without upstream.server"),
            (&["domain.a.example.tls=x"], "domain.a.example.tls: \"x\""),
            (&["domain.a.example.tsl=x"], "did you mean `domain.a.example.tls`"),
            (
                &["upstream.server=localhost:1", "upstream.tls=none", "upstream.ca=x"],
                "upstream.ca: ",
            ),
            (&[GOOD, "http.origins=['https://a.example/']"], "http.origins: "),
            (&[GOOD, "http.bosh=bind"], "http.bosh: \"bind\" is not a path"),
            (&[GOOD, "http.listen=['5280']"], "http.listen: \"5280\""),
            (&[GOOD, "metrics.listen=['9280']"], "metrics.listen: \"9280\""),
            (&[GOOD, "limits.websocket_message=9999"], "limits.websocket_message: 9999"),
            (&[GOOD, "limits.preauth_bytes=1000"], "limits.preauth_bytes: 1000"),
            (&[GOOD, "limits.requests_per_address=0"], "limits.requests_per_address: 0"),
            (&[GOOD, "limits.trusted=['me']"], "limits.trusted: \"me\""),
            (&[GOOD, "https.listen=['[::]:5281']"], "https.listen: HTTPS needs a certificate"),
            (&[GOOD, "https.listen=['5281']"], "https.listen: \"5281\""),
            (&[GOOD, "tls.key=key.pem"], "tls.certificate and tls.key go together"),
            (&[GOOD, "http.public_bosh=http://x.example"], "http.public_bosh: "),
            (&[GOOD, "http.public_websocket=https://x.example"], "http.public_websocket: "),
            (&[GOOD, "limits.hold=0"], "limits.hold: 0 is less than 1"),
            (&[GOOD, "colour=red"], "`bosh-cm example-config` lists all keys"),
        ] {
            let message = with(sets).expect_err(words).0;
            assert!(message.contains(words) && !message.contains('\n'), "{sets:?}: {message}");
        }
    }
}
