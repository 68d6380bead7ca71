//! The one place that asks the operating system for randomness (threat A07).

/// Fills `out` with bytes nobody can predict.
pub fn fill(_out: &mut [u8]) {
    todo!()
}

/// A token of 128 unpredictable bits, in URL-safe base64 without padding (22 characters).
pub fn token() -> String {
    todo!()
}
