//! Time and dice for the router: the operating system's.

use std::time::{Duration, Instant, SystemTime};

/// The real clock and the real dice.
pub(crate) struct System {
    start: Instant,
}

impl System {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl router::Environment for System {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn token(&self) -> String {
        net::random::token()
    }
}
