//! The extensions that this server speaks: what its modules declare, and what its doors are.

use crate::{Config, settings, wiring};
use roster_store::{Store, memory::Memory};
use router::Xep;
use std::sync::Arc;

/// What is no module: the ways in.
const DOORS: [Xep; 4] = [
    Xep {
        number: 124,
        name: "Bidirectional-streams Over Synchronous HTTP (BOSH)",
        version: "1.11.2",
    },
    Xep { number: 206, name: "XMPP Over BOSH", version: "1.4" },
    Xep { number: 478, name: "Stream Limits Advertisement", version: "0.2.0" },
    Xep { number: 368, name: "SRV records for XMPP over TLS", version: "1.1.0" },
];

/// All of them, by their number.
pub(crate) fn all() -> Vec<Xep> {
    let config = Config::with(&[]).expect("the defaults are a configuration");
    let store: Arc<dyn Store> = Memory::new(settings::caps(&config.limits));
    let modules = wiring::modules(&config, &store);
    let declared =
        router::xeps(&modules).expect("the modules do not clash: a test starts them all");
    let mut xeps: Vec<_> = declared.into_iter().chain(DOORS).collect();
    xeps.sort_by_key(|xep| xep.number);
    xeps
}

/// One of them as it is printed.
pub(crate) fn line(xep: &Xep) -> String {
    format!("XEP-{:04} {} ({})", xep.number, xep.name, xep.version)
}
