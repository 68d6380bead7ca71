//! `bench`: see the script `compare` beside it.

use anyhow::Context;
use bench::{
    compare::{Plan, compare, times},
    floor,
    servers::Kind,
    work::{ALL, Work},
};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};

/// Measures servers
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Gives the same work to several servers
    Compare(Compare),
    /// Forwards bytes unread, from one of two connections to the other
    #[command(hide = true)]
    Floor { c2s: u16, http: u16 },
}

#[derive(Args)]
struct Compare {
    /// Only this work; may be repeated. `list` lists all
    #[arg(long, value_name = "WORK")]
    only: Vec<String>,
    /// Only this server; may be repeated
    #[arg(long, value_name = "SERVER")]
    server: Vec<Kind>,
    /// One short round, for the shape of things
    #[arg(long)]
    quick: bool,
    /// How often everything is done [default: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that a piece of work is measured [default: 4, of which some have more]
    #[arg(long)]
    seconds: Option<f64>,
    /// Idle sessions [default: 5000, or 1000 if quick]
    #[arg(long)]
    sessions: Option<usize>,
    /// Stonechat's program
    #[arg(long, default_value = "target/release/stonechat")]
    program: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Floor { c2s, http } => std::thread::spawn(move || {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(floor::serve(c2s, http))
        })
        .join()
        .expect("it does not panic"),
        Command::Compare(compare) => tokio::select! {
            done = run(compare) => done,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        },
    }
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "what this program is for")]
async fn run(options: Compare) -> anyhow::Result<()> {
    if options.only.iter().any(|only| only == "list") {
        for work in ALL {
            println!("{:<16}  {}", work.key, work.title);
        }
        return Ok(());
    }
    rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files")?;
    let named = |key: &String| Work::named(key).with_context(|| format!("there is no work {key}"));
    let work = match &options.only[..] {
        [] => ALL.iter().collect(),
        only => only.iter().map(named).collect::<Result<_, _>>()?,
    };
    let servers = match &options.server[..] {
        [] => Kind::ALL.to_vec(),
        some => some.to_vec(),
    };
    let mut times = times(options.quick);
    if let Some(seconds) = options.seconds {
        times.measure = Duration::from_secs_f64(seconds);
    }
    let plan = Plan {
        program: std::path::absolute(&options.program)?,
        servers,
        work,
        rounds: options.rounds.unwrap_or(if options.quick { 1 } else { 3 }),
        times,
        sessions: options.sessions.unwrap_or(if options.quick { 1_000 } else { 5_000 }),
    };
    compare(&plan, |line| eprintln!("{line}")).await?;
    Ok(())
}
