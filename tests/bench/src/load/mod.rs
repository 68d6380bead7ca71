//! Work for a server, and what it took.
//!
//! Each piece of work is many tasks that go on until they are told to stop, see [`Meter`]: they warm up, are measured for a
//! while, and then wait for what is still on its way, so that nothing of it meets the next work.

pub mod chat;
pub mod idle;
pub mod login;
pub mod ping_pong;
pub mod presence;

use crate::{
    client::{Client, Door, Target},
    process::{self, Group},
};
use anyhow::{Context, bail};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{task::JoinSet, time::timeout};

/// Logins at a time while work is prepared.
const LOGINS: usize = 16;
/// How long the tasks may take to come to an end.
const DRAIN: Duration = Duration::from_secs(20);

/// How long work lasts.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Before anything is measured.
    pub warm: Duration,
    /// While it is measured. Work of which less than [`enough`](Self::enough) was done goes on up to three times as long.
    pub measure: Duration,
    /// How much has to be done for figures that mean something.
    pub enough: u64,
}

/// What work took.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Messages, stanzas of presence or logins that were done while it was measured.
    pub done: u64,
    /// Seconds of that.
    pub seconds: f64,
    /// Seconds of processor time of the server.
    pub server_cpu: f64,
    /// Seconds of processor time of the generator.
    pub own_cpu: f64,
    /// How long each took, in milliseconds, in order.
    pub latencies: Vec<f32>,
}

impl Figures {
    /// The server's processor time for a thousand of what was done, in seconds.
    #[must_use]
    pub fn cpu_per_thousand(&self) -> f64 {
        self.server_cpu * 1_000.0 / self.done as f64
    }

    /// How many were done in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// The latency that this share of all did not exceed, in milliseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = (last as f64 * share).round() as usize;
        Some(self.latencies[at].into())
    }
}

/// What the tasks of one piece of work share: the time, the phase, and how much was done.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Nanoseconds since 1970 at `epoch`: no two pieces of work have times in common.
    first: u64,
    epoch: Instant,
    phase: AtomicU8,
    done: AtomicU64,
}

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

impl Meter {
    fn new() -> Self {
        let first = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        Self(Arc::new(Shared {
            first: nanoseconds(first),
            epoch: Instant::now(),
            phase: AtomicU8::new(WARM),
            done: AtomicU64::new(0),
        }))
    }

    /// The time, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.first + nanoseconds(self.0.epoch.elapsed())
    }

    /// Whether this time was in this piece of work. What a client over BOSH did not acknowledge before it left, comes again to the
    /// next one, which is as it should be.
    #[must_use]
    pub fn knows(&self, time: u64) -> bool {
        time >= self.0.first
    }

    /// Whether no more work should be begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.phase.load(Relaxed) == STOP
    }

    /// Something was done that was begun at this time.
    pub fn done(&self, begun: u64, latencies: &mut Vec<f32>) {
        self.0.done.fetch_add(1, Relaxed);
        if self.0.phase.load(Relaxed) == MEASURE {
            latencies.push(self.now().saturating_sub(begun) as f32 / 1e6);
        }
    }
}

/// What a task gives at its end: how long what it did took, in milliseconds.
pub type Latencies = anyhow::Result<Vec<f32>>;

/// Runs these tasks and measures the server meanwhile. Each gets the meter; it ends once that is over.
///
/// # Errors
/// A task fails, or one does not end.
pub async fn run<T, F>(
    server: Group,
    times: Times,
    tasks: Vec<T>,
    work: impl Fn(T, Meter) -> F,
) -> anyhow::Result<Figures>
where
    F: Future<Output = Latencies> + Send + 'static,
{
    let meter = Meter::new();
    let mut running = JoinSet::new();
    for task in tasks {
        running.spawn(work(task, meter.clone()));
    }
    undisturbed(&mut running, times.warm).await?;
    let look = || anyhow::Ok((meter.0.done.load(Relaxed), server.cpu()?, process::own_cpu()?));
    meter.0.phase.store(MEASURE, Relaxed);
    let (begun, before) = (Instant::now(), look()?);
    while begun.elapsed() < times.measure
        || meter.0.done.load(Relaxed) - before.0 < times.enough
            && begun.elapsed() < 3 * times.measure
    {
        undisturbed(&mut running, times.measure / 10).await?;
    }
    let (seconds, after) = (begun.elapsed().as_secs_f64(), look()?);
    meter.0.phase.store(STOP, Relaxed);
    let mut latencies = Vec::new();
    let ends = async {
        while let Some(end) = running.join_next().await {
            latencies.extend(end??);
        }
        anyhow::Ok(())
    };
    timeout(DRAIN, ends).await.context("what was sent does not all arrive")??;
    latencies.sort_unstable_by(f32::total_cmp);
    let done = after.0 - before.0;
    anyhow::ensure!(done > 0, "nothing was done");
    Ok(Figures {
        done,
        seconds,
        server_cpu: (after.1 - before.1).as_secs_f64(),
        own_cpu: (after.2 - before.2).as_secs_f64(),
        latencies,
    })
}

/// Logs in these users, some at a time; `prepare` is done with each.
///
/// # Errors
/// One cannot.
pub async fn log_in<F>(
    target: &Target,
    door: Door,
    users: impl IntoIterator<Item = String>,
    prepare: impl Fn(Client) -> F + Clone + Send + 'static,
) -> anyhow::Result<Vec<Client>>
where
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let mut clients = Vec::new();
    let mut entering = JoinSet::new();
    let mut entered = |one: Result<anyhow::Result<(usize, Client)>, tokio::task::JoinError>| {
        clients.push(one??);
        anyhow::Ok(())
    };
    for (number, user) in users.into_iter().enumerate() {
        if entering.len() == LOGINS
            && let Some(one) = entering.join_next().await
        {
            entered(one)?;
        }
        let (target, prepare) = (target.clone(), prepare.clone());
        entering.spawn(async move {
            let client = Client::login(&target, door, &user, "bench").await?;
            Ok((number, prepare(client).await?))
        });
    }
    while let Some(one) = entering.join_next().await {
        entered(one)?;
    }
    clients.sort_unstable_by_key(|(number, _)| *number);
    Ok(clients.into_iter().map(|(_, client)| client).collect())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("five hundred years")
}

/// The name of an account that every server has, see [`crate::servers`].
#[must_use]
pub fn user(number: usize) -> String {
    format!("u{number:05}")
}

/// Waits, unless a task ends, which none should.
async fn undisturbed(running: &mut JoinSet<Latencies>, time: Duration) -> anyhow::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        Some(end) = running.join_next() => {
            end??;
            bail!("a task ends before its time")
        }
    }
}
