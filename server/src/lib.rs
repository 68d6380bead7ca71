//! The front door: configuration, command line, wiring and signals of `stonechat`; nothing else.
//!
//! [`Server::start`] is the whole server as a value, for embedding; [`Ephemeral`] is one for tests.

pub mod cli;
pub mod config;
mod demo;
mod environment;
mod ephemeral;
mod listening;
mod numbers;
mod page;
mod retention;
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
use cli::{Cli, Command};
use program::{Source, print, tell};
use std::process::ExitCode;

/// Does what the command line says, and gives the status to end with. An error is for [`report`].
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command()? {
        Command::Run(run) => {
            program::log_to_stderr("info")?;
            if run.ephemeral {
                let ephemeral = run.into_ephemeral()?;
                block_on(serve::run(async || ephemeral.clone().start().await))?;
            } else {
                block_on(serve::configured(&run.source))?;
            }
        }
        Command::Demo => {
            program::log_to_stderr("info")?;
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
                program::log_to_stderr("info")?;
            }
            return block_on(script::run(arguments));
        }
        Command::ExampleConfig => {
            print(program::config::example::<config::keys::File>(config::EXAMPLE).trim_end());
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
    program::report("stonechat", error);
}

fn load(source: &Source) -> anyhow::Result<Config> {
    Ok(Config::load(source)?)
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")?
        .block_on(future)
}
