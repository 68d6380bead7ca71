//! The connection manager: HTTP bodies (XEP-0124, XEP-0206) and WebSockets (RFC 7395) in, XMPP streams out.
//!
//! - [`session`]: one BOSH session as a value, without socket, clock or dice.
//! - [`driver`]: the [`Manager`] of all sessions, and the task that moves each of them.
//! - [`websocket`]: one WebSocket session likewise, and its own driver.
//! - [`upstream`]: the way to the XMPP server.
//! - [`http`]: the listener's side; a [`http::Site`] can carry other pages too.
//! - [`gauges`]: what it counts of itself, and the listener that shows it.

pub mod driver;
pub mod gauges;
pub mod http;
pub mod session;
pub mod upstream;
pub mod websocket;

pub use driver::{Insecure, Manager, Settings};
pub use session::Terms;
pub use upstream::{Pipe, Servers, Upstream, Visitor};
