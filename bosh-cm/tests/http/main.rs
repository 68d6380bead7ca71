//! The connection manager over HTTP, against a server that the test plays. Names begin with the row of the
//! conformance list or the threat that they hold.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by its name and line")]

mod coding;
mod drain;
mod gauges;
mod hostile;
mod http2;
mod https;
mod limits;
mod program;
mod sessions;
mod site;
mod stage;
mod websocket;
