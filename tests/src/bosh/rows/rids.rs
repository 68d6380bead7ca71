//! The window of rids, repeats and broken connections (XEP-0124 14).

use super::{delivery::holding_two, row};
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop,
    client::{is_message, message, settle},
};
use std::{sync::Arc, time::Duration};

pub(super) const ROWS: &[Row] = &[
    row!("36", "XEP-0124 14.2", Must, "a rid beyond the window ends the session", beyond),
    row!(
        "37a",
        "XEP-0124 14.2",
        Must,
        "a request that comes one too early waits for its turn",
        gap_of_one
    ),
    row!("37b", "XEP-0124 14.2", Must, "as many too early as the window has room for", gap_of_all),
    row!("38", "XEP-0124 14.3", Should, "the last 'requests' responses can be had again", buffered),
    row!(
        "39a",
        "XEP-0124 14.3",
        Should,
        "a repeated request gets the same response, byte by byte",
        identical
    ),
    row!("39b", "XEP-0124 14.3", Must, "its payloads are not passed on again", not_doubled),
    row!(
        "40",
        "XEP-0124 14.3",
        Should,
        "repeated while held: type='error' at once, the answer to the newest",
        repeated_while_held
    ),
    row!("41", "XEP-0124 14.3", Must, "item-not-found for a response no longer there", too_old),
    row!("42", "XEP-0124 14.3", May, "policy-violation after too many repeats", too_many),
    row!("43a", "XEP-0124 14.1", Must, "rids up to 2^53 - 1", high_rids),
    row!("43b", "XEP-0124 14.1", Browsers, "rids above it are refused, or work", higher_rids),
    row!(
        "44",
        "XEP-0124 14.3",
        Should,
        "a connection cut while held loses and doubles nothing",
        cut_while_held
    ),
    row!("45", "XEP-0124 14.3", Should, "a response that nobody read can be had again", unread),
];

async fn beyond(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let last = session.rid;
    session.rid += session.requests(1)?;
    session.turn("", "").await?.expect("item-not-found")?;
    session.rid = last;
    session.gone().await
}

async fn gap_of_one(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let payload = session.to_self("early");
    let (first, second) = (session.next("", ""), session.next("", &payload));
    let mut second = lab.post(&second).await?;
    second.held(Duration::from_millis(700)).await?;
    let first = lab.post(&first).await?;
    session.ids_until([first, second], "early").await.map(drop)
}

async fn gap_of_all(lab: Arc<Lab>) -> Outcome {
    let mut session = holding_two(&lab).await?;
    let ids: Vec<String> = (0..session.requests(3)?).map(|place| format!("gap-{place}")).collect();
    let payloads: Vec<String> = ids.iter().map(|id| session.to_self(id)).collect();
    let bodies: Vec<String> = payloads.iter().map(|payload| session.next("", payload)).collect();
    let mut pending = Vec::new();
    for body in bodies.iter().rev() {
        pending.push(lab.post(body).await?);
        settle().await;
    }
    pending.reverse();
    let got = session.ids_until(pending, ids.last().expect("three at least")).await?;
    ensure!(got == ids, "the server got {got:?}");
    Ok(())
}

async fn buffered(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let requests = usize::try_from(session.requests(1)?).unwrap_or(usize::MAX).min(10);
    for place in 0..requests {
        session.echo(&format!("buffered-{place}")).await?;
    }
    let (body, before) = session.log[session.log.len() - requests].clone();
    let again = lab.ask_with("", &body).await?;
    ensure!(
        again.status == 200 && again.body == before.body,
        "{} now {}",
        before.show(),
        again.show()
    );
    Ok(())
}

async fn identical(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.echo("twice").await?;
    let (body, before) = session.log.last().expect("there was one").clone();
    for _ in 0..2 {
        let again = lab.ask_with("", &body).await?;
        let same = again.status == before.status && again.body == before.body;
        ensure!(same, "first {}, then {}", before.show(), again.show());
    }
    Ok(())
}

async fn not_doubled(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let payload = session.to_self("once");
    let body = session.next("", &payload);
    let mut first = lab.post(&body).await?;
    first.answer(PATIENCE).await?.alive()?;
    lab.ask_with("", &body).await?.alive()?;
    settle().await;
    let payload = session.to_self("mark");
    let marked = session.send("", &payload).await?;
    let after = session.ids_until([marked], "mark").await?;
    ensure!(!after.contains(&"once".to_owned()), "the server got the message twice");
    Ok(())
}

async fn repeated_while_held(lab: Arc<Lab>) -> Outcome {
    let (mut session, mut juliet) = (lab.romeo().await?, lab.juliet().await?);
    let mut old = session.hold("").await?;
    let body = session.body(session.rid, "", "");
    let mut newest = lab.post(&body).await?;
    let answer = old.answer(AT_ONCE_TIME).await?;
    ensure!(answer.attr("type") == Some("error"), "the old one got {}", answer.show());
    newest.held(Duration::from_millis(500)).await?;
    juliet.tell(&session.jid, "newest").await?;
    let answer = newest.answer(PATIENCE).await?;
    let arrived = answer.alive()?.payloads().iter().any(|node| is_message(node, "newest"));
    ensure!(arrived, "the newest got {}", answer.show());
    Ok(())
}

async fn too_old(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let first = session.log.len();
    for place in 0..session.requests(1)? + 4 {
        session.echo(&format!("old-{place}")).await?;
    }
    let (body, before) = session.log[first].clone();
    let again = lab.ask_with("", &body).await?;
    if again.status == 200 && again.body == before.body {
        return Ok(()); // it remembers more than it has to
    }
    again.expect("item-not-found")
}

async fn too_many(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.echo("again").await?;
    let (body, _) = session.log.last().expect("there was one").clone();
    for _ in 0..150 {
        let answer = lab.ask_with("", &body).await?;
        if answer.is_terminate() {
            return answer.expect("policy-violation");
        }
    }
    Err(Stop::not_offered("150 repeats are answered"))
}

async fn high_rids(lab: Arc<Lab>) -> Outcome {
    const HIGHEST: u64 = (1 << 53) - 1;
    let mut session = lab.ask().set("rid", HIGHEST - 40).login(0).await?;
    while session.rid < HIGHEST - 4 {
        session.echo(&format!("rid-{}", session.rid)).await?;
    }
    Ok(())
}

async fn higher_rids(lab: Arc<Lab>) -> Outcome {
    let mut connection = lab.post(&lab.ask().set("rid", 1_u64 << 53).body()).await?;
    let answer = connection.answer(PATIENCE).await?;
    let works = answer.attr("sid").is_some();
    ensure!(works || answer.condition() == Some("bad-request"), "{}", answer.show());
    Ok(())
}

async fn cut_while_held(lab: Arc<Lab>) -> Outcome {
    let (mut romeo, mut juliet) = (lab.romeo().await?, lab.juliet().await?);
    let body = romeo.next("", &message(&juliet.jid, "up"));
    let mut held = lab.post(&body).await?;
    held.held(Duration::from_millis(500)).await?;
    drop(held);
    settle().await;
    let down = message(&romeo.jid, "down");
    let told = juliet.send("", &down).await?;
    let up = juliet.ids_until([told], "up").await?;
    settle().await;
    let repeated = lab.post(&body).await?;
    let down = romeo.ids_until([repeated], "down").await?;
    let (mark_down, mark_up) = (romeo.to_self("mark"), juliet.to_self("mark"));
    let (marked_down, marked_up) =
        (romeo.send("", &mark_down).await?, juliet.send("", &mark_up).await?);
    let after_down = romeo.ids_until([marked_down], "mark").await?;
    let after_up = juliet.ids_until([marked_up], "mark").await?;
    ensure!(up == ["up"] && after_up == ["mark"], "the server got {up:?}, then {after_up:?}");
    ensure!(
        down == ["down"] && after_down == ["mark"],
        "the client got {down:?}, then {after_down:?}"
    );
    Ok(())
}

async fn unread(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let payload = session.to_self("unread");
    let body = session.next("", &payload);
    let lost = lab.post(&body).await?;
    settle().await;
    settle().await;
    drop(lost);
    settle().await;
    let repeated = lab.post(&body).await?;
    let ids = session.ids_until([repeated], "unread").await?;
    let payload = session.to_self("mark");
    let marked = session.send("", &payload).await?;
    let after = session.ids_until([marked], "mark").await?;
    ensure!(ids == ["unread"] && after == ["mark"], "{ids:?}, then {after:?}");
    Ok(())
}
