//! A conformance suite for BOSH (XEP-0124, XEP-0206): any connection manager, from outside, over raw HTTP.
//!
//! A [`Row`] is one rule with the section that makes it, and a short story that shows whether it holds. Every row opens
//! sessions of its own, so rows tell their stories independently and many at a time. The suite decides by what a
//! client can see; what only the server behind the manager could tell is *not measured*, with the reason.
//!
//! Stories use the clock of tokio only and any kind of byte stream ([`Dial`]), so that the suite itself is tested
//! in memory on a paused clock (`tests/bosh_conformance`).

/// Fails the row unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::bosh::Stop::Fail(format!($($why)+)));
        }
    };
}

mod client;
pub mod loss;
mod pinger;
mod report;
mod rows;
mod url;
mod wire;

pub use client::{Account, Lab};
pub use pinger::Pinger;
pub use report::{Report, Reported};
pub use url::Url;
pub use wire::{BoxFuture, Dial, Stream, http};

use std::{fmt, io, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// How long a row may take: the longest waits for an `inactivity` of up to [`LONGEST_SILENCE`] and a few answers.
const ROW_TIME: Duration = Duration::from_secs(240);
/// Rows at one time. They mostly wait, but servers commonly allow an account ten sessions.
const AT_ONCE: usize = 7;
/// The longest `inactivity` that a row sits out.
const LONGEST_SILENCE: u64 = 150;
/// How long an answer may take where none has to be held.
const PATIENCE: Duration = Duration::from_secs(15);
/// What counts as "at once", on a machine that does other things too.
const AT_ONCE_TIME: Duration = Duration::from_secs(2);

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// MUST.
    Must,
    /// SHOULD.
    Should,
    /// MAY: whoever offers it has to do it right.
    May,
    /// Defined in a table or a sentence without a keyword.
    Defined,
    /// In no XEP, but what browsers and the open network need.
    Browsers,
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// It does not, and why.
    Fail(String),
    /// The manager does not do this, and does not have to.
    NotOffered(String),
    /// It cannot be seen from here.
    NotMeasured(String),
}

/// Why a story ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    Fail(String),
    NotOffered(String),
    NotMeasured(String),
}

type Outcome = Result<(), Stop>;

/// One rule.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its number, with a letter where one point of the protocol has several rules.
    pub id: &'static str,
    /// Where it stands.
    pub clause: &'static str,
    /// How binding it is.
    pub level: Level,
    /// What it says.
    pub rule: &'static str,
    story: fn(Arc<Lab>) -> BoxFuture<Outcome>,
}

/// All rows, by number.
pub fn rows() -> Vec<Row> {
    rows::all()
}

/// Tells the stories of these rows, and those that end the manager itself after all others.
pub async fn run(lab: Arc<Lab>, rows: Vec<Row>) -> Report {
    let (last, mut most): (Vec<_>, Vec<_>) =
        rows.into_iter().enumerate().partition(|(_, row)| rows::ends_the_manager(row.id));
    most.sort_by_key(|(_, row)| !rows::takes_long(row.id));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut stories = JoinSet::new();
    for (place, row) in most {
        let (lab, places) = (Arc::clone(&lab), Arc::clone(&places));
        stories.spawn(async move {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            (place, row, row.tell(lab).await)
        });
    }
    let mut told = stories.join_all().await;
    for (place, row) in last {
        told.push((place, row, row.tell(Arc::clone(&lab)).await));
    }
    told.sort_by_key(|(place, ..)| *place);
    let rows = told.into_iter().map(|(_, row, verdict)| Reported { row, verdict });
    Report { rows: rows.collect() }
}

impl Row {
    async fn tell(self, lab: Arc<Lab>) -> Verdict {
        match timeout(ROW_TIME, (self.story)(lab)).await {
            Ok(Ok(())) => Verdict::Pass,
            Ok(Err(Stop::Fail(why))) => Verdict::Fail(why),
            Ok(Err(Stop::NotOffered(why))) => Verdict::NotOffered(why),
            Ok(Err(Stop::NotMeasured(why))) => Verdict::NotMeasured(why),
            Err(_) => Verdict::Fail(format!("no end after {} s", ROW_TIME.as_secs())),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.id, self.clause, self.rule)
    }
}

impl Level {
    /// Whether a failure makes the manager a wrong one: of all but a SHOULD and what stands in no XEP.
    pub fn is_binding(self) -> bool {
        matches!(self, Self::Must | Self::May | Self::Defined)
    }

    /// As a word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Defined => "defined",
            Self::Browsers => "browsers",
        }
    }
}

impl Stop {
    fn fail(why: impl Into<String>) -> Self {
        Self::Fail(why.into())
    }

    fn not_offered(why: impl Into<String>) -> Self {
        Self::NotOffered(why.into())
    }

    fn not_measured(why: impl Into<String>) -> Self {
        Self::NotMeasured(why.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fail(format!("the connection: {error}"))
    }
}
