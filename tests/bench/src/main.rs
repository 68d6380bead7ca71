//! `bench`: see the script `compare` beside it.

use anyhow::{Context, ensure};
use bench::{
    compare::{Plan, compare, times},
    floor,
    growth::{What, grow},
    report::{Machine, Report},
    servers::Kind,
    work::{ALL, Work},
};
use clap::{Args, Parser, Subcommand};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

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
    /// How often everything is done [default: 3, or 1 if quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that a piece of work is measured, some longer [default: 3, or 1.5 if quick]
    #[arg(long)]
    seconds: Option<f64>,
    /// Idle sessions [default: 5000, or 1000 if quick]
    #[arg(long)]
    sessions: Option<usize>,
    /// Also as there are more sessions, and more contacts [default: with all work, unless quick]
    #[arg(long, value_name = "SESSIONS|CONTACTS")]
    growth: Vec<String>,
    /// Where the table, the file for machines and the plots go
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
    /// Writes them into the documentation, too
    #[arg(long)]
    publish: bool,
    /// Stonechat's program
    #[arg(long, default_value = "target/release/stonechat")]
    program: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Floor { c2s, http } => {
            // A runtime of its own, with a thread for each processor as a server has.
            let serve = move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on(floor::serve(c2s, http))
            };
            std::thread::spawn(serve).join().expect("it does not panic")
        }
        Command::Compare(compare) => {
            let mut terminate = signal(SignalKind::terminate())?;
            // Dropped, it ends the server that it has started.
            tokio::select! {
                done = run(compare) => done,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
                _ = terminate.recv() => anyhow::bail!("ended"),
            }
        }
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
    let machine = Machine::here();
    let begun = Instant::now();
    let named = |key: &String| Work::named(key).with_context(|| format!("there is no work {key}"));
    let work = match &options.only[..] {
        [] if options.growth.is_empty() => ALL.iter().collect(),
        only => only.iter().map(named).collect::<Result<_, _>>()?,
    };
    let is_asked_for = |kind: &Kind| options.server.is_empty() || options.server.contains(kind);
    let servers = Kind::ALL.into_iter().filter(is_asked_for).collect();
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
    let mut results = compare(&plan, |line| eprintln!("{line}")).await?;

    let all = options.only.is_empty() && options.growth.is_empty() && !options.quick;
    let mut growth = Vec::new();
    for what in [What::Sessions, What::Contacts] {
        if !all && !options.growth.iter().any(|name| name == what.name()) {
            continue;
        }
        for &size in what.sizes() {
            for &kind in plan.servers.iter().filter(|kind| **kind != Kind::Floor) {
                let start = begun.elapsed().as_secs();
                let (cpu, memory) = match grow(&plan.program, kind, what, size, times).await {
                    Ok(point) => {
                        growth.push(point);
                        (point.cpu, point.memory / 1024.0)
                    }
                    Err(error) => {
                        let failure = format!("{kind}, {size} {}: {error:#}", what.name());
                        eprintln!("{start:5} s  failed: {failure}");
                        results.failures.push(failure);
                        continue;
                    }
                };
                eprintln!(
                    "{start:5} s  {kind:<20}  {size} {}  {cpu:.4} CPU s per 1,000, {memory:.1} KiB each",
                    what.name()
                );
            }
        }
    }

    let seconds = begun.elapsed().as_secs();
    let report = Report { plan: &plan, results: &results, growth: &growth, machine, seconds };
    report.write(&options.output)?;
    println!("\n{}", report.tables().trim());
    println!("all of it is in {}", options.output.display());
    if options.publish {
        report.publish(&std::env::current_dir()?)?;
    }
    ensure!(results.failures.is_empty(), "not done: {}", results.failures.join("; "));
    Ok(())
}
