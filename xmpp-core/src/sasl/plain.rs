//! PLAIN on the server's side (RFC 4616), against the keys of SCRAM.

use super::{
    Failure, Mechanism, MechanismError, MechanismName, Response, error,
    keys::{SaltedPassword, ScramKeys, prepare},
    message::Plain as Message,
    named_account, success,
};
use crate::BareJid;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Waits for the only message.
pub(super) struct Plain {
    account: BareJid,
    /// Those of SHA-256; `None` once used.
    keys: Option<ScramKeys>,
    known: bool,
}

impl Plain {
    pub(super) fn new(account: BareJid, keys: ScramKeys, known: bool) -> Self {
        Self { account, keys: Some(keys), known }
    }

    fn authenticate(&self, keys: &ScramKeys, payload: &[u8]) -> Result<Response, Failure> {
        let message = Message::parse(payload)?;
        if named_account(message.user, self.account.domain(), message.authzid)? != self.account {
            return Err(Failure::NotAuthorized);
        }
        // Refused alike for every account: this tells nothing of the one named.
        let password = prepare(message.password).map_err(|_| Failure::NotAuthorized)?;
        let salted = SaltedPassword::<Sha256>::derive(&password, &keys.salt, keys.iterations);
        let stored_key = Sha256::digest(&*salted.client_key());
        let right = stored_key.ct_eq(keys.stored_key.as_slice());
        if bool::from(right & Choice::from(u8::from(self.known))) {
            Ok(success(&self.account, String::new()))
        } else {
            Err(Failure::NotAuthorized)
        }
    }
}

impl Mechanism for Plain {
    fn name(&self) -> &str {
        MechanismName::Plain.as_str()
    }

    fn respond(&mut self, payload: &[u8]) -> Result<Response, MechanismError> {
        let keys = self.keys.take().ok_or(MechanismError::SaslSessionAlreadyOver)?;
        self.authenticate(&keys, payload).map_err(error)
    }
}
