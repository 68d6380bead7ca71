//! XEP-0199: XMPP Ping.

use bytes::Bytes;
use router::{At, Declare, Module};
use std::sync::Arc;
use xmpp_core::{ns, stanza::IqType};

/// Answers pings to the server and to accounts.
pub(crate) struct Ping;

impl Module for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(199, "XMPP Ping", "2.0.1");
        declare.feature(At::Server, ns::PING);
        // XEP-0199 4.2, 4.4
        let at = [At::Server, At::Own, At::Contact];
        declare.answer(IqType::Get, (ns::PING, "ping"), at, |_| Ok(Bytes::new().into()));
    }
}
