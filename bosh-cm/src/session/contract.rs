//! What a session is told and what it asks for.

use super::{Answer, Condition, Request};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use xmpp_core::xml::Limits;

/// What a `<body/>` may be longer than what it carries.
pub const ENVELOPE: usize = 8_192;

/// What sessions are granted (XEP-0124 7.2). Times are whole seconds on the wire.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The domains served; empty: whatever the upstream connects to.
    pub domains: Vec<String>,
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
    /// The largest request, in bytes, of a session that has not authenticated. Requests before their turn
    /// wait in memory.
    pub stranger_bytes: usize,
}

impl Default for Terms {
    /// Hold up to 4, wait 60 s, inactivity 60 s, polling 2 s, pause 120 s, 16 KiB before
    /// authentication.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            hold: 4,
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(60),
            polling: Duration::from_secs(2),
            max_pause: Duration::from_secs(120),
            stranger_bytes: Limits::BEFORE_AUTH.bytes + ENVELOPE,
        }
    }
}

/// One HTTP request that waits for an answer, as its driver names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conn(pub u64);

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
    Received(&'a mut BytesMut),
    /// So many bytes went to the server.
    Written(usize),
    /// No connection to the server: `Condition::HostUnknown` or `Condition::RemoteConnectionFailed`.
    Failed(Condition),
    /// The connection to the server is gone.
    Closed,
    /// [`Session::deadline`] has passed.
    Tick,
    /// The connection manager stops.
    Shutdown,
}

/// What is to be done. Each is done before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the server of this domain. What is written meanwhile waits.
    Connect(String),
    /// Send these bytes to the server and tell by [`Event::Written`].
    Write(Bytes),
    /// Answer the request on this connection, if it is still there.
    Answer(Conn, Answer),
    /// SASL has succeeded: the client is no stranger any more.
    Authenticated,
    /// Close the connection to the server when all is written.
    Close,
    /// The session is over: forget it. For the log, why.
    End(End),
}

/// Who ended a session.
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
