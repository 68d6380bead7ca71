//! The file for machines: every figure of every round.

use super::Report;
use std::fmt::{Display, Write as _};

/// Writes it.
pub(super) fn write(report: &Report<'_>) -> String {
    let machine = &report.machine;
    let versions = machine.versions.iter().map(|(name, version)| (*name, text(version)));
    let about = object([
        ("date", text(&machine.date)),
        ("processor", text(&machine.processor)),
        ("processors", machine.processors.to_string()),
        ("kernel", text(&machine.kernel)),
        ("load_before", text(&machine.load)),
        ("versions", object(versions)),
        ("rounds", report.plan.rounds.to_string()),
        ("seconds_measured", report.plan.times.measure.as_secs_f64().to_string()),
        ("idle_sessions", report.plan.sessions.to_string()),
        ("seconds_in_all", report.seconds.to_string()),
    ]);
    let outcomes = report.results.outcomes.iter().map(|((work, server), rounds)| {
        let rounds = rounds.iter().map(|outcome| {
            object(outcome.iter().map(|(metric, value)| (metric.name(), value.to_string())))
        });
        object([("work", text(work)), ("server", text(server)), ("rounds", list(rounds))])
    });
    let growth = report.growth.iter().map(|point| {
        object([
            ("of", text(point.what.name())),
            ("server", text(point.kind.name())),
            ("size", point.size.to_string()),
            ("cpu_seconds_per_thousand", point.cpu.to_string()),
            ("bytes_per_session", point.memory.to_string()),
        ])
    });
    let settings = report.results.settings.iter().map(|(server, all)| (*server, text(all)));
    let mut out = object([
        ("about", about),
        ("outcomes", lines(outcomes)),
        ("growth", lines(growth)),
        ("settings", object(settings)),
    ]);
    out.push('\n');
    out
}

fn object<K: Display>(members: impl IntoIterator<Item = (K, String)>) -> String {
    let members = members.into_iter().map(|(key, value)| format!("\"{key}\": {value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A list with an item on each line, so that differences are legible.
fn lines(items: impl Iterator<Item = String>) -> String {
    format!("[\n{}\n]", items.collect::<Vec<_>>().join(",\n"))
}

/// RFC 8259 7.
fn text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes all");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(text("a\"b\\c\nd\te"), r#""a\"b\\c\nd\u0009e""#);
        assert_eq!(object([("a", list(["1".to_owned()].into_iter()))]), r#"{"a": [1]}"#);
    }
}
