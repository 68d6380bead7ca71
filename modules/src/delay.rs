//! XEP-0203: Delayed Delivery.

use crate::time;
use bytes::Bytes;
use router::{Declare, Module, Side};
use std::{sync::Arc, time::SystemTime};
use xmpp_core::{
    Jid, Stanza, ns,
    xml::{Child, Writer},
};

/// Takes away delay stamps that users write in the server's name (XEP-0203 5; threat P06).
pub(crate) struct Delay {
    pub(crate) domains: Vec<String>,
}

impl Module for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(203, "Delayed Delivery", "2.0");
        declare.mark(Side::Sender, move |stanza, _| {
            if !stanza.children().any(|child| is_delay(&child)) {
                return stanza;
            }
            let forged = |child: &Child<'_>| is_delay(child) && self.is_ours(&stanza, child);
            stanza.clone().without(forged)
        });
    }
}

impl Delay {
    /// Whether the stamp claims to be of a server here.
    fn is_ours(&self, stanza: &Stanza, delay: &Child<'_>) -> bool {
        let Ok(delay) = stanza.node(delay) else { return true };
        let from = delay.attr("from").and_then(|from| from.parse::<Jid>().ok());
        from.is_some_and(|from| {
            from.local().is_none() && self.domains.iter().any(|domain| domain == from.domain())
        })
    }
}

/// Adds when the server took the stanza in, unless it has said so before.
pub(crate) fn stamped(stanza: Stanza, domain: &str, at: SystemTime) -> Stanza {
    let by_us =
        |child: &Child<'_>| stanza.node(child).is_ok_and(|d| d.attr("from") == Some(domain));
    if stanza.children().any(|child| is_delay(&child) && by_us(&child)) {
        return stanza;
    }
    stanza.with_child(&stamp(domain, at, "Offline Storage")) // XEP-0160 2
}

/// The stamp itself (XEP-0203 2); `reason`: for people, may be empty.
pub(crate) fn stamp(domain: &str, at: SystemTime, reason: &str) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("delay", ns::DELAY).attr("from", domain).attr("stamp", &time::stamp(at));
    out.text(reason).close();
    out.finish()
}

fn is_delay(child: &Child<'_>) -> bool {
    child.ns == ns::DELAY && child.name == "delay"
}
