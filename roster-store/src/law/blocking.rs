//! What blocking and unblocking do (XEP-0191).

use super::{AccountId, Rows, account};
use crate::{Caps, Result, StoreError};
use std::collections::BTreeSet;
use xmpp_core::{BareJid, Jid};

/// The rows of block lists.
pub(crate) trait BlockRows: Rows {
    /// The blocked addresses, sorted.
    fn blocked(&self, owner: AccountId) -> Result<Vec<Jid>>;
    /// Adds an address that is not there.
    fn put_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()>;
    /// Takes an address away.
    fn drop_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()>;
}

/// Adds addresses; gives those that were not there (XEP-0191 3.3).
pub(crate) fn block(
    rows: &mut impl BlockRows,
    caps: &Caps,
    owner: &BareJid,
    jids: &[Jid],
) -> Result<Vec<Jid>> {
    let id = account(rows, owner)?;
    let there = rows.blocked(id)?;
    let wanted: BTreeSet<&Jid> = jids.iter().collect();
    let new: Vec<Jid> =
        wanted.into_iter().filter(|jid| there.binary_search(jid).is_err()).cloned().collect();
    let all = || there.iter().chain(&new);
    let bytes: usize = all().map(|jid| jid.as_str().len()).sum();
    if !new.is_empty() && (all().count() > caps.blocked || bytes > caps.blocked_bytes) {
        return Err(StoreError::Full("blocked addresses"));
    }
    for jid in &new {
        rows.put_blocked(id, jid)?;
    }
    Ok(new)
}

/// Removes addresses, or all where none are named; gives those that were there (XEP-0191 3.4, 3.5).
pub(crate) fn unblock(
    rows: &mut impl BlockRows,
    owner: &BareJid,
    jids: &[Jid],
) -> Result<Vec<Jid>> {
    let id = account(rows, owner)?;
    let mut gone = rows.blocked(id)?;
    if !jids.is_empty() {
        let named: BTreeSet<&Jid> = jids.iter().collect();
        gone.retain(|jid| named.contains(jid));
    }
    for jid in &gone {
        rows.drop_blocked(id, jid)?;
    }
    Ok(gone)
}
