//! What a bound stream has in the router, and what it waits for there.

use super::{
    journal::Entry,
    resumptions::{Heir, Ticket, Wish},
};
use crate::session::Session;
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use router::{BoxFuture, Claim, Mail, Mailbox, Router, Settling};
use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use xmpp_core::{Kind, Stanza};

/// A claimed address and what is on its way from it.
pub(super) struct Seat {
    pub(super) claim: Claim,
    pub(super) mailbox: Mailbox,
    /// The stanza that is being routed.
    pub(super) routing: Option<BoxFuture<'static, Settling>>,
    settling: Settlements,
    /// Where it is found by who resumes it.
    pub(super) ticket: Option<Ticket>,
    /// Who resumes it.
    pub(super) heir: Option<Heir>,
    /// What tells the account from another one at its address.
    pub(super) mark: u64,
    /// Where the stream is written down, so that it goes on after a kill.
    pub(super) entry: Option<Box<Entry>>,
}

/// What a seat waited for.
pub(super) enum News {
    Mail(Mail),
    /// Some of those that were routed have settled.
    Settled,
    /// Somebody else wants the session.
    Wanted,
}

/// Stanzas that were routed and what they still wait for.
#[derive(Default)]
struct Settlements {
    /// In order; nothing where nothing is open, as nearly always.
    open: Option<Box<FuturesOrdered<Settling>>>,
    /// Those that have settled, in order, since it was last asked.
    settled: usize,
}

impl Seat {
    pub(super) fn new(claim: Claim, mailbox: Mailbox, mark: u64) -> Self {
        let settling = Settlements::default();
        let (ticket, heir, entry) = (None, None, None);
        Self { claim, mailbox, routing: None, settling, ticket, heir, mark, entry }
    }

    /// The way of a stanza that was just taken from the stream.
    pub(super) fn dispatch(
        &mut self,
        router: &Arc<Router>,
        session: &mut Session,
        stanza: Stanza,
    ) -> BoxFuture<'static, Settling> {
        let written = self.entry.as_mut().zip(session.books());
        let source = written.and_then(|(entry, books)| match stanza.kind() {
            Kind::Message(_) => Some(entry.source(books.received(), &stanza)),
            Kind::Presence(_) | Kind::Iq(_) => {
                entry.doubt_seat();
                None
            }
        });
        Box::pin(router.dispatch(&self.claim, stanza, source))
    }

    /// Routes a stanza from now on; that it is routed [`poll_routing`](Self::poll_routing) tells.
    pub(super) fn route(&mut self, routing: BoxFuture<'static, Settling>) {
        debug_assert!(self.routing.is_none(), "one stanza after the other");
        self.routing = Some(routing);
    }

    /// The next news; of mail, without room, the end only.
    pub(super) fn poll_news(&mut self, cx: &mut Context<'_>, room: bool) -> Poll<News> {
        if self.settling.poll(cx).is_ready() {
            return Poll::Ready(News::Settled);
        }
        if let Poll::Ready(mail) = self.mailbox.poll_next(cx, room) {
            return Poll::Ready(News::Mail(mail));
        }
        if let Some(ticket) = &mut self.ticket
            && let Poll::Ready(wish) = ticket.poll(cx)
        {
            self.ticket = None;
            if let Wish::Resume(heir) = wish {
                self.heir = Some(heir);
                return Poll::Ready(News::Wanted);
            }
        }
        Poll::Pending
    }

    /// How many stanzas have settled since this was last asked.
    pub(super) fn settled(&mut self) -> usize {
        mem::take(&mut self.settling.settled)
    }

    /// Waits for all that is on its way; how many stanzas have settled.
    pub(super) async fn settle(&mut self) -> usize {
        poll_fn(|cx| {
            if self.routing.is_some() && self.poll_routing(cx).is_pending() {
                return Poll::Pending;
            }
            while self.settling.poll(cx).is_ready() {}
            if self.settling.open.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.settled()
    }

    /// Ready once the stanza is routed, if one is.
    pub(super) fn poll_routing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(routing) = &mut self.routing else { return Poll::Pending };
        routing.poll_unpin(cx).map(|settling| {
            self.routing = None;
            self.settling.push(settling);
        })
    }
}

impl Settlements {
    fn push(&mut self, settling: Settling) {
        let early = faults::planted!("ack_before_commit");
        if early || settling.is_done() && self.open.is_none() {
            self.settled += 1;
            drop(settling); // which tells what is refused
        } else {
            self.open.get_or_insert_default().push_back(settling);
        }
    }

    /// Whether one more has settled.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &mut self.open else { return Poll::Pending };
        let Poll::Ready(refusals) = open.poll_next_unpin(cx) else { return Poll::Pending };
        refusals.unwrap_or_default().tell();
        if open.is_empty() {
            self.open = None;
        }
        self.settled += 1;
        Poll::Ready(())
    }
}
