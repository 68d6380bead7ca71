//! XEP-0077: In-Band Registration, for those who have an account: what is registered, another password, the end. How
//! strangers get one is a matter of the stream.

use crate::{Registrar, commands::without_echo};
use bytes::Bytes;
use futures_util::FutureExt;
use router::{Answer, At, Declare, Module, Request};
use std::sync::Arc;
use xmpp_core::{Jid, StanzaError, error::StanzaCondition, ns, stanza::IqType, xml::Writer};

/// Lets users change their password, and leave.
pub(crate) struct Register {
    pub(crate) registrar: Arc<Registrar>,
}

impl Module for Register {
    fn name(&self) -> &'static str {
        "register"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(77, "In-Band Registration", "2.4");
        declare.feature(At::Server, ns::REGISTER);
        let at = [At::Server, At::Own];
        declare.answer(IqType::Get, (ns::REGISTER, "query"), at, registered);
        declare.handle(IqType::Set, (ns::REGISTER, "query"), at, move |request| {
            let this = self.clone();
            async move {
                let answer = this.set(&request).await;
                // XEP-0077 3.3: a password may be in it.
                without_echo(&request, answer)
            }
            .boxed()
        });
    }
}

/// XEP-0077 3.1: what is registered.
fn registered(request: &Request) -> Answer {
    at_home(request)?;
    let mut out = Writer::new();
    out.open_ns("query", ns::REGISTER).open("registered").close();
    out.open("instructions")
        .text("You are registered. Fill in another password to change it.")
        .close();
    out.open("username").text(request.session.account().jid().local().unwrap_or_default()).close();
    out.open("password").close().close();
    Ok(out.finish().into())
}

impl Register {
    /// XEP-0077 3.2, 3.3
    async fn set(&self, request: &Request) -> Answer {
        at_home(request)?;
        let bad = || StanzaError::new(StanzaCondition::BadRequest);
        let query = request.payload()?;
        let account = request.session.account().jid();
        if query.child(ns::REGISTER, "remove").is_some() {
            if query.children.len() > 1 {
                // XEP-0077 3.2
                return Err(bad());
            }
            self.registrar.delete(&request.router, account, &request.session).await?;
            return Ok(Bytes::new().into());
        }
        let field = |name| query.child(ns::REGISTER, name).map(|field| &*field.text);
        let (Some(username), Some(password)) = (field("username"), field("password")) else {
            return Err(bad().with_text("user name and password are required"));
        };
        // threat A11: nobody's but one's own
        let named = Jid::new(Some(username), account.domain(), None);
        if named.ok().as_ref() != Some(account.as_jid()) {
            return Err(bad().with_text("that is not your user name"));
        }
        let password = password.to_owned();
        let (router, session) = (&request.router, &request.session);
        self.registrar.change_password(router, account, password, session).await?;
        Ok(Bytes::new().into())
    }
}

/// An account is registered at its own domain only; to the others served here it is a stranger's (XEP-0077 3.2).
fn at_home(request: &Request) -> Result<(), StanzaError> {
    let own = request.session.account().jid().domain();
    match &request.stanza.head.to {
        Some(to) if to.domain() != own => {
            Err(StanzaError::new(StanzaCondition::RegistrationRequired))
        }
        _ => Ok(()),
    }
}
