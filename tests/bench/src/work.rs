//! All that is measured.

use crate::{
    client::Door,
    load::{
        Figures, Times,
        chat::{Chat, Pace, chat},
        idle::{WARM, idle, settle},
        login::logins,
        ping_pong::ping_pong,
        presence::{Ring, presence},
    },
    servers::{Kind, People, Server},
};
use std::{collections::BTreeMap, fmt};

/// The people of [`Task::Presence`].
pub const RING: Ring = Ring { prefix: 'p', people: 100, contacts: 20, away: 0 };

/// Most pairs of any chat.
const MOST_PAIRS: usize = 250;

/// One piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Its name on the command line and in files.
    pub key: &'static str,
    /// What is done.
    pub title: &'static str,
    /// What is done, exactly.
    pub task: Task,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// People write to each other.
    Chat(Chat),
    /// The same, and both ends archive it.
    Archived(Chat),
    /// People answer each other.
    PingPong {
        /// How they come in.
        door: Door,
        /// How many pairs.
        pairs: usize,
    },
    /// People of [`RING`] change their presence.
    Presence,
    /// Clients log in and leave.
    Login,
    /// Nobody is there.
    Empty,
    /// Sessions do nothing.
    Idle(Door),
}

/// What is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Seconds of the server's processor time for a thousand.
    Cpu,
    /// The median of latencies, in milliseconds.
    P50,
    /// What 99 of 100 latencies do not exceed, in milliseconds.
    P99,
    /// How many were done in a second.
    Rate,
    /// Bytes of memory, of one session or of all.
    Memory,
    /// Seconds of the generator's own processor time for a thousand.
    Generator,
}

/// What came of it.
pub type Outcome = BTreeMap<Metric, f64>;

const fn pairs(door: Door, pairs: usize, pace: Pace) -> Chat {
    Chat { from: door, to: door, pairs, pace }
}

/// All of it, in the order of the table. What measures memory has a server of its own.
pub const ALL: &[Work] = &[
    Work { key: "empty", title: "empty server", task: Task::Empty },
    Work {
        key: "chat",
        title: "chat, 100 pairs, 16 in flight, plain TCP",
        task: Task::Chat(pairs(Door::Tcp, 100, Pace::InFlight(16))),
    },
    Work {
        key: "chat-tls",
        title: "chat, 100 pairs, 16 in flight, TLS 1.3",
        task: Task::Chat(pairs(Door::Tls, 100, Pace::InFlight(16))),
    },
    Work {
        key: "chat-single",
        title: "chat, 100 pairs, 1 in flight",
        task: Task::Chat(pairs(Door::Tcp, 100, Pace::InFlight(1))),
    },
    Work {
        key: "chat-offered",
        title: "chat, 100 pairs, 500 messages a second offered",
        task: Task::Chat(pairs(Door::Tcp, 100, Pace::Offered(500))),
    },
    Work {
        key: "presence",
        title: "presence to 20 contacts each, 100 people",
        task: Task::Presence,
    },
    Work {
        key: "bosh-push",
        title: "BOSH, push into held requests, 50 pairs, 200 a second offered",
        task: Task::Chat(Chat {
            from: Door::Tcp,
            to: Door::Bosh,
            pairs: 50,
            pace: Pace::Offered(200),
        }),
    },
    Work {
        key: "bosh-ping-pong",
        title: "BOSH ping-pong, 50 pairs",
        task: Task::PingPong { door: Door::Bosh, pairs: 50 },
    },
    Work {
        key: "bosh-chat",
        title: "BOSH chat, 250 pairs, 1 in flight",
        task: Task::Chat(pairs(Door::Bosh, 250, Pace::InFlight(1))),
    },
    Work {
        key: "bosh-round-trip",
        title: "BOSH round trip, 1 pair",
        task: Task::PingPong { door: Door::Bosh, pairs: 1 },
    },
    Work {
        key: "websocket-chat",
        title: "WebSocket chat, 100 pairs, 16 in flight",
        task: Task::Chat(pairs(Door::WebSocket, 100, Pace::InFlight(16))),
    },
    Work { key: "login", title: "login: STARTTLS, SCRAM-SHA-1, bind", task: Task::Login },
    Work {
        key: "highest",
        title: "highest load held, 100 pairs, 64 in flight",
        task: Task::Chat(pairs(Door::Tcp, 100, Pace::InFlight(64))),
    },
    Work {
        key: "chat-archived",
        title: "chat, 100 pairs, 16 in flight, archives on both sides",
        task: Task::Archived(pairs(Door::Tcp, 100, Pace::InFlight(16))),
    },
    Work { key: "idle", title: "idle session, plain TCP", task: Task::Idle(Door::Tcp) },
    Work { key: "idle-tls", title: "idle session, TLS", task: Task::Idle(Door::Tls) },
    Work {
        key: "idle-websocket",
        title: "idle session, WebSocket",
        task: Task::Idle(Door::WebSocket),
    },
    Work {
        key: "idle-bosh",
        title: "idle session, BOSH with its held request",
        task: Task::Idle(Door::Bosh),
    },
];

impl Work {
    /// The piece with this name.
    #[must_use]
    pub fn named(key: &str) -> Option<&'static Self> {
        ALL.iter().find(|work| work.key == key)
    }

    /// Whether messages are archived.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        matches!(self.task, Task::Archived(_))
    }

    /// Whether it needs a server that has done nothing else, and is done in one round only: memory varies little.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(self.task, Task::Idle(_) | Task::Empty)
    }

    /// The people that it needs, where it is to measure so many idle sessions.
    #[must_use]
    pub fn people(&self, sessions: usize) -> People {
        match self.task {
            Task::Empty => People { users: 0, rings: Vec::new() },
            Task::Idle(_) => People { users: sessions + WARM, rings: Vec::new() },
            _ => People { users: 2 * MOST_PAIRS, rings: vec![RING] },
        }
    }

    /// Whether this server can do it.
    #[must_use]
    pub fn is_for(&self, kind: Kind) -> bool {
        let over_tcp = matches!(
            self.task,
            Task::Chat(Chat { from: Door::Tcp, to: Door::Tcp, .. }) | Task::Idle(Door::Tcp)
        );
        kind != Kind::Floor || over_tcp
    }

    /// Does it, with so many sessions where it has no number of its own.
    ///
    /// # Errors
    /// The server does not do it as it should.
    pub async fn run(
        &self,
        server: &Server,
        times: Times,
        sessions: usize,
    ) -> anyhow::Result<Outcome> {
        let Server { target, group, .. } = server;
        let figures = match self.task {
            Task::Chat(plan) | Task::Archived(plan) => chat(target, *group, times, plan).await?,
            Task::PingPong { door, pairs } => ping_pong(target, *group, times, door, pairs).await?,
            Task::Presence => presence(target, *group, times, &RING).await?,
            Task::Login => logins(target, *group, times, Door::Tls).await?,
            Task::Empty => {
                settle(*group).await?;
                return Ok(Outcome::from([(Metric::Memory, group.memory()? as f64)]));
            }
            Task::Idle(door) => {
                let (taken, sessions) = idle(target, *group, door, sessions).await?;
                drop(sessions);
                return Ok(Outcome::from([(Metric::Memory, taken.per_session())]));
            }
        };
        Ok(outcome(&figures))
    }
}

/// All that is measured of work that takes time.
#[must_use]
pub fn outcome(figures: &Figures) -> Outcome {
    let mut outcome = Outcome::from([
        (Metric::Cpu, figures.cpu_per_thousand()),
        (Metric::Rate, figures.per_second()),
        (Metric::Generator, figures.own_cpu * 1_000.0 / figures.done as f64),
    ]);
    for (metric, share) in [(Metric::P50, 0.5), (Metric::P99, 0.99)] {
        outcome.extend(figures.quantile(share).map(|latency| (metric, latency)));
    }
    outcome
}

impl Metric {
    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_seconds_per_thousand",
            Self::P50 => "p50_ms",
            Self::P99 => "p99_ms",
            Self::Rate => "per_second",
            Self::Memory => "bytes",
            Self::Generator => "generator_cpu_seconds_per_thousand",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU s per 1,000",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::Rate => "a second",
            Self::Memory => "KiB",
            Self::Generator => "generator's CPU s per 1,000",
        })
    }
}
