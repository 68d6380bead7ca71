//! What there is at the end: an account's archive, roster, blocked addresses and requests, asked for over the protocol.

use super::{
    device::is_whole,
    history::{Event, History},
    stream::{Door, PATIENCE, Places, Stream},
    subject::PASSWORD,
};
use anyhow::Context;
use xmpp_core::{BareJid, ns, xml::Node};

/// XEP-0059.
const RSM: &str = "http://jabber.org/protocol/rsm";

/// Notes all that an account has.
///
/// # Errors
/// The server does not say.
pub(super) async fn take(
    account: &BareJid,
    places: &Places,
    history: &History,
) -> anyhow::Result<()> {
    let (mut stream, _) = Stream::open(Door::Tcp, places, account, PASSWORD, PATIENCE).await?;
    stream.bind("stock").await?;
    archive(&mut stream, account, history).await?;
    let roster = ask(&mut stream, "roster", &format!("<query xmlns='{}'/>", ns::ROSTER)).await?;
    let query = roster.answer.child(ns::ROSTER, "query").context("a roster")?;
    for item in &query.children {
        let attr = |name| item.attr(name).unwrap_or_default();
        let (owner, contact) = (account.to_string(), attr("jid").to_owned());
        let is = |subject: String, value: &str| Event::Is {
            owner: owner.clone(),
            subject,
            value: value.into(),
        };
        if !attr("name").is_empty() {
            history.note(is(format!("name of {contact}"), attr("name")))?;
        }
        let halves = match (attr("subscription"), attr("ask")) {
            ("to", _) => &["to"][..],
            ("both", _) => &["to", "from"],
            ("from", "subscribe") => &["ask", "from"],
            ("from", _) => &["from"],
            (_, "subscribe") => &["ask"],
            _ => &[],
        };
        if halves.iter().any(|half| ["to", "ask"].contains(half)) {
            history.note(is(format!("subscription to {contact}"), "yes"))?;
        }
        for half in halves {
            history.note(Event::Half { owner: owner.clone(), contact: contact.clone(), half })?;
        }
    }
    let blocked =
        ask(&mut stream, "blocked", &format!("<blocklist xmlns='{}'/>", ns::BLOCKING)).await?;
    // Not every server has block lists.
    for item in
        blocked.answer.child(ns::BLOCKING, "blocklist").iter().flat_map(|list| &list.children)
    {
        let subject = format!("block of {}", item.attr("jid").unwrap_or_default());
        history.note(Event::Is { owner: account.to_string(), subject, value: "yes".into() })?;
    }
    waiting(&mut stream, account, history).await
}

/// What answers a request, and what came before it.
struct Answer {
    before: Vec<Node>,
    answer: Node,
}

async fn ask(stream: &mut Stream, id: &str, request: &str) -> anyhow::Result<Answer> {
    stream.send(format!("<iq type='get' id='{id}'>{request}</iq>")).await?;
    answer(stream, id).await
}

async fn answer(stream: &mut Stream, id: &str) -> anyhow::Result<Answer> {
    let mut before = Vec::new();
    loop {
        let node = stream.receive().await?;
        if node.is(ns::CLIENT, "iq") && node.attr("id") == Some(id) {
            return Ok(Answer { before, answer: node });
        }
        before.push(node);
    }
}

async fn archive(stream: &mut Stream, account: &BareJid, history: &History) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let query = format!(
            "<iq type='set' id='page'><query xmlns='{}' queryid='q'><set xmlns='{RSM}'><max>100</max>{after}</set></query></iq>",
            ns::ARCHIVE
        );
        stream.send(query).await?;
        let page = answer(stream, "page").await?;
        for (id, uid) in page.before.iter().filter_map(archived) {
            history.note(Event::Archived { owner: account.to_string(), id, uid })?;
        }
        let fin =
            page.answer.child(ns::ARCHIVE, "fin").with_context(|| format!("{:?}", page.answer))?;
        if fin.attr("complete") == Some("true") {
            return Ok(());
        }
        let last = fin.child(RSM, "set").and_then(|set| set.child(RSM, "last"));
        after = format!("<after>{}</after>", last.context("a page without its last")?.text);
    }
}

/// The message's id and the archive's, of a result.
fn archived(node: &Node) -> Option<(String, String)> {
    let result = node.child(ns::ARCHIVE, "result")?;
    let message = result.child(ns::FORWARD, "forwarded")?.child(ns::CLIENT, "message")?;
    // One that is not whole is none that was sent: its archive lacks it.
    is_whole(message).then_some(())?;
    Some((message.attr("id")?.to_owned(), result.attr("id")?.to_owned()))
}

/// Who waits for an answer to a request to see the account's presence, and which messages wait: who comes is told of both
/// (RFC 6121 3.1.3, XEP-0160 3).
async fn waiting(stream: &mut Stream, account: &BareJid, history: &History) -> anyhow::Result<()> {
    stream.send("<presence/>").await?;
    let all = ask(stream, "told", &format!("<query xmlns='{}'/>", ns::ROSTER)).await?;
    let owner = account.to_string();
    for node in &all.before {
        if node.is(ns::CLIENT, "presence") && node.attr("type") == Some("subscribe") {
            let contact = node.attr("from").unwrap_or_default().to_owned();
            history.note(Event::Half { owner: owner.clone(), contact, half: "asked" })?;
        } else if node.is(ns::CLIENT, "message") {
            let id = node.attr("id").unwrap_or_default().to_owned();
            history.note(Event::Left { owner: owner.clone(), id })?;
        }
    }
    Ok(())
}
