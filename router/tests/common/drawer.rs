//! A store whose writes and reads complete when the test says so.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test helpers, of which every file uses some"
)]

use crate::common::{self, Actor, stanza, xml};
use futures_util::FutureExt;
use router::{Backlog, BoxFuture, Declare, Keeping, Kept, Module, Unkept};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use xmpp_core::{StanzaError, error::StanzaCondition};

/// Something that completes when the test says so.
pub type Gate = Arc<AtomicBool>;

pub fn gate() -> Gate {
    Gate::default()
}

pub fn open(gate: &Gate) {
    gate.store(true, Ordering::Relaxed);
}

async fn passed(gate: Gate) {
    std::future::poll_fn(|_| match gate.load(Ordering::Relaxed) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    })
    .await;
}

/// A store whose writes and reads complete when the test says so. As the real ones: a write counts from the call on,
/// and a read sees what was written before it was called.
#[derive(Default)]
pub struct Drawer {
    /// What no client has yet, by number.
    pub kept: Arc<Mutex<BTreeMap<i64, String>>>,
    /// What was ever archived, in order.
    pub archived: Mutex<Vec<String>>,
    pub last: AtomicI64,
    /// Gates of the next writes and reads; without one they complete at once.
    pub gates: Mutex<VecDeque<Gate>>,
    pub full: AtomicBool,
    /// Where it is full, the first gate lets it say that it does not know, and the second that it is.
    pub doubts: AtomicBool,
    /// Keeps what is delivered, too, before anybody sees it.
    pub archive: bool,
    /// Messages read at a time; all of them where it is 0.
    pub page: usize,
}

impl Drawer {
    pub fn next_waits(&self) -> Gate {
        let gate = gate();
        self.gates.lock().unwrap().push_back(gate.clone());
        gate
    }

    fn gate(&self) -> Gate {
        self.gates.lock().unwrap().pop_front().unwrap_or_else(|| Gate::new(true.into()))
    }

    pub fn ids(&self) -> Vec<String> {
        common::go();
        let kept = self.kept.lock().unwrap();
        kept.values().map(|xml| stanza(xml).head.id.clone().unwrap().to_string()).collect()
    }

    fn keep(&self, keeping: &Keeping<'_>) -> Option<Kept> {
        if keeping.delivered && !self.archive && !keeping.promised {
            return None;
        }
        let full = self.full.load(Ordering::Relaxed);
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let message = xml(keeping.message);
        if !full {
            self.kept.lock().unwrap().insert(number, message.clone());
            if self.archive {
                self.archived.lock().unwrap().push(message);
            }
        }
        let gate = self.gate();
        let doubts = self.doubts.load(Ordering::Relaxed).then(|| self.gate());
        let receipt = async move {
            passed(gate).await;
            let refused = || Err(StanzaError::new(StanzaCondition::ResourceConstraint).into());
            match doubts {
                _ if !full => Ok(()),
                None => refused(),
                Some(gate) => {
                    let later = passed(gate).map(move |()| refused());
                    Err(Unkept::InDoubt(later.boxed()))
                }
            }
        };
        let id = |name: &str| {
            let id = format!("<id xmlns='urn:example' by='{name}' number='{number}'/>");
            self.archive.then(|| id.into())
        };
        Some(Kept {
            receipt: receipt.boxed(),
            fenced: self.archive,
            again: false,
            row: Some(number),
            sender_id: id("sender"),
            recipient_id: id("recipient"),
        })
    }

    fn backlog(&self, after: i64) -> BoxFuture<'static, Option<Backlog>> {
        let kept = self.kept.lock().unwrap();
        let mut rows = kept.range(after + 1..).map(|(number, xml)| (*number, stanza(xml)));
        let page = if self.page == 0 { usize::MAX } else { self.page };
        let messages: Vec<_> = rows.by_ref().take(page).collect();
        let next = rows.next().and(messages.last()).map(|(number, _)| *number);
        let gate = self.gate();
        async move {
            passed(gate).await;
            Some(Backlog { messages, next })
        }
        .boxed()
    }
}

impl Module for Drawer {
    fn name(&self) -> &'static str {
        "drawer"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let this = self.clone();
        declare.keep(move |keeping| this.keep(keeping));
        let kept = self.kept.clone();
        declare.taken(move |_, numbers| {
            kept.lock().unwrap().retain(|number, _| !numbers.contains(number));
            async { true }.boxed()
        });
        declare.backlog(move |_, after| self.backlog(after));
    }
}

pub fn chat(id: &str) -> String {
    format!("<message to='juliet@localhost' type='chat' id='{id}'/>")
}

/// The messages among what came.
pub fn ids(actor: &mut Actor) -> Vec<String> {
    actor.ids().into_iter().filter(|id| !id.is_empty()).collect()
}
