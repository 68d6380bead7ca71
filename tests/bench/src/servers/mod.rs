//! The servers that are compared: private configurations, accounts, and processes on loopback.
//!
//! Accounts and rosters are written in each server's own format before it starts, so that thousands of them cost no time; all have
//! the same salt and password, so that the generator hashes it once. What the servers do at a login is the same.

mod ejabberd;
mod prosody;
mod stonechat;

use crate::{
    client::{Keys, Target},
    load::{presence::Ring, user},
    process::Group,
};
use anyhow::{Context, bail, ensure};
use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use xmpp_core::sasl::{Credentials, ScramKeys};

/// The domain of all accounts.
const DOMAIN: &str = "localhost";
/// The password of everybody.
const PASSWORD: &str = "secret";
/// Rounds of PBKDF2: the fewest that RFC 7677 4 allows. They are the client's work, so they do not count.
const ITERATIONS: u32 = 4_096;
/// Everybody's salt; text, since Prosody keeps it as such.
const SALT: [u8; 16] = *b"sixteen of these";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a server may take to start: some read all accounts.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(15);

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// This one, in release.
    Stonechat,
    /// Prosody with its default garbage collector.
    Prosody,
    /// Prosody with the generational garbage collector of Lua 5.4.
    ProsodyGenerational,
    /// ejabberd.
    Ejabberd,
    /// No server: forwards bytes, see [`crate::floor`].
    Floor,
}

/// Who has an account.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// So many, without contacts, see [`user`].
    pub users: usize,
    /// These, with contacts.
    pub rings: Vec<Ring>,
}

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Stonechat's program.
    pub program: PathBuf,
    /// Whether messages are archived at both ends; otherwise nowhere.
    pub archive: bool,
    /// The accounts.
    pub people: People,
    /// Further lines of Stonechat's configuration.
    pub settings: String,
}

/// A server that runs. It ends when this is dropped.
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// Its processes.
    pub group: Group,
    /// Its configuration, as it stands in its own file.
    pub settings: String,
    child: Child,
    folder: TempDir,
}

/// What a configuration needs.
struct Place<'a> {
    folder: &'a Path,
    certificate: PathBuf,
    key: PathBuf,
    c2s: u16,
    http: u16,
    wish: &'a Wish,
    keys: Credentials,
}

/// What starts a server.
struct Start {
    command: Command,
    settings: String,
    /// A file that is there once the server is ready; without one it is when its ports accept.
    sign: Option<PathBuf>,
}

impl Kind {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::Stonechat, Self::Prosody, Self::ProsodyGenerational, Self::Ejabberd, Self::Floor];

    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stonechat => "stonechat",
            Self::Prosody => "prosody",
            Self::ProsodyGenerational => "prosody-generational",
            Self::Ejabberd => "ejabberd",
            Self::Floor => "floor",
        }
    }

    /// Its name in tables and plots.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Stonechat => "Stonechat",
            Self::Prosody => "Prosody",
            Self::ProsodyGenerational => "Prosody, generational",
            Self::Ejabberd => "ejabberd",
            Self::Floor => "floor",
        }
    }

    /// Whether it is one that Stonechat is compared with.
    #[must_use]
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Prosody | Self::ProsodyGenerational | Self::Ejabberd)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Server {
    /// Starts one in a folder of its own, on free ports of loopback.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(kind: Kind, wish: &Wish) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let place = Place {
            folder: folder.path(),
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
            c2s: free_port()?,
            http: free_port()?,
            wish,
            keys: Credentials::derive(PASSWORD, ITERATIONS, &[SALT; 3])?,
        };
        certify(&place)?;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let keys = Keys::new(PASSWORD);
        let mut target =
            Target::new(at(place.c2s), at(place.http), DOMAIN, keys, &place.certificate)?;
        target.is_floor = kind == Kind::Floor;
        let mut start = match kind {
            Kind::Stonechat => stonechat::start(&place).await?,
            Kind::Prosody => prosody::start(&place, "incremental")?,
            Kind::ProsodyGenerational => prosody::start(&place, "generational")?,
            Kind::Ejabberd => ejabberd::start(&place)?,
            Kind::Floor => floor(&place)?,
        };
        let log = fs::File::create(folder.path().join("log"))?;
        let child = start
            .command
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{kind} cannot be run"))?;
        let group = Group::of(child.id().context("it has ended")?);
        let settings = start.settings.replace(&folder.path().display().to_string(), "FOLDER");
        let mut server = Self { target, group, settings, child, folder };
        let ready = server.ready(start.sign.as_deref());
        match timeout(START, ready).await {
            Ok(Ok(())) => Ok(server),
            _ => bail!("{kind} does not start: {}", server.log()),
        }
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It does not.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let leader = self.child.id().context("it has ended by itself")?;
        let signal = |signal: &'static str| async move {
            let group = format!("-{leader}");
            Command::new("kill").args([signal, "--", &group]).status().await
        };
        ensure!(signal("-TERM").await?.success(), "it cannot be asked to end");
        if timeout(END, self.child.wait()).await.is_err() {
            signal("-KILL").await?;
            self.child.wait().await?;
        }
        Ok(())
    }

    /// Waits until it serves.
    async fn ready(&mut self, sign: Option<&Path>) -> anyhow::Result<()> {
        let begun = Instant::now();
        let there = async |address| TcpStream::connect(address).await.is_ok();
        while !(there(self.target.c2s).await
            && there(self.target.http).await
            && sign.is_none_or(Path::exists))
        {
            ensure!(self.child.try_wait()?.is_none(), "it ends at once");
            // Nothing else tells when another server has started.
            sleep(Duration::from_millis(20).max(begun.elapsed() / 20)).await;
        }
        Ok(())
    }
}

impl People {
    /// Everybody's name.
    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.users).map(user).chain(
            self.rings.iter().flat_map(|ring| (0..ring.people).map(move |one| ring.user(one))),
        )
    }

    /// Everybody who has contacts, and these.
    fn rosters(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        let one = |ring: &Ring, number| (ring.user(number), ring.roster_of(number).collect());
        let mut all: Vec<_> = self
            .rings
            .iter()
            .flat_map(|ring| (0..ring.people).map(move |number| one(ring, number)))
            .collect();
        // Who is never there knows who counts on them.
        for number in 0..self.rings.iter().map(|ring| ring.away).max().unwrap_or_default() {
            let rings = self.rings.iter().filter(|ring| number < ring.away);
            let friends = rings.flat_map(|ring| (0..ring.people).map(move |one| ring.user(one)));
            all.push((user(number), friends.collect()));
        }
        all.into_iter()
    }
}

/// A certificate of ECDSA on P-256, and its key.
fn certify(place: &Place<'_>) -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new([DOMAIN.to_owned()])?;
    parameters.not_before = (SystemTime::now() - DAY).into();
    // ejabberd sets timers for the end of it, which may not be too far away.
    parameters.not_after = (SystemTime::now() + 20 * DAY).into();
    fs::write(&place.certificate, parameters.self_signed(&key)?.pem())?;
    fs::write(&place.key, key.serialize_pem())?;
    Ok(())
}

/// The keys that most clients of today use.
fn sha1(keys: &Credentials) -> &ScramKeys {
    &keys.sha1
}

fn floor(place: &Place<'_>) -> anyhow::Result<Start> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", &place.c2s.to_string(), &place.http.to_string()]);
    Ok(Start { command, settings: String::new(), sign: None })
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
