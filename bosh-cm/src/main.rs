//! The program `bosh-cm`: a BOSH connection manager in front of any XMPP server.

mod config;

use anyhow::Context;
use bosh_cm::{
    Insecure, Manager, Servers, Settings, Terms,
    gauges::{self, http::Board},
    http::{Https, Site, host_meta, serve},
    session::ENVELOPE,
    upstream::{Place, Protection, Trust, Way},
    websocket,
};
use clap::{Parser, Subcommand, error::ErrorKind};
use config::Config;
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
    service::Resolver,
    tls::{Tls, client::trusting},
};
use program::{Source, config::CertificateFiles, metrics::Metrics, one_line, print, report, tell};
use std::{
    collections::HashMap, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use xmpp_core::xml::Limits;

const PROGRAM: &str = "bosh-cm";
/// The ALPN protocol of XEP-0368.
const ALPN: &str = "xmpp-client";

/// A connection manager: lets web clients reach any XMPP server over BOSH (XEP-0124, XEP-0206) and over WebSocket
/// (RFC 7395).
///
/// Standard output carries `listening KIND ADDRESS:PORT` for each listener (http, https, metrics) and then `ready`; the log
/// goes to standard error (RUST_LOG sets its detail). SIGHUP reads the certificate again. SIGTERM and SIGINT tell every
/// session `system-shutdown` and end the program.
#[derive(Parser)]
#[command(name = PROGRAM, version)]
struct Arguments {
    /// What to do; serve where nothing is said.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    source: Source,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Run(Source),
    /// Read the configuration and say whether it can be served
    Check(Source),
    /// Print every key with its explanation and default
    ExampleConfig,
}

fn main() -> ExitCode {
    match perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(PROGRAM, &error);
            ExitCode::from(2)
        }
    }
}

fn perform() -> anyhow::Result<()> {
    let Arguments { command, source: before } =
        Arguments::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => one_line(PROGRAM, &error),
        })?;
    match command.unwrap_or(Command::Run(Source::default())) {
        Command::Run(mut source) => {
            source.put_before(before)?;
            program::log_to_stderr("info")?;
            run(Config::load(&source)?)
        }
        Command::Check(mut source) => {
            source.put_before(before)?;
            let config = Config::load(&source)?;
            servers(&config)?;
            certificate(&config)?;
            tell("the configuration is good");
            Ok(())
        }
        Command::ExampleConfig => {
            anyhow::ensure!(before.is_empty(), "--config and --set have no meaning here");
            print(program::config::example::<config::File>(config::EXAMPLE).trim_end());
            Ok(())
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    // Before anything is announced: whoever reads `ready` may send a signal at once.
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("signals")?;

    let tls = certificate(&config)?;
    let manager = Manager::new(settings(&config), Arc::new(servers(&config)?));
    let site = Arc::new(Site {
        manager: Arc::clone(&manager),
        bosh: config.bosh_path,
        websocket: config.websocket_path,
        origins: config.origins,
        proxies: config.trusted.clone(),
        pages: host_meta::pages(config.public_bosh.as_deref(), config.public_websocket.as_deref()),
        head_bytes: config.limits.http_head,
        patience: Duration::from_secs(config.limits.http_timeout),
    });
    let book = AddressBook::new(AddressLimits {
        total: config.limits.connections,
        per_address: config.limits.connections_per_address,
        new_per_minute: config.limits.connections_per_minute,
        trusted: config.trusted,
    });
    let listeners = bind("http.listen", &config.http, &book)?;
    let secure = bind("https.listen", &config.https, &book)?;
    let boards = bind("metrics.listen", &config.metrics, &gauges::http::book())?;
    let (shutdown, serving) = (CancellationToken::new(), TaskTracker::new());
    for listener in listeners {
        print(&format!("listening http {}", listener.local_addr()));
        serving.spawn(serve(listener, None, Arc::clone(&site), shutdown.clone()));
    }
    if let Some(tls) = &tls {
        let deadline = Duration::from_secs(config.limits.tls_timeout);
        for listener in secure {
            print(&format!("listening https {}", listener.local_addr()));
            let https = Https { tls: Arc::clone(tls), deadline };
            serving.spawn(serve(listener, Some(https), Arc::clone(&site), shutdown.clone()));
        }
        serving.spawn(Arc::clone(tls).watch(shutdown.clone().cancelled_owned()));
    }
    let board = Arc::new(board(Arc::clone(&manager), book));
    for listener in boards {
        print(&format!("listening metrics {}", listener.local_addr()));
        serving.spawn(gauges::http::serve(listener, Arc::clone(&board), shutdown.clone()));
    }
    print("ready");

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => match &tls {
                Some(tls) => tls.read_again().await,
                None => tracing::info!("there is no certificate to read again"),
            }
        }
    }
    // The listeners last: whoever asks meanwhile is told (XEP-0124 17.2, `system-shutdown`).
    manager.shut(Duration::from_secs(config.limits.drain)).await;
    shutdown.cancel();
    serving.close();
    serving.wait().await;
    Ok(())
}

/// The certificate of the HTTPS listeners.
fn certificate(config: &Config) -> anyhow::Result<Option<Arc<Tls>>> {
    let load = |files: &CertificateFiles| Tls::load(&files.certificate, &files.key).map(Arc::new);
    config.certificate.as_ref().map(load).transpose().context("tls.certificate, tls.key")
}

/// Listens on each of the addresses that stand under this key.
fn bind(
    key: &str,
    addresses: &[SocketAddr],
    book: &Arc<AddressBook>,
) -> anyhow::Result<Vec<Listener>> {
    let bound = addresses.iter().map(|address| Listener::bind(*address, Arc::clone(book)));
    bound.collect::<Result<_, _>>().map_err(|error| anyhow::anyhow!("{key}: {error}"))
}

/// The numbers of the manager, and of the HTTP connections that this book counts.
fn board(manager: Arc<Manager>, connections: Arc<AddressBook>) -> Board {
    let collect = move || {
        let mut metrics = Metrics::default();
        manager.tell(&mut metrics, &connections);
        metrics
    };
    Board { title: "bosh-cm", collect: Box::new(collect) }
}

fn settings(config: &Config) -> Settings {
    let limits = &config.limits;
    let domains: Vec<_> = config.domains.keys().cloned().collect();
    Settings {
        websocket: Arc::new(websocket::Terms {
            domains: domains.clone(),
            gone: config.gone.clone(),
            before_auth: Limits { bytes: limits.preauth_bytes, ..Limits::BEFORE_AUTH },
            after_auth: Limits { bytes: limits.websocket_message, ..Limits::AFTER_AUTH },
            fragments: limits.websocket_fragments,
        }),
        terms: Terms {
            domains,
            gone: config.gone.clone(),
            hold: limits.hold.into(),
            wait: Duration::from_secs(limits.wait),
            inactivity: Duration::from_secs(limits.inactivity),
            polling: Duration::from_secs(limits.polling),
            max_pause: Duration::from_secs(limits.pause),
            compression: config.compression,
            stranger_bytes: limits.preauth_bytes + ENVELOPE,
            ..Terms::default()
        },
        sessions: AddressLimits {
            total: limits.sessions,
            per_address: limits.sessions_per_address,
            new_per_minute: limits.sessions_per_minute,
            trusted: config.trusted.clone(),
        },
        requests: AddressLimits {
            total: limits.requests,
            per_address: limits.requests_per_address,
            new_per_minute: u32::MAX,
            trusted: config.trusted.clone(),
        },
        insecure: match config.require_https {
            true => Insecure::Refuse {
                bosh: config.public_bosh.clone(),
                websocket: config.public_websocket.clone(),
            },
            false => Insecure::Accept,
        },
        strays: limits.strays_per_minute,
        body: Limits { bytes: limits.http_body, ..Settings::default().body },
    }
}

/// The ways to the servers. Reads certificates of authorities, and how the system looks up names.
fn servers(config: &Config) -> anyhow::Result<Servers> {
    let looks_up = config.domains.values().any(|way| way.server.is_none());
    let resolver = match looks_up {
        true => Some(Arc::new(Resolver::system().context("cannot look up SRV records")?)),
        false => None,
    };
    let mut trusts = HashMap::new();
    let mut way = |way: &config::Way| -> anyhow::Result<Arc<Way>> {
        let mut trust = || match trusts.get(&way.ca) {
            Some(trust) => Ok(Trust::clone(trust)),
            None => {
                let trust = trust(way.ca.as_deref());
                let trust = trust.with_context(|| format!("{}.ca", way.table))?;
                trusts.insert(way.ca.clone(), trust.clone());
                anyhow::Ok(trust)
            }
        };
        let place = match (&way.server, &resolver) {
            (Some((server, protection)), _) => {
                let protection = match protection {
                    config::Protection::Loopback => Protection::Loopback,
                    config::Protection::StartTls => Protection::StartTls(trust()?),
                    config::Protection::Direct => Protection::Direct(trust()?),
                };
                Place::Fixed(server.clone(), protection)
            }
            (None, resolver) => {
                let resolver = resolver.as_ref().expect("made where a way has no server");
                Place::LookUp(Arc::clone(resolver), trust()?)
            }
        };
        let routes = way.routes.clone();
        Ok(Arc::new(Way { place, routes, proxy_protocol: way.proxy_protocol }))
    };
    let named = config.domains.iter().map(|(domain, one)| Ok((domain.clone(), way(one)?)));
    Ok(Servers {
        named: named.collect::<anyhow::Result<_>>()?,
        others: config.others.as_ref().map(&mut way).transpose()?,
    })
}

fn trust(authorities: Option<&Path>) -> anyhow::Result<Trust> {
    Ok(Trust { start_tls: trusting(authorities, &[])?, direct: trusting(authorities, &[ALPN])? })
}
