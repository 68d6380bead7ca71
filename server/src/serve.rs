//! `stonechat run`: serve until a signal says stop.

use crate::{Server, load};
use anyhow::Context;
use modules::End;
use program::{Source, print};
use tokio::signal::unix::{SignalKind, signal};

/// Serves by this configuration, which is read again at each restart.
pub(crate) async fn configured(source: &Source) -> anyhow::Result<()> {
    let mut in_force = None;
    let start = async || {
        let config = match (load(source), in_force.take()) {
            (Ok(config), _) => config,
            (Err(error), None) => return Err(error),
            (Err(error), Some(config)) => {
                tracing::error!(%error, "the configuration in force stays");
                config
            }
        };
        in_force = Some(config.clone());
        Server::start(config).await
    };
    run(start).await
}

/// Serves what is started here; standard output says where, then `ready`; again after each restart that an operator wishes.
pub(crate) async fn run(
    mut start: impl AsyncFnMut() -> anyhow::Result<Server>,
) -> anyhow::Result<()> {
    // Before anything is announced: whoever reads `ready` may send a signal at once.
    let mut signals = Signals::new()?;
    loop {
        let server = start().await?;
        announce(&server);
        let end = signals.wait(&server).await;
        server.stop().await;
        if end == End::Stop {
            return Ok(());
        }
    }
}

/// Says where the server listens, and that it is ready.
pub(crate) fn announce(server: &Server) {
    for listening in server.listening() {
        print(&format!("listening {listening}"));
    }
    faults::site!("before-ready");
    print("ready");
}

/// The signals that mean something.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Returns when it is time to end, by a signal or at an operator's wish; SIGHUP reads the certificate again.
    pub(crate) async fn wait(&mut self, server: &Server) -> End {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Stop,
                _ = self.interrupt.recv() => return End::Stop,
                end = server.ordered() => {
                    tracing::info!(?end, "at an operator's wish");
                    return end;
                }
                _ = self.hang_up.recv() => server.reload_certificate().await,
            }
        }
    }
}
