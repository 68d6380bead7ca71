//! The network between devices, connection manager and server, where it is broken or leads to a server that moves.

use super::stream::{Door, Places};
use crate::faults::{Dice, FaultProxy, Toxics};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::watch;

/// A proxy for each who connects, so that what happens to their connections follows from the seed, whatever others do.
pub(super) struct Network {
    proxies: Vec<FaultProxy>,
    tcp: watch::Sender<SocketAddr>,
    http: watch::Sender<SocketAddr>,
    broken: Arc<AtomicBool>,
}

impl Network {
    /// One that leads there. Where it is `broken`, most connections suffer that come before it is healed.
    pub(super) fn new(places: Places, broken: bool) -> Self {
        Self {
            proxies: Vec::new(),
            tcp: watch::Sender::new(places.tcp),
            http: watch::Sender::new(places.http),
            broken: Arc::new(AtomicBool::new(broken)),
        }
    }

    /// A way to this door for one who connects, known by these numbers.
    ///
    /// # Errors
    /// No port can be listened on.
    pub(super) async fn way(&mut self, door: Door, who: &[u64]) -> io::Result<SocketAddr> {
        let target = if door == Door::Tcp { &self.tcp } else { &self.http };
        let (broken, seed) = (self.broken.clone(), Dice::of(who).number());
        let proxy =
            FaultProxy::before(target.subscribe(), move |connection| match broken.load(Relaxed) {
                true => Toxics::outage(&mut Dice::of(&[seed, connection])),
                false => Toxics::NONE,
            });
        self.proxies.push(proxy.await?);
        Ok(self.proxies.last().expect("it was pushed").address())
    }

    /// New connections lead there from now on.
    pub(super) fn lead_to(&self, places: Places) {
        self.tcp.send_replace(places.tcp);
        self.http.send_replace(places.http);
    }

    /// New connections are well from now on. What is stalled goes on in time, what is in a black hole stays there.
    pub(super) fn heal(&self) {
        self.broken.store(false, Relaxed);
    }
}
