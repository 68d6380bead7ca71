//! What a script is played over.

use crate::Character;
use bytes::Bytes;
use std::future::Future;
use xmpp_core::xml::Node;

/// Where a script is played: gives the connections.
pub trait Stage: Send {
    /// What it gives.
    type Connection: Connection;
    /// A fresh connection for this character, no stream opened yet.
    fn connect(
        &mut self,
        character: &Character,
    ) -> impl Future<Output = Result<Self::Connection, Lost>> + Send;
    /// A nonce for one login: random printable text without a comma.
    fn nonce(&mut self) -> String;
}

/// Moves elements between one client and the server.
pub trait Connection: Send {
    /// Who may listen, before STARTTLS.
    fn channel(&self) -> Channel;
    /// Opens the stream, or opens it again.
    fn open(&mut self, domain: &str) -> impl Future<Output = Result<(), Lost>> + Send;
    /// Sends elements in one piece, as they stand on a stream whose default namespace is `jabber:client`.
    fn send(&mut self, elements: Bytes) -> impl Future<Output = Result<(), Lost>> + Send;
    /// The next element from the server, `None` where it closed the stream. Stream headers are not given.
    /// [`Lost::Silence`] when none comes within the patience of the stage.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Node>, Lost>> + Send;
    /// Starts TLS.
    fn start_tls(&mut self, domain: &str) -> impl Future<Output = Result<(), Lost>> + Send;
    /// Closes the stream and waits until the server has, too.
    fn close(&mut self) -> impl Future<Output = Result<(), Lost>> + Send;
}

/// Who may listen on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Whoever is on the way: no password is said in the clear, whatever the server offers.
    Open,
    /// Nobody, since it does not leave this machine. STARTTLS is used where it is offered all the same.
    Local,
    /// Nobody: it is protected already, or in memory. STARTTLS is not asked for.
    Secure,
}

/// Why a connection gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nothing came in time.
    #[error("nothing came in time")]
    Silence,
    /// The connection failed, or what came over it is not what it should be.
    #[error("the connection failed: {0}")]
    Broken(String),
}
