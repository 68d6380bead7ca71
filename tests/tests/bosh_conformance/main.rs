//! The conformance suite tried on a connection manager of its own that has a fault planted in it: exactly the rows
//! concerned must fail. Everything is in memory on a paused clock, so minutes of silence take none.

#![allow(unreachable_pub, clippy::unwrap_used)] // all of it is a test, and no crate to anybody

mod fault;
mod http;
mod loss;
mod manager;
mod reply;
mod server;

use fault::Fault;
use manager::Manager;
use std::{collections::BTreeSet, sync::Arc};
use tests::bosh::{Account, Dial, Lab, Report, Stream, Verdict, rows, run};
use tokio::io::duplex;

/// Bytes on their way through a connection in memory.
const PIPE: usize = 64 * 1024;

fn lab(fault: Option<Fault>) -> Arc<Lab> {
    let manager = Arc::new(Manager::new(fault));
    let account = |user: &str| Account {
        user: user.into(),
        domain: "localhost".into(),
        password: "secret".into(),
    };
    let dial = move |secure| -> Dial {
        let manager = Arc::clone(&manager);
        Arc::new(move || {
            let (ours, theirs) = duplex(PIPE);
            tokio::spawn(http::serve(Arc::clone(&manager), theirs, secure));
            Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) })
        })
    };
    Arc::new(Lab {
        dial: dial(true),
        plain: Some(dial(false)),
        host: "localhost".into(),
        path: "/http-bind".into(),
        accounts: [account("romeo"), account("juliet")],
        process: None,
        upstream: None,
        gone: None,
    })
}

async fn measure(fault: Option<Fault>) -> Report {
    run(lab(fault), rows()).await
}

/// The manager without a fault passes; what it does not offer is not held against it.
#[tokio::test(start_paused = true)]
async fn a_manager_without_fault_fails_nowhere() {
    let report = measure(None).await;
    assert_eq!(report.failed(), [""; 0], "\n{report}");
    assert!(report.is_conformant());
    let not_offered =
        report.rows.iter().filter(|one| matches!(one.verdict, Verdict::NotOffered(_)));
    let not_offered: Vec<_> = not_offered.map(|one| one.row.id).collect();
    let museum = ["77", "78", "79"];
    let streams = ["64", "65a", "65c", "66", "67a", "67b", "68a", "68b"];
    let expected = [&["17b", "42", "58"][..], &streams, &museum].concat();
    assert_eq!(not_offered, expected, "\n{report}");
}

/// What the report says stands and falls with its rows: none may be listed twice, none may be without a section.
#[test]
fn rows_have_numbers_of_their_own() {
    let rows = rows();
    let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), rows.len());
    assert!(rows.iter().all(|row| !row.clause.is_empty() && !row.rule.is_empty()));
}

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident: $test:ident fails $rows:expr;)*) => {$(
        $(#[$doc])*
        #[tokio::test(start_paused = true)]
        async fn $test() {
            let report = measure(Some(Fault::$fault)).await;
            let expected: &[&str] = &$rows;
            assert_eq!(report.failed(), expected, "\n{report}");
        }
    )*};
}

faults! {
    ReplayDiffers: a_replay_that_is_not_identical fails ["38", "39a", "48", "63b"];
    RepeatsAreProcessed: payloads_doubled_on_repeat fails ["39b", "44", "45"];
    OrderOfArrival: payloads_in_the_order_of_arrival fails ["34a", "37b"];
    SidsOutliveTheirEnd: a_sid_that_outlives_its_session fails ["60"];
    AckOffByOne: an_ack_off_by_one fails ["16b"];
    AckOverGaps: an_ack_that_counts_what_is_above_a_gap fails ["47"];
    HoldsOneTooMany: one_request_held_too_many fails ["31a"];
    WaitsForEver: requests_held_for_ever fails ["32", "52"];
    NoWindow: rids_of_any_size fails ["22a", "22b", "23a", "26", "36"];
    RidsOf48Bits: rids_of_48_bits fails ["43a"];
    FixedContentType: a_content_type_of_its_own fails ["4b"];
    Chunked: chunked_responses fails ["2a"];
    NoCorsOnErrors: errors_that_scripts_cannot_read fails ["80b"];
    MissingKeysAccepted: missing_keys_accepted fails ["62b"];
    NewKeysIgnored: new_key_sequences_ignored fails ["63a"];
    PauseWithPayload: payloads_in_the_response_to_a_pause fails ["53b"];
    NoRoomAboveHold: as_many_requests_as_are_held fails ["13b", "36", "56"];
    TermsRepeated: session_attributes_in_every_response fails ["15"];
    NeverSilent: sessions_that_never_end_in_silence fails ["50", "54a", "76a", "76b", "76c"];
    LastWordsDropped: the_last_payloads_dropped fails ["59a"];
    Oracle: an_error_that_tells_a_small_rid_from_a_large_one fails ["23a", "41"];
    CommentsAccepted: comments_accepted fails ["8b"];
    TextAccepted: text_accepted fails ["9a"];
    Stored: responses_that_caches_may_keep fails ["82"];
    RestartTakesStanzas: stanzas_in_a_restart_passed_on fails ["73c"];
    CutLosesResponses: responses_lost_with_their_connection fails ["45"];
    GuessableSids: sids_that_can_be_guessed fails ["69"];
    SilenceFromRequest: silence_counted_from_the_request fails ["52"];
    Nowhere: see_other_uri_without_one fails ["27"];
    ServedOverHttp: a_secure_session_served_over_http fails ["70"];
    ErrorsBare: stream_errors_without_their_element fails ["75"];
    GzipUnasked: responses_compressed_for_everybody fails ["5a"];
    GzipCutShort: compressed_responses_without_their_end fails ["5b"];
    GzipNotUndone: compressed_requests_taken_as_they_are fails ["6"];
    UnreadForgotten: responses_that_nobody_read_forgotten fails ["76c"];
    UndeliveredDropped: messages_of_dead_sessions_dropped fails ["76b", "76c"];
    UndeliveredComesBack: messages_of_dead_sessions_that_come_back fails [];
}
