//! Key sequences (XEP-0124 15).

use super::row;
use crate::bosh::{
    Lab, Outcome, Row, Stop,
    client::{Session, is_message, message},
};
use sha1::{Digest, Sha1};
use std::{collections::VecDeque, fmt::Write, sync::Arc};

pub(super) const ROWS: &[Row] = &[
    row!(
        "61a",
        "XEP-0124 15.4",
        May,
        "a session whose requests have the right keys works",
        right_keys
    ),
    row!("61b", "XEP-0124 15.3", Should, "the case of keys does not matter", upper_case),
    row!(
        "62a",
        "XEP-0124 15.4",
        Must,
        "a wrong key ends the session, its payloads are not passed on",
        wrong_key
    ),
    row!("62b", "XEP-0124 15.4", Must, "so does a missing key", missing_key),
    row!(
        "63a",
        "XEP-0124 15.5",
        Must,
        "'newkey' with the last key begins another sequence",
        switch
    ),
    row!("63b", "XEP-0124 15.5", Must, "a repeated request is checked by its own key", repeated),
];

/// More than any story here needs.
const KEYS: usize = 24;

/// K(n), K(n-1), … K(1) of a fresh seed, in the order of use.
fn sequence(length: usize) -> VecDeque<String> {
    let mut keys = VecDeque::from([net::random::token()]);
    for _ in 0..length {
        let digest = Sha1::digest(keys[0].as_bytes());
        let hex = digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("strings take everything");
            hex
        });
        keys.push_front(hex);
    }
    keys.pop_back();
    keys
}

async fn keyed(lab: &Arc<Lab>, keys: VecDeque<String>) -> Result<Session, Stop> {
    let mut session = keyed_fresh(lab, keys).await?;
    session.login(0).await?;
    Ok(session)
}

async fn keyed_fresh(lab: &Arc<Lab>, mut keys: VecDeque<String>) -> Result<Session, Stop> {
    let first = keys.pop_front().expect("a sequence is not empty");
    let mut session = lab.ask().set("wait", 5).set("newkey", first).open().await?;
    session.keys = keys;
    Ok(session)
}

/// Not offered, unless a wrong key ends a session.
async fn checked(lab: &Arc<Lab>) -> Outcome {
    let mut session = keyed_fresh(lab, sequence(KEYS)).await?;
    session.keys = sequence(KEYS);
    match session.turn("", "").await? {
        answer if answer.is_terminate() => Ok(()),
        _ => Err(Stop::not_offered("keys are not checked")),
    }
}

async fn right_keys(lab: Arc<Lab>) -> Outcome {
    let mut session = keyed(&lab, sequence(KEYS)).await?;
    session.echo("keyed").await.map(drop)
}

/// Hashes are taken over what was sent, so only the first of a sequence and every last one can change their case.
async fn upper_case(lab: Arc<Lab>) -> Outcome {
    checked(&lab).await?;
    let mut keys = sequence(KEYS);
    keys[0] = keys[0].to_uppercase();
    let mut session = keyed(&lab, keys).await?;
    session.echo("upper").await.map(drop)
}

async fn wrong_key(lab: Arc<Lab>) -> Outcome {
    checked(&lab).await?;
    let mut juliet = lab.juliet().await?;
    let mut session = keyed(&lab, sequence(KEYS)).await?;
    let right = std::mem::replace(&mut session.keys, sequence(KEYS));
    session.turn("", &message(&juliet.jid, "forged")).await?.expect("item-not-found")?;
    session.keys = right;
    session.gone().await?;
    let after = juliet.to_self("mark");
    let after = juliet.send("", &after).await?;
    let ids = juliet.ids_until([after], "mark").await?;
    ensure!(ids == ["mark"], "the server got {ids:?}");
    Ok(())
}

async fn missing_key(lab: Arc<Lab>) -> Outcome {
    checked(&lab).await?;
    let mut session = keyed(&lab, sequence(KEYS)).await?;
    let right = std::mem::take(&mut session.keys);
    session.turn("", "").await?.expect("item-not-found")?;
    session.keys = right;
    session.gone().await
}

async fn switch(lab: Arc<Lab>) -> Outcome {
    checked(&lab).await?;
    let mut session = keyed(&lab, sequence(KEYS)).await?;
    let mut second = sequence(KEYS);
    let newkey = second.pop_front().expect("a sequence is not empty");
    session.keys.truncate(1);
    let payload = session.to_self("switched");
    let attributes = format!("newkey='{newkey}'");
    let body = session.next(&attributes, &payload);
    session.keys = second;
    let pending = lab.post(&body).await?;
    session.ids_until([pending], "switched").await?;
    session.echo("second").await?;
    session.keys = sequence(KEYS);
    session.gone().await
}

async fn repeated(lab: Arc<Lab>) -> Outcome {
    checked(&lab).await?;
    let mut session = keyed(&lab, sequence(KEYS)).await?;
    session.echo("keyed").await?;
    let (body, before) = session.log.last().expect("there was one").clone();
    let again = lab.ask_with("", &body).await?;
    ensure!(again.body == before.body, "{} now {}", before.show(), again.show());
    let payload = session.to_self("after");
    session.exchange("", &payload, |node| is_message(node, "after")).await.map(drop)
}
