//! XMPP over WebSocket (RFC 7395): the connection manager's second face.
//!
//! ```text
//!  frames ──► Decoder ──► messages ──► Session ──► elements ──► Link ──► server
//!  frames ◄───────────────────────── Session ◄─────────────── Link ◄── server
//! ```
//!
//! - [`frames`]: WebSocket's own framing (RFC 6455 5), for either end.
//! - [`session`]: one connection as a value, without socket, clock or dice.
//! - [`http`]: the opening handshake.
//! - `driver`: the task that moves a session between its browser and its server.

mod contract;
pub(crate) mod driver;
pub mod frames;
pub mod http;
pub mod session;

pub use contract::{Admission, Effect, End, Event, Terms};
