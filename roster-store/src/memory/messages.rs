//! Messages in memory.

use super::{Memory, State};
use crate::{
    BoxFuture, Kept, MessageId, Messages, NewMessage, Put, Result, Taken, Unkept,
    law::{self, AccountId, MessageRows},
    messages::Noted,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::PoisonError,
};
use xmpp_core::{BareJid, Jid};

/// The messages of one account.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: BTreeMap<i64, Message>,
    /// Those that are pending.
    pub(super) pending: BTreeSet<i64>,
    /// How many are pending and not archived, and their bytes.
    waiting: (usize, usize),
}

/// A message, and its other end.
pub(super) struct Message {
    pub(super) kept: Kept,
    pub(super) with: Jid,
}

impl Inbox {
    fn settle(&mut self, number: i64) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        if !self.pending.remove(&number) {
            return;
        }
        message.kept.pending = false;
        if !message.kept.archived {
            self.waiting.0 -= 1;
            self.waiting.1 -= message.kept.stanza.len();
            self.messages.remove(&number);
        }
    }
}

impl MessageRows for State {
    fn waiting(&self, owner: AccountId) -> Result<(usize, usize)> {
        Ok(self.of(owner).inbox.waiting)
    }
    fn put_message(&mut self, owner: AccountId, id: MessageId, message: &NewMessage) -> Result<()> {
        let inbox = &mut self.of_mut(owner).inbox;
        let NewMessage { with, at, stanza, archived, pending, .. } = message.clone();
        if pending {
            inbox.pending.insert(id.number());
            if !archived {
                inbox.waiting.0 += 1;
                inbox.waiting.1 += stanza.len();
            }
        }
        let kept = Kept { id, at, stanza, archived, pending };
        inbox.messages.insert(id.number(), Message { kept, with });
        Ok(())
    }
}

impl Messages for Memory {
    fn put(&self, put: Put) -> (Taken, BoxFuture<Result<(), Unkept>>) {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, origins) = &mut *intake;
        let noted = put.noted(origins);
        if let Some((_, Noted::Again(_))) = noted {
            return (Taken::Again, Box::pin(ready(Ok(()))));
        }
        let number = |message: NewMessage| (numbers.next(&message.owner).0, message);
        let numbered: Vec<_> = put.messages.into_iter().map(number).collect();
        let ids = numbered.iter().map(|(id, _)| *id).collect();
        let result = self.now(|state| {
            law::put_messages(state, &self.caps, &numbered)?;
            if let Some(source) = put.source {
                state.note_heard(source);
            }
            Ok(())
        });
        if let (Err(_), Some((origin, Noted::New(place)))) = (&result, noted) {
            origins.forget(origin, place);
        }
        (Taken::New(ids), Box::pin(ready(result.map_err(Unkept::from))))
    }
    fn pending(
        &self,
        owner: &BareJid,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<Result<(Vec<Kept>, bool)>> {
        self.run(|state| {
            let inbox = &state.find(owner)?.inbox;
            let after = inbox.pending.range(after.saturating_add(1)..);
            let (mut messages, mut weight) = (Vec::new(), 0);
            for message in after.filter_map(|n| inbox.messages.get(n)).take(limit) {
                weight += message.kept.stanza.len();
                if weight > bytes && !messages.is_empty() {
                    return Ok((messages, true));
                }
                messages.push(message.kept.clone());
            }
            let is_full = messages.len() == limit;
            Ok((messages, is_full))
        })
    }
    fn settle(&self, owner: &BareJid, numbers: Vec<i64>) -> BoxFuture<Result<()>> {
        self.run(|state| {
            let inbox = &mut state.find(owner)?.inbox;
            numbers.into_iter().for_each(|number| inbox.settle(number));
            Ok(())
        })
    }
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>> {
        self.run(|state| Ok(state.find(owner)?.inbox.pending.len()))
    }
}
