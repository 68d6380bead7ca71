//! Session establishment (RFC 3921 3), which later became nothing (RFC 6121 1.4) but is still asked for.

use bytes::Bytes;
use router::{At, Declare, Module};
use std::sync::Arc;
use xmpp_core::{ns, stanza::IqType};

/// Lets older clients believe that a session is established.
pub(crate) struct Session;

impl Module for Session {
    fn name(&self) -> &'static str {
        "session"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let at = [At::Server, At::Own];
        declare.answer(IqType::Set, (ns::SESSION, "session"), at, |_| Ok(Bytes::new().into()));
    }
}
