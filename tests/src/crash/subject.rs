//! The server that is killed: a process of its own, over a folder that outlives it.

pub use super::process::Signal;
use super::{process::Process, stream::Places};
use anyhow::{Context, ensure};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;
use xmpp_core::BareJid;

/// The password of everybody.
pub const PASSWORD: &str = "secret";
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

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
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

    /// Starts it over this folder and waits until it serves; what it logs goes to the end of a file there. `environment` is
    /// for the fail points.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(
        &self,
        data: &Path,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let mut process = self.begin(data, environment)?;
        let (listening, after) = process.ready().await?;
        let address =
            |kind| listening.get(kind).with_context(|| format!("it does not listen for {kind}"));
        let (tcp, http) = (address("c2s")?.parse()?, address("http")?.parse()?);
        Ok(Running { process, places: Places { tcp, http }, after })
    }

    /// Starts it over this folder.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn begin(
        &self,
        data: &Path,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command
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
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Process::start(&mut command, &data.join("log"))
    }
}

impl Running {
    /// Ends it and waits until it is gone, and all that it has started with it.
    ///
    /// # Errors
    /// It cannot be ended, or does not end when asked to.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.process.end(signal).await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        self.process.ended().await
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
