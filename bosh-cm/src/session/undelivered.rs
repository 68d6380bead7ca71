//! Stanzas that came for a client that is gone (XEP-0206 7).

use super::link::LIMITS;
use bytes::Bytes;
use xmpp_core::{
    ns,
    xml::{Element, Scope, Writer},
};

/// What the server is told of this stanza: the error that its sender is to get, with what it sent, so that a server
/// which keeps messages can do it now. Nothing of presence and of answers; nor of headlines, which nobody keeps
/// (RFC 6121 8.5.2).
pub(super) fn returned(stanza: Bytes) -> Option<Bytes> {
    let stanza = Element::check(stanza, &Scope::default(), &LIMITS).ok()?;
    if stanza.ns() != ns::CLIENT {
        return None;
    }
    let kind = stanza.attr("type");
    let (name, class, condition) = match (stanza.name(), kind.as_deref()) {
        ("message", Some("error" | "headline")) => return None,
        ("message", _) => ("message", "wait", "recipient-unavailable"),
        ("iq", Some("get" | "set")) => ("iq", "cancel", "service-unavailable"),
        _ => return None,
    };
    let mut out = Writer::new();
    out.open_ns(name, ns::CLIENT).attr("type", "error");
    out.maybe("to", stanza.attr("from").as_deref()).maybe("id", stanza.attr("id").as_deref());
    for child in stanza.children() {
        out.raw(&stanza.child_within(&child, ns::CLIENT));
    }
    out.open("error").attr("type", class).open_ns(condition, ns::STANZA_ERRORS).close().close();
    out.close();
    Some(out.finish())
}
