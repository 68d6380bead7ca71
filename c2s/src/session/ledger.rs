//! What each side of a managed stream has of the other's stanzas (XEP-0198 4): two counts, and the letters that the client
//! has not acknowledged. A value of its own, since it outlives the connection.

use router::Letter;
use std::{collections::VecDeque, mem, time::Duration};

/// The books of a managed stream. All counts are modulo 2^32 (XEP-0198 4).
#[derive(Debug)]
pub(crate) struct Ledger {
    terms: Option<Terms>,
    /// Stanzas of the client that were taken from the stream.
    received: u32,
    /// Of these, those up to the first that is not safe yet.
    handled: u32,
    /// What the client was last told of them.
    told: u32,
    /// The client asked when so many were received, and has not been told of all of them since.
    owed: Option<u32>,
    /// Stanzas that the client has acknowledged.
    acknowledged: u32,
    /// Those behind them, in order.
    unacknowledged: VecDeque<Letter>,
    /// Bytes of them.
    bytes: usize,
    /// How many of the last of them are not written down yet, where that is done.
    fresh: usize,
    /// What was put of what the client has still to send again, by number, with its mark: where the server was killed.
    heard: Vec<(u32, u64)>,
    request: Request,
    /// The client acknowledges soon without being asked.
    forthcoming: bool,
}

/// How a stream may be resumed (XEP-0198 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Its SM-ID.
    pub(crate) token: Box<str>,
    /// How long after the connection is lost.
    pub(crate) max: Duration,
}

/// What of the books outlives even the process; the letters come beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Stanzas of the client that were handled.
    pub(crate) handled: u32,
    /// Stanzas that the client has acknowledged.
    pub(crate) acknowledged: u32,
}

/// The client has acknowledged more than it was sent (XEP-0198 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooHigh {
    /// What it said.
    pub(crate) h: u32,
    /// What it was sent.
    pub(crate) sent: u32,
}

/// Our `<r/>`, said or left unsaid.
#[derive(Debug, Default)]
struct Request {
    /// It waits for its answer.
    open: bool,
    /// It was left unsaid, and waits to be needless.
    unsaid: bool,
    /// When it was sent or left unsaid, or answered.
    at: Duration,
    /// How many stanzas were sent before it.
    sent: u32,
    /// The last answer acknowledged something: another one may do so, too.
    fruitful: bool,
}

/// How soon a client has to acknowledge that is not asked to: with the next letter it is asked again.
const SOON: Duration = Duration::from_secs(1);

/// When it is asked where there is no other letter: a timer that seldom has to go off.
const AT_LAST: Duration = Duration::from_secs(10);

/// Letters on their way to a client that is not asked.
const UNASKED: usize = 64;

/// Places that an empty queue keeps.
const IDLE_LETTERS: usize = 4;

impl Ledger {
    /// New books, at the moment that management is enabled.
    pub(crate) fn new(terms: Option<Terms>) -> Self {
        Self::restored(terms, Counts { handled: 0, acknowledged: 0 }, VecDeque::new(), Vec::new())
    }

    /// The books of a stream that has no connection, as they were. `heard`: what was put already of the stanzas that are not
    /// handled, by their numbers, with their marks.
    pub(crate) fn restored(
        terms: Option<Terms>,
        counts: Counts,
        unacknowledged: VecDeque<Letter>,
        mut heard: Vec<(u32, u64)>,
    ) -> Self {
        let Counts { handled, acknowledged } = counts;
        heard.retain(|(number, _)| !at_least(handled, *number));
        Self {
            terms,
            received: handled,
            handled,
            told: handled,
            owed: None,
            acknowledged,
            bytes: unacknowledged.iter().map(|letter| letter.stanza().weight()).sum(),
            unacknowledged,
            fresh: 0,
            heard,
            request: Request::default(),
            forthcoming: false,
        }
    }

    /// How the stream may be resumed, if it may.
    pub(crate) fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// The counts.
    pub(crate) fn counts(&self) -> Counts {
        Counts { handled: self.handled, acknowledged: self.acknowledged }
    }

    /// A stanza of the client was taken from the stream.
    pub(super) fn receive(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    /// How many stanzas were taken from the stream: the number of the last.
    pub(crate) fn received(&self) -> u32 {
        self.received
    }

    /// Whether the stanza that was received last had been put before the server was killed: it is not done twice.
    pub(super) fn was_heard(&mut self, is: impl Fn(u64) -> bool) -> bool {
        if self.heard.is_empty() {
            return false;
        }
        let number = self.received;
        let found = self.heard.iter().any(|(its, mark)| *its == number && is(*mark));
        self.heard.retain(|(its, _)| !at_least(number, *its));
        found
    }

    /// The next so many stanzas are safe, and what they caused for the client itself has been written.
    pub(crate) fn handle(&mut self, count: u32) {
        self.handled = self.handled.wrapping_add(count);
        debug_assert!(
            at_least(self.received, self.handled),
            "nothing is handled before it is received"
        );
    }

    /// The client asks for an acknowledgement; the count to tell it. Where stanzas are still on their way to the store
    /// another one follows: see [`due`](Self::due).
    pub(super) fn answer(&mut self) -> u32 {
        self.owed = (self.handled != self.received).then_some(self.received);
        self.told = self.handled;
        self.told
    }

    /// A count that the client waits for since it asked.
    pub(super) fn due(&mut self) -> Option<u32> {
        let asked = self.owed?;
        if self.told == self.handled {
            return None;
        }
        if at_least(self.handled, asked) {
            self.owed = None;
        }
        self.told = self.handled;
        Some(self.told)
    }

    /// Whether another letter may be sent: what the client does not acknowledge waits in the mailbox, which is bounded. A
    /// single one of any size passes.
    pub(crate) fn has_room(&self, stanzas: usize, bytes: usize) -> bool {
        self.unacknowledged.is_empty()
            || (self.unacknowledged.len() < stanzas && self.bytes < bytes)
    }

    /// A letter is sent.
    pub(crate) fn send(&mut self, letter: Letter) {
        self.bytes += letter.stanza().weight();
        self.unacknowledged.push_back(letter);
        self.fresh += 1;
    }

    /// The letters that are not written down.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = &Letter> {
        let noted = self.unacknowledged.len().saturating_sub(self.fresh);
        self.unacknowledged.iter().skip(noted)
    }

    /// Whether all letters are written down.
    pub(crate) fn is_noted(&self) -> bool {
        self.fresh == 0
    }

    /// All letters are written down.
    pub(crate) fn noted(&mut self) {
        self.fresh = 0;
    }

    /// How many stanzas the client was sent.
    pub(super) fn sent(&self) -> u32 {
        let waiting = u32::try_from(self.unacknowledged.len()).expect("the queue is bounded");
        self.acknowledged.wrapping_add(waiting)
    }

    /// The client has handled so many stanzas; the letters that it has acknowledged by that. A count that was overtaken by
    /// a later one says nothing.
    pub(super) fn acknowledge(
        &mut self,
        h: u32,
        now: Duration,
    ) -> Result<impl Iterator<Item = Letter>, TooHigh> {
        let sent = self.sent();
        if !at_least(sent, h) {
            return Err(TooHigh { h, sent });
        }
        let overtaken = !at_least(h, self.acknowledged);
        let count = if overtaken { 0 } else { h.wrapping_sub(self.acknowledged) };
        self.forthcoming |= count > 0
            && !self.request.open
            && at_least(self.request.sent, self.acknowledged.wrapping_add(1))
            && now <= self.request.at + SOON;
        self.acknowledged = self.acknowledged.wrapping_add(count);
        if count > 0 || !self.request.unsaid {
            let fruitful = count > 0;
            self.request =
                Request { at: now, fruitful, sent: self.request.sent, ..Request::default() };
        }
        let count = usize::try_from(count).expect("no more than are in the queue");
        let taken: Vec<Letter> = self.unacknowledged.drain(..count).collect();
        self.bytes -= taken.iter().map(|letter| letter.stanza().weight()).sum::<usize>();
        if self.unacknowledged.is_empty() {
            self.unacknowledged.shrink_to(IDLE_LETTERS);
        }
        Ok(taken.into_iter())
    }

    /// Whether the client is asked now what it has: once something is sent that it was not asked about yet, one request at a
    /// time, and again as long as answers tell something. An answer that does not is none to ask again for. Who acknowledges
    /// soon without being asked is not.
    pub(super) fn asks(&mut self, now: Duration) -> bool {
        if !self.is_curious() {
            return false;
        }
        let Request { unsaid, at, .. } = self.request;
        let is_late = unsaid && now > at + SOON || self.unacknowledged.len() > UNASKED;
        if is_late || !self.forthcoming {
            self.ask(now);
            return true;
        }
        let at = if unsaid { at } else { now };
        self.request = Request { unsaid: true, at, sent: self.sent(), ..Request::default() };
        false
    }

    fn is_curious(&self) -> bool {
        let Request { open, sent, fruitful, .. } = self.request;
        !open && !self.unacknowledged.is_empty() && (fruitful || sent != self.sent())
    }

    /// The client is asked.
    pub(super) fn ask(&mut self, now: Duration) {
        self.forthcoming = false;
        self.request = Request { open: true, at: now, sent: self.sent(), ..Request::default() };
    }

    /// Since when a request is open.
    pub(super) fn open_since(&self) -> Option<Duration> {
        self.request.open.then_some(self.request.at)
    }

    /// When the client is asked for what it has left unacknowledged: again after so long, sooner where it was not asked.
    pub(super) fn unanswered_at(&self, again: Duration) -> Option<Duration> {
        let waits = !self.request.open && !self.unacknowledged.is_empty() && !self.is_curious();
        waits.then_some(
            self.request.at + if self.request.unsaid { again.min(AT_LAST) } else { again },
        )
    }

    /// All that is not acknowledged, to be sent again (XEP-0198 5).
    pub(crate) fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.unacknowledged.iter()
    }

    /// The stream has another connection: nothing is asked and nothing owed on it.
    pub(super) fn reconnect(&mut self, now: Duration) -> u32 {
        debug_assert_eq!(self.handled, self.received, "all is settled before a stream is resumed");
        self.owed = None;
        self.told = self.handled;
        self.request = Request { at: now, sent: self.acknowledged, ..Request::default() };
        self.forthcoming = false;
        self.told
    }

    /// The letters that the client has not acknowledged.
    pub(crate) fn take_unacknowledged(&mut self) -> VecDeque<Letter> {
        self.bytes = 0;
        mem::take(&mut self.unacknowledged)
    }
}

/// Whether a count has come as far as another one, on the circle of 2^32.
fn at_least(count: u32, other: u32) -> bool {
    count.wrapping_sub(other) < 1 << 31
}
