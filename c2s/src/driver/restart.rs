//! Streams over a restart (XEP-0198 5), whether the process before ended in good order or was killed: taken up before the door
//! opens, left behind when it shuts.

use super::{
    door::Door,
    journal::{Before, Entry, mark},
    parked::Parked,
    resumptions::Ticket,
};
use crate::session::{Ledger, Saved, Standing, State};
use futures_util::future::join_all;
use roster_store::{LeftStreams, StoreError};
use router::Letter;
use std::{
    collections::{BTreeMap, HashMap},
    fmt, mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Accounts whose messages are read at a time: enough that the store has always something to do.
const AT_ONCE: usize = 64;

/// A stream that was taken up.
struct TakenUp {
    parked: Parked,
    before: Before,
    ticket: Ticket,
    until: Instant,
}

impl Door {
    /// Takes up the streams that a former process has left behind: for their contacts they have always been there. Before
    /// anybody can log in. From here on streams are written down, where the store has a place for that.
    ///
    /// # Errors
    /// What was left cannot be read, and is still there.
    pub async fn take_up(self: &Arc<Self>) -> Result<(), StoreError> {
        let (journal, left) = match self.sessions.journal() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error @ StoreError::Failed(_)) => {
                error!(%error, "streams do not outlive this process");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let LeftStreams { streams, closed } = left;
        let numbers: Vec<u32> = streams.iter().map(|(stream, _)| *stream).collect();
        self.last_stream.store(numbers.iter().copied().max().unwrap_or(0), Ordering::Relaxed);
        let journal = self.journal.get_or_init(|| journal);
        let mut heard: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
        for (stream, stanza) in self.sessions.heard(numbers).await? {
            heard.entry(stream).or_default().push(stanza);
        }
        faults::site!("streams-read");
        let mut taken_up = Vec::new();
        for (stream, words) in streams {
            let Some(mut state) = State::read(&words) else {
                error!(stream, "a stream that was left behind cannot be read");
                continue;
            };
            state.standing.stale |= !closed;
            state.standing.behind &= !closed;
            let heard = heard.remove(&stream).unwrap_or_default();
            taken_up.extend(self.take_up_one(stream, state, heard).await);
        }
        faults::site!("streams-taken-up");
        // Until here, were this process killed, the next would do all of it again.
        if let Err(error) = journal.publish() {
            error!(%error, "streams do not outlive this process");
        }
        faults::site!("journal-published");
        self.catch_up(&taken_up).await;
        let count = taken_up.len();
        for TakenUp { parked, ticket, until, .. } in taken_up {
            self.park_until(parked, ticket, until);
        }
        if count > 0 {
            info!(count, closed, "streams taken up");
        }
        Ok(())
    }

    /// What waits for their accounts in the store: each session gets what it had not been sent; one gets the rest.
    async fn catch_up(&self, taken_up: &[TakenUp]) {
        let mut accounts: BTreeMap<&str, Vec<&TakenUp>> = BTreeMap::new();
        for stream in taken_up {
            accounts.entry(stream.parked.claim.jid().bare_str()).or_default().push(stream);
        }
        let accounts: Vec<_> = accounts.into_values().collect();
        for some in accounts.chunks(AT_ONCE) {
            let caught_up = some.iter().map(|streams| async move {
                let sessions = streams.iter().map(|it| (&it.parked.claim, it.before.last));
                self.router.catch_up(&sessions.collect::<Vec<_>>()).await;
                // Now that whoever lacks them has got them, too.
                for TakenUp { parked, before, .. } in streams {
                    self.router.took_rows(&parked.claim, before.taken.iter().copied());
                }
                if let Some(TakenUp { parked, .. }) = streams.first() {
                    self.router.deliver_what_waits(&parked.claim);
                }
            });
            join_all(caught_up).await;
        }
    }

    async fn take_up_one(
        self: &Arc<Self>,
        stream: u32,
        state: State,
        heard: Vec<(u32, u64)>,
    ) -> Option<TakenUp> {
        let State { seat, terms, mark: its_mark, standing, counts, letters, taken, last } = state;
        let (jid, owner) = (seat.jid.clone(), seat.jid.to_bare());
        let refuse = |why: &dyn fmt::Display| {
            warn!(%jid, %why, "a stream that was left behind does not go on");
            None
        };
        match self.accounts.credentials(&owner).await {
            Ok(Some(credentials)) if mark(&credentials) == its_mark => {}
            Ok(_) => return refuse(&"another password, or another account"),
            Err(error) => return refuse(&error),
        }
        if standing.behind {
            return refuse(&"more was on its way than is written");
        }
        let (claim, mut mailbox) = match self.router.thaw(seat).await {
            Ok(claimed) => claimed,
            Err(error) => return refuse(&error),
        };
        mailbox.set_active(false); // as where it is parked
        let letters = letters.into_iter().map(|Saved { stanza, owed, row }| {
            if owed { claim.letter(stanza, row) } else { Letter::from(stanza) }
        });
        let (token, max) = (terms.token.clone(), terms.max);
        let mut ledger = Box::new(Ledger::restored(Some(terms), counts, letters.collect(), heard));
        let Standing { until, stale, .. } = standing;
        let before = Before { stream, standing, taken, last };
        let entry = Entry::go_on(self, &claim, &mut ledger, its_mark, &before);
        claim.manage(entry.is_some());
        let now = self.router.environment().now();
        // Whoever was connected has lost the connection only now.
        let rest = until.map_or(max, |until| until.duration_since(now).unwrap_or_default());
        let ticket = self.resumptions.enter(&token, &owner);
        let parked = Parked { claim, mailbox, ledger, entry, stale };
        Some(TakenUp { parked, before, ticket, until: Instant::now() + rest })
    }

    /// Leaves the sessions behind that may be resumed. Nobody delivers any more. What is in their mailboxes is as good as sent
    /// on a connection that was lost. Those that cannot be written down end.
    pub(super) async fn leave_behind(&self) {
        let left = mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(journal) = self.journal() else {
            for (parked, _) in left {
                self.give_up(parked).await;
            }
            return;
        };
        let mut kept = Vec::new();
        for (mut parked, rest) in left {
            parked.take_mail();
            parked.stand(self, rest);
            parked.note(true);
            match &parked.entry {
                Some(entry) if entry.is_written() => kept.push(parked),
                _ => self.give_up(parked).await,
            }
        }
        faults::site!("stop-before-closing-journal");
        // There is nothing else to do meanwhile.
        let closed = journal.close();
        faults::site!("stop-journal-closed");
        match &closed {
            Ok(()) => info!(count = kept.len(), "streams left behind"),
            Err(error) => error!(count = kept.len(), %error, "streams cannot be left behind"),
        }
        for parked in kept {
            if closed.is_err() {
                self.give_up(parked).await;
                continue;
            }
            let Parked { claim, mailbox, entry, .. } = parked;
            if let Some(entry) = entry {
                entry.leave();
            }
            self.router.abandon(claim, mailbox);
        }
    }
}
