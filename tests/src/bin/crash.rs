//! The program `crash`: kills Stonechat in the middle of its work, again and again, breaks the network under its clients, and
//! checks that nothing which it had acknowledged is missing.

use anyhow::Context;
use clap::Parser;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tests::crash::{
    Ailment, Disk, Outcome, Plan, accounts, check::Covered, doom, planted, run, stream::Door,
    subject::Subject,
};
use tokio::task::JoinSet;

/// Kills Stonechat in the middle of its work, again and again, or breaks the network under its clients, and checks that
/// nothing which it had acknowledged is missing.
///
/// Ends with status 1 if a rule does not hold; the history of that run stays.
#[derive(Parser)]
#[command(version, args_override_self = true)]
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

    /// How many times of a hundred it is killed again while it starts, or while its clients come back.
    #[arg(long, default_value_t = 20, value_name = "PERCENT")]
    again: u64,

    /// The network fails as well: connections are cut, half-closed, stalled, swallowed, delayed or come byte by byte.
    #[arg(long)]
    network: bool,

    /// A connection manager that stands in front of the server as a process of its own, and is killed, too.
    #[arg(long, value_name = "PROGRAM")]
    manager: Option<PathBuf>,

    /// The server dies by itself, at places in its code that have their turns. The program must be `mortal`, the example of
    /// `server`. Says at the end how often it died at each, and fails where it was less than so often.
    #[arg(long, value_name = "HITS", conflicts_with_all = ["network", "manager"])]
    sites: Option<usize>,

    /// Instead of all else: plants each of these faults, or of all but those of a power cut, in `mortal`, and plays runs until it is
    /// found out, as many as --runs says at most.
    #[arg(long, value_name = "FAULT", num_args = 0..)]
    planted: Option<Vec<String>>,
    /// The disk under the server fails, instead of the server being killed: full, read-only, flush or aborted.
    #[arg(long, requires = "disk", conflicts_with_all = ["network", "manager"])]
    ailment: Option<Ailment>,

    /// Where that disk is mounted: a small one, for nothing else.
    #[arg(long, value_name = "FOLDER")]
    disk: Option<PathBuf>,

    /// Runs at a time.
    #[arg(long, default_value_t = 1)]
    lanes: usize,

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
    managers: usize,
    after: Vec<Duration>,
    settled: Vec<Duration>,
    recoveries: Vec<Duration>,
    broken: usize,
    /// Deaths at each site.
    deaths: BTreeMap<String, usize>,
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
        fault: None,
    };
    let sites: Option<Arc<[String]>> =
        arguments.sites.map(|_| doom::sites()).transpose()?.map(Arc::from);
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let template = folder.path().join("template");
    fs::create_dir(&template)?;
    runtime.block_on(subject.prepare(&template, &accounts()))?;
    say(&format!("seed {seed}, {} runs", arguments.runs))?;
    let begun = Instant::now();
    if let Some(faults) = &arguments.planted {
        let search = find(arguments, &subject, folder.path(), faults, seed);
        return runtime.block_on(search);
    }
    let mut sum = Sum::default();
    sum.deaths.extend(sites.iter().flat_map(|sites| sites.iter()).map(|site| (site.clone(), 0)));
    runtime.block_on(async {
        let mut seeds = seed..seed + arguments.runs;
        let mut lanes = JoinSet::new();
        loop {
            while lanes.len() < arguments.lanes.max(1)
                && let Some(seed) = seeds.next()
            {
                let plan = Plan { sites: sites.clone(), ..arguments.plan(seed) };
                let place = folder.path().join(seed.to_string());
                fs::create_dir(&place)?;
                let (subject, template) = (subject.clone(), template.clone());
                lanes.spawn(async move {
                    let outcome = run(&subject, &template, &place, &plan).await;
                    let outcome = outcome.with_context(|| format!("run with seed {seed}"));
                    (plan, place, outcome)
                });
            }
            let Some(ended) = lanes.join_next().await else { return anyhow::Ok(()) };
            let (plan, place, outcome) = ended?;
            let good = matches!(&outcome, Ok(outcome) if outcome.violations.is_empty());
            keep(arguments, &place, &plan, good)?;
            sum.add(&plan, outcome?)?;
            fs::remove_dir_all(&place)?;
        }
    })?;
    sum.say(arguments.runs, begun.elapsed())?;
    Ok(sum.broken + arguments.sites.map_or(Ok(0), |least| sum.say_deaths(least))?)
}

/// Plants faults and says how each was found out; how many were not.
async fn find(
    arguments: &Arguments,
    subject: &Subject,
    folder: &Path,
    faults: &[String],
    seed: u64,
) -> anyhow::Result<usize> {
    let mut names = doom::faults()?;
    names.retain(|name| if faults.is_empty() { name != POWER_CUT } else { faults.contains(name) });
    anyhow::ensure!(names.len() >= faults.len(), "there is no such fault: one of {names:?}");
    let mut lanes = JoinSet::new();
    let mut missed = 0;
    loop {
        while lanes.len() < arguments.lanes.max(1)
            && let Some(fault) = names.pop()
        {
            let (subject, template, folder) =
                (subject.clone(), folder.join("template"), folder.to_owned());
            let (plan, most) = (arguments.plan(seed), arguments.runs);
            lanes.spawn(async move {
                let found = planted::find(&subject, &template, &folder, &plan, &fault, most).await;
                (fault, found)
            });
        }
        let Some(ended) = lanes.join_next().await else { return Ok(missed) };
        let (fault, found) = ended?;
        match found? {
            Some(found) => {
                say(&format!("{fault}: run {}, {}: {}", found.run, found.rules, found.what))?;
            }
            None => {
                missed += 1;
                say(&format!("{fault}: NOT FOUND in {} runs", arguments.runs))?;
            }
        }
    }
}

/// A fault that no kill brings out: what a process has written outlives it. `tests/replay.py` finds it.
const POWER_CUT: &str = "fsync_off";

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        Plan {
            seed,
            acked: self.acked,
            load: Duration::from_millis(self.load),
            kills: self.kills,
            term: self.term,
            again: self.again,
            pause: Duration::from_millis(self.pause),
            door: self.door,
            network: self.network,
            manager: self.manager.clone(),
            sites: None,
            disk: self
                .ailment
                .zip(self.disk.clone())
                .map(|(ailment, folder)| Disk { folder, ailment }),
            ours: self.first.is_empty(),
        }
    }
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
        let Outcome { violations, covered, after, managers, deaths, recoveries, settled } = outcome;
        self.covered.sent += covered.sent;
        self.covered.acked += covered.acked;
        self.covered.refused += covered.refused;
        self.covered.resumed += covered.resumed;
        self.covered.failed += covered.failed;
        self.covered.anew += covered.anew;
        self.kills += after.len();
        self.managers += managers;
        self.after.extend(after);
        self.settled.push(settled);
        self.recoveries.extend(recoveries);
        self.broken += usize::from(!violations.is_empty());
        for site in deaths {
            *self.deaths.entry(site).or_default() += 1;
        }
        for violation in violations {
            say(&format!("seed {}: {violation}", plan.seed))?;
        }
        Ok(())
    }

    fn say(&mut self, runs: u64, took: Duration) -> io::Result<()> {
        let Covered { sent, acked, refused, resumed, failed, anew } = self.covered;
        let [middle, _] = middle_and_most(&mut self.after);
        let [usual, most] = middle_and_most(&mut self.settled);
        if !self.recoveries.is_empty() {
            let [again, late] = middle_and_most(&mut self.recoveries);
            say(&format!(
                "the disk failed {} times; messages were kept again after {again:.0?} (median; at most {late:.0?})",
                self.recoveries.len()
            ))?;
        }
        say(&format!(
            "{runs} runs in {took:.0?}, {} kills of the server, {} of the connection manager: {sent} messages sent, {acked} \
             acknowledged, {refused} refused; {resumed} streams resumed, {failed} not, {anew} begun; serving again after {middle:.0?} (median), \
             all there after {usual:.1?} (median; at most {most:.1?}); {} runs broke a rule",
            self.kills, self.managers, self.broken
        ))
    }

    /// How many sites had fewer deaths than that.
    fn say_deaths(&self, least: usize) -> io::Result<usize> {
        for (site, deaths) in &self.deaths {
            say(&format!("{deaths:5} {site}"))?;
        }
        let too_few = self.deaths.values().filter(|deaths| **deaths < least).count();
        say(&format!(
            "{} deaths at {} sites; {too_few} sites had fewer than {least}",
            self.deaths.values().sum::<usize>(),
            self.deaths.len()
        ))?;
        Ok(too_few)
    }
}

fn middle_and_most(times: &mut [Duration]) -> [Duration; 2] {
    times.sort_unstable();
    [times.get(times.len() / 2), times.last()].map(|time| time.copied().unwrap_or_default())
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn program_error(error: &anyhow::Error) {
    // Nobody is left to tell if this fails.
    writeln!(io::stderr(), "crash: {error:#}").ok();
}
