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

/// Reads rows as RFC 6121 Appendix A prints them: `"state" | MUST, M.N. or S.N. | "state" or no state change`.
fn rows(table: &str) -> Vec<(State, bool, State)> {
    let state = |text: &str| {
        let name = text.trim().trim_matches('"');
        STATES.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("state {name}")).1
    };
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.contains('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').collect();
            let before = state(cells[0]);
            let passes = cells[1].trim().starts_with("MUST");
            let after = match cells[2].trim() {
                same if same.starts_with("no state change") => before,
                approval if approval.starts_with("pre-approval") => before,
                other => state(other),
            };
            (before, passes, after)
        })
        .collect();
    assert_eq!(rows.len(), 9);
    rows
}

fn check_outbound(verb: Verb, table: &str) {
    for (before, route, after) in rows(table) {
        let (routed, got) = send(verb, before.into());
        assert_eq!((routed, State::of(got)), (route, after), "{verb:?} sent in {before:?}");
    }
}

fn check_inbound(verb: Verb, table: &str) {
    for (before, deliver, after) in rows(table) {
        let got = receive(verb, before.into());
        let got = (got.deliver, State::of(got.after));
        assert_eq!(got, (deliver, after), "{verb:?} received in {before:?}");
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
    );
}

#[test]
fn every_state_survives_the_way_through_its_flags() {
    for (_, state) in STATES {
        assert_eq!(State::of(state.into()), state);
    }
}

#[test]
fn rfc6121_a3_note_2_only_an_agreed_subscription_answers_a_request() {
    for (_, state) in STATES {
        let agreed = Subscription::from(state).from;
        let reply = receive(Verb::Subscribe, state.into()).reply;
        assert_eq!(reply, agreed.then_some(Verb::Subscribed), "{state:?}");
    }
}

#[test]
fn rfc6121_a3_2_note_1_an_unsubscribe_that_changes_something_is_confirmed() {
    for (_, state) in STATES {
        let got = receive(Verb::Unsubscribe, state.into());
        assert_eq!(got.reply, got.deliver.then_some(Verb::Unsubscribed), "{state:?}");
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
