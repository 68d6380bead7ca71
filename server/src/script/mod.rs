//! `stonechat script`: plays scripts against a server of their own in memory, or against any XMPP server.
//!
//! The language is the crate `script`'s. Here are the connections that scripts are played over, which the tests of this
//! repository use too, and the command.

mod driver;
mod files;
mod house;
mod http;
mod report;
mod websocket;

pub use driver::{Memory, Tcp, Wire};
pub use http::{Bosh, Service, Session};
pub use websocket::{Endpoint, Socket, WebSocket};

use crate::{Ephemeral, cli, tell};
use anyhow::Context;
use files::Play;
use net::tls::client;
use report::{Outcome, Report, Trouble};
use rustls::ClientConfig;
use script::{Cause, ClientError, Failure, Logged, Lost, Rules, Stage};
use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

/// Something failed.
const FAILED: u8 = 1;
/// A script is none, or cannot be read.
const UNREADABLE: u8 = 2;
/// The port of clients (RFC 6120 3.2.1), where `--server` says none.
const PORT: u16 = 5222;

/// Which certificates of servers are good.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// On the same machine.
    here: Arc<ClientConfig>,
    /// Anywhere else.
    elsewhere: Arc<ClientConfig>,
}

impl Certificates {
    /// Any. What is said is encrypted, but nobody vouches for who reads it.
    pub fn any() -> Self {
        let config = client::trusting_anyone(&[]);
        Self { here: Arc::clone(&config), elsewhere: config }
    }

    /// Those that an authority has signed: of the operating system's, or of this PEM file. Where there is no file, a
    /// server on the same machine may have any, since test servers sign their own and nobody is in between.
    ///
    /// # Errors
    /// The file cannot be read or has no certificate.
    pub fn signed(authorities: Option<&Path>) -> anyhow::Result<Self> {
        let elsewhere = client::trusting(authorities, &[])?;
        let here = match authorities {
            Some(_) => Arc::clone(&elsewhere),
            None => client::trusting_anyone(&[]),
        };
        Ok(Self { here, elsewhere })
    }

    fn of(&self, is_local: bool) -> Arc<ClientConfig> {
        Arc::clone(if is_local { &self.here } else { &self.elsewhere })
    }
}

/// Waits for a step of the server's, not forever.
async fn patiently<T, E: std::fmt::Display>(
    patience: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Lost> {
    match tokio::time::timeout(patience, step).await {
        Ok(result) => result.map_err(broken),
        Err(_) => Err(Lost::Silence),
    }
}

fn broken(error: impl std::fmt::Display) -> Lost {
    Lost::Broken(error.to_string())
}

/// Plays all scripts one after the other and reports on standard output.
///
/// # Errors
/// What was asked for makes no sense. What is wrong with a script is told, and counts in the status.
pub(crate) async fn run(arguments: cli::Script) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let player = Player::new(&arguments)?;
    let (mut report, mut unreadable) = (Report::new(), false);
    for file in files::named(&arguments.files)? {
        let begun = Instant::now();
        match files::read(&file) {
            Ok(play) if !player.wants(&play) => {}
            Ok(play) => report.script(&play.name, &player.judge(&play).await, begun.elapsed()),
            Err(error) => {
                crate::report(&error);
                unreadable = true;
            }
        }
    }
    if !unreadable || arguments.files.len() > 1 {
        report.summary(begun.elapsed());
    }
    Ok(match (unreadable, report.failed) {
        (true, _) => UNREADABLE.into(),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => FAILED.into(),
    })
}

/// Where scripts are played, and how.
struct Player<'a> {
    arguments: &'a cli::Script,
    patience: Duration,
    server: Where,
}

enum Where {
    /// A server for each script, begun as this one.
    Memory(Ephemeral),
    Tcp(Tcp),
    Bosh(Bosh),
    WebSocket(WebSocket),
}

impl<'a> Player<'a> {
    fn new(arguments: &'a cli::Script) -> anyhow::Result<Self> {
        let patience = Duration::try_from_secs_f64(arguments.timeout).unwrap_or_default();
        anyhow::ensure!(!patience.is_zero(), "--timeout: a number of seconds above 0");
        let certificates = || match arguments.insecure {
            true => Ok(Certificates::any()),
            false => Certificates::signed(arguments.ca.as_deref()).context("--ca"),
        };
        let server = match (&arguments.server, &arguments.bosh, &arguments.websocket) {
            (None, None, None) => {
                let base = Ephemeral::new().without_listeners();
                Where::Memory(arguments.set.iter().fold(base, Ephemeral::set))
            }
            (Some(address), _, _) => Where::Tcp(Tcp {
                address: with_port(address),
                certificates: certificates()?,
                patience,
            }),
            (None, Some(url), _) => Where::Bosh(Bosh {
                service: url.parse().map_err(|error| anyhow::anyhow!("--bosh: {error}"))?,
                certificates: certificates()?,
                patience,
            }),
            (None, None, Some(url)) => Where::WebSocket(WebSocket {
                endpoint: url.parse().map_err(|error| anyhow::anyhow!("--websocket: {error}"))?,
                certificates: certificates()?,
                patience,
            }),
        };
        if let Where::Memory(_) = server {
            let foreign = arguments.register || arguments.insecure || arguments.ca.is_some();
            anyhow::ensure!(
                !foreign,
                "--register, --insecure and --ca go with --server, --bosh or --websocket"
            );
        }
        Ok(Self { arguments, patience, server })
    }

    /// Whether the tags of the script let it be played.
    fn wants(&self, play: &Play) -> bool {
        let has = |wanted: &String| {
            let (name, value) = match wanted.split_once(':') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (wanted.trim(), None),
            };
            let mut tags = play.script.tags.iter().filter(|tag| tag.name == name);
            tags.any(|tag| value.is_none() || tag.value.as_deref() == value)
        };
        let (only, skip) = (&self.arguments.only_tags, &self.arguments.skip_tags);
        (only.is_empty() || only.iter().any(has)) && !skip.iter().any(has)
    }

    /// Plays a script, and says what came of it.
    async fn judge(&self, play: &Play) -> Outcome {
        if let Some(why) = self.excluded(play) {
            return Outcome::Skipped(why);
        }
        let differs = self.arguments.against.as_ref().and_then(|name| {
            let tag = format!("differs on {name}");
            let tag = play.script.tags.iter().find(|other| other.name == tag)?;
            Some((name, tag.value.clone().unwrap_or_default()))
        });
        match (self.perform(play).await, differs) {
            (Ok(()), None) => Outcome::Passed,
            // What has no line, such as an account that cannot be made, is nothing that the script says.
            (Err(Trouble { line: Some(_), .. }), Some((_, what))) => Outcome::Differs(what),
            (Err(trouble), _) => Outcome::Failed(trouble),
            (Ok(()), Some((name, _))) => Outcome::Failed(Trouble::new(format!(
                "it passes, although it says that {name} differs"
            ))),
        }
    }

    /// Why this script cannot be played here, if it cannot.
    fn excluded(&self, play: &Play) -> Option<String> {
        let door = match &self.server {
            Where::Memory(_) => "memory",
            Where::Tcp(_) => "tcp",
            Where::Bosh(_) => "bosh",
            Where::WebSocket(_) => "websocket",
        };
        let tags = &play.script.tags;
        let excluding = format!("not over {door}");
        if let Some(tag) = tags.iter().find(|tag| tag.name == excluding) {
            return Some(format!("{excluding}: {}", tag.value.as_deref().unwrap_or_default()));
        }
        if let Where::Memory(_) = self.server {
            return None;
        }
        let mut needs = tags.iter().filter(|tag| tag.name == house::SET);
        let needs = needs.find_map(|tag| {
            let value = tag.value.as_ref()?;
            (!self.arguments.set.contains(value)).then_some(value)
        });
        needs.map(|setting| format!("needs a server with {setting} (see --set)"))
    }

    async fn perform(&self, play: &Play) -> Result<(), Trouble> {
        match &self.server {
            Where::Memory(base) => {
                let house = house::open(base, &play.script).await;
                let house = house.map_err(|error| Trouble::new(format!("{error:#}")))?;
                let stage = Memory { pipe: || house.pipe(), patience: self.patience };
                let played = self.on(stage, play).await;
                house.stop().await;
                played
            }
            Where::Tcp(tcp) => self.on(tcp.clone(), play).await,
            Where::Bosh(bosh) => self.on(bosh.clone(), play).await,
            Where::WebSocket(socket) => self.on(socket.clone(), play).await,
        }
    }

    async fn on(&self, stage: impl Stage, play: &Play) -> Result<(), Trouble> {
        if self.arguments.log {
            self.with_accounts(Logged::new(stage, report::log), play).await
        } else {
            self.with_accounts(stage, play).await
        }
    }

    /// With `--register`, the accounts exist for the script only.
    async fn with_accounts(&self, mut stage: impl Stage, play: &Play) -> Result<(), Trouble> {
        let mut made = Vec::new();
        if self.arguments.register {
            for character in play.script.accounts() {
                match script::register(character, &mut stage).await {
                    Ok(true) => made.push(character),
                    Ok(false) => {
                        tell(&format!("{} is there already, and stays", character.jid));
                    }
                    Err(why) => {
                        return Err(Trouble::new(format!("the account {}: {why}", character.jid)));
                    }
                }
            }
        }
        let played = self.play(&mut stage, play).await;
        for character in made {
            match script::unregister(character, &mut stage).await {
                Ok(()) => {}
                Err(Cause::Login(ClientError::Refused("authentication", _))) => {
                    // The script has removed it, or it has given it another password.
                    tell(&format!("{} cannot log in any more", character.jid));
                }
                Err(why) => {
                    let what = format!("the account {} is left behind: {why}", character.jid);
                    return Err(Trouble::new(what));
                }
            }
        }
        played
    }

    async fn play(&self, stage: &mut impl Stage, play: &Play) -> Result<(), Trouble> {
        let rules = if self.arguments.strict { Rules::Strict } else { Rules::Scansion };
        script::play(&play.script, stage, rules).await.map_err(|failure| {
            let Failure { line, character, cause, diff } = failure;
            Trouble { line: Some(line), what: format!("{character}: {cause}"), diff }
        })
    }
}

/// `HOST:PORT`, the port of clients where there is none.
fn with_port(address: &str) -> String {
    // Colons inside the brackets of an IPv6 address are none before a port.
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { address.to_owned() } else { format!("{address}:{PORT}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_clients_is_usual() {
        for (given, meant) in [
            ("example.org", "example.org:5222"),
            ("example.org:5322", "example.org:5322"),
            ("[::1]", "[::1]:5222"),
            ("[::1]:5322", "[::1]:5322"),
        ] {
            assert_eq!(with_port(given), meant);
        }
    }

    #[test]
    fn a_bosh_service_is_a_url_of_http() {
        assert!("http://127.0.0.1:5280/http-bind".parse::<Service>().is_ok());
        assert!("https://example.org/bosh?x".parse::<Service>().is_ok());
        for wrong in ["127.0.0.1:5280", "/http-bind", "ftp://example.org/", "http://"] {
            assert!(wrong.parse::<Service>().is_err(), "{wrong}");
        }
    }
}
