//! The server that is killed: a process of its own, over a folder that outlives it.

pub use super::process::Signal;
use super::{doom::Doom, process::Process, stream::Places};
use crate::faults::Dice;
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    fs,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
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
    /// The fault that is planted in it.
    pub fault: Option<String>,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
    /// Where it listens, by kind of listener.
    listening: HashMap<String, String>,
    /// Where its doors are.
    pub places: Places,
    /// How long it took to be ready.
    pub after: Duration,
    /// Where it will die by itself, if it comes by there.
    pub doom: Option<Doom>,
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

    /// Starts it over this folder and waits until it serves; what it logs goes to the end of a file there. Where its doom
    /// comes before it serves it is started again, without one.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(&self, data: &Path, mut doom: Option<Doom>) -> anyhow::Result<Running> {
        let mut process = self.begin(data, doom.as_ref())?;
        let (listening, after) = match process.ready().await {
            Err(_) if doom.take_if(|doom| doom.has_come(data)).is_some() => {
                process = self.begin(data, None)?;
                process.ready().await?
            }
            ready => ready?,
        };
        let places =
            Places { tcp: address(&listening, "c2s")?, http: address(&listening, "http")? };
        Ok(Running { process, listening, places, after, doom })
    }

    /// Starts it over this folder.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn begin(&self, data: &Path, doom: Option<&Doom>) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        let listen = format!("['{}:0']", host(data));
        command
            .args(&self.first)
            .arg("run")
            .arg(format!("--set=data={}", data.display()))
            .args([format!("--set=c2s.listen={listen}"), format!("--set=http.listen={listen}")])
            .args(["--set=c2s.direct_tls=[]", "--set=c2s.require_tls=false"])
            .args(self.settings.iter().map(|set| format!("--set={set}")))
            .envs(doom.map(Doom::environment))
            .envs(self.fault.iter().map(|fault| ("STONECHAT_FAULT", fault)));
        Process::start(&mut command, &log_in(data))
    }
}

fn address(listening: &HashMap<String, String>, kind: &str) -> anyhow::Result<SocketAddr> {
    let address = listening.get(kind).with_context(|| format!("it does not listen for {kind}"))?;
    Ok(address.parse()?)
}

impl Running {
    /// Its number in the system, while it is there.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Where it listens for this.
    ///
    /// # Errors
    /// It does not.
    pub fn address(&self, kind: &str) -> anyhow::Result<SocketAddr> {
        address(&self.listening, kind)
    }

    /// Ends it and waits until it is gone, and all that it has started with it.
    ///
    /// # Errors
    /// It cannot be ended, or does not end when asked to.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.process.end(signal).await
    }

    /// Waits until it has died by itself, for ever where it is not to.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn fallen(&mut self) -> anyhow::Result<()> {
        match self.doom {
            Some(_) => self.process.ended().await,
            None => pending().await,
        }
    }
}

/// An address of loopback for this folder alone: a client that comes too late for its own server, whose port is somebody else's by
/// then, must not find another run's.
fn host(data: &Path) -> Ipv4Addr {
    let bytes: Vec<u64> = data.as_os_str().as_encoded_bytes().iter().map(|b| (*b).into()).collect();
    let mut dice = Dice::of(&bytes);
    let [a, b, c] = [(); 3].map(|()| u8::try_from(dice.among(1..255)).expect("a byte"));
    Ipv4Addr::new(127, a, b, c)
}

/// Where servers over this folder write what they have to say.
pub(super) fn log_in(data: &Path) -> PathBuf {
    data.join("log")
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
