//! What putting documents does (XEP-0049, XEP-0054).

use super::{AccountId, Rows, account};
use crate::{Caps, Document, DocumentKey, Result, StoreError};
use std::collections::BTreeMap;
use xmpp_core::BareJid;

/// The rows of documents.
pub(crate) trait DocumentRows: Rows {
    /// How many documents the account has, and their bytes.
    fn documents(&self, owner: AccountId) -> Result<(usize, usize)>;
    /// The bytes of a document, where there is one.
    fn document_bytes(&self, owner: AccountId, key: &DocumentKey) -> Result<Option<usize>>;
    /// Adds or replaces a document.
    fn put_document(&mut self, owner: AccountId, key: &DocumentKey, data: &[u8]) -> Result<()>;
    /// Takes a document away, if it is there.
    fn drop_document(&mut self, owner: AccountId, key: &DocumentKey) -> Result<()>;
}

/// Puts documents in the place of what was there, all or none.
pub(crate) fn put_documents(
    rows: &mut impl DocumentRows,
    caps: &Caps,
    owner: &BareJid,
    documents: &[Document],
) -> Result<()> {
    let id = account(rows, owner)?;
    let last: BTreeMap<&DocumentKey, &[u8]> =
        documents.iter().map(|(key, data)| (key, &data[..])).collect();
    let (had, held) = rows.documents(id)?;
    let (mut count, mut bytes) = (had, held);
    for (key, data) in &last {
        if let Some(old) = rows.document_bytes(id, key)? {
            count -= 1;
            bytes -= old;
        }
        count += usize::from(!data.is_empty());
        bytes += data.len();
    }
    // Over a cap that was lowered, it may still become less.
    if count > caps.documents.max(had) || bytes > caps.documents_bytes.max(held) {
        return Err(StoreError::Full("documents"));
    }
    for (key, data) in last {
        match data {
            [] => rows.drop_document(id, key)?,
            data => rows.put_document(id, key, data)?,
        }
    }
    Ok(())
}
