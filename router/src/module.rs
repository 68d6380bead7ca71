//! The contract of a feature: what it declares, and in which phase of a stanza's way it has a say.
//!
//! The phases have names and a closed order, for the sender's side and then for the recipient's:
//!
//! 1. **guard**: refuses a stanza;
//! 2. **mark**: takes away what only the server may say, or adds it;
//! 3. **keep** (asked once, for both sides): takes a message into a store, which gives a receipt;
//! 4. **copy**: says which further sessions of the account get a copy of a message, and what it looks like;
//! 5. deliver: the router's own, by RFC 6121 8.5.
//!
//! Phases are synchronous over accounts in memory. An iq handler may wait for a store.

use crate::{Account, BoxFuture, Declare, Environment, Relation, Router, Session, account::State};
use bytes::Bytes;
use std::{any::Any, fmt, sync::Arc, time::SystemTime};
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

/// Which stanza of which stream a message is, where that stream goes on after a kill (XEP-0198 5): what is put of it is put
/// together with this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The stream's number.
    pub stream: u32,
    /// Which of the stanzas on it, modulo 2^32.
    pub number: u32,
    /// What tells it from another stanza.
    pub mark: u64,
    /// Of the stanzas up to this one nothing needs to be known any more.
    pub handled: Option<u32>,
}

/// A message on its way between two ends, which may be kept for either, under the guards of both.
pub struct Keeping<'a> {
    /// The sender's account, where it has one here, is not the recipient itself, and the message is new: not where the
    /// recipient's session did not take it and the law is asked again.
    pub sender: Option<Party<'a>>,
    /// The recipient's account.
    pub recipient: Party<'a>,
    /// The message.
    pub message: &'a Stanza,
    /// Whether a session gets it now.
    pub delivered: bool,
    /// Whether it must outlast the session that gets it: the sender's client hears that it is safe (XEP-0198), or it has to
    /// wait on its way. What is fenced must as well.
    pub promised: bool,
    /// Whether a session of the recipient may go on after a kill: it then knows the message by its number, so it sees none
    /// that the store has not.
    pub outlives: bool,
    /// Which stanza it is, where its stream goes on after a kill.
    pub source: Option<Source>,
    pub(crate) environment: &'a dyn Environment,
}

impl Keeping<'_> {
    /// Now: asked only for what is kept.
    pub fn at(&self) -> SystemTime {
        self.environment.now()
    }
}

impl fmt::Debug for Keeping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeping({:?}, delivered: {})", self.message, self.delivered)
    }
}

/// One end of a message.
pub struct Party<'a> {
    account: &'a Account,
    state: &'a State,
    peer: Option<&'a Jid>,
}

/// A message that is kept.
pub struct Kept {
    /// Completes when it is.
    pub receipt: Receipt,
    /// Nobody sees it before; else who is there gets it at once, and the receipt is waited for before the sender's client
    /// hears that it is safe. What nobody gets now is always fenced.
    pub fenced: bool,
    /// It has been kept before: its sender's client sends it again, and nobody gets it again. The receipt is that of the first.
    pub again: bool,
    /// Its number among the recipient's, where the store is to hear that a client has it.
    pub row: Option<i64>,
    /// What the sender's other sessions see in it besides: an element in the scope of `jabber:client`.
    pub sender_id: Option<Bytes>,
    /// What the recipient's sessions see in it besides.
    pub recipient_id: Option<Bytes>,
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

/// Completes when the message is safe; where it is not, what is fenced is not delivered.
pub type Receipt = BoxFuture<'static, Result<(), Unkept>>;

/// Why a message is not kept.
pub enum Unkept {
    /// Its sender gets this error.
    Refused(StanzaError),
    /// Nobody knows whether it will be found after a restart: its sender hears nothing and the stanza does not count as handled,
    /// until this knows more.
    InDoubt(Receipt),
}

impl From<StanzaError> for Unkept {
    fn from(error: StanzaError) -> Self {
        Self::Refused(error)
    }
}

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

/// Some of what waits for an account until it becomes available.
pub struct Backlog {
    /// The messages, oldest first, with their numbers, which rise.
    pub messages: Vec<(i64, Stanza)>,
    /// After which number to read on, where there is more.
    pub next: Option<i64>,
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

impl<'a> Party<'a> {
    pub(crate) fn new(account: &'a Account, state: &'a State, peer: Option<&'a Jid>) -> Self {
        Self { account, state, peer }
    }

    /// The account.
    pub fn account(&self) -> &'a BareJid {
        self.account.jid()
    }

    /// What is agreed with the other end.
    pub fn relation(&self) -> Relation {
        let relation = self.peer.and_then(|peer| self.state.contacts.get(peer.bare_str()));
        relation.copied().unwrap_or_default()
    }

    /// What a module has to know of the account.
    pub fn facet<T: Any>(&self) -> Option<&'a T> {
        self.state.facets.get()
    }
}

impl fmt::Debug for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Party({})", self.account.jid())
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({:?}, fenced {})", self.row, self.fenced)
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backlog({})", self.messages.len())
    }
}

impl From<Bytes> for Reply {
    fn from(payload: Bytes) -> Self {
        Self::Result(payload)
    }
}
