//! XEP-0012: Last Activity: how long an account has been away, or the server up.

use crate::stored::refusal;
use futures_util::FutureExt;
use roster_store::{Left, Store, StoreError};
use router::{Account, Answer, At, BoxFuture, Declare, Leaving, Module, Reply, Request, Side};
use std::{sync::Arc, time::Duration};
use xmpp_core::{
    Kind, Stanza, StanzaError, error::StanzaCondition, ns, stanza::IqType, xml::Writer,
};

/// Notes when accounts leave, and tells those who may see their presence.
pub(crate) struct Activity {
    pub(crate) store: Arc<dyn Store>,
}

impl Module for Activity {
    fn name(&self) -> &'static str {
        "activity"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(12, "Last Activity", "2.0");
        for at in [At::Server, At::Own] {
            declare.feature(at, ns::LAST_ACTIVITY);
        }
        let query = (ns::LAST_ACTIVITY, "query");
        // XEP-0012 5
        declare.answer(IqType::Get, query, [At::Server], |request| {
            Ok(seconds(request.router.uptime(), None))
        });
        // XEP-0012 3: whether there is such an account or not.
        declare.answer(IqType::Get, query, [At::Stranger], |_| Err(forbidden()));
        declare.guard(Side::Recipient, guard);
        let this = self.clone();
        declare.departure(move |leaving| this.leave(leaving));
        let at = [At::Own, At::Contact];
        declare.handle(IqType::Get, query, at, move |request| self.clone().get(request).boxed());
    }
}

impl Activity {
    /// XEP-0012 3. Who is connected without being available counts as away: nobody is to know.
    async fn get(self: Arc<Self>, request: Request) -> Answer {
        let owner = request.account();
        let router = &request.router;
        let account = router.account(owner.as_jid()).await;
        let account =
            account.map_err(|_| StanzaError::new(StanzaCondition::InternalServerError))?;
        let seats = |view: &mut router::View<'_>| view.seats().iter().any(|s| s.is_available());
        if router.enter(&account, seats).await {
            return Ok(seconds(Duration::ZERO, None));
        }
        match self.store.last_left(&owner).await {
            Ok(Some(Left { at, status })) => {
                let now = router.environment().now();
                // A clock that was put back makes nobody leave in the future.
                Ok(seconds(now.duration_since(at).unwrap_or_default(), status.as_deref()))
            }
            // It was never here, as far as anybody knows.
            Ok(None) => Err(StanzaError::new(StanzaCondition::ItemNotFound)),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn leave(&self, leaving: &Leaving<'_>) -> BoxFuture<'static, ()> {
        let left = Left { at: leaving.at, status: status(leaving.presence) };
        let written = self.store.left(leaving.account, left);
        let account = leaving.account.clone();
        async move {
            match written.await {
                // The account was deleted, which is why it left.
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => tracing::debug!(%account, %error, "not noted when it left"),
            }
        }
        .boxed()
    }
}

/// XEP-0012 4: a question to a session of somebody whose presence the asker may not see does not reach it.
fn guard(stanza: &Stanza, account: &Arc<Account>) -> Result<(), StanzaError> {
    if stanza.kind() != Kind::Iq(IqType::Get)
        || stanza.child(ns::LAST_ACTIVITY, "query").is_none()
        || stanza.head.to.as_ref().is_none_or(|to| to.is_bare())
    {
        return Ok(());
    }
    let asker = stanza.head.from.as_ref().map(xmpp_core::Jid::to_bare);
    let may = asker.is_some_and(|asker| asker == *account.jid() || account.relation(&asker).from);
    if may { Ok(()) } else { Err(forbidden()) }
}

/// The first status of an unavailable presence, in whatever language it is.
fn status(presence: &Stanza) -> Option<String> {
    let status = presence.child(ns::CLIENT, "status")?;
    presence.node(&status).ok().map(|status| status.text).filter(|text| !text.is_empty())
}

fn seconds(time: Duration, status: Option<&str>) -> Reply {
    let mut out = Writer::new();
    out.open_ns("query", ns::LAST_ACTIVITY).attr("seconds", &time.as_secs().to_string());
    out.text(status.unwrap_or_default());
    out.finish().into()
}

fn forbidden() -> StanzaError {
    StanzaError::new(StanzaCondition::Forbidden)
}
