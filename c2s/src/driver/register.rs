//! Makes accounts for strangers (XEP-0077), where the settings allow it.

use super::{Door, Driver};
use crate::session::{Event, RegisterError};
use roster_store::StoreError;
use std::{net::IpAddr, time::Instant};
use tokio::time;
use tracing::{debug, info, warn};
use xmpp_core::BareJid;

impl Driver {
    /// Makes an account, unless the time to log in runs out or the server stops meanwhile.
    pub(super) async fn register(&mut self, account: &BareJid, password: String) {
        let deadline = self.clock.at(self.session.deadline().unwrap_or_default());
        let outcome = tokio::select! {
            outcome = self.door.register(account, password, self.address, self.number) => outcome,
            () = time::sleep_until(deadline) => return self.handle(Event::Tick),
            () = self.stop.cancelled() => return self.handle(Event::Shutdown),
        };
        self.handle(Event::Registered(outcome));
    }
}

impl Door {
    async fn register(
        &self,
        account: &BareJid,
        password: String,
        address: Option<IpAddr>,
        stream: u64,
    ) -> Result<(), RegisterError> {
        let registration = self.settings.registration.as_ref().ok_or(RegisterError::Failed)?;
        if let Some(address) = address {
            if !self.registrations.allowed(address, Instant::now()) {
                warn!(stream, %address, "too many registrations");
                return Err(RegisterError::TooMany);
            }
            // threats R01, A05: whatever comes of it, since it tells which names are taken
            self.registrations.count(address, Instant::now());
        }
        let credentials = self.hashing.derive(password).await;
        let credentials = credentials.map_err(|_| RegisterError::BadPassword)?;
        if registration.reserved.contains(account) {
            return Err(RegisterError::Taken);
        }
        match self.accounts.create(account, credentials).await {
            Ok(()) => {
                self.router.recheck(account);
                info!(stream, %account, address = address.map(tracing::field::display), "registered");
                Ok(())
            }
            Err(StoreError::Exists) => Err(RegisterError::Taken),
            Err(StoreError::Busy) => Err(RegisterError::TooMany),
            Err(error) => {
                debug!(stream, %error, "no account could be made");
                Err(RegisterError::Failed)
            }
        }
    }
}
