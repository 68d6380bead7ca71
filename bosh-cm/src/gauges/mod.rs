//! What the connection manager counts of itself, for operators: the drivers count what sessions tell by their effects.
//!
//! [`http`] is the listener that shows it.

pub mod http;

use crate::session::Gist;
use net::address::AddressBook;
use program::metrics::{Counter, Gauge, Histogram, Metric, Metrics, Present, Tally};

/// How sessions end, where it is no condition: those that are counted from the beginning.
const ENDS: [&str; 4] = ["closed", "finished", "silent", CUT_OFF];
/// The end of a session that was still there when the time to leave was over.
const CUT_OFF: &str = "cut-off";

/// The limits that one request can break.
pub(crate) mod limit {
    /// Bytes of a body.
    pub(crate) const BODY: &str = "http_body";
    /// The time for a head or a body.
    pub(crate) const TIME: &str = "http_timeout";
    /// Bytes of a head.
    pub(crate) const HEAD: &str = "http_head";
    /// Requests for sessions that are not there.
    pub(crate) const STRAYS: &str = "strays_per_minute";
}

/// The numbers of one [`Manager`](crate::Manager).
pub(crate) struct Gauges {
    answers: [Counter; Gist::ALL.len()],
    pub(crate) bosh: Face,
    pub(crate) websocket: Face,
    /// Requests that broke a [`limit`] of their own.
    pub(crate) limits: Tally,
}

/// The numbers of the sessions over BOSH, or of those over WebSocket.
pub(crate) struct Face {
    open: Gauge,
    begun: Counter,
    ends: Tally,
    /// From bytes of a server to the answer, or the frame, written.
    pub(crate) pushes: Histogram,
}

/// The places that limits count.
pub(crate) struct Books<'a> {
    /// HTTP connections.
    pub(crate) connections: &'a AddressBook,
    /// Sessions.
    pub(crate) sessions: &'a AddressBook,
    /// Requests that wait for an answer.
    pub(crate) requests: &'a AddressBook,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        Self {
            answers: Default::default(),
            bosh: Face::new(),
            websocket: Face::new(),
            limits: Tally::of(&[limit::BODY, limit::TIME, limit::HEAD, limit::STRAYS]),
        }
    }

    /// One more answer.
    pub(crate) fn answered(&self, gist: Gist) {
        self.answers[gist as usize].add();
    }

    /// All numbers.
    pub(crate) fn tell(&self, out: &mut Metrics, books: &Books<'_>) {
        let faces = [(("over", "bosh"), &self.bosh), (("over", "websocket"), &self.websocket)];
        let open = out.gauge("bosh_cm_sessions", "Sessions over BOSH and WebSocket.");
        faces.iter().for_each(|(over, face)| open.count(&[*over], face.open.get()));
        let begun =
            out.counter("bosh_cm_sessions_begun_total", "Sessions over BOSH and WebSocket begun.");
        faces.iter().for_each(|(over, face)| begun.count(&[*over], face.begun.get()));
        let ended = out.counter(
            "bosh_cm_sessions_ended_total",
            "Sessions over BOSH and WebSocket ended, by how.",
        );
        faces.iter().for_each(|(over, face)| ended.tally(&[*over], "condition", &face.ends));
        let held = "Requests that wait for an answer.";
        out.gauge("bosh_cm_held_requests", held).count(&[], books.requests.open());
        let answers = out.counter("bosh_cm_responses_total", "Answers, by what they come to.");
        for (gist, count) in Gist::ALL.iter().zip(&self.answers) {
            answers.count(&[("kind", gist.name())], count.get());
        }
        let pushes = out.histogram(
            "bosh_cm_push_seconds",
            "From bytes of a server to the held request answered, or the frame written.",
        );
        faces.iter().for_each(|(over, face)| pushes.times(&[*over], &face.pushes));
        let connections = out.gauge("bosh_cm_connections", "HTTP connections that are open.");
        connections.count(&[], books.connections.open());
        let about = "Connections, sessions and requests refused, by the limit.";
        let refused = out.counter("bosh_cm_refused_total", about);
        let names = ["connections", "connections_per_address", "connections_per_minute"];
        refusals(refused, books.connections, &names);
        let names = ["sessions", "sessions_per_address", "sessions_per_minute"];
        refusals(refused, books.sessions, &names);
        refusals(refused, books.requests, &["requests", "requests_per_address"]);
        refused.tally(&[], "limit", &self.limits);
    }
}

impl Face {
    fn new() -> Self {
        Self {
            open: Gauge::default(),
            begun: Counter::default(),
            ends: Tally::of(&ENDS),
            pushes: Histogram::default(),
        }
    }

    /// A session begins; it is open until the guard is dropped.
    pub(crate) fn begin(&self) -> Present<'_> {
        self.begun.add();
        self.open.enter()
    }

    /// A session ends, and how; `None`: it was cut off.
    pub(crate) fn end(&self, how: Option<&'static str>) {
        self.ends.add(how.unwrap_or(CUT_OFF));
    }
}

/// What the limits of this book have refused, by their names: in all, of one address, of one address in a minute.
pub fn refusals(out: &mut Metric, book: &AddressBook, names: &[&'static str]) {
    for (name, (_, count)) in names.iter().zip(book.refused()) {
        out.count(&[("limit", name)], count);
    }
}
