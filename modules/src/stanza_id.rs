//! XEP-0359: Unique and Stable Stanza IDs.
//!
//! Ids come with archives, which they are the keys of (XEP-0313 3.5): the phase keep gives them. Here is what the XEP asks
//! of a server besides: nobody speaks in its name, and clients' own ids are left alone.

use router::{Account, At, Declare, Module, Side};
use std::sync::Arc;
use xmpp_core::{Jid, Kind, Stanza, ns, xml::Child};

/// Takes away stanza ids that users write in the name of the accounts and the server here (XEP-0359 3; threat P06).
pub(crate) struct StanzaIds {
    pub(crate) domains: Vec<String>,
}

impl Module for StanzaIds {
    fn name(&self) -> &'static str {
        "stanza-id"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(359, "Unique and Stable Stanza IDs", "0.7.0");
        declare.feature(At::Own, ns::STANZA_IDS);
        // The sender's account would give one as well as the recipient's.
        for side in [Side::Sender, Side::Recipient] {
            let this = self.clone();
            declare.mark(side, move |stanza, account| this.without_forged(stanza, account));
        }
    }
}

impl StanzaIds {
    fn without_forged(&self, stanza: Stanza, account: &Account) -> Stanza {
        let is_id = |child: &Child<'_>| child.is(ns::STANZA_IDS, "stanza-id");
        if !matches!(stanza.kind(), Kind::Message(_)) || !stanza.children().any(|c| is_id(&c)) {
            return stanza;
        }
        let forged = |child: &Child<'_>| is_id(child) && self.is_ours(&stanza, child, account);
        stanza.clone().without(forged)
    }

    /// Whether the id claims to be given by this account or by a server here.
    fn is_ours(&self, stanza: &Stanza, id: &Child<'_>, account: &Account) -> bool {
        let Ok(id) = stanza.node(id) else { return true };
        let by = id.attr("by").and_then(|by| by.parse::<Jid>().ok()).filter(Jid::is_bare);
        by.is_some_and(|by| {
            by.as_str() == account.jid().as_str()
                || (by.local().is_none() && self.domains.iter().any(|domain| domain == by.domain()))
        })
    }
}
