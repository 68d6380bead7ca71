//! The way of a stanza: from the session that sent it to the mailboxes where it ends.
//!
//! Everything that happens to an account happens under its guard, synchronously; what concerns others — errors to
//! senders, presence to contacts, receipts to wait for — is collected in an [`After`] and done when the guard is
//! given back. So no two guards are ever held together and none across an await.

use crate::{
    At, Backlog, BoxFuture, Claim, Keeping, Receipt, Request, Router, Session, Settling, Side,
    account::{Account, State},
    blocks::blocked,
    copy::give_copies,
    delivery::{Places, Plan, plan},
    lane::{Leaving, Parcel, Sessions, Way},
    mailbox::{FanOut, Owed},
    presence::Departure,
    wait::{Pending, Wait},
};
use std::{mem, sync::Arc};
use xmpp_core::{
    Jid, Kind, Stanza, StanzaError,
    error::{ErrorAction, StanzaCondition},
    stanza::PresenceType,
};

/// What is left to do once a guard is given back.
#[derive(Default)]
pub(crate) struct After {
    refusals: Vec<(Stanza, StanzaError)>,
    pub(crate) departures: Vec<Departure>,
    waits: Vec<Wait>,
}

impl After {
    /// The stanza's sender gets this error, unless it must not be answered (RFC 6120 8.3.1).
    pub(crate) fn refuse(&mut self, stanza: Stanza, condition: StanzaCondition) {
        self.refuse_with(stanza, StanzaError::new(condition));
    }

    pub(crate) fn refuse_with(&mut self, stanza: Stanza, error: StanzaError) {
        self.refusals.push((stanza, error));
    }

    /// Something is being written that nothing in the account's lane waits for.
    pub(crate) fn aside(
        &mut self,
        router: &Arc<Router>,
        account: &Arc<Account>,
        written: BoxFuture<'static, ()>,
    ) {
        self.waits.push(Wait::new(router, account, 0, Pending::Aside(written)));
    }
}

impl Router {
    /// Routes one stanza of a session to where it belongs. `from` is stamped here. Replies and errors come through the
    /// sender's own mailbox. When the future is done the next stanza may follow (RFC 6120 10.1), and what it gives is to be
    /// waited for beside that. Dropped before, the stanza may or may not have been routed; nobody else is held up.
    pub fn dispatch(
        self: &Arc<Self>,
        claim: &Claim,
        stanza: Stanza,
    ) -> impl Future<Output = Settling> + Send + use<> {
        let (router, session) = (self.clone(), claim.session().clone());
        #[expect(
            clippy::async_yields_async,
            reason = "the next stanza does not wait for what this one has caused"
        )]
        async move {
            let mut after = After::default();
            session.post.ask();
            router.take(&session, stanza, &mut after).await;
            Settling::new(router.run(after))
        }
    }

    async fn take(self: &Arc<Self>, session: &Session, mut stanza: Stanza, after: &mut After) {
        self.counters.sent(&stanza);
        let own = session.account.jid();
        // RFC 6120 8.1.2.1
        stanza.head.from = Some(session.jid.clone());
        if stanza.head.to.is_none() && matches!(stanza.kind(), Kind::Message(_)) {
            // RFC 6120 10.3.1
            stanza.head.to = Some(own.as_jid().clone());
        }
        let to = stanza.head.to.as_ref();
        let is_blocked = |state: &State| to.is_some_and(|to| state.blocks.cover(to));
        let now = self.environment.monotonic();
        let is_blocked = match session.account.known(now, is_blocked) {
            Some(is_blocked) => is_blocked,
            None => {
                if let Err(error) = self.account(own.as_jid()).await {
                    // What is known is good enough to go on with while the store is away.
                    tracing::debug!(account = %own, %error, "not read again");
                }
                is_blocked(&session.account.guard())
            }
        };
        if is_blocked {
            return after.refuse_with(stanza, blocked());
        }
        let Some(stanza) = self.pass(Side::Sender, &session.account, stanza, after) else { return };
        if !self.copy_sent(session, &stanza, after) {
            return after.refuse(stanza, StanzaCondition::ResourceConstraint);
        }
        let Some(to) = stanza.head.to.clone() else {
            match stanza.kind() {
                // RFC 6120 10.3.2
                Kind::Presence(PresenceType::Available) => {
                    Box::pin(self.broadcast(session, stanza, after)).await;
                }
                Kind::Presence(PresenceType::Unavailable) => {
                    self.broadcast_unavailable(session, &stanza, after);
                }
                Kind::Iq(_) => self.answer(session, stanza, At::Own, after).await,
                // RFC 6121 4.3: a probe is never the cause of an error, not even one of nobody.
                Kind::Presence(PresenceType::Probe) => {}
                Kind::Presence(_) | Kind::Message(_) => {
                    after.refuse(stanza, StanzaCondition::BadRequest);
                }
            }
            return;
        };
        if !self.serves(to.domain()) {
            // RFC 6120 10.4.3
            after.refuse(stanza, StanzaCondition::RemoteServerNotFound);
        } else if to.local().is_none() {
            self.serve(session, stanza, after).await;
        } else {
            self.to_account(session, stanza, &to, after).await;
        }
    }

    /// The server's own address (RFC 6120 10.5.1, 10.5.2).
    async fn serve(self: &Arc<Self>, session: &Session, stanza: Stanza, after: &mut After) {
        match stanza.kind() {
            Kind::Iq(_) => self.answer(session, stanza, At::Server, after).await,
            Kind::Message(_) | Kind::Presence(PresenceType::Subscribe) => {
                after.refuse(stanza, StanzaCondition::ServiceUnavailable);
            }
            // The server has no use for anybody's presence.
            Kind::Presence(_) => {}
        }
    }

    async fn to_account(
        self: &Arc<Self>,
        session: &Session,
        stanza: Stanza,
        to: &Jid,
        after: &mut After,
    ) {
        let Ok(account) = self.account(to).await else {
            return after.refuse_with(stanza, store_failed());
        };
        if let Kind::Presence(PresenceType::Available | PresenceType::Unavailable) = stanza.kind() {
            return Box::pin(self.direct(session, &account, stanza, after)).await;
        }
        let Some(stanza) = self.deliver(&account, stanza, after) else { return };
        match stanza.kind() {
            Kind::Iq(_) => {
                let at = if account.jid() == session.account.jid() {
                    At::Own
                } else if account.exists() && account.relation(session.account.jid()).from {
                    At::Contact
                } else {
                    At::Stranger
                };
                self.answer(session, stanza, at, after).await;
            }
            Kind::Presence(PresenceType::Probe) => {
                self.answer_probe(session, &account, &stanza).await;
            }
            Kind::Presence(_) => self.subscription(session, stanza, after).await,
            Kind::Message(_) => {}
        }
    }

    /// RFC 6121 3, by the module that owns the rosters.
    async fn subscription(self: &Arc<Self>, session: &Session, stanza: Stanza, after: &mut After) {
        let Some((_, handler)) = &self.law.subscriptions else {
            return after.refuse(stanza, StanzaCondition::ServiceUnavailable);
        };
        let mut request = Request {
            router: self.clone(),
            session: session.clone(),
            stanza: stanza.clone(),
            at: At::Contact,
        };
        // RFC 6121 3, 3.1.2: subscriptions are between bare addresses, whatever the client wrote.
        let head = &mut request.stanza.head;
        head.from = Some(session.account.jid().as_jid().clone());
        head.to = head.to.take().map(|to| to.to_bare().into());
        if let Err(error) = handler(request).await {
            after.refuse_with(stanza, error);
        }
    }

    /// The phases guard and mark of one side.
    fn pass(
        &self,
        side: Side,
        account: &Arc<Account>,
        mut stanza: Stanza,
        after: &mut After,
    ) -> Option<Stanza> {
        for guard in self.law.guards.at(side) {
            if let Err(error) = guard(&stanza, account) {
                after.refuse_with(stanza, error);
                return None;
            }
        }
        for mark in self.law.marks.at(side) {
            stanza = mark(stanza, account);
        }
        Some(stanza)
    }

    /// Gives a stanza to a local account: it takes its place under the account's guard. Gives it back where the server
    /// answers on the account's behalf.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        account: &Arc<Account>,
        stanza: Stanza,
        after: &mut After,
    ) -> Option<Stanza> {
        let stanza = self.pass(Side::Recipient, account, stanza, after)?;
        self.admit(account, &mut account.guard(), stanza, after)
    }

    /// Plans a stanza, now or, behind a backlog that is being read, when its turn comes.
    fn admit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        after: &mut After,
    ) -> Option<Stanza> {
        let plan = plan(&stanza.head, state);
        if plan == Plan::Answer {
            return Some(stanza);
        }
        if !state.lane.bars(&plan) {
            let place = state.lane.len();
            self.perform(account, state, stanza, plan, place, after);
        } else if self.lane_is_full(state, &stanza) {
            after.refuse(stanza, StanzaCondition::ResourceConstraint);
        } else {
            state.lane.hold(stanza);
        }
        None
    }

    /// Routes again, in order, what was delivered to a session that did not take it: it is older than all in the lane.
    pub(crate) fn readmit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanzas: impl IntoIterator<Item = Stanza>,
        after: &mut After,
    ) {
        let newer = state.lane.len();
        let mut held = 0;
        for stanza in stanzas {
            let plan = plan(&stanza.head, state);
            if !state.lane.bars(&plan) {
                let place = state.lane.len() - newer;
                self.perform(account, state, stanza, plan, place, after);
            } else if self.lane_is_full(state, &stanza) {
                after.refuse(stanza, StanzaCondition::ResourceConstraint);
            } else {
                state.lane.hold_again(stanza, held);
                held += 1;
            }
        }
    }

    pub(crate) fn lane_is_full(&self, state: &State, stanza: &Stanza) -> bool {
        state.lane.weight() + stanza.weight() > self.settings.lane_bytes
    }

    /// Does what was planned. `place`: how many entries of the lane stand before it; with none its turn has come.
    fn perform(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        plan: Plan,
        place: usize,
        after: &mut After,
    ) {
        match plan {
            Plan::Drop | Plan::Answer => {}
            Plan::Refuse(condition) => after.refuse(stanza, condition),
            Plan::Keep => {
                let copied = self.is_copied(state, &stanza);
                if copied && self.lane_is_full(state, &stanza) {
                    return after.refuse(stanza, StanzaCondition::ResourceConstraint);
                }
                let Some(receipt) = self.keep(account, &stanza, false) else {
                    // RFC 6121 8.5.2.2.1
                    return after.refuse(stanza, StanzaCondition::ServiceUnavailable);
                };
                let way = Way::Copies(Side::Recipient);
                let parcel = copied.then(|| Parcel { stanza: stanza.clone(), way });
                let ticket = state.lane.keep(place, parcel);
                after.waits.push(self.wait(account, ticket, receipt, stanza));
            }
            Plan::Deliver(places) => {
                let receipt = match stanza.kind() {
                    Kind::Message(_) => self.keep(account, &stanza, true),
                    Kind::Presence(_) | Kind::Iq(_) => None,
                };
                if receipt.is_none() && place == 0 {
                    return self.hand(account, state, stanza, &places, after);
                }
                if self.lane_is_full(state, &stanza) {
                    return after.refuse(stanza, StanzaCondition::ResourceConstraint);
                }
                let sessions = places.iter().map(|&place| state.seats[place].number).collect();
                let parcel = Parcel { stanza: stanza.clone(), way: Way::To(sessions) };
                match receipt {
                    None => state.lane.follow(place, parcel),
                    Some(receipt) => {
                        let ticket = state.lane.keep(place, Some(parcel));
                        after.waits.push(self.wait(account, ticket, receipt, stanza));
                    }
                }
            }
        }
    }

    /// The phase keep.
    fn keep(&self, account: &Account, message: &Stanza, delivered: bool) -> Option<Receipt> {
        let at = self.environment.now();
        let keeping = Keeping { account: account.jid(), message, delivered, at };
        self.law.keeps.iter().find_map(|keep| keep(&keeping))
    }

    /// Puts a stanza into the mailboxes at these places. No payload is copied.
    fn hand(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        places: &Places,
        after: &mut After,
    ) {
        let Some((&last, others)) = places.split_last() else { return };
        let is_message = matches!(stanza.kind(), Kind::Message(_));
        let copies = is_message
            .then(|| self.copies(Side::Recipient, account, state, &stanza, places))
            .flatten();
        if let (Kind::Presence(PresenceType::Unavailable), Some(from)) =
            (stanza.kind(), &stanza.head.from)
        {
            // RFC 6121 4.6.1: who says goodbye is not told goodbye later.
            for &place in places {
                state.seats[place].directed.retain(|told| told != from);
            }
        }
        let count = places.len() + copies.as_ref().map_or(0, |(places, _)| places.len());
        let owed = if is_message && count > 1 {
            Owed::Shared(FanOut::new(count, &stanza))
        } else {
            Owed::Routing
        };
        let mut fits = true;
        if let Some((places, copy)) = copies {
            fits &= give_copies(state, &places, &copy, &stanza, &owed);
        }
        for &place in others {
            fits &= state.seats[place].post.send(stanza.clone(), owed.clone());
        }
        fits &= state.seats[last].post.send(stanza, owed);
        if !fits {
            self.clear_overflowed(account, state, after);
        }
    }

    /// Lets leave what may leave the lane now.
    pub(crate) fn pump(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        after: &mut After,
    ) {
        while let Some(leaving) = state.lane.leave() {
            match leaving {
                Leaving::Held(stanza) => {
                    let plan = plan(&stanza.head, state);
                    self.perform(account, state, stanza, plan, 0, after);
                }
                Leaving::Parcel(Parcel { stanza, way: Way::Copies(side) }) => {
                    if state.hears(&stanza) {
                        self.hand_copies(side, account, state, &stanza, after);
                    }
                }
                Leaving::Parcel(Parcel { stanza, way: Way::To(sessions) }) => {
                    let there = state.seats.iter().enumerate();
                    let there = there.filter(|(_, seat)| sessions.contains(&seat.number));
                    let places: Places = there.map(|(place, _)| place).collect();
                    if places.is_empty() || !state.hears(&stanza) {
                        let plan = plan(&stanza.head, state);
                        self.perform(account, state, stanza, plan, 0, after);
                    } else {
                        self.hand(account, state, stanza, &places, after);
                    }
                }
                Leaving::Backlog(session, Backlog { mut stanzas, handed }) => {
                    // XEP-0191 3.3: what somebody sent who was blocked since. It vanishes: an error now would show that
                    // the account is there again.
                    stanzas.retain(|kept| state.hears(kept));
                    // Where that session has gone another one gets it that takes the account's messages; where there is
                    // none nothing is forgotten.
                    let fit = state.seats.iter().filter(|seat| seat.is_non_negative());
                    if let Some(seat) = fit.min_by_key(|seat| seat.number != session) {
                        seat.post.answer(stanzas);
                        after.aside(self, account, handed());
                        self.clear_overflowed(account, state, after);
                    }
                }
            }
        }
    }

    /// Tells senders and contacts. What it gives has to be waited for, or is given up when dropped.
    pub(crate) fn run(self: &Arc<Self>, mut after: After) -> Vec<Wait> {
        while !(after.refusals.is_empty() && after.departures.is_empty()) {
            for (stanza, error) in mem::take(&mut after.refusals) {
                if let Some(reply) = stanza.error(&error) {
                    self.tell(reply, &mut after);
                }
            }
            for departure in mem::take(&mut after.departures) {
                self.tell_contacts(departure, &mut after);
            }
        }
        after.waits
    }

    /// Gives an error to the session that caused it, if it is still there.
    fn tell(self: &Arc<Self>, reply: Stanza, after: &mut After) {
        let Some(to) = &reply.head.to else { return };
        let Some(account) = self.table.get(to.bare_str()) else { return };
        let mut state = account.guard();
        let place = state.seats.iter().position(|seat| seat.jid == *to);
        let Some(place) = place else { return };
        let is_message = matches!(reply.kind(), Kind::Message(_));
        if is_message && !state.lane.is_empty() && !self.lane_is_full(&state, &reply) {
            // Those who get copies of both see it behind what it answers.
            let way = Way::To(Sessions::from_elem(state.seats[place].number, 1));
            let end = state.lane.len();
            state.lane.follow(end, Parcel { stanza: reply, way });
        } else {
            let places = Places::from_elem(place, 1);
            self.hand(&account, &mut state, reply, &places, after);
        }
    }

    fn wait(
        self: &Arc<Self>,
        account: &Arc<Account>,
        ticket: u64,
        receipt: Receipt,
        stanza: Stanza,
    ) -> Wait {
        Wait::new(self, account, ticket, Pending::Receipt(receipt, stanza))
    }

    /// Reads what waited for the account, for this session; called when it becomes available.
    pub(crate) fn read_backlog(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        session: u64,
        after: &mut After,
    ) {
        if let Some((_, read)) = &self.law.backlog {
            let ticket = state.lane.read_backlog(session);
            let pending = Pending::Backlog(read(account.jid()));
            after.waits.push(Wait::new(self, account, ticket, pending));
        }
    }
}

/// The store could not be read or written: the sender may try again.
pub(crate) fn store_failed() -> StanzaError {
    StanzaError {
        action: ErrorAction::Wait,
        ..StanzaError::new(StanzaCondition::InternalServerError)
    }
}
