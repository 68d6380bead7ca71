//! The server that is killed: a process of its own, over a folder that outlives it.

use super::stream::Places;
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use xmpp_core::BareJid;

/// The password of everybody.
pub const PASSWORD: &str = "secret";
/// How long a server may take to start, and to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server is started: Stonechat, or another with its command line.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The program.
    pub program: PathBuf,
    /// What stands before the arguments that Stonechat knows.
    pub first: Vec<String>,
    /// Further settings, as after `--set`.
    pub settings: Vec<String>,
}

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: it has no chance to say or write anything.
    Kill,
    /// SIGTERM: it ends in good order.
    Term,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where its doors are.
    pub places: Places,
    /// How long it took to be ready.
    pub after: Duration,
}

impl Subject {
    /// Makes the accounts in a folder, which every run then begins with a copy of.
    ///
    /// # Errors
    /// The program cannot be run, or refuses.
    pub async fn prepare(&self, data: &Path, accounts: &[BareJid]) -> anyhow::Result<()> {
        for account in accounts {
            let mut child = Command::new(&self.program)
                .args(&self.first)
                .args([
                    "user",
                    "add",
                    account.as_str(),
                    "--password-stdin",
                    "--set=auth.iterations=4096",
                ])
                .arg(format!("--set=data={}", data.display()))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .with_context(|| self.program.display().to_string())?;
            let mut stdin = child.stdin.take().context("a pipe")?;
            tokio::io::AsyncWriteExt::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes())
                .await?;
            drop(stdin);
            ensure!(child.wait().await?.success(), "{account} could not be made");
        }
        Ok(())
    }

    /// Starts it over this folder; what it logs goes to the end of a file there. `environment` is for the fail points.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(
        &self,
        data: &Path,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let log = fs::OpenOptions::new().create(true).append(true).open(data.join("log"))?;
        let begun = Instant::now();
        let mut child = Command::new(&self.program)
            .args(&self.first)
            .arg("run")
            .arg(format!("--set=data={}", data.display()))
            .args([
                "--set=c2s.listen=['127.0.0.1:0']",
                "--set=c2s.direct_tls=[]",
                "--set=c2s.require_tls=false",
            ])
            .args(["--set=http.listen=['127.0.0.1:0']"])
            .args(self.settings.iter().map(|set| format!("--set={set}")))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
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
        ensure!(
            timeout(PATIENCE, ready).await.context("it does not get ready")??,
            "it ends at once"
        );
        let address =
            |kind| listening.get(kind).with_context(|| format!("it does not listen for {kind}"));
        let (tcp, http) = (address("c2s")?.clone(), address("http")?.clone());
        let (bosh, websocket) =
            (format!("http://{http}/http-bind"), format!("ws://{http}/xmpp-websocket"));
        Ok(Running { child, places: Places { tcp, bosh, websocket }, after: begun.elapsed() })
    }
}

impl Running {
    /// Ends it and waits until it is gone, and all that it has started with it.
    ///
    /// # Errors
    /// It cannot be ended, or does not end when asked to.
    pub async fn end(mut self, signal: Signal) -> anyhow::Result<()> {
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
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        self.child.wait().await?;
        Ok(())
    }
}

/// Copies a folder's files.
///
/// # Errors
/// One cannot be copied.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
