//! Presence (RFC 6121 4): initial, updated, unavailable, directed, probed.

use crate::{
    Claim, Leaving, Router, Session,
    account::{Account, Seat, State},
    blocks::{Blocks, blocked},
    mailbox::Post,
    route::After,
};
use bytes::Bytes;
use std::{mem, slice, sync::Arc};
use xmpp_core::{
    BareJid, Jid, Kind, Stanza, StanzaError, error::StanzaCondition, ns, stanza::PresenceType,
};

/// A session that became unavailable, and who has to hear of it.
pub(crate) struct Departure {
    presence: Stanza,
    was_available: bool,
    blocks: Blocks,
    contacts: Vec<BareJid>,
    directed: Vec<Jid>,
}

impl Router {
    /// A session broadcasts available presence (RFC 6121 4.2.2, 4.4.2).
    pub(crate) async fn broadcast(
        self: &Arc<Self>,
        session: &Session,
        stanza: Stanza,
        after: &mut After,
    ) {
        let priority = match priority(&stanza) {
            Ok(priority) => priority,
            Err(error) => return after.refuse_with(stanza, error),
        };
        // It is kept as long as the session is available.
        let presence = stanza.detached();
        let account = &session.account;
        let bare = account.jid();
        // Whom to tell is looked up first and told then: no subscription may end in between (RFC 6121 3.2.2).
        let mut turn = account.turn().await;
        turn.unchanged();
        let (initial, blocks, subscribers, publishers) = {
            let mut state = account.guard();
            let first = !state.seats.iter().any(Seat::is_non_negative);
            let Some(seat) = state.seat(session.number) else { return };
            let initial = seat.presence.replace((presence.clone(), priority)).is_none();
            if initial {
                // RFC 6121 4.2.2: an account is subscribed to its own presence.
                let others = state.seats.iter().filter(|seat| seat.number != session.number);
                let others = others.filter_map(|seat| seat.presence_to(bare.as_jid()));
                session.post.answer(others);
            }
            let echo = presence.clone().to(bare.as_jid().clone());
            for seat in state.seats.iter().filter(|seat| seat.is_available()) {
                seat.send(echo.clone());
            }
            if first && priority >= 0 {
                self.read_backlog(account, &mut state, session.number);
            }
            let subscribers = state.subscribers();
            let publishers = if initial { state.publishers() } else { Vec::new() };
            self.clear_overflowed(account, &mut state, after);
            (initial, state.blocks.clone(), subscribers, publishers)
        };
        for contact in &subscribers {
            self.send_presence(&blocks, &presence, contact.as_jid(), after);
        }
        if !is_seated(session) {
            // It ended meanwhile, and some may have heard of that first.
            let end = bare_presence(PresenceType::Unavailable, session.jid.clone());
            for contact in &subscribers {
                self.send_presence(&blocks, &end, contact.as_jid(), after);
            }
        }
        let viewer = Viewer { jid: session.jid.clone(), post: session.post.clone() };
        for contact in &publishers {
            self.look(bare, &blocks, contact.as_jid(), slice::from_ref(&viewer));
        }
        if initial {
            for arrival in &self.law.arrivals {
                arrival(self.clone(), session.clone()).await;
            }
        }
        drop(turn);
    }

    /// A session broadcasts unavailable presence and stays connected (RFC 6121 4.5.2).
    pub(crate) fn broadcast_unavailable(
        self: &Arc<Self>,
        session: &Session,
        stanza: &Stanza,
        after: &mut After,
    ) {
        let account = &session.account;
        let mut state = account.guard();
        let Some(seat) = state.seat(session.number) else { return };
        let was_available = seat.presence.take().is_some();
        let directed = mem::take(&mut seat.directed);
        if was_available {
            session.answer(stanza.clone().to(account.jid().as_jid().clone()));
        }
        let departure = Departure::new(stanza.clone(), was_available, directed, &state);
        self.announce(departure, account, &state, after);
        self.clear_overflowed(account, &mut state, after);
        // What is being handed over to it waits, or goes to another.
        self.pump(account, &mut state, after);
    }

    /// A session sends presence to somebody (RFC 6121 4.6).
    pub(crate) async fn direct(
        self: &Arc<Self>,
        session: &Session,
        account: &Arc<Account>,
        stanza: Stanza,
        after: &mut After,
    ) {
        let Some(to) = stanza.head.to.clone() else { return };
        // So that a newer session with the same address does not speak in between.
        let mut turn = session.account.turn().await;
        turn.unchanged();
        if !is_seated(session) {
            return;
        }
        if let Err(error) = self.note_directed(session, stanza.kind(), &to) {
            return after.refuse_with(stanza, error);
        }
        let answered_by_server = self.deliver(account, stanza, after);
        debug_assert!(answered_by_server.is_none(), "availability is only delivered");
        if !is_seated(session) {
            // It ended meanwhile, and the other may have heard of that first.
            let end = bare_presence(PresenceType::Unavailable, session.jid.clone());
            self.send_presence(&Blocks::default(), &end, &to, after);
        }
    }

    /// Whoever is no subscriber has to be told when the session ends (RFC 6121 4.6.3).
    fn note_directed(&self, session: &Session, kind: Kind, to: &Jid) -> Result<(), StanzaError> {
        let mut state = session.account.guard();
        if state.blocks.cover(to) {
            return Err(blocked());
        }
        let subscriber = to.bare_str() == session.account.jid().as_str()
            || state.contacts.get(to.bare_str()).is_some_and(|relation| relation.from);
        let Some(seat) = state.seat(session.number) else { return Ok(()) };
        let told_anyway = subscriber && seat.is_available();
        if kind == Kind::Presence(PresenceType::Unavailable) {
            seat.directed.retain(|told| told != to);
        } else if !told_anyway && !seat.directed.contains(to) {
            if seat.directed.len() >= self.settings.directed_presence {
                return Err(StanzaError::new(StanzaCondition::ResourceConstraint)
                    .with_text("directed presence to too many"));
            }
            seat.directed.push(to.clone());
        }
        Ok(())
    }

    /// Sends a contact the current presence of all of an account's available sessions (RFC 6121 3.1.5).
    pub async fn share_presence(self: &Arc<Self>, account: &Arc<Account>, contact: &Jid) {
        let mut after = After::default();
        let (blocks, numbers, presences) = {
            let state = account.guard();
            let presence = |seat: &Seat| Some((seat.number, seat.presence_to(contact)?));
            let (numbers, presences): (Vec<u64>, Vec<Stanza>) =
                state.seats.iter().filter_map(presence).unzip();
            (state.blocks.clone(), numbers, presences)
        };
        for presence in &presences {
            self.send_presence(&blocks, presence, contact, &mut after);
        }
        // What ended meanwhile the contact may have heard of first.
        let ended: Vec<_> = {
            let mut state = account.guard();
            let shown = numbers.into_iter().zip(presences);
            let ended = shown
                .filter(|(number, _)| !state.seat(*number).is_some_and(|seat| seat.is_available()));
            ended.filter_map(|(_, presence)| presence.head.from.clone()).collect()
        };
        for from in ended {
            let end = bare_presence(PresenceType::Unavailable, from);
            self.send_presence(&blocks, &end, contact, &mut after);
        }
        self.finish(after).await;
    }

    /// Sends a contact unavailable presence from all of an account's sessions that it may think available (RFC 6121 3.2.2,
    /// 3.3.3), whether it was a subscriber or was told directly (4.6.1).
    pub async fn withdraw_presence(self: &Arc<Self>, account: &Arc<Account>, contact: &Jid) {
        let mut after = After::default();
        let (blocks, presences) = {
            let mut state = account.guard();
            let seats = state.seats.iter_mut();
            let seen = seats.filter_map(|seat| {
                let told = seat.directed.len();
                seat.directed.retain(|told| told.bare_str() != contact.bare_str());
                let seen = seat.is_available() || seat.directed.len() < told;
                seen.then(|| bare_presence(PresenceType::Unavailable, seat.jid.clone()))
            });
            let presences: Vec<Stanza> = seen.collect();
            (state.blocks.clone(), presences)
        };
        for presence in &presences {
            self.send_presence(&blocks, presence, contact, &mut after);
        }
        self.finish(after).await;
    }

    /// Where it was available: tells the account's other sessions now, or the modules where none of them is available.
    /// Tells everybody else later.
    pub(crate) fn announce(
        self: &Arc<Self>,
        departure: Departure,
        account: &Arc<Account>,
        state: &State,
        after: &mut After,
    ) {
        if departure.was_available {
            let presence = &departure.presence;
            let echo = presence.clone().to(account.jid().as_jid().clone());
            let mut others = false;
            for seat in state.seats.iter().filter(|seat| seat.is_available()) {
                seat.send(echo.clone());
                others = true;
            }
            if !others {
                let at = self.environment.now();
                let leaving = Leaving { account: account.jid(), presence, at };
                for note in &self.law.departures {
                    after.aside(self, note(&leaving));
                }
            }
        }
        after.departures.push(departure);
    }

    /// Tells who has to hear that a session became unavailable.
    pub(crate) fn tell_contacts(self: &Arc<Self>, departure: Departure, after: &mut After) {
        let Departure { presence, blocks, contacts, directed, .. } = departure;
        let contacts = contacts.iter().map(BareJid::as_jid);
        for entity in contacts.chain(&directed) {
            self.send_presence(&blocks, &presence, entity, after);
        }
    }

    /// Shows a session whose server was killed who of its contacts is there now: some went without a word. Where they were shown
    /// before, of each it is taken back first, by the bare address since nobody knows which sessions there were (RFC 6121
    /// 4.3.2 rule 3).
    pub fn show_contacts(&self, claim: &Claim) {
        let session = claim.session();
        let bare = session.account.jid();
        let (blocks, publishers) = {
            let mut state = session.account.guard();
            if !state.seat(session.number).is_some_and(|seat| seat.is_available()) {
                return;
            }
            (state.blocks.clone(), state.publishers())
        };
        let viewer = Viewer { jid: session.jid.clone(), post: session.post.clone() };
        for contact in publishers.iter().map(BareJid::as_jid).filter(|jid| !blocks.cover(jid)) {
            let gone = bare_presence(PresenceType::Unavailable, contact.clone());
            session.post.answer([gone.to(bare.as_jid().clone())]);
            self.look(bare, &blocks, contact, slice::from_ref(&viewer));
        }
    }

    /// Sends presence on behalf of an account with this block list. To an account that is not in memory it has nobody to go
    /// to (RFC 6121 8.5.2.2.2).
    pub(crate) fn send_presence(
        self: &Arc<Self>,
        blocks: &Blocks,
        presence: &Stanza,
        to: &Jid,
        after: &mut After,
    ) {
        if blocks.cover(to) {
            return;
        }
        let Some(account) = self.table.get(to.bare_str()) else { return };
        if to.is_bare() && blocks.cover_in_part(to.as_str()) {
            // XEP-0191 6: to all of its resources but those that are blocked.
            let seats: Vec<_> = account.guard().seats.iter().map(|seat| seat.jid.clone()).collect();
            for jid in seats.iter().filter(|jid| !blocks.cover(jid)) {
                self.deliver_presence(&account, presence, jid, after);
            }
        } else {
            self.deliver_presence(&account, presence, to, after);
        }
    }

    fn deliver_presence(
        self: &Arc<Self>,
        account: &Arc<Account>,
        presence: &Stanza,
        to: &Jid,
        after: &mut After,
    ) {
        let answered_by_server = self.deliver(account, presence.clone().to(to.clone()), after);
        debug_assert!(answered_by_server.is_none(), "availability is only delivered");
    }

    /// Shows sessions of an account with this block list who of a contact is there, or of its resource, as a probe would: a
    /// contact here is only looked at (RFC 6121 4.3.1).
    pub(crate) fn look(&self, own: &BareJid, blocks: &Blocks, contact: &Jid, viewers: &[Viewer]) {
        let Some(account) = self.present(contact.bare_str()) else { return };
        // Under its guard, so that no session is shown after its end was told.
        let state = account.guard();
        let seats = state.seats.iter().filter(|seat| !blocks.cover(&seat.jid));
        let seats = seats.filter(|seat| contact.is_bare() || seat.jid == *contact);
        let presences: Vec<_> = seats.filter_map(|seat| seat.presence_to(own.as_jid())).collect();
        for viewer in viewers.iter().filter(|viewer| !state.blocks.cover(&viewer.jid)) {
            viewer.post.answer(presences.iter().cloned());
        }
    }
}

/// A session that looks at others.
pub(crate) struct Viewer {
    pub(crate) jid: Jid,
    post: Arc<Post>,
}

impl Departure {
    /// Of a session that has left the table, with the presence that it could not send itself (RFC 6121 4.5.2).
    pub(crate) fn of(seat: Seat, state: &State) -> Self {
        let presence = bare_presence(PresenceType::Unavailable, seat.jid);
        Self::new(presence, seat.presence.is_some(), seat.directed, state)
    }

    fn new(presence: Stanza, was_available: bool, mut directed: Vec<Jid>, state: &State) -> Self {
        let contacts = if was_available { state.subscribers() } else { Vec::new() };
        if was_available {
            let subscriber = |jid: &Jid| state.contacts.get(jid.bare_str()).is_some_and(|r| r.from);
            directed.retain(|told| !subscriber(told));
        }
        Self { presence, was_available, blocks: state.blocks.clone(), contacts, directed }
    }
}

impl State {
    /// The available sessions.
    pub(crate) fn viewers(&self) -> Vec<Viewer> {
        let available = self.seats.iter().filter(|seat| seat.is_available());
        available.map(|seat| Viewer { jid: seat.jid.clone(), post: seat.post.clone() }).collect()
    }

    /// The contacts whose presence the account gets (RFC 6121 4.3.1).
    fn publishers(&self) -> Vec<BareJid> {
        let contacts = self.contacts.iter();
        contacts.filter(|(_, relation)| relation.to).map(|(jid, _)| jid.clone()).collect()
    }
}

impl Seat {
    /// Its last presence, to this address.
    pub(crate) fn presence_to(&self, to: &Jid) -> Option<Stanza> {
        self.presence.as_ref().map(|(presence, _)| presence.clone().to(to.clone()))
    }
}

/// Whether a session is still in the table.
fn is_seated(session: &Session) -> bool {
    session.account.guard().seat(session.number).is_some()
}

/// A presence that says nothing more.
pub(crate) fn bare_presence(kind: PresenceType, from: Jid) -> Stanza {
    Stanza::new(Kind::Presence(kind), Bytes::new()).from(from)
}

/// The priority in a presence, 0 where there is none (RFC 6121 4.7.2.3: one at most, and nothing but a number in it).
pub(crate) fn priority(presence: &Stanza) -> Result<i8, StanzaError> {
    let mut found =
        presence.children().filter(|child| (child.ns, child.name) == (ns::CLIENT, "priority"));
    let Some(child) = found.next() else { return Ok(0) };
    let node = presence.node(&child).ok().filter(|node| node.children.is_empty());
    let number = node.and_then(|node| node.text.trim_matches(XML_SPACE).parse().ok());
    number.filter(|_| found.next().is_none()).ok_or_else(|| {
        StanzaError::new(StanzaCondition::BadRequest)
            .with_text("the priority is not one number from -128 to 127")
    })
}

/// White space (XML 1.0 2.3).
const XML_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
