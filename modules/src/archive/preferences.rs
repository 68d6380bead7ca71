//! XEP-0441: Message Archive Management Preferences.

use super::{Archive, policy::Archiving};
use crate::stored::refusal;
use bytes::Bytes;
use roster_store::{Policy, Preferences};
use router::{Answer, Request};
use xmpp_core::{
    Jid, StanzaError,
    error::StanzaCondition,
    ns,
    xml::{Node, Writer},
};

/// What the policies are called (2.1.1).
const NAMES: [(Policy, &str); 3] =
    [(Policy::Always, "always"), (Policy::Roster, "roster"), (Policy::Never, "never")];

impl Archive {
    /// 2.1: what holds now.
    pub(super) async fn preferences(&self, request: Request) -> Answer {
        let Request { router, session, .. } = &request;
        let written = router
            .enter(session.account(), |view| match view.facet::<Archiving>() {
                Some(archiving) => write(archiving.preferences()),
                None => write(Archiving::new(None, self.settings.default).preferences()),
            })
            .await;
        Ok(written.into())
    }

    /// 2.1: what shall hold.
    pub(super) async fn set_preferences(&self, request: Request) -> Answer {
        let wanted = read(&request.payload()?)?;
        let Request { router, session, .. } = &request;
        // One at a time, so that memory ends up as the store does.
        let mut turn = router.turn(session.account()).await;
        let set = self.store.set_preferences(session.account().jid(), wanted).await;
        let now = set.map_err(|error| refusal(&error))?;
        turn.unchanged();
        let written = write(&now);
        let archiving = Archiving::new(Some(now), self.settings.default);
        router.enter(session.account(), |view| view.put_facet(archiving)).await;
        Ok(written.into())
    }
}

fn read(prefs: &Node) -> Result<Preferences, StanzaError> {
    let bad = |why| StanzaError::new(StanzaCondition::BadRequest).with_text(why);
    let named = prefs.attr("default").and_then(|name| NAMES.iter().find(|(_, n)| *n == name));
    let (default, _) = named.ok_or_else(|| bad("the default is always, roster or never"))?;
    let list = |name| -> Result<Vec<Jid>, StanzaError> {
        let mut jids = Vec::new();
        for list in prefs.children.iter().filter(|child| child.is(ns::ARCHIVE, name)) {
            for jid in list.children.iter().filter(|child| child.is(ns::ARCHIVE, "jid")) {
                let malformed = |_| StanzaError::new(StanzaCondition::JidMalformed);
                jids.push(jid.text.trim().parse().map_err(malformed)?);
            }
        }
        Ok(jids)
    };
    Ok(Preferences { default: *default, always: list("always")?, never: list("never")? })
}

fn write(preferences: &Preferences) -> Bytes {
    let Preferences { default, always, never } = preferences;
    let name = NAMES.iter().find(|(policy, _)| policy == default).map_or("always", |(_, n)| n);
    let mut out = Writer::new();
    out.open_ns("prefs", ns::ARCHIVE).attr("default", name);
    for (name, list) in [("always", always), ("never", never)] {
        out.open(name);
        for jid in list {
            out.open("jid").text(jid.as_str()).close();
        }
        out.close();
    }
    out.close();
    out.finish()
}
