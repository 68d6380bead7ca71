//! XEP-0191: Blocking Command. The list is kept here; that it holds is the router's affair, at every way in and out.
//!
//! Whoever reads or changes the list holds the account's [`Turn`](router::Turn): so a session gets the list and then
//! every change to it. Blocking is polite (XEP-0191 4): subscriptions stay as they are, and the other side is not told.

use crate::roster::answered;
use bytes::Bytes;
use futures_util::FutureExt;
use roster_store::Store;
use router::{Answer, At, Declare, Module, Reply, Request, Router, Side, View};
use std::{collections::BTreeSet, sync::Arc};
use xmpp_core::{
    Jid, Kind, Stanza, StanzaError,
    error::StanzaCondition,
    ns,
    stanza::IqType,
    xml::{Node, Writer},
};

/// Keeps block lists and tells of their changes.
pub(crate) struct Blocking {
    pub(crate) store: Arc<dyn Store>,
}

/// What is remembered of a session that has asked for the list (XEP-0191 3.3).
struct Interested;

impl Module for Blocking {
    fn name(&self) -> &'static str {
        "blocking"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(191, "Blocking Command", "1.3");
        declare.feature(At::Server, ns::BLOCKING);
        declare.remember(|Interested| Bytes::new(), |_| Some(Interested));
        declare.guard(Side::Sender, |stanza, account| only_own(stanza, account.jid().as_str()));
        let this = self.clone();
        declare.handle(IqType::Get, (ns::BLOCKING, "blocklist"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.get(request).await }.boxed()
        });
        let this = self.clone();
        declare.handle(IqType::Set, (ns::BLOCKING, "block"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.block(request).await }.boxed()
        });
        declare.handle(IqType::Set, (ns::BLOCKING, "unblock"), [At::Own], move |request| {
            let this = self.clone();
            async move { this.unblock(request).await }.boxed()
        });
    }
}

/// Nobody sends what looks like a push to another's client (as with rosters, threat P04). The same for those who exist
/// and those who do not.
fn only_own(stanza: &Stanza, own: &str) -> Result<(), StanzaError> {
    let Kind::Iq(IqType::Get | IqType::Set) = stanza.kind() else { return Ok(()) };
    let own = stanza.head.to.as_ref().is_none_or(|to| to.as_str() == own);
    if own || !stanza.children().any(|child| child.ns == ns::BLOCKING) {
        return Ok(());
    }
    Err(StanzaError::new(StanzaCondition::ServiceUnavailable))
}

impl Blocking {
    /// XEP-0191 3.2
    async fn get(&self, request: Request) -> Answer {
        let Request { router, session, stanza, .. } = &request;
        let mut turn = router.turn(session.account()).await;
        let list = self.store.blocked(session.account().jid()).await;
        let list = answered(list, &mut [&mut turn])?;
        let result = stanza.result(written("blocklist", &list));
        let show = |view: &mut View<'_>| {
            if let Some(seat) = view.seat(session) {
                seat.put(Interested);
                seat.answer(result);
            }
        };
        router.enter(session.account(), show).await;
        Ok(Reply::Sent)
    }

    /// XEP-0191 3.3
    async fn block(&self, request: Request) -> Answer {
        let jids = items(&request.payload()?)?;
        if jids.is_empty() {
            return Err(StanzaError::new(StanzaCondition::BadRequest));
        }
        let Request { router, session, .. } = &request;
        let mut turn = router.turn(session.account()).await;
        let added = self.store.block(session.account().jid(), jids.clone()).await;
        let added = answered(added, &mut [&mut turn])?;
        let push = push(router, "block", &jids);
        router.update_blocked(&mut turn, &added, &[], |view| tell(view, &push)).await;
        Ok(Bytes::new().into())
    }

    /// XEP-0191 3.4, 3.5
    async fn unblock(&self, request: Request) -> Answer {
        let payload = request.payload()?;
        let jids = items(&payload)?;
        if jids.is_empty() && !payload.children.is_empty() {
            // Only an empty element is meant for all.
            return Err(StanzaError::new(StanzaCondition::BadRequest));
        }
        let Request { router, session, .. } = &request;
        let mut turn = router.turn(session.account()).await;
        let removed = self.store.unblock(session.account().jid(), jids.clone()).await;
        let removed = answered(removed, &mut [&mut turn])?;
        let push = push(router, "unblock", &jids);
        router.update_blocked(&mut turn, &[], &removed, |view| tell(view, &push)).await;
        Ok(Bytes::new().into())
    }
}

/// The addresses of the items, each once; other elements are extensions.
fn items(payload: &Node) -> Result<Vec<Jid>, StanzaError> {
    let mut jids = BTreeSet::new();
    for item in payload.children.iter().filter(|child| child.is(ns::BLOCKING, "item")) {
        let jid = item.attr("jid").ok_or_else(|| StanzaError::new(StanzaCondition::BadRequest))?;
        let jid = jid.parse().map_err(|_| StanzaError::new(StanzaCondition::JidMalformed))?;
        jids.insert(jid);
    }
    Ok(jids.into_iter().collect())
}

fn push(router: &Router, name: &'static str, jids: &[Jid]) -> Stanza {
    Stanza::new(Kind::Iq(IqType::Set), written(name, jids)).id(&router.environment().token())
}

/// XEP-0191 3.3: to the sessions that have asked for the list.
fn tell(view: &mut View<'_>, push: &Stanza) {
    for seat in view.seats().iter().filter(|seat| seat.get::<Interested>().is_some()) {
        seat.send(push.clone().to(seat.jid().clone()));
    }
}

fn written(name: &'static str, jids: &[Jid]) -> Bytes {
    let mut out = Writer::new();
    out.open_ns(name, ns::BLOCKING);
    for jid in jids {
        out.open("item").attr("jid", jid.as_str()).close();
    }
    out.close();
    out.finish()
}
