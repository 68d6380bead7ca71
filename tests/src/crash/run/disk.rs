//! The disk under the server fails in the middle of its work: what the server may not do then, what it must do all the same, and
//! how soon it is well again.

use super::{PATIENCE, Stand, Target, accounts};
use crate::{
    crash::{
        device::{Device, SM},
        history::History,
        stream::{Door, Places, Stream},
        subject::{PASSWORD, Signal},
    },
    faults::Dice,
};
use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use xmpp_core::ns;

/// How soon all is well again, once the disk is.
const RECOVERY: Duration = Duration::from_secs(5);
/// Until a failure shows, where there is room still: what was made ready for writing before.
const BITES: Duration = Duration::from_secs(60);
/// What of a full disk may be left, in bytes: some writes of the server's end in the middle.
const LEFT: u64 = 100_000;
/// Lines of the log that come once in a process, however often the disk fails: that the certificate is made by itself, that
/// the journal of streams is lost.
const ONCE: usize = 4;

/// What is the matter with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// There is no room left.
    Full,
    /// Writing is refused: what a file system says that has become read-only, told by strace.
    ReadOnly,
    /// Flushing fails, told by strace.
    Flush,
    /// Its file system, ext4 without a journal, has become read-only by itself; it has to be mounted anew, which takes an end
    /// of the server.
    Aborted,
}

impl FromStr for Ailment {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "full" => Ok(Self::Full),
            "read-only" => Ok(Self::ReadOnly),
            "flush" => Ok(Self::Flush),
            "aborted" => Ok(Self::Aborted),
            _ => Err("is not full, read-only, flush or aborted"),
        }
    }
}

/// A disk that fails.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Where it is mounted: the database is there, and nothing else.
    pub folder: PathBuf,
    /// How it fails.
    pub ailment: Ailment,
}

/// A disk that is failing.
pub(super) enum Ailing {
    /// What fills it.
    Ballast(PathBuf),
    /// What intercepts the server's system calls.
    Strace(Child),
    /// This device is read-only until it is mounted there anew.
    Mount(String, PathBuf),
}

impl Disk {
    /// The server's setting.
    pub(super) fn setting(&self) -> String {
        format!("store.url=\"sqlite:{}\"", self.database().display())
    }

    fn database(&self) -> PathBuf {
        self.folder.join("stonechat.db")
    }

    /// Brings the database here, in place of what was.
    ///
    /// # Errors
    /// It cannot be copied.
    pub(super) fn prepare(&self, template: &Path) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        fs::copy(template.join("stonechat.db"), self.database())?;
        // What it begins with is safe.
        File::open(self.database())?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Begins to fail.
    async fn begin(&self, server: u32, dice: &mut Dice) -> anyhow::Result<Ailing> {
        match self.ailment {
            Ailment::Full => {
                let ballast = self.folder.join("ballast");
                let (file, left) = (ballast.clone(), dice.among(0..LEFT));
                spawn_blocking(move || fill(&file, left)).await??;
                Ok(Ailing::Ballast(ballast))
            }
            Ailment::ReadOnly => {
                intercept(server, "pwrite64,ftruncate,fallocate,fdatasync", "EROFS").await
            }
            Ailment::Flush => intercept(server, "fdatasync,fsync", "EIO").await,
            Ailment::Aborted => {
                let mounts = fs::read_to_string("/proc/self/mounts")?;
                let here =
                    |line: &&str| line.split(' ').nth(1).map(Path::new) == Some(&self.folder);
                let mount = mounts.lines().rfind(here).context("nothing is mounted there")?;
                let device = mount.split(' ').next().unwrap_or_default();
                let name = device.strip_prefix("/dev/").context("no device is mounted there")?;
                fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1")?;
                Ok(Ailing::Mount(device.into(), self.folder.clone()))
            }
        }
    }
}

impl Ailing {
    /// It is well.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Ballast(file) => fs::remove_file(file)?,
            Self::Strace(mut strace) => {
                let id = strace.id().context("strace has left")?.to_string();
                Command::new("kill").args(["-INT", &id]).status().await?;
                strace.wait().await?;
            }
            Self::Mount(device, folder) => {
                let unmounted = Command::new("umount").arg(&folder).status().await?;
                ensure!(unmounted.success(), "umount fails");
                let mounted = Command::new("mount")
                    .args(["-o", "errors=remount-ro", &device])
                    .arg(&folder)
                    .status()
                    .await?;
                ensure!(mounted.success(), "mount fails");
            }
        }
        Ok(())
    }
}

/// Writes a file until there is no room, and leaves some bytes.
fn fill(file: &Path, left: u64) -> io::Result<()> {
    let mut ballast = File::create(file)?;
    let mut chunk = vec![0; 1 << 16];
    while !chunk.is_empty() {
        match ballast.write_all(&chunk) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                chunk.truncate(chunk.len() / 2);
            }
            written => written?,
        }
    }
    let length = ballast.metadata()?.len();
    ballast.set_len(length.saturating_sub(left))
}

/// Has these system calls of a process fail.
async fn intercept(process: u32, calls: &str, error: &str) -> anyhow::Result<Ailing> {
    let mut strace = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-p", &process.to_string()])
        .arg(format!("--trace={calls}"))
        .arg(format!("--inject={calls}:error={error}"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("strace")?;
    let mut lines = BufReader::new(strace.stderr.take().context("a pipe")?).lines();
    let first = timeout(PATIENCE, lines.next_line()).await??.unwrap_or_default();
    ensure!(first.contains("attached"), "strace: {first}");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Ailing::Strace(strace))
}

impl Stand {
    /// Has the disk fail, looks what the server does, and has it be well again; it is killed meanwhile, perhaps.
    ///
    /// # Errors
    /// The server does not do what it must.
    pub(super) async fn ail(&mut self, disk: &Disk, dice: &mut Dice) -> anyhow::Result<()> {
        let process = self.server.id().context("the server is gone")?;
        let kill = disk.ailment == Ailment::Aborted || dice.among(0..3) == 0;
        self.troubles += 1;
        let mut prober = Prober::enter(&self.server.places, self.troubles, &self.history).await?;
        let ailing = disk.begin(process, dice).await?;
        let begun = Instant::now();
        while prober.asks().await? == Outcome::Kept {
            ensure!(begun.elapsed() < BITES, "the disk fails, and nobody notices");
        }
        timeout(PATIENCE, goes_on(&self.server.places))
            .await
            .context("all else stands still")??;
        let metrics = self.server.address("metrics")?;
        ensure!(writes_fail(metrics).await?, "the numbers know nothing of the failure");
        sleep(dice.millis(0..300)).await;
        if kill {
            self.ailing = Some(ailing);
            self.end_and_start(Target::Server, Signal::Kill, None, false).await?;
            prober = Prober::enter(&self.server.places, self.troubles, &self.history).await?;
        } else {
            ailing.end().await?;
        }
        let well = Instant::now();
        while prober.asks().await? == Outcome::Refused {
            sleep(Duration::from_millis(20)).await;
        }
        let after = well.elapsed();
        ensure!(after < RECOVERY, "it takes {after:?} until something is kept again");
        self.recoveries.push(after);
        prober.leave().await
    }

    /// The operator sees that all is well again, was told when it was not, and not for each message.
    ///
    /// # Errors
    /// So it is not.
    pub(super) async fn calm(&mut self, disk: &Disk) -> anyhow::Result<()> {
        let metrics = self.server.address("metrics")?;
        let begun = Instant::now();
        while writes_fail(metrics).await? {
            ensure!(begun.elapsed() < RECOVERY, "the numbers still know of a failure");
            sleep(Duration::from_millis(50)).await;
        }
        let log = fs::read_to_string(self.data.join("log"))?;
        let told = log.lines().filter(|line| line.contains("writes fail")).count();
        let bad = log.lines().filter(|line| [" ERROR ", " WARN "].iter().any(|w| line.contains(w)));
        let bad: Vec<&str> = bad.collect();
        let most = usize::try_from(self.troubles)?;
        ensure!((1..=most).contains(&told), "{told} of {most} failures are told");
        ensure!(bad.len() <= ONCE + 3 * most, "for {most} failures: {bad:#?}");
        let database = disk.database();
        self.server.end(Signal::Kill).await?;
        let sound = spawn_blocking(move || -> rusqlite::Result<String> {
            let conn = rusqlite::Connection::open(database)?;
            conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))
        });
        let sound = sound.await??;
        ensure!(sound == "ok", "the database is damaged: {sound}");
        Ok(())
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Kept,
    Refused,
}

/// Somebody who leaves messages for somebody who is away.
struct Prober {
    device: Device,
    stream: Stream,
    name: String,
    asked: u32,
}

impl Prober {
    async fn enter(places: &Places, number: u32, history: &Arc<History>) -> anyhow::Result<Self> {
        let name = format!("probe{number}-{}", net::random::token());
        let (mut stream, account) = (login(places).await?, accounts().swap_remove(0));
        let mut device = Device::new(account, false, false, history.clone());
        device.bound(&stream.bind(&name).await?)?;
        stream.send(format!("<enable xmlns='{SM}'/>")).await?;
        device.enabled(&stream.expect(SM, "enabled").await?);
        Ok(Self { device, stream, name, asked: 0 })
    }

    async fn asks(&mut self) -> anyhow::Result<Outcome> {
        self.asked += 1;
        let away = accounts().pop().context("nobody is away")?;
        let message = self.device.message(&format!("{}-{}", self.name, self.asked), &away)?;
        self.stream.send(message).await?;
        let mut outcome = Outcome::Kept;
        while self.device.unacked() > 0 {
            let node = self.stream.receive().await?;
            if node.is(ns::CLIENT, "message") {
                let error = node.child(ns::CLIENT, "error").context("a message for nobody")?;
                ensure!(
                    error.attr("type") == Some("wait")
                        && error.child(ns::STANZA_ERRORS, "resource-constraint").is_some(),
                    "{node:?}"
                );
                outcome = Outcome::Refused;
            }
            if let Some(answer) = self.device.handle(&node)? {
                self.stream.send(answer).await?;
            }
        }
        Ok(outcome)
    }

    async fn leave(mut self) -> anyhow::Result<()> {
        self.device.forget()?;
        self.stream.leave().await
    }
}

async fn login(places: &Places) -> anyhow::Result<Stream> {
    let account = accounts().swap_remove(0);
    Ok(Stream::open(Door::Tcp, places, &account, PASSWORD, PATIENCE).await?.0)
}

/// What has nothing to do with the store: logins, presence, questions, messages that are not kept.
async fn goes_on(places: &Places) -> anyhow::Result<()> {
    let mut stream = login(places).await?;
    let jid = stream.bind(&net::random::token()).await?;
    // No message comes to who is there with less than nothing to offer (RFC 6121 8.5.2.1.1).
    let words = format!(
        "<presence><priority>-1</priority></presence>\
         <iq type='get' id='there?' to='localhost'><ping xmlns='{}'/></iq>\
         <message type='headline' to='{jid}' id='news'><body>The disk fails.</body></message>",
        ns::PING
    );
    stream.send(words).await?;
    let (mut seen, mut answered, mut heard) = (false, false, false);
    while !(seen && answered && heard) {
        let node = stream.receive().await?;
        seen |= node.is(ns::CLIENT, "presence") && node.attr("from") == Some(&jid);
        answered |= node.attr("id") == Some("there?") && node.attr("type") == Some("result");
        heard |= node.attr("id") == Some("news") && node.attr("type") == Some("headline");
        if node.attr("type") == Some("error") {
            bail!("{node:?}");
        }
    }
    stream.leave().await
}

/// Whether the numbers say that writes fail.
async fn writes_fail(metrics: SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(metrics).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let line = answer.lines().find(|l| l.starts_with("stonechat_store_failing{what=\"writes\"}"));
    Ok(line.context("no such number")?.ends_with(" 1"))
}
