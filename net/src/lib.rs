//! What the doors share of the machine: TLS configuration and reload, listeners with limits, threads for hashing,
//! streams inside the process, randomness.
//!
//! The types of the TLS library stay inside this crate.

pub mod address;
pub mod hashing;
pub mod listener;
pub mod pipe;
pub mod proxy;
pub mod random;
pub mod service;
pub mod tls;
