//! `stonechat run`: serve until a signal says stop.

use crate::{Server, print};
use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Serves what is started here; standard output says where, then `ready`.
pub(crate) async fn run(start: impl Future<Output = anyhow::Result<Server>>) -> anyhow::Result<()> {
    // Before anything is announced: whoever reads `ready` may send a signal at once.
    let mut signals = Signals::new()?;
    let server = start.await?;
    announce(&server);
    signals.wait(&server).await;
    server.stop().await;
    Ok(())
}

/// Says where the server listens, and that it is ready.
pub(crate) fn announce(server: &Server) {
    for listening in server.listening() {
        print(&format!("listening {listening}"));
    }
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

    /// Returns when it is time to stop; SIGHUP reads the certificate again.
    pub(crate) async fn wait(&mut self, server: &Server) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => server.reload_certificate().await,
            }
        }
    }
}
