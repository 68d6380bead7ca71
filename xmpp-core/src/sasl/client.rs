//! The client's side of PLAIN and SCRAM, for players of scripts and for tests.

use super::{
    MechanismName,
    keys::{PasswordError, SaltedPassword, hmac, prepare},
    message::{ServerFirst, encode_base64, encode_name},
};
use hmac::EagerHash;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::{fmt, mem};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The most PBKDF2 rounds that a server may ask for: some seconds of work, far above what any asks for.
const MAX_ITERATIONS: u32 = 10_000_000;

/// The GS2 header of a client that knows no channel binding, and its base64.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";

/// One exchange: [`first`](Self::first), for SCRAM [`respond`](Self::respond), then [`verify`](Self::verify).
pub struct Client {
    mechanism: MechanismName,
    user: String,
    password: Zeroizing<String>,
    state: State,
}

/// What the client waits for.
enum State {
    /// The challenge, with the client's own nonce.
    Challenge(String),
    /// Success, which must bring this signature of the server. Nothing comes with PLAIN's.
    Success(Vec<u8>),
    Over,
}

/// Why the client gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The password is not one (RFC 8265 4.2).
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The server's message is not SCRAM, does not continue the client's nonce, asks for too much work or came out of turn.
    #[error("the server's message is malformed or out of turn")]
    Malformed,
    /// The server does not have the keys of this password: it is not the one that the account is at.
    #[error("the server's signature is wrong")]
    Signature,
}

impl Client {
    /// For any mechanism. `nonce` is the client's (printable ASCII without a comma, random); PLAIN needs none.
    pub fn new(
        mechanism: MechanismName,
        user: &str,
        password: &str,
        nonce: &str,
    ) -> Result<Self, ClientError> {
        prepare(password)?;
        let state = match mechanism {
            MechanismName::Plain => State::Success(Vec::new()),
            _ => State::Challenge(nonce.to_owned()),
        };
        let password = Zeroizing::new(password.to_owned());
        Ok(Self { mechanism, user: user.to_owned(), password, state })
    }

    /// The initial response, before base64. Asks for no other identity than the user's own.
    pub fn first(&self) -> String {
        match &self.state {
            State::Challenge(nonce) => format!("{GS2_HEADER}{}", self.first_bare(nonce)),
            _ => format!("\0{}\0{}", self.user, &*self.password),
        }
    }

    /// The answer to the server's challenge, which SCRAM has and PLAIN has not. Hashes the password.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<String, ClientError> {
        let State::Challenge(nonce) = mem::replace(&mut self.state, State::Over) else {
            return Err(ClientError::Malformed);
        };
        let first = ServerFirst::parse(challenge).map_err(|_| ClientError::Malformed)?;
        // RFC 5802 5.1: the server adds to the client's nonce.
        let adds = first.nonce.strip_prefix(&nonce).is_some_and(|added| !added.is_empty());
        if !adds || first.iterations > MAX_ITERATIONS {
            return Err(ClientError::Malformed);
        }
        let unproven = format!("c={GS2_HEADER_BASE64},r={}", first.nonce);
        let bare = self.first_bare(&nonce);
        let signed = [bare.as_bytes(), b",", challenge, b",", unproven.as_bytes()];
        let prove = match self.mechanism {
            MechanismName::ScramSha1 => prove::<Sha1>,
            MechanismName::ScramSha256 => prove::<Sha256>,
            MechanismName::ScramSha512 => prove::<Sha512>,
            MechanismName::Plain => return Err(ClientError::Malformed),
        };
        let (proof, server_signature) = prove(&self.password, &first, &signed)?;
        self.state = State::Success(server_signature);
        Ok(format!("{unproven},p={}", encode_base64(&proof)))
    }

    /// Checks what came with the server's success (empty for PLAIN).
    pub fn verify(&mut self, success: &[u8]) -> Result<(), ClientError> {
        let State::Success(signature) = mem::replace(&mut self.state, State::Over) else {
            return Err(ClientError::Malformed);
        };
        let expected = match self.mechanism {
            MechanismName::Plain => String::new(),
            _ => format!("v={}", encode_base64(&signature)),
        };
        if bool::from(expected.as_bytes().ct_eq(success)) {
            Ok(())
        } else {
            Err(ClientError::Signature)
        }
    }

    fn first_bare(&self, nonce: &str) -> String {
        format!("n={},r={nonce}", encode_name(&self.user))
    }
}

/// Shows no password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// ClientProof and ServerSignature (RFC 5802 3).
fn prove<D: EagerHash>(
    password: &str,
    first: &ServerFirst<'_>,
    signed: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>), PasswordError> {
    let salted = SaltedPassword::<D>::derive(&prepare(password)?, &first.salt, first.iterations);
    let client_key = salted.client_key();
    let signature = hmac::<D>(&D::digest(&*client_key), signed);
    let proof = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    Ok((proof, hmac::<D>(&salted.server_key(), signed).to_vec()))
}
