//! What a stanza has caused and is not done yet: in the hands of the task that sent it.

use crate::{Router, route::After, wait::Wait};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// What one stanza has caused and is not done yet: the store is still writing, or reading for it. Complete when all of it is
/// safe, and every error that it caused is in the sender's mailbox: the stanza counts as handled then (XEP-0198 4). For
/// nearly all stanzas it is complete at once, and costs nothing.
#[must_use = "a stanza counts as handled once this is complete"]
#[derive(Default)]
pub struct Settling {
    waits: Vec<Wait>,
}

impl Settling {
    pub(crate) fn new(waits: Vec<Wait>) -> Self {
        Self { waits }
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.waits.is_empty()
    }
}

impl Future for Settling {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut next = 0;
        while let Some(wait) = self.waits.get_mut(next) {
            if let Poll::Ready(more) = wait.poll(cx) {
                self.waits.swap_remove(next);
                self.waits.extend(more);
            } else {
                next += 1;
            }
        }
        if self.waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Router {
    /// Does what is left to do, and waits for what has to be waited for.
    pub(crate) async fn finish(self: &Arc<Self>, after: After) {
        Settling::new(self.run(after)).await;
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settling({})", self.waits.len())
    }
}
