//! What is written down of a stream while it lasts, so that it goes on after a kill (XEP-0198 5).
//!
//! Nothing that the client may count or be told leaves before it is written here: letters, how many of its stanzas are handled,
//! and with these what they have changed of its seat. That is one write to the kernel's memory in each turn in which the stream
//! says something. What it acknowledges is written along with that, for it says so again when it resumes.

use super::door::Door;
use crate::session::{self, Counts, Ledger, Page, Standing};
use bytes::BytesMut;
use roster_store::{Journal, Record, Slot, StoreError};
use router::{Claim, Source};
use std::{
    cell::RefCell,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::SystemTime,
};
use tracing::debug;
use xmpp_core::{Stanza, sasl::Credentials};

/// Handled stanzas after which they are written even where the stream says nothing, and messages put after which the store may
/// forget what is handled: so many it keeps of each stream.
const LAG: u32 = 64;

thread_local! {
    /// Where records are put together: one for all streams of a thread.
    static RECORD: RefCell<Record> = RefCell::default();
}

/// A stream's place in the journal. Dropped, the stream does not go on.
pub(super) struct Entry {
    door: Arc<Door>,
    /// `None`: nothing of it is written any more.
    slot: Option<Slot>,
    stream: u32,
    /// What is written of its counts.
    counts: Counts,
    /// What is written of its seat, in short.
    seat: u64,
    /// Its seat may have changed.
    moved: bool,
    standing: Standing,
    /// How it stands is written.
    stands: bool,
    /// Messages that were put since the store last forgot what is handled; `None`: none ever.
    put: Option<u32>,
}

/// What was written of a stream by the process before, beside its seat and its books.
#[derive(Default)]
pub(super) struct Before {
    pub(super) stream: u32,
    pub(super) standing: Standing,
    /// Numbers in the store of letters that the client has acknowledged, which the store may not have heard.
    pub(super) taken: Vec<i64>,
    /// The highest number of anything that the client was ever sent.
    pub(super) last: i64,
}

impl Entry {
    /// Begins to write a stream down; `None` where that is not done, or cannot be.
    pub(super) fn begin(
        door: &Arc<Door>,
        claim: &Claim,
        ledger: &mut Ledger,
        mark: u64,
    ) -> Option<Box<Self>> {
        let before = Before { stream: door.next_stream(), ..Before::default() };
        Self::go_on(door, claim, ledger, mark, &before)
    }

    /// The same for a stream that was begun by another process.
    pub(super) fn go_on(
        door: &Arc<Door>,
        claim: &Claim,
        ledger: &mut Ledger,
        mark: u64,
        before: &Before,
    ) -> Option<Box<Self>> {
        let Before { stream, standing, taken, last } = before;
        let (stream, standing) = (*stream, *standing);
        let journal = door.journal()?;
        let seat = door.router.freeze(claim)?;
        let counts = ledger.counts();
        let mut words = BytesMut::new();
        session::put_terms(&mut words, ledger.terms()?, mark);
        let begin = words.len();
        session::put_seat(&mut words, &seat);
        let seat = in_short(&words[begin..]);
        session::put_standing(&mut words, standing);
        session::put_counts(&mut words, counts);
        session::put_taken(&mut words, taken);
        session::put_last(&mut words, *last);
        ledger.letters().for_each(|letter| session::put_letter(&mut words, letter));
        let slot = match journal.begin(stream, &words) {
            Ok(slot) => slot,
            Err(error) => {
                debug!(jid = %claim.jid(), %error, "a stream does not outlive this process");
                return None;
            }
        };
        ledger.noted();
        let (door, slot) = (Arc::clone(door), Some(slot));
        let entry = Self {
            door,
            slot,
            stream,
            counts,
            seat,
            moved: false,
            standing,
            stands: true,
            put: None,
        };
        Some(Box::new(entry))
    }

    /// Whether it is written down as it is.
    pub(super) fn is_written(&self) -> bool {
        self.slot.is_some()
    }

    /// A stanza goes on its way that may change the seat.
    pub(super) fn doubt_seat(&mut self) {
        self.moved = true;
    }

    /// How the stream stands from now on.
    pub(super) fn stand(&mut self, until: Option<SystemTime>, stale: bool) {
        self.stand_so(Standing { until, stale, ..self.standing });
    }

    /// Whether more may be on its way than is written from now on.
    pub(super) fn fall_behind(&mut self, behind: bool) {
        self.stand_so(Standing { behind, ..self.standing });
    }

    fn stand_so(&mut self, standing: Standing) {
        self.stands &= standing == self.standing;
        self.standing = standing;
    }

    /// What a message that goes on its way is put together with, where it is put.
    pub(super) fn source(&mut self, number: u32, message: &Stanza) -> Source {
        let put = self.put.get_or_insert(0);
        *put += 1;
        let handled = (*put >= LAG).then_some(self.counts.handled);
        if handled.is_some() {
            *put = 0;
        }
        Source { stream: self.stream, number, mark: session::mark(message), handled }
    }

    /// Whether more is handled and not written than should be, or how the stream stands is not.
    pub(super) fn lags(&self, ledger: &Ledger) -> bool {
        !self.stands || ledger.counts().handled.wrapping_sub(self.counts.handled) >= LAG
    }

    /// Writes what is new, before anybody sees it. `whole`: whatever handled stanzas have caused is in the books;
    /// `settled`: none is being routed.
    pub(super) fn note(&mut self, ledger: &mut Ledger, claim: &Claim, whole: bool, settled: bool) {
        let (Some(slot), Some(journal)) = (&mut self.slot, self.door.journal()) else { return };
        let mut counts = ledger.counts();
        if !whole {
            counts.handled = self.counts.handled;
        }
        if !self.moved && self.stands && counts == self.counts && ledger.is_noted() {
            return;
        }
        let written: Result<(), StoreError> = RECORD.with_borrow_mut(|record| {
            record.clear();
            let words = record.words();
            let begin = words.len();
            if self.moved
                && let Some(seat) = self.door.router.freeze(claim)
            {
                session::put_seat(words, &seat);
                let seat = in_short(&words[begin..]);
                if seat == self.seat {
                    words.truncate(begin);
                }
                self.seat = seat;
                self.moved = !settled;
            }
            ledger.fresh().for_each(|letter| session::put_letter(words, letter));
            if counts != self.counts {
                session::put_counts(words, counts);
            }
            if !self.stands {
                session::put_standing(words, self.standing);
            }
            if words.len() == begin {
                return Ok(());
            }
            faults::site!("before-noting");
            if !journal.append(slot, record)? {
                move_on(journal, slot, record.as_words(), claim)?;
            }
            faults::site!("noted");
            Ok(())
        });
        ledger.noted();
        (self.counts, self.stands) = (counts, true);
        if let Err(error) = written {
            debug!(jid = %claim.jid(), %error, "a stream does not outlive this process any more");
            self.end();
        }
    }

    /// The stream is left to the next process.
    pub(super) fn leave(mut self) {
        self.slot = None;
        self.put = None;
    }

    /// It does not go on: what is written of it is not believed.
    fn end(&mut self) {
        if let (Some(slot), Some(journal)) = (self.slot.take(), self.door.journal()) {
            journal.end(slot);
        }
    }
}

/// To another place, where there is room for it: with what is still true.
fn move_on(
    journal: &Journal,
    slot: &mut Slot,
    more: &[u8],
    claim: &Claim,
) -> Result<(), StoreError> {
    let mut words = journal.read(slot)?;
    words.extend_from_slice(more);
    let unread = || StoreError::Failed("a stream's own words cannot be read".into());
    let mut page = Page::read(&words).ok_or_else(unread)?;
    // The store has heard of the others.
    page.taken.retain(|row| claim.is_on_its_way(*row));
    let mut few = BytesMut::new();
    page.write(&mut few);
    journal.replace(slot, &few)
}

/// Enough to tell one from another.
fn in_short(words: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}

/// What tells an account from another one at its address, and from itself with another password: sessions do not outlast that
/// either. No secret: clients are told the salt.
pub(super) fn mark(credentials: &Credentials) -> u64 {
    credentials.sha256.salt.first_chunk().map_or(0, |salt| u64::from_be_bytes(*salt))
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end();
        if self.put.is_some() {
            // It is queued by the call.
            drop(self.door.sessions.forget(self.stream));
        }
    }
}
