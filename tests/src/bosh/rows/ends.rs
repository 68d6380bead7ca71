//! The end of a session (XEP-0124 13).

use super::row;
use crate::bosh::{AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, client::message};
use std::sync::Arc;

pub(super) const ROWS: &[Row] = &[
    row!(
        "59a",
        "XEP-0124 13",
        Must,
        "the payloads of the last request reach the server",
        last_words
    ),
    row!(
        "59b",
        "XEP-0124 13",
        Should,
        "the oldest request gets type='terminate', every one an answer",
        answered
    ),
    row!("60", "XEP-0124 13", Must, "afterwards the sid is gone", gone),
];

async fn last_words(lab: Arc<Lab>) -> Outcome {
    let (mut romeo, mut juliet) = (lab.romeo().await?, lab.juliet().await?);
    let ended = romeo.turn("type='terminate'", &message(&juliet.jid, "farewell")).await?;
    ensure!(ended.status == 200 && ended.attr("condition").is_none(), "{}", ended.show());
    juliet.ids_until([], "farewell").await.map(drop)
}

async fn answered(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut oldest = session.hold("").await?;
    let mut last = session.send("type='terminate'", "").await?;
    let oldest = oldest.answer(AT_ONCE_TIME).await?;
    ensure!(oldest.attr("type") == Some("terminate"), "the oldest: {}", oldest.show());
    let last = last.answer(PATIENCE).await?;
    let fine = last.status == 200 && last.attr("condition").is_none() && last.payloads().is_empty();
    ensure!(fine, "the last: {}", last.show());
    Ok(())
}

async fn gone(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.turn("type='terminate'", "").await?;
    session.gone().await
}
