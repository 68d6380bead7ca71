//! What operators tell everybody (XEP-0133 4.23 to 4.26).

use super::{Office, ask};
use crate::{
    commands::{Call, Outcome},
    form::{Field, FieldType::TextMulti, Form},
};
use router::Router;
use std::sync::Arc;
use xmpp_core::{BareJid, Jid, Kind, Stanza, StanzaError, stanza::MessageType, xml::Writer};

pub(super) fn ask_announcement() -> Option<Form> {
    ask(
        "Making an Announcement",
        "Fill out this form to make an announcement to all who are online.",
        [Field::new(TextMulti, "announcement", "Announcement").required()],
    )
}

/// XEP-0133 4.23
pub(super) async fn announce(_office: Arc<Office>, call: Call) -> Result<Outcome, StanzaError> {
    let text = call.form.text("announcement").unwrap_or_default();
    tell_all(&call.router, &headline("Announcement", &text)).await;
    Ok(Outcome::default())
}

pub(super) fn ask_motd() -> Option<Form> {
    ask(
        "Setting the Message of the Day",
        "Fill out this form to set the message of the day: it goes to all who are online now, and to \
         everybody else when they come.",
        [Field::new(TextMulti, "motd", "Message of the Day").required()],
    )
}

/// XEP-0133 4.24
pub(super) async fn set_motd(office: Arc<Office>, call: Call) -> Result<Outcome, StanzaError> {
    let text = call.form.text("motd").unwrap_or_default();
    let at = call.router.environment().now();
    office.motd.set(Some((text.clone(), at))).await?;
    tell_all(&call.router, &of_the_day(&text)).await;
    Ok(Outcome::default())
}

/// XEP-0133 4.26
pub(super) async fn delete_motd(office: Arc<Office>, _call: Call) -> Result<Outcome, StanzaError> {
    office.motd.set(None).await?;
    Ok(Outcome::default())
}

/// The message of the day, to nobody yet.
pub(super) fn of_the_day(text: &str) -> Stanza {
    headline("Message of the Day", text)
}

/// A message that nobody keeps for who is not there (RFC 6121 5.2.2).
pub(super) fn headline(subject: &str, body: &str) -> Stanza {
    let mut out = Writer::new();
    out.open("subject").text(subject).close();
    out.open("body").text(body).close();
    Stanza::new(Kind::Message(MessageType::Headline), out.finish())
}

/// Sends a message to all available sessions, from the domain of each.
pub(super) async fn tell_all(router: &Arc<Router>, message: &Stanza) {
    for account in router.online() {
        let message = message.clone().from(domain(account.jid()));
        router
            .enter(&account, |view| {
                for seat in view.seats().iter().filter(|seat| seat.is_available()) {
                    seat.send(message.clone().to(seat.jid().clone()));
                }
            })
            .await;
    }
}

/// The server, as an account knows it.
pub(super) fn domain(account: &BareJid) -> Jid {
    Jid::new(None, account.domain(), None).expect("the domain of an address is one")
}
