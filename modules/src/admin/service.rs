//! Restart and shutdown (XEP-0133 4.30, 4.31).

use super::{
    Office, ask,
    notices::{headline, tell_all},
};
use crate::{
    commands::{Call, Outcome, bad_payload},
    form::{
        Field,
        FieldType::{ListSingle, TextMulti},
        Form,
    },
};
use std::{sync::Arc, time::Duration};
use xmpp_core::StanzaError;

/// How the server ends at an operator's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process ends.
    Stop,
    /// It reads its configuration and starts anew.
    Restart,
}

/// Who can end the server.
pub trait Power: Send + Sync {
    /// Ends it after this time; a later call takes the place of an earlier one.
    fn end(&self, end: End, after: Duration);
}

/// Seconds: those of XEP-0133 4.30, and as long as it takes to read the answer.
const DELAYS: &[(&str, &str)] = &[
    ("5 seconds", "5"),
    ("30 seconds", "30"),
    ("60 seconds", "60"),
    ("90 seconds", "90"),
    ("2 minutes", "120"),
    ("3 minutes", "180"),
    ("4 minutes", "240"),
    ("5 minutes", "300"),
];

pub(super) fn ask_restart() -> Option<Form> {
    ask(
        "Restarting the Service",
        "Fill out this form to restart the service.",
        fields("Time delay before restarting"),
    )
}

pub(super) fn ask_shutdown() -> Option<Form> {
    ask(
        "Shutting Down the Service",
        "Fill out this form to shut down the service.",
        fields("Time delay before shutting down"),
    )
}

fn fields(delay: &'static str) -> [Field; 2] {
    [
        Field::new(ListSingle, "delay", delay).options(DELAYS).values(["30"]).required(),
        Field::new(TextMulti, "announcement", "Announcement"),
    ]
}

pub(super) async fn end(office: Arc<Office>, call: Call, how: End) -> Result<Outcome, StanzaError> {
    let delay = call.form.text("delay").and_then(|seconds| seconds.parse().ok());
    let delay = delay.ok_or(bad_payload("the delay is missing"))?;
    if let Some(text) = call.form.text("announcement") {
        tell_all(&call.router, &headline("Announcement", &text)).await;
    }
    office.power.end(how, Duration::from_secs(delay));
    let what = match how {
        End::Stop => "shuts down",
        End::Restart => "restarts",
    };
    let note = Some(format!("The service {what} in {delay} seconds."));
    Ok(Outcome { result: None, note })
}
