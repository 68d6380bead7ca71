//! Archives in memory. A search looks at each message.

use super::{
    Memory, State,
    messages::{Inbox, Message},
};
use crate::{
    Archives, BoxFuture, Edge, MessageId, Page, Query, Result, Retention, StoreError,
    law::AccountId,
};
use std::collections::HashSet;
use xmpp_core::BareJid;

/// How many messages a step of retention takes away at most.
const STEP: usize = 512;

impl Inbox {
    /// Those archived, oldest first.
    fn archived(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values().filter(|message| message.kept.archived)
    }

    /// Those that match but for the page.
    fn matching(&self, query: &Query) -> Result<impl DoubleEndedIterator<Item = &Message>> {
        let is_here = |id: &MessageId| {
            let message = self.messages.get(&id.number());
            message.is_some_and(|message| message.kept.id == *id && message.kept.archived)
        };
        if !query.named().all(is_here) {
            return Err(StoreError::NotFound);
        }
        let (after, before) = query.bounds();
        let ids: Option<HashSet<MessageId>> =
            query.ids.as_ref().map(|ids| ids.iter().copied().collect());
        let query = query.clone();
        Ok(self.archived().filter(move |Message { kept, with }| {
            (after + 1..before).contains(&kept.id.number())
                && ids.as_ref().is_none_or(|ids| ids.contains(&kept.id))
                && query.matches(with.as_str(), kept.at, &kept.stanza)
        }))
    }
}

/// The messages of a page, in the order they were found.
fn page<'a>(found: impl Iterator<Item = &'a Message>, query: &Query) -> Page {
    let mut page = Page { messages: Vec::new(), complete: true };
    let mut bytes = 0;
    for message in found {
        bytes += message.kept.stanza.len();
        if !query.fits(page.messages.len(), bytes) {
            page.complete = false;
            break;
        }
        page.messages.push(message.kept.clone());
    }
    page
}

impl State {
    /// The first account after this one.
    fn account_after(&self, after: Option<AccountId>) -> Option<AccountId> {
        let later = self.accounts.keys().filter(|id| after.is_none_or(|after| **id > after));
        later.min().copied()
    }
}

impl Archives for Memory {
    fn page(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Page>> {
        self.run(|state| {
            let matching = state.find(owner)?.inbox.matching(&query)?;
            if !query.from_end {
                return Ok(page(matching, &query));
            }
            let mut page = page(matching.rev(), &query);
            page.messages.reverse();
            Ok(page)
        })
    }
    fn matching(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Option<u64>>> {
        self.run(|state| {
            let count = state.find(owner)?.inbox.matching(&query)?.count() as u64;
            Ok(query.is_countable().then_some(count))
        })
    }
    fn edges(&self, owner: &BareJid) -> BoxFuture<Result<Option<(Edge, Edge)>>> {
        self.run(|state| {
            let inbox = &state.find(owner)?.inbox;
            let edge = |message: &Message| Edge { id: message.kept.id, at: message.kept.at };
            let (first, last) = (inbox.archived().next(), inbox.archived().next_back());
            Ok(first.zip(last).map(|(first, last)| (edge(first), edge(last))))
        })
    }
    fn purge(&self, after: Option<i64>, retention: Retention) -> BoxFuture<Result<Option<i64>>> {
        self.run(|state| {
            let Some(id) = state.account_after(after) else { return Ok(None) };
            let inbox = &mut state.of_mut(id).inbox;
            let excess =
                retention.messages.map_or(0, |most| inbox.archived().count().saturating_sub(most));
            let goes = |(place, message): &(usize, &Message)| {
                *place < excess || retention.since.is_some_and(|since| message.kept.at < since)
            };
            let gone: Vec<i64> = inbox
                .archived()
                .enumerate()
                .take(STEP)
                .take_while(goes)
                .map(|(_, message)| message.kept.id.number())
                .collect();
            for number in &gone {
                inbox.messages.remove(number);
                inbox.pending.remove(number);
            }
            Ok(Some(if gone.len() < STEP { id } else { id - 1 }))
        })
    }
}
