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

/// A row per state, in order, as the RFC prints them: the existing state, whether the stanza passes (is routed, is
/// delivered), the new state.
type Table = [(State, bool, State); 9];

/// MUST be routed; MUST be delivered.
const MUST: bool = true;
/// MUST NOT be routed.
const M_N: bool = false;
/// SHOULD NOT be routed; SHOULD NOT be delivered.
const S_N: bool = false;

/// Table 2: processing of outbound `subscribe` (RFC 6121 A.2.1).
const SEND_SUBSCRIBE: Table = [
    (None, MUST, NoneOut),
    (NoneOut, MUST, NoneOut),
    (NoneIn, MUST, NoneOutIn),
    (NoneOutIn, MUST, NoneOutIn),
    (To, MUST, To),
    (ToIn, MUST, ToIn),
    (From, MUST, FromOut),
    (FromOut, MUST, FromOut),
    (Both, MUST, Both),
];

/// Table 3: processing of outbound `unsubscribe` (RFC 6121 A.2.2).
const SEND_UNSUBSCRIBE: Table = [
    (None, MUST, None),
    (NoneOut, MUST, None),
    (NoneIn, MUST, NoneIn),
    (NoneOutIn, MUST, NoneIn),
    (To, MUST, None),
    (ToIn, MUST, NoneIn),
    (From, MUST, From),
    (FromOut, MUST, From),
    (Both, MUST, From),
];

/// Table 4: processing of outbound `subscribed` (RFC 6121 A.2.3).
const SEND_SUBSCRIBED: Table = [
    (None, M_N, None),
    (NoneOut, M_N, NoneOut),
    (NoneIn, MUST, From),
    (NoneOutIn, MUST, FromOut),
    (To, M_N, To),
    (ToIn, MUST, Both),
    (From, M_N, From),
    (FromOut, M_N, FromOut),
    (Both, M_N, Both),
];

/// Table 5: processing of outbound `unsubscribed` (RFC 6121 A.2.4).
const SEND_UNSUBSCRIBED: Table = [
    (None, S_N, None),
    (NoneOut, S_N, NoneOut),
    (NoneIn, MUST, None),
    (NoneOutIn, MUST, NoneOut),
    (To, S_N, To),
    (ToIn, MUST, To),
    (From, MUST, None),
    (FromOut, MUST, NoneOut),
    (Both, MUST, To),
];

/// Table 6: processing of inbound `subscribe` (RFC 6121 A.3.1).
const RECEIVE_SUBSCRIBE: Table = [
    (None, MUST, NoneIn),
    (NoneOut, MUST, NoneOutIn),
    (NoneIn, S_N, NoneIn),
    (NoneOutIn, S_N, NoneOutIn),
    (To, MUST, ToIn),
    (ToIn, S_N, ToIn),
    (From, S_N, From),
    (FromOut, S_N, FromOut),
    (Both, S_N, Both),
];

/// Table 7: processing of inbound `unsubscribe` (RFC 6121 A.3.2).
const RECEIVE_UNSUBSCRIBE: Table = [
    (None, S_N, None),
    (NoneOut, S_N, NoneOut),
    (NoneIn, MUST, None),
    (NoneOutIn, MUST, NoneOut),
    (To, S_N, To),
    (ToIn, MUST, To),
    (From, MUST, None),
    (FromOut, MUST, NoneOut),
    (Both, MUST, To),
];

/// Table 8: processing of inbound `subscribed` (RFC 6121 A.3.3).
const RECEIVE_SUBSCRIBED: Table = [
    (None, S_N, None),
    (NoneOut, MUST, To),
    (NoneIn, S_N, NoneIn),
    (NoneOutIn, MUST, ToIn),
    (To, S_N, To),
    (ToIn, S_N, ToIn),
    (From, S_N, From),
    (FromOut, MUST, Both),
    (Both, S_N, Both),
];

/// Table 9: processing of inbound `unsubscribed` (RFC 6121 A.3.4).
const RECEIVE_UNSUBSCRIBED: Table = [
    (None, S_N, None),
    (NoneOut, MUST, None),
    (NoneIn, S_N, NoneIn),
    (NoneOutIn, MUST, NoneIn),
    (To, MUST, None),
    (ToIn, MUST, NoneIn),
    (From, S_N, From),
    (FromOut, MUST, From),
    (Both, MUST, From),
];

/// A stanza leaves an account: whether it is routed, and the sender's subscription afterwards (RFC 6121 A.2).
pub(crate) fn send(verb: Verb, before: Subscription) -> (bool, Subscription) {
    let state = State::of(before);
    let table = match verb {
        Verb::Subscribe => &SEND_SUBSCRIBE,
        Verb::Unsubscribe => &SEND_UNSUBSCRIBE,
        Verb::Subscribed => &SEND_SUBSCRIBED,
        Verb::Unsubscribed => &SEND_UNSUBSCRIBED,
    };
    let (_, route, next) = table[state as usize];
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
    let table = match verb {
        Verb::Subscribe => &RECEIVE_SUBSCRIBE,
        Verb::Unsubscribe => &RECEIVE_UNSUBSCRIBE,
        Verb::Subscribed => &RECEIVE_SUBSCRIBED,
        Verb::Unsubscribed => &RECEIVE_UNSUBSCRIBED,
    };
    let (_, deliver, next) = table[state as usize];
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
