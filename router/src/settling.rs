//! What a stanza has caused and is not done yet: in the hands of the task that sent it.

use crate::{BoxFuture, Receipt, Router, Unkept, account::Account, route::After};
use futures_util::FutureExt;
use smallvec::SmallVec;
use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use xmpp_core::Stanza;

/// What one stanza has caused and is not done yet: the store is still writing. Complete when all of it is safe, and every
/// error that it caused is in the sender's mailbox: the stanza counts as handled then (XEP-0198 4). For nearly all stanzas
/// it is complete at once, and costs nothing. Dropped before, it is completed by a task of its own.
#[must_use = "a stanza counts as handled once this is complete"]
#[derive(Default)]
pub struct Settling {
    waits: Vec<Wait>,
    router: Option<Arc<Router>>,
    /// Nobody waits for it any more: it is not passed on again.
    passed_on: bool,
}

/// Something that is being waited for.
pub(crate) enum Wait {
    /// A message is being written.
    Written(Box<Written>),
    /// Something that nothing in a lane waits for.
    Aside(BoxFuture<'static, ()>),
}

/// A message on its way into the store.
pub(crate) struct Written {
    pub(crate) receipt: Receipt,
    /// Whose sender hears if it fails.
    pub(crate) message: Stanza,
    /// Where it stands in the lanes of both ends.
    pub(crate) tickets: Tickets,
}

pub(crate) type Tickets = SmallVec<[(Arc<Account>, u64); 2]>;

impl Settling {
    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.waits.is_empty()
    }

    pub(crate) fn push(&mut self, router: &Arc<Router>, wait: Wait) {
        self.router.get_or_insert_with(|| router.clone());
        self.waits.push(wait);
    }

    fn extend(&mut self, mut more: Self) {
        self.waits.append(&mut more.waits);
    }
}

impl Future for Settling {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(router) = self.router.clone() else { return Poll::Ready(()) };
        let mut next = 0;
        while let Some(wait) = self.waits.get_mut(next) {
            let Poll::Ready(after) = wait.poll(&router, cx) else {
                next += 1;
                continue;
            };
            self.waits.swap_remove(next);
            self.extend(router.run(after));
        }
        if self.waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(router) = self.router.take()
            && !self.waits.is_empty()
            && !self.passed_on
        {
            let waits = mem::take(&mut self.waits);
            let rest = Self { waits, router: Some(router.clone()), passed_on: true };
            router.environment.spawn(rest.boxed());
        }
    }
}

impl Wait {
    fn poll(&mut self, router: &Arc<Router>, cx: &mut Context<'_>) -> Poll<After> {
        match self {
            Self::Written(written) => {
                let result = ready!(written.receipt.as_mut().poll(cx));
                Poll::Ready(written.settle(router, result))
            }
            Self::Aside(done) => done.as_mut().poll(cx).map(|()| After::default()),
        }
    }
}

impl Written {
    /// Lets the lanes go on.
    fn settle(&self, router: &Arc<Router>, result: Result<(), Unkept>) -> After {
        let mut after = After::default();
        faults::site!("receipt");
        for (account, ticket) in &self.tickets {
            let mut state = account.guard();
            state.lane.settle(*ticket, result.is_ok());
            router.pump(account, &mut state, &mut after);
        }
        faults::site!("lanes-pumped");
        match result {
            Ok(()) => {}
            Err(Unkept::Refused(error)) => after.refuse_with(self.message.clone(), error),
            Err(Unkept::InDoubt(receipt)) => {
                let (message, tickets) = (self.message.clone(), Tickets::new());
                after.written(router, Self { receipt, message, tickets });
            }
        }
        after
    }
}

impl Router {
    /// Does what is left to do, and waits for what has to be waited for.
    pub(crate) async fn finish(self: &Arc<Self>, after: After) {
        self.run(after).await;
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settling({})", self.waits.len())
    }
}
