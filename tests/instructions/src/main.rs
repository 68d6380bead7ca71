//! Counts instructions, as callgrind sees them: unlike time they are the same on a busy machine and on a quiet one.
//!
//! Each work of [`works::ALL`] runs in a process of its own under valgrind, which counts within [`counted`] only. The
//! numbers are compared with a table of the same compiler and architecture.
#![allow(clippy::print_stdout, reason = "what it counted is its output")]

mod baseline;
mod callgrind;
mod works;

use anyhow::{Context, ensure};
use baseline::{Baseline, Verdict};
use std::{env, hint::black_box, process::ExitCode};
use works::Work;

/// Repetitions before anything is counted: buffers have their size by then, and tables are filled.
const WARM: usize = 50;
/// Repetitions that are counted.
const COUNTED: u64 = 200;

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["work", name] => work(name).map(|()| ExitCode::SUCCESS),
        ["renew"] => renew().map(|()| ExitCode::SUCCESS),
        ref parts => compare(parts),
    }
}

/// What runs under valgrind.
fn work(name: &str) -> anyhow::Result<()> {
    let work = works::ALL.iter().find(|work| work.name == name).context("no such work")?;
    let mut once = (work.prepare)();
    (0..WARM).for_each(|_| once());
    (0..COUNTED).for_each(|_| counted(&mut *once));
    Ok(())
}

/// Callgrind counts from here on, as far as this is left again.
#[inline(never)]
fn counted(once: &mut dyn FnMut()) {
    once();
    black_box(()); // or it would be left before the call
}

fn renew() -> anyhow::Result<()> {
    let mut baseline = Baseline::new()?;
    for (work, count) in count(&works::ALL.iter().collect::<Vec<_>>())? {
        baseline.set(work.name, count);
        println!("{:<24} {:>9}", work.name, baseline::grouped(count));
    }
    baseline.save()
}

fn compare(parts: &[&str]) -> anyhow::Result<ExitCode> {
    let is_meant = |work: &&Work| parts.is_empty() || parts.iter().any(|p| work.name.contains(p));
    let works: Vec<&Work> = works::ALL.iter().filter(is_meant).collect();
    ensure!(!works.is_empty(), "no work has such a name");
    let baseline = Baseline::load()?;
    if baseline.is_none() {
        println!("no table for this compiler and architecture: nothing to compare with");
    }
    let mut fails = false;
    for (work, now) in count(&works)? {
        let verdict = baseline.as_ref().map(|baseline| baseline.judge(work.name, now));
        fails |= verdict.as_ref().is_some_and(Verdict::fails);
        let verdict = verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        let line =
            format!("{:<24} {:>9}  {verdict:<20} {}", work.name, baseline::grouped(now), work.what);
        println!("{}", line.trim_end());
    }
    if let Some(baseline) = baseline.filter(|_| parts.is_empty())
        && let Some(gone) = baseline.names().find(|name| works.iter().all(|w| w.name != *name))
    {
        println!("{gone}: in the table, and no work any more");
        fails = true;
    }
    if fails {
        println!("what is meant is written down by: tests/instructions/run renew");
    }
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Instructions of each work, once.
fn count<'a>(works: &[&'a Work]) -> anyhow::Result<Vec<(&'a Work, u64)>> {
    let totals = callgrind::totals(&works.iter().map(|work| work.name).collect::<Vec<_>>())?;
    Ok(works
        .iter()
        .zip(totals)
        .map(|(work, total)| (*work, total / COUNTED / work.parts))
        .collect())
}
