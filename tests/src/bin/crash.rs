//! The program `crash`: kills Stonechat in the middle of its work, again and again, and checks that nothing which it had
//! acknowledged is missing.

use anyhow::Context;
use clap::Parser;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use tests::crash::{Outcome, Plan, accounts, check::Covered, run, stream::Door, subject::Subject};

/// Kills Stonechat in the middle of its work, again and again, and checks that nothing which it had acknowledged is
/// missing.
///
/// Ends with status 1 if a rule does not hold; the history of that run stays.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The program to be killed.
    #[arg(long, default_value = "target/release/stonechat")]
    program: PathBuf,

    /// What stands before its arguments: `--program tests/peer --with prosody-files` kills Prosody.
    #[arg(long = "with", value_name = "WORD")]
    first: Vec<String>,

    /// Runs.
    #[arg(long, default_value_t = 20)]
    runs: u64,

    /// Of the first run; each further one has the next.
    #[arg(long)]
    seed: Option<u64>,

    /// Messages that are acknowledged before the server is killed.
    #[arg(long, default_value_t = 150)]
    acked: usize,

    /// How long after that, in milliseconds; a tenth of a second is left to chance.
    #[arg(long, default_value_t = 0)]
    load: u64,

    /// How long a device says nothing, at most, in milliseconds.
    #[arg(long, default_value_t = 10)]
    pause: u64,

    /// Kills in each run.
    #[arg(long, default_value_t = 2)]
    kills: u32,

    /// How many kills of a hundred are by SIGTERM, which lets the server end in good order.
    #[arg(long, default_value_t = 20, value_name = "PERCENT")]
    term: u64,

    /// The only door that people use: tcp, bosh or websocket. Without it, all three.
    #[arg(long)]
    door: Option<Door>,

    /// Where the histories go, for the second checker. Without it only those stay that break a rule.
    #[arg(long, value_name = "FOLDER")]
    histories: Option<PathBuf>,

    /// A setting of the server, as for `stonechat run`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Default)]
struct Sum {
    covered: Covered,
    kills: usize,
    after: Vec<Duration>,
    broken: usize,
}

fn main() -> ExitCode {
    match all(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            program_error(&error);
            ExitCode::from(2)
        }
    }
}

/// How many runs broke a rule.
fn all(arguments: &Arguments) -> anyhow::Result<usize> {
    let seed = arguments.seed.unwrap_or_else(|| {
        let mut seed = [0; 4];
        net::random::fill(&mut seed);
        u32::from_le_bytes(seed).into()
    });
    let subject = Subject {
        program: arguments.program.clone(),
        first: arguments.first.clone(),
        settings: arguments.settings.clone(),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let template = folder.path().join("template");
    fs::create_dir(&template)?;
    runtime.block_on(subject.prepare(&template, &accounts()))?;
    say(&format!("seed {seed}, {} runs", arguments.runs))?;
    let begun = Instant::now();
    let mut sum = Sum::default();
    for number in 0..arguments.runs {
        let plan = Plan {
            seed: seed + number,
            acked: arguments.acked,
            load: Duration::from_millis(arguments.load),
            kills: arguments.kills,
            term: arguments.term,
            pause: Duration::from_millis(arguments.pause),
            door: arguments.door,
        };
        let place = folder.path().join(plan.seed.to_string());
        fs::create_dir(&place)?;
        let outcome = runtime.block_on(run(&subject, &template, &place, &plan));
        let outcome = outcome.with_context(|| format!("run with seed {}", plan.seed));
        let good = matches!(&outcome, Ok(outcome) if outcome.violations.is_empty());
        keep(arguments, &place, &plan, good)?;
        sum.add(&plan, outcome?)?;
        fs::remove_dir_all(&place)?;
    }
    sum.say(arguments.runs, begun.elapsed())?;
    Ok(sum.broken)
}

/// The history stays where it is asked for, or where somebody has to look at it.
fn keep(arguments: &Arguments, place: &Path, plan: &Plan, good: bool) -> anyhow::Result<()> {
    let here = PathBuf::from(".");
    let folder = match &arguments.histories {
        Some(folder) => folder,
        None if good => return Ok(()),
        None => &here,
    };
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("crash-{}.tsv", plan.seed));
    fs::copy(place.join("history.tsv"), &file)?;
    if !good {
        fs::copy(place.join("data/log"), file.with_extension("log"))?;
        say(&format!("what happened is in {} and beside it", file.display()))?;
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, plan: &Plan, outcome: Outcome) -> io::Result<()> {
        let Outcome { violations, covered, after } = outcome;
        self.covered.sent += covered.sent;
        self.covered.acked += covered.acked;
        self.covered.refused += covered.refused;
        self.covered.resumed += covered.resumed;
        self.covered.anew += covered.anew;
        self.kills += after.len();
        self.after.extend(after);
        self.broken += usize::from(!violations.is_empty());
        for violation in violations {
            say(&format!("seed {}: {violation}", plan.seed))?;
        }
        Ok(())
    }

    fn say(&mut self, runs: u64, took: Duration) -> io::Result<()> {
        self.after.sort_unstable();
        let middle = self.after.get(self.after.len() / 2).copied().unwrap_or_default();
        let Covered { sent, acked, refused, resumed, anew } = self.covered;
        say(&format!(
            "{runs} runs, {} kills in {took:.0?}: {sent} messages sent, {acked} acknowledged, {refused} refused; {resumed} streams \
             resumed, {anew} begun; serving again after {middle:.0?} (median); {} runs broke a rule",
            self.kills, self.broken
        ))
    }
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn program_error(error: &anyhow::Error) {
    // Nobody is left to tell if this fails.
    writeln!(io::stderr(), "crash: {error:#}").ok();
}
