//! Where the router learns what it must know of an account: whether it exists, who sees whose presence, whom it has
//! blocked.

use crate::BoxFuture;
use smallvec::SmallVec;
use std::{any::Any, collections::HashMap, sync::Arc};
use xmpp_core::{BareJid, Jid};

/// What is agreed between an account and a contact (RFC 6121 2, 3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relation {
    /// The account gets the contact's presence.
    pub to: bool,
    /// The contact gets the account's presence.
    pub from: bool,
    /// The contact is in the account's roster.
    pub listed: bool,
}

/// What is known of an account when it is read.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The roster's version: it only rises, so an older record never replaces a newer one.
    pub version: u64,
    /// The contacts in its roster, and whoever else has a subscription in either direction.
    pub contacts: HashMap<BareJid, Relation>,
    /// The addresses that it has blocked (XEP-0191).
    pub blocked: Vec<Jid>,
    /// What else modules have to know of it.
    pub facets: Facets,
}

/// What modules have to know of an account while it is in memory, one value of each type. Cloning bumps counters.
#[derive(Debug, Clone, Default)]
pub struct Facets(SmallVec<[Arc<dyn Any + Send + Sync>; 1]>);

impl Facets {
    /// The value of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|facet| (**facet).downcast_ref())
    }

    /// Puts a value in place of the one of the same type.
    pub fn put<T: Any + Send + Sync>(&mut self, value: T) {
        self.0.retain(|facet| !(**facet).is::<T>());
        self.0.push(Arc::new(value));
    }
}

/// The account could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account could not be read")]
pub struct LoadError;

/// Reads accounts. Implemented over the stores; the router asks once for all who wait and remembers the answer.
pub trait Directory: Send + Sync {
    /// What is known of this account; `None` where there is no such account.
    fn load(&self, account: &BareJid) -> BoxFuture<'static, Result<Option<Record>, LoadError>>;
}
