//! Presence subscriptions (RFC 6121 3). What they do to the two rosters, the store decides in one transaction; here
//! everybody is told, in the order of RFC 6121: the stanza, the push, the presence that comes or goes with it.

use crate::{
    delay,
    roster::{Interested, answered, local, turns, turns_of, update},
    stored::{failed, freeze, thaw},
};
use bytes::Bytes;
use futures_util::FutureExt;
use roster_store::{Change, Parting, Reply, Store, SubscriptionOutcome, Verb};
use router::{
    Account, Answer, BoxFuture, Declare, Module, Offer, Request, Router, Session, Turn, View,
};
use std::sync::Arc;
use xmpp_core::{BareJid, Kind, Stanza, StanzaError, error::StanzaCondition, stanza::PresenceType};

/// Handles subscription stanzas and shows requests until they are answered.
pub(crate) struct Subscriptions {
    pub(crate) store: Arc<dyn Store>,
    /// Bytes of a request at most: the store's limit.
    pub(crate) request_bytes: usize,
}

impl Module for Subscriptions {
    fn name(&self) -> &'static str {
        "subscription"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        // RFC 6121 3.4
        declare.stream_feature(Offer::AfterAuth, |_, _| {
            Bytes::from_static(b"<sub xmlns='urn:xmpp:features:pre-approval'/>")
        });
        let this = self.clone();
        declare.subscriptions(move |request| {
            let this = this.clone();
            async move { this.handle(request).await }.boxed()
        });
        let this = self.clone();
        declare.arrival(move |_, session| {
            let this = this.clone();
            async move { this.show_requests(&session).await }.boxed()
        });
        declare.absence(move |account| self.since(account));
    }
}

impl Subscriptions {
    async fn handle(&self, request: Request) -> Answer {
        let Request { router, session, stanza, .. } = &request;
        let (Some(verb), Some(to)) = (verb(stanza.kind()), &stanza.head.to) else {
            return Err(StanzaError::new(StanzaCondition::BadRequest));
        };
        let account = session.account();
        let contact = &to.to_bare();
        if contact == account.jid() {
            // An account sees its own presence anyway (RFC 6121 4.2.2).
            return Err(StanzaError::new(StanzaCondition::NotAllowed));
        }
        let kept = if verb == Verb::Subscribe {
            // XEP-0203 2: when it is shown later it says since when it waits.
            let now = router.environment().now();
            freeze(&delay::stamped(stanza.clone(), contact.domain(), now))
        } else {
            Vec::new()
        };
        if kept.len() > self.request_bytes {
            // Before it matters whether the contact exists, or hears of it (RFC 6121 8.1; threats A05, P09).
            return Err(StanzaError::new(StanzaCondition::ResourceConstraint));
        }
        let other = local(router, contact).await?;
        let (mut turn, mut others) = turns(router, account, other.as_ref()).await;
        let presence = Presence { router, account, other: other.as_ref(), contact };
        if verb == Verb::Subscribe && !presence.is_heard() {
            // XEP-0191 3.3: as to somebody who never answers.
            let asked = self.store.ask_in_vain(account.jid(), contact).await;
            if let Some(change) = answered(asked, &mut turns_of(&mut turn, &mut others))? {
                update(router, &mut turn, &change, false, |_| {}).await;
            }
            return Ok(router::Reply::Sent);
        }
        let outcome = self.store.subscription(verb, account.jid(), contact, kept).await;
        let outcome = answered(outcome, &mut turns_of(&mut turn, &mut others))?;
        tell_outcome(&presence, stanza, &outcome, &mut turn, others.as_mut()).await;
        Ok(router::Reply::Sent)
    }

    /// RFC 6121 3.1.3: a request is shown whenever a session becomes available, until it is answered. One that comes
    /// meanwhile waits for the account's turn and is shown then, so the session sees each once.
    async fn show_requests(&self, session: &Session) {
        let account = session.account();
        match self.store.requests(account.jid()).await {
            Ok(requests) => {
                // XEP-0191 3.3: what came before its sender was blocked waits until that ends.
                let heard = requests.into_iter().filter(|(from, _)| !account.blocks(from.as_jid()));
                for stanza in heard.filter_map(|(_, stanza)| thaw(stanza.into())) {
                    session.answer(stanza);
                }
            }
            Err(error) => drop(failed(&error)),
        }
    }

    /// RFC 6121 4.3.2 rule 3: when the account was there last, where that is known.
    fn since(&self, account: &BareJid) -> BoxFuture<'static, Option<Bytes>> {
        let (left, account) = (self.store.last_left(account), account.clone());
        async move {
            let left = left.await.inspect_err(|error| drop(failed(error))).ok()??;
            Some(delay::stamp(account.domain(), left.at, ""))
        }
        .boxed()
    }
}

/// The two sides of a subscription, as far as presence goes.
pub(crate) struct Presence<'a> {
    pub(crate) router: &'a Arc<Router>,
    /// Whose stanza it is.
    pub(crate) account: &'a Arc<Account>,
    /// The other side, where it is here.
    pub(crate) other: Option<&'a Arc<Account>>,
    pub(crate) contact: &'a BareJid,
}

impl Presence<'_> {
    /// Whether the contact hears of what the account does: neither has blocked the other (XEP-0191 3.3).
    fn is_heard(&self) -> bool {
        let account = self.account;
        !account.blocks(self.contact.as_jid())
            && self.other.is_none_or(|other| !other.blocks(account.jid().as_jid()))
    }

    /// The account's sessions become visible to the contact (RFC 6121 3.1.5).
    async fn share(&self) {
        self.router.share_presence(self.account, self.contact.as_jid()).await;
    }

    /// The account's sessions vanish for the contact (RFC 6121 3.2.2).
    async fn withdraw(&self) {
        self.router.withdraw_presence(self.account, self.contact.as_jid()).await;
    }

    /// The contact's sessions become visible to the account.
    async fn share_back(&self) {
        if let Some(other) = self.other {
            self.router.share_presence(other, self.account.jid().as_jid()).await;
        }
    }

    /// The contact's sessions vanish for the account (RFC 6121 3.3.3).
    async fn withdraw_back(&self) {
        if let Some(other) = self.other {
            self.router.withdraw_presence(other, self.account.jid().as_jid()).await;
        }
    }
}

/// Tells both sides what a subscription stanza did.
async fn tell_outcome(
    presence: &Presence<'_>,
    stanza: &Stanza,
    outcome: &SubscriptionOutcome,
    turn: &mut Turn,
    others: Option<&mut Turn>,
) {
    let SubscriptionOutcome { sender, recipient, deliver, reply, .. } = outcome;
    let (lost, won) = (ends_from(sender.as_ref()), starts_from(sender.as_ref()));
    if lost {
        // RFC 6121 3.2.2: while the contact is still subscribed.
        presence.withdraw().await;
    }
    if let Some(others) = others {
        let shown = (*deliver && presence.is_heard()).then(|| stanza.clone());
        tell_recipient(presence.router, others, recipient.as_ref(), shown.as_slice()).await;
    }
    if let Some(change) = sender {
        update(presence.router, turn, change, false, |_| {}).await;
    }
    if won {
        presence.share().await;
    }
    if ends_from(recipient.as_ref()) {
        presence.withdraw_back().await;
    }
    if let Some(Reply { verb, change, deliver }) = reply {
        let stanza = say(*verb, presence.contact, presence.account.jid());
        let shown = deliver.then_some(stanza);
        tell_recipient(presence.router, turn, change.as_ref(), shown.as_slice()).await;
        if *verb == Verb::Subscribed {
            presence.share_back().await;
        }
    }
}

/// Tells a contact that its item was removed from the account's roster (RFC 6121 2.5.2).
pub(crate) async fn tell_parting(
    presence: &Presence<'_>,
    parting: &Parting,
    others: Option<&mut Turn>,
) {
    let ends = |verb| parting.notices.iter().any(|notice| notice.verb == verb);
    if ends(Verb::Unsubscribed) {
        presence.withdraw().await;
    }
    if let Some(others) = others {
        let heard = presence.is_heard();
        let shown = parting.notices.iter().filter(|notice| notice.deliver && heard);
        let shown: Vec<_> = shown
            .map(|notice| say(notice.verb, presence.account.jid(), presence.contact))
            .collect();
        tell_recipient(presence.router, others, parting.change.as_ref(), &shown).await;
    }
    if ends(Verb::Unsubscribe) {
        presence.withdraw_back().await;
    }
}

/// Shows stanzas to the recipient's sessions, then pushes the change: one step for everybody else.
async fn tell_recipient(
    router: &Arc<Router>,
    turn: &mut Turn,
    change: Option<&Change>,
    stanzas: &[Stanza],
) {
    let show = |view: &mut View<'_>| stanzas.iter().for_each(|stanza| show(view, stanza));
    match change {
        Some(change) => update(router, turn, change, false, show).await,
        None => router.enter(&turn.account().clone(), show).await,
    }
}

/// Requests go to available sessions, the rest to those that asked for the roster (RFC 6121 3.1.3, 3.1.6, 3.2.3, 3.3.3).
fn show(view: &mut View<'_>, stanza: &Stanza) {
    let request = stanza.kind() == Kind::Presence(PresenceType::Subscribe);
    for seat in view.seats() {
        let interested =
            if request { seat.is_available() } else { seat.get::<Interested>().is_some() };
        if interested {
            seat.send(stanza.clone());
        }
    }
}

/// What the server says on an account's behalf.
fn say(verb: Verb, from: &BareJid, to: &BareJid) -> Stanza {
    let kind = match verb {
        Verb::Subscribe => PresenceType::Subscribe,
        Verb::Subscribed => PresenceType::Subscribed,
        Verb::Unsubscribe => PresenceType::Unsubscribe,
        Verb::Unsubscribed => PresenceType::Unsubscribed,
    };
    let presence = Stanza::new(Kind::Presence(kind), Bytes::new());
    presence.from(from.as_jid().clone()).to(to.as_jid().clone())
}

fn verb(kind: Kind) -> Option<Verb> {
    Some(match kind {
        Kind::Presence(PresenceType::Subscribe) => Verb::Subscribe,
        Kind::Presence(PresenceType::Subscribed) => Verb::Subscribed,
        Kind::Presence(PresenceType::Unsubscribe) => Verb::Unsubscribe,
        Kind::Presence(PresenceType::Unsubscribed) => Verb::Unsubscribed,
        _ => return None,
    })
}

/// Whether the owner's presence stops going to the contact.
fn ends_from(change: Option<&Change>) -> bool {
    change.map(Change::subscription).is_some_and(|(before, after)| before.from && !after.from)
}

/// Whether the owner's presence starts going to the contact.
fn starts_from(change: Option<&Change>) -> bool {
    change.map(Change::subscription).is_some_and(|(before, after)| !before.from && after.from)
}
