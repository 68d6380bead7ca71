//! An account in memory: what is known of it, who of it is connected, and what is on its way to it.

use crate::{
    Relation,
    blocks::Blocks,
    delivery::{Recipient, Resource},
    directory::{Facets, LoadError, Record},
    lane::Lane,
    lock,
    mailbox::{Owed, Post},
    row::{InFlight, Row},
};
use futures_util::{
    future::{BoxFuture, Shared},
    lock::{Mutex as TurnLock, OwnedMutexGuard},
};
use smallvec::SmallVec;
use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use xmpp_core::{BareJid, Jid, Stanza, StreamError};

/// An account in memory, or the knowledge that there is no such account.
pub struct Account {
    jid: BareJid,
    state: Mutex<State>,
    /// Held by whoever changes the roster, so that views and pushes follow in the order of the changes.
    turn: Arc<TurnLock<()>>,
    /// Asked for since the table last looked for something to forget.
    pub(crate) recent: AtomicBool,
}

/// What stands under the account's guard. The guard is a plain lock that is never held across an await. Two are held
/// together only for a message between two accounts, and then that of the lower address is taken first.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) knowledge: Knowledge,
    pub(crate) exists: bool,
    pub(crate) version: u64,
    pub(crate) contacts: HashMap<BareJid, Relation>,
    pub(crate) blocks: Blocks,
    pub(crate) facets: Facets,
    pub(crate) seats: Vec<Seat>,
    pub(crate) lane: Lane,
    /// What is on its way of what the store keeps.
    pub(crate) in_flight: InFlight,
    /// What clients have and the store could not be told of: on its way until it is.
    pub(crate) unsettled: Vec<Arc<Row>>,
    /// Counts the reads, so that one that was overtaken by a change is not believed.
    reads: u64,
}

/// How far the state is known.
#[derive(Default)]
pub(crate) enum Knowledge {
    /// To be read.
    #[default]
    None,
    /// Being read, once for all who wait; the number of the read.
    Loading(Load, u64),
    /// Known, where there is no such account only until then (monotonic).
    Until(Option<Duration>),
}

pub(crate) type Load = Shared<BoxFuture<'static, Result<Option<Arc<Record>>, LoadError>>>;

/// A connected session of an account, under the account's guard.
pub struct Seat {
    pub(crate) number: u64,
    pub(crate) jid: Jid,
    pub(crate) post: Arc<Post>,
    /// When it connected.
    since: SystemTime,
    /// The last available presence that it broadcast, with its priority.
    pub(crate) presence: Option<(Stanza, i8)>,
    /// Whom it sent available presence directly (RFC 6121 4.6.1); capped.
    pub(crate) directed: Vec<Jid>,
    slots: SmallVec<[Box<dyn Any + Send>; 1]>,
}

/// A session as modules hold it beyond the guard.
#[derive(Clone)]
pub struct Session {
    pub(crate) number: u64,
    pub(crate) jid: Jid,
    pub(crate) account: Arc<Account>,
    pub(crate) post: Arc<Post>,
}

/// The account's guard in the hands of a module: see [`Router::enter`](crate::Router::enter).
pub struct View<'a> {
    pub(crate) state: &'a mut State,
}

/// The right to change an account's roster, one holder at a time: take it before the store is asked, and
/// [`update`](crate::Router::update) or say [`unchanged`](Turn::unchanged) once it answered. Dropped without
/// either (the store failed, or the session ended in between) the account is read again before its next use.
pub struct Turn {
    pub(crate) account: Arc<Account>,
    _held: OwnedMutexGuard<()>,
    known: bool,
}

impl Account {
    pub(crate) fn new(jid: BareJid) -> Self {
        Self { jid, state: Mutex::default(), turn: Arc::default(), recent: AtomicBool::new(true) }
    }

    /// Its address.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Whether there is such an account.
    pub fn exists(&self) -> bool {
        self.guard().exists
    }

    /// What is agreed with a contact.
    pub fn relation(&self, contact: &BareJid) -> Relation {
        self.guard().contacts.get(contact).copied().unwrap_or_default()
    }

    /// Whether it has blocked this address (XEP-0191).
    pub fn blocks(&self, other: &Jid) -> bool {
        self.guard().blocks.cover(other)
    }

    pub(crate) fn guard(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits for the right to change the roster.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        let held = self.turn.clone().lock_owned().await;
        Turn { account: self.clone(), _held: held, known: false }
    }

    /// Whether the state is known now.
    pub(crate) fn is_known(&self, now: impl FnOnce() -> Duration) -> bool {
        self.known(now, |_| ()).is_some()
    }

    /// Looks at the state if it is known now: for most, for ever, and nobody asks what time it is.
    pub(crate) fn known<T>(
        &self,
        now: impl FnOnce() -> Duration,
        look: impl FnOnce(&State) -> T,
    ) -> Option<T> {
        self.recent.store(true, Ordering::Relaxed);
        let state = self.guard();
        let known = match state.knowledge {
            Knowledge::Until(None) => true,
            Knowledge::Until(Some(until)) => now() < until,
            Knowledge::None | Knowledge::Loading(..) => false,
        };
        known.then(|| look(&state))
    }

    /// Whether nothing is lost by forgetting it; its only other owner is the table.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.guard();
        state.seats.is_empty() && state.lane.is_empty() && state.unsettled.is_empty()
    }
}

impl State {
    /// The read that is under way, or a new one.
    pub(crate) fn load(&mut self, start: impl FnOnce() -> Load) -> (Load, u64) {
        if let Knowledge::Loading(load, number) = &self.knowledge {
            return (load.clone(), *number);
        }
        self.reads += 1;
        let load = start();
        self.knowledge = Knowledge::Loading(load.clone(), self.reads);
        (load, self.reads)
    }

    /// What a read gave; it counts unless a newer one was asked for.
    pub(crate) fn learn(
        &mut self,
        owner: &BareJid,
        number: u64,
        result: &Result<Option<Arc<Record>>, LoadError>,
        absent_until: Duration,
    ) {
        if !matches!(self.knowledge, Knowledge::Loading(_, current) if current == number) {
            return;
        }
        match result {
            Err(_) => self.knowledge = Knowledge::None,
            Ok(None) => {
                self.exists = false;
                self.version = 0;
                // Sessions that are still there have their contacts to tell when they end.
                if self.seats.is_empty() {
                    self.contacts.clear();
                    self.blocks = Blocks::default();
                    self.facets = Facets::default();
                }
                self.knowledge = Knowledge::Until(Some(absent_until));
            }
            Ok(Some(record)) => {
                self.exists = true;
                self.knowledge = Knowledge::Until(None);
                self.blocks = Blocks::new(owner, record.blocked.iter().cloned().collect());
                self.facets = record.facets.clone();
                if record.version >= self.version {
                    self.version = record.version;
                    self.contacts.clone_from(&record.contacts);
                }
            }
        }
    }

    /// What is known may be outdated: it is read again before its next use.
    pub(crate) fn doubt(&mut self) {
        self.knowledge = Knowledge::None;
    }

    /// A change was taken over that a read under way may not have seen: it is not believed.
    pub(crate) fn overtake_reads(&mut self) {
        if matches!(self.knowledge, Knowledge::Loading(..)) {
            self.doubt();
        }
    }

    pub(crate) fn seat(&mut self, number: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.number == number)
    }

    /// Whether any of its sessions is available.
    pub(crate) fn is_available(&self) -> bool {
        self.seats.iter().any(Seat::is_available)
    }

    /// The contacts that get the account's presence (RFC 6121 4.2.2).
    pub(crate) fn subscribers(&self) -> Vec<BareJid> {
        let contacts = self.contacts.iter();
        contacts.filter(|(_, relation)| relation.from).map(|(jid, _)| jid.clone()).collect()
    }
}

impl Recipient for State {
    type Resource = Seat;

    fn exists(&self) -> bool {
        self.exists
    }

    fn resources(&self) -> &[Seat] {
        &self.seats
    }

    fn blocks(&self, sender: &Jid) -> bool {
        self.blocks.cover(sender)
    }

    fn shows(&self, place: usize, to: &Jid) -> bool {
        let seat = &self.seats[place];
        // RFC 6121 4.2.2: an account is subscribed to its own presence.
        seat.jid.bare_str() == to.bare_str()
            || self.contacts.get(to.bare_str()).is_some_and(|relation| relation.from)
            || seat.has_told(to)
    }
}

impl Resource for Seat {
    fn resource(&self) -> &str {
        self.jid.resource().expect("a claimed address has a resource")
    }

    fn priority(&self) -> Option<i8> {
        self.presence.as_ref().map(|(_, priority)| *priority)
    }
}

impl Seat {
    pub(crate) fn new(session: &Session, since: SystemTime) -> Self {
        Self {
            number: session.number,
            since,
            jid: session.jid.clone(),
            post: session.post.clone(),
            presence: None,
            directed: Vec::new(),
            slots: SmallVec::new(),
        }
    }

    /// Its full address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// Since when it is connected.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The last available presence that it broadcast; `None` while it is unavailable.
    pub fn presence(&self) -> Option<&Stanza> {
        self.presence.as_ref().map(|(presence, _)| presence)
    }

    /// Whether it is this session's.
    pub fn is_of(&self, session: &Session) -> bool {
        self.number == session.number
    }

    /// Whether it sent available presence (RFC 6121 2.2).
    pub fn is_available(&self) -> bool {
        self.presence.is_some()
    }

    /// Whether it takes messages for the account (RFC 6121 8.5.2.1.1).
    pub(crate) fn is_non_negative(&self) -> bool {
        self.presence.as_ref().is_some_and(|(_, priority)| *priority >= 0)
    }

    /// Whether it sent this entity presence directly (RFC 6121 4.6).
    pub(crate) fn has_told(&self, entity: &Jid) -> bool {
        self.directed.iter().any(|told| told == entity || told.as_str() == entity.bare_str())
    }

    /// What a module remembers of the session.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.slots.iter().find_map(|slot| (**slot).downcast_ref())
    }

    /// The same, to be changed.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.slots.iter_mut().find_map(|slot| (**slot).downcast_mut())
    }

    /// Remembers this of the session, instead of what was remembered of the same type.
    pub fn put<T: Any + Send>(&mut self, value: T) {
        match self.get_mut() {
            Some(slot) => *slot = value,
            None => self.slots.push(Box::new(value)),
        }
    }

    /// Sends it a stanza that somebody else caused.
    pub fn send(&self, stanza: Stanza) {
        // Where it does not fit, the guard's holder closes the session before the guard is given back.
        let _fits = self.post.send(stanza, Owed::Routing);
    }

    /// Sends it what it asked for.
    pub fn answer(&self, stanza: Stanza) {
        self.post.answer([stanza]);
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seat({})", self.jid)
    }
}

impl Session {
    /// Its full address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Sends it what it asked for.
    pub fn answer(&self, stanza: Stanza) {
        self.post.answer([stanza]);
    }

    /// Sends it what it asked for, some of which the store still keeps for the account under these numbers: once the client
    /// has it, it has no need to come by itself. Until then it does not; where the client does not get it, it does.
    pub fn answer_rows(&self, stanzas: impl IntoIterator<Item = (Stanza, Option<i64>)>) {
        let mut state = self.account.guard();
        let letters = stanzas.into_iter().map(|(stanza, number)| {
            let row = number.map(|number| state.in_flight.add_again(number));
            (stanza, row.map_or(Owed::Nothing, Owed::Row))
        });
        self.post.answer_owing(letters);
    }

    /// Ends it with this error once it got what waits for it: the answer to what it asked for comes first.
    pub fn close(&self, error: &StreamError) {
        self.post.close_last(error.clone());
    }
}

impl View<'_> {
    /// The roster's version that the view stands at.
    pub fn version(&self) -> u64 {
        self.state.version
    }

    /// What a module has to know of the account.
    pub fn facet<T: Any>(&self) -> Option<&T> {
        self.state.facets.get()
    }

    /// Takes over a change that the store has made to what a module has to know of the account. A read that is under way,
    /// which may not have seen it, is not believed.
    pub fn put_facet<T: Any + Send + Sync>(&mut self, value: T) {
        self.state.facets.put(value);
        self.state.overtake_reads();
    }

    /// The connected sessions.
    pub fn seats(&mut self) -> &mut [Seat] {
        &mut self.state.seats
    }

    /// The seat of a session, while it is connected.
    pub fn seat(&mut self, session: &Session) -> Option<&mut Seat> {
        self.state.seat(session.number)
    }
}

impl Turn {
    /// The account whose roster it is.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The store answered and this roster is as it was.
    pub fn unchanged(&mut self) {
        self.known = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.known {
            self.account.guard().doubt();
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.jid)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.jid)
    }
}
