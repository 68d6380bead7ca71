//! What the connection manager sends: responses, and the conditions that end a session.

use bytes::Bytes;
use std::sync::Arc;
use xmpp_core::{ns, xml::Writer};

/// The `Content-Type` of responses unless the client asks for another (XEP-0124 7.1).
pub const CONTENT: &str = "text/xml; charset=utf-8";

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content: Arc<str>,
    /// One `<body/>` element.
    pub body: Bytes,
    /// Whether it may be compressed: its client has authenticated.
    pub compressible: bool,
    /// What it says, for who counts.
    pub gist: Gist,
}

impl Answer {
    /// There are too many requests that wait for an answer, in all or of this address: the request was not looked at,
    /// and is to be sent again (XEP-0124 17.3; RFC 6585 4).
    pub fn busy(in_all: bool) -> Self {
        let status = if in_all { 503 } else { 429 };
        let (content, body) = (CONTENT.into(), again(None));
        Self { status, content, body, compressible: false, gist: Gist::Again }
    }
}

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gist {
    /// Payloads.
    Payloads,
    /// No payloads, whatever attributes.
    Empty,
    /// What was said before, since it was asked for again (XEP-0124 14.3).
    Repeat,
    /// That the request is to be sent again (XEP-0124 17.3).
    Again,
    /// The end of the session (XEP-0124 13, 17.2).
    Last,
}

impl Gist {
    /// Each of them, in order.
    pub const ALL: [Self; 5] = [Self::Payloads, Self::Empty, Self::Repeat, Self::Again, Self::Last];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::Empty => "empty",
            Self::Repeat => "repeat",
            Self::Again => "error",
            Self::Last => "terminate",
        }
    }
}

/// A terminal binding condition (XEP-0124 17.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.name())]
pub enum Condition {
    /// The form of a request is unacceptable.
    BadRequest,
    /// The domain asked for is not served here any more.
    HostGone,
    /// The domain asked for is not served here.
    HostUnknown,
    /// The domain is missing, or is not one.
    ImproperAddressing,
    /// The fault is here.
    InternalServerError,
    /// A bad session or request identifier; which of them is not told (XEP-0124 14.3).
    ItemNotFound,
    /// Another request ended the session.
    OtherRequest,
    /// The client broke the rules of the session.
    PolicyViolation,
    /// The server cannot be reached, or no longer.
    RemoteConnectionFailed,
    /// The server closed the stream with an error, which stands in the body.
    RemoteStreamError,
    /// The service is at this address instead.
    SeeOtherUri(Box<str>),
    /// The connection manager is stopping.
    SystemShutdown,
    /// What has no condition of its own, by the stream error of this name (RFC 6120 4.9.3).
    UndefinedCondition(&'static str),
}

impl Condition {
    /// Its name as an attribute says it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found",
            Self::OtherRequest => "other-request",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::RemoteStreamError => "remote-stream-error",
            Self::SeeOtherUri(_) => "see-other-uri",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition(_) => "undefined-condition",
        }
    }

    /// The status to send it with: 200, or for a client that named no version the code that preceded
    /// the condition (XEP-0124 17.1).
    pub fn status(&self, modern: bool) -> u16 {
        match self {
            _ if modern => 200,
            Self::BadRequest => 400,
            Self::PolicyViolation => 403,
            Self::ItemNotFound => 404,
            _ => 200,
        }
    }

    /// What stands in the body beside the name of the condition (XEP-0124 17.2).
    pub(super) fn detail(&self) -> Option<Payload> {
        let mut out = Writer::new();
        match self {
            Self::SeeOtherUri(uri) => out.open("uri").text(uri).close(),
            Self::UndefinedCondition(name) => out.open_ns(name, ns::STREAM_ERRORS).close(),
            _ => return None,
        };
        Some(Payload::new(out.finish(), Kind::Other))
    }

    /// The response to a request that has no session, or whose session ends with it. The body says the
    /// same whatever the status.
    pub fn answer(&self, modern: bool) -> Answer {
        let body = terminal(Some(self), &[]);
        let (status, content) = (self.status(modern), CONTENT.into());
        Answer { status, content, body, compressible: false, gist: Gist::Last }
    }
}

/// Something for the client, on its way.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    /// One element, complete in itself but for the prefix `stream`.
    pub(crate) bytes: Bytes,
    /// What may stand beside it.
    pub(crate) kind: Kind,
    /// Whether the server waits to hear that the client has it (XEP-0198).
    pub(crate) counted: bool,
}

/// What a response may hold: features, or one element of SASL, or any number of others (XEP-0206 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `<stream:features/>` or `<stream:error/>`: alone, and with the prefix declared.
    Stream,
    /// SASL: alone.
    Sasl,
    /// A stanza.
    Stanza,
    /// Anything else.
    Other,
}

impl Payload {
    /// One that nobody counts.
    pub(crate) fn new(bytes: Bytes, kind: Kind) -> Self {
        Self { bytes, kind, counted: false }
    }
}

impl Kind {
    /// Whether it stands alone in its response.
    pub(super) fn is_alone(self) -> bool {
        matches!(self, Self::Stream | Self::Sasl)
    }
}

/// `<body/>` with these attributes and payloads.
pub(super) fn body(attributes: &[(&str, &str)], payloads: &[Payload]) -> Bytes {
    // It is kept until the client has it: no longer than need be.
    let length = attributes.iter().map(|(name, value)| " =''".len() + name.len() + value.len());
    let length = length.chain(payloads.iter().map(|payload| payload.bytes.len()));
    let mut out = Writer::with_capacity(EMPTY.len() + "</body".len() + length.sum::<usize>());
    out.open_ns("body", ns::HTTPBIND);
    if payloads.iter().any(|payload| payload.kind == Kind::Stream) {
        out.attr("xmlns:stream", ns::STREAMS);
    }
    for (name, value) in attributes {
        out.attr(name, value);
    }
    for payload in payloads {
        out.raw(&payload.bytes);
    }
    out.close();
    out.finish()
}

/// The last word of a session: a condition, or none where the end was asked for.
pub(super) fn terminal(condition: Option<&Condition>, payloads: &[Payload]) -> Bytes {
    let name = condition.map(Condition::name);
    let attributes = [("type", "terminate"), ("condition", name.unwrap_or_default())];
    let attributes = &attributes[..1 + usize::from(name.is_some())];
    match condition.and_then(Condition::detail) {
        Some(detail) => body(attributes, &[detail]),
        None => body(attributes, payloads),
    }
}

/// Nothing to say.
pub(super) const EMPTY: Bytes =
    Bytes::from_static(b"<body xmlns='http://jabber.org/protocol/httpbind'/>");

/// A recoverable condition: the request is to be sent again (XEP-0124 17.3), with this `ack` if any.
pub(super) fn again(ack: Option<u64>) -> Bytes {
    let ack = ack.map(|ack| ack.to_string());
    let attributes = [("type", "error"), ("ack", ack.as_deref().unwrap_or_default())];
    body(&attributes[..1 + usize::from(ack.is_some())], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_22_errors_are_200_for_who_named_a_version_and_http_codes_for_who_did_not() {
        for (condition, legacy) in [
            (Condition::BadRequest, 400),
            (Condition::PolicyViolation, 403),
            (Condition::ItemNotFound, 404),
            (Condition::HostUnknown, 200),
            (Condition::SystemShutdown, 200),
        ] {
            assert_eq!(condition.answer(true).status, 200);
            assert_eq!(condition.answer(false).status, legacy);
            assert_eq!(condition.answer(true).body, condition.answer(false).body);
        }
    }

    #[test]
    fn row_27_another_address_stands_in_a_uri_element() {
        let answer = Condition::SeeOtherUri("https://x.example/b?a&b".into()).answer(true);
        assert_eq!(
            answer.body,
            "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' \
             condition='see-other-uri'><uri>https://x.example/b?a&amp;b</uri></body>"
        );
    }

    #[test]
    fn row_29_what_has_no_condition_of_its_own_says_more() {
        let answer = Condition::UndefinedCondition("resource-constraint").answer(true);
        assert_eq!(
            answer.body,
            "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' \
             condition='undefined-condition'><resource-constraint \
             xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></body>"
        );
    }

    #[test]
    fn the_fixed_body_is_what_the_writer_makes() {
        assert_eq!(EMPTY, body(&[], &[]));
    }
}
