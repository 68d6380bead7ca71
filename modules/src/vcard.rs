//! XEP-0054: vcard-temp. The hash of the picture (XEP-0153) is in its owner's presence, which passes untouched.

use crate::stored::refusal;
use bytes::Bytes;
use futures_util::FutureExt;
use roster_store::{DocumentKey, Store, StoreError};
use router::{Answer, At, Declare, Module, Request};
use std::sync::Arc;
use xmpp_core::{BareJid, StanzaError, error::StanzaCondition, ns, stanza::IqType};

/// Keeps vCards, for all the world to read (XEP-0054 5).
pub(crate) struct VCards {
    pub(crate) store: Arc<dyn Store>,
}

impl Module for VCards {
    fn name(&self) -> &'static str {
        "vcard"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(54, "vcard-temp", "1.3.0");
        declare.xep(153, "vCard-Based Avatars", "1.1.1");
        for at in [At::Server, At::Own] {
            declare.feature(at, ns::VCARD);
        }
        let vcard = (ns::VCARD, "vCard");
        let at = [At::Own, At::Contact, At::Stranger];
        let this = self.clone();
        declare.handle(IqType::Get, vcard, at, move |request| this.clone().get(request).boxed());
        declare.handle(IqType::Set, vcard, [At::Own], move |request| {
            self.clone().set(request).boxed()
        });
        // XEP-0054 3.2: whether there is such an account or not.
        declare.answer(IqType::Set, vcard, [At::Contact, At::Stranger], |_| {
            Err(StanzaError::new(StanzaCondition::Forbidden))
        });
    }
}

impl VCards {
    async fn get(self: Arc<Self>, request: Request) -> Answer {
        match self.read(&request.account()).await? {
            Some(vcard) => Ok(vcard.into()),
            // XEP-0054 3.1
            None if request.at == At::Own => Err(StanzaError::new(StanzaCondition::ItemNotFound)),
            // XEP-0054 3.3: no vCard and no account are the same to others.
            None => Err(StanzaError::new(StanzaCondition::ServiceUnavailable)),
        }
    }

    async fn read(&self, owner: &BareJid) -> Result<Option<Bytes>, StanzaError> {
        match self.store.document(owner, &DocumentKey::VCard).await {
            Ok(vcard) => Ok(vcard.map(Bytes::from)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn set(self: Arc<Self>, request: Request) -> Answer {
        // An empty vCard is none.
        let empty = request.payload()?.is_empty();
        let vcard = if empty { Bytes::new() } else { request.element()?.standalone() };
        let documents = vec![(DocumentKey::VCard, vcard.to_vec())];
        let put = self.store.put_documents(request.session.account().jid(), documents);
        put.await.map_err(|error| refusal(&error))?;
        Ok(Bytes::new().into())
    }
}
