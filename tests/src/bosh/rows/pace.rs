//! Inactivity, pause, overactivity, polling (XEP-0124 10 to 12).

use super::row;
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop,
    client::{Session, quiet, settle},
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

pub(super) const ROWS: &[Row] = &[
    row!("50", "XEP-0124 10", Should, "silence longer than 'inactivity' ends the session", silence),
    row!(
        "51",
        "XEP-0124 12",
        Should,
        "polling sessions may be silent longer, by more than 'polling'",
        polling_silence
    ),
    row!(
        "52",
        "XEP-0124 10",
        Should,
        "silence begins with the last response, not with the request",
        since_response
    ),
    row!("53a", "XEP-0124 10", Should, "'pause' gives every request back at once", pause),
    row!("53b", "XEP-0124 10", Must, "no payload in the response to a pause", pause_is_empty),
    row!("53c", "XEP-0124 10", Should, "a pause longer than 'inactivity' is survived", long_pause),
    row!("54a", "XEP-0124 10", Should, "a short pause shortens the silence", short_pause),
    row!("54b", "XEP-0124 10", Should, "the next request restores the usual silence", restored),
    row!(
        "54c",
        "XEP-0124 10",
        Browsers,
        "a pause above 'maxpause' is refused, or cut",
        too_long_pause
    ),
    row!(
        "55",
        "XEP-0124 11",
        Should,
        "a burst of requests is answered, or a policy-violation",
        burst
    ),
    row!(
        "56",
        "XEP-0124 11",
        Should,
        "an empty request too many too soon: policy-violation",
        too_frequent
    ),
    row!("57a", "XEP-0124 12", Should, "polling sooner than 'polling': policy-violation", polling),
    row!(
        "57b",
        "XEP-0124 12",
        Should,
        "polling again at once after a payload is fine",
        polling_payload
    ),
    row!("58", "XEP-0124 11", Must, "no 'requests' or no 'polling': no limit", unlimited),
];

/// How much later than said a session may end, and how much sooner than its end it is asked.
const MARGIN: u64 = 5;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn silence(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    sleep(seconds(session.inactivity()? + MARGIN)).await;
    session.gone().await
}

async fn polling_silence(lab: Arc<Lab>) -> Outcome {
    let usual = lab.ask().open().await?.created.number("inactivity")?;
    let session = lab.ask().set("hold", 0).set("wait", 0).open().await?;
    let polled = session.created.number("inactivity")?;
    let polling = session.created.number("polling")?.unwrap_or(0);
    let (Some(usual), Some(polled)) = (usual, polled) else {
        return Err(Stop::not_offered("no inactivity, so no limit"));
    };
    ensure!(
        polled > usual + polling,
        "inactivity {polled} instead of {usual}, with polling {polling}"
    );
    Ok(())
}

async fn since_response(lab: Arc<Lab>) -> Outcome {
    const WAIT: u64 = 12;
    let mut session = lab.ask().set("wait", WAIT).login(0).await?;
    let inactivity = session.inactivity()?;
    let mut held = session.hold("").await?;
    held.answer(seconds(WAIT) + PATIENCE).await?.alive()?;
    sleep(seconds(inactivity.saturating_sub(MARGIN))).await;
    session.echo("still").await.map(drop)
}

async fn pause(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let time = session.maxpause()?.min(30);
    let mut held = session.hold("").await?;
    let mut pausing = session.send(&format!("pause='{time}'"), "").await?;
    held.answer(AT_ONCE_TIME).await?.alive()?;
    pausing.answer(AT_ONCE_TIME).await?.alive().map(drop)
}

async fn pause_is_empty(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut juliet = lab.juliet().await?;
    let time = session.maxpause()?.min(30);
    juliet.tell(&session.jid, "late").await?;
    settle().await;
    let paused = session.turn(&format!("pause='{time}'"), "").await?;
    ensure!(paused.alive()?.payloads().is_empty(), "{}", paused.show());
    session.ids_until([], "late").await.map(drop)
}

async fn long_pause(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let (inactivity, maxpause) = (session.inactivity()?, session.maxpause()?);
    let time = (inactivity + 3 * MARGIN).min(maxpause);
    if time <= inactivity + MARGIN {
        return Err(Stop::NotMeasured(format!(
            "maxpause='{maxpause}' with inactivity='{inactivity}'"
        )));
    }
    session.turn(&format!("pause='{time}'"), "").await?.alive()?;
    sleep(seconds(time - MARGIN)).await;
    session.echo("still").await.map(drop)
}

async fn short_pause(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.maxpause()?;
    let inactivity = session.inactivity()?;
    if inactivity <= 2 + MARGIN {
        return Err(Stop::NotMeasured(format!("inactivity='{inactivity}' is short already")));
    }
    session.turn("pause='2'", "").await?.alive()?;
    sleep(seconds(2 + MARGIN)).await;
    session.gone().await
}

async fn restored(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.maxpause()?;
    let inactivity = session.inactivity()?;
    if inactivity <= 3 * MARGIN {
        return Err(Stop::NotMeasured(format!("inactivity='{inactivity}' is short already")));
    }
    session.turn("pause='3'", "").await?.alive()?;
    session.echo("back").await?;
    sleep(seconds(3 + 2 * MARGIN)).await;
    session.echo("still").await.map(drop)
}

async fn too_long_pause(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let time = session.maxpause()? + 1;
    let mut pausing = session.send(&format!("pause='{time}'"), "").await?;
    // Refused, or as good as any other request.
    match pausing.next(PATIENCE).await? {
        Some(answer) if answer.is_terminate() => answer.expect("policy-violation"),
        Some(answer) => answer.alive().map(drop),
        None => Ok(()),
    }
}

async fn burst(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().set("wait", 5).login(0).await?;
    let mut pending = Vec::new();
    for _ in 0..3 * session.requests(1)?.min(8) {
        pending.push(session.send("", &quiet()).await?);
    }
    let _last = session.send("", &quiet()).await?;
    for connection in &mut pending {
        let answer = connection.answer(PATIENCE).await?;
        if answer.is_terminate() {
            return match answer.condition() {
                // Connections are not ordered: some may have come too early, and ended the session for the others.
                Some("policy-violation" | "item-not-found" | "other-request") => Ok(()),
                _ => Err(Stop::Fail(answer.show())),
            };
        }
    }
    Ok(())
}

async fn too_frequent(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    limited(&session)?;
    let requests = session.requests(1)?;
    let mut pending = Vec::new();
    for _ in 1..requests {
        pending.push(session.send("", &quiet()).await?);
    }
    settle().await;
    match session.send("", "").await?.next(PATIENCE).await? {
        Some(answer) => answer.expect("policy-violation"),
        None => Err(Stop::fail("it is held")),
    }
}

/// The least seconds between polls; not offered without.
fn limited(session: &Session) -> Result<u64, Stop> {
    match session.created.number("polling")? {
        None | Some(0) => Err(Stop::not_offered("no 'polling', so no limit")),
        Some(polling) => Ok(polling),
    }
}

async fn polling(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().set("hold", 0).set("wait", 0).open().await?;
    limited(&session)?;
    // What the server says first may come with the first poll.
    for _ in 0..3 {
        let answer = session.turn("", "").await?;
        if answer.is_terminate() {
            return answer.expect("policy-violation");
        }
    }
    Err(Stop::fail("three polls in a row are answered"))
}

async fn polling_payload(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().set("hold", 0).set("wait", 0).open().await?;
    let polling = limited(&session)?;
    let mut answer = session.created.clone();
    // The features come with the creation, or with a poll: the one after it may follow at once.
    for _ in 0..5 {
        if !answer.alive()?.payloads().is_empty() {
            return session.turn("", "").await?.alive().map(drop);
        }
        sleep(seconds(polling + 1)).await;
        answer = session.turn("", "").await?;
    }
    Err(Stop::fail("the stream features do not come"))
}

async fn unlimited(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().open().await?;
    let both =
        session.created.attr("requests").is_some() && session.created.attr("polling").is_some();
    if both {
        return Err(Stop::not_offered("both are limited"));
    }
    burst(lab).await
}
