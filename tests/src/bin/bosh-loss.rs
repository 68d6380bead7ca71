//! The program `bosh-loss`: two people talk through a broken network and a connection manager, and nothing that they say
//! may be lost, doubled or out of order.

use anyhow::Context;
use clap::Parser;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use tests::{
    bosh::{
        Account, Lab, Url, http,
        loss::{Outcome, run},
    },
    faults::{FaultProxy, Toxics},
};
use tokio::{net::lookup_host, sync::Semaphore, task::JoinSet};

/// Has two accounts send messages to each other through a BOSH connection manager and a network that loses responses,
/// cuts connections, delays and reorders requests, and says whether each message arrived once and in order.
///
/// Needs two accounts of one domain, and a server that allows each of them as many sessions as there are seeds at once
/// and does not limit their rate. Ends with status 1 if anything was lost, doubled or out of order.
#[derive(Parser)]
#[command(version, args_override_self = true)]
struct Arguments {
    /// The endpoint: http://HOST:PORT/PATH or https://…
    url: Url,

    /// An account, as in romeo@example.org:secret; twice.
    #[arg(long = "user", value_name = "JID:PASSWORD", required = true)]
    users: Vec<Account>,

    /// The first seed. What goes wrong with each request and connection follows from it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// How many seeds, one after the other from the first.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    seeds: u64,

    /// Messages each way for each seed.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    messages: u64,

    /// Seeds at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    at_once: usize,
}

fn main() -> ExitCode {
    match lose(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed = writeln!(io::stderr(), "bosh-loss: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn lose(arguments: Arguments) -> anyhow::Result<bool> {
    let Arguments { url, users, seed, seeds, messages, at_once } = arguments;
    let server = lookup_host(&url.address).await.with_context(|| url.address.clone())?.next();
    let server = server.with_context(|| format!("{}: no address", url.address))?;
    let https = url.https;
    let lab = Arc::new(url.lab(users).map_err(anyhow::Error::msg)?);
    let start = Instant::now();
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for seed in seed..seed + seeds {
        let (lab, places) = (Arc::clone(&lab), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            one(&lab, server, https, seed, messages).await
        });
    }
    let mut sum = Sum::default();
    while let Some(done) = running.join_next().await {
        let outcome = done??;
        writeln!(io::stdout(), "{outcome}").context("standard output")?;
        sum.add(outcome);
    }
    let Sum { failed, arrived, requests } = sum;
    let (seconds, sent) = (start.elapsed().as_secs_f32(), requests.values().sum::<u64>());
    let kinds: Vec<_> = requests.iter().map(|(word, count)| format!("{count} {word}")).collect();
    writeln!(
        io::stdout(),
        "\n{seeds} seeds from {seed}, {failed} failed: {arrived} messages in {sent} requests ({}), {seconds:.1} s",
        kinds.join(", ")
    )
    .context("standard output")?;
    Ok(failed == 0)
}

/// One seed, through a network of its own.
async fn one(
    lab: &Arc<Lab>,
    server: SocketAddr,
    https: bool,
    seed: u64,
    messages: u64,
) -> io::Result<Outcome> {
    let proxy = FaultProxy::start(server, move |connection| Toxics::of(seed, connection)).await?;
    let network = http(proxy.address().to_string(), https);
    Ok(run(lab, network, seed, messages).await)
}

#[derive(Default)]
struct Sum {
    failed: u64,
    arrived: u64,
    requests: BTreeMap<&'static str, u64>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.failed += u64::from(outcome.wrong.is_some());
        self.arrived += outcome.arrived.iter().sum::<u64>();
        for (word, count) in outcome.requests {
            *self.requests.entry(word).or_default() += count;
        }
    }
}
