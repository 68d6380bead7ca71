//! A store whose writes and reads complete when the test says so.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test helpers, of which every file uses some"
)]

use crate::common::{Actor, stanza, xml};
use futures_util::FutureExt;
use router::{Backlog, Declare, Module};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use xmpp_core::{Stanza, StanzaError, error::StanzaCondition};

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
    pub kept: Arc<Mutex<Vec<String>>>,
    /// Gates of the next writes and reads; without one they complete at once.
    pub gates: Mutex<VecDeque<Gate>>,
    pub full: AtomicBool,
    /// Keeps what is delivered, too.
    pub archive: bool,
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
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|xml| stanza(xml).head.id.unwrap().to_string()).collect()
    }
}

impl Module for Drawer {
    fn name(&self) -> &'static str {
        "drawer"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let this = self.clone();
        declare.keep(move |keeping| {
            if keeping.delivered && !this.archive {
                return None;
            }
            let full = this.full.load(Ordering::Relaxed);
            if !full && !keeping.delivered {
                this.kept.lock().unwrap().push(xml(keeping.message));
            }
            let gate = this.gate();
            Some(
                async move {
                    passed(gate).await;
                    let error = StanzaError::new(StanzaCondition::ServiceUnavailable);
                    if full { Err(error) } else { Ok(()) }
                }
                .boxed(),
            )
        });
        declare.backlog(move |_| {
            let stanzas: Vec<Stanza> =
                self.kept.lock().unwrap().iter().map(|xml| stanza(xml)).collect();
            let (gate, kept, count) = (self.gate(), self.kept.clone(), stanzas.len());
            async move {
                passed(gate).await;
                let handed = Box::new(move || {
                    kept.lock().unwrap().drain(..count);
                    async {}.boxed()
                });
                Some(Backlog { stanzas, handed })
            }
            .boxed()
        });
    }
}

pub fn chat(id: &str) -> String {
    format!("<message to='juliet@localhost' type='chat' id='{id}'/>")
}

/// The messages among what came.
pub fn ids(actor: &mut Actor) -> Vec<String> {
    actor.ids().into_iter().filter(|id| !id.is_empty()).collect()
}
