//! Errors (XEP-0124 17).

use super::row;
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop, client::quiet, wire::Connection,
};
use std::{process::Command, sync::Arc, time::Duration};

pub(super) const ROWS: &[Row] = &[
    row!("22a", "XEP-0124 17.1", Should, "with 'ver': errors are 200 and type='terminate'", modern),
    row!(
        "22b",
        "XEP-0124 17.1",
        Should,
        "without 'ver': 404 instead of item-not-found",
        legacy_not_found
    ),
    row!(
        "22c",
        "XEP-0124 17.1",
        Should,
        "without 'ver': 400 instead of bad-request",
        legacy_bad_request
    ),
    row!(
        "23a",
        "XEP-0124 14.3",
        Must,
        "the same item-not-found for a rid too large and too small",
        no_oracle
    ),
    row!("23b", "XEP-0124 17.2", Must, "item-not-found for a sid that is not there", bad_sid),
    row!(
        "25",
        "XEP-0124 17.2",
        Defined,
        "the server goes away: remote-connection-failed",
        server_gone
    ),
    row!(
        "26",
        "XEP-0124 17.2",
        Defined,
        "other-request for those held when another ends the session",
        other_request
    ),
    row!(
        "27",
        "XEP-0124 17.2",
        Defined,
        "see-other-uri with a <uri/> where only https is served",
        other_uri
    ),
    row!(
        "28",
        "XEP-0124 17.2",
        Defined,
        "system-shutdown for every session when the manager stops",
        shutdown
    ),
    row!("29", "XEP-0124 17.2", Should, "undefined-condition brings details", undefined),
    row!("30", "XEP-0124 17.3", Must, "type='error' does not end the session", recoverable),
];

/// Farther than any window.
const FAR: u64 = 1_000;

async fn modern(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().open().await?;
    session.rid += FAR;
    let answer = session.turn("", "").await?;
    ensure!(answer.status == 200 && answer.attr("type") == Some("terminate"), "{}", answer.show());
    let answer = lab.ask().set("rid", "abc").answer().await?;
    ensure!(answer.status == 200 && answer.attr("type") == Some("terminate"), "{}", answer.show());
    Ok(())
}

async fn legacy_not_found(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().without("ver").open().await?;
    session.rid += FAR;
    let answer = session.turn("", "").await?;
    ensure!(answer.status == 404, "{}", answer.show());
    Ok(())
}

async fn legacy_bad_request(lab: Arc<Lab>) -> Outcome {
    let answer = lab.ask().without("ver").set("rid", "abc").answer().await?;
    ensure!(answer.status == 400, "{}", answer.show());
    Ok(())
}

async fn no_oracle(lab: Arc<Lab>) -> Outcome {
    let mut large = lab.romeo().await?;
    large.rid += FAR;
    let too_large = large.turn("", "").await?;
    let mut small = lab.romeo().await?;
    small.rid -= FAR.min(small.rid - 1);
    let too_small = small.turn("", "").await?;
    too_large.expect("item-not-found")?;
    too_small.expect("item-not-found")?;
    let same = too_large.status == too_small.status && too_large.body == too_small.body;
    ensure!(same, "{} and {}", too_large.show(), too_small.show());
    Ok(())
}

async fn bad_sid(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().open().await?;
    session.sid = net::random::token();
    session.gone().await
}

/// Sends a signal by the program that every system has for it.
fn kill(signal: &str, process: u32) -> Result<(), Stop> {
    let status = Command::new("kill").args([signal, &process.to_string()]).status()?;
    ensure!(status.success(), "kill {signal} {process}: {status}");
    Ok(())
}

async fn server_gone(lab: Arc<Lab>) -> Outcome {
    let Some(process) = lab.upstream else {
        return Err(Stop::not_measured("needs a server that may be ended"));
    };
    let mut session = lab.romeo().await?;
    let mut held = session.hold("").await?;
    kill("-KILL", process)?;
    held.answer(PATIENCE).await?.expect("remote-connection-failed")?;
    lab.ask().answer().await?.expect("remote-connection-failed")
}

async fn other_request(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut held = session.hold("").await?;
    session.rid += FAR;
    session.turn("", "").await?.expect("item-not-found")?;
    held.answer(AT_ONCE_TIME).await?.expect("other-request")
}

async fn other_uri(lab: Arc<Lab>) -> Outcome {
    // A manager that takes the suite for a proxy of its own believes it that its visitor came over http.
    for headers in ["", "X-Forwarded-Proto: http\r\n"] {
        let ask = lab.ask();
        let mut connection = match &lab.plain {
            Some(plain) => Connection::new(plain().await?),
            None => lab.connect().await?,
        };
        connection.write(lab.request(headers, &ask.body())).await?;
        let answer = connection.answer(PATIENCE).await?;
        if answer.condition() == Some("see-other-uri") {
            let uri = answer.payloads().iter().find(|node| node.name == "uri");
            ensure!(uri.is_some_and(|uri| !uri.text.is_empty()), "no <uri/>: {}", answer.show());
            return Ok(());
        }
        if answer.attr("sid").is_some() {
            drop(ask.opened(answer)?);
        }
    }
    Err(Stop::not_measured("this endpoint serves who asks"))
}

async fn shutdown(lab: Arc<Lab>) -> Outcome {
    let Some(process) = lab.process else {
        return Err(Stop::not_measured("needs a manager that may be ended"));
    };
    let (mut first, mut second) = (lab.ask().open().await?, lab.ask().open().await?);
    first.features().await?;
    second.features().await?;
    let (mut first, mut second) = (first.hold("").await?, second.hold("").await?);
    kill("-TERM", process)?;
    first.answer(PATIENCE).await?.expect("system-shutdown")?;
    second.answer(PATIENCE).await?.expect("system-shutdown")?;
    let Ok(mut refused) = lab.post(&lab.ask().body()).await else { return Ok(()) };
    if let Ok(Some(answer)) = refused.next(Duration::from_secs(5)).await {
        ensure!(answer.attr("sid").is_none(), "a new session: {}", answer.show());
    }
    Ok(())
}

async fn undefined(_: Arc<Lab>) -> Outcome {
    Err(Stop::not_measured("no client can bring it about"))
}

async fn recoverable(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut old = session.hold("").await?;
    let again = session.body(session.rid, "", "");
    let newest = lab.post(&again).await?;
    match old.next(AT_ONCE_TIME).await? {
        Some(answer) if answer.attr("type") == Some("error") => {}
        _ => return Err(Stop::not_offered("no type='error' was seen")),
    }
    let message = session.to_self("recovered");
    let next = session.send("", &(quiet() + &message)).await?;
    session.ids_until([newest, next], "recovered").await.map(drop)
}
