//! XEP-0160: messages for those who are not there.
//!
//! What is kept is forgotten once a client of the account has it: by its word (XEP-0198), or once it was written to the
//! connection.

use crate::{
    chat_state, delay, hints,
    stored::{freeze, thaw},
};
use futures_util::{FutureExt, future::ready};
use roster_store::{MessageId, NewMessage, Store, StoreError};
use router::{At, Backlog, BoxFuture, Declare, Keeping, Kept, Module};
use std::sync::Arc;
use xmpp_core::{BareJid, Kind, Stanza, StanzaError, error::StanzaCondition, stanza::MessageType};

/// Keeps messages until their recipient is there.
pub(crate) struct Offline {
    pub(crate) store: Arc<dyn Store>,
}

impl Module for Offline {
    fn name(&self) -> &'static str {
        "offline"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(160, "Best Practices for Handling Offline Messages", "1.0.1");
        declare.xep(334, "Message Processing Hints", "1.0.0");
        declare.feature(At::Server, "msgoffline");
        let this = self.clone();
        declare.keep(move |keeping| this.keep(keeping));
        let this = self.clone();
        declare.taken(move |account, numbers| this.taken(account, numbers));
        declare.backlog(move |account, after| self.backlog(account, after));
    }
}

impl Offline {
    fn keep(&self, keeping: &Keeping<'_>) -> Option<Kept> {
        let Keeping { recipient, message, delivered, promised, at, .. } = keeping;
        if chat_state::says_nothing_else(message) {
            // XEP-0160 3: gone, and not worth an error either; the next one would be as well.
            return (!delivered).then(|| Kept {
                receipt: ready(Ok(())).boxed(),
                fenced: true,
                row: None,
                sender_id: None,
                recipient_id: None,
            });
        }
        if (*delivered && !promised) || !is_worth_keeping(message) {
            return None;
        }
        let new = NewMessage {
            owner: recipient.account().clone(),
            with: message.head.from.clone()?,
            at: *at,
            stanza: freeze(message).into(),
            archived: false,
            pending: true,
        };
        let (ids, written) = self.store.put(vec![new]);
        Some(Kept {
            receipt: written.map(|result| result.map_err(|error| refusal(&error))).boxed(),
            fenced: false,
            row: ids.first().map(MessageId::number),
            sender_id: None,
            recipient_id: None,
        })
    }

    fn taken(&self, account: &BareJid, numbers: Vec<i64>) -> BoxFuture<'static, bool> {
        let settled = self.store.settle(account, numbers);
        let account = account.clone();
        async move {
            match settled.await {
                // The account was deleted, and they with it.
                Ok(()) | Err(StoreError::NotFound) => true,
                Err(error) => {
                    tracing::error!(%account, %error, "not noted what clients have");
                    false
                }
            }
        }
        .boxed()
    }

    fn backlog(&self, account: &BareJid, after: i64) -> BoxFuture<'static, Option<Backlog>> {
        let kept = self.store.pending(account, after, PAGE);
        let account = account.clone();
        async move {
            let rows = match kept.await {
                Ok(rows) => rows,
                Err(StoreError::NotFound) => return None,
                Err(error) => {
                    tracing::error!(%account, %error, "offline messages could not be read");
                    return None;
                }
            };
            let next = (rows.len() == PAGE).then(|| rows.last().map(|row| row.id.number()));
            let read = rows.into_iter().filter_map(|row| {
                let stanza = delay::stamped(thaw(row.stanza)?, account.domain(), row.at);
                Some((row.id.number(), stanza))
            });
            Some(Backlog { messages: read.collect(), next: next.flatten() })
        }
        .boxed()
    }
}

/// Messages read at a time: more than most people find when they come back.
const PAGE: usize = 64;

/// XEP-0160 3, XEP-0334 4.2: the sender of what is not kept gets it back.
fn is_worth_keeping(message: &Stanza) -> bool {
    matches!(message.kind(), Kind::Message(MessageType::Normal | MessageType::Chat))
        && !hints::has(message, "no-store")
}

fn refusal(error: &StoreError) -> StanzaError {
    match error {
        // XEP-0160 2: the queue is full. An account deleted meanwhile: RFC 6121 8.5.1.
        StoreError::Full(_) | StoreError::NotFound => {
            StanzaError::new(StanzaCondition::ServiceUnavailable)
        }
        // What is kept is not the trouble: the sender may try again.
        _ => StanzaError::new(StanzaCondition::ResourceConstraint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xmpp_core::error::ErrorAction::{Cancel, Wait};

    #[test]
    fn l15_a_store_that_cannot_keep_it_now_asks_the_sender_to_wait() {
        for (error, condition, action) in [
            (StoreError::Full("offline messages"), StanzaCondition::ServiceUnavailable, Cancel),
            (StoreError::NotFound, StanzaCondition::ServiceUnavailable, Cancel),
            (StoreError::Busy, StanzaCondition::ResourceConstraint, Wait),
            (StoreError::Failed("no space".into()), StanzaCondition::ResourceConstraint, Wait),
        ] {
            let answer = refusal(&error);
            assert_eq!((answer.condition, answer.action), (condition, action), "{error}");
        }
    }
}
