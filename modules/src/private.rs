//! XEP-0049: Private XML Storage.
//!
//! An element is kept under its namespace and name, as the bytes that came, with the namespaces that it takes from
//! outside declared on it.

use crate::stored::refusal;
use futures_util::FutureExt;
use roster_store::{Document, DocumentKey, Store};
use router::{Answer, At, Declare, Module, Request};
use std::sync::Arc;
use xmpp_core::{
    StanzaError,
    error::StanzaCondition,
    ns,
    stanza::IqType,
    xml::{Child, Element, Node, Writer},
};

/// Keeps elements for their owner's clients.
pub(crate) struct Private {
    pub(crate) store: Arc<dyn Store>,
}

impl Module for Private {
    fn name(&self) -> &'static str {
        "private"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(49, "Private XML Storage", "1.2");
        for at in [At::Server, At::Own] {
            declare.feature(at, ns::PRIVATE);
        }
        let query = (ns::PRIVATE, "query");
        for kind in [IqType::Get, IqType::Set] {
            // XEP-0049 2.3, 4: whether there is such an account or not.
            declare.answer(kind, query, [At::Contact, At::Stranger], |_| {
                Err(StanzaError::new(StanzaCondition::Forbidden))
            });
        }
        let this = self.clone();
        declare.handle(IqType::Get, query, [At::Own], move |request| {
            this.clone().get(request).boxed()
        });
        declare.handle(IqType::Set, query, [At::Own], move |request| {
            self.clone().set(request).boxed()
        });
    }
}

impl Private {
    async fn get(self: Arc<Self>, request: Request) -> Answer {
        let query = request.element()?;
        let mut asked = query.children();
        // XEP-0049 2.3: one element, and not more than one.
        let (Some(asked), None) = (asked.next(), asked.next()) else {
            return Err(StanzaError::new(StanzaCondition::BadRequest)
                .with_text("ask for one element at a time"));
        };
        let kept = self.store.document(request.session.account().jid(), &key(&asked)?);
        let kept = kept.await.map_err(|error| refusal(&error))?;
        let mut out = Writer::new();
        out.open_ns("query", ns::PRIVATE);
        match kept {
            Some(document) => out.raw(&document),
            // What was never kept is as empty as it was asked for.
            None => out.raw(&query.standalone_child(&asked)),
        };
        Ok(out.finish().into())
    }

    async fn set(self: Arc<Self>, request: Request) -> Answer {
        let documents = documents(&request.element()?, &request.payload()?)?;
        let put = self.store.put_documents(request.session.account().jid(), documents);
        put.await.map_err(|error| refusal(&error))?;
        Ok(bytes::Bytes::new().into())
    }
}

/// What is to be kept: all of it, or nothing. `tree` is the query, too.
fn documents(query: &Element, tree: &Node) -> Result<Vec<Document>, StanzaError> {
    let mut documents: Vec<Document> = Vec::new();
    for (child, tree) in query.children().zip(&tree.children) {
        let key = key(&child)?;
        if documents.iter().any(|(other, _)| *other == key) {
            // Only one of them could be kept.
            return Err(StanzaError::new(StanzaCondition::BadRequest)
                .with_text("one element stands there twice"));
        }
        // An element with nothing in it is what is answered where nothing is kept.
        let kept =
            if tree.is_empty() { Vec::new() } else { query.standalone_child(&child).to_vec() };
        documents.push((key, kept));
    }
    if documents.is_empty() {
        // XEP-0049 2.3
        return Err(not_acceptable("there is no element to keep"));
    }
    Ok(documents)
}

/// XEP-0049 2.3, 3: an element has a namespace of its own, and none of the reserved ones.
fn key(element: &Child<'_>) -> Result<DocumentKey, StanzaError> {
    let reserved = ["jabber:", "http://jabber.org/"];
    if element.ns.is_empty() || reserved.iter().any(|start| element.ns.starts_with(start)) {
        Err(not_acceptable("an element needs a namespace of its own"))
    } else if element.ns == ns::VCARD {
        Err(not_acceptable("the vCard is kept as what it is"))
    } else {
        Ok(DocumentKey::Private { ns: element.ns.to_owned(), name: element.name.to_owned() })
    }
}

fn not_acceptable(text: &'static str) -> StanzaError {
    StanzaError::new(StanzaCondition::NotAcceptable).with_text(text)
}
