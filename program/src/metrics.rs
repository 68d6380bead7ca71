//! What operators watch: counts and times, as Prometheus reads them (its text format 0.0.4) and as a page for people.
//!
//! Rooms own what they count; nothing registers itself anywhere. When somebody asks, a program collects a [`Metrics`] from
//! its rooms and writes it out. Names and labels are `'static`: nothing that a peer says can become one of them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of a [`Histogram`]'s buckets, in microseconds and as Prometheus writes them: from what one scheduling costs to
/// what people notice.
const BUCKETS: [(u64, &str); 12] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
];

/// The bound of what took longer than all of them.
const LONGER: &str = "+Inf";

/// A label's name and value.
pub type Label = (&'static str, &'static str);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are: as many as there are [`Present`]s.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One of those that a [`Gauge`] counts, until it is dropped.
#[derive(Debug)]
pub struct Present<'a>(&'a Gauge);

impl Gauge {
    /// One more, as long as the guard lives.
    #[must_use = "dropping it ends the counting"]
    pub fn enter(&self) -> Present<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Present(self)
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts by one label, for what is too seldom for a lock to matter. It grows with the texts in the program's own source.
#[derive(Debug)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// With these values of the label at 0 from the beginning; others appear when they are first counted.
    pub fn of(values: &[&'static str]) -> Self {
        Self(Mutex::new(values.iter().map(|value| (*value, 0)).collect()))
    }

    /// One more with this value.
    pub fn add(&self, value: &'static str) {
        *self.counts().entry(value).or_default() += 1;
    }

    /// All counts.
    pub fn get(&self) -> Vec<(&'static str, u64)> {
        self.counts().iter().map(|(value, count)| (*value, *count)).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // Nothing inside can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long something took, by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each of [`BUCKETS`], and one for what took longer.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|(most, _)| *most < micros);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// What a program tells of itself at one moment.
#[derive(Debug, Default)]
pub struct Metrics(Vec<Metric>);

/// One number, by its labels, or one time.
#[derive(Debug)]
pub struct Metric {
    name: &'static str,
    about: &'static str,
    kind: &'static str,
    /// For Prometheus.
    samples: Vec<Sample>,
    /// For people: what, and how much.
    rows: Vec<(String, String)>,
}

#[derive(Debug)]
struct Sample {
    suffix: &'static str,
    labels: Vec<Label>,
    value: Value,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Count(u64),
    Time(Duration),
}

impl Metrics {
    /// Something that only grows. By Prometheus' custom the name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, about: &'static str) -> &mut Metric {
        self.metric(name, about, "counter")
    }

    /// Something that comes and goes.
    pub fn gauge(&mut self, name: &'static str, about: &'static str) -> &mut Metric {
        self.metric(name, about, "gauge")
    }

    /// How long something takes. By Prometheus' custom the name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, about: &'static str) -> &mut Metric {
        self.metric(name, about, "histogram")
    }

    /// As Prometheus reads it: text format 0.0.4.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for Metric { name, about, kind, samples, .. } in &self.0 {
            out.push_str(&format!("# HELP {name} {about}\n# TYPE {name} {kind}\n"));
            for Sample { suffix, labels, value } in samples {
                let labels = listed(labels);
                let value = match value {
                    Value::Count(count) => count.to_string(),
                    Value::Time(time) => time.as_secs_f64().to_string(),
                };
                out.push_str(&format!("{name}{suffix}{labels} {value}\n"));
            }
        }
        out
    }

    /// As people read it: a page of HTML without scripts or styles.
    pub fn page(&self, title: &str) -> String {
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body><h1>{title}</h1>\n<p><a href=\"/metrics\">For Prometheus</a></p>\n<table>\n"
        );
        for Metric { about, rows, .. } in &self.0 {
            let (total, rows) = match &rows[..] {
                [(what, value)] if what.is_empty() => (value.as_str(), &[][..]),
                rows => ("", rows),
            };
            out.push_str(&format!("<tr><th align=\"left\">{about}</th><td>{total}</td></tr>\n"));
            for (what, value) in rows {
                out.push_str(&format!("<tr><td>{what}</td><td>{value}</td></tr>\n"));
            }
        }
        out.push_str("</table></body></html>\n");
        out
    }

    fn metric(
        &mut self,
        name: &'static str,
        about: &'static str,
        kind: &'static str,
    ) -> &mut Metric {
        debug_assert!(is_plain(about) && is_name(name), "{name}: {about}");
        self.0.push(Metric { name, about, kind, samples: Vec::new(), rows: Vec::new() });
        self.0.last_mut().expect("just pushed")
    }
}

impl Metric {
    /// With these labels it is so many.
    pub fn count(&mut self, labels: &[Label], count: impl TryInto<u64>) {
        let count = count.try_into().unwrap_or(u64::MAX);
        self.sample("", labels, Value::Count(count));
        self.rows.push((words(labels), count.to_string()));
    }

    /// All of a [`Tally`], whose values have this name, with these labels besides.
    pub fn tally(&mut self, labels: &[Label], name: &'static str, tally: &Tally) {
        for (value, count) in tally.get() {
            self.count(&[labels, &[(name, value)]].concat(), count);
        }
    }

    /// With these labels it took so long.
    pub fn times(&mut self, labels: &[Label], histogram: &Histogram) {
        let counts = histogram.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let bounds = BUCKETS.iter().map(|(_, text)| *text).chain([LONGER]);
        let total: u64 = counts.iter().sum();
        let (mut sum, mut row) = (0, total.to_string());
        let mut parts = [("half", 50), ("99 of 100", 99)].into_iter().peekable();
        for (bound, count) in bounds.zip(counts) {
            sum += count;
            self.sample("_bucket", &[labels, &[("le", bound)]].concat(), Value::Count(sum));
            let holds = |(_, part): &(&str, u64)| total > 0 && sum * 100 >= total * part;
            while bound != LONGER
                && let Some((part, _)) = parts.next_if(holds)
            {
                row.push_str(&format!("; {part} within {bound} s"));
            }
        }
        self.rows.push((words(labels), row));
        let time = Duration::from_micros(histogram.micros.load(Ordering::Relaxed));
        self.sample("_sum", labels, Value::Time(time));
        self.sample("_count", labels, Value::Count(total));
    }

    fn sample(&mut self, suffix: &'static str, labels: &[Label], value: Value) {
        debug_assert!(labels.iter().all(|(name, value)| is_name(name) && is_plain(value)));
        self.samples.push(Sample { suffix, labels: labels.to_vec(), value });
    }
}

/// The values of the labels, for people.
fn words(labels: &[Label]) -> String {
    labels.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(", ")
}

/// `{a="b",c="d"}`, or nothing.
fn listed(labels: &[Label]) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

/// Whether it can stand in either form as it is.
fn is_plain(text: &str) -> bool {
    !text.contains(['\\', '"', '\n', '<', '&'])
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_below_what_they_are() {
        let mut metrics = Metrics::default();
        let tally = Tally::of(&["b", "a"]);
        tally.add("c");
        tally.add("b");
        metrics.counter("drops_total", "Drops.").count(&[], 3);
        let rooms = metrics.gauge("rooms", "Rooms.");
        rooms.count(&[("of", "us")], 1);
        rooms.tally(&[("of", "them")], "by", &tally);
        assert_eq!(
            metrics.text(),
            "# HELP drops_total Drops.\n# TYPE drops_total counter\ndrops_total 3\n\
             # HELP rooms Rooms.\n# TYPE rooms gauge\nrooms{of=\"us\"} 1\n\
             rooms{of=\"them\",by=\"a\"} 0\nrooms{of=\"them\",by=\"b\"} 1\nrooms{of=\"them\",by=\"c\"} 1\n"
        );
    }

    #[test]
    fn people_find_a_lone_number_beside_what_it_is_and_several_below() {
        let mut metrics = Metrics::default();
        metrics.gauge("rooms", "Rooms.").count(&[], 7_usize);
        let doors = metrics.gauge("doors", "Doors.");
        doors.count(&[("state", "open"), ("way", "in")], 1_u64);
        doors.count(&[("state", "shut")], 2_u64);
        metrics.histogram("it_seconds", "It.").times(&[], &Histogram::default());
        let page = metrics.page("House");
        for row in [
            "<tr><th align=\"left\">Rooms.</th><td>7</td></tr>",
            "<tr><th align=\"left\">Doors.</th><td></td></tr>\n<tr><td>open, in</td><td>1</td></tr>",
            "<tr><td>shut</td><td>2</td></tr>",
            "<th align=\"left\">It.</th><td>0</td>",
        ] {
            assert!(page.contains(row), "no {row} in {page}");
        }
    }

    #[test]
    fn a_bucket_counts_what_took_no_longer() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 1_000_000, 1_000_001, u64::MAX] {
            histogram.record(Duration::from_micros(micros));
        }
        let counts = histogram.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let mut metrics = Metrics::default();
        metrics.histogram("it_seconds", "It.").times(&[("over", "tcp")], &histogram);
        let text = metrics.text();
        assert!(text.contains("it_seconds_bucket{over=\"tcp\",le=\"0.00025\"} 3\n"), "{text}");
        assert!(text.contains("it_seconds_bucket{over=\"tcp\",le=\"+Inf\"} 6\n"), "{text}");
        assert!(text.contains("it_seconds_count{over=\"tcp\"} 6\n"), "{text}");
        let row = "<td>tcp</td><td>6; half within 0.00025 s</td>";
        assert!(metrics.page("Times").contains(row), "{}", metrics.page("Times"));
    }

    #[test]
    fn the_texts_of_the_buckets_are_their_bounds() {
        for (micros, text) in BUCKETS {
            assert_eq!(Duration::from_micros(micros).as_secs_f64().to_string(), text);
        }
        assert!(BUCKETS.is_sorted_by_key(|(micros, _)| *micros));
    }

    #[test]
    fn whoever_leaves_is_counted_no_more() {
        let gauge = Gauge::default();
        let one = gauge.enter();
        let other = gauge.enter();
        assert_eq!(gauge.get(), 2);
        drop((one, other));
        assert_eq!(gauge.get(), 0);
    }
}
