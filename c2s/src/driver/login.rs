//! Puts the client's words to SASL: credentials from the store, passwords hashed off the reactor.

use super::{Door, Driver, journal::mark, parked::Parked, seat::Seat};
use crate::session::{Answer, Ask, Event, Exchange, Resumed};
use net::random;
use router::ClaimError;
use std::{net::IpAddr, sync::Arc, time::Instant};
use tokio::time;
use tracing::{debug, info, warn};
use xmpp_core::{
    BareJid, Jid,
    sasl::{self, Credentials, Failure, Identity, MechanismName, Response},
};

impl Driver {
    /// Answers an [`Ask`], unless the time to log in runs out or the server stops meanwhile.
    pub(super) async fn authenticate(&mut self, ask: Ask) {
        let login = Login {
            door: &self.door,
            address: self.address,
            stream: self.number,
            credentials: &mut self.credentials,
        };
        let deadline = self.clock.at(self.session.deadline().unwrap_or_default());
        let answer = tokio::select! {
            answer = login.answer(ask) => answer,
            () = time::sleep_until(deadline) => return self.handle(Event::Tick),
            () = self.stop.cancelled() => return self.handle(Event::Shutdown),
        };
        if let Answer::Responded(_, Response::Success(..)) = &answer
            && let Some(permit) = &mut self.permit
        {
            permit.authenticated();
        }
        self.handle(Event::Authenticated(answer));
    }

    /// Claims an address for the account, unless its password was changed since it was given. Nobody could end the
    /// session for that while it was in no table, so the check comes after the claim.
    pub(super) async fn claim(
        &mut self,
        account: &BareJid,
        resource: Option<&str>,
    ) -> Result<Jid, ClaimError> {
        let router = Arc::clone(&self.door.router);
        let mut claimed = router.claim(account, resource).await;
        if matches!(claimed, Err(ClaimError::TooMany))
            && let Some(over) = self.door.resumptions.end_oldest(account)
        {
            // Who is here comes before who may come back.
            drop(over.await);
            claimed = router.claim(account, resource).await;
        }
        let (claim, mailbox) = claimed?;
        if let Err(refusal) = self.is_still_welcome(account).await {
            router.release(claim, mailbox, Vec::new()).await;
            return Err(refusal);
        }
        let mark = self.credentials.take().map_or(0, |credentials| mark(&credentials));
        let jid = claim.jid().clone();
        info!(stream = self.number, %jid, "bound");
        self.seat = Some(Box::new(Seat::new(claim, mailbox, mark)));
        Ok(jid)
    }

    /// Takes over a session of the account that lost its connection, or whose connection nobody knows to be lost
    /// (XEP-0198 5). An error: there is none, with its count where it is remembered.
    pub(super) async fn resume(
        &mut self,
        account: &BareJid,
        token: &str,
    ) -> Result<Resumed, Option<u32>> {
        // The session itself is in the table: whatever ends it later finds it there.
        self.is_still_welcome(account).await.map_err(|_| None)?;
        faults::site!("before-resumption");
        let mut found = self.door.resumptions.resume(token, account)?;
        let deadline = self.clock.at(self.session.deadline().unwrap_or_default());
        let parked = tokio::select! {
            biased;
            parked = &mut found => parked.ok(),
            // What it sent last is still being written down.
            () = time::sleep_until(deadline) => { found.close(); found.try_recv().ok() }
            () = self.stop.cancelled() => { found.close(); found.try_recv().ok() }
        };
        let Parked { claim, mut mailbox, ledger, mut entry, stale } = parked.ok_or(None)?;
        self.credentials = None;
        mailbox.set_active(true); // XEP-0352 5
        let jid = claim.jid().clone();
        info!(stream = self.number, %jid, "resumed");
        if stale {
            self.door.router.show_contacts(&claim);
        }
        if let Some(entry) = &mut entry {
            entry.stand(None, false);
        }
        let mut seat = Seat::new(claim, mailbox, 0);
        seat.entry = entry;
        seat.ticket = Some(self.door.resumptions.enter(token, account));
        self.seat = Some(Box::new(seat));
        Ok(Resumed { jid, ledger })
    }

    /// Whether the credentials that the client has shown are still those of the account.
    async fn is_still_welcome(&mut self, account: &BareJid) -> Result<(), ClaimError> {
        match self.door.accounts.credentials(account).await {
            Ok(credentials) if credentials.as_ref() == self.credentials.as_deref() => Ok(()),
            Ok(_) => Err(ClaimError::NoAccount),
            Err(error) => {
                debug!(stream = self.number, %error, "no credentials");
                Err(ClaimError::Failed)
            }
        }
    }
}

/// One step of somebody's login.
struct Login<'a> {
    door: &'a Door,
    address: Option<IpAddr>,
    stream: u64,
    credentials: &'a mut Option<Box<Credentials>>,
}

impl Login<'_> {
    async fn answer(mut self, ask: Ask) -> Answer {
        let (exchange, message, hashes) = match ask {
            Ask::Continue { exchange, message } => (exchange, message, false),
            Ask::Begin { mechanism, account, first } => {
                match self.begin(mechanism, &account).await {
                    Ok(exchange) => (exchange, first, mechanism == MechanismName::Plain),
                    Err(failure) => return Answer::Refused(failure),
                }
            }
        };
        let (exchange, response) =
            if hashes { self.hash(exchange, message).await } else { respond(exchange, &message) };
        match response {
            Ok(response) => {
                if let Response::Success(Identity::Username(user), _) = &response {
                    let mechanism = exchange.name();
                    self.door.count_login(true);
                    info!(stream = self.stream, user, mechanism, "authenticated");
                }
                Answer::Responded(exchange, response)
            }
            Err(failure) => {
                if failure == Failure::NotAuthorized
                    && let Some(address) = self.address
                {
                    self.door.attempts.count(address, Instant::now());
                }
                self.door.count_login(false);
                // not as whom: people type passwords where names belong
                let address = self.address.map(tracing::field::display);
                info!(stream = self.stream, address, failure = failure.name(), "login failed");
                Answer::Refused(failure)
            }
        }
    }

    /// A new exchange about this account.
    async fn begin(
        &mut self,
        mechanism: MechanismName,
        account: &BareJid,
    ) -> Result<Exchange, Failure> {
        if let Some(address) = self.address
            && !self.door.attempts.allowed(address, Instant::now())
        {
            // threat A08: whatever the password is, so that guessing has no use
            warn!(stream = self.stream, %address, "too many failed logins");
            return Err(Failure::TemporaryAuthFailure);
        }
        let credentials = self.door.accounts.credentials(account).await.map_err(|error| {
            debug!(stream = self.stream, %error, "no credentials");
            Failure::TemporaryAuthFailure
        })?;
        *self.credentials = credentials.clone().map(Box::new);
        let nonce = random::token();
        Ok(sasl::server(mechanism, account, credentials, &self.door.masking, &nonce))
    }

    /// A response that takes a password hash: off the reactor, and not too many at once.
    async fn hash(
        &self,
        exchange: Exchange,
        message: Vec<u8>,
    ) -> (Exchange, Result<Response, Failure>) {
        self.door.hashing.run(move || respond(exchange, &message)).await
    }
}

fn respond(mut exchange: Exchange, message: &[u8]) -> (Exchange, Result<Response, Failure>) {
    let response = exchange.respond(message).map_err(|error| sasl::failure(&error));
    (exchange, response)
}
