//! `durable`: chat that is safe on the disk before it counts. People write to each other over TLS 1.3 with stream management
//! (XEP-0198), both ends archive, and a message is done when the server has acknowledged it. `tests/crash durable` makes the
//! table of docs/DURABILITY.md of what it prints.

use anyhow::{Context, ensure};
use bench::{
    client::{Client, Door, Target, complaint},
    load::{Latencies, Meter, Times, chat::Message, log_in, run, user},
    servers::{Kind, People, Server, Wish},
};
use bytes::BytesMut;
use clap::Parser;
use memchr::{memchr, memmem, memrchr};
use std::{
    collections::VecDeque,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Before anything is measured.
const WARM: Duration = Duration::from_secs(1);
const ENABLE: &[u8] = b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

/// Measures chat that the server acknowledges once it is on the disk.
///
/// A line for each number of pairs and of messages in flight: both, messages a second, p50 and p99 of send to acknowledge in
/// milliseconds, CPU seconds of the server for 1,000 messages, commits a second, messages in a commit, CPU seconds of this
/// program for 1,000 messages.
#[derive(Parser)]
struct Arguments {
    /// Stonechat's program.
    #[arg(long, default_value = "target/release/stonechat")]
    program: PathBuf,

    /// How many pairs chat.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    pairs: Vec<usize>,

    /// How many messages of each pair wait to be acknowledged.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    in_flight: Vec<usize>,

    /// How long each is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files")?;
    let most = arguments.pairs.iter().max().context("nobody chats")?;
    let wish = Wish {
        program: std::path::absolute(&arguments.program)?,
        archive: true,
        people: People { users: 2 * most, rings: Vec::new() },
        settings: "metrics.listen = [\"127.0.0.1:0\"]\n".into(),
    };
    let server = Server::start(Kind::Stonechat, &wish).await?;
    let log = server.log();
    let metrics = log.lines().find_map(|line| line.strip_prefix("listening metrics "));
    let metrics = metrics.context("it shows no numbers")?.to_owned();
    let measure = Duration::from_secs_f64(arguments.seconds);
    let times = Times { warm: WARM, measure, enough: 0 };
    for &pairs in &arguments.pairs {
        for &in_flight in &arguments.in_flight {
            let before = commits(&metrics).await?;
            let sent = Arc::new(AtomicU64::new(0));
            let all = pair_up(&server.target, pairs, in_flight, &sent).await?;
            let figures = run(server.group, times, all, Pair::chat).await?;
            let messages = sent.load(Relaxed) as f64 / (commits(&metrics).await? - before) as f64;
            let rate = figures.per_second();
            let quantile = |share| figures.quantile(share).context("nothing was acknowledged");
            writeln!(
                io::stdout(),
                "{pairs}\t{in_flight}\t{rate:.0}\t{:.2}\t{:.2}\t{:.4}\t{:.0}\t{messages:.1}\t{:.4}",
                quantile(0.5)?,
                quantile(0.99)?,
                figures.cpu_per_thousand(),
                rate / messages,
                figures.own_cpu * 1_000.0 / figures.done as f64,
            )?;
        }
    }
    server.stop().await
}

async fn pair_up(
    target: &Target,
    pairs: usize,
    in_flight: usize,
    sent: &Arc<AtomicU64>,
) -> anyhow::Result<Vec<Pair>> {
    let enter = |first: usize| {
        log_in(target, Door::Tls, (0..pairs).map(move |pair| user(2 * pair + first)), managed)
    };
    let (writers, readers) = (enter(0).await?, enter(1).await?);
    let pair = |(number, (writer, reader))| Pair {
        writer,
        reader,
        message: Message::to(Door::Tls, &target.domain, &user(2 * number + 1)),
        in_flight,
        unacked: VecDeque::new(),
        acked: 0,
        sent: 0,
        received: 0,
        total: sent.clone(),
    };
    Ok(writers.into_iter().zip(readers).enumerate().map(pair).collect())
}

/// Available, and both sides count.
async fn managed(mut client: Client) -> anyhow::Result<Client> {
    client.available().await?;
    client.put(ENABLE);
    client.flush().await?;
    client.expect(&["<enabled"]).await?;
    client.expect(&["/>"]).await?;
    Ok(client)
}

struct Pair {
    writer: Client,
    reader: Client,
    message: Message,
    in_flight: usize,
    /// When what is not acknowledged was sent.
    unacked: VecDeque<u64>,
    /// How many the server has acknowledged.
    acked: u32,
    sent: u32,
    received: u32,
    /// What all have sent.
    total: Arc<AtomicU64>,
}

impl Pair {
    async fn chat(mut self, meter: Meter) -> Latencies {
        let mut latencies = Vec::new();
        loop {
            let due = self.in_flight - self.unacked.len();
            if due > 0 && !meter.is_over() {
                let now = meter.now();
                for _ in 0..due {
                    self.writer.put(self.message.at(now));
                    self.unacked.push_back(now);
                }
                self.sent += u32::try_from(due)?;
                self.writer.put(REQUEST);
                self.writer.flush().await?;
            }
            if self.unacked.is_empty() && self.received == self.sent {
                self.total.fetch_add(self.sent.into(), Relaxed);
                self.writer.close().await?;
                self.reader.close().await?;
                return Ok(latencies);
            }
            tokio::select! {
                read = self.writer.read() => {
                    read?;
                    for handled in acknowledgements(&whole(&mut self.writer.inbox)?) {
                        for _ in 0..handled.wrapping_sub(self.acked) {
                            let begun = self.unacked.pop_front().context("more is acknowledged than was sent")?;
                            meter.done(begun, &mut latencies);
                        }
                        self.acked = handled;
                    }
                }
                read = self.reader.read() => {
                    read?;
                    let arrived = whole(&mut self.reader.inbox)?;
                    self.received += u32::try_from(memmem::find_iter(&arrived, b"<message ").count())?;
                    if memmem::find(&arrived, b"<r ").is_some() {
                        let answer = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.received);
                        self.reader.put(answer.as_bytes());
                        self.reader.flush().await?;
                    }
                }
            }
        }
    }
}

/// What has come up to the end of a tag.
fn whole(inbox: &mut BytesMut) -> anyhow::Result<BytesMut> {
    let arrived = inbox.split_to(memrchr(b'>', inbox).map_or(0, |end| end + 1));
    match complaint(&arrived) {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(arrived),
    }
}

/// How many stanzas the server says it has handled, each time it says so (XEP-0198 4).
fn acknowledgements(arrived: &[u8]) -> impl Iterator<Item = u32> {
    memmem::find_iter(arrived, b"<a ").filter_map(|at| {
        let tag = &arrived[at..at + memchr(b'>', &arrived[at..])?];
        let number = &tag[memmem::find(tag, b" h='")? + 4..];
        str::from_utf8(&number[..memchr(b'\'', number)?]).ok()?.parse().ok()
    })
}

/// How many commits the server's store has made.
async fn commits(metrics: &str) -> anyhow::Result<u64> {
    let mut connection = TcpStream::connect(metrics).await?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "the numbers are not shown");
    let line = answer.lines().find_map(|line| line.strip_prefix("stonechat_store_commits_total "));
    Ok(line.context("commits are not counted")?.trim().parse()?)
}
