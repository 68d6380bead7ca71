//! What a lane waits for, in the hands of the task that caused it.

use crate::{Backlog, Receipt, Router, account::Account, route::After};
use futures_util::future::BoxFuture;
use std::{
    mem,
    sync::Arc,
    task::{Context, Poll, ready},
};
use xmpp_core::{Stanza, StanzaError};

/// Something in a lane that is being waited for. Dropped without an end (the task was cancelled), what is written counts as
/// kept, what is read as not there, and the lane goes on.
pub(crate) struct Wait {
    router: Arc<Router>,
    account: Arc<Account>,
    ticket: u64,
    pending: Pending,
}

/// What it is.
pub(crate) enum Pending {
    /// A write, and the stanza whose sender hears if it fails.
    Receipt(Receipt, Stanza),
    /// A read.
    Backlog(BoxFuture<'static, Option<Backlog>>),
    /// A write that nothing in the lane waits for.
    Aside(BoxFuture<'static, ()>),
    /// Nothing any more.
    Done,
}

impl Wait {
    pub(crate) fn new(
        router: &Arc<Router>,
        account: &Arc<Account>,
        ticket: u64,
        pending: Pending,
    ) -> Self {
        Self { router: router.clone(), account: account.clone(), ticket, pending }
    }

    /// Goes on with it: once it is complete the lane goes on, and what that caused has to be waited for in turn.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Self>> {
        let after = match &mut self.pending {
            Pending::Receipt(receipt, _) => {
                let result = ready!(receipt.as_mut().poll(cx));
                self.settle(result)
            }
            Pending::Backlog(read) => {
                let backlog = ready!(read.as_mut().poll(cx));
                self.settle_backlog(backlog)
            }
            Pending::Aside(written) => {
                ready!(written.as_mut().poll(cx));
                self.pending = Pending::Done;
                After::default()
            }
            Pending::Done => After::default(),
        };
        Poll::Ready(self.router.run(after))
    }

    /// Lets the lane go on without waiting.
    fn give_up(&mut self) -> After {
        match &self.pending {
            Pending::Receipt(..) => self.settle(Ok(())),
            Pending::Backlog(_) => self.settle_backlog(None),
            // What was queued is done by the store without us.
            Pending::Aside(_) | Pending::Done => After::default(),
        }
    }

    fn settle(&mut self, result: Result<(), StanzaError>) -> After {
        let mut after = After::default();
        let mut state = self.account.guard();
        state.lane.settle(self.ticket, result.is_ok());
        if let (Err(error), Pending::Receipt(_, stanza)) =
            (result, mem::replace(&mut self.pending, Pending::Done))
        {
            after.refuse_with(stanza, error);
        }
        self.router.pump(&self.account, &mut state, &mut after);
        after
    }

    fn settle_backlog(&mut self, backlog: Option<Backlog>) -> After {
        let mut after = After::default();
        let mut state = self.account.guard();
        self.pending = Pending::Done;
        state.lane.settle_backlog(self.ticket, backlog);
        self.router.pump(&self.account, &mut state, &mut after);
        after
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // A loop and not a recursion: each may let another one in, as long as the lane is.
        let after = self.give_up();
        let mut waits = self.router.run(after);
        while let Some(mut wait) = waits.pop() {
            let after = wait.give_up();
            waits.extend(self.router.run(after));
        }
    }
}
