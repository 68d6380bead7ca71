//! Key sequences: who sees a session without being able to change it cannot speak in it (XEP-0124 15).

use super::request::Request;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// A key: the 160 bits that its hexadecimal digits say, in whatever case.
#[derive(Clone, Copy)]
pub(super) struct Key([u8; 20]);

/// What the key of the next request has to hash to; nothing, as long as the client names none.
#[derive(Default)]
pub(super) struct Sequence {
    image: Option<Key>,
}

impl Key {
    /// The key that a request brings, if it is one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        request.key().and_then(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 20];
        let text = text.as_bytes();
        if text.len() != 2 * key.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|one| u8::try_from(one).ok());
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(key))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Sequence {
    /// Whether the next request in order has the key that it must have (XEP-0124 15.4). What it says of the
    /// one after it counts from here on: a new sequence (15.5), or itself.
    pub(super) fn admits(&mut self, request: &Request) -> bool {
        let key = request.key();
        if let Some(image) = self.image {
            // The digits are hashed as the client wrote them.
            let hash = |key: &str| Key(Sha1::digest(key).into());
            if !key.is_some_and(|key| hash(key) == image) {
                return false;
            }
        }
        let Some(image) = request.new_key().or(key) else { return true };
        self.image = Key::parse(image);
        self.image.is_some()
    }
}
