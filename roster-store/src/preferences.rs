//! What an account wants archived (XEP-0441).

use crate::{BoxFuture, Result};
use xmpp_core::{BareJid, Jid};

/// Whose messages are archived, unless one of the lists says (XEP-0441 2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Everybody's.
    Always,
    /// Those of contacts in the roster.
    Roster,
    /// Nobody's.
    Never,
}

/// What an account wants archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// What holds for those in neither list.
    pub default: Policy,
    /// Those whose messages are archived, sorted.
    pub always: Vec<Jid>,
    /// Those whose messages are not, sorted. Who is in both lists is in this one only.
    pub never: Vec<Jid>,
}

/// Archive preferences. They are read with the account: [`Profile`](crate::Profile).
pub trait ArchivePreferences: Send + Sync {
    /// Puts preferences in the place of what was there; gives them as they are now.
    /// [`StoreError::NotFound`](crate::StoreError::NotFound),
    /// [`StoreError::Full`](crate::StoreError::Full)`("archive preferences")`.
    fn set_preferences(
        &self,
        owner: &BareJid,
        preferences: Preferences,
    ) -> BoxFuture<Result<Preferences>>;
}

impl Preferences {
    /// Each address once, in order, in one of the lists.
    pub(crate) fn tidy(mut self) -> Self {
        for list in [&mut self.always, &mut self.never] {
            list.sort_unstable();
            list.dedup();
        }
        self.always.retain(|jid| self.never.binary_search(jid).is_err());
        self
    }
}
