//! What a session is told and what it asks for.

use super::frames::Violation;
use crate::session::Condition;
use bytes::{Bytes, BytesMut};
use std::fmt;
use xmpp_core::{error::StreamCondition, xml::Limits};

/// What sessions are granted.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The domains served; empty: whatever the upstream connects to.
    pub domains: Vec<String>,
    /// Domains that are not served any more, whatever else is: `host-gone`.
    pub gone: Vec<String>,
    /// What one message of a client may hold that has not authenticated.
    pub before_auth: Limits,
    /// What one message may hold after that.
    pub after_auth: Limits,
    /// Fragments of one message.
    pub fragments: u32,
}

impl Default for Terms {
    /// The limits of a client's stream, and 64 fragments.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            gone: Vec::new(),
            before_auth: Limits::BEFORE_AUTH,
            after_auth: Limits::AFTER_AUTH,
            fragments: 64,
        }
    }
}

/// Whether a visitor may have a stream over the connection it came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// At this address, over a connection that is secure.
    Elsewhere(String),
    /// It may not.
    Refused,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes from the client; what is complete is taken out.
    Heard(&'a mut BytesMut),
    /// So many bytes went to the client.
    Sent(usize),
    /// The connection to the client is gone.
    Lost,
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
#[derive(Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the server of this domain. What is written meanwhile waits.
    Connect(String),
    /// Send these bytes to the server and tell by [`Event::Written`].
    Write(Bytes),
    /// Send these bytes to the client and tell by [`Event::Sent`].
    Send(Bytes),
    /// SASL has succeeded: the client is no stranger any more.
    Authenticated,
    /// Close the connection to the server when all is written.
    Close,
    /// The session is over: close the connection to the client when all is sent. For the log, why.
    End(End),
}

impl fmt::Debug for Effect {
    /// Without content: what people write to each other, and passwords, do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(domain) => write!(f, "Connect({domain})"),
            Self::Write(bytes) => write!(f, "Write({} bytes)", bytes.len()),
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::Authenticated => f.write_str("Authenticated"),
            Self::Close => f.write_str("Close"),
            Self::End(end) => write!(f, "End({end:?})"),
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client closed its stream.
    Closed,
    /// The client closed the connection, or it broke.
    Lost,
    /// The client was silent, and did not answer when it was asked.
    Silent,
    /// The server closed its stream.
    Finished,
    /// It was sent to another address.
    Moved,
    /// The client was told this stream error.
    Error(StreamCondition),
    /// The client does not speak WebSocket as it has to be.
    Violation(Violation),
}

impl End {
    /// One word, for who counts: the condition's if there is one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Finished => "finished",
            Self::Moved => "see-other-uri",
            Self::Error(condition) => condition.name(),
            Self::Violation(violation) => violation.name(),
        }
    }
}
