//! What becomes of the cost of a message and of a session as there are more of them, or more contacts.

use crate::{
    client::Door,
    load::{
        Times,
        chat::{self, Chat, Pace},
        idle::{WARM, settle, warm},
        presence::{self, Ring},
    },
    servers::{Kind, People, Server, Wish},
};
use anyhow::Context;
use std::path::Path;

/// Messages a second in all, however many sessions there are: what the slowest server can do.
const OFFERED: u32 = 500;
/// How many people have a roster of the size that is tried.
const PEOPLE: usize = 12;
/// How many of its contacts are there; all others never are.
const PRESENT: usize = 10;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Sessions: half of them write to the other half, [`OFFERED`] messages a second in all.
    Sessions,
    /// Contacts in a roster, ten of whom are there and see every change of presence.
    Contacts,
}

/// One point.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// What grows.
    pub what: What,
    /// Which server.
    pub kind: Kind,
    /// How much of it there is.
    pub size: usize,
    /// Seconds of processor time for a thousand messages, or changes that one contact sees.
    pub cpu: f64,
    /// Bytes for one session.
    pub memory: f64,
}

impl What {
    /// What is tried.
    #[must_use]
    pub fn sizes(self) -> &'static [usize] {
        match self {
            // 20,000 files are often the most that one process may have.
            Self::Sessions => &[100, 1_000, 5_000, 15_000],
            Self::Contacts => &[10, 100, 1_000, 5_000],
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Contacts => "contacts",
        }
    }
}

/// Tries one size with one server.
///
/// # Errors
/// The server does not do as it should.
pub async fn grow(
    program: &Path,
    kind: Kind,
    what: What,
    size: usize,
    times: Times,
) -> anyhow::Result<Point> {
    let ring =
        Ring { prefix: 'r', people: PEOPLE, contacts: PRESENT, away: size.saturating_sub(PRESENT) };
    let people = match what {
        What::Sessions => People { users: size + WARM, rings: Vec::new() },
        What::Contacts => People { users: ring.away + WARM, rings: vec![ring] },
    };
    let wish =
        Wish { program: program.to_owned(), archive: false, people, settings: String::new() };
    let server = Server::start(kind, &wish).await.with_context(|| kind.name())?;
    let Server { target, group, .. } = &server;
    let others = match what {
        What::Sessions => size,
        What::Contacts => ring.away,
    };
    let _others = warm(target, *group, Door::Tcp, others).await?;
    let before = group.memory()?;
    let (memory, figures) = match what {
        What::Sessions => {
            let pace = Pace::Offered(OFFERED);
            let chat = Chat { from: Door::Tcp, to: Door::Tcp, pairs: size / 2, pace };
            let pairs = chat::enter(target, chat).await?;
            settle(*group).await?;
            let memory = (group.memory()? as f64 - before as f64) / size as f64;
            (memory, chat::talk(*group, times, chat, pairs).await?)
        }
        What::Contacts => {
            let people = presence::enter(target, &ring).await?;
            settle(*group).await?;
            let memory = (group.memory()? as f64 - before as f64) / PEOPLE as f64;
            (memory, presence::change(*group, times, &ring, people).await?)
        }
    };
    server.stop().await?;
    Ok(Point { what, kind, size, cpu: figures.cpu_per_thousand(), memory })
}
