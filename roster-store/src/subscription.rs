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
mod tests;
