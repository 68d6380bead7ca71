//! Who is here, and the law of delivery between them; and the contract of a [`Module`].
//!
//! A driver [`claim`](Router::claim)s a full address for a session, hands every stanza of the session to
//! [`Router::dispatch`] one at a time, and writes what its [`Mailbox`] gives. Everything else — delivery, presence,
//! iq handlers — happens between these three calls, in the sender's task.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use xmpp_core::{BareJid, Jid, Stanza, StreamError};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The table of who is here. One per process, shared.
pub struct Router {}

/// What a mailbox gives its session.
#[derive(Debug, Clone)]
pub enum Mail {
    /// A stanza for this session, to be written as it is.
    Stanza(Stanza),
    /// The session ends with this error: replaced, its account gone, its mailbox full.
    Close(StreamError),
}

/// The receiving end of a session's mailbox; bounded in bytes.
pub struct Mailbox {}

impl Mailbox {
    /// The next mail; wakes the task when there is some.
    pub fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Mail> {
        todo!()
    }
    /// The next mail if there is one now.
    pub fn try_next(&mut self) -> Option<Mail> {
        todo!()
    }
}

/// A claimed full address. `release` it when the session ends; a drop without (a panic) does what it can.
pub struct Claim {}

impl Claim {
    /// The full address.
    pub fn jid(&self) -> &Jid {
        todo!()
    }
}

/// Why an address cannot be claimed (RFC 6120 7.6.2, 7.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Too many sessions of this account (`resource-constraint`).
    #[error("too many sessions")]
    TooMany,
    /// The account does not exist any more (`not-authorized`).
    #[error("no such account")]
    NoAccount,
    /// The store failed (`internal-server-error`).
    #[error("the store failed")]
    Failed,
}

impl Router {
    /// Claims `account/resource` for a session. A session that holds it already is closed with `conflict`
    /// (RFC 6120 7.7.2.2, the newer one wins) and released before this returns. Without a resource the router makes a random one.
    pub async fn claim(
        self: &Arc<Self>,
        _account: &BareJid,
        _resource: Option<&str>,
    ) -> Result<(Claim, Mailbox), ClaimError> {
        todo!()
    }
    /// Routes one stanza of a session to where it belongs. `from` is stamped here. Replies and errors come through the
    /// sender's own mailbox. When the future is done the next stanza may follow (RFC 6120 10.1).
    pub async fn dispatch(self: &Arc<Self>, _claim: &Claim, _stanza: Stanza) {
        todo!()
    }
    /// Ends the claim: unavailable presence goes out, what is left in the mailbox is routed as to an unavailable resource.
    pub async fn release(self: &Arc<Self>, _claim: Claim, _mailbox: Mailbox) {
        todo!()
    }
    /// Closes all sessions of an account, e.g. after its password changed.
    pub fn close_account(&self, _account: &BareJid, _error: &StreamError) {
        todo!()
    }
    /// Whether a domain is served here (prepared form).
    pub fn serves(&self, _domain: &str) -> bool {
        todo!()
    }
}
