//! Documents that clients keep at the server: private XML (XEP-0049) and the vCard (XEP-0054).

use crate::{BoxFuture, Result};
use xmpp_core::BareJid;

/// What an account's document is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentKey {
    /// Private XML (XEP-0049 2): the element's namespace and name.
    Private {
        /// Its namespace.
        ns: String,
        /// Its local name.
        name: String,
    },
    /// The vCard (XEP-0054).
    VCard,
}

/// Documents that an account keeps. Reads see every write that is done.
pub trait Documents: Send + Sync {
    /// The document as it was put; `None`: there is none.
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) (no such account).
    fn document(&self, owner: &BareJid, key: &DocumentKey) -> BoxFuture<Result<Option<Vec<u8>>>>;
    /// Puts documents in the place of what was there, all or none; of two with one key, the later. One without any bytes takes
    /// away what was there. [`StoreError::Full`](crate::StoreError::Full)`("documents")`,
    /// [`StoreError::NotFound`](crate::StoreError::NotFound).
    fn put_documents(&self, owner: &BareJid, documents: Vec<Document>) -> BoxFuture<Result<()>>;
}

/// A document and what it is known by.
pub type Document = (DocumentKey, Vec<u8>);
