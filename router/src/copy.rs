//! The phase copy: what one session of an account says or hears, its others may hear too (XEP-0280).
//!
//! A copy leaves in the message's own place in the account's lane and under the same guard, so that all sessions of an
//! account see one order of messages, whether they get them live or in copy. It is made once, whoever gets it, and only
//! where somebody wants it.

use crate::{
    Router, Session, Side,
    account::{Account, Seat, State},
    delivery::Places,
    lane::{Parcel, Way},
    mailbox::Owed,
    route::After,
};
use std::sync::Arc;
use xmpp_core::{BareJid, Kind, Stanza};

/// A message that further sessions of an account may get a copy of, under the account's guard.
#[derive(Debug)]
pub struct Copying<'a> {
    /// Whether a session of the account sent it, or it came for the account.
    pub side: Side,
    /// The account.
    pub account: &'a BareJid,
    /// The message as it is delivered.
    pub message: &'a Stanza,
    /// The session at the account's end of it, while it is connected: the one that sent it, or the one that it is
    /// addressed to.
    pub seat: Option<&'a mut Seat>,
}

/// Who wants copies, and of what.
pub(crate) struct Copies {
    pub(crate) wants: Box<WantsFn>,
    pub(crate) copy: Box<CopyFn>,
}

pub(crate) type WantsFn = dyn Fn(&Seat) -> bool + Send + Sync;
pub(crate) type CopyFn = dyn Fn(Copying<'_>) -> Option<Stanza> + Send + Sync;

impl Router {
    /// Copies of what a session sends to somebody who has no account here: they take their place before it goes on its way, so
    /// that no answer stands before them. False: there is no room for them, so nothing is sent.
    pub(crate) fn copy_sent(
        self: &Arc<Self>,
        session: &Session,
        message: &Stanza,
        after: &mut After,
    ) -> bool {
        let account = &session.account;
        if self.law.copies.is_none() || !matches!(message.kind(), Kind::Message(_)) {
            return true;
        }
        let mut state = account.guard();
        if !self.is_copied(&state, message) {
            return true;
        }
        if self.lane_is_full(&state, message) {
            return false;
        }
        self.give_sent(account, &mut state, message.clone(), after);
        true
    }

    /// The same under the guard, where somebody wants one and there is room.
    pub(crate) fn give_sent(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        message: Stanza,
        after: &mut After,
    ) {
        if state.lane.is_empty() {
            self.hand_copies(Side::Sender, account, state, &message, after);
        } else {
            let place = state.lane.len();
            let way = Way::Copies(Side::Sender);
            state.lane.follow(place, Parcel { stanza: message, way, row: None });
        }
    }

    /// Whether some session, other than the one that sent it, wants copies of messages.
    pub(crate) fn is_copied(&self, state: &State, message: &Stanza) -> bool {
        !self.who_wants_copies(state, message, &[]).is_empty()
    }

    /// Gives copies to all who want one of a message that no session gets itself, or only the one at the account's end of
    /// it: it was sent, is kept, or is an error.
    pub(crate) fn hand_copies(
        self: &Arc<Self>,
        side: Side,
        account: &Arc<Account>,
        state: &mut State,
        message: &Stanza,
        after: &mut After,
    ) {
        let to = message.head.to.as_ref();
        let seats = state.seats.iter().enumerate();
        let own = seats.filter(|(_, seat)| side == Side::Recipient && Some(&seat.jid) == to);
        let own: Places = own.map(|(place, _)| place).collect();
        if let Some((places, copy)) = self.copies(side, account, state, message, &own)
            && !give_copies(state, &places, &copy, message, &Owed::Nothing)
        {
            self.clear_overflowed(account, state, after);
        }
    }

    /// The copy of a message, and the places that get it: not those that get the message itself.
    pub(crate) fn copies(
        &self,
        side: Side,
        account: &Account,
        state: &mut State,
        message: &Stanza,
        served: &[usize],
    ) -> Option<(Places, Stanza)> {
        let places = self.who_wants_copies(state, message, served);
        if places.is_empty() {
            return None;
        }
        let (_, law) = self.law.copies.as_ref()?;
        let end = match side {
            Side::Sender => &message.head.from,
            Side::Recipient => &message.head.to,
        };
        let seat = state.seats.iter_mut().find(|seat| Some(&seat.jid) == end.as_ref());
        let copy = (law.copy)(Copying { side, account: account.jid(), message, seat })?;
        Some((places, copy))
    }

    fn who_wants_copies(&self, state: &State, message: &Stanza, served: &[usize]) -> Places {
        let Some((_, law)) = &self.law.copies else { return Places::new() };
        let seats = state.seats.iter().enumerate();
        let others = seats.filter(|(place, seat)| {
            !served.contains(place) && message.head.from.as_ref() != Some(&seat.jid)
        });
        others.filter(|(_, seat)| (law.wants)(seat)).map(|(place, _)| place).collect()
    }
}

/// Puts a copy into the mailboxes at these places. Whether it fits.
pub(crate) fn give_copies(
    state: &State,
    places: &Places,
    copy: &Stanza,
    message: &Stanza,
    owed: &Owed,
) -> bool {
    places.iter().fold(true, |fits, &place| {
        let seat = &state.seats[place];
        seat.post.send_copy(copy.clone().to(seat.jid.clone()), message, owed.clone()) && fits
    })
}
