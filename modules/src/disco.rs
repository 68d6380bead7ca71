//! XEP-0030: Service Discovery. Identities, features, forms (XEP-0128) and nodes are what the modules declare.

use crate::form::{Field, FieldType, Form};
use futures_util::FutureExt;
use router::{Answer, At, Declare, Discovery, Extension, Identity, Info, Module, Request};
use std::sync::Arc;
use xmpp_core::{StanzaError, error::StanzaCondition, ns, stanza::IqType, xml::Writer};

/// Tells what there is to be found at the server and at accounts.
pub(crate) struct Disco {
    /// The server's name for people.
    pub(crate) name: String,
}

impl Module for Disco {
    fn name(&self) -> &'static str {
        "disco"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(30, "Service Discovery", "2.5.0");
        declare.xep(128, "Service Discovery Extensions", "1.0.1");
        let name = Some(self.name.clone());
        declare.identity(At::Server, Identity { category: "server", kind: "im", name });
        let account = Identity { category: "account", kind: "registered", name: None };
        declare.identity(At::Own, account);
        for at in [At::Server, At::Own] {
            declare.feature(at, ns::DISCO_INFO);
            declare.feature(at, ns::DISCO_ITEMS);
        }
        // XEP-0030 7: strangers get `service-unavailable`, whether there is such an account or not.
        let at = [At::Server, At::Own, At::Contact];
        declare.answer(IqType::Get, (ns::DISCO_INFO, "query"), at, info);
        // XEP-0030 7: and the same empty list.
        let at = [At::Server, At::Own, At::Contact, At::Stranger];
        declare
            .handle(IqType::Get, (ns::DISCO_ITEMS, "query"), at, |request| items(request).boxed());
    }
}

/// XEP-0030 3.1
fn info(request: &Request) -> Answer {
    if let Some(node) = request.payload()?.attr("node") {
        return of_node(request, Discovery::Info, node);
    }
    let mut out = Writer::new();
    out.open_ns("query", ns::DISCO_INFO);
    write(request.router.info(request.at), &mut out);
    Ok(out.finish().into())
}

/// What stands in the answer.
pub(crate) fn write(info: &Info, out: &mut Writer) {
    for Identity { category, kind, name } in &info.identities {
        out.open("identity").attr("category", category).attr("type", kind);
        out.maybe("name", name.as_deref()).close();
    }
    for feature in &info.features {
        out.open("feature").attr("var", feature).close();
    }
    for Extension { form_type, fields } in &info.extensions {
        let fields = fields.iter().map(|(var, label, values)| {
            Field::new(FieldType::ListMulti, var, label).values(values)
        });
        fields.fold(Form::result(form_type), Form::with).write(out);
    }
}

/// XEP-0030 4.1: an account's items are its available sessions.
async fn items(request: Request) -> Answer {
    let payload = request.payload()?;
    let node = payload.attr("node");
    if let (Some(node), At::Server | At::Own | At::Contact) = (node, request.at) {
        return of_node(&request, Discovery::Items, node);
    }
    let mut out = Writer::new();
    out.open_ns("query", ns::DISCO_ITEMS).maybe("node", node);
    match request.at {
        At::Stranger | At::Server => {}
        At::Own | At::Contact => {
            for session in available(&request).await? {
                out.open("item").attr("jid", &session).close();
            }
        }
    }
    out.close();
    Ok(out.finish().into())
}

/// XEP-0030 3.2, 4.2: a node of some module.
fn of_node(request: &Request, what: Discovery, node: &str) -> Answer {
    let Some(found) = request.router.node(request, what, node) else {
        return Err(StanzaError::new(StanzaCondition::ItemNotFound));
    };
    let ns = match what {
        Discovery::Info => ns::DISCO_INFO,
        Discovery::Items => ns::DISCO_ITEMS,
    };
    let mut out = Writer::new();
    out.open_ns("query", ns).attr("node", node).raw(&found?).close();
    Ok(out.finish().into())
}

async fn available(request: &Request) -> Result<Vec<String>, StanzaError> {
    let router = &request.router;
    let account = router.account(request.account().as_jid()).await;
    let account = account.map_err(|_| StanzaError::new(StanzaCondition::InternalServerError))?;
    let sessions = router.enter(&account, |view| {
        let available = view.seats().iter().filter(|seat| seat.is_available());
        available.map(|seat| seat.jid().to_string()).collect()
    });
    Ok(sessions.await)
}
