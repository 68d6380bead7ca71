//! TCP listeners with limits per address.

/// A bound listener that counts connections per address.
pub struct Listener {}
