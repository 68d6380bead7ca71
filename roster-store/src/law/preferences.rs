//! What archive preferences may be (XEP-0441).

use super::{AccountId, Rows, account};
use crate::{Caps, Preferences, Result, StoreError};
use xmpp_core::BareJid;

/// The rows of archive preferences.
pub(crate) trait PreferenceRows: Rows {
    /// What the account wants archived, where it has said so.
    fn preferences(&self, owner: AccountId) -> Result<Option<Preferences>>;
    /// Puts preferences in the place of what was there.
    fn put_preferences(&mut self, owner: AccountId, preferences: &Preferences) -> Result<()>;
}

/// Puts preferences in the place of what was there; gives them as they are now.
pub(crate) fn set_preferences(
    rows: &mut impl PreferenceRows,
    caps: &Caps,
    owner: &BareJid,
    preferences: &Preferences,
) -> Result<Preferences> {
    let id = account(rows, owner)?;
    let preferences = preferences.clone().tidy();
    let all = || preferences.always.iter().chain(&preferences.never);
    let bytes: usize = all().map(|jid| jid.as_str().len()).sum();
    if all().count() > caps.archive_rules || bytes > caps.archive_rules_bytes {
        return Err(StoreError::Full("archive preferences"));
    }
    rows.put_preferences(id, &preferences)?;
    Ok(preferences)
}
