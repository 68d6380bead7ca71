//! What our programs have in common, so that `stonechat` and `bosh-cm` feel alike: a configuration whose keys are
//! declared once ([`config`]), numbers for operators ([`metrics`]), errors in one line, the log on standard error.

pub mod config;
pub mod metrics;

use anyhow::Context;
use clap::Args;
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// What one thread takes and another gives back, as messages on their way through the store, costs no lock here.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the configuration comes from, as the command line says it.
#[derive(Debug, Clone, Default, Args)]
pub struct Source {
    /// The configuration file [default: the program's name with .toml, here, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key over the file; VALUE is TOML, or else a string; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Source {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.config.is_none() && self.set.is_empty()
    }

    /// Joins what stood before a command to what stands after it.
    ///
    /// # Errors
    /// Both name a file.
    pub fn put_before(&mut self, mut before: Self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.config.is_none() || before.config.is_none(),
            "--config stands there twice: name one file"
        );
        self.config = self.config.take().or(before.config);
        before.set.append(&mut self.set);
        self.set = before.set;
        Ok(())
    }
}

/// What clap has to say, without the usage that follows, which says where help is.
pub fn one_line(program: &str, error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let what = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let mut line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ").filter(|tip| tip.contains("similar")) {
            line.push_str(": ");
            line.push_str(tip);
        }
    }
    let usage = text.split_once("Usage: ").map_or(program, |(_, usage)| usage);
    // The commands stand before the arguments.
    let is_command = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let command: Vec<_> = usage.split_whitespace().take_while(is_command).collect();
    anyhow::anyhow!("{line}: see `{} --help`", command.join(" "))
}

/// An error in one line on standard error: what is wrong and, where it helps, what to change.
pub fn report(program: &str, error: &anyhow::Error) {
    let mut line = format!("{program}: ");
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
pub fn tell(line: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A line on standard output, which scripts read: unbuffered, and nothing else goes there.
pub fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe means that nobody reads any more; the work itself goes on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// One line per event on standard error; in colour only where a person looks on. `RUST_LOG` says what is told, or
/// else `usual`.
///
/// # Errors
/// `RUST_LOG` cannot be understood.
pub fn log_to_stderr(usual: &str) -> anyhow::Result<()> {
    let targets = std::env::var("RUST_LOG").unwrap_or_else(|_| usual.to_owned());
    let targets: Targets = targets.parse().context("RUST_LOG")?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color);
    tracing_subscriber::registry().with(lines).with(targets).init();
    Ok(())
}
