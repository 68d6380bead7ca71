//! Iqs that the server answers: on its own behalf, or on an account's.

use crate::{At, Reply, Request, Router, Session, declare::Handler, route::After};
use std::sync::Arc;
use xmpp_core::{Kind, Stanza, error::StanzaCondition, stanza::IqType};

impl Router {
    /// Answers an iq by the module that claims it, or with `service-unavailable` (RFC 6120 8.4, 10.3.3).
    pub(crate) async fn answer(
        self: &Arc<Self>,
        session: &Session,
        stanza: Stanza,
        at: At,
        after: &mut After,
    ) {
        // RFC 6120 10.3.3: a result or error that nobody here waits for is ignored.
        let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.kind() else { return };
        let handler = stanza
            .children()
            .next()
            .and_then(|payload| self.law.handler(kind, payload.ns, payload.name, at));
        let Some(handler) = handler else {
            return after.refuse(stanza, StanzaCondition::ServiceUnavailable);
        };
        let request =
            Request { router: self.clone(), session: session.clone(), stanza: stanza.clone(), at };
        let answer = match handler {
            Handler::Now(answer) => answer(&request),
            Handler::Later(handle) => handle(request).await,
        };
        match answer {
            Ok(Reply::Result(payload)) => session.answer(stanza.result(payload)),
            Ok(Reply::Sent) => {}
            Err(error) => after.refuse_with(stanza, error),
        }
    }
}
