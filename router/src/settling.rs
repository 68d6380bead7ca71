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
use xmpp_core::{Stanza, StanzaError};

/// What one stanza has caused and is not done yet: the store is still writing. Complete when all of it is safe; once the
/// [refusals](Refusals) that it gives are told, the stanza counts as handled (XEP-0198 4). For nearly all stanzas it is complete
/// at once, and costs nothing. Dropped before, it is completed by a task of its own.
#[must_use = "a stanza counts as handled once this is complete"]
#[derive(Default)]
pub struct Settling {
    waits: Vec<Wait>,
    refusals: Refusals,
    router: Option<Arc<Router>>,
    /// Nobody waits for it any more: it is not passed on again.
    passed_on: bool,
}

/// Errors that a message has caused, for its sender: to be told once all stanzas before it have settled, with the count that
/// covers it. A client that heard them before that, and goes on with its stream after a kill, would send once more what has
/// come back, and it might be kept. Dropped, they are told as well.
#[must_use = "they are told in the order of the stanzas"]
#[derive(Default)]
pub struct Refusals {
    list: Vec<(Stanza, StanzaError)>,
    router: Option<Arc<Router>>,
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

    /// The sender hears of these in its turn.
    pub(crate) fn refuse(&mut self, router: &Arc<Router>, refused: Vec<(Stanza, StanzaError)>) {
        if !refused.is_empty() {
            self.refusals.router.get_or_insert_with(|| router.clone());
            self.refusals.list.extend(refused);
        }
    }
}

impl Refusals {
    /// Gives them to the sender's mailbox.
    pub fn tell(mut self) {
        self.tell_all();
    }

    fn tell_all(&mut self) {
        if let Some(router) = self.router.take() {
            // What comes of it, a mailbox that overflows, is not the stanza's.
            drop(router.run(After::refusing(mem::take(&mut self.list))));
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.tell_all();
    }
}

impl Future for Settling {
    type Output = Refusals;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Refusals> {
        let Some(router) = self.router.clone() else {
            return Poll::Ready(mem::take(&mut self.refusals));
        };
        let mut next = 0;
        while let Some(wait) = self.waits.get_mut(next) {
            let Poll::Ready(outcome) = wait.poll(&router, cx) else {
                next += 1;
                continue;
            };
            self.waits.swap_remove(next);
            self.waits.append(&mut router.run(outcome.after).waits);
            self.refuse(&router, outcome.refused.into_iter().collect());
        }
        match self.waits.is_empty() {
            true => Poll::Ready(mem::take(&mut self.refusals)),
            false => Poll::Pending,
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(router) = self.router.take()
            && !self.waits.is_empty()
            && !self.passed_on
        {
            let waits = mem::take(&mut self.waits);
            let refusals = mem::take(&mut self.refusals);
            let rest = Self { waits, refusals, router: Some(router.clone()), passed_on: true };
            router.environment.spawn(rest.map(Refusals::tell).boxed());
        }
    }
}

impl Wait {
    fn poll(&mut self, router: &Arc<Router>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self {
            Self::Written(written) => {
                let result = ready!(written.receipt.as_mut().poll(cx));
                Poll::Ready(written.settle(router, result))
            }
            Self::Aside(done) => done.as_mut().poll(cx).map(|()| Outcome::default()),
        }
    }
}

/// What has become of what was waited for.
#[derive(Default)]
struct Outcome {
    after: After,
    refused: Option<(Stanza, StanzaError)>,
}

impl Written {
    /// Lets the lanes go on.
    fn settle(&self, router: &Arc<Router>, result: Result<(), Unkept>) -> Outcome {
        let Outcome { mut after, mut refused } = Outcome::default();
        faults::site!("receipt");
        for (account, ticket) in &self.tickets {
            let mut state = account.guard();
            state.lane.settle(*ticket, result.is_ok());
            router.pump(account, &mut state, &mut after);
        }
        faults::site!("lanes-pumped");
        match result {
            Ok(()) => {}
            Err(Unkept::Refused(error)) => refused = Some((self.message.clone(), error)),
            Err(Unkept::InDoubt(receipt)) => {
                let (message, tickets) = (self.message.clone(), Tickets::new());
                after.written(router, Self { receipt, message, tickets });
            }
        }
        Outcome { after, refused }
    }
}

impl Router {
    /// Does what is left to do, and waits for what has to be waited for.
    pub(crate) async fn finish(self: &Arc<Self>, after: After) {
        self.run(after).await.tell();
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settling({}, {:?})", self.waits.len(), self.refusals)
    }
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refusals({})", self.list.len())
    }
}
