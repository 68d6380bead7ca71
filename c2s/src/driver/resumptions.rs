//! Who may resume what (XEP-0198 5): every resumable stream by its SM-ID, connected or not.
//!
//! An entry is taken by one asker at most; whoever holds the session hands it over or, where it is over, lets go of it. So
//! at the instant of its time-out a session is either resumed or not found, and never both.

use super::parked::Parked;
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::sync::oneshot;
use xmpp_core::BareJid;

/// Sessions that are over whose count is still told to a client that comes back too late (XEP-0198 5).
const REMEMBERED: usize = 4_096;

/// Where a session is to go.
pub(super) type Heir = oneshot::Sender<Parked>;

/// What others want of a session.
pub(super) enum Wish {
    /// It goes on there.
    Resume(Heir),
    /// It has waited long enough: others need its place. Dropped once it is over.
    End(oneshot::Sender<()>),
}

/// All resumable sessions.
pub(super) struct Resumptions {
    shared: Mutex<Shared>,
    per_account: usize,
    in_all: usize,
}

/// A resumable session's place among them. Dropped, it is not found any more.
pub(super) struct Ticket {
    resumptions: Arc<Resumptions>,
    token: Box<str>,
    /// That of the entry: the same SM-ID may be another entry's by now.
    number: u64,
    wish: oneshot::Receiver<Wish>,
}

#[derive(Default)]
struct Shared {
    sessions: HashMap<Box<str>, Entry>,
    /// Those without a connection, the oldest first.
    parked: BTreeMap<u64, Box<str>>,
    /// The same by account; none is empty.
    of_account: HashMap<BareJid, VecDeque<u64>>,
    last: u64,
    /// Those that are over, with their count, and the order in which they are forgotten.
    ended: HashMap<Box<str>, (BareJid, u32)>,
    forgotten_next: VecDeque<Box<str>>,
}

struct Entry {
    number: u64,
    account: BareJid,
    wish: oneshot::Sender<Wish>,
    /// Its number among those without a connection.
    parked: Option<u64>,
}

impl Resumptions {
    /// With room for so many sessions without a connection.
    pub(super) fn new(per_account: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self { shared: Mutex::default(), per_account, in_all })
    }

    /// A session is to be found.
    pub(super) fn enter(self: &Arc<Self>, token: &str, account: &BareJid) -> Ticket {
        let (sender, wish) = oneshot::channel();
        let mut shared = self.lock();
        shared.last += 1;
        let number = shared.last;
        let entry = Entry { number, account: account.clone(), wish: sender, parked: None };
        shared.sessions.insert(token.into(), entry);
        Ticket { resumptions: Arc::clone(self), token: token.into(), number, wish }
    }

    /// Asks for a session. An error: there is none for this account, with its count where it is remembered. To others than
    /// its owner a session does not exist (threat S02).
    pub(super) fn resume(
        &self,
        token: &str,
        account: &BareJid,
    ) -> Result<oneshot::Receiver<Parked>, Option<u32>> {
        let mut shared = self.lock();
        if shared.sessions.get(token).is_none_or(|entry| entry.account != *account) {
            let ended = shared.ended.get(token);
            return Err(ended.filter(|(owner, _)| owner == account).map(|(_, count)| *count));
        }
        let (heir, session) = oneshot::channel();
        // Where nobody is there any more to hand it over the other end is dropped with the wish.
        shared.take(token, Wish::Resume(heir));
        Ok(session)
    }

    /// Ends the session of an account that has waited longest for its client. Done once it is over; `None`: there is none.
    pub(super) fn end_oldest(&self, account: &BareJid) -> Option<oneshot::Receiver<()>> {
        let mut shared = self.lock();
        let oldest = *shared.of_account.get(account)?.front()?;
        shared.end(oldest)
    }

    /// A session has timed out, and so many of its stanzas were handled.
    pub(super) fn remember(&self, token: &str, account: &BareJid, count: u32) {
        let mut shared = self.lock();
        if shared.ended.insert(token.into(), (account.clone(), count)).is_none() {
            shared.forgotten_next.push_back(token.into());
        }
        if shared.forgotten_next.len() > REMEMBERED
            && let Some(forgotten) = shared.forgotten_next.pop_front()
        {
            shared.ended.remove(&forgotten);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// What somebody else wants of the session: it comes once. Not to be asked again after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wish> {
        // The other end is not dropped without a wish, as long as the ticket is there.
        self.wish.poll_unpin(cx).map(|wish| wish.expect("an entry leaves with a wish"))
    }

    /// The session has no connection any more. Where that is one too many the oldest ends.
    pub(super) fn park(&self) {
        let Resumptions { per_account, in_all, .. } = *self.resumptions;
        let mut shared = self.resumptions.lock();
        shared.last += 1;
        let number = shared.last;
        let entry = shared.sessions.get_mut(&self.token);
        let Some(entry) = entry.filter(|entry| entry.number == self.number) else { return };
        entry.parked = Some(number);
        let account = entry.account.clone();
        shared.parked.insert(number, self.token.clone());
        let of_account = shared.of_account.entry(account).or_default();
        of_account.push_back(number);
        let too_many = of_account.len() > per_account;
        if let Some(oldest) = of_account.front().copied().filter(|_| too_many) {
            shared.end(oldest);
        }
        if shared.parked.len() > in_all
            && let Some((&oldest, _)) = shared.parked.first_key_value()
        {
            shared.end(oldest);
        }
    }

    /// Takes it out, so that nobody finds it any more. An error: somebody has asked for it first.
    pub(super) fn leave(mut self) -> Result<(), Wish> {
        self.withdraw();
        // Whoever asked first did so under the same lock.
        self.wish.try_recv().map_or(Ok(()), Err)
    }

    fn withdraw(&self) {
        let mut shared = self.resumptions.lock();
        if shared.sessions.get(&self.token).is_some_and(|entry| entry.number == self.number) {
            shared.remove(&self.token);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Shared {
    fn remove(&mut self, token: &str) -> Option<Entry> {
        let entry = self.sessions.remove(token)?;
        if let Some(number) = entry.parked {
            self.parked.remove(&number);
            if let Some(numbers) = self.of_account.get_mut(&entry.account) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.of_account.remove(&entry.account);
                }
            }
        }
        Some(entry)
    }

    /// Takes an entry out with this as its last wish.
    fn take(&mut self, token: &str, wish: Wish) {
        if let Some(entry) = self.remove(token) {
            // A session that is gone takes no wish: who asked learns of that by what is dropped with it.
            drop(entry.wish.send(wish));
        }
    }

    fn end(&mut self, number: u64) -> Option<oneshot::Receiver<()>> {
        let token = self.parked.get(&number)?.clone();
        let (over, done) = oneshot::channel();
        self.take(&token, Wish::End(over));
        Some(done)
    }
}
