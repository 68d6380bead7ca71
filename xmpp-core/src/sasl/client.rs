//! The client's side of PLAIN and SCRAM, for players of scripts and for tests.

use super::MechanismName;

/// One exchange: [`first`](Self::first), for SCRAM [`respond`](Self::respond), then [`verify`](Self::verify).
pub struct Client {}

/// Why the client gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The password is not one (RFC 8265 4.2).
    #[error("the password is empty, too long or has forbidden characters")]
    Password,
    /// The server's message is not SCRAM, or came out of turn.
    #[error("the server's message is malformed or out of turn")]
    Malformed,
    /// The server does not know the password's keys: it is not the one that the account is at.
    #[error("the server's signature is wrong")]
    Signature,
}

impl Client {
    /// For any mechanism. `nonce` is the client's (printable ASCII without a comma, random); PLAIN needs none.
    pub fn new(
        _mechanism: MechanismName,
        _user: &str,
        _password: &str,
        _nonce: &str,
    ) -> Result<Self, ClientError> {
        todo!()
    }
    /// The initial response, before base64.
    pub fn first(&self) -> String {
        todo!()
    }
    /// The answer to the server's challenge. Hashes the password.
    pub fn respond(&mut self, _challenge: &[u8]) -> Result<String, ClientError> {
        todo!()
    }
    /// Checks what came with the server's success (empty for PLAIN).
    pub fn verify(&mut self, _success: &[u8]) -> Result<(), ClientError> {
        todo!()
    }
}
