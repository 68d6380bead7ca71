//! SASL (RFC 4422, RFC 6120 6): PLAIN and SCRAM as mechanisms of the `sasl` crate, and their clients.
//!
//! Only salted keys are ever stored ([`Credentials`]). Learn whose exchange it is with [`account`], look the
//! credentials up, then make the mechanism with [`server`] and feed it the client's messages.

pub mod client;
mod keys;
mod message;
mod plain;
mod scram;

pub use keys::{Credentials, MAX_PASSWORD_BYTES, Masking, PasswordError, ScramKeys};
pub use message::MAX_MESSAGE_BYTES;
pub use sasl::{
    common::Identity,
    server::{Mechanism, MechanismError, Response},
};

use crate::{BareJid, Jid};
use message::ClientFirst;
use plain::Plain;
use sasl::server::ValidatorError;
use scram::Scram;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The mechanisms that can be offered, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MechanismName {
    /// RFC 5802 with SHA-512.
    ScramSha512,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// RFC 4616; only where the stream is encrypted.
    Plain,
}

/// SASL failures (RFC 6120 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The client aborted (6.5.1).
    Aborted,
    /// The account is disabled (6.5.2).
    AccountDisabled,
    /// The password must be changed first (6.5.3).
    CredentialsExpired,
    /// The mechanism may not be used on a stream without TLS (6.5.4).
    EncryptionRequired,
    /// Not base64, or not UTF-8 (6.5.5).
    IncorrectEncoding,
    /// The client may not act as the identity it asked for (6.5.6).
    InvalidAuthzid,
    /// A mechanism that was not offered (6.5.7).
    InvalidMechanism,
    /// The message breaks the mechanism's syntax (6.5.8).
    MalformedRequest,
    /// The mechanism is too weak for this account (6.5.9).
    MechanismTooWeak,
    /// Wrong password, no such account, or any other reason not to be told (6.5.10).
    NotAuthorized,
    /// The server cannot tell now (6.5.11).
    TemporaryAuthFailure,
}

impl MechanismName {
    /// The registered name, such as `SCRAM-SHA-256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
        }
    }

    /// By its registered name, in capitals (RFC 4422 3.1).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ScramSha512, Self::ScramSha256, Self::ScramSha1, Self::Plain]
            .into_iter()
            .find(|mechanism| mechanism.as_str() == name)
    }
}

impl Failure {
    /// The element's name, such as `not-authorized` (RFC 6120 6.5).
    pub fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// The account that the client's first message names, so that its credentials can be looked up. Checks the syntax
/// of the whole message, and that an authzid, if any, is the account's own bare JID.
///
/// Fails with `IncorrectEncoding`, `MalformedRequest`, `InvalidAuthzid`, or `NotAuthorized` for what is well-formed but
/// cannot succeed: channel binding, a mandatory extension, a name that no account can have.
pub fn account(mechanism: MechanismName, domain: &str, first: &[u8]) -> Result<BareJid, Failure> {
    if mechanism == MechanismName::Plain {
        let first = message::Plain::parse(first)?;
        named_account(first.user, domain, first.authzid)
    } else {
        let first = ClientFirst::parse(first)?;
        named_account(&first.user, domain, &first.authzid)
    }
}

/// The mechanism for one exchange; feed it the client's first message next, the one that [`account`] was given: an exchange
/// that names another account fails. `credentials` is `None` where there is no such account: the exchange then runs
/// alike and fails at its end. `nonce` is the server's part (printable ASCII without a comma, at least 128 random bits).
/// PLAIN's `respond` hashes a password: run it off the reactor. The name in `Response::Success` is the prepared local part.
pub fn server(
    mechanism: MechanismName,
    account: &BareJid,
    credentials: Option<Credentials>,
    masking: &Masking,
    nonce: &str,
) -> Box<dyn Mechanism + Send> {
    debug_assert!(message::is_nonce(nonce), "the server's nonce is printable and not empty");
    let (keys, known) = masking.keys(mechanism, account, credentials);
    let (account, nonce) = (account.clone(), nonce.to_owned());
    match mechanism {
        MechanismName::Plain => Box::new(Plain::new(account, keys, known)),
        MechanismName::ScramSha1 => {
            Box::new(Scram::<Sha1>::new(mechanism, account, keys, known, nonce))
        }
        MechanismName::ScramSha256 => {
            Box::new(Scram::<Sha256>::new(mechanism, account, keys, known, nonce))
        }
        MechanismName::ScramSha512 => {
            Box::new(Scram::<Sha512>::new(mechanism, account, keys, known, nonce))
        }
    }
}

/// The failure that goes on the wire for a mechanism's error. The inverse of what our mechanisms make of a failure.
pub fn failure(error: &MechanismError) -> Failure {
    match error {
        MechanismError::CannotDecodeInitialMessage => Failure::MalformedRequest,
        MechanismError::FailedToDecodeMessage => Failure::IncorrectEncoding,
        MechanismError::ValidatorError(_) => Failure::InvalidAuthzid,
        // The other variants depend on features of the crate; none tells more than this.
        _ => Failure::NotAuthorized,
    }
}

/// A failure as the error type of the `sasl` crate, which has no place for ours.
fn error(failure: Failure) -> MechanismError {
    match failure {
        Failure::MalformedRequest => MechanismError::CannotDecodeInitialMessage,
        Failure::IncorrectEncoding => MechanismError::FailedToDecodeMessage,
        Failure::InvalidAuthzid => {
            MechanismError::ValidatorError(ValidatorError::AuthenticationFailed)
        }
        _ => MechanismError::AuthenticationFailed,
    }
}

/// The account of a simple user name (RFC 6120 6.3.7), prepared (RFC 7622 3.3), if it may act as the authzid.
///
/// A whole address as user name is refused like any name that no account can have: taking it would give each
/// account two names, one of which depends on the domain that the stream is for.
fn named_account(user: &str, domain: &str, authzid: &str) -> Result<BareJid, Failure> {
    let account = Jid::new(Some(user), domain, None).map_err(|_| Failure::NotAuthorized)?.to_bare();
    if may_act_as(&account, authzid) { Ok(account) } else { Err(Failure::InvalidAuthzid) }
}

/// Whether the account may act as this authorization identity (RFC 6120 6.3.8): nobody but itself, named by its bare JID
/// in any spelling, or by nothing. The only place where this is decided.
fn may_act_as(account: &BareJid, authzid: &str) -> bool {
    authzid.is_empty() || authzid.parse::<BareJid>().is_ok_and(|identity| identity == *account)
}

fn success(account: &BareJid, message: String) -> Response {
    let name = account.local().expect("the account was made from a user name");
    Response::Success(Identity::Username(name.to_owned()), message.into_bytes())
}

#[cfg(test)]
mod tests;
