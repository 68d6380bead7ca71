//! The harness tried on itself: a server with a fault planted in it has to be found out.

use super::{Plan, run, subject::Subject};
use anyhow::Context;
use std::{fs, path::Path};

/// How a fault was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In which run, the first being the first.
    pub run: u64,
    /// The rules that did not hold, or what else went wrong.
    pub rules: String,
    /// The first of what was seen.
    pub what: String,
}

/// Plays runs with this fault until it is found out, so many at most; `None`: it is not.
///
/// # Errors
/// A run could not be prepared.
pub async fn find(
    subject: &Subject,
    template: &Path,
    folder: &Path,
    plan: &Plan,
    fault: &str,
    most: u64,
) -> anyhow::Result<Option<Found>> {
    let subject = Subject { fault: Some(fault.into()), ..subject.clone() };
    for number in 0..most {
        let place = folder.join(format!("{fault}-{number}"));
        fs::create_dir(&place).with_context(|| place.display().to_string())?;
        let plan = Plan { seed: plan.seed + number, ..plan.clone() };
        let found = match run(&subject, template, &place, &plan).await {
            Ok(outcome) => outcome.violations.first().map(|first| {
                let mut rules: Vec<_> = outcome.violations.iter().map(|one| one.rule).collect();
                rules.dedup();
                (rules.join(", "), first.what.clone())
            }),
            // Clients that count wrong, wait in vain or are told nonsense end the run by themselves.
            Err(error) => Some(("the run".into(), format!("{error:#}"))),
        };
        fs::remove_dir_all(&place)?;
        if let Some((rules, what)) = found {
            return Ok(Some(Found { run: number + 1, rules, what }));
        }
    }
    Ok(None)
}
