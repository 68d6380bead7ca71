//! What the router must know of an account, from the store.

use futures_util::FutureExt;
use roster_store::{Profile, Store, StoreError};
use router::{BoxFuture, Directory, Facets, LoadError, Record, Relation};
use std::sync::Arc;
use xmpp_core::BareJid;

/// The router's directory over a store.
pub struct StoreDirectory {
    store: Arc<dyn Store>,
}

impl StoreDirectory {
    /// A directory of the accounts in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl Directory for StoreDirectory {
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>> {
        let read = self.store.profile(account);
        let account = account.clone();
        async move {
            match read.await {
                Ok(profile) => Ok(Some(record(profile))),
                Err(StoreError::NotFound) => Ok(None),
                Err(error) => {
                    tracing::error!(%account, %error, "the account could not be read");
                    Err(LoadError)
                }
            }
        }
        .boxed()
    }
}

fn record(Profile { roster, blocked, archive: _ }: Profile) -> Record {
    let contacts = roster.items.into_iter().map(|item| {
        let relation = Relation { to: item.subscription.to, from: item.subscription.from };
        (item.jid, relation)
    });
    Record {
        version: roster.version,
        blocked,
        facets: Facets::default(),
        contacts: contacts.filter(|(_, relation)| *relation != Relation::default()).collect(),
    }
}
