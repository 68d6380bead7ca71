//! The contract of a feature: what it declares, and in which phase of a stanza's way it has a say.
//!
//! The phases have names and a closed order, for the sender's side and then for the recipient's:
//!
//! 1. **guard**: refuses a stanza;
//! 2. **mark**: takes away what only the server may say, or adds it;
//! 3. **keep** (the recipient's only): takes a message into a store, which gives a receipt;
//! 4. **copy**: says which further sessions of the account get a copy of a message, and what it looks like;
//! 5. deliver: the router's own, by RFC 6121 8.5.
//!
//! Phases are synchronous over accounts in memory. An iq handler may wait for a store.

use crate::{BoxFuture, Declare, Router, Session};
use bytes::Bytes;
use std::{sync::Arc, time::SystemTime};
use xmpp_core::{
    BareJid, Jid, Stanza, StanzaError,
    error::StanzaCondition,
    xml::{Element, Node},
};

/// A feature. Its struct holds what it depends on; `declare` says what it does.
pub trait Module: Send + Sync {
    /// What the start-up calls it when two modules claim the same.
    fn name(&self) -> &'static str;
    /// Says what it does.
    fn declare(self: Arc<Self>, declare: &mut Declare);
}

/// A XEP that a module implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xep {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// The version implemented.
    pub version: &'static str,
    /// What of it is not implemented, if anything.
    pub lacks: Option<&'static str>,
}

/// Whom an iq is for, seen from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// The server's own address.
    Server,
    /// The sender's own account, or no address at all (RFC 6120 10.3.3).
    Own,
    /// Another account that shares its presence with the sender.
    Contact,
    /// Another account that does not share its presence with the sender, or does not exist: the answer must not tell
    /// which (RFC 6121 8.1).
    Stranger,
}

/// Whose side of a stanza's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// As it comes from the account's session.
    Sender,
    /// As it goes to the account.
    Recipient,
}

/// A stanza that asks the server for something.
pub struct Request {
    /// The router.
    pub router: Arc<Router>,
    /// The session that asks.
    pub session: Session,
    /// The stanza, stamped.
    pub stanza: Stanza,
    /// Whom it is for, seen from its sender.
    pub at: At,
}

/// What an iq is answered with.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A result with this payload, empty for none.
    Result(Bytes),
    /// The handler has sent the result itself, in its place among other stanzas.
    Sent,
}

/// What service discovery asks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// What it is and can do (XEP-0030 3.2).
    Info,
    /// What belongs to it (XEP-0030 4.2).
    Items,
}

/// A reply or an error.
pub type Answer = Result<Reply, StanzaError>;

/// A message that is to be kept, under its recipient's guard.
#[derive(Debug)]
pub struct Keeping<'a> {
    /// The recipient.
    pub account: &'a BareJid,
    /// The message.
    pub message: &'a Stanza,
    /// Whether a session gets it now.
    pub delivered: bool,
    /// Now.
    pub at: SystemTime,
}

/// An account whose last available session has become unavailable, under its guard.
#[derive(Debug)]
pub struct Leaving<'a> {
    /// The account.
    pub account: &'a BareJid,
    /// The unavailable presence; the router's own where the session sent none (RFC 6121 4.5.2).
    pub presence: &'a Stanza,
    /// Now.
    pub at: SystemTime,
}

/// Completes when the message is safe; an error goes to its sender, and nothing is delivered.
pub type Receipt = BoxFuture<'static, Result<(), StanzaError>>;

/// How soon a session whose user is not looking must get a stanza (XEP-0352 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// At once, and all that waits before it.
    Now,
    /// With the next one that is urgent, or when the user looks again. Of several such presences from one full
    /// address the last is enough.
    Later,
    /// Not at all: it is of no use by then.
    Never,
}

/// What waited for an account until it became available.
pub struct Backlog {
    /// The stanzas, oldest first.
    pub stanzas: Vec<Stanza>,
    /// Called once they are in the session's mailbox, under the account's guard: forgets them.
    pub handed: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>,
}

impl Request {
    /// The payload: the only child of an iq (RFC 6120 8.2.3), read.
    ///
    /// # Errors
    /// `bad-request` where it is missing.
    pub fn payload(&self) -> Result<Node, StanzaError> {
        let bad = || StanzaError::new(StanzaCondition::BadRequest);
        let child = self.stanza.children().next().ok_or_else(bad)?;
        self.stanza.node(&child).map_err(|_| bad())
    }

    /// The payload as the bytes that arrived.
    ///
    /// # Errors
    /// `bad-request` where it is missing.
    pub fn element(&self) -> Result<Element, StanzaError> {
        let bad = || StanzaError::new(StanzaCondition::BadRequest);
        let child = self.stanza.children().next().ok_or_else(bad)?;
        self.stanza.element(&child).map_err(|_| bad())
    }

    /// The account that it is for: the sender's own where it names none (RFC 6120 10.3.3).
    pub fn account(&self) -> BareJid {
        let own = || self.session.account().jid().clone();
        self.stanza.head.to.as_ref().map_or_else(own, Jid::to_bare)
    }
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backlog({})", self.stanzas.len())
    }
}

impl From<Bytes> for Reply {
    fn from(payload: Bytes) -> Self {
        Self::Result(payload)
    }
}
