//! Claiming a full address, and giving it back.

use crate::{
    Letter, Mailbox, Router,
    account::{Account, Seat, Session, State},
    mailbox::{Post, Undelivered},
    presence::Departure,
    route::After,
    row::Row,
};
use futures_util::FutureExt;
use std::sync::Arc;
use xmpp_core::{
    BareJid, Jid, Kind, StreamError,
    error::{StanzaCondition, StreamCondition},
    stanza::IqType,
};

/// A claimed full address. [`release`](Router::release) it when the session ends; a drop without (a panic) does the
/// same, but nobody waits for what is written then.
#[derive(Debug)]
pub struct Claim {
    router: Arc<Router>,
    session: Arc<Session>,
    live: bool,
}

/// Why an address cannot be claimed (RFC 6120 7.6.2, 7.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The resource is not one (`bad-request`).
    #[error("not a resource")]
    BadResource,
    /// Too many sessions of this account (`resource-constraint`).
    #[error("too many sessions")]
    TooMany,
    /// The account does not exist any more (`not-authorized`).
    #[error("no such account")]
    NoAccount,
    /// The store failed (`internal-server-error`).
    #[error("the store failed")]
    Failed,
}

impl Claim {
    /// The full address.
    pub fn jid(&self) -> &Jid {
        &self.session.jid
    }

    /// Its client hears what the server has taken in (XEP-0198): what it sends is safe before it counts as handled, even
    /// where it reaches its recipient at once. `outlives`: it may go on after a kill, knowing what it was sent by its number in the
    /// store: so it is sent only what is there.
    pub fn manage(&self, outlives: bool) {
        self.session.post.manage(outlives);
    }

    pub(crate) fn new(router: &Arc<Router>, session: Session) -> Self {
        Self { router: router.clone(), session: Arc::new(session), live: true }
    }

    /// Nothing is done when it is dropped.
    pub(crate) fn defuse(&mut self) {
        self.live = false;
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Router {
    /// Claims `account/resource` for a session. A session that holds it already is closed with `conflict`
    /// (RFC 6120 7.7.2.2, the newer one wins) and out of the table before this returns. Without a resource the router
    /// makes a random one.
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub async fn claim(
        self: &Arc<Self>,
        account: &BareJid,
        resource: Option<&str>,
    ) -> Result<(Claim, Mailbox), ClaimError> {
        let random;
        let resource = match resource {
            Some(resource) => resource,
            None => {
                random = self.environment.token();
                &random
            }
        };
        let jid = account.with_resource(resource).map_err(|_| ClaimError::BadResource)?;
        let account = self.existing(account).await?;
        let session = Session {
            number: self.next_session(),
            jid,
            post: Post::new(self.settings.mailbox_bytes, self.urgency()),
            account: account.clone(),
        };
        let mut after = After::default();
        {
            let mut state = account.guard();
            if let Some(old) = state.seats.iter().position(|seat| seat.jid == session.jid) {
                // RFC 6120 7.7.2.2
                let conflict = StreamError::new(StreamCondition::Conflict)
                    .with_text("replaced by a new session with the same resource");
                state.seats[old].post.close(conflict);
                self.vacate(&account, &mut state, old, &mut after);
            }
            if state.seats.len() >= self.settings.sessions_per_account {
                return Err(ClaimError::TooMany);
            }
            state.seats.reserve_exact(1); // most accounts have one session
            state.seats.push(Seat::new(&session, self.environment.now()));
            self.counters.came();
        }
        let mailbox = Mailbox::new(session.post.clone());
        let claim = Claim::new(self, session);
        faults::site!("claimed");
        self.finish(after).await;
        Ok((claim, mailbox))
    }

    /// The client has these: by its word (XEP-0198) or, without one, as far as the connection knows.
    pub fn took(self: &Arc<Self>, claim: &Claim, letters: impl IntoIterator<Item = Letter>) {
        let rows = letters.into_iter().filter_map(Letter::take);
        self.settle_rows(&claim.session.account, rows);
    }

    /// Tells the store that a client has these, if it is the first to.
    pub(crate) fn settle_rows(
        self: &Arc<Self>,
        account: &Arc<Account>,
        rows: impl IntoIterator<Item = Arc<Row>>,
    ) {
        let rows: Vec<Arc<Row>> = rows.into_iter().filter(|row| row.take()).collect();
        self.settle_taken(account, rows);
    }

    /// The same for those that a client is known to have. They are on their way until the store has heard of it, so that
    /// nobody gets them once more; where it fails it is told when it is read again.
    pub(crate) fn settle_taken(self: &Arc<Self>, account: &Arc<Account>, rows: Vec<Arc<Row>>) {
        if rows.is_empty() {
            return;
        }
        if let Some((_, taken)) = &self.law.taken {
            faults::site!("before-settling-rows");
            let written = taken(account.jid(), rows.iter().map(|row| row.number()).collect());
            let account = account.clone();
            let written = async move {
                let noted = written.await;
                faults::site!("rows-settled");
                if !noted {
                    account.guard().unsettled.extend(rows);
                }
            };
            self.environment.spawn(written.boxed());
        }
    }

    /// Ends the claim: unavailable presence goes out; letters that the client did not [take](Self::took), and then what is
    /// left in the mailbox, are routed as to an unavailable resource.
    pub async fn release(
        self: &Arc<Self>,
        mut claim: Claim,
        mailbox: Mailbox,
        unproven: Vec<Letter>,
    ) {
        drop(mailbox);
        claim.live = false;
        faults::site!("released");
        let after = self.leave(&claim.session, unproven);
        self.finish(after).await;
    }

    /// The account, read again where it was thought not to exist: somebody has just authenticated as it.
    pub(crate) async fn existing(&self, jid: &BareJid) -> Result<Arc<Account>, ClaimError> {
        let failed = |_| ClaimError::Failed;
        let account = self.account(jid.as_jid()).await.map_err(failed)?;
        if !account.exists() {
            account.guard().doubt();
            self.account(jid.as_jid()).await.map_err(failed)?;
        }
        if account.exists() { Ok(account) } else { Err(ClaimError::NoAccount) }
    }

    /// Takes a session out of the table, if it is still there.
    fn leave(self: &Arc<Self>, session: &Session, unproven: Vec<Letter>) -> After {
        let mut after = After::default();
        let account = &session.account;
        let mut state = account.guard();
        if let Some(place) = state.seats.iter().position(|seat| seat.number == session.number) {
            self.vacate(account, &mut state, place, &mut after);
        }
        let left = unproven.into_iter().chain(session.post.empty());
        self.hand_back(account, &mut state, left, &mut after);
        after
    }

    /// Takes the session at this place out of the table: its account's other sessions hear of it at once, its contacts
    /// once the guard is given back. What nobody got of what it was sent is routed again when its task releases it, which
    /// has some of it in its hands.
    pub(crate) fn vacate(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        place: usize,
        after: &mut After,
    ) {
        let seat = state.seats.remove(place);
        seat.post.shut();
        self.counters.went();
        self.announce(Departure::of(seat, state), account, state, after);
    }

    /// Routes again, in order, what nobody got of what a session was sent that is gone.
    fn hand_back(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        left: impl Iterator<Item = Letter>,
        after: &mut After,
    ) {
        let mut messages = Vec::new();
        let mut orphans = false;
        for letter in left {
            match letter.stanza.kind() {
                Kind::Message(_) => match letter.into_undelivered() {
                    Undelivered::Message(message) => messages.push(message),
                    Undelivered::Row => orphans = true,
                    Undelivered::Nothing => {}
                },
                // RFC 6121 8.5.3.2.3
                Kind::Iq(IqType::Get | IqType::Set) => {
                    after.refuse(letter.stanza, StanzaCondition::ServiceUnavailable);
                }
                Kind::Iq(IqType::Result | IqType::Error) | Kind::Presence(_) => {}
            }
        }
        self.readmit(account, state, messages, after);
        if orphans {
            self.read_orphans(account, state);
        }
        state.in_flight.sweep();
        self.clear_overflowed(account, state, after);
    }

    /// Takes the sessions out of the table whose mailbox has overflowed.
    pub(crate) fn clear_overflowed(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        after: &mut After,
    ) {
        while let Some(place) = state.seats.iter().position(|seat| seat.post.has_overflowed()) {
            tracing::info!(session = %state.seats[place].jid, "mailbox overflowed");
            self.vacate(account, state, place, after);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.live {
            let after = self.router.leave(&self.session, Vec::new());
            drop(self.router.run(after));
        }
    }
}
