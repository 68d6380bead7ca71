//! Sessions that outlive the process: what is known of one as a value, out of the table and back into it (XEP-0198).

use crate::{
    Backlog, Claim, ClaimError, Letter, Mailbox, Router, Seat, Session,
    account::State,
    mailbox::{Owed, Post},
    presence::priority,
};
use bytes::Bytes;
use std::{any::Any, sync::Arc, time::SystemTime};
use xmpp_core::{Jid, Stanza};

/// A session as a value: all that the table knows of it. What is on its way to it is not part of it.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// Its full address.
    pub jid: Jid,
    /// Since when it was connected.
    pub since: SystemTime,
    /// The last available presence that it broadcast; `None` while it is unavailable.
    pub presence: Option<Stanza>,
    /// Whom it sent available presence directly (RFC 6121 4.6.1).
    pub directed: Vec<Jid>,
    /// What modules remember of it, in their own words, by their names.
    pub remembered: Vec<(String, Bytes)>,
}

/// How a module's memory of a session is put into words and read again.
pub(crate) struct Memory {
    /// Whose it is.
    pub(crate) name: &'static str,
    freeze: Box<FreezeFn>,
    thaw: Box<ThawFn>,
}

type FreezeFn = dyn Fn(&Seat) -> Option<Bytes> + Send + Sync;
type ThawFn = dyn Fn(&mut Seat, &[u8]) + Send + Sync;

impl Memory {
    pub(crate) fn new<T: Any + Send>(
        name: &'static str,
        freeze: impl Fn(&T) -> Bytes + Send + Sync + 'static,
        thaw: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            freeze: Box::new(move |seat| seat.get().map(&freeze)),
            thaw: Box::new(move |seat, words| {
                if let Some(value) = thaw(words) {
                    seat.put(value);
                }
            }),
        }
    }
}

impl Claim {
    /// A letter to this session as it was before the process began; with its number where the store keeps it, which makes it
    /// on its way again.
    pub fn letter(&self, stanza: Stanza, row: Option<i64>) -> Letter {
        debug_assert!(stanza.head.to.is_some(), "it was on its way to somebody");
        let add = |number| self.session().account.guard().in_flight.add_again(number);
        Letter::restored(stanza, row.map(add))
    }

    /// Whether the store has still to hear that a client has this message of the account, or to deliver it.
    pub fn is_on_its_way(&self, number: i64) -> bool {
        self.session().account.guard().in_flight.is_held(number)
    }
}

impl Router {
    /// What a client is known to have had before the process began, which the store may not have heard.
    pub fn took_rows(self: &Arc<Self>, claim: &Claim, numbers: impl IntoIterator<Item = i64>) {
        let account = &claim.session().account;
        let rows: Vec<_> = {
            let mut state = account.guard();
            numbers.into_iter().map(|number| state.in_flight.add_again(number)).collect()
        };
        self.settle_rows(account, rows);
    }

    /// Gives sessions of one account, which were [thawed](Self::thaw) and have their letters, what they were not sent of what waits
    /// for it in the store: each what comes after the number that it was sent last, as far as there is room.
    pub async fn catch_up(&self, sessions: &[(&Claim, i64)]) {
        let Some((_, read)) = &self.law.backlog else { return };
        let Some((claim, _)) = sessions.first() else { return };
        let account = &claim.session().account;
        let mut next = sessions.iter().map(|(_, last)| *last).min();
        let mut behind = sessions.to_vec();
        while let Some(after) = next {
            let Some(Backlog { messages, next: more }) = read(account.jid(), after).await else {
                return;
            };
            let state = &mut *account.guard();
            for (number, stanza) in &messages {
                behind.retain(|(claim, last)| {
                    number <= last || state.gives_late(claim, *number, stanza)
                });
            }
            next = more.filter(|_| !behind.is_empty());
        }
    }

    /// Delivers what waits for an account in the store and is on its way to none of its sessions, to one that takes its messages:
    /// once all are [thawed](Self::thaw), and have their letters.
    pub fn deliver_what_waits(self: &Arc<Self>, claim: &Claim) {
        let account = &claim.session().account;
        self.read_orphans(account, &mut account.guard());
    }

    /// A session as a value; `None` where it is over already: replaced, closed, or full. It stays where it is.
    pub fn freeze(&self, claim: &Claim) -> Option<Frozen> {
        let session = claim.session();
        let mut state = session.account.guard();
        let seat = &*state.seat(session.number)?;
        if seat.post.is_closed() {
            return None;
        }
        let remembered = self
            .law
            .memories
            .iter()
            .filter_map(|memory| Some((memory.name.to_owned(), (memory.freeze)(seat)?)));
        Some(Frozen {
            jid: seat.jid.clone(),
            since: seat.since(),
            presence: seat.presence().cloned(),
            directed: seat.directed.clone(),
            remembered: remembered.collect(),
        })
    }

    /// Gives a claim back that goes on in another process: nobody hears of it. Together with
    /// [`freeze`](Self::freeze), once nobody delivers any more.
    pub fn abandon(&self, mut claim: Claim, mailbox: Mailbox) {
        drop(mailbox);
        claim.defuse();
        let session = claim.session();
        let mut state = session.account.guard();
        let before = state.seats.len();
        state.seats.retain(|seat| seat.number != session.number);
        if state.seats.len() < before {
            self.counters.went();
        }
    }

    /// Takes a session up again that was frozen: for everybody else it has always been there. Before anybody can log in.
    ///
    /// # Errors
    /// [`ClaimError::NoAccount`]; [`ClaimError::Failed`]: the account could not be read; [`ClaimError::BadResource`]: it
    /// is no address of a session, or there is one.
    pub async fn thaw(self: &Arc<Self>, frozen: Frozen) -> Result<(Claim, Mailbox), ClaimError> {
        let Frozen { jid, since, presence, mut directed, remembered } = frozen;
        if jid.is_bare() || !self.serves(jid.domain()) {
            return Err(ClaimError::BadResource);
        }
        let account = self.existing(&jid.to_bare()).await?;
        let session = Session {
            number: self.next_session(),
            jid,
            post: Post::new(self.settings.mailbox_bytes, self.urgency()),
            account: account.clone(),
        };
        let mut seat = Seat::new(&session, since);
        seat.presence = presence.and_then(|presence| {
            let priority = priority(&presence).ok()?;
            Some((presence, priority))
        });
        directed.truncate(self.settings.directed_presence);
        seat.directed = directed;
        for (name, words) in remembered {
            if let Some(memory) = self.law.memories.iter().find(|memory| memory.name == name) {
                (memory.thaw)(&mut seat, &words);
            }
        }
        let mut state = account.guard();
        if state.seats.iter().any(|other| other.jid == seat.jid) {
            return Err(ClaimError::BadResource);
        }
        state.seats.push(seat);
        self.counters.came();
        drop(state);
        let mailbox = Mailbox::new(session.post.clone());
        Ok((Claim::new(self, session), mailbox))
    }
}

impl State {
    /// Gives a session a message of the store that it was not sent, where it is for it. False: it has no room.
    fn gives_late(&mut self, claim: &Claim, number: i64, message: &Stanza) -> bool {
        let (to, from) = (message.head.to.as_ref(), message.head.from.as_ref());
        let own = claim.jid();
        // RFC 6121 8.5.3.1: where it is for another session that is there, it is for nobody else.
        let is_another_s =
            to.is_some_and(|to| to != own && self.seats.iter().any(|seat| seat.jid == *to));
        let is_blocked = from.is_some_and(|from| self.blocks.cover(from));
        let Some(seat) = self.seats.iter().find(|seat| seat.number == claim.session().number)
        else {
            return false;
        };
        if is_another_s || is_blocked || !(seat.is_non_negative() || to == Some(own)) {
            return true;
        }
        if !seat.post.has_room_for_old() {
            return false;
        }
        let row = self.in_flight.add_again(number);
        seat.post.send_old(message.clone(), Owed::Row(row));
        true
    }
}
