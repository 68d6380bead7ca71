//! Sessions over a restart (XEP-0198 5): written down when the door shuts, taken up again before it opens.

use super::{door::Door, parked::Parked};
use crate::session::{Ledger, Saved, State};
use roster_store::{Parked as Written, StoreError};
use router::Letter;
use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Bytes that are written down in one go: a store takes no more than a few of these at once.
const PORTION: usize = 4 * 1_024 * 1_024;

impl Door {
    /// Takes up the sessions that a former process has left behind: for their contacts they have always been there. Before
    /// anybody can log in.
    ///
    /// # Errors
    /// They could not be read.
    pub async fn take_up(self: &Arc<Self>) -> Result<(), StoreError> {
        let left = self.sessions.parked().await?;
        let now = self.router.environment().now();
        let count = left.len();
        faults::site!("parked-sessions-read");
        for Written { token, owner, until, state } in left {
            let Some(state) = State::read(state) else {
                error!(%owner, "a session that was left behind cannot be read");
                continue;
            };
            let State { seat, terms, counts, letters } = state;
            let (claim, mailbox) = match self.router.thaw(seat).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    warn!(%owner, %error, "a session that was left behind cannot go on");
                    continue;
                }
            };
            claim.manage();
            let letters = letters.into_iter().map(|Saved { stanza, owed, row }| {
                if owed { claim.letter(stanza, row) } else { Letter::from(stanza) }
            });
            let ledger = Box::new(Ledger::restored(Some(terms), counts, letters.collect()));
            let ticket = self.resumptions.enter(&token, &owner);
            let left = until.duration_since(now).unwrap_or(Duration::ZERO);
            self.park_until(Parked { claim, mailbox, ledger }, ticket, Instant::now() + left);
        }
        if count > 0 {
            info!(count, "sessions taken up");
        }
        Ok(())
    }

    /// Writes the sessions down that may be resumed. Nobody delivers any more. Those that cannot be written end.
    pub(super) async fn leave_behind(&self) {
        let mut left = mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut portion, mut bytes) = (Vec::new(), 0);
        let mut kept = Vec::new();
        while let Some((mut parked, until)) = left.pop() {
            let Some(state) = self.in_words(&mut parked) else {
                self.give_up(parked).await;
                continue;
            };
            bytes += state.len();
            let owner = parked.claim.jid().to_bare();
            portion.push(Written { token: parked.token().into(), owner, until, state });
            kept.push(parked);
            if bytes >= PORTION || left.is_empty() {
                self.write_down(mem::take(&mut portion), mem::take(&mut kept)).await;
                bytes = 0;
            }
        }
        self.write_down(portion, kept).await;
    }

    async fn write_down(&self, written: Vec<Written>, sessions: Vec<Parked>) {
        if written.is_empty() {
            return;
        }
        let count = sessions.len();
        faults::site!("stop-before-parking");
        match self.sessions.park(written).await {
            Ok(()) => {
                faults::site!("stop-parked");
                info!(count, "sessions left behind");
            }
            Err(error) => {
                error!(count, %error, "sessions cannot be left behind");
                for parked in sessions {
                    self.give_up(parked).await;
                }
                return;
            }
        }
        for Parked { claim, mailbox, .. } in sessions {
            self.router.abandon(claim, mailbox);
        }
    }

    /// What is in the mailbox is as good as sent on a connection that was lost: the client does not have it. The letters
    /// stay in the books.
    fn in_words(&self, parked: &mut Parked) -> Option<Vec<u8>> {
        let seat = self.router.freeze(&parked.claim)?;
        parked.take_mail();
        let terms = parked.ledger.terms()?.clone();
        let letters = parked.ledger.letters().map(|letter| Saved {
            stanza: letter.stanza().clone(),
            owed: letter.is_owed(),
            row: letter.row(),
        });
        let letters = letters.collect();
        Some(State { seat, terms, counts: parked.ledger.counts(), letters }.write())
    }
}
