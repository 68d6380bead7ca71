//! What the router must know of an account, from the store.

use crate::archive::Archiving;
use futures_util::FutureExt;
use roster_store::{Policy, Profile, Store, StoreError};
use router::{BoxFuture, Directory, Facets, LoadError, Record, Relation};
use std::sync::Arc;
use xmpp_core::BareJid;

/// The router's directory over a store.
pub struct StoreDirectory {
    store: Arc<dyn Store>,
    archive: Policy,
}

impl StoreDirectory {
    /// A directory of the accounts in this store. `archive`: what is archived for those who have not said.
    pub fn new(store: Arc<dyn Store>, archive: Policy) -> Self {
        Self { store, archive }
    }
}

impl Directory for StoreDirectory {
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>> {
        let read = self.store.profile(account);
        let (account, archive) = (account.clone(), self.archive);
        async move {
            match read.await {
                Ok(profile) => Ok(Some(record(profile, archive))),
                Err(StoreError::NotFound) => Ok(None),
                Err(error) => {
                    tracing::debug!(%account, %error, "the account could not be read");
                    Err(LoadError)
                }
            }
        }
        .boxed()
    }
}

fn record(Profile { roster, blocked, archive }: Profile, default: Policy) -> Record {
    let mut facets = Facets::default();
    facets.put(Archiving::new(archive, default));
    let contacts = roster.items.into_iter().map(|item| {
        let relation = Relation {
            to: item.subscription.to,
            from: item.subscription.from,
            listed: item.listed,
        };
        (item.jid, relation)
    });
    Record {
        version: roster.version,
        blocked,
        facets,
        contacts: contacts.filter(|(_, relation)| *relation != Relation::default()).collect(),
    }
}
