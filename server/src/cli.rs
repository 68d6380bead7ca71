//! The command line: what can be asked of `stonechat`.

use crate::Ephemeral;
use anyhow::Context;
use clap::{Args, Parser, Subcommand, error::ErrorKind};
use program::{Source, one_line};
use std::{fmt, path::PathBuf};

/// Stonechat: an XMPP server with a BOSH connection manager.
#[derive(Debug, Parser)]
#[command(name = "stonechat", version)]
pub struct Cli {
    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration, where it stands before the command.
    #[command(flatten)]
    pub source: Source,
}

impl Cli {
    /// Reads the command line. `--help` and `--version` are answered, and the process ends.
    ///
    /// # Errors
    /// One line that says what is wrong and where help is.
    pub fn read<T: Into<std::ffi::OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> anyhow::Result<Self> {
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                anyhow::anyhow!("say add, passwd, del or list after `user`")
            }
            _ => one_line("stonechat", &error),
        })
    }

    /// What to do, and with which configuration: the options before and after the command count alike.
    ///
    /// # Errors
    /// One line, where options stand before a command that has no configuration.
    pub fn command(self) -> anyhow::Result<Command> {
        let Self { command, source: before } = self;
        let mut command = command.unwrap_or(Command::Run(Run::default()));
        match command.source() {
            Some(source) => source.put_before(before)?,
            None if before.is_empty() => {}
            None => anyhow::bail!("--config and --set have no meaning for this command"),
        }
        Ok(command)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Run(Run),
    /// Try it: loopback only, domain localhost, two accounts, a web page to chat on
    Demo,
    /// Manage accounts; works while the server runs, over the same database
    User(User),
    /// Read the configuration and say whether it can be served
    Check(Source),
    /// Play test scripts in the Scansion dialect against a server in memory, or any other
    Script(Script),
    /// Print every key with its explanation and default
    ExampleConfig,
    /// List the XEPs that are implemented
    Xeps {
        /// As a DOAP file, for machines (XEP-0453)
        #[arg(long)]
        doap: bool,
    },
}

impl Command {
    fn source(&mut self) -> Option<&mut Source> {
        match self {
            Self::Run(run) => Some(&mut run.source),
            Self::Check(source) => Some(source),
            Self::User(user) => Some(user.action.source()),
            Self::Demo | Self::Script(_) | Self::ExampleConfig | Self::Xeps { .. } => None,
        }
    }
}

/// `stonechat script …`.
///
/// Each script gets a fresh server in memory with the accounts of its characters, unless another server is named.
/// The status is 1 where one fails, 2 where one cannot be read.
#[derive(Debug, Args)]
pub struct Script {
    /// Scripts; a folder stands for all .scs files below it, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Play against this server over TCP; the accounts must exist there, or see --register
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["bosh", "websocket"])]
    pub server: Option<String>,
    /// Play against this server over BOSH
    #[arg(long, value_name = "URL", conflicts_with = "websocket")]
    pub bosh: Option<String>,
    /// Play against this server over WebSocket
    #[arg(long, value_name = "URL")]
    pub websocket: Option<String>,
    /// Register the accounts in-band before each script, and remove them after it
    #[arg(long)]
    pub register: bool,
    /// Trust the certificates in this PEM file [default: the system's; on this machine, any]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    pub insecure: bool,
    /// How long to wait for each stanza
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub timeout: f64,
    /// Fail where a stanza comes that the script does not mention, or not in this order
    #[arg(long)]
    pub strict: bool,
    /// Show what goes over the wire, on standard error; secrets are left out
    #[arg(long)]
    pub log: bool,
    /// Play only scripts with this tag, `NAME` or `NAME: VALUE`; may be repeated
    #[arg(long, value_name = "TAG")]
    pub only_tags: Vec<String>,
    /// Leave out scripts with this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    pub skip_tags: Vec<String>,
    /// Scripts with the tag `differs on NAME` must fail
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// A setting of the server in memory; with --server, one that it is known to have; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `stonechat run …`.
#[derive(Debug, Default, Args)]
pub struct Run {
    /// Keep everything in memory and take free ports of loopback: a server for tests
    #[arg(long)]
    pub ephemeral: bool,
    /// An account of the ephemeral server; may be repeated. Its domain is served
    #[arg(long = "user", value_name = "JID:PASSWORD", requires = "ephemeral")]
    pub users: Vec<JidAndPassword>,
    /// The configuration
    #[command(flatten)]
    pub source: Source,
}

impl Run {
    /// What `--ephemeral` starts.
    pub(crate) fn into_ephemeral(self) -> anyhow::Result<Ephemeral> {
        anyhow::ensure!(
            self.source.config.is_none(),
            "--config has no meaning with --ephemeral: name what differs with --set"
        );
        let mut server = self.source.set.into_iter().fold(Ephemeral::new(), Ephemeral::set);
        for account in &self.users {
            let (jid, password) = account
                .split()
                .context("--user: write it as JID:PASSWORD, such as juliet@localhost:secret")?;
            server = server.user(jid, password);
        }
        Ok(server)
    }
}

/// `JID:PASSWORD`. `Debug` does not show it.
#[derive(Clone)]
pub struct JidAndPassword(String);

impl JidAndPassword {
    fn split(&self) -> Option<(&str, &str)> {
        let text = &self.0;
        // An address has colons only in the brackets of IPv6 (RFC 7622 3.2, 3.3).
        let colon = text.find(':')?;
        let end = match text.find("@[") {
            Some(bracket) if bracket < colon => text.find("]:")? + 1,
            _ => colon,
        };
        Some((&text[..end], &text[end + 1..]))
    }
}

impl From<String> for JidAndPassword {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for JidAndPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JID:PASSWORD")
    }
}

/// `stonechat user …`.
#[derive(Debug, Args)]
pub struct User {
    /// What to do with accounts.
    #[command(subcommand)]
    pub action: UserAction,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Create an account; its password is asked for
    Add(Account),
    /// Give an account another password; its sessions end
    Passwd(Account),
    /// Delete an account and all that it owns; its sessions end
    Del {
        /// The address, such as juliet@example.org
        jid: String,
        /// The configuration
        #[command(flatten)]
        source: Source,
    },
    /// List all accounts
    List(Source),
}

impl UserAction {
    /// The configuration of any of them.
    pub(crate) fn source(&mut self) -> &mut Source {
        match self {
            Self::Add(account) | Self::Passwd(account) => &mut account.source,
            Self::Del { source, .. } | Self::List(source) => source,
        }
    }
}

/// An account that gets a password.
#[derive(Debug, Args)]
pub struct Account {
    /// The address, such as juliet@example.org
    pub jid: String,
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    pub password_stdin: bool,
    /// The configuration
    #[command(flatten)]
    pub source: Source,
}
