//! What accounts authenticate by, how it is derived, and the masks of accounts that do not exist.

use super::{MechanismName, message::MAX_MESSAGE_BYTES};
use crate::{BareJid, jid::MAX_PART_BYTES, precis::opaque_string};
use hmac::{EagerHash, Hmac, KeyInit, Mac, digest::Output};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use std::{borrow::Cow, fmt, marker::PhantomData};
use zeroize::{Zeroize, Zeroizing};

/// The longest password, in bytes of UTF-8 as it is given: as long as the parts of an address (RFC 7622 3.1), so that
/// PLAIN's fields always fit into [`MAX_MESSAGE_BYTES`].
pub const MAX_PASSWORD_BYTES: usize = 1023;
const _: () = assert!(3 * MAX_PART_BYTES + 1 + 2 + MAX_PASSWORD_BYTES <= MAX_MESSAGE_BYTES);

/// What the store keeps for one SCRAM hash (RFC 5802 3): never a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Random per account and hash, 16 bytes.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds, at least 1.
    pub iterations: u32,
    /// H(HMAC(SaltedPassword, "Client Key")).
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Vec<u8>,
}

/// All that an account authenticates by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// For SCRAM-SHA-1.
    pub sha1: ScramKeys,
    /// For SCRAM-SHA-256, and for PLAIN.
    pub sha256: ScramKeys,
    /// For SCRAM-SHA-512.
    pub sha512: ScramKeys,
}

/// A password that RFC 8265 does not allow (empty, forbidden characters, more than [`MAX_PASSWORD_BYTES`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password is empty, too long or has forbidden characters")]
pub struct PasswordError;

impl Credentials {
    /// Prepares the password (RFC 8265 4.2, OpaqueString) and derives all keys; `salts` are random, in the order of the
    /// fields. `iterations` should be 4,096 or more (RFC 7677 4); 0 counts as 1. Slow by design: off the reactor.
    pub fn derive(
        password: &str,
        iterations: u32,
        salts: &[[u8; 16]; 3],
    ) -> Result<Self, PasswordError> {
        let password = prepare(password)?;
        Ok(Self {
            sha1: ScramKeys::derive::<Sha1>(&password, iterations, &salts[0]),
            sha256: ScramKeys::derive::<Sha256>(&password, iterations, &salts[1]),
            sha512: ScramKeys::derive::<Sha512>(&password, iterations, &salts[2]),
        })
    }

    /// PLAIN is checked against one hash only: each costs a whole PBKDF2.
    fn into_keys(self, mechanism: MechanismName) -> ScramKeys {
        match mechanism {
            MechanismName::ScramSha1 => self.sha1,
            MechanismName::ScramSha256 | MechanismName::Plain => self.sha256,
            MechanismName::ScramSha512 => self.sha512,
        }
    }
}

impl ScramKeys {
    pub(super) fn derive<D: EagerHash>(
        password: &Password<'_>,
        iterations: u32,
        salt: &[u8],
    ) -> Self {
        let iterations = iterations.max(1);
        let salted = SaltedPassword::<D>::derive(password, salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: D::digest(&*salted.client_key()).to_vec(),
            server_key: salted.server_key().to_vec(),
        }
    }
}

/// Says how the keys were made, never the keys.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Makes stable salts for accounts that do not exist, so that they look like others (threat A05).
#[derive(Clone)]
pub struct Masking {
    key: Zeroizing<[u8; 32]>,
    iterations: u32,
}

impl Masking {
    /// `key` is random, kept by the server across restarts; `iterations` those of new accounts, 0 counts as 1.
    pub fn new(key: [u8; 32], iterations: u32) -> Self {
        Self { key: Zeroizing::new(key), iterations: iterations.max(1) }
    }

    /// The keys for an exchange, and whether they can open the account. The mask is made in any case, so that both
    /// ways take the same time.
    pub(super) fn keys(
        &self,
        mechanism: MechanismName,
        account: &BareJid,
        credentials: Option<Credentials>,
    ) -> (ScramKeys, bool) {
        let mask = self.mask(mechanism, account);
        match credentials {
            Some(credentials) => (credentials.into_keys(mechanism), true),
            None => (mask, false),
        }
    }

    fn mask(&self, mechanism: MechanismName, account: &BareJid) -> ScramKeys {
        // Neither a mechanism's name nor an address has a NUL: no two inputs are the same bytes.
        let parts = [mechanism.as_str().as_bytes(), b"\0", account.as_str().as_bytes()];
        let salt = hmac::<Sha256>(&*self.key, &parts)[..16].to_vec();
        let length = match mechanism {
            MechanismName::ScramSha1 => Sha1::output_size(),
            MechanismName::ScramSha256 | MechanismName::Plain => Sha256::output_size(),
            MechanismName::ScramSha512 => Sha512::output_size(),
        };
        let (stored_key, server_key) = (vec![0; length], vec![0; length]);
        ScramKeys { salt, iterations: self.iterations, stored_key, server_key }
    }
}

impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masking").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A password as it is hashed; wiped when dropped.
pub(super) struct Password<'a>(Cow<'a, str>);

impl Drop for Password<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(password) = &mut self.0 {
            password.zeroize();
        }
    }
}

/// RFC 8265 4.2. The limit is on what was given, so that nothing long is prepared.
pub(super) fn prepare(password: &str) -> Result<Password<'_>, PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError);
    }
    opaque_string(password).map(Password).ok_or(PasswordError)
}

/// Whoever has it can log in: wiped when dropped (RFC 5802 3).
pub(super) struct SaltedPassword<D>(Zeroizing<Vec<u8>>, PhantomData<D>);

impl<D: EagerHash> SaltedPassword<D> {
    /// Hi(), which is PBKDF2 (RFC 5802 2.2).
    pub(super) fn derive(password: &Password<'_>, salt: &[u8], iterations: u32) -> Self {
        let mut salted = Zeroizing::new(vec![0; <D as Digest>::output_size()]);
        pbkdf2::pbkdf2_hmac::<D>(password.0.as_bytes(), salt, iterations, &mut salted);
        Self(salted, PhantomData)
    }

    /// As secret as the salted password itself.
    pub(super) fn client_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(hmac::<D>(&self.0, &[b"Client Key"]).to_vec())
    }

    pub(super) fn server_key(&self) -> Output<Hmac<D>> {
        hmac::<D>(&self.0, &[b"Server Key"])
    }
}

/// HMAC over the parts one after another.
pub(super) fn hmac<D: EagerHash>(key: &[u8], parts: &[&[u8]]) -> Output<Hmac<D>> {
    let mut mac = Hmac::<D>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes()
}
