//! SASL for servers (RFC 4422, RFC 6120 6): PLAIN and SCRAM as mechanisms of the `sasl` crate.
//!
//! Only salted keys are ever stored ([`Credentials`]). Learn whose exchange it is with [`account`], look the
//! credentials up, then make the mechanism with [`server`] and feed it the client's messages.

pub mod client;

use crate::BareJid;
pub use sasl::server::{Mechanism, MechanismError, Response};

/// The mechanisms that can be offered, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum MechanismName {
    ScramSha512,
    ScramSha256,
    ScramSha1,
    Plain,
}

/// What the store keeps for one SCRAM hash (RFC 5802 3): never a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Random per account and hash, 16 bytes.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// H(HMAC(SaltedPassword, "Client Key")).
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Vec<u8>,
}

/// All that an account authenticates by. Its `Debug` (to be written by hand) shows no key.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Credentials {
    pub sha1: ScramKeys,
    pub sha256: ScramKeys,
    pub sha512: ScramKeys,
}

/// SASL failures (RFC 6120 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Failure {
    Aborted,
    AccountDisabled,
    CredentialsExpired,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    MechanismTooWeak,
    NotAuthorized,
    TemporaryAuthFailure,
}

impl MechanismName {
    /// The registered name, such as `SCRAM-SHA-256`.
    pub fn as_str(self) -> &'static str {
        todo!()
    }
    /// By its registered name.
    pub fn from_name(_name: &str) -> Option<Self> {
        todo!()
    }
}

/// A password that RFC 8265 does not allow (empty, forbidden characters, too long).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password is empty, too long or has forbidden characters")]
pub struct PasswordError;

impl Credentials {
    /// Prepares the password (RFC 8265 OpaqueString) and derives all keys. Slow by design: off the reactor.
    pub fn derive(
        _password: &str,
        _iterations: u32,
        _salts: &[[u8; 16]; 3],
    ) -> Result<Self, PasswordError> {
        todo!()
    }
}

/// Makes stable salts for users that do not exist, so that they look like others (threat A05).
#[derive(Clone)]
pub struct Masking {
    _key: [u8; 32],
    _iterations: u32,
}

impl Masking {
    /// `key` is random, kept by the server across restarts; `iterations` those of real accounts.
    pub fn new(key: [u8; 32], iterations: u32) -> Self {
        Self { _key: key, _iterations: iterations }
    }
}

/// The account that the client's first message names, so that its credentials can be looked up. Checks the syntax
/// of the whole message, and that an authzid, if any, is the account's own bare JID.
pub fn account(
    _mechanism: MechanismName,
    _domain: &str,
    _first: &[u8],
) -> Result<BareJid, Failure> {
    todo!()
}

/// The mechanism for one exchange; feed it the client's first message next, the one that [`account`] was given: an exchange
/// that names another account fails. `credentials` is `None` where there is no such account: the exchange then runs
/// alike and fails at its end. `nonce` is the server's part (printable ASCII without a comma, at least 128 random bits).
/// PLAIN's `respond` hashes a password: run it off the reactor. The name in `Response::Success` is the prepared local part.
pub fn server(
    _mechanism: MechanismName,
    _account: &BareJid,
    _credentials: Option<Credentials>,
    _masking: &Masking,
    _nonce: &str,
) -> Box<dyn Mechanism + Send> {
    todo!()
}

/// The failure that goes on the wire for a mechanism's error.
pub fn failure(_error: &MechanismError) -> Failure {
    todo!()
}

impl Failure {
    /// The element's name, such as `not-authorized` (RFC 6120 6.5).
    pub fn name(self) -> &'static str {
        todo!()
    }
}
