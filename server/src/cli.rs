//! The command line: what can be asked of `stonechat`.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Stonechat: an XMPP server with a BOSH connection manager.
#[derive(Debug, Parser)]
#[command(name = "stonechat", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration for `run`.
    #[command(flatten)]
    pub source: Source,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Run(Source),
    /// Try it: loopback only, domain localhost, two accounts, a web page to chat on
    Demo,
    /// Manage accounts; works while the server runs, over the same database
    User(User),
    /// Read the configuration and say whether it can be served
    Check(Source),
    /// Print every key with its explanation and default
    ExampleConfig,
    /// List the XEPs that are implemented
    Xeps,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct Source {
    /// The configuration file [default: ./stonechat.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key over the file; VALUE is TOML, or else a string; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
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
