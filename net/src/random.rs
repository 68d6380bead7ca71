//! The one place that asks the operating system for randomness.
//!
//! Salts, nonces, stream ids and session ids all come from here, so that none of them can come from a
//! generator made for games.
#![allow(clippy::disallowed_types, reason = "this is the one place")]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};

/// Bytes in a token: 128 bits cannot be guessed, nor do two of them meet by chance.
const TOKEN_BYTES: usize = 16;

/// Fills `out` with bytes that nobody can predict.
///
/// # Panics
///
/// If the operating system has no randomness to give: there is no safe way to go on.
pub fn fill(out: &mut [u8]) {
    SysRng.try_fill_bytes(out).expect("the operating system gives randomness");
}

/// A token of 128 unpredictable bits, in URL-safe base64 without padding (22 characters).
pub fn token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    fill(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a07_tokens_have_128_bits_that_all_vary() {
        let tokens: Vec<String> = (0..1000).map(|_| token()).collect();
        assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len());
        let (mut ever, mut always) = ([0_u8; TOKEN_BYTES], [0xff_u8; TOKEN_BYTES]);
        for token in &tokens {
            assert_eq!(token.len(), 22);
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap();
            assert_eq!(bytes.len(), TOKEN_BYTES);
            for (at, byte) in bytes.into_iter().enumerate() {
                ever[at] |= byte;
                always[at] &= byte;
            }
        }
        assert_eq!((ever, always), ([0xff; TOKEN_BYTES], [0; TOKEN_BYTES]), "a bit that is fixed");
    }

    #[test]
    fn fill_fills_to_the_last_byte() {
        let last: HashSet<u8> = (0..100)
            .map(|_| {
                let mut bytes = [0; 33];
                fill(&mut bytes);
                bytes[32]
            })
            .collect();
        assert!(last.len() > 10, "{last:?}");
    }
}
