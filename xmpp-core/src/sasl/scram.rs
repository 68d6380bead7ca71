//! SCRAM on the server's side (RFC 5802, RFC 7677), over any hash, without channel binding.
//!
//! ```text
//! ExpectFirst --server-first--> ExpectFinal --server-final--> Over
//!      '-------------------any fault------------'------------->'
//! ```

use super::{
    Failure, Mechanism, MechanismError, MechanismName, Response, error,
    keys::{ScramKeys, hmac},
    message::{ClientFinal, ClientFirst, encode_base64},
    named_account, success,
};
use crate::BareJid;
use hmac::EagerHash;
use std::{marker::PhantomData, mem};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// One exchange over the hash `D`.
pub(super) struct Scram<D> {
    mechanism: MechanismName,
    state: State,
    hash: PhantomData<D>,
}

enum State {
    ExpectFirst(ExpectFirst),
    ExpectFinal(ExpectFinal),
    Over,
}

impl<D: EagerHash> Scram<D> {
    /// `keys` are those of `D`; `known` is false where they belong to no account. `nonce` is the server's part.
    pub(super) fn new(
        mechanism: MechanismName,
        account: BareJid,
        keys: ScramKeys,
        known: bool,
        nonce: String,
    ) -> Self {
        let first = ExpectFirst { account, keys, known, nonce };
        Self { mechanism, state: State::ExpectFirst(first), hash: PhantomData }
    }
}

impl<D: EagerHash> Mechanism for Scram<D> {
    fn name(&self) -> &str {
        self.mechanism.as_str()
    }

    fn respond(&mut self, payload: &[u8]) -> Result<Response, MechanismError> {
        match mem::replace(&mut self.state, State::Over) {
            State::ExpectFirst(state) => {
                let (next, message) = state.respond(payload).map_err(error)?;
                self.state = State::ExpectFinal(next);
                Ok(Response::Proceed(message.into_bytes()))
            }
            State::ExpectFinal(state) => state.respond::<D>(payload).map_err(error),
            State::Over => Err(MechanismError::SaslSessionAlreadyOver),
        }
    }
}

struct ExpectFirst {
    account: BareJid,
    keys: ScramKeys,
    known: bool,
    nonce: String,
}

impl ExpectFirst {
    fn respond(self, payload: &[u8]) -> Result<(ExpectFinal, String), Failure> {
        let first = ClientFirst::parse(payload)?;
        if named_account(&first.user, self.account.domain(), &first.authzid)? != self.account {
            return Err(Failure::NotAuthorized);
        }
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = encode_base64(&self.keys.salt);
        let answer = format!("r={nonce},s={salt},i={}", self.keys.iterations);
        let next = ExpectFinal {
            gs2_header: first.gs2_header.to_owned(),
            signed: format!("{},{answer},", first.bare),
            nonce,
            account: self.account,
            keys: self.keys,
            known: self.known,
        };
        Ok((next, answer))
    }
}

struct ExpectFinal {
    account: BareJid,
    keys: ScramKeys,
    known: bool,
    gs2_header: String,
    /// Both parts.
    nonce: String,
    /// AuthMessage as far as it is known: client-first-message-bare, server-first-message, and the comma after it.
    signed: String,
}

impl ExpectFinal {
    fn respond<D: EagerHash>(self, payload: &[u8]) -> Result<Response, Failure> {
        let last = ClientFinal::parse(payload)?;
        // RFC 5802 6: a header that somebody changed on the way is found here.
        if last.channel_binding != self.gs2_header.as_bytes() || last.nonce != self.nonce {
            return Err(Failure::NotAuthorized);
        }
        let signed = [self.signed.as_bytes(), last.without_proof.as_bytes()];
        let server_signature = hmac::<D>(&self.keys.server_key, &signed);
        let right = proves::<D>(&last.proof, &self.keys.stored_key, &signed);
        if bool::from(right & Choice::from(u8::from(self.known))) {
            Ok(success(&self.account, format!("v={}", encode_base64(&server_signature))))
        } else {
            Err(Failure::NotAuthorized)
        }
    }
}

/// RFC 5802 3: the proof without the client's signature is the ClientKey, whose hash is the StoredKey.
fn proves<D: EagerHash>(proof: &[u8], stored_key: &[u8], signed: &[&[u8]]) -> Choice {
    let signature = hmac::<D>(stored_key, signed);
    if proof.len() != signature.len() {
        return Choice::from(0);
    }
    let client_key: Zeroizing<Vec<u8>> =
        Zeroizing::new(proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect());
    D::digest(&*client_key).ct_eq(stored_key)
}
