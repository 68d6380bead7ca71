//! Presence probes by clients (RFC 6121 4.3.2, 4.6.6).

use crate::{Account, Router, Session, account::State, presence::bare_presence};
use bytes::Bytes;
use std::sync::Arc;
use xmpp_core::{Jid, Kind, Stanza, stanza::PresenceType};

impl Router {
    /// Answers a client that asks for somebody's presence.
    ///
    /// Who is not authorised hears nothing: the `unsubscribed` that 4.3.2 has the server send would be ignored by the
    /// asker's own server (3.2.3), which is this one.
    pub(crate) async fn answer_probe(
        &self,
        session: &Session,
        account: &Arc<Account>,
        probe: &Stanza,
    ) {
        let Some(to) = &probe.head.to else { return };
        let asker = &session.jid;
        let away = {
            let state = account.guard();
            to.is_bare() && is_subscriber(account, &state, asker) && !state.is_available()
        };
        // Read first and told then: whoever came back meanwhile is there.
        let since = match &self.law.absence {
            Some((_, absence)) if away => absence(account.jid()).await,
            _ => None,
        };
        let blocks = session.account.guard().blocks.clone();
        // Told under its guard: what it says later comes later.
        let state = account.guard();
        let subscriber = is_subscriber(account, &state, asker);
        let mut answers: Vec<Stanza> = Vec::new();
        if to.is_bare() {
            if subscriber {
                let seats = state.seats.iter().filter(|seat| !blocks.cover(&seat.jid));
                answers.extend(seats.filter_map(|seat| seat.presence_to(asker)));
            }
        } else if let Some(seat) = state.seats.iter().find(|seat| seat.jid == *to)
            && ((subscriber && seat.is_available()) || seat.has_told(asker))
        {
            // RFC 6121 4.3.2, 4.6.6: only that it is there.
            answers.push(bare_presence(PresenceType::Available, to.clone()).to(asker.clone()));
        }
        if answers.is_empty() && subscriber && state.exists {
            // RFC 6121 4.3.2 rule 3
            let since = since.filter(|_| !state.is_available()).unwrap_or_else(Bytes::new);
            let answer = Stanza::new(Kind::Presence(PresenceType::Unavailable), since);
            let mut answer = answer.from(to.clone()).to(asker.clone());
            // RFC 6121 4.3.2.1
            answer.head.id.clone_from(&probe.head.id);
            answers.push(answer);
        }
        session.post.answer(answers);
    }
}

/// Whether it may see the account's presence; everybody may see one's own (RFC 6121 4.2.2).
fn is_subscriber(account: &Account, state: &State, asker: &Jid) -> bool {
    let asker = asker.bare_str();
    account.jid().as_str() == asker || state.contacts.get(asker).is_some_and(|r| r.from)
}
