//! Rosters (RFC 6121 2): get, set, remove, and a push of every change to the sessions that asked for the roster.
//!
//! Whoever reads or changes a roster holds its [`Turn`]: so a session gets the roster and then every change to it,
//! none twice, none missing, none out of order.

use crate::{
    stored::refusal,
    subscription::{Presence, tell_parting},
};
use bytes::Bytes;
use futures_util::FutureExt;
use roster_store::{Caps, Change, Item, Store, StoreError, Subscription};
use router::{
    Account, Answer, At, Declare, Module, Offer, Relation, Reply, Request, Router, Side, Turn, View,
};
use std::{collections::BTreeSet, sync::Arc};
use xmpp_core::{
    BareJid, Jid, Kind, Stanza, StanzaError,
    error::StanzaCondition,
    ns,
    stanza::IqType,
    xml::{Node, Writer},
};

/// Keeps rosters and tells of their changes.
pub(crate) struct Rosters {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) caps: Caps,
}

/// What is remembered of a session that has asked for its roster (RFC 6121 2.2).
pub(crate) struct Interested;

impl Module for Rosters {
    fn name(&self) -> &'static str {
        "roster"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.feature(At::Server, ns::ROSTER);
        declare.remember(|Interested| Bytes::new(), |_| Some(Interested));
        // RFC 6121 2.6.1
        declare.stream_feature(Offer::AfterAuth, |_, _| {
            Bytes::from_static(b"<ver xmlns='urn:xmpp:features:rosterver'/>")
        });
        declare.guard(Side::Sender, only_own);
        let this = self.clone();
        declare.handle(IqType::Get, (ns::ROSTER, "query"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.get(request).await }.boxed()
        });
        declare.handle(IqType::Set, (ns::ROSTER, "query"), [At::Own], move |request| {
            let this = self.clone();
            async move { this.set(request).await }.boxed()
        });
    }
}

/// Nobody touches another's roster (RFC 6121 2.3.3), and nobody sends what looks like a push to another's client (threat
/// P04). The same for those who exist and those who do not.
fn only_own(stanza: &Stanza, account: &Arc<Account>) -> Result<(), StanzaError> {
    let (Kind::Iq(kind @ (IqType::Get | IqType::Set)), Some(to)) = (stanza.kind(), &stanza.head.to)
    else {
        return Ok(());
    };
    if to.as_str() == account.jid().as_str() || stanza.child(ns::ROSTER, "query").is_none() {
        return Ok(());
    }
    let condition = match kind {
        IqType::Set if to.is_bare() => StanzaCondition::Forbidden,
        _ => StanzaCondition::ServiceUnavailable,
    };
    Err(StanzaError::new(condition))
}

impl Rosters {
    /// RFC 6121 2.2, 2.6
    async fn get(&self, request: Request) -> Answer {
        let payload = request.payload()?;
        let Request { router, session, stanza, .. } = &request;
        let mut turn = router.turn(session.account()).await;
        let roster = self.store.roster(session.account().jid()).await;
        let roster = roster.map_err(|error| refusal(&error))?;
        turn.unchanged();
        // RFC 6121 2.6.3: what the client remembers is still true.
        let unchanged = payload.attr("ver").is_some_and(|ver| ver == roster.version.to_string());
        let payload = if unchanged {
            Bytes::new()
        } else {
            query(roster.version, roster.items.iter().filter(|item| item.listed), "none")
        };
        let result = stanza.result(payload);
        router
            .enter(session.account(), |view| {
                if let Some(seat) = view.seat(session) {
                    seat.put(Interested);
                    seat.answer(result);
                }
            })
            .await;
        Ok(Reply::Sent)
    }

    /// RFC 6121 2.3 to 2.5
    async fn set(&self, request: Request) -> Answer {
        let wish = Wish::read(&request.payload()?, &self.caps)?;
        let account = request.session.account();
        if wish.jid == *account.jid() {
            // RFC 6121 2.3.3
            return Err(StanzaError::new(StanzaCondition::NotAllowed));
        }
        match wish.item {
            Some((name, groups)) => {
                let mut turn = request.router.turn(account).await;
                faults::site!("before-roster-set");
                if faults::planted!("result_before_commit") {
                    let set = self.store.set_item(account.jid(), &wish.jid, name, groups);
                    request.router.environment().spawn(set.map(drop).boxed());
                    return Ok(Bytes::new().into());
                }
                let change = self.store.set_item(account.jid(), &wish.jid, name, groups).await;
                faults::site!("roster-set");
                let change = answered(change, &mut [&mut turn])?;
                update(&request.router, &mut turn, &change, true, |_| {}).await;
            }
            None => self.remove(&request.router, account, &wish.jid).await?,
        }
        Ok(Bytes::new().into())
    }

    /// RFC 6121 2.5.2
    async fn remove(
        &self,
        router: &Arc<Router>,
        account: &Arc<Account>,
        contact: &BareJid,
    ) -> Result<(), StanzaError> {
        let other = local(router, contact).await?;
        let (mut turn, mut others) = turns(router, account, other.as_ref()).await;
        let removal = self.store.remove_item(account.jid(), contact).await;
        let removal = answered(removal, &mut turns_of(&mut turn, &mut others))?;
        let presence = Presence { router, account, other: other.as_ref(), contact };
        tell_parting(&presence, &removal.parting, others.as_mut()).await;
        update(router, &mut turn, &removal.owner, true, |_| {}).await;
        Ok(())
    }
}

/// What a roster set asks for.
struct Wish {
    jid: BareJid,
    /// Name and groups; `None`: remove it.
    item: Option<(Option<String>, Vec<String>)>,
}

impl Wish {
    /// RFC 6121 2.3.3
    fn read(query: &Node, caps: &Caps) -> Result<Self, StanzaError> {
        let refuse = |condition| Err(StanzaError::new(condition));
        let [item] = &query.children[..] else { return refuse(StanzaCondition::BadRequest) };
        if !item.is(ns::ROSTER, "item") {
            return refuse(StanzaCondition::BadRequest);
        }
        let Some(jid) = item.attr("jid") else { return refuse(StanzaCondition::BadRequest) };
        let Ok(jid) = jid.parse::<Jid>() else { return refuse(StanzaCondition::JidMalformed) };
        let jid = jid.to_bare();
        // RFC 6121 2.1.2.5: any other value is the server's to say.
        if item.attr("subscription") == Some("remove") {
            return Ok(Self { jid, item: None });
        }
        let name = item.attr("name").filter(|name| !name.is_empty());
        let groups = item.children.iter().filter(|child| child.is(ns::ROSTER, "group"));
        let groups: Vec<_> = groups.map(|group| group.text.clone()).collect();
        if name.is_some_and(|name| name.len() > caps.roster_text)
            || groups.iter().any(|group| group.is_empty() || group.len() > caps.roster_text)
            || groups.len() > caps.roster_groups
        {
            return refuse(StanzaCondition::NotAcceptable);
        }
        if groups.iter().collect::<BTreeSet<_>>().len() < groups.len() {
            return refuse(StanzaCondition::BadRequest);
        }
        Ok(Self { jid, item: Some((name.map(str::to_owned), groups)) })
    }
}

/// Takes over a change and pushes it to the sessions that asked for the roster (RFC 6121 2.1.6), where it can be seen or
/// is asked for; `first` goes before the push.
pub(crate) async fn update(
    router: &Arc<Router>,
    turn: &mut Turn,
    change: &Change,
    always: bool,
    first: impl FnOnce(&mut View<'_>),
) {
    let push = (always || change.is_visible()).then(|| push(router, change));
    let (_, Subscription { to, from, .. }) = change.subscription();
    let listed = change.after.as_ref().is_some_and(|item| item.listed);
    let relation = Relation { to, from, listed };
    router
        .update(turn, change.version, &change.jid, relation, |view| {
            first(view);
            if let Some(push) = push {
                for seat in view.seats().iter().filter(|seat| seat.get::<Interested>().is_some()) {
                    seat.send(push.clone().to(seat.jid().clone()));
                }
            }
        })
        .await;
}

fn push(router: &Router, change: &Change) -> Stanza {
    let removed;
    let (item, absent) = match &change.after {
        Some(item) if item.listed => (item, "none"),
        _ => {
            removed = Item {
                jid: change.jid.clone(),
                name: None,
                groups: Vec::new(),
                subscription: Subscription::default(),
                listed: false,
            };
            (&removed, "remove")
        }
    };
    let payload = query(change.version, [item].into_iter(), absent);
    Stanza::new(Kind::Iq(IqType::Set), payload).id(&router.environment().token())
}

/// RFC 6121 2.1; `absent`: what an item says where there is no subscription.
fn query<'a>(version: u64, items: impl Iterator<Item = &'a Item>, absent: &str) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("query", ns::ROSTER).attr("ver", &version.to_string());
    for Item { jid, name, groups, subscription, .. } in items {
        let state = match (subscription.to, subscription.from) {
            (false, false) => absent,
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        };
        out.open("item").attr("jid", jid.as_str()).maybe("name", name.as_deref());
        out.attr("subscription", state);
        out.maybe("ask", subscription.pending_out.then_some("subscribe"));
        out.maybe("approved", subscription.approved.then_some("true"));
        for group in groups {
            out.open("group").text(group).close();
        }
        out.close();
    }
    out.close();
    out.finish()
}

/// The account behind an address of ours.
pub(crate) async fn local(
    router: &Router,
    contact: &BareJid,
) -> Result<Option<Arc<Account>>, StanzaError> {
    if contact.local().is_none() || !router.serves(contact.domain()) {
        return Ok(None);
    }
    let account = router.account(contact.as_jid()).await;
    account.map(Some).map_err(|_| StanzaError::new(StanzaCondition::InternalServerError))
}

/// The right to change one roster, or two.
pub(crate) async fn turns(
    router: &Router,
    account: &Arc<Account>,
    other: Option<&Arc<Account>>,
) -> (Turn, Option<Turn>) {
    match other {
        None => (router.turn(account).await, None),
        Some(other) => {
            let (turn, others) = router.turns(account, other).await;
            (turn, Some(others))
        }
    }
}

/// Both turns.
pub(crate) fn turns_of<'a>(turn: &'a mut Turn, other: &'a mut Option<Turn>) -> Vec<&'a mut Turn> {
    [Some(turn), other.as_mut()].into_iter().flatten().collect()
}

/// What the store said: unless it failed, the rosters are known, changed or not.
pub(crate) fn answered<T>(
    result: roster_store::Result<T>,
    turns: &mut [&mut Turn],
) -> Result<T, StanzaError> {
    if !matches!(result, Err(StoreError::Failed(_) | StoreError::Unusable(_))) {
        turns.iter_mut().for_each(|turn| turn.unchanged());
    }
    result.map_err(|error| refusal(&error))
}
