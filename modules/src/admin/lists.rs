//! How many users there are, and which (XEP-0133 4.13 to 4.22).

use super::{Office, ask as form, found};
use crate::{
    commands::{Call, Outcome},
    form::{
        Field,
        FieldType::{JidMulti, ListSingle, TextSingle},
        Form,
    },
    stored::refusal,
};
use router::{Router, Seat};
use std::sync::Arc;
use xmpp_core::{BareJid, Stanza, StanzaError, ns};

/// Bytes of addresses in one list: what a client takes in one stanza. More are counted and left out.
const LIST_BYTES: usize = 128 * 1_024;

/// Which users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All accounts.
    Registered,
    /// Those that have a session.
    Online,
    /// Those with a session that is available, and does not say `away` or `xa` (RFC 6121 4.7.2.1).
    Active,
    /// Those online that are not active.
    Idle,
}

pub(super) async fn count(
    office: Arc<Office>,
    call: Call,
    kind: Kind,
) -> Result<Outcome, StanzaError> {
    let number = users(&office, &call.router, kind).await?.len();
    let (var, label) = match kind {
        Kind::Registered => ("registeredusersnum", "The number of registered users"),
        Kind::Online => ("onlineusersnum", "The number of online users"),
        Kind::Active => ("activeusersnum", "The number of active users"),
        Kind::Idle => ("idleusersnum", "The number of idle users"),
    };
    Ok(found([Field::new(TextSingle, var, label).values([number.to_string()])]))
}

pub(super) fn ask() -> Option<Form> {
    const MAX: &[(&str, &str)] = &[
        ("25", "25"),
        ("50", "50"),
        ("75", "75"),
        ("100", "100"),
        ("150", "150"),
        ("200", "200"),
        ("None", "none"),
    ];
    let max = Field::new(ListSingle, "max_items", "Maximum number of items to show");
    form(
        "Requesting a List of Users",
        "Fill out this form to request users of this service.",
        [max.options(MAX).values(["none"])],
    )
}

pub(super) async fn list(
    office: Arc<Office>,
    call: Call,
    kind: Kind,
) -> Result<Outcome, StanzaError> {
    let users = users(&office, &call.router, kind).await?;
    let asked = call.form.text("max_items").and_then(|text| text.parse().ok());
    let mut bytes = 0;
    let fits = users.iter().take(asked.unwrap_or(usize::MAX)).take_while(|user| {
        bytes += user.as_str().len();
        bytes <= LIST_BYTES
    });
    let shown: Vec<_> = fits.map(BareJid::as_str).collect();
    let (var, label) = match kind {
        Kind::Registered => ("registereduserjids", "The list of all users"),
        Kind::Online => ("onlineuserjids", "The list of all online users"),
        Kind::Active => ("activeuserjids", "The list of active users"),
        // So XEP-0133 4.22 has it; it reserves no name of its own for them.
        Kind::Idle => ("activeuserjids", "The list of idle users"),
    };
    let note = (shown.len() < users.len())
        .then(|| format!("These are the first {} of {}.", shown.len(), users.len()));
    Ok(Outcome { note, ..found([Field::new(JidMulti, var, label).values(shown)]) })
}

/// In the order of their addresses.
async fn users(
    office: &Office,
    router: &Arc<Router>,
    kind: Kind,
) -> Result<Vec<BareJid>, StanzaError> {
    if kind == Kind::Registered {
        return office.store.list().await.map_err(|error| refusal(&error));
    }
    let mut users = Vec::new();
    for account in router.online() {
        let active = router.enter(&account, |view| view.seats().iter().any(is_active)).await;
        if kind == Kind::Online || (kind == Kind::Active) == active {
            users.push(account.jid().clone());
        }
    }
    users.sort_unstable();
    Ok(users)
}

fn is_active(seat: &Seat) -> bool {
    let away = |presence: &Stanza| {
        let show = presence.child(ns::CLIENT, "show");
        let show = show.and_then(|show| presence.node(&show).ok());
        show.is_some_and(|show| matches!(&*show.text, "away" | "xa"))
    };
    seat.presence().is_some_and(|presence| !away(presence))
}
