//! The rows of the table, and the goals that were set for each.
//!
//! Goals are ratios. They were set from what these very servers did on a machine of two cores (with another generator, before this
//! one existed): what counts on any machine is what Stonechat takes, divided by what the best of the others takes.

use crate::{servers::Kind, work::Metric};

/// One row.
#[derive(Debug)]
pub struct Row {
    /// Of which piece of work.
    pub work: &'static str,
    /// What of it.
    pub metric: Metric,
    /// What it is, for people.
    pub title: &'static str,
    /// What a measured value is divided by.
    pub scale: f64,
    /// What Stonechat is to reach.
    pub goal: Goal,
}

/// What Stonechat is to reach: its own figure when the others had theirs.
#[derive(Debug)]
pub struct Goal {
    /// Stonechat's.
    pub own: f64,
    /// The best of the others then.
    pub best_peer: f64,
}

impl Goal {
    /// Stonechat's share of what the best of the others takes, at most; or at least, where more is better.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.own / self.best_peer
    }
}

impl Row {
    /// Whether more is better.
    #[must_use]
    pub fn is_more_better(&self) -> bool {
        self.metric == Metric::Rate
    }

    /// The best of these values of other servers.
    #[must_use]
    pub fn best_peer(&self, values: &[(Kind, f64)]) -> Option<f64> {
        let peers = values.iter().filter(|(kind, _)| kind.is_peer()).map(|(_, value)| *value);
        match self.is_more_better() {
            true => peers.max_by(f64::total_cmp),
            false => peers.min_by(f64::total_cmp),
        }
    }

    /// Whether this ratio to the best of the others is as good as that one.
    #[must_use]
    pub fn is_as_good(&self, ratio: f64, as_that: f64) -> bool {
        match self.is_more_better() {
            true => ratio >= as_that,
            false => ratio <= as_that,
        }
    }
}

const fn cpu(work: &'static str, title: &'static str, own: f64, best_peer: f64) -> Row {
    Row { work, metric: Metric::Cpu, title, scale: 1.0, goal: Goal { own, best_peer } }
}

const fn latency(
    work: &'static str,
    metric: Metric,
    title: &'static str,
    own: f64,
    best_peer: f64,
) -> Row {
    Row { work, metric, title, scale: 1.0, goal: Goal { own, best_peer } }
}

const fn kib(work: &'static str, title: &'static str, own: f64, best_peer: f64) -> Row {
    Row { work, metric: Metric::Memory, title, scale: 1024.0, goal: Goal { own, best_peer } }
}

/// All rows, in order. Processor time is for a thousand.
pub const ROWS: &[Row] = &[
    cpu("chat", "chat, 16 in flight, plain TCP", 0.010, 0.112),
    cpu("chat-tls", "chat, 16 in flight, TLS 1.3", 0.013, 0.098),
    cpu("chat-single", "chat, 1 in flight, plain TCP", 0.022, 0.146),
    cpu("chat-offered", "chat, 500 a second offered", 0.070, 0.320),
    latency("chat-offered", Metric::P50, "chat, 500 a second offered, p50", 0.20, 0.44),
    latency("chat-offered", Metric::P99, "chat, 500 a second offered, p99", 0.6, 2.8),
    cpu("chat-archived", "chat, archives on both sides", 0.060, 0.904),
    cpu("presence", "presence to 20 contacts each", 0.006, 0.049),
    cpu("bosh-push", "BOSH, push at 200 a second", 0.18, 0.80),
    cpu("bosh-ping-pong", "BOSH ping-pong, 50 pairs", 0.040, 0.242),
    cpu("bosh-chat", "BOSH chat, 250 pairs", 0.065, 0.397),
    latency("bosh-round-trip", Metric::P50, "BOSH round trip, 1 pair, p50", 0.35, 0.73),
    latency("bosh-round-trip", Metric::P99, "BOSH round trip, 1 pair, p99", 0.8, 1.4),
    cpu("websocket-chat", "WebSocket chat, 16 in flight", 0.018, 0.130),
    cpu("login", "login: STARTTLS, SCRAM-SHA-1, bind", 0.80, 2.17),
    kib("idle", "idle session, plain TCP", 5.0, 36.0),
    kib("idle-tls", "idle session, TLS", 14.0, 49.0),
    kib("idle-websocket", "idle session, WebSocket", 10.0, 45.0),
    kib("idle-bosh", "idle session, BOSH, request held", 12.0, 34.0),
    kib("empty", "empty server", 8.0 * 1024.0, 10.0 * 1024.0),
    Row {
        work: "highest",
        metric: Metric::Rate,
        title: "highest load held",
        scale: 1.0,
        goal: Goal { own: 90_000.0, best_peer: 13_500.0 },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::ALL;

    #[test]
    fn every_piece_of_work_has_a_row_and_every_row_its_work() {
        for row in ROWS {
            assert!(ALL.iter().any(|work| work.key == row.work), "{}", row.work);
        }
        for work in ALL {
            assert!(ROWS.iter().any(|row| row.work == work.key), "{}", work.key);
        }
    }

    #[test]
    fn the_best_peer_is_neither_ours_nor_the_floor() {
        let values = [
            (Kind::Stonechat, 1.0),
            (Kind::Prosody, 7.0),
            (Kind::Ejabberd, 5.0),
            (Kind::Floor, 0.1),
        ];
        let row = |metric| ROWS.iter().find(|row| row.metric == metric).unwrap();
        assert_eq!(row(Metric::Cpu).best_peer(&values), Some(5.0));
        assert_eq!(row(Metric::Rate).best_peer(&values), Some(7.0));
        assert!(row(Metric::Cpu).is_as_good(0.1, 0.2) && !row(Metric::Rate).is_as_good(0.1, 0.2));
    }
}
