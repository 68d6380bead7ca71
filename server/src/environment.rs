//! Time and dice for the router, the operating system's; and the runtime, which finishes what nobody waits for.

use std::time::{Duration, Instant, SystemTime};

/// The real clock and the real dice.
pub(crate) struct System {
    start: Instant,
    runtime: tokio::runtime::Handle,
}

impl System {
    /// Called within the runtime that what is spawned runs on.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), runtime: tokio::runtime::Handle::current() }
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
    fn spawn(&self, task: router::BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }
}
