//! XEP-0313: Message Archive Management. What an account has said and heard, kept in order, for its own sessions only.
//!
//! What goes in is decided in the phase keep, by [`worth`] and [`Archiving`]; here it is read.

mod policy;
mod preferences;
mod query;
mod what;

pub(crate) use policy::Archiving;
pub(crate) use what::{Worth, worth};

use crate::{stored::refusal, time};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use roster_store::{Kept, MessageId, Page, Policy, Store};
use router::{Answer, At, Declare, Module, Request, Side};
use std::sync::Arc;
use xmpp_core::{
    BareJid, Kind, Stanza, StanzaError,
    error::StanzaCondition,
    ns,
    stanza::{IqType, MessageType},
    xml::Writer,
};

/// How archives are kept and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What is archived for accounts that have not said (XEP-0441).
    pub default: Policy,
    /// Messages on one page, unless the client says.
    pub page: usize,
    /// Messages on one page at most.
    pub page_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default: Policy::Always, page: 50, page_max: 250 }
    }
}

/// Lets sessions read their account's archive.
pub(crate) struct Archive {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Settings,
}

impl Module for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(59, "Result Set Management", "1.0");
        declare.xep(313, "Message Archive Management", "1.1.3");
        declare.xep(431, "Full Text Search in MAM", "0.2.0");
        declare.xep(441, "Message Archive Management Preferences", "0.2.0");
        // XEP-0313 7: what hosts an archive is the account.
        for feature in [ns::ARCHIVE, EXTENDED, GROUPCHAT_FIELD, FULL_TEXT] {
            declare.feature(At::Own, feature);
        }
        for payload in ["query", "metadata", "prefs"] {
            for kind in [IqType::Get, IqType::Set] {
                // 8.1: whether there is such an account or not.
                declare.answer(kind, (ns::ARCHIVE, payload), [At::Contact, At::Stranger], |_| {
                    Err(StanzaError::new(StanzaCondition::Forbidden))
                });
            }
        }
        // 8.2, threat P06: users have no archives to tell results of.
        declare.mark(Side::Sender, |stanza, _| match stanza.kind() {
            Kind::Message(_) => stanza.without(|child| child.is(ns::ARCHIVE, "result")),
            Kind::Iq(_) | Kind::Presence(_) => stanza,
        });
        declare.answer(IqType::Get, (ns::ARCHIVE, "query"), [At::Own], |_| Ok(form().into()));
        let this = self.clone();
        declare.handle(IqType::Set, (ns::ARCHIVE, "query"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.query(request).await }.boxed()
        });
        let this = self.clone();
        declare.handle(IqType::Get, (ns::ARCHIVE, "metadata"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.metadata(request).await }.boxed()
        });
        let this = self.clone();
        declare.handle(IqType::Get, (ns::ARCHIVE, "prefs"), [At::Own], move |request| {
            let this = this.clone();
            async move { this.preferences(request).await }.boxed()
        });
        declare.handle(IqType::Set, (ns::ARCHIVE, "prefs"), [At::Own], move |request| {
            let this = self.clone();
            async move { this.set_preferences(request).await }.boxed()
        });
    }
}

/// XEP-0313 7
const EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0313 7: the field is understood; nothing of rooms is archived.
const GROUPCHAT_FIELD: &str = "urn:xmpp:mam:2#groupchat-field";
/// XEP-0431 2.1
const FULL_TEXT: &str = "urn:xmpp:fulltext:0";

impl Archive {
    /// 4.2, 4.3: the messages, then the result.
    async fn query(&self, request: Request) -> Answer {
        let asked = query::read(&request.payload()?, self.settings)?;
        let Request { session, .. } = &request;
        let owner = session.account().jid();
        let count = match asked.count {
            true => self
                .store
                .matching(owner, asked.query.clone())
                .await
                .map_err(|error| refusal(&error))?,
            false => None,
        };
        // 4.1.3, 4.3.2: an id that is not there is all that can be missing.
        let page = self.store.page(owner, asked.query).await.map_err(|error| refusal(&error))?;
        let fin = fin(&page, count);
        let result = |kept: &Kept| {
            let inner = result(kept, asked.id.as_deref());
            Stanza::new(Kind::Message(MessageType::Normal), inner)
                .to(session.jid().clone())
                .from(owner.as_jid().clone())
        };
        let mut messages = page.messages;
        if asked.flipped {
            messages.reverse();
        }
        // 6.1.1: what a client has read here does not come to it by itself as well.
        session.answer_rows(
            messages.iter().map(|kept| (result(kept), kept.pending.then(|| kept.id.number()))),
        );
        Ok(fin.into())
    }

    /// 5
    async fn metadata(&self, request: Request) -> Answer {
        let edges = self.store.edges(request.session.account().jid()).await;
        let mut out = Writer::new();
        out.open_ns("metadata", ns::ARCHIVE);
        if let Some((first, last)) = edges.map_err(|error| refusal(&error))? {
            for (name, edge) in [("start", first), ("end", last)] {
                out.open(name).attr("id", &edge.id.to_string());
                out.attr("timestamp", &time::stamp(edge.at)).close();
            }
        }
        out.close();
        Ok(out.finish().into())
    }
}

/// 4.1.5
fn form() -> Bytes {
    let mut out = Writer::new();
    out.open_ns("query", ns::ARCHIVE);
    query::form().write(&mut out);
    out.close();
    out.finish()
}

/// 4.2: a message as it was, and when it came.
fn result(kept: &Kept, query_id: Option<&str>) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("result", ns::ARCHIVE).maybe("queryid", query_id);
    out.attr("id", &kept.id.to_string());
    out.open_ns("forwarded", ns::FORWARD);
    out.open_ns("delay", ns::DELAY).attr("stamp", &time::stamp(kept.at)).close();
    out.raw(&declared(&kept.stanza)).close().close();
    out.finish()
}

/// A stored stanza with the namespace that it had on the stream.
fn declared(stanza: &[u8]) -> BytesMut {
    const DECLARATION: &[u8] = b" xmlns='jabber:client'";
    let name = stanza.iter().position(|b| matches!(b, b' ' | b'/' | b'>')).unwrap_or(stanza.len());
    let mut out = BytesMut::with_capacity(stanza.len() + DECLARATION.len());
    for part in [&stanza[..name], DECLARATION, &stanza[name..]] {
        out.extend_from_slice(part);
    }
    out
}

/// 4.2, 4.3.2: where the page begins and ends, in the archive's order.
fn fin(page: &Page, count: Option<u64>) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("fin", ns::ARCHIVE).maybe("complete", page.complete.then_some("true"));
    out.open_ns("set", ns::RESULT_SETS);
    if let (Some(first), Some(last)) = (page.messages.first(), page.messages.last()) {
        out.open("first").text(&first.id.to_string()).close();
        out.open("last").text(&last.id.to_string()).close();
    }
    if let Some(count) = count {
        out.open("count").text(&count.to_string()).close();
    }
    out.close().close();
    out.finish()
}

/// The element that tells a session the id that its account's archive has for a message (XEP-0313 3.5, XEP-0359).
pub(crate) fn stanza_id(owner: &BareJid, id: MessageId) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("stanza-id", ns::STANZA_IDS)
        .attr("by", owner.as_str())
        .attr("id", &id.to_string())
        .close();
    out.finish()
}
