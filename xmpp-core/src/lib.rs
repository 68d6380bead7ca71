//! The words of XMPP: addresses, frames, stanzas, stream and stanza errors, SASL.
//!
//! Everything here is pure: no socket, no clock, no store, no source of randomness. What needs time or
//! dice takes them as arguments.

pub mod error;
pub mod jid;
pub mod ns;
pub mod precis;
pub mod sasl;
pub mod stanza;
pub mod stream;
pub mod xml;

pub use error::{StanzaError, StreamError};
pub use jid::{BareJid, Jid, JidError};
pub use stanza::{Kind, Stanza};
