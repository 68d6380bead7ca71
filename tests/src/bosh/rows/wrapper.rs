//! The `<body/>` element and what may be in it (XEP-0124 6, 14.1).

use super::row;
use crate::bosh::{Lab, Outcome, PATIENCE, Row, client::is_message, wire::Answer};
use std::sync::Arc;
use xmpp_core::{ns, xml::Node};

pub(super) const ROWS: &[Row] = &[
    row!("7a", "XEP-0124 6", Must, "what is not well-formed is refused", ill_formed),
    row!(
        "7b",
        "XEP-0124 6",
        Must,
        "another element than the <body/> of BOSH is refused",
        another_element
    ),
    row!("7c", "XEP-0124 6", Should, "undeclared prefixes are refused", undeclared_prefix),
    row!("8a", "XEP-0124 6", Must, "partial elements are refused", partial),
    row!("8b", "XEP-0124 6", Must, "comments are refused", comment),
    row!("8c", "XEP-0124 6", Must, "processing instructions are refused", instruction),
    row!("8d", "XEP-0124 6", Must, "DTDs are refused", dtd),
    row!("8e", "XEP-0124 6", Must, "entities other than the five are refused", entity),
    row!("9a", "XEP-0124 6", Must, "text directly in the <body/> is refused", text),
    row!("9b", "XEP-0124 6", Browsers, "white space between payloads is no text", white_space),
    row!("10", "XEP-0124 6", Must, "payloads of any namespace pass unchanged", any_payload),
    row!("11", "XEP-0124 14.1", Must, "every request has a rid, a positive integer", rid),
];

/// The inside of a request of a fresh session has to be refused, under whatever condition.
async fn refused(lab: Arc<Lab>, inside: &str) -> Outcome {
    let mut session = lab.ask().set("wait", 5).open().await?;
    refusal(&session.turn("", inside).await?)
}

/// A whole request instead of one for a session has to be.
async fn refused_whole(lab: Arc<Lab>, request: &str) -> Outcome {
    refusal(&lab.ask_with("", request).await?)
}

fn refusal(answer: &Answer) -> Outcome {
    ensure!(answer.is_terminate(), "{}", answer.show());
    Ok(())
}

async fn ill_formed(lab: Arc<Lab>) -> Outcome {
    let good = lab.ask().body();
    refused_whole(Arc::clone(&lab), &good.replace("/>", ">")).await?;
    refused_whole(Arc::clone(&lab), &good.replace(" wait='60'", " wait='60' wait='60'")).await?;
    refused_whole(lab, "this is no XML").await
}

async fn another_element(lab: Arc<Lab>) -> Outcome {
    let good = lab.ask().body();
    refused_whole(Arc::clone(&lab), &good.replace("<body", "<soul")).await?;
    refused_whole(lab, &good.replace(ns::HTTPBIND, "urn:example:other")).await
}

async fn undeclared_prefix(lab: Arc<Lab>) -> Outcome {
    refused(lab, "<who:knows/>").await
}

async fn partial(lab: Arc<Lab>) -> Outcome {
    refused(Arc::clone(&lab), "<message xmlns='jabber:client'>").await?;
    refused(lab, "</body><body>").await
}

async fn comment(lab: Arc<Lab>) -> Outcome {
    refused(lab, "<!-- psst -->").await
}

async fn instruction(lab: Arc<Lab>) -> Outcome {
    refused(lab, "<?do this?>").await
}

async fn dtd(lab: Arc<Lab>) -> Outcome {
    let request = format!("<!DOCTYPE body [<!ENTITY lol 'lol'>]>{}", lab.ask().body());
    refused_whole(lab, &request).await
}

async fn entity(lab: Arc<Lab>) -> Outcome {
    refused(lab, "<message xmlns='jabber:client'><body>&nbsp;</body></message>").await
}

async fn text(lab: Arc<Lab>) -> Outcome {
    refused(lab, "hello").await
}

async fn white_space(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let message = format!("\n  {}\n  ", session.to_self("spaced"));
    session.exchange("", &message, |node| is_message(node, "spaced")).await.map(drop)
}

async fn any_payload(lab: Arc<Lab>) -> Outcome {
    let payload = "<j:json xmlns:j='http://json.org/' j:kind=\"it's\" plain='&lt;&amp;&quot;'>[ {\"é☃𝄞\": \"&lt;&amp;&gt;\"}, <![CDATA[<raw>]]>\n\t] \
        <other xmlns='urn:example:other'><j:deep/>tail </other></j:json>";
    let mut sent = Node::parse(payload.as_bytes(), "").expect("it is well-formed");
    let mut session = lab.romeo().await?;
    let message = session.to_self("any").replace("</message>", &format!("{payload}</message>"));
    let mut got = session.exchange("", &message, |node| is_message(node, "any")).await?;
    sort(&mut got);
    sort(&mut sent);
    let same = got.children.contains(&sent);
    ensure!(same, "it came back changed: {got:?}");
    Ok(())
}

/// The order of attributes means nothing.
fn sort(node: &mut Node) {
    node.attributes.sort();
    node.children.iter_mut().for_each(sort);
}

async fn rid(lab: Arc<Lab>) -> Outcome {
    lab.ask().without("rid").answer().await?.expect("bad-request")?;
    for rid in ["", "abc", "-5", "1.5", "0", "0x10"] {
        let mut connection = lab.post(&lab.ask().set("rid", rid).body()).await?;
        let answer = connection.answer(PATIENCE).await?;
        let refused = answer.condition() == Some("bad-request");
        ensure!(refused, "rid='{rid}': {}", answer.show());
    }
    Ok(())
}
