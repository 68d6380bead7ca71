//! The connection manager as a process of its own, in front of the server that is killed.

use super::process::{Process, Signal};
use anyhow::Context;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::process::Command;

/// A `bosh-cm` that runs.
#[derive(Debug)]
pub(super) struct Manager {
    process: Process,
    /// Where BOSH and WebSocket are served.
    pub(super) http: SocketAddr,
    /// How long it took to be ready.
    pub(super) after: Duration,
}

impl Manager {
    /// Starts this program in front of the server that clients find here; what it logs goes to the end of a file in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub(super) async fn start(
        program: &Path,
        server: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg(format!("--set=upstream.server={server}"))
            .arg(format!("--set=http.listen=['{}:0']", server.ip()))
            // Asked to end, it does not wait for clients that are in a black hole.
            .args(["--set=upstream.tls=none", "--set=limits.drain=1"]);
        let mut process = Process::start(&mut command, &folder.join("log"))?;
        let (listening, after) = process.ready().await.context("bosh-cm")?;
        let http = listening.get("http").context("it does not listen for http")?.parse()?;
        Ok(Self { process, http, after })
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be ended.
    pub(super) async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.process.end(signal).await
    }
}
