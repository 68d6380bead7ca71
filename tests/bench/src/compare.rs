//! The same work for one server after the other, several rounds of it.

use crate::{
    load::{Times, idle::settle},
    servers::{Kind, Server, Wish},
    work::{Metric, Outcome, Work},
};
use anyhow::{Context, bail};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long one piece of work may take, logins included.
const PATIENCE: Duration = Duration::from_secs(180);

/// What to measure, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Stonechat's program.
    pub program: PathBuf,
    /// The servers, in turn.
    pub servers: Vec<Kind>,
    /// The pieces of work.
    pub work: Vec<&'static Work>,
    /// How often all that is done; medians are taken.
    pub rounds: usize,
    /// How long each piece lasts.
    pub times: Times,
    /// How many sessions are idle.
    pub sessions: usize,
}

/// What came of it: of each piece, for each server, round by round.
#[derive(Debug, Default)]
pub struct Results {
    /// The figures.
    pub outcomes: BTreeMap<(&'static str, &'static str), Vec<Outcome>>,
    /// What was not done as it should have been.
    pub failures: Vec<String>,
    /// The configuration of each server, without archives where it did both.
    pub settings: BTreeMap<&'static str, String>,
}

impl Results {
    /// The median of all rounds.
    #[must_use]
    pub fn median(&self, work: &str, kind: Kind, metric: Metric) -> Option<f64> {
        let (_, rounds) =
            self.outcomes.iter().find(|((key, name), _)| *key == work && *name == kind.name())?;
        let mut values: Vec<_> =
            rounds.iter().filter_map(|one| one.get(&metric).copied()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

/// Does all of it; `tell` is told how it goes, a line at a time.
///
/// # Errors
/// A server does not start. Work that it does not do as it should is told and left out.
pub async fn compare(plan: &Plan, mut tell: impl FnMut(&str)) -> anyhow::Result<Results> {
    let begun = Instant::now();
    let mut results = Results::default();
    for round in 0..plan.rounds {
        for &kind in &plan.servers {
            for visit in visits(plan, kind, round) {
                let server = Server::start(kind, &wish(plan, &visit))
                    .await
                    .with_context(|| format!("{kind}"))?;
                if !visit[0].is_archived() {
                    results.settings.insert(kind.name(), server.settings.clone());
                }
                for work in visit {
                    let time = begun.elapsed().as_secs();
                    let start =
                        format!("{time:5} s  round {}  {kind:<20}  {:<16}", round + 1, work.key);
                    let done = timeout(PATIENCE, work.run(&server, plan.times, plan.sessions));
                    match done.await.unwrap_or_else(|_| bail!("it takes too long")) {
                        Ok(outcome) => {
                            tell(&format!("{start}  {}", shown(&outcome)));
                            let key = (work.key, kind.name());
                            results.outcomes.entry(key).or_default().push(outcome);
                        }
                        Err(error) => {
                            tell(&format!("{start}  failed: {error:#}"));
                            results.failures.push(format!("{kind}, {}: {error:#}", work.key));
                            settle(server.group).await.with_context(|| server.log())?;
                        }
                    }
                }
                server.stop().await?;
            }
        }
    }
    Ok(results)
}

/// What one process of this server does, one after the other.
fn visits(plan: &Plan, kind: Kind, round: usize) -> Vec<Vec<&'static Work>> {
    let mut visits = vec![Vec::new(), Vec::new()];
    for work in plan.work.iter().filter(|work| work.is_for(kind)) {
        match work {
            work if work.is_alone() && round == 0 => visits.push(vec![*work]),
            work if work.is_alone() => {}
            work => visits[usize::from(work.is_archived())].push(*work),
        }
    }
    visits.retain(|visit| !visit.is_empty());
    visits
}

fn wish(plan: &Plan, visit: &[&Work]) -> Wish {
    Wish {
        program: plan.program.clone(),
        archive: visit[0].is_archived(),
        people: visit[0].people(plan.sessions),
        settings: String::new(),
    }
}

/// What a person reads while it runs.
fn shown(outcome: &Outcome) -> String {
    let one = |(metric, value): (&Metric, &f64)| match metric {
        Metric::Cpu | Metric::Generator => format!("{value:.4} {metric}"),
        Metric::P50 | Metric::P99 => format!("{value:.2} {metric}"),
        Metric::Rate => format!("{value:.0} {metric}"),
        Metric::Memory => format!("{:.1} {metric}", value / 1024.0),
    };
    outcome.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// How long each piece lasts: enough for figures, or enough to see their shape.
#[must_use]
pub fn times(quick: bool) -> Times {
    let (warm, measure) = if quick { (300, 1_500) } else { (700, 3_000) };
    let [warm, measure] = [warm, measure].map(Duration::from_millis);
    Times { warm, measure, enough: 200 }
}
