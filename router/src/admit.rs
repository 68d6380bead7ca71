//! How a stanza gets to a local account: what the law says becomes of it, and its place among all that is on its way there.
//!
//! A message between two accounts takes its place at both ends at once, under both guards: so the order in which the store
//! keeps messages, in which they are delivered, and in which others see them in copy is one, for both accounts.

use crate::{
    Keeping, Kept, Party, Router, Session, Side, Source,
    account::{Account, State},
    copy::give_copies,
    delivery::{Places, Plan, plan},
    lane::{Parcel, Way},
    mailbox::{FanOut, Owed},
    route::After,
    row::Row,
    settling::{Tickets, Written},
};
use bytes::Bytes;
use std::sync::Arc;
use xmpp_core::{Kind, Stanza, error::StanzaCondition, stanza::PresenceType};

impl Router {
    /// Gives a presence or an iq to a local account: it takes its place under the account's guard. Gives it back where the
    /// server answers on the account's behalf.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        account: &Arc<Account>,
        stanza: Stanza,
        after: &mut After,
    ) -> Option<Stanza> {
        let stanza = self.pass(Side::Recipient, account, stanza, after)?;
        let mut state = account.guard();
        let plan = plan(&stanza.head, &*state);
        if plan == Plan::Answer {
            return Some(stanza);
        }
        let place = state.lane.len();
        self.perform(account, &mut state, stanza, plan, place, after);
        None
    }

    /// Gives a message of a session to a local account. It takes its place at both ends at once.
    pub(crate) fn deliver_message(
        self: &Arc<Self>,
        session: &Session,
        account: &Arc<Account>,
        message: Stanza,
        source: Option<Source>,
        after: &mut After,
    ) {
        let Some(message) = self.pass(Side::Recipient, account, message, after) else { return };
        let own = &session.account;
        // In the order of the addresses, so that no two wait for each other.
        let order = own.jid().cmp(account.jid());
        let mut sender = order.is_lt().then(|| own.guard());
        let mut recipient = account.guard();
        if order.is_gt() {
            sender = Some(own.guard());
        }
        self.admit(session, sender.as_deref_mut(), account, &mut recipient, message, source, after);
    }

    /// Plans a message, under both guards; without a sender's it is one to the account itself.
    #[expect(
        clippy::too_many_arguments,
        reason = "a message, where it comes from and where it goes"
    )]
    fn admit(
        self: &Arc<Self>,
        session: &Session,
        mut sender: Option<&mut State>,
        account: &Arc<Account>,
        state: &mut State,
        message: Stanza,
        source: Option<Source>,
        after: &mut After,
    ) {
        let own = &session.account;
        let plan = plan(&message.head, state);
        let copied = sender.as_ref().is_some_and(|sender| self.is_copied(sender, &message));
        let is_kept = matches!(plan, Plan::Deliver(_) | Plan::Keep);
        // Before anything is written: what has no room is not kept either.
        if (copied && sender.as_ref().is_some_and(|sender| self.lane_is_full(sender, &message)))
            || (is_kept && self.lane_is_full(state, &message))
        {
            return after.refuse(message, StanzaCondition::ResourceConstraint);
        }
        faults::site!("before-admission");
        let kept = if is_kept && !self.law.keeps.is_empty() {
            let from = message.head.from.as_ref();
            self.keep(&Keeping {
                sender: sender.as_deref().map(|s| Party::new(own, s, message.head.to.as_ref())),
                recipient: Party::new(account, state, from),
                message: &message,
                delivered: plan != Plan::Keep,
                promised: session.post.is_managed() || !state.lane.is_empty(),
                outlives: state.seats.iter().any(|seat| seat.post.outlives()),
                source,
                environment: &*self.environment,
            })
        } else {
            None
        };
        if let Some(Kept { again: true, receipt, .. }) = kept {
            return after.written(self, Written { receipt, message, tickets: Tickets::new() });
        }
        let fenced = kept.as_ref().is_some_and(|kept| kept.fenced || plan == Plan::Keep)
            && !faults::planted!("deliver_before_commit");
        let mut tickets = Tickets::new();
        if let Some(sender) = sender.as_mut()
            // By the time that it is kept, somebody may want a copy who does not yet.
            && (copied || fenced && !self.lane_is_full(sender, &message))
        {
            let id = kept.as_ref().and_then(|kept| kept.sender_id.as_ref());
            let sent = with_id(message.clone(), id);
            if fenced {
                let way = Way::Copies(Side::Sender);
                let place = sender.lane.len();
                let ticket = sender.lane.keep(place, Parcel { stanza: sent, way, row: None });
                tickets.push((own.clone(), ticket));
            } else {
                self.give_sent(own, sender, sent, after);
            }
        }
        let Some(Kept { receipt, row, recipient_id, .. }) = kept else {
            let place = state.lane.len();
            return self.perform_unkept(account, state, message, plan, place, after);
        };
        let stanza = with_id(message.clone(), recipient_id.as_ref());
        match plan {
            Plan::Deliver(places) => {
                let row = row.map(|number| state.in_flight.add(number));
                let place = state.lane.len();
                if fenced {
                    let way = state.way(&places);
                    let ticket = state.lane.keep(place, Parcel { stanza, way, row });
                    tickets.push((account.clone(), ticket));
                } else {
                    self.hand_or_follow(account, state, stanza, &places, row, place, after);
                }
            }
            Plan::Keep => {
                let place = state.lane.len();
                tickets.extend(self.keep_copies(account, state, stanza, place));
            }
            Plan::Drop | Plan::Answer | Plan::Refuse(_) => {}
        }
        faults::site!("after-admission");
        after.written(self, Written { receipt, message, tickets });
    }

    /// Routes again, in order, messages that were delivered to a session which did not take them: they are older than all in
    /// the lane.
    pub(crate) fn readmit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        messages: impl IntoIterator<Item = Stanza>,
        after: &mut After,
    ) {
        let newer = state.lane.len();
        for message in messages {
            let plan = plan(&message.head, state);
            let place = state.lane.len() - newer;
            self.perform(account, state, message, plan, place, after);
        }
    }

    /// Does what was planned with a stanza that the sender's end is done with. `place`: how many entries of the lane stand
    /// before it; with none its turn has come.
    fn perform(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        plan: Plan,
        place: usize,
        after: &mut After,
    ) {
        if plan != Plan::Keep {
            return self.perform_unkept(account, state, stanza, plan, place, after);
        }
        let kept = self.keep(&Keeping {
            sender: None,
            recipient: Party::new(account, state, stanza.head.from.as_ref()),
            message: &stanza,
            delivered: false,
            promised: false,
            outlives: false,
            source: None,
            environment: &*self.environment,
        });
        let Some(Kept { receipt, again, .. }) = kept else {
            return self.perform_unkept(account, state, stanza, plan, place, after);
        };
        let tickets =
            if again { None } else { self.keep_copies(account, state, stanza.clone(), place) };
        after.written(
            self,
            Written { receipt, message: stanza, tickets: tickets.into_iter().collect() },
        );
    }

    /// Does what was planned with what nothing keeps.
    fn perform_unkept(
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
            // RFC 6121 8.5.2.2.1
            Plan::Keep => after.refuse(stanza, StanzaCondition::ServiceUnavailable),
            Plan::Deliver(places) => {
                if place > 0 && self.lane_is_full(state, &stanza) {
                    return after.refuse(stanza, StanzaCondition::ResourceConstraint);
                }
                self.hand_or_follow(account, state, stanza, &places, None, place, after);
            }
        }
    }

    /// The phase keep.
    fn keep(&self, keeping: &Keeping<'_>) -> Option<Kept> {
        self.law.keeps.iter().find_map(|keep| keep(keeping))
    }

    /// Those who want copies see what is kept for the account once it is.
    fn keep_copies(
        &self,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        place: usize,
    ) -> Option<(Arc<Account>, u64)> {
        if !self.is_copied(state, &stanza) {
            return None;
        }
        let way = Way::Copies(Side::Recipient);
        let ticket = state.lane.keep(place, Parcel { stanza, way, row: None });
        Some((account.clone(), ticket))
    }

    /// What waits for nothing but its turn.
    #[expect(
        clippy::too_many_arguments,
        reason = "a stanza, where it goes and how it stands there"
    )]
    fn hand_or_follow(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        places: &Places,
        row: Option<Arc<Row>>,
        place: usize,
        after: &mut After,
    ) {
        if place == 0 {
            self.hand(account, state, stanza, places, row, after);
        } else {
            let way = state.way(places);
            state.lane.follow(place, Parcel { stanza, way, row });
        }
    }

    pub(crate) fn lane_is_full(&self, state: &State, stanza: &Stanza) -> bool {
        // A single stanza of any size passes: its size is limited where it enters.
        let weight = state.lane.weight();
        weight > 0 && weight + stanza.weight() > self.settings.lane_bytes
    }

    /// Puts a stanza into the mailboxes at these places, and copies of a message into those that want one.
    pub(crate) fn hand(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        stanza: Stanza,
        places: &Places,
        row: Option<Arc<Row>>,
        after: &mut After,
    ) {
        faults::site!("before-mailbox");
        if faults::planted!("settle_unproven") {
            self.settle_rows(account, row.clone());
        }
        let is_message = matches!(stanza.kind(), Kind::Message(_));
        let copies = is_message
            .then(|| self.copies(Side::Recipient, account, state, &stanza, places))
            .flatten();
        let count = places.len() + copies.as_ref().map_or(0, |(places, _)| places.len());
        let owed = match row {
            Some(row) => Owed::Row(row),
            None if is_message && count > 1 => Owed::Shared(FanOut::new(count, &stanza)),
            None => Owed::Routing,
        };
        let mut fits = true;
        if let Some((places, copy)) = copies {
            fits &= give_copies(state, &places, &copy, &stanza, &owed);
        }
        fits &= state.give(stanza, places, &owed);
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
        loop {
            let Some(Parcel { stanza, way, row }) = state.lane.leave() else {
                if self.hand_backlog(account, state) {
                    continue;
                }
                return;
            };
            let hears = state.hears(&stanza);
            let sessions = match way {
                Way::To(sessions) => sessions,
                Way::Copies(side) if hears => {
                    self.hand_copies(side, account, state, &stanza, after);
                    continue;
                }
                Way::Copies(_) => continue,
            };
            let there = state.seats.iter().enumerate();
            let there = there.filter(|(_, seat)| sessions.contains(&seat.number));
            let places: Places = there.map(|(place, _)| place).collect();
            match row {
                // XEP-0191 3.3: it was taken in before its sender was blocked, so it does not come back either.
                Some(row) if !hears => self.settle_rows(account, [row]),
                Some(row) if places.is_empty() => {
                    if row.is_orphaned() {
                        self.read_orphans(account, state);
                    }
                }
                None if places.is_empty() || !hears => {
                    let plan = plan(&stanza.head, state);
                    self.perform(account, state, stanza, plan, 0, after);
                }
                row => self.hand(account, state, stanza, &places, row, after),
            }
        }
    }
}

impl State {
    /// The sessions at these places, whatever places they have later.
    fn way(&self, places: &Places) -> Way {
        Way::To(places.iter().map(|&place| self.seats[place].number).collect())
    }

    /// Puts a stanza into the mailboxes at these places. No payload is copied. Whether it fits.
    pub(crate) fn give(&mut self, stanza: Stanza, places: &Places, owed: &Owed) -> bool {
        let Some((&last, others)) = places.split_last() else { return true };
        if let (Kind::Presence(PresenceType::Unavailable), Some(from)) =
            (stanza.kind(), &stanza.head.from)
        {
            // RFC 6121 4.6.1: who says goodbye is not told goodbye later.
            for &place in places {
                self.seats[place].directed.retain(|told| told != from);
            }
        }
        let mut fits = true;
        for &place in others {
            fits &= self.seats[place].post.send(stanza.clone(), owed.clone());
        }
        self.seats[last].post.send(stanza, owed.clone()) && fits
    }
}

/// With the id that the account's archive gave it (XEP-0359 3).
fn with_id(message: Stanza, id: Option<&Bytes>) -> Stanza {
    match id {
        Some(id) => message.with_child(id),
        None => message,
    }
}
