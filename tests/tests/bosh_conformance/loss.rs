//! The loss test tried on the same manager: without a fault all arrives, and a fault that loses, doubles or shuffles is
//! found.

use crate::{fault::Fault, lab};
use std::sync::Arc;
use tests::bosh::loss::{Outcome, run};

/// Enough for each fault to show, in a moment of the paused clock.
const MESSAGES: u64 = 400;

async fn talk(fault: Option<Fault>, seed: u64) -> Outcome {
    let lab = lab(fault);
    run(&lab, Arc::clone(&lab.dial), seed, MESSAGES).await
}

#[tokio::test(start_paused = true)]
async fn through_a_manager_without_fault_all_arrives() {
    for seed in 1..=8 {
        let outcome = talk(None, seed).await;
        assert_eq!((&outcome.wrong, outcome.arrived), (&None, [MESSAGES; 2]), "{outcome}");
        assert!(outcome.spoiled() * 3 > outcome.sent(), "much goes wrong on the way: {outcome}");
    }
}

/// One of these seeds shows what is wrong, in such words.
async fn is_found(fault: Fault, words: &str) {
    let mut outcomes = Vec::new();
    for seed in 1..=8 {
        let outcome = talk(Some(fault), seed).await;
        if outcome.wrong.as_ref().is_some_and(|why| why.contains(words)) {
            return;
        }
        outcomes.push(outcome.to_string());
    }
    panic!("nothing of {words:?}:\n{}", outcomes.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_not_identical_is_found() {
    is_found(Fault::ReplayDiffers, "got other bytes when it was repeated").await;
}

#[tokio::test(start_paused = true)]
async fn payloads_doubled_on_repeat_are_found() {
    is_found(Fault::RepeatsAreProcessed, "instead of loss-").await;
}

#[tokio::test(start_paused = true)]
async fn payloads_in_the_order_of_arrival_are_found() {
    is_found(Fault::OrderOfArrival, "instead of loss-").await;
}

#[tokio::test(start_paused = true)]
async fn responses_lost_with_their_connection_are_found() {
    is_found(Fault::CutLosesResponses, "instead of loss-").await;
}

#[tokio::test(start_paused = true)]
async fn an_ack_of_what_was_never_sent_is_found() {
    is_found(Fault::AckOffByOne, "is the last").await;
}
