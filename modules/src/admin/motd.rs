//! The message of the day at login (XEP-0133 4.24): once for everybody who was not here when it was set.

use super::notices::{domain, of_the_day};
use crate::stored::{failed, refusal};
use futures_util::{FutureExt, lock::Mutex};
use roster_store::{Motd as Stored, Store};
use router::{Declare, Module, Router, Session};
use std::{sync::Arc, time::SystemTime};
use xmpp_core::StanzaError;

/// Shows the message of the day.
pub(crate) struct Motd {
    store: Arc<dyn Store>,
    /// What is in the store, once it was read: no other process changes it.
    known: Mutex<Option<Option<Stored>>>,
}

impl Motd {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, known: Mutex::new(None) })
    }

    /// Another one, set at this time, or none.
    pub(crate) async fn set(&self, motd: Option<(String, SystemTime)>) -> Result<(), StanzaError> {
        let motd = motd.map(|(text, at)| Stored { text, at });
        let mut known = self.known.lock().await;
        self.store.set_motd(motd.clone()).await.map_err(|error| refusal(&error))?;
        *known = Some(motd);
        Ok(())
    }

    async fn show(&self, router: &Arc<Router>, session: &Session) -> roster_store::Result<()> {
        let Some(motd) = self.current().await? else { return Ok(()) };
        let account = session.account();
        let others = router.enter(account, |view| {
            view.seats().iter().any(|seat| seat.is_available() && !seat.is_of(session))
        });
        if others.await {
            return Ok(()); // they were told
        }
        let left = self.store.last_left(account.jid()).await?;
        if left.is_none_or(|left| left.at < motd.at) {
            let message = of_the_day(&motd.text).from(domain(account.jid()));
            session.answer(message.to(session.jid().clone()));
        }
        Ok(())
    }

    async fn current(&self) -> roster_store::Result<Option<Stored>> {
        let mut known = self.known.lock().await;
        if let Some(motd) = &*known {
            return Ok(motd.clone());
        }
        let motd = self.store.motd().await?;
        *known = Some(motd.clone());
        Ok(motd)
    }
}

impl Module for Motd {
    fn name(&self) -> &'static str {
        "motd"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.arrival(move |router, session| {
            let this = self.clone();
            async move {
                if let Err(error) = this.show(&router, &session).await {
                    drop(failed(&error));
                }
            }
            .boxed()
        });
    }
}
