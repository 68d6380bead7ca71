//! A program that says where it listens and that it is ready, as `stonechat` and `bosh-cm` do, and how it is ended.

use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to start, and to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a program is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: it has no chance to say or write anything.
    Kill,
    /// SIGTERM: it ends in good order.
    Term,
}

/// A program that was started, and leads a process group of its own.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    begun: Instant,
}

impl Process {
    /// Starts it; what it logs goes to the end of this file.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let begun = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| command.as_std().get_program().display().to_string())?;
        Ok(Self { child, begun })
    }

    /// Its number in the system, while it is there.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it is ready; gives where it listens, by kind of listener, and how long it took.
    ///
    /// # Errors
    /// It ends instead, or does nothing.
    pub(super) async fn ready(&mut self) -> anyhow::Result<(HashMap<String, String>, Duration)> {
        let stdout = self.child.stdout.take().context("it was waited for before")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut listening = HashMap::new();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line == "ready" {
                    return Ok(true);
                }
                if let Some((kind, address)) =
                    line.strip_prefix("listening ").and_then(|l| l.split_once(' '))
                {
                    listening.insert(kind.to_owned(), address.to_owned());
                }
            }
            io::Result::Ok(false)
        };
        let ready = timeout(PATIENCE, ready).await.context("it does not get ready")??;
        ensure!(ready, "it ends at once");
        Ok((listening, self.begun.elapsed()))
    }

    /// Ends it and waits until it is gone, and all that it has started with it.
    ///
    /// # Errors
    /// It cannot be ended, or does not end when asked to.
    pub(super) async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let Some(leader) = self.child.id() else { return Ok(()) };
        let group = format!("-{leader}");
        let kill = async || {
            Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().await
        };
        if signal == Signal::Term {
            let asked = Command::new("kill").args(["-TERM", &leader.to_string()]).status().await?;
            ensure!(asked.success(), "it cannot be asked to end");
            let ended = timeout(PATIENCE, self.child.wait()).await;
            kill().await?; // those it left behind: mostly nobody, which is no failure
            ended.context("it does not end")??;
            return Ok(());
        }
        ensure!(kill().await?.success(), "it cannot be killed");
        self.child.wait().await?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Nobody knows.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        self.child.wait().await?;
        Ok(())
    }
}
