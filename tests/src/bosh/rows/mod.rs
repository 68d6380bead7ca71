//! The rows, one file a chapter, each function one story.

mod acks;
mod browsers;
mod creation;
mod delivery;
mod ends;
mod errors;
mod http;
mod keys;
mod pace;
mod rids;
mod streams;
mod wrapper;
mod xmpp;

use super::Row;

/// A row of the table: number, clause, level, rule, and the function that tells its story.
macro_rules! row {
    ($id:literal, $clause:literal, $level:ident, $rule:literal, $story:expr) => {
        $crate::bosh::Row {
            id: $id,
            clause: $clause,
            level: $crate::bosh::Level::$level,
            rule: $rule,
            story: |lab| Box::pin($story(lab)),
        }
    };
}
use row;

/// Rows after which the manager, or the server behind it, is no more.
pub(super) fn ends_the_manager(id: &str) -> bool {
    matches!(id, "25" | "28")
}

/// Rows that sit out a silence: begun first, they are over when the others are.
pub(super) fn takes_long(id: &str) -> bool {
    matches!(id, "50" | "52" | "53c" | "54a" | "54b" | "76a" | "76b" | "76c" | "84b")
}

pub(super) fn all() -> Vec<Row> {
    let chapters = [
        http::ROWS,
        wrapper::ROWS,
        creation::ROWS,
        errors::ROWS,
        delivery::ROWS,
        rids::ROWS,
        acks::ROWS,
        pace::ROWS,
        ends::ROWS,
        keys::ROWS,
        streams::ROWS,
        xmpp::ROWS,
        browsers::ROWS,
    ];
    chapters.concat()
}
