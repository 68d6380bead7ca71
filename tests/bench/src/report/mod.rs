//! What came of a comparison: a table and plots for people, a file for machines.

mod goals;
mod json;
mod machine;
mod svg;
mod table;

pub use goals::{Goal, ROWS, Row};
pub use machine::Machine;

use crate::{
    compare::{Plan, Results},
    growth::{Point, What},
    servers::Kind,
    work::Metric,
};
use anyhow::{Context, ensure};
use std::{fs, path::Path};
use svg::Scale;

/// All that is told.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was measured, and how long.
    pub plan: &'a Plan,
    /// What came of it.
    pub results: &'a Results,
    /// How it grows, if that was tried.
    pub growth: &'a [Point],
    /// Where.
    pub machine: Machine,
    /// Seconds that all of it took.
    pub seconds: u64,
}

impl Report<'_> {
    /// Writes the table, the file for machines and the plots into a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        self.write_files(folder)?;
        Ok(fs::write(folder.join("figures.md"), self.markdown("."))?)
    }

    /// Writes the same into the documentation: the page with all of it, and the short table of the README.
    ///
    /// # Errors
    /// It cannot be written, or has no place for it.
    pub fn publish(&self, root: &Path) -> anyhow::Result<()> {
        let docs = root.join("docs");
        replace(&docs.join("PERFORMANCE.md"), "figures", &self.markdown("performance"))?;
        replace(&root.join("README.md"), "performance", &table::short(self))?;
        self.write_files(&docs.join("performance"))
    }

    /// Writes the file for machines and the plots.
    fn write_files(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("figures.json"), json::write(self))?;
        for (name, plot) in self.plots() {
            fs::write(folder.join(name), plot)?;
        }
        Ok(())
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> String {
        let long = if self.results.outcomes.is_empty() { String::new() } else { table::long(self) };
        format!("{long}\n{}", table::growth(self))
    }

    /// The page. Plots are in this folder.
    fn markdown(&self, folder: &str) -> String {
        let mut out = table::long(self);
        for (name, _) in self.plots() {
            let title = name.trim_end_matches(".svg");
            out.push_str(&format!("\n![{title}]({folder}/{name})\n"));
        }
        if !self.growth.is_empty() {
            out.push('\n');
            out.push_str(&table::growth(self));
        }
        out.push('\n');
        out.push_str(&table::settings(self));
        out
    }

    /// Each plot by its name.
    fn plots(&self) -> Vec<(&'static str, String)> {
        let mut plots = Vec::new();
        let bars = |metric: Metric| -> Vec<(&str, Vec<(Kind, f64)>)> {
            let rows = ROWS.iter().filter(|row| row.metric == metric && row.work != "empty");
            let bars = rows.map(|row| (row.title, self.values(row)));
            bars.filter(|(_, values)| !values.is_empty()).collect()
        };
        let cpu = "Processor time for 1,000 messages, changes of presence or logins, in seconds";
        let memory = "Memory of an idle session, in KiB";
        for (name, metric, title, scale) in [
            ("cpu.svg", Metric::Cpu, cpu, Scale::Logarithmic),
            ("memory.svg", Metric::Memory, memory, Scale::Linear),
        ] {
            let groups = bars(metric);
            if !groups.is_empty() {
                plots.push((name, svg::bars(title, &groups, scale)));
            }
        }
        type Value = fn(&Point) -> f64;
        let lines: [(_, _, _, _, Value); 4] = [
            (
                "growth-sessions-cpu.svg",
                What::Sessions,
                "Processor time for 1,000 messages, in seconds",
                "sessions",
                |p| p.cpu,
            ),
            (
                "growth-sessions-memory.svg",
                What::Sessions,
                "Memory of a session, in KiB",
                "sessions",
                |p| p.memory / 1024.0,
            ),
            (
                "growth-contacts-cpu.svg",
                What::Contacts,
                "Processor time for 1,000 changes of presence seen, in seconds",
                "contacts in the roster, ten of them there",
                |p| p.cpu,
            ),
            (
                "growth-contacts-memory.svg",
                What::Contacts,
                "Memory of a session with its roster, in KiB",
                "contacts in the roster",
                |p| p.memory / 1024.0,
            ),
        ];
        for (name, what, title, along, value) in lines {
            let points: Vec<_> = self
                .growth
                .iter()
                // Memory may come out below nothing where there are few sessions and a server tidies up.
                .filter(|point| point.what == what && value(point) > 0.0)
                .map(|point| (point.kind, point.size as f64, value(point)))
                .collect();
            if !points.is_empty() {
                plots.push((name, svg::lines(title, along, &points)));
            }
        }
        plots
    }

    /// What each server came to.
    fn values(&self, row: &Row) -> Vec<(Kind, f64)> {
        let value = |kind| {
            let median = self.results.median(row.work, kind, row.metric)?;
            Some((kind, median / row.scale))
        };
        self.plan.servers.iter().filter_map(|kind| value(*kind)).collect()
    }
}

/// Replaces what stands between `<!-- name -->` and `<!-- /name -->`.
fn replace(file: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let old = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let places = old
        .split_once(&begin)
        .and_then(|(before, rest)| rest.split_once(&end).map(|(_, after)| (before, after)));
    let (before, after) = places.with_context(|| format!("{} has no {begin}", file.display()))?;
    ensure!(!after.contains(&begin), "{} has two places", file.display());
    fs::write(file, format!("{before}{begin}{text}{end}{after}"))?;
    Ok(())
}
