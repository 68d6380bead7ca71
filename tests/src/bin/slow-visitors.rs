//! The program `slow-visitors`: thousands of connections that never come to a point, and how long everybody else waits
//! meanwhile.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    process::{Child, Command, ExitCode},
    time::Duration,
};
use tests::{
    bosh::{Account, Url},
    slow::{Attack, Regulars, Taken, Times, attack},
};

/// Files that a manager has open besides the connections of slow visitors.
const OTHER_FILES: u64 = 200;
/// How long the attackers have to take their places, before anything is measured.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How long the manager has to forget them.
const DEPARTURE: Duration = Duration::from_secs(15);

#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Measures how long honest users wait before and during an attack, and what the manager takes.
    ///
    /// Ends with status 1 if a ping is lost, if the slowest of a hundred takes longer than it may, if the manager takes
    /// more memory than it may, or if fewer or more slow connections are open than its limits allow.
    Measure(Measure),
    /// Opens slow connections, for ever.
    #[command(hide = true)]
    Attack(Visitors),
}

#[derive(Args)]
struct Measure {
    /// The endpoint of BOSH.
    url: Url,

    /// An account, as in romeo@example.org:secret; twice.
    #[arg(long = "user", value_name = "JID:PASSWORD", required = true)]
    users: Vec<Account>,

    /// The manager's process.
    #[arg(long, value_name = "PID")]
    process: u32,

    #[command(flatten)]
    visitors: Visiting,

    /// Slow connections that the manager allows each address.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    per_address: u64,

    /// Seconds before the attack, and seconds of it, that are measured.
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    seconds: u64,

    /// Honest users.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    regulars: u8,

    /// Milliseconds that 99 of 100 pings may take at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    millis: u64,

    /// MiB of memory that the manager may take.
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    mib: u64,
}

#[derive(Args)]
struct Visitors {
    server: SocketAddr,
    #[command(flatten)]
    visiting: Visiting,
}

#[derive(Args)]
struct Visiting {
    /// Slow connections: heads, bodies, readers and silence in equal parts.
    #[arg(long, value_name = "COUNT", default_value_t = 15_000)]
    connections: u32,

    /// Addresses that they come from.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    addresses: u32,
}

/// The process of the attackers, ended when it is dropped.
struct Attackers(Child);

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Order::Measure(order) => measure(order),
        Order::Attack(order) => assail(order).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed = writeln!(io::stderr(), "slow-visitors: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn assail(Visitors { server, visiting }: Visitors) -> anyhow::Result<()> {
    let Visiting { connections, addresses } = visiting;
    attack(Attack { server, connections, addresses }).await;
    Ok(())
}

#[tokio::main]
async fn measure(order: Measure) -> anyhow::Result<bool> {
    let server: SocketAddr = order.url.address.parse().context("an address of loopback")?;
    let lab = order.url.clone().lab(order.users.clone()).map_err(anyhow::Error::msg)?;
    let mut regulars = Regulars::enter(&lab, server, order.regulars).await;
    let regulars = regulars.as_mut().map_err(|why| anyhow::anyhow!("{why}"))?;
    let time = Duration::from_secs(order.seconds);

    let before = regulars.ping(time).await;
    let alone = Taken::by(order.process)?;
    say(&format!("before  {}  {}", show(&before), taken(alone)))?;

    let attackers = Attackers::start(server, &order.visitors)?;
    regulars.ping(ARRIVAL).await;
    let during = regulars.ping(time).await;
    let full = Taken::by(order.process)?;
    say(&format!("during  {}  {}", show(&during), taken(full)))?;

    drop(attackers);
    let after = regulars.ping(time.min(DEPARTURE)).await;
    let over = Taken::by(order.process)?;
    say(&format!("after   {}  {}", show(&after), taken(over)))?;

    let Visiting { connections, addresses } = order.visitors;
    let most = u64::from(connections).min(u64::from(addresses) * order.per_address);
    let slow = full.files.saturating_sub(alone.files);
    let mut well = true;
    for (fine, wrong) in [
        (before.failures.is_empty(), "pings failed before anything happened"),
        (during.failures.is_empty() && after.failures.is_empty(), "pings failed"),
        (during.percentile(99) <= Duration::from_millis(order.millis), "pings take too long"),
        (full.resident <= order.mib << 20, "the manager takes too much memory"),
        (slow <= most + OTHER_FILES, "more connections are open than the limits allow"),
        (slow * 10 >= most * 8, "the attackers are hardly there"),
        (over.files <= alone.files + OTHER_FILES, "connections stay open when nobody is there"),
    ] {
        if !fine {
            well = false;
            say(&format!("FAIL: {wrong}"))?;
        }
    }
    for why in during.failures.iter().chain(&after.failures).take(5) {
        say(&format!("      {why}"))?;
    }
    Ok(well)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}

fn show(times: &Times) -> String {
    let millis = |percent| times.percentile(percent).as_secs_f64() * 1_000.0;
    let (count, failed) = (times.count(), times.failures.len());
    format!(
        "{count} pings, {failed} failed: p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
        millis(50),
        millis(99),
        millis(100)
    )
}

fn taken(taken: Taken) -> String {
    format!("{:.1} MiB, {} files", taken.resident as f64 / f64::from(1 << 20), taken.files)
}

impl Attackers {
    fn start(server: SocketAddr, visiting: &Visiting) -> anyhow::Result<Self> {
        let Visiting { connections, addresses } = visiting;
        // Elsewhere they have machines of their own: they are not to win this one's processors from the manager.
        let child = Command::new("nice")
            .args(["-n", "10"])
            .arg(env::current_exe()?)
            .args(["attack", &server.to_string()])
            .args(["--connections", &connections.to_string()])
            .args(["--addresses", &addresses.to_string()])
            .spawn()
            .context("the attackers")?;
        Ok(Self(child))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // It may be gone by itself.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
