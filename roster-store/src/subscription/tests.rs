//! The tables against the text of RFC 6121 Appendix A.

use super::*;

const STATES: [(&str, State); 9] = [
    ("None", None),
    ("None + Pending Out", NoneOut),
    ("None + Pending In", NoneIn),
    ("None + Pending Out+In", NoneOutIn),
    ("To", To),
    ("To + Pending In", ToIn),
    ("From", From),
    ("From + Pending Out", FromOut),
    ("Both", Both),
];

/// A row as RFC 6121 Appendix A prints it.
struct Row {
    before: State,
    passes: bool,
    after: State,
    /// The number of the footnote that it refers to.
    note: Option<char>,
}

/// Reads rows: `"state" | MUST, M.N. or S.N. | "state", no state change or pre-approval`, and `[note]` at either.
fn rows(text: &str) -> Vec<Row> {
    let state = |text: &str| {
        let name = text.split('[').next().unwrap().trim().trim_matches('"');
        STATES.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("state {name}")).1
    };
    let lines = text.lines().filter(|line| line.contains('|'));
    let rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').collect();
            let before = state(cells[0]);
            let unchanged = ["no state change", "pre-approval"];
            Row {
                before,
                passes: cells[1].trim().starts_with("MUST"),
                after: match cells[2].trim() {
                    same if unchanged.iter().any(|u| same.starts_with(u)) => before,
                    other => state(other),
                },
                note: line.split_once('[').and_then(|(_, rest)| rest.chars().next()),
            }
        })
        .collect();
    let states: Vec<_> = rows.iter().map(|row| row.before).collect();
    assert_eq!(states, STATES.map(|(_, state)| state));
    rows
}

/// `noted`: whether what the footnote says happened, given the subscription before and after.
fn check_outbound(verb: Verb, text: &str, noted: fn(Subscription, Subscription) -> bool) {
    for Row { before, passes, after, note } in rows(text) {
        let (routed, got) = send(verb, before.into());
        assert_eq!((routed, State::of(got)), (passes, after), "{verb:?} sent in {before:?}");
        let happened = noted(before.into(), got);
        assert_eq!(happened, note.is_some(), "the note at {verb:?} sent in {before:?}");
    }
}

/// `replies`: what the server answers by which footnote.
fn check_inbound(verb: Verb, text: &str, replies: &[(char, Verb)]) {
    for Row { before, passes, after, note } in rows(text) {
        let got = receive(verb, before.into());
        let what = format!("{verb:?} received in {before:?}");
        assert_eq!((got.deliver, State::of(got.after)), (passes, after), "{what}");
        let reply = replies.iter().find(|(number, _)| note == Some(*number));
        assert_eq!(got.reply, reply.map(|(_, reply)| *reply), "{what}");
    }
}

#[test]
fn p08_rfc6121_a2_1_outbound_subscribe() {
    check_outbound(
        Verb::Subscribe,
        r#"
|  "None"                  |  MUST [1] |  "None + Pending Out"     |
|  "None + Pending Out"    |  MUST     |  no state change          |
|  "None + Pending In"     |  MUST [1] |  "None + Pending Out+In"  |
|  "None + Pending Out+In" |  MUST     |  no state change          |
|  "To"                    |  MUST     |  no state change          |
|  "To + Pending In"       |  MUST     |  no state change          |
|  "From"                  |  MUST [1] |  "From + Pending Out"     |
|  "From + Pending Out"    |  MUST     |  no state change          |
|  "Both"                  |  MUST     |  no state change          |"#,
        // [1]: the ask flag is set.
        |before, after| after.pending_out && !before.pending_out,
    );
}

#[test]
fn p08_rfc6121_a2_2_outbound_unsubscribe() {
    check_outbound(
        Verb::Unsubscribe,
        r#"
|  "None"                  |  MUST    |  no state change          |
|  "None + Pending Out"    |  MUST    |  "None"                   |
|  "None + Pending In"     |  MUST    |  no state change          |
|  "None + Pending Out+In" |  MUST    |  "None + Pending In"      |
|  "To"                    |  MUST    |  "None"                   |
|  "To + Pending In"       |  MUST    |  "None + Pending In"      |
|  "From"                  |  MUST    |  no state change          |
|  "From + Pending Out"    |  MUST    |  "From"                   |
|  "Both"                  |  MUST    |  "From"                   |"#,
        |_, _| false,
    );
}

#[test]
fn p08_rfc6121_a2_3_outbound_subscribed() {
    check_outbound(
        Verb::Subscribed,
        r#"
|  "None"                  |  M.N.    |  pre-approval [1]         |
|  "None + Pending Out"    |  M.N.    |  pre-approval [1]         |
|  "None + Pending In"     |  MUST    |  "From"                   |
|  "None + Pending Out+In" |  MUST    |  "From + Pending Out"     |
|  "To"                    |  M.N.    |  pre-approval [1]         |
|  "To + Pending In"       |  MUST    |  "Both"                   |
|  "From"                  |  M.N.    |  no state change          |
|  "From + Pending Out"    |  M.N.    |  no state change          |
|  "Both"                  |  M.N.    |  no state change          |"#,
        // [1]: pre-approval.
        |_, after| after.approved,
    );
}

#[test]
fn p08_rfc6121_a2_4_outbound_unsubscribed() {
    check_outbound(
        Verb::Unsubscribed,
        r#"
|  "None"                  |  S.N.    |  no state change [1]      |
|  "None + Pending Out"    |  S.N.    |  no state change [1]      |
|  "None + Pending In"     |  MUST    |  "None"                   |
|  "None + Pending Out+In" |  MUST    |  "None + Pending Out"     |
|  "To"                    |  S.N.    |  no state change [1]      |
|  "To + Pending In"       |  MUST    |  "To"                     |
|  "From"                  |  MUST    |  "None"                   |
|  "From + Pending Out"    |  MUST    |  "None + Pending Out"     |
|  "Both"                  |  MUST    |  "To"                     |"#,
        // [1]: nothing but a pre-approval is cancelled.
        |before, _| {
            let approved = Subscription { approved: true, ..before };
            send(Verb::Unsubscribed, approved) == (false, before)
        },
    );
}

#[test]
fn p08_rfc6121_a3_1_inbound_subscribe() {
    check_inbound(
        Verb::Subscribe,
        r#"
|  "None"                  |  MUST [1]  |  "None + Pending In"     |
|  "None + Pending Out"    |  MUST      |  "None + Pending Out+In" |
|  "None + Pending In"     |  S.N.      |  no state change         |
|  "None + Pending Out+In" |  S.N.      |  no state change         |
|  "To"                    |  MUST      |  "To + Pending In"       |
|  "To + Pending In"       |  S.N.      |  no state change         |
|  "From"                  |  S.N. [2]  |  no state change         |
|  "From + Pending Out"    |  S.N. [2]  |  no state change         |
|  "Both"                  |  S.N. [2]  |  no state change         |"#,
        // [1]: after a pre-approval, tested below. [2]: what is granted already is granted again.
        &[('2', Verb::Subscribed)],
    );
}

#[test]
fn p08_rfc6121_a3_2_inbound_unsubscribe() {
    check_inbound(
        Verb::Unsubscribe,
        r#"
|  "None"                  |  S.N.      |  no state change         |
|  "None + Pending Out"    |  S.N.      |  no state change         |
|  "None + Pending In"     |  MUST [1]  |  "None"                  |
|  "None + Pending Out+In" |  MUST [1]  |  "None + Pending Out"    |
|  "To"                    |  S.N.      |  no state change         |
|  "To + Pending In"       |  MUST [1]  |  "To"                    |
|  "From"                  |  MUST [1]  |  "None"                  |
|  "From + Pending Out"    |  MUST [1]  |  "None + Pending Out"    |
|  "Both"                  |  MUST [1]  |  "To"                    |"#,
        &[('1', Verb::Unsubscribed)],
    );
}

#[test]
fn p08_rfc6121_a3_3_inbound_subscribed() {
    check_inbound(
        Verb::Subscribed,
        r#"
|  "None"                  |  S.N.      |  no state change         |
|  "None + Pending Out"    |  MUST      |  "To"                    |
|  "None + Pending In"     |  S.N.      |  no state change         |
|  "None + Pending Out+In" |  MUST      |  "To + Pending In"       |
|  "To"                    |  S.N.      |  no state change         |
|  "To + Pending In"       |  S.N.      |  no state change         |
|  "From"                  |  S.N.      |  no state change         |
|  "From + Pending Out"    |  MUST      |  "Both"                  |
|  "Both"                  |  S.N.      |  no state change         |"#,
        &[],
    );
}

#[test]
fn p08_rfc6121_a3_4_inbound_unsubscribed() {
    check_inbound(
        Verb::Unsubscribed,
        r#"
|  "None"                  |  S.N.      |  no state change         |
|  "None + Pending Out"    |  MUST      |  "None"                  |
|  "None + Pending In"     |  S.N.      |  no state change         |
|  "None + Pending Out+In" |  MUST      |  "None + Pending In"     |
|  "To"                    |  MUST      |  "None"                  |
|  "To + Pending In"       |  MUST      |  "None + Pending In"     |
|  "From"                  |  S.N.      |  no state change         |
|  "From + Pending Out"    |  MUST      |  "From"                  |
|  "Both"                  |  MUST      |  "From"                  |"#,
        &[],
    );
}

#[test]
fn every_row_stands_at_the_place_of_its_state() {
    let sent = [SEND_SUBSCRIBE, SEND_UNSUBSCRIBE, SEND_SUBSCRIBED, SEND_UNSUBSCRIBED];
    let received =
        [RECEIVE_SUBSCRIBE, RECEIVE_UNSUBSCRIBE, RECEIVE_SUBSCRIBED, RECEIVE_UNSUBSCRIBED];
    for table in sent.iter().chain(&received) {
        let states: Vec<_> = table.iter().map(|(before, ..)| *before).collect();
        assert_eq!(states, STATES.map(|(_, state)| state));
    }
}

#[test]
fn every_state_survives_the_way_through_its_flags() {
    for (_, state) in STATES {
        assert_eq!(State::of(state.into()), state);
    }
}

#[test]
fn rfc6121_3_4_2_approval_is_noted_only_where_it_is_not_given_yet() {
    for (_, state) in STATES {
        let (route, after) = send(Verb::Subscribed, state.into());
        let noted = matches!(state, None | NoneOut | To);
        assert_eq!((after.approved, route && after.approved), (noted, false), "{state:?}");
    }
}

#[test]
fn rfc6121_3_4_2_a_request_approved_beforehand_is_answered_once() {
    for (state, agreed) in [(None, From), (NoneOut, FromOut), (To, Both)] {
        let approved = Subscription { approved: true, ..state.into() };
        let got = receive(Verb::Subscribe, approved);
        let expected =
            Received { deliver: false, reply: Some(Verb::Subscribed), after: agreed.into() };
        assert_eq!(got, expected, "{state:?}");
    }
}

#[test]
fn rfc6121_3_2_2_unsubscribed_takes_an_approval_back_and_nothing_else_does() {
    for state in [None, NoneOut, To] {
        let approved = Subscription { approved: true, ..state.into() };
        assert_eq!(send(Verb::Unsubscribed, approved), (false, state.into()));
        assert!(send(Verb::Subscribe, approved).1.approved);
        assert!(send(Verb::Unsubscribe, approved).1.approved);
        assert!(receive(Verb::Subscribed, approved).after.approved);
        assert!(receive(Verb::Unsubscribed, approved).after.approved);
    }
}
