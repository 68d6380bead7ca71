//! SCRAM-SHA-1 (RFC 5802) with keys that are derived once: a generator of logins hashes no passwords.

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

type Key = [u8; 20];

/// The password of everybody, and what was derived of it with each salt.
#[derive(Debug, Clone)]
pub struct Keys {
    password: Arc<str>,
    derived: Arc<Mutex<HashMap<(String, u32), Derived>>>,
}

#[derive(Debug, Clone, Copy)]
struct Derived {
    client: Key,
    stored: Key,
    server: Key,
}

impl Keys {
    /// For accounts that all have this password (ASCII).
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self { password: password.into(), derived: Arc::default() }
    }

    /// The answer to a challenge, and the server's signature that has to come with success.
    pub(super) fn respond(
        &self,
        bare: &str,
        nonce: &str,
        challenge: &str,
    ) -> anyhow::Result<(String, String)> {
        let mut nonces = None;
        let mut salt = None;
        let mut iterations = None;
        for attribute in challenge.split(',') {
            match attribute.split_once('=') {
                Some(("r", value)) => nonces = Some(value),
                Some(("s", value)) => salt = Some(value),
                Some(("i", value)) => iterations = Some(value.parse()?),
                _ => {}
            }
        }
        let nonces = nonces.context("no nonce")?;
        ensure!(nonces.starts_with(nonce), "another nonce");
        let derived = self.derived(salt.context("no salt")?, iterations.context("no rounds")?)?;
        let unproven = format!("c=biws,r={nonces}");
        let signed = format!("{bare},{challenge},{unproven}");
        let signature = hmac(&derived.stored, signed.as_bytes());
        let proof: Vec<_> = derived.client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = hmac(&derived.server, signed.as_bytes());
        let proof = STANDARD.encode(proof);
        Ok((format!("{unproven},p={proof}"), format!("v={}", STANDARD.encode(server))))
    }

    fn derived(&self, salt: &str, iterations: u32) -> anyhow::Result<Derived> {
        let mut all = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (salt.to_owned(), iterations);
        if let Some(derived) = all.get(&key) {
            return Ok(*derived);
        }
        let salt = STANDARD.decode(salt)?;
        let mut salted = Key::default();
        pbkdf2::pbkdf2_hmac::<Sha1>(self.password.as_bytes(), &salt, iterations, &mut salted);
        let client = hmac(&salted, b"Client Key");
        let stored = Sha1::digest(client).into();
        let derived = Derived { client, stored, server: hmac(&salted, b"Server Key") };
        all.insert(key, derived);
        Ok(derived)
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Key {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 5.
    #[test]
    fn the_example_of_the_rfc() {
        let keys = Keys::new("pencil");
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let bare = "n=user,r=fyko+d2lbbFgONRv9qkxdawL";
        let answer = keys.respond(bare, "fyko+d2lbbFgONRv9qkxdawL", challenge).unwrap();
        let (response, signature) = answer;
        assert!(response.ends_with(",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), "{response}");
        assert_eq!(signature, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
        assert!(keys.respond(bare, "another", challenge).is_err());
    }
}
