//! Waiting, holding, delivering (XEP-0124 8, 14.2).

use super::row;
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop,
    client::{Session, is_message, message, quiet, settle},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

pub(super) const ROWS: &[Row] = &[
    row!("31a", "XEP-0124 8", Should, "hold 1: a second request gives the first one back", hold_1),
    row!(
        "31b",
        "XEP-0124 8",
        Should,
        "hold 2: a third request gives the first one back, no more",
        hold_2
    ),
    row!("32", "XEP-0124 8", Should, "an empty response when 'wait' has passed", wait),
    row!("33", "XEP-0124 8", Should, "what the server sends goes out at once", at_once),
    row!("34a", "XEP-0124 14.2", Must, "payloads reach the server in the order of rids", order_up),
    row!("34b", "XEP-0124 14.2", Must, "responses come in the order of rids", order_down),
    row!("35", "XEP-0124 8", Must, "of several held requests the lowest rid gets the data", lowest),
];

/// How long a request that is held is watched.
const WATCH: Duration = Duration::from_millis(700);

async fn hold_1(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut first = session.hold("").await?;
    let mut second = session.send("", &quiet()).await?;
    first.answer(AT_ONCE_TIME).await?.alive()?;
    second.held(WATCH).await
}

/// A session with `hold` of two, that may make three requests at once.
pub(super) async fn holding_two(lab: &Arc<Lab>) -> Result<Session, Stop> {
    let session = lab.ask().set("hold", 2).login(0).await?;
    let hold = session.created.number("hold")?.unwrap_or(2);
    if hold < 2 {
        return Err(Stop::NotOffered(format!("hold='{hold}' where 2 was asked")));
    }
    session.requests(3)?;
    Ok(session)
}

async fn hold_2(lab: Arc<Lab>) -> Outcome {
    let mut session = holding_two(&lab).await?;
    let mut first = session.hold("").await?;
    let mut second = session.send("", &quiet()).await?;
    first.held(WATCH).await?;
    second.held(WATCH).await?;
    let mut third = session.send("", &quiet()).await?;
    first.answer(AT_ONCE_TIME).await?.alive()?;
    second.held(WATCH).await?;
    third.held(WATCH).await
}

async fn wait(lab: Arc<Lab>) -> Outcome {
    const WAIT: u64 = 6;
    let mut session = lab.ask().set("wait", WAIT).login(0).await?;
    let sent = Instant::now();
    let mut held = session.hold("").await?;
    let answer = held.answer(Duration::from_secs(WAIT) + AT_ONCE_TIME).await?;
    ensure!(answer.alive()?.payloads().is_empty(), "not empty: {}", answer.show());
    let waited = sent.elapsed();
    ensure!(waited >= Duration::from_secs(1), "it waited {} ms only", waited.as_millis());
    Ok(())
}

async fn at_once(lab: Arc<Lab>) -> Outcome {
    let (mut romeo, mut juliet) = (lab.romeo().await?, lab.juliet().await?);
    let mut held = romeo.hold("").await?;
    juliet.tell(&romeo.jid, "news").await?;
    let answer = held.answer(AT_ONCE_TIME).await?;
    let arrived = answer.alive()?.payloads().iter().any(|node| is_message(node, "news"));
    ensure!(arrived, "{}", answer.show());
    Ok(())
}

/// Messages a and b to oneself, b's request sent first.
async fn crossed(session: &mut Session) -> Outcome {
    let message = [session.to_self("a"), session.to_self("b")];
    let [first, second] = message.map(|payload| session.next("", &payload));
    let second = session.lab.post(&second).await?;
    settle().await;
    let first = session.lab.post(&first).await?;
    let ids = session.ids_until([first, second], "b").await?;
    ensure!(ids == ["a", "b"], "the server got {ids:?}");
    Ok(())
}

async fn order_up(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    crossed(&mut session).await
}

async fn order_down(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let payload = session.to_self("first");
    let (first, second) = (session.next("", &payload), session.next("", &quiet()));
    let mut second = lab.post(&second).await?;
    second.held(WATCH).await?;
    let mut first = lab.post(&first).await?;
    first.answer(PATIENCE).await?.alive().map(drop)
}

async fn lowest(lab: Arc<Lab>) -> Outcome {
    let mut session = holding_two(&lab).await?;
    let mut juliet = lab.juliet().await?;
    let mut first = session.hold("").await?;
    let mut second = session.send("", &quiet()).await?;
    second.held(WATCH).await?;
    let _told = juliet.send("", &message(&session.jid, "lowest")).await?;
    let answer = first.answer(AT_ONCE_TIME).await?;
    let arrived = answer.alive()?.payloads().iter().any(|node| is_message(node, "lowest"));
    ensure!(arrived, "not on the lowest: {}", answer.show());
    second.held(WATCH).await
}
