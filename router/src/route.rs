//! The way of a stanza: from the session that sent it to the mailboxes where it ends.
//!
//! Everything that happens to an account happens under its guard, synchronously; what concerns others — errors to
//! senders, presence to contacts, receipts to wait for — is collected in an [`After`] and done when the guard is
//! given back. Only a message between two accounts here takes both guards, in the order of the addresses (`admit.rs`);
//! none is ever held across an await.

use crate::{
    At, BoxFuture, Claim, Request, Router, Session, Settling, Side, Source,
    account::{Account, State},
    blocks::blocked,
    delivery::Places,
    lane::{Parcel, Way},
    mailbox::Owed,
    presence::Departure,
    settling::{Wait, Written},
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
    settling: Settling,
}

impl After {
    /// The senders of these get these errors.
    pub(crate) fn refusing(refusals: Vec<(Stanza, StanzaError)>) -> Self {
        Self { refusals, ..Self::default() }
    }

    /// The stanza's sender gets this error, unless it must not be answered (RFC 6120 8.3.1).
    pub(crate) fn refuse(&mut self, stanza: Stanza, condition: StanzaCondition) {
        self.refuse_with(stanza, StanzaError::new(condition));
    }

    pub(crate) fn refuse_with(&mut self, stanza: Stanza, error: StanzaError) {
        self.refusals.push((stanza, error));
    }

    /// A message is being written.
    pub(crate) fn written(&mut self, router: &Arc<Router>, written: Written) {
        self.settling.push(router, Wait::Written(Box::new(written)));
    }

    /// Something is being written that nothing in a lane waits for.
    pub(crate) fn aside(&mut self, router: &Arc<Router>, written: BoxFuture<'static, ()>) {
        self.settling.push(router, Wait::Aside(written));
    }
}

impl Router {
    /// Routes one stanza of a session to where it belongs. `from` is stamped here. Replies come through the sender's own mailbox,
    /// and so do errors: those of messages once they are told. When the future is done the next stanza may follow (RFC 6120
    /// 10.1), and what it gives is to be waited for beside that. `source`: where its stream goes on after a kill. Dropped before,
    /// the stanza may or may not have been routed; nobody else is held up.
    pub fn dispatch(
        self: &Arc<Self>,
        claim: &Claim,
        stanza: Stanza,
        source: Option<Source>,
    ) -> impl Future<Output = Settling> + Send + use<> {
        let (router, session) = (self.clone(), claim.session().clone());
        #[expect(
            clippy::async_yields_async,
            reason = "the next stanza does not wait for what this one has caused"
        )]
        async move {
            let mut after = After::default();
            session.post.ask();
            faults::site!("before-routing");
            router.take(&session, stanza, source, &mut after).await;
            faults::site!("routed");
            let is_message =
                |(stanza, _): &mut (Stanza, _)| matches!(stanza.kind(), Kind::Message(_));
            let refused = after.refusals.extract_if(.., is_message).collect();
            let mut settling = router.run(after);
            settling.refuse(&router, refused);
            settling
        }
    }

    async fn take(
        self: &Arc<Self>,
        session: &Session,
        mut stanza: Stanza,
        source: Option<Source>,
        after: &mut After,
    ) {
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
        let now = || self.environment.monotonic();
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
        let is_here = to.domain() == own.domain() || self.serves(to.domain());
        if is_here && to.local().is_some() {
            return self.to_account(session, stanza, source, &to, after).await;
        }
        if !self.copy_sent(session, &stanza, after) {
            after.refuse(stanza, StanzaCondition::ResourceConstraint);
        } else if is_here {
            self.serve(session, stanza, after).await;
        } else {
            // RFC 6120 10.4.3
            after.refuse(stanza, StanzaCondition::RemoteServerNotFound);
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
        source: Option<Source>,
        to: &Jid,
        after: &mut After,
    ) {
        let Ok(account) = self.account(to).await else {
            return after.refuse_with(stanza, store_failed());
        };
        match stanza.kind() {
            Kind::Message(_) => {
                return self.deliver_message(session, &account, stanza, source, after);
            }
            Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => {
                return Box::pin(self.direct(session, &account, stanza, after)).await;
            }
            Kind::Presence(_) | Kind::Iq(_) => {}
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
            Kind::Message(_) => debug_assert!(false, "messages are not answered"),
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
    pub(crate) fn pass(
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

    /// Tells senders and contacts. What it gives has to be waited for.
    pub(crate) fn run(self: &Arc<Self>, mut after: After) -> Settling {
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
        after.settling
    }

    /// Gives an error to the session that caused it, if it is still there, whatever is on its way to it: what it answers is
    /// handled with that.
    fn tell(self: &Arc<Self>, reply: Stanza, after: &mut After) {
        let Some(to) = &reply.head.to else { return };
        let Some(account) = self.table.get(to.bare_str()) else { return };
        let mut state = account.guard();
        let place = state.seats.iter().position(|seat| seat.jid == *to);
        let Some(place) = place else { return };
        let is_message = matches!(reply.kind(), Kind::Message(_));
        let places = Places::from_elem(place, 1);
        if state.lane.is_empty() || !is_message {
            return self.hand(&account, &mut state, reply, &places, None, after);
        }
        // Those who get copies of both see it behind what it answers.
        if self.is_copied(&state, &reply) && !self.lane_is_full(&state, &reply) {
            let way = Way::Copies(Side::Recipient);
            let end = state.lane.len();
            state.lane.follow(end, Parcel { stanza: reply.clone(), way, row: None });
        }
        if !state.give(reply, &places, &Owed::Nothing) {
            self.clear_overflowed(&account, &mut state, after);
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
