//! The numbers that `metrics.listen` shows, collected from every room.

use bosh_cm::{
    Manager,
    gauges::{http::Board, refusals},
};
use c2s::Door;
use net::address::AddressBook;
use program::metrics::Metrics;
use roster_store::Store;
use router::Router;
use std::sync::Arc;

/// The rooms that are asked.
pub(crate) struct Numbers {
    pub(crate) router: Arc<Router>,
    pub(crate) door: Arc<Door>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) manager: Arc<Manager>,
    /// Client connections over TCP.
    pub(crate) c2s: Arc<AddressBook>,
    /// HTTP connections.
    pub(crate) http: Arc<AddressBook>,
}

impl Numbers {
    /// What the listener shows.
    pub(crate) fn board(self) -> Arc<Board> {
        Arc::new(Board { title: "Stonechat", collect: Box::new(move || self.collect()) })
    }

    fn collect(&self) -> Metrics {
        let mut out = Metrics::default();
        let sent = self.router.counts();
        out.gauge("stonechat_sessions", "Sessions that hold an address.").count(&[], sent.sessions);
        let stanzas = out.counter("stonechat_stanzas_total", "Stanzas from clients, by kind.");
        for (kind, count) in
            [("message", sent.messages), ("presence", sent.presences), ("iq", sent.iqs)]
        {
            stanzas.count(&[("kind", kind)], count);
        }
        let seen = self.door.counts();
        let about =
            "Client streams, those of BOSH and WebSocket and those that may be resumed too.";
        out.gauge("stonechat_streams", about).count(&[], seen.streams);
        let logins = out.counter("stonechat_logins_total", "Logins, by how they went.");
        for (outcome, count) in [("succeeded", seen.logins), ("failed", seen.failed_logins)] {
            logins.count(&[("outcome", outcome)], count);
        }
        let about = "Operations that wait for the store.";
        out.gauge("stonechat_store_queue", about).count(&[], self.store.queued());
        let health = self.store.health();
        let about = "Commits of the store, each of which carries all that waited for it.";
        out.counter("stonechat_store_commits_total", about).count(&[], health.commits);
        let about = "1 where something could not be read from the store, or written to it, a short while ago.";
        let failing = out.gauge("stonechat_store_failing", about);
        for (what, fails) in [("reads", health.reads_fail), ("writes", health.writes_fail)] {
            failing.count(&[("what", what)], usize::from(fails));
        }
        let about = "Client connections over TCP that are open.";
        out.gauge("stonechat_c2s_connections", about).count(&[], self.c2s.open());
        let about = "Client connections over TCP refused, by the limit.";
        let refused = out.counter("stonechat_c2s_refused_total", about);
        let names = ["connections", "connections_per_address", "connections_per_minute"];
        refusals(refused, &self.c2s, &names);
        self.manager.tell(&mut out, &self.http);
        out
    }
}
