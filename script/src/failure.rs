//! How a script ends that does not end well.

use crate::{ClientError, Line, Lost, Mark, Mismatch, diff};
use std::fmt;
use xmpp_core::xml::Node;

/// The action at which a script failed. Displayed, it is a report for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the action, counted from 1.
    pub line: usize,
    /// Who acted.
    pub character: String,
    /// Why it failed.
    pub cause: Cause,
    /// What was expected beside what came, where stanzas were expected, or none.
    pub diff: Vec<Line>,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The character must connect first.
    #[error("is not connected")]
    NotConnected,
    /// The character must disconnect first.
    #[error("is connected already")]
    Connected,
    /// The server has closed the stream.
    #[error("the server has closed the stream")]
    Ended,
    /// More stanzas wait to be asked for than a script can mean.
    #[error("the server sends without end")]
    Flooded,
    /// The connection gives nothing.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// There is no session.
    #[error(transparent)]
    Login(#[from] ClientError),
    /// The address of a character that has not connected yet.
    #[error("{0} was never connected: no full JID")]
    NoFullJid(String),
    /// A value that was never captured.
    #[error("nothing was captured as {0:?}")]
    NotCaptured(String),
    /// With the addresses in it, the element is not XML.
    #[error("{0}")]
    NotXml(String),
    /// Another stanza was expected.
    #[error(transparent)]
    Mismatch(Mismatch),
    /// Several stanzas were expected, in any order, and this is none of them.
    #[error("this is none of what was expected")]
    NoneOfThem,
    /// Stanzas came, but none that was expected: the nearest is shown.
    #[error("nothing came in time that is what was expected")]
    NothingLikeIt,
    /// Nothing was expected, and something came.
    #[error("expected nothing, received:")]
    Unexpected,
    /// The character left, and this was never expected (with [`Rules::Strict`](crate::Rules) only).
    #[error("received what nobody asked for:")]
    Unasked,
}

/// A cause with the lines that show it.
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) diff: Vec<Line>,
}

impl Fault {
    /// These stanzas are there or are missing, all of them.
    pub(crate) fn with<'a>(
        cause: Cause,
        mark: Mark,
        stanzas: impl IntoIterator<Item = &'a Node>,
    ) -> Self {
        let diff = stanzas.into_iter().flat_map(|stanza| diff::whole(mark, stanza)).collect();
        Self { cause, diff }
    }
}

impl<E: Into<Cause>> From<E> for Fault {
    fn from(cause: E) -> Self {
        Self { cause: cause.into(), diff: Vec::new() }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.character, self.cause)?;
        self.diff.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
