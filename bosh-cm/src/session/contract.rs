//! What a session is told and what it asks for.

use super::{Answer, Condition, Request};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use xmpp_core::xml::Limits;

/// Streams of one session at a time: accounts that one person may well have (XEP-0124 16). There is no key for it, since
/// each after the first counts as a session against the limits that have keys.
const STREAMS: usize = 4;

/// What a `<body/>` may be longer than what it carries.
pub const ENVELOPE: usize = 8_192;

/// How requests may be compressed, as `accept` says it (XEP-0124 7.2).
pub const CODINGS: &str = "gzip,deflate";

/// What sessions are granted (XEP-0124 7.2). Times are whole seconds on the wire.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The domains served; empty: whatever the upstream connects to.
    pub domains: Vec<String>,
    /// Domains that are not served any more, whatever else is: `host-gone`.
    pub gone: Vec<String>,
    /// The most requests held at once; a client gets what it asks for up to here, or 1.
    pub hold: u64,
    /// The longest a request is held.
    pub wait: Duration,
    /// The longest silence with no request held.
    pub inactivity: Duration,
    /// The shortest interval between empty requests.
    pub polling: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// The most streams at a time; 1: the client is not told that there could be more.
    pub streams: usize,
    /// The largest request, in bytes, of a session that has not authenticated. Requests before their turn
    /// wait in memory.
    pub stranger_bytes: usize,
    /// Whether requests, and after authentication answers, may be compressed. It is for who serves HTTP to do so.
    pub compression: bool,
}

impl Default for Terms {
    /// Hold up to 4, wait 60 s, inactivity 60 s, polling 2 s, pause 120 s, 4 streams, 16 KiB before
    /// authentication, nothing compressed.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            gone: Vec::new(),
            hold: 4,
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(60),
            polling: Duration::from_secs(2),
            max_pause: Duration::from_secs(120),
            streams: STREAMS,
            stranger_bytes: Limits::BEFORE_AUTH.bytes + ENVELOPE,
            compression: false,
        }
    }
}

/// One HTTP request that waits for an answer, as its driver names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conn(pub u64);

/// One of a session's streams, in the order in which they were opened. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The one that every session begins with.
    pub const FIRST: Self = Self(0);
}

/// What happens to a session.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request that names this session.
    Request(Conn, Box<Request>),
    /// A connection is gone before its answer (its client closed it).
    Lost(Conn),
    /// A connection's client waits for its answer before it can say more: there are further bytes behind the
    /// request.
    Pressed(Conn),
    /// Bytes from the server; what is complete is taken out.
    Received(StreamId, &'a mut BytesMut),
    /// So many bytes went to the server.
    Written(StreamId, usize),
    /// No connection to the server, and why.
    Failed(StreamId, Condition),
    /// The connection to the server is gone.
    Closed(StreamId),
    /// [`Session::deadline`] has passed.
    Tick,
    /// The connection manager stops.
    Shutdown,
}

/// Where a stream is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The domain to speak to.
    pub domain: String,
    /// The server that the client would have for it, `xmpp:HOST:PORT` (XEP-0124 7.1), as it said it: nothing that may be
    /// connected to unless it is known from elsewhere (threat B07).
    pub route: Option<String>,
}

/// What is to be done. Each is done before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect to a server. What is written meanwhile waits.
    Connect(StreamId, Destination),
    /// Send these bytes to the server and tell by [`Event::Written`].
    Write(StreamId, Bytes),
    /// Answer the request on this connection, if it is still there.
    Answer(Conn, Answer),
    /// SASL has succeeded on this stream: its client is no stranger any more.
    Authenticated(StreamId),
    /// Close the connection to the server when all is written.
    Close(StreamId),
    /// The session is over: forget it. For the log, why.
    End(End),
}

/// Who ended a session, or one of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client, in good order.
    Terminated,
    /// The client, by its silence.
    Inactive,
    /// The server closed its stream in good order.
    Finished,
    /// What the client was told.
    Condition(Condition),
}

impl End {
    /// One word, for who counts: the condition's if there is one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Terminated => "closed",
            Self::Inactive => "silent",
            Self::Finished => "finished",
            Self::Condition(condition) => condition.name(),
        }
    }

    /// What the client is told, where it did not end in good order.
    pub(super) fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Condition(condition) => Some(condition),
            Self::Terminated | Self::Inactive | Self::Finished => None,
        }
    }
}
