//! Tables in Markdown.

use super::{ROWS, Report, Row};
use crate::{growth::What, servers::Kind, work::Metric};
use std::fmt::Write as _;

/// The rows of the short table.
const SHORT: [(&str, Metric); 8] = [
    ("chat", Metric::Cpu),
    ("chat-archived", Metric::Cpu),
    ("bosh-ping-pong", Metric::Cpu),
    ("login", Metric::Cpu),
    ("chat-offered", Metric::P99),
    ("idle-tls", Metric::Memory),
    ("idle-bosh", Metric::Memory),
    ("highest", Metric::Rate),
];

/// Every row, every server, and how that compares.
pub(super) fn long(report: &Report<'_>) -> String {
    let machine = &report.machine;
    let versions: Vec<_> =
        machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut out = format!(
        "{}, {} × {}, Linux {}, load {} before; {} rounds of {} s each; it took {} minutes.\n{}.\n\n",
        machine.date,
        machine.processors,
        machine.processor,
        machine.kernel,
        machine.load,
        report.plan.rounds,
        report.plan.times.measure.as_secs_f32(),
        report.seconds.div_ceil(60),
        versions.join(", "),
    );
    let kinds = &report.plan.servers;
    out.push_str("| work | unit |");
    kinds.iter().for_each(|kind| write!(out, " {} |", kind.title()).expect("a string takes all"));
    out.push_str(" ours / best peer | goal of that | met |\n| --- | --- |");
    out.push_str(&" ---: |".repeat(kinds.len() + 2));
    out.push_str(" :---: |\n");
    let (mut met, mut judged, mut worse) = (0, 0, Vec::new());
    for row in ROWS {
        let values = report.values(row);
        if values.is_empty() {
            continue;
        }
        write!(out, "| {} | {} |", row.title, unit(row)).expect("a string takes all");
        for kind in kinds {
            out.push_str(&format!(" {} |", value_of(&values, *kind).map_or("–".into(), number)));
        }
        let own = value_of(&values, Kind::Stonechat);
        match own.zip(row.best_peer(&values)) {
            Some((own, best)) => {
                let (ratio, goal) = (own / best, row.goal.ratio());
                let is_met = row.is_as_good(ratio, goal);
                judged += 1;
                met += usize::from(is_met);
                if !row.is_as_good(ratio, 1.0) {
                    worse.push(row.title);
                }
                let sign = if is_met { "yes" } else { "no" };
                write!(out, " {} | {} | {sign} |", number(ratio), number(goal))
            }
            None => write!(out, " – | {} | – |", number(row.goal.ratio())),
        }
        .expect("a string takes all");
        out.push('\n');
    }
    if judged > 0 {
        write!(out, "\n{met} of {judged} goals are met. ").expect("a string takes all");
        match &worse[..] {
            [] => out.push_str("In no row is another server better.\n"),
            worse => writeln!(out, "Another server is better in: {}.", worse.join("; "))
                .expect("a string takes all"),
        }
    }
    out
}

/// The most telling rows, for the README.
pub(super) fn short(report: &Report<'_>) -> String {
    let mut out = String::from(
        "| | Stonechat | Prosody (the better collector) | ejabberd |\n| --- | ---: | ---: | ---: |\n",
    );
    for row in ROWS.iter().filter(|row| SHORT.contains(&(row.work, row.metric))) {
        let values = report.values(row);
        let prosody: Vec<_> =
            values.iter().copied().filter(|(k, _)| *k != Kind::Ejabberd).collect();
        let ours = value_of(&values, Kind::Stonechat);
        if ours.is_none() {
            continue;
        }
        let cells = [ours, row.best_peer(&prosody), value_of(&values, Kind::Ejabberd)];
        let [ours, prosody, ejabberd] = cells.map(|value| value.map_or("–".into(), number));
        writeln!(out, "| {}, {} | {ours} | {prosody} | {ejabberd} |", row.title, unit(row))
            .expect("a string takes all");
    }
    out
}

/// How it grows.
pub(super) fn growth(report: &Report<'_>) -> String {
    let mut out = String::new();
    for (what, of, head) in [
        (What::Sessions, "message", "sessions"),
        (What::Contacts, "change of presence seen", "contacts in each roster"),
    ] {
        let points: Vec<_> = report.growth.iter().filter(|point| point.what == what).collect();
        if points.is_empty() {
            continue;
        }
        write!(out, "| {head} |").expect("a string takes all");
        let kinds: Vec<_> = report
            .plan
            .servers
            .iter()
            .filter(|kind| points.iter().any(|point| point.kind == **kind))
            .collect();
        for kind in &kinds {
            let kind = kind.title();
            write!(out, " {kind}: µs for a {of} | KiB for a session |")
                .expect("a string takes all");
        }
        out.push_str("\n| ---: |");
        out.push_str(&" ---: | ---: |".repeat(kinds.len()));
        out.push('\n');
        for size in what.sizes() {
            write!(out, "| {size} |").expect("a string takes all");
            for kind in &kinds {
                let point = points.iter().find(|point| point.kind == **kind && point.size == *size);
                match point {
                    // Seconds for a thousand are milliseconds for one.
                    Some(point) => {
                        let [cpu, memory] =
                            [point.cpu * 1_000.0, point.memory / 1024.0].map(number);
                        write!(out, " {cpu} | {memory} |")
                    }
                    None => write!(out, " – | – |"),
                }
                .expect("a string takes all");
            }
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

/// The configurations, as they were.
pub(super) fn settings(report: &Report<'_>) -> String {
    let mut out = String::from(
        "The configurations, in folders and on ports of their own. Where both ends archive, the archive is switched on, and \
         nothing else differs.\n",
    );
    for (name, settings) in &report.results.settings {
        if !settings.is_empty() {
            let settings = settings.trim_end();
            write!(
                out,
                "\n<details><summary>{name}</summary>\n\n```text\n{settings}\n```\n\n</details>\n"
            )
            .expect("a string takes all");
        }
    }
    out
}

fn value_of(values: &[(Kind, f64)], kind: Kind) -> Option<f64> {
    values.iter().find(|(one, _)| *one == kind).map(|(_, value)| *value)
}

fn unit(row: &Row) -> &'static str {
    match row.metric {
        Metric::Cpu | Metric::Generator => "CPU s per 1,000",
        Metric::P50 | Metric::P99 => "ms",
        Metric::Rate => "a second",
        Metric::Memory => "KiB",
    }
}

/// Three digits that count, and thousands as people write them.
pub(super) fn number(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        #[allow(clippy::cast_possible_truncation, reason = "numbers of a table")]
        let mut rest = value.round() as i64;
        let mut groups = Vec::new();
        while rest >= 1_000 {
            groups.push(format!("{:03}", rest % 1_000));
            rest /= 1_000;
        }
        groups.push(rest.to_string());
        groups.reverse();
        return groups.join(",");
    }
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown =
            [1_234_567.0, 1_000.0, 999.6, 99.96, 12.34, 1.0, 0.1234, 0.01234, 0.0].map(number);
        let wanted =
            ["1,234,567", "1,000", "1000", "100", "12.3", "1.00", "0.123", "0.0123", "0.0000"];
        assert_eq!(shown, wanted);
    }
}
