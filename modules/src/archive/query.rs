//! What a client asks of its archive: a form of filters (XEP-0313 4.1) and a page of what matches (XEP-0059).

use super::Settings;
use crate::{
    form::{Field, FieldType, Form, Submission},
    time,
};
use roster_store::{MessageId, Query};
use std::time::Duration;
use xmpp_core::{StanzaError, error::StanzaCondition, ns, xml::Node};

/// XEP-0431 3.1
const TEXT: &str = "{urn:xmpp:fulltext:0}fulltext";

/// Bytes of the messages on one page: as many as the largest stanza may have, so that a page is no more trouble to a slow client than
/// that one.
const PAGE_BYTES: usize = 262_144;

/// Words of one search: more than anybody types.
const WORDS_MAX: usize = 16;

/// What is asked, and how it is to be answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) query: Query,
    /// Whether only their number is asked for (XEP-0059 2.7).
    pub(super) count: bool,
    /// Whether the last of the page comes first (XEP-0313 4.3.4).
    pub(super) flipped: bool,
    /// What the client calls it.
    pub(super) id: Option<String>,
}

/// The form that is filled in (4.1.5).
pub(super) fn form() -> Form {
    use FieldType::{Boolean, JidSingle, ListMulti, TextSingle};
    Form::ask(ns::ARCHIVE, "Archive", "Which messages? All that is filled in has to match.")
        .with(Field::new(JidSingle, "with", "To or from"))
        .with(Field::new(TextSingle, "start", "Not before this time"))
        .with(Field::new(TextSingle, "end", "Not after this time"))
        .with(Field::new(TextSingle, "before-id", "Before this message"))
        .with(Field::new(TextSingle, "after-id", "After this message"))
        .with(Field::new(ListMulti, "ids", "These messages").open())
        .with(Field::new(Boolean, "include-groupchat", "From rooms too"))
        .with(Field::new(TextSingle, TEXT, "With these words"))
}

/// Reads a query.
///
/// # Errors
/// `feature-not-implemented` for a field that nobody has told of (4.1.5), `item-not-found` for an id that cannot be one of ours (4.1.3),
/// `bad-request` else.
pub(super) fn read(query: &Node, settings: Settings) -> Result<Asked, StanzaError> {
    // 6.1.3: accounts have no nodes yet.
    if query.attr("node").is_some() {
        return Err(StanzaError::new(StanzaCondition::ItemNotFound));
    }
    let mut asked = Asked {
        query: Query { limit: settings.page, bytes: PAGE_BYTES, ..Query::default() },
        id: query.attr("queryid").map(str::to_owned),
        flipped: query.child(ns::ARCHIVE, "flip-page").is_some(),
        ..Asked::default()
    };
    if let Some(x) = query.child(ns::DATA_FORM, "x") {
        let form = form();
        if !form.is_named_by(x) {
            return Err(bad("the form does not say that it is this one"));
        }
        if !form.knows(x) {
            return Err(StanzaError::new(StanzaCondition::FeatureNotImplemented)
                .with_text("there is no such field"));
        }
        filter(&mut asked.query, &form.read(x).map_err(|error| bad(error.0))?)?;
    }
    if let Some(set) = query.child(ns::RESULT_SETS, "set") {
        page(&mut asked, set, settings)?;
    }
    Ok(asked)
}

/// XEP-0313 4.1.1 to 4.1.4, XEP-0431 2.2
fn filter(query: &mut Query, form: &Submission) -> Result<(), StanzaError> {
    let moment = |var| match form.text(var) {
        Some(text) => time::parse(&text).map(Some).ok_or_else(|| bad("that is no time")),
        None => Ok(None),
    };
    query.with = form.jids("with").first().cloned();
    query.start = moment("start")?;
    // Times are told to the millisecond: all within the one that was told are meant.
    query.end = moment("end")?.map(|end| end + Duration::from_micros(999));
    query.after.extend(form.text("after-id").map(|id| message(&id)).transpose()?);
    query.before.extend(form.text("before-id").map(|id| message(&id)).transpose()?);
    let ids = form.texts("ids");
    if !ids.is_empty() {
        query.ids = Some(ids.iter().map(|id| message(id)).collect::<Result<_, _>>()?);
    }
    query.words = form.text(TEXT).map(|text| Query::words(&text)).unwrap_or_default();
    if query.words.len() > WORDS_MAX {
        return Err(bad("those are too many words"));
    }
    Ok(())
}

/// XEP-0059
fn page(asked: &mut Asked, set: &Node, settings: Settings) -> Result<(), StanzaError> {
    let text = |name| set.child(ns::RESULT_SETS, name).map(|child| child.text.trim());
    let query = &mut asked.query;
    if let Some(max) = text("max") {
        // Digits and nothing else, which `parse` would take too (threat X18).
        let digits = max.bytes().all(|b| b.is_ascii_digit()).then_some(max);
        let max: Option<usize> = digits.and_then(|max| max.parse().ok());
        let max = max.ok_or_else(|| bad("that is no number of messages"))?;
        query.limit = max.min(settings.page_max);
        // 2.7
        asked.count = max == 0;
    }
    if text("index").is_some() {
        // 2.6
        return Err(StanzaError::new(StanzaCondition::FeatureNotImplemented)
            .with_text("pages are known by ids, not by numbers"));
    }
    if let Some(id) = text("after").filter(|id| !id.is_empty()) {
        query.after.push(message(id)?);
    }
    if let Some(id) = text("before") {
        // 2.5: an empty one is for the last page.
        query.from_end = true;
        if !id.is_empty() {
            query.before.push(message(id)?);
        }
    }
    Ok(())
}

/// XEP-0313 4.1.3, 4.3.2: what cannot be an id is not in the archive.
fn message(id: &str) -> Result<MessageId, StanzaError> {
    id.trim().parse().map_err(|_| StanzaError::new(StanzaCondition::ItemNotFound))
}

fn bad(why: &'static str) -> StanzaError {
    StanzaError::new(StanzaCondition::BadRequest).with_text(why)
}
