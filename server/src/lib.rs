//! The front door: configuration, command line, wiring and signals of `stonechat`; nothing else.
//!
//! [`Server::start`] is the whole server as a value, for embedding; [`Ephemeral`] is one for tests.

pub mod cli;
pub mod config;
mod demo;
mod environment;
mod ephemeral;
mod host_meta;
mod listening;
mod page;
pub mod script;
mod serve;
mod settings;
mod users;
mod wiring;
mod xeps;

pub use config::Config;
pub use ephemeral::Ephemeral;
pub use listening::Listening;
pub use wiring::Server;

use anyhow::Context;
use cli::{Cli, Command, Source};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Does what the command line says, and gives the status to end with. An error is for [`report`].
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command()? {
        Command::Run(run) => {
            log_to_stderr()?;
            if run.ephemeral {
                let ephemeral = run.into_ephemeral()?;
                block_on(serve::run(async || ephemeral.clone().start().await))?;
            } else {
                block_on(serve::configured(&run.source))?;
            }
        }
        Command::Demo => {
            log_to_stderr()?;
            block_on(demo::run())?;
        }
        Command::User(user) => block_on(users::run(user.action, print))?,
        Command::Check(source) => {
            block_on(wiring::check(load(&source)?))?;
            tell("the configuration is good");
        }
        Command::Script(arguments) => {
            // What the server in memory has to say is for those who ask for it.
            if std::env::var_os("RUST_LOG").is_some() {
                log_to_stderr()?;
            }
            return block_on(script::run(arguments));
        }
        Command::ExampleConfig => {
            print(config::text::example().trim_end());
        }
        Command::Xeps { doap: true } => print(&xeps::doap()),
        Command::Xeps { doap: false } => {
            xeps::all().iter().for_each(|xep| print(&xeps::line(xep)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error in one line on standard error: what is wrong and, where it helps, what to change.
pub fn report(error: &anyhow::Error) {
    let mut line = String::from("stonechat: ");
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        if depth > 0 && line.ends_with(&text) {
            continue;
        }
        if depth > 0 {
            line.push_str(": ");
        }
        line.push_str(&text.replace('\n', " "));
    }
    tell(&line);
}

/// A line on standard error, for people.
fn tell(line: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A line on standard output, which scripts read: unbuffered, and nothing else goes there.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe means that nobody reads any more; the work itself goes on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn load(source: &Source) -> anyhow::Result<Config> {
    Ok(Config::load(source.config.as_deref(), &source.set)?)
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")?
        .block_on(future)
}

/// One line per event; in colour only where a person looks on.
fn log_to_stderr() -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) => EnvFilter::try_new(directives).context("RUST_LOG")?,
        // The migrations of the store are told one by one otherwise.
        Err(_) => EnvFilter::new("info,refinery_core=warn"),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .init();
    Ok(())
}
