//! The program `bosh-cm`: a BOSH connection manager in front of one XMPP server.

use anyhow::Context;
use bosh_cm::{
    Manager, Settings, TcpUpstream,
    http::{HEAD_BYTES, PATIENCE, Site, serve},
    websocket::Terms,
};
use clap::Parser;
use ipnet::IpNet;
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
};
use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use xmpp_core::Jid;

/// How long sessions may take to learn that the program stops.
const DRAIN: Duration = Duration::from_secs(5);
/// HTTP connections. A client may well open one for each request.
const CONNECTIONS: AddressLimits =
    AddressLimits { total: 20_000, per_address: 100, new_per_minute: 600, trusted: Vec::new() };

/// A connection manager: lets web clients reach an XMPP server over BOSH (XEP-0124, XEP-0206) and over WebSocket
/// (RFC 7395).
///
/// Standard output carries `listening http ADDRESS:PORT` and then `ready`; the log goes to standard error
/// (RUST_LOG sets its detail). SIGTERM and SIGINT tell every session `system-shutdown` and end the program.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The XMPP server's client port, reached over plain TCP.
    #[arg(long, value_name = "HOST:PORT")]
    upstream: String,

    /// Allow an upstream that is not on this host. Passwords then cross the network in the clear, unless it is
    /// protected otherwise.
    #[arg(long)]
    upstream_anywhere: bool,

    /// Where to listen for HTTP. Put a proxy with HTTPS in front for visitors from other hosts.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5280")]
    listen: SocketAddr,

    /// The path of BOSH.
    #[arg(long, value_name = "PATH", default_value = "/http-bind")]
    path: String,

    /// The path of WebSocket.
    #[arg(long, value_name = "PATH", default_value = "/xmpp-websocket")]
    websocket: String,

    /// A domain to serve; may be repeated. Without it the upstream decides.
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = domain)]
    domains: Vec<String>,

    /// A domain that is not served any more, as its visitors are to be told; may be repeated.
    #[arg(long = "gone", value_name = "DOMAIN", value_parser = domain)]
    gone: Vec<String>,

    /// A web origin whose scripts may use both endpoints, such as https://chat.example; may be repeated. Without
    /// it every origin may.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,

    /// Proxies that are believed when they name a visitor's address; may be repeated.
    #[arg(long = "trusted", value_name = "CIDR", default_values = ["127.0.0.0/8", "::1/128"])]
    trusted: Vec<IpNet>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "bosh-cm: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    for (option, path) in [("--path", &arguments.path), ("--websocket", &arguments.websocket)] {
        anyhow::ensure!(path.starts_with('/'), "{option} {path}: has to begin with /");
    }
    anyhow::ensure!(arguments.path != arguments.websocket, "--websocket: it is the path of BOSH");
    let book =
        AddressBook::new(AddressLimits { trusted: arguments.trusted.clone(), ..CONNECTIONS });
    let listener = Listener::bind(arguments.listen, book).context("--listen")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let websocket = Terms { domains: arguments.domains.clone(), ..Terms::default() };
    let mut settings = Settings { websocket: Arc::new(websocket), ..Settings::default() };
    settings.terms.domains = arguments.domains;
    settings.terms.gone = arguments.gone;
    settings.sessions.trusted = arguments.trusted.clone();
    let upstream = TcpUpstream::new(arguments.upstream, arguments.upstream_anywhere);
    let manager = Manager::new(settings, Arc::new(upstream));
    let site = Arc::new(Site {
        manager: Arc::clone(&manager),
        bosh: arguments.path,
        websocket: arguments.websocket,
        origins: arguments.origins,
        proxies: arguments.trusted,
        pages: Vec::new(),
        head_bytes: HEAD_BYTES,
        patience: PATIENCE,
    });

    let mut out = io::stdout();
    writeln!(out, "listening http {}", listener.local_addr())?;
    writeln!(out, "ready")?;
    out.flush()?;

    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, None, site, shutdown.clone()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    manager.shut(DRAIN).await;
    serving.await.context("the listener failed")
}

/// A domain as addresses have it.
fn domain(text: &str) -> Result<String, String> {
    let jid: Jid = text.parse().map_err(|error| format!("{error}"))?;
    match jid.local().is_none() && jid.resource().is_none() {
        true => Ok(jid.domain().to_owned()),
        false => Err("this is not a domain".into()),
    }
}
