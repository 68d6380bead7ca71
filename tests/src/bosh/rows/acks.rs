//! Acknowledgements, both ways (XEP-0124 9).

use super::row;
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop,
    client::{Session, quiet, settle},
};
use std::sync::Arc;

pub(super) const ROWS: &[Row] = &[
    row!(
        "16a",
        "XEP-0124 7.2",
        May,
        "'ack' in the creation response: the rid of the request",
        announced
    ),
    row!(
        "16b",
        "XEP-0124 9.1",
        Must,
        "if announced, 'ack' in a response while a later request is there",
        throughout
    ),
    row!("46", "XEP-0124 9.1", Should, "no 'ack' where it is the rid being answered", left_out),
    row!("47", "XEP-0124 9.1", May, "'ack' counts no request above a gap", no_gap),
    row!(
        "48",
        "XEP-0124 14.3",
        Should,
        "with 'ack' from the client, unacknowledged responses are kept",
        kept
    ),
    row!(
        "49",
        "XEP-0124 9.2",
        May,
        "a lower 'ack' is answered at once, with 'report' and 'time'",
        report
    ),
];

/// A session of a manager that acknowledges.
async fn acknowledging(lab: &Arc<Lab>) -> Result<Session, Stop> {
    let session = lab.ask().set("ack", 1).login(0).await?;
    match session.created.attr("ack") {
        Some(_) => Ok(session),
        None => Err(Stop::not_offered("no 'ack' in the creation response")),
    }
}

async fn announced(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().set("ack", 1).open().await?;
    match session.created.number("ack")? {
        None => Err(Stop::not_offered("no 'ack' in the creation response")),
        Some(ack) => {
            ensure!(ack == session.rid, "ack='{ack}' to rid {}", session.rid);
            Ok(())
        }
    }
}

async fn throughout(lab: Arc<Lab>) -> Outcome {
    let mut session = acknowledging(&lab).await?;
    let mut held = session.hold("").await?;
    let payload = session.to_self("later");
    let _next = session.send("", &payload).await?;
    let answer = held.answer(AT_ONCE_TIME).await?;
    let ack = answer.alive()?.number("ack")?;
    ensure!(ack == Some(session.rid), "{ack:?} where {} is there: {}", session.rid, answer.show());
    Ok(())
}

async fn left_out(lab: Arc<Lab>) -> Outcome {
    let mut session = acknowledging(&lab).await?;
    session.echo("acknowledged").await?;
    for (_, answer) in &session.log[1..] {
        ensure!(answer.attr("ack").is_none(), "{}", answer.show());
    }
    Ok(())
}

async fn no_gap(lab: Arc<Lab>) -> Outcome {
    let mut session = acknowledging(&lab).await?;
    let mut juliet = lab.juliet().await?;
    session.requests(2)?;
    let mut held = session.hold("").await?;
    let rid = session.rid;
    let _missing = session.next("", "");
    let _early = session.send("", &quiet()).await?;
    settle().await;
    juliet.tell(&session.jid, "gap").await?;
    let answer = held.answer(PATIENCE).await?;
    let ack = answer.alive()?.number("ack")?;
    ensure!(ack.is_none_or(|ack| ack == rid), "ack {ack:?}, but {} is missing", rid + 1);
    Ok(())
}

async fn kept(lab: Arc<Lab>) -> Outcome {
    let mut session = acknowledging(&lab).await?;
    session.with = format!(" ack='{}'", session.rid);
    let first = session.log.len();
    for place in 0..session.requests(1)? + 3 {
        session.echo(&format!("kept-{place}")).await?;
    }
    let (body, before) = session.log[first].clone();
    let again = lab.ask_with("", &body).await?;
    ensure!(again.body == before.body, "{} now {}", before.show(), again.show());
    Ok(())
}

async fn report(lab: Arc<Lab>) -> Outcome {
    let mut session = acknowledging(&lab).await?;
    let acknowledged = session.rid;
    session.echo("unacknowledged").await?;
    settle().await;
    let attributes = format!("ack='{acknowledged}'");
    let mut pending = session.send(&attributes, &quiet()).await?;
    let Some(answer) = pending.next(AT_ONCE_TIME).await? else {
        return Err(Stop::not_offered("a lower 'ack' is not answered at once"));
    };
    let (report, time) = (answer.alive()?.number("report")?, answer.number("time")?);
    ensure!(
        report == Some(acknowledged + 1),
        "report {report:?} after {acknowledged}: {}",
        answer.show()
    );
    let sane = time.is_some_and(|time| (200..60_000).contains(&time));
    ensure!(sane, "time {time:?}, in milliseconds, after about 400: {}", answer.show());
    Ok(())
}
