//! What the doors share of sockets: TLS configuration and reload, listeners with limits, randomness.
//!
//! The types of the TLS library stay inside this crate.

pub mod address;
pub mod listener;
pub mod random;
pub mod tls;
