//! XEP-0160: messages for those who are not there.
//!
//! What is kept is forgotten once it is in the mailbox of the account's first available session; if that session ends
//! before it was written, the router routes it again, and it is kept again.

use crate::{
    chat_state, delay, hints,
    stored::{failed, freeze, thaw},
};
use futures_util::{FutureExt, future::ready};
use roster_store::{NewMessage, Store, StoreError};
use router::{At, Backlog, BoxFuture, Declare, Keeping, Module, Receipt};
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
        declare.backlog(move |account| self.backlog(account));
    }
}

impl Offline {
    fn keep(&self, keeping: &Keeping<'_>) -> Option<Receipt> {
        let Keeping { account, message, delivered, at } = *keeping;
        if delivered {
            None
        } else if chat_state::says_nothing_else(message) {
            // XEP-0160 3: gone, and not worth an error either; the next one would be as well.
            Some(ready(Ok(())).boxed())
        } else if is_worth_keeping(message) {
            let new = NewMessage {
                owner: account.clone(),
                with: message.head.from.clone()?,
                at,
                stanza: freeze(message).into(),
                archived: false,
                pending: true,
            };
            let (_, kept) = self.store.put(vec![new]);
            Some(kept.map(|result| result.map_err(|error| refusal(&error))).boxed())
        } else {
            None
        }
    }

    fn backlog(&self, account: &BareJid) -> BoxFuture<'static, Option<Backlog>> {
        // All of them: no more may wait than there is room for.
        let kept = self.store.pending(account, 0, usize::MAX);
        let (store, account) = (self.store.clone(), account.clone());
        async move {
            let rows = match kept.await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%account, %error, "offline messages could not be read");
                    return None;
                }
            };
            let numbers: Vec<_> = rows.iter().map(|row| row.id.number()).collect();
            if numbers.is_empty() {
                return None;
            }
            let read = rows.into_iter().filter_map(|row| {
                Some(delay::stamped(thaw(row.stanza)?, account.domain(), row.at))
            });
            let stanzas = read.collect();
            let handed = Box::new(move || {
                let forgotten = store.settle(&account, numbers);
                async move {
                    if let Err(error) = forgotten.await {
                        tracing::error!(%account, %error, "offline messages will come again");
                    }
                }
                .boxed()
            });
            Some(Backlog { stanzas, handed })
        }
        .boxed()
    }
}

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
        StoreError::Busy => StanzaError::new(StanzaCondition::ResourceConstraint),
        error => failed(error),
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
            (StoreError::Failed("no space".into()), StanzaCondition::InternalServerError, Wait),
        ] {
            let answer = refusal(&error);
            assert_eq!((answer.condition, answer.action), (condition, action), "{error}");
        }
    }
}
