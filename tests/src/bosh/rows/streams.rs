//! Several streams in one session (XEP-0124 16).

use super::{creation::TERMS, row};
use crate::bosh::{
    Lab, Outcome, Row, Stop,
    client::{Session, is_message, message, settle},
    wire::Answer,
};
use std::sync::Arc;
use xmpp_core::ns;

pub(super) const ROWS: &[Row] = &[
    row!("64", "XEP-0124 16.2", Must, "stream names are unpredictable and unique", names),
    row!(
        "65a",
        "XEP-0124 16.3",
        Must,
        "an empty request with 'to' opens another stream and names it",
        second
    ),
    row!("65b", "XEP-0124 16.3", Must, "without support such a request is an empty one", ignored),
    row!("65c", "XEP-0124 16.3", Should, "no session attributes in that answer", second_terms),
    row!(
        "66",
        "XEP-0124 16.4",
        Must,
        "with two streams every response with payloads names one",
        named
    ),
    row!(
        "67a",
        "XEP-0124 16.4",
        Must,
        "a payload without 'stream' goes to every stream",
        broadcast
    ),
    row!("67b", "XEP-0124 16.4", Should, "item-not-found for an unknown stream", unknown),
    row!("68a", "XEP-0124 16.5", Must, "terminate with 'stream' closes that one only", close_one),
    row!("68b", "XEP-0124 16.5", Must, "closing the last stream ends the session", close_last),
];

/// A session of a manager that has several streams, logged in on the first; gives that one's name.
async fn first(lab: &Arc<Lab>) -> Result<(Session, String), Stop> {
    let session = lab.romeo().await?;
    match session.created.attr("stream").map(str::to_owned) {
        Some(name) => Ok((session, name)),
        None => Err(Stop::not_offered("no 'stream' in the creation response")),
    }
}

/// Opens another stream; gives the answer that names it.
async fn open(session: &mut Session) -> Result<(Answer, String), Stop> {
    let to = &session.lab.accounts[1].domain;
    let attributes = format!("to='{to}' xml:lang='en' xmpp:version='1.0'");
    let answer = session.turn(&attributes, "").await?;
    match answer.alive()?.attr("stream").map(str::to_owned) {
        Some(name) => Ok((answer, name)),
        None => Err(Stop::Fail(format!("no stream: {}", answer.show()))),
    }
}

/// A session with two streams, the first account on one and the second on the other: its two names and addresses.
async fn both(lab: &Arc<Lab>) -> Result<(Session, [(String, String); 2]), Stop> {
    let (mut session, one) = first(lab).await?;
    let romeo = session.jid.clone();
    let (answer, two) = open(&mut session).await?;
    session.with = format!(" stream='{two}'");
    let features = match answer.payload(ns::STREAMS, "features") {
        Some(features) => features.clone(),
        None => session.exchange("", "", |node| node.is(ns::STREAMS, "features")).await?,
    };
    session.authenticate(1, &features).await?;
    session.restart("true", "").await?;
    session.bind().await?;
    session.with.clear();
    let juliet = session.jid.clone();
    Ok((session, [(one, romeo), (two, juliet)]))
}

async fn names(lab: Arc<Lab>) -> Outcome {
    let mut names = Vec::new();
    for _ in 0..4 {
        let session = lab.ask().open().await?;
        let name = session.created.attr("stream");
        names.push(
            name.ok_or_else(|| Stop::not_offered("no 'stream' in the creation response"))?
                .to_owned(),
        );
    }
    let long = names.iter().all(|name| name.len() >= 16);
    names.sort();
    names.dedup();
    ensure!(names.len() == 4 && long, "{names:?}");
    Ok(())
}

async fn second(lab: Arc<Lab>) -> Outcome {
    let (session, [one, two]) = both(&lab).await?;
    ensure!(one.0 != two.0, "both have the name {}", one.0);
    drop(session);
    Ok(())
}

async fn ignored(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    if session.created.attr("stream").is_some() {
        return Err(Stop::not_offered("several streams are supported"));
    }
    let to = &lab.accounts[1].domain;
    let held = session.send(&format!("to='{to}'"), "").await?;
    settle().await;
    let payload = session.to_self("same");
    let next = session.send("", &payload).await?;
    session.ids_until([held, next], "same").await.map(drop)
}

async fn second_terms(lab: Arc<Lab>) -> Outcome {
    let (mut session, _) = first(&lab).await?;
    let (answer, _) = open(&mut session).await?;
    let again = TERMS.iter().find(|name| answer.attr(name).is_some());
    ensure!(again.is_none(), "{}", answer.show());
    Ok(())
}

async fn named(lab: Arc<Lab>) -> Outcome {
    let (mut session, streams) = both(&lab).await?;
    let since = session.log.len();
    for (name, jid) in &streams {
        let id = net::random::token();
        let attributes = format!("stream='{name}'");
        session.exchange(&attributes, &message(jid, &id), |node| is_message(node, &id)).await?;
        let (_, answer) = session.log.last().expect("there was one");
        ensure!(answer.attr("stream") == Some(name), "to {name}: {}", answer.show());
    }
    let unnamed = session.log[since..]
        .iter()
        .find(|(_, answer)| !answer.payloads().is_empty() && answer.attr("stream").is_none());
    ensure!(unnamed.is_none(), "payloads of no stream");
    Ok(())
}

async fn broadcast(lab: Arc<Lab>) -> Outcome {
    let (mut session, _) = both(&lab).await?;
    let mut witness = lab.romeo().await?;
    let told = session.send("", &message(&witness.jid, "to-all")).await?;
    settle().await;
    let payload = witness.to_self("mark");
    let marked = witness.send("", &payload).await?;
    let ids = witness.ids_until([marked], "mark").await?;
    drop(told);
    let copies = ids.iter().filter(|id| *id == "to-all").count();
    ensure!(copies == 2, "{copies} of the two streams sent it");
    Ok(())
}

async fn unknown(lab: Arc<Lab>) -> Outcome {
    let (mut session, _) = first(&lab).await?;
    let payload = session.to_self("nowhere");
    session.turn("stream='nobody-knows-this-name'", &payload).await?.expect("item-not-found")
}

async fn close_one(lab: Arc<Lab>) -> Outcome {
    let (mut session, [one, two]) = both(&lab).await?;
    session.turn(&format!("type='terminate' stream='{}'", two.0), "").await?;
    let attributes = format!("stream='{}'", one.0);
    session
        .exchange(&attributes, &message(&one.1, "left"), |node| is_message(node, "left"))
        .await
        .map(drop)
}

async fn close_last(lab: Arc<Lab>) -> Outcome {
    let (mut session, [one, two]) = both(&lab).await?;
    session.turn(&format!("type='terminate' stream='{}'", two.0), "").await?;
    session.turn(&format!("type='terminate' stream='{}'", one.0), "").await?;
    session.gone().await
}
