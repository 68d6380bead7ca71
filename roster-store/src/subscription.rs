//! The subscription states of RFC 6121 Appendix A as data, and the two functions that read it.
//!
//! ```text
//!  user ── send(verb) ──> the sender's state, and whether the stanza is routed       (A.2)
//!  user <─ receive(verb) ─ the recipient's state, whether it is shown, what answers   (A.3)
//! ```

use crate::{Subscription, Verb};
use State::{Both, From, FromOut, None, NoneIn, NoneOut, NoneOutIn, To, ToIn};

/// The nine states (RFC 6121 A.1), in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    NoneOut,
    NoneIn,
    NoneOutIn,
    To,
    ToIn,
    From,
    FromOut,
    Both,
}

/// A row per state, in order: whether the stanza passes (is routed, is delivered), and the new state.
type Table = [(bool, State); 9];

/// RFC 6121 tables 2 to 5, by verb.
const OUTBOUND: [Table; 4] = [
    // Table 2: subscribe
    [
        (true, NoneOut),
        (true, NoneOut),
        (true, NoneOutIn),
        (true, NoneOutIn),
        (true, To),
        (true, ToIn),
        (true, FromOut),
        (true, FromOut),
        (true, Both),
    ],
    // Table 4: subscribed
    [
        (false, None),
        (false, NoneOut),
        (true, From),
        (true, FromOut),
        (false, To),
        (true, Both),
        (false, From),
        (false, FromOut),
        (false, Both),
    ],
    // Table 3: unsubscribe
    [
        (true, None),
        (true, None),
        (true, NoneIn),
        (true, NoneIn),
        (true, None),
        (true, NoneIn),
        (true, From),
        (true, From),
        (true, From),
    ],
    // Table 5: unsubscribed
    [
        (false, None),
        (false, NoneOut),
        (true, None),
        (true, NoneOut),
        (false, To),
        (true, To),
        (true, None),
        (true, NoneOut),
        (true, To),
    ],
];

/// RFC 6121 tables 6 to 9, by verb.
const INBOUND: [Table; 4] = [
    // Table 6: subscribe
    [
        (true, NoneIn),
        (true, NoneOutIn),
        (false, NoneIn),
        (false, NoneOutIn),
        (true, ToIn),
        (false, ToIn),
        (false, From),
        (false, FromOut),
        (false, Both),
    ],
    // Table 8: subscribed
    [
        (false, None),
        (true, To),
        (false, NoneIn),
        (true, ToIn),
        (false, To),
        (false, ToIn),
        (false, From),
        (true, Both),
        (false, Both),
    ],
    // Table 7: unsubscribe
    [
        (false, None),
        (false, NoneOut),
        (true, None),
        (true, NoneOut),
        (false, To),
        (true, To),
        (true, None),
        (true, NoneOut),
        (true, To),
    ],
    // Table 9: unsubscribed
    [
        (false, None),
        (true, None),
        (false, NoneIn),
        (true, NoneIn),
        (true, None),
        (true, NoneIn),
        (false, From),
        (true, From),
        (true, From),
    ],
];

/// A stanza leaves an account: whether it is routed, and the sender's subscription afterwards (RFC 6121 A.2).
pub(crate) fn send(verb: Verb, before: Subscription) -> (bool, Subscription) {
    let state = State::of(before);
    let (route, next) = OUTBOUND[verb as usize][state as usize];
    let approved = match verb {
        // RFC 6121 3.4.2: with nothing to approve yet, it is approved beforehand. A.2.3 note 1
        Verb::Subscribed => matches!(state, None | NoneOut | To),
        // RFC 6121 3.2.2 rule 2, A.2.4 note 1
        Verb::Unsubscribed => false,
        Verb::Subscribe | Verb::Unsubscribe => before.approved,
    };
    (route, Subscription { approved, ..next.into() })
}

/// What an inbound stanza does to its recipient (RFC 6121 A.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Whether it is shown to the recipient's clients.
    pub(crate) deliver: bool,
    /// What the server answers on the recipient's behalf.
    pub(crate) reply: Option<Verb>,
    /// The recipient's subscription afterwards.
    pub(crate) after: Subscription,
}

/// A stanza reaches an account (RFC 6121 A.3).
pub(crate) fn receive(verb: Verb, before: Subscription) -> Received {
    let state = State::of(before);
    let (deliver, next) = INBOUND[verb as usize][state as usize];
    let after = Subscription { approved: before.approved, ..next.into() };
    match verb {
        // RFC 6121 3.4.2: approved beforehand, so not delivered but answered. The approval is used up.
        Verb::Subscribe if before.approved && !before.from => {
            let (_, after) = send(Verb::Subscribed, after);
            Received { deliver: false, reply: Some(Verb::Subscribed), after }
        }
        // RFC 6121 3.1.3 rule 2, A.3.1 note 2
        Verb::Subscribe if before.from => {
            Received { deliver, reply: Some(Verb::Subscribed), after }
        }
        // RFC 6121 A.3.2 note 1
        Verb::Unsubscribe if next != state => {
            Received { deliver, reply: Some(Verb::Unsubscribed), after }
        }
        _ => Received { deliver, reply: Option::None, after },
    }
}

impl State {
    /// Agreement makes what was asked for moot, so every combination has a state.
    fn of(s: Subscription) -> Self {
        match (s.to, s.from, s.pending_out, s.pending_in) {
            (false, false, false, false) => None,
            (false, false, true, false) => NoneOut,
            (false, false, false, true) => NoneIn,
            (false, false, true, true) => NoneOutIn,
            (true, false, _, false) => To,
            (true, false, _, true) => ToIn,
            (false, true, false, _) => From,
            (false, true, true, _) => FromOut,
            (true, true, _, _) => Both,
        }
    }
}

impl std::convert::From<State> for Subscription {
    fn from(state: State) -> Self {
        Self {
            to: matches!(state, To | ToIn | Both),
            from: matches!(state, From | FromOut | Both),
            pending_out: matches!(state, NoneOut | NoneOutIn | FromOut),
            pending_in: matches!(state, NoneIn | NoneOutIn | ToIn),
            approved: false,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
