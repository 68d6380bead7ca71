//! What the doors share of sockets: TLS configuration and reload, listeners with limits, randomness.
pub mod listener;
pub mod random;
pub mod tls;
