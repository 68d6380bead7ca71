//! Conversations as tests: the [Scansion](https://matthewwild.co.uk/projects/scansion/) dialect, which XMPP
//! people already read.
//!
//! ```text
//! # Messages to a full JID
//! # RFC 6121 8.5.3.1
//! ## slow
//!
//! [Client] Romeo
//!     jid: romeo@localhost
//!     password: montague
//!
//! [Client] Juliet
//!     jid: juliet@localhost/balcony
//!     password: capulet
//!
//! ---------
//!
//! Romeo connects
//!
//! Juliet connects
//!
//! Romeo sends:
//!     <message to="${Juliet's full JID}" id="1"><body>Wherefore?</body></message>
//!
//! Juliet receives:
//!     <message from="${Romeo's full JID}" id="{scansion:any}"><body>Wherefore?</body></message>
//!
//! Romeo receives: nothing
//! ```
//!
//! **Form.** Lines that begin with `#`, `//` or `--` are comments; those at the very top are the title, the
//! description and, with `##`, tags (`## name`, `## name: value`). An indented line belongs to the statement above
//! it. A character's name may have spaces and apostrophes; its actions are `connects`, `disconnects`, `sends:` and
//! `receives:`. Elements without `xmlns` are in `jabber:client`; the prefixes `stream` and `scansion` are declared.
//! `${NAME's JID}` and `${NAME's full JID}` stand for addresses.
//!
//! **Matching.** Loose: every attribute and child that is expected must be there, in any order; others are ignored,
//! and white space around text is too. Strict: exactly these attributes, text and children, in this order. Elements in
//! `jabber:client` are matched loosely, all others strictly; `scansion:strict='true'` or `'false'` on an element
//! decides for that element alone. `{scansion:any}` as a value or text stands for any, `{scansion:capture:NAME}` for
//! any at first and for the same ever after; in a stanza that is sent it stands for what was captured.
//!
//! **Order.** Stanzas are expected in the order in which they come to each client. What is still unread when a client
//! disconnects or the script ends is no failure in Scansion; [`play`] gives it back, so that stricter callers can decide.
//!
//! **Two additions.** `sends:` and `receives:` may hold several elements: they are sent in one piece, and may arrive in
//! any order. `receives: nothing` does not wait for a time to pass: see [`play`].
//!
//! The crate is pure: [`Connection`] moves the elements, whatever it is made of.

mod account;
mod client;
mod connection;
mod diff;
mod failure;
mod log;
mod matching;
mod parse;
mod player;
mod pretty;
mod template;
mod wire;

pub use account::{register, unregister};
pub use client::{Client, ClientError, Login, Request};
pub use connection::{Channel, Connection, Lost, Stage};
pub use diff::{Line, Mark, diff};
pub use failure::{Cause, Failure};
pub use log::{Direction, Logged, Told};
pub use matching::{Captures, Mismatch, matches};
pub use parse::{Action, Block, Character, ParseError, Script, Tag, Verb};
pub use player::{Rules, play};
pub use pretty::pretty;
pub use wire::{FOOTER, Incoming, Reader, header, standalone};

/// The namespace of `scansion:strict`.
pub const NAMESPACE: &str = "https://matthewwild.co.uk/projects/scansion";
