//! The table, one family a file.

pub mod bosh;
pub mod clauses;
pub mod login;
pub mod names;
pub mod numbers;
pub mod register;
pub mod scram;
pub mod stanza;
pub mod stream;
pub mod utf8;
pub mod xml;

use crate::case::Case;

/// Why a case is not for BOSH.
pub const OWN_HEADER: &str = "the connection manager writes the stream header itself";
/// Why a case is not for BOSH.
pub const UNFINISHED: &str = "an HTTP body is complete, or is not read at all";

/// Every case there is.
pub fn all() -> Vec<Case> {
    [
        xml::cases(),
        names::cases(),
        utf8::cases(),
        stream::cases(),
        login::cases(),
        scram::cases(),
        stanza::cases(),
        bosh::cases(),
        numbers::cases(),
        clauses::cases(),
        register::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A message to the bystander with this in its body.
pub fn message(inside: &str) -> String {
    format!("<message to='nurse@capulet.lit'><body>{inside}</body></message>")
}

/// A stream header with these further attributes.
pub fn stream(attributes: &str) -> String {
    format!(
        "<stream:stream to='capulet.lit' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'{attributes}>"
    )
}
