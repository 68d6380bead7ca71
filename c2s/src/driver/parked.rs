//! Sessions that have lost their connection and wait for another one (XEP-0198 5).

use super::{
    door::Door,
    journal::Entry,
    resumptions::{Heir, Ticket, Wish},
};
use crate::{Settings, session::Ledger};
use router::{Claim, Letter, Mail, Mailbox};
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::time::{self, Instant};
use tracing::info;
use xmpp_core::{
    Kind,
    stanza::{IqType, MessageType, PresenceType},
};

/// A session without a connection: all of it that goes on with another one.
pub(super) struct Parked {
    pub(super) claim: Claim,
    pub(super) mailbox: Mailbox,
    /// Its stanzas have all settled.
    pub(super) ledger: Box<Ledger>,
    /// Where it is written down.
    pub(super) entry: Option<Box<Entry>>,
    /// The server was killed since its client last saw its contacts' presence.
    pub(super) stale: bool,
}

impl Parked {
    /// Enters in the books what the mailbox holds, as if it had been sent: it comes behind what was.
    pub(super) fn take_mail(&mut self) {
        self.mailbox.set_active(true); // what is held, too
        while let Some(Mail::Letter(letter)) = self.mailbox.try_next() {
            self.ledger.send(letter);
        }
    }

    /// The same with what is due, while it waits and as far as the books have room, and writes it down. False: it is over.
    fn take_in(&mut self, settings: &Settings) -> bool {
        let whole = loop {
            if !self.has_room(settings) {
                break false;
            }
            match self.mailbox.try_next() {
                Some(Mail::Letter(letter)) => self.ledger.send(letter),
                Some(Mail::Close(_)) => return false,
                None => break true,
            }
        };
        self.note(whole);
        true
    }

    fn has_room(&self, settings: &Settings) -> bool {
        self.ledger.has_room(settings.unacked, settings.unacked_bytes)
    }

    /// Writes down what is new. `whole`: whatever its handled stanzas have caused is in the books.
    pub(super) fn note(&mut self, whole: bool) {
        if let Some(entry) = &mut self.entry {
            entry.fall_behind(!whole);
            entry.note(&mut self.ledger, &self.claim, whole, true);
        }
    }

    /// From now on it waits for so long; that is written down next.
    pub(super) fn stand(&mut self, door: &Door, rest: Duration) {
        if let Some(entry) = &mut self.entry {
            entry.stand(Some(door.router.environment().now() + rest), self.stale);
        }
    }

    /// What its client resumes it with.
    pub(super) fn token(&self) -> &str {
        self.ledger.terms().map_or("", |terms| &terms.token)
    }
}

impl Door {
    /// Keeps a session until it is resumed, or the time for that is over. Its contacts see no difference.
    pub(super) fn park(self: &Arc<Self>, mut parked: Parked, ticket: Ticket) {
        let max = parked.ledger.terms().map(|terms| terms.max).unwrap_or_default();
        // Nobody looks: of what comes meanwhile nothing is kept that is of no use later (XEP-0352).
        parked.mailbox.set_active(false);
        info!(jid = %parked.claim.jid(), "parked");
        faults::site!("parked");
        self.park_until(parked, ticket, Instant::now() + max);
    }

    /// The same, until then.
    pub(super) fn park_until(self: &Arc<Self>, mut parked: Parked, ticket: Ticket, until: Instant) {
        ticket.park();
        parked.stand(self, until.saturating_duration_since(Instant::now()));
        self.waiting.spawn(Arc::clone(self).keep(parked, ticket, until));
    }

    /// Hands a session over to a new connection. Where that is gone already it is parked again.
    pub(super) fn hand_over(self: &Arc<Self>, parked: Parked, heir: Heir) {
        faults::site!("handed-over");
        if let Err(parked) = heir.send(parked) {
            let ticket = self.resumptions.enter(parked.token(), &parked.claim.jid().to_bare());
            self.park(parked, ticket);
        }
    }

    /// What a session does that waits.
    pub(super) async fn keep(
        self: Arc<Self>,
        mut parked: Parked,
        mut ticket: Ticket,
        until: Instant,
    ) {
        let stop = self.closing();
        let mut goes_on = parked.take_in(&self.settings);
        let wish = loop {
            if !goes_on {
                drop(ticket); // to whoever wants it now it does not exist any more
                break None;
            }
            let room = parked.has_room(&self.settings);
            tokio::select! {
                biased;
                wish = poll_fn(|cx| ticket.poll(cx)) => break Some(wish),
                () = time::sleep_until(until) => break ticket.leave().err(),
                mail = poll_fn(|cx| parked.mailbox.poll_next(cx, room)) => match mail {
                    Mail::Letter(letter) => {
                        parked.ledger.send(letter);
                        goes_on = parked.take_in(&self.settings);
                    }
                    // Replaced, its account gone, its mailbox full.
                    Mail::Close(_) => goes_on = false,
                },
                () = stop.cancelled() => match ticket.leave() {
                    Err(wish) => break Some(wish),
                    Ok(()) => {
                        return self.leave(parked, until.saturating_duration_since(Instant::now()));
                    }
                },
            }
        };
        match wish {
            Some(Wish::Resume(heir)) => self.hand_over(parked, heir),
            Some(Wish::End(over)) => {
                self.give_up(parked).await;
                drop(over);
            }
            None => self.give_up(parked).await,
        }
    }

    /// The session is over: what its client did not get goes where it would have gone without it (XEP-0198 4).
    pub(super) async fn give_up(&self, mut parked: Parked) {
        parked.take_mail();
        let unproven: Vec<Letter> = parked.ledger.take_unacknowledged().into();
        let jid = parked.claim.jid();
        info!(%jid, "not resumed");
        // Whoever hears that a stanza was handled must have heard of its error, too: where one is lost here, its client
        // hears nothing.
        if !unproven.iter().any(|letter| is_error(letter.stanza().kind())) {
            let handled = parked.ledger.counts().handled;
            self.resumptions.remember(parked.token(), &jid.to_bare(), handled);
        }
        faults::site!("before-release");
        let Parked { claim, mailbox, .. } = parked;
        self.router.release(claim, mailbox, unproven).await;
    }
}

fn is_error(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Message(MessageType::Error)
            | Kind::Iq(IqType::Error)
            | Kind::Presence(PresenceType::Error)
    )
}
