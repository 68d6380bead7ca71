//! The phase keep. XEP-0160: messages for those who are not there; and what goes into archives (XEP-0313).
//!
//! What only waits is forgotten once a client of the account has it: by its word (XEP-0198), or once it was written to the
//! connection. What an archive has stays there, and waits no more.

use crate::{
    archive::{self, Archiving, Worth, worth},
    chat_state, delay,
    stored::{freeze, thaw},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::ready};
use roster_store::{MessageId, NewMessage, Origin, Put, Store, StoreError, Taken};
use router::{At, Backlog, BoxFuture, Declare, Keeping, Kept, Module, Party, Source, Unkept};
use sha1::{Digest, Sha1};
use std::sync::Arc;
use xmpp_core::{BareJid, Jid, Stanza, StanzaError, error::StanzaCondition, ns};

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
    /// What is kept of a message: for the recipient until a client has it, and in the archives of both where they want it.
    fn keep(&self, keeping: &Keeping<'_>) -> Option<Kept> {
        let Keeping { sender, recipient, message, delivered, promised, outlives, source, .. } =
            keeping;
        if chat_state::says_nothing_else(message) {
            // XEP-0160 3: gone, and not worth an error either; the next one would be as well.
            return (!delivered).then(|| Kept {
                receipt: ready(Ok(())).boxed(),
                fenced: true,
                again: false,
                row: None,
                sender_id: None,
                recipient_id: None,
            });
        }
        let Worth { pending, archive } = worth(message);
        let wants = |party: &Party<'_>, other: Option<&Jid>| {
            let archiving = party.facet::<Archiving>().zip(other);
            archive && archiving.is_some_and(|(it, other)| it.wants(other, party.relation()))
        };
        let (from, to) = (message.head.from.as_ref(), message.head.to.as_ref());
        let received = wants(recipient, from);
        // It reaches a client, or waits for one: else the sender gets it back, and nobody has heard it.
        let sent =
            sender.as_ref().is_some_and(|sender| wants(sender, to)) && (*delivered || pending);
        let archived = sent || received;
        let waits = pending && (archived || !delivered || *promised);
        if !archived && !waits {
            return None;
        }
        let (stanza, at) = (Bytes::from(freeze(message)), keeping.at());
        let new = |party: &Party<'_>, with: &Jid, archived, pending| NewMessage {
            owner: party.account().clone(),
            with: with.clone(),
            at,
            stanza: stanza.clone(),
            archived,
            pending,
            delivered: *delivered,
        };
        let of_sender = sender
            .as_ref()
            .zip(to)
            .filter(|_| sent)
            .map(|(sender, to)| new(sender, to, true, false));
        let of_recipient =
            from.filter(|_| received || waits).map(|from| new(recipient, from, received, waits));
        let owners = [&of_sender, &of_recipient].map(Option::is_some);
        let twice = faults::planted!("dup_archive").then(|| of_recipient.clone()).flatten();
        let messages = [of_sender, of_recipient, twice].into_iter().flatten().collect();
        let source = source.map(|Source { stream, number, mark, handled }| roster_store::Source {
            stream,
            number,
            mark,
            handled,
        });
        let (taken, written) = self.store.put(Put { messages, origin: origin(message), source });
        faults::site!("put-queued");
        let again = taken == Taken::Again;
        let mut ids = taken.ids().into_iter();
        let [sender_id, recipient_id] =
            owners.map(|is_there| is_there.then(|| ids.next()).flatten());
        let stanza_id = |party: &Party<'_>, id: MessageId| archive::stanza_id(party.account(), id);
        Some(Kept {
            receipt: written.map(|result| result.map_err(unkept)).boxed(),
            // What no archive wants is seen at once and written beside that; but not by a session that goes on after a kill, nor
            // while the store fails, when the sender would get back what somebody has.
            fenced: archived || *outlives || self.store.health().writes_fail,
            again,
            row: recipient_id.map(|id| id.number()),
            sender_id: sender.as_ref().zip(sender_id).map(|(sender, id)| stanza_id(sender, id)),
            recipient_id: recipient_id.filter(|_| received).map(|id| stanza_id(recipient, id)),
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
                    tracing::debug!(%account, %error, "not noted what clients have");
                    false
                }
            }
        }
        .boxed()
    }

    fn backlog(&self, account: &BareJid, after: i64) -> BoxFuture<'static, Option<Backlog>> {
        let kept = self.store.pending(account, after, PAGE, PAGE_BYTES);
        let account = account.clone();
        async move {
            let (rows, more) = match kept.await {
                Ok(page) => page,
                Err(StoreError::NotFound) => return None,
                Err(error) => {
                    tracing::debug!(%account, %error, "offline messages could not be read");
                    return None;
                }
            };
            let next = rows.last().filter(|_| more).map(|row| row.id.number());
            let lost = usize::from(faults::planted!("backlog_without_first"));
            let read = rows.into_iter().skip(lost).filter_map(|row| {
                let mut stanza = delay::stamped(thaw(row.stanza)?, account.domain(), row.at);
                if row.archived {
                    // XEP-0313 3.5
                    stanza = stanza.with_child(&archive::stanza_id(&account, row.id));
                }
                Some((row.id.number(), stanza))
            });
            Some(Backlog { messages: read.collect(), next })
        }
        .boxed()
    }
}

/// Messages read at a time: more than most people find when they come back.
const PAGE: usize = 64;

/// Bytes of them, but for a single one: everybody may come back at once.
const PAGE_BYTES: usize = 256 * 1024;

/// What a message is known by whose client says that it gives no two the same id (XEP-0359 2.2): its sender, of whatever
/// session, and all that it says. Collisions of 64 bits need not be feared by chance, and who looks for one finds it among
/// messages of his own only.
fn origin(message: &Stanza) -> Option<Origin> {
    message.child(ns::STANZA_IDS, "origin-id")?;
    let head = &message.head;
    let mut digest = Sha1::new();
    for part in [
        head.from.as_ref()?.bare_str(),
        head.to.as_ref()?.as_str(),
        head.kind.type_name().unwrap_or_default(),
        head.id.as_deref().unwrap_or_default(),
        head.lang.as_deref().unwrap_or_default(),
    ] {
        digest.update(part);
        digest.update([0]); // which is no character of XML
    }
    digest.update(&head.rest);
    digest.update([0]);
    digest.update(message.inner());
    digest.finalize().first_chunk().copied().map(Origin::of)
}

fn unkept(why: roster_store::Unkept) -> Unkept {
    match why {
        roster_store::Unkept::Failed(error) => Unkept::Refused(refusal(&error)),
        roster_store::Unkept::InDoubt(later) => {
            Unkept::InDoubt(later.map(|error| Err(Unkept::Refused(refusal(&error)))).boxed())
        }
    }
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
