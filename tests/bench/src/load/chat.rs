//! Pairs of people, one of whom writes to the other.

use super::{Figures, Latencies, Meter, Times, log_in, run, user};
use crate::{
    client::{Client, Door, Target, complaint},
    process::Group,
    scan::{self, Scanner},
};
use anyhow::Context;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Bytes of a message as its sender writes it.
pub const MESSAGE_BYTES: usize = 170;

/// What is wrong where more arrives than is on its way.
const TWICE: &str = "a message arrives twice";

/// Who writes how much to whom.
#[derive(Debug, Clone, Copy)]
pub struct Chat {
    /// How those who write come in.
    pub from: Door,
    /// How those who read come in.
    pub to: Door,
    /// How many pairs.
    pub pairs: usize,
    /// When a message is sent.
    pub pace: Pace,
}

/// When a message is sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many are on their way in each pair: one is sent for each that arrives.
    InFlight(usize),
    /// So many a second in all, whether they arrive or not.
    Offered(u32),
}

/// Has the pairs chat.
///
/// # Errors
/// The server says that something is wrong, or messages are missing.
pub async fn chat(
    target: &Target,
    server: Group,
    times: Times,
    chat: Chat,
) -> anyhow::Result<Figures> {
    let pairs = enter(target, chat).await?;
    talk(server, times, chat, pairs).await
}

/// Logs in those who chat.
///
/// # Errors
/// One cannot.
pub async fn enter(target: &Target, chat: Chat) -> anyhow::Result<Vec<Pair>> {
    let is_floor = target.is_floor;
    let ready = move |mut client: Client| async move {
        if !is_floor {
            client.available().await?;
        }
        client.rest().await?;
        Ok(client)
    };
    let users = |side| (0..chat.pairs).map(move |pair| user(2 * pair + side));
    let writers = log_in(target, chat.from, users(0), ready).await?;
    let readers = log_in(target, chat.to, users(1), ready).await?;
    let pairs = users(1).zip(writers.into_iter().zip(readers)).map(|(to, (writer, reader))| Pair {
        writer,
        reader,
        message: Message::to(chat.from, &target.domain, &to),
        scanner: Scanner::new(Scanner::BODY),
    });
    Ok(pairs.collect())
}

/// Has those who have logged in chat, and leave.
///
/// # Errors
/// The server says that something is wrong, or messages are missing.
pub async fn talk(
    server: Group,
    mut times: Times,
    Chat { pairs, pace, .. }: Chat,
    all: Vec<Pair>,
) -> anyhow::Result<Figures> {
    match pace {
        // A slow server brings all that is on its way at once.
        Pace::InFlight(window) => times.enough = times.enough.max(5 * (pairs * window) as u64),
        // Few messages take little time, and that is measured in steps.
        Pace::Offered(_) => times.measure *= 2,
    }
    let all = all.into_iter().enumerate().collect();
    run(server, times, all, move |(number, pair), meter| async move {
        match pace {
            Pace::InFlight(window) => pair.window(window, &meter).await,
            Pace::Offered(per_second) => {
                let interval = Duration::from_secs(pairs as u64) / per_second;
                let first = interval * u32::try_from(number)? / u32::try_from(pairs)?;
                pair.interval(first, interval, &meter).await
            }
        }
    })
    .await
}

/// Two who have logged in, one of whom writes to the other.
pub struct Pair {
    writer: Client,
    reader: Client,
    message: Message,
    scanner: Scanner,
}

impl Pair {
    async fn window(mut self, window: usize, meter: &Meter) -> Latencies {
        let mut latencies = Vec::new();
        let mut due = window;
        let mut on_their_way = 0_usize;
        loop {
            if !meter.is_over() {
                let now = meter.now();
                for _ in 0..due {
                    self.writer.put(self.message.at(now));
                }
                self.writer.flush().await?;
                on_their_way += due;
            }
            if on_their_way == 0 {
                return self.end(latencies).await;
            }
            let Self { writer, reader, scanner, .. } = &mut self;
            due = receive(writer, reader, scanner, meter, &mut latencies).await?;
            on_their_way = on_their_way.checked_sub(due).context(TWICE)?;
        }
    }

    async fn interval(mut self, first: Duration, interval: Duration, meter: &Meter) -> Latencies {
        let mut latencies = Vec::new();
        let mut next = Instant::now() + first;
        let mut on_their_way = 0_usize;
        while !meter.is_over() || on_their_way > 0 {
            tokio::select! {
                () = sleep_until(next) => {
                    if !meter.is_over() {
                        self.writer.put(self.message.at(meter.now()));
                        self.writer.flush().await?;
                        on_their_way += 1;
                    }
                    next += interval;
                }
                arrived = receive(&mut self.writer, &mut self.reader, &self.scanner, meter, &mut latencies) => {
                    on_their_way = on_their_way.checked_sub(arrived?).context(TWICE)?;
                }
            }
        }
        self.end(latencies).await
    }

    async fn end(self, latencies: Vec<f32>) -> Latencies {
        self.writer.close().await?;
        self.reader.close().await?;
        Ok(latencies)
    }
}

/// Waits for whatever comes next; gives how many messages that was.
async fn receive(
    writer: &mut Client,
    reader: &mut Client,
    scanner: &Scanner,
    meter: &Meter,
    latencies: &mut Vec<f32>,
) -> anyhow::Result<usize> {
    tokio::select! {
        read = reader.read() => read?,
        read = writer.read() => {
            read?;
            if let Some(error) = complaint(&writer.inbox) {
                anyhow::bail!("{error}");
            }
            writer.inbox.clear();
        }
    }
    let mut arrived = 0;
    scanner.take(&mut reader.inbox, |stamp| {
        if meter.knows(stamp) {
            meter.done(stamp, latencies);
            arrived += 1;
        }
    });
    Ok(arrived)
}

/// Messages to one recipient, all of the same length.
#[derive(Debug, Clone)]
pub struct Message {
    to: String,
    text: String,
    number: u64,
    bytes: Vec<u8>,
}

impl Message {
    /// To the bare address of this user; over WebSocket and BOSH it declares its namespace.
    #[must_use]
    pub fn to(door: Door, domain: &str, user: &str) -> Self {
        let namespace = match door {
            Door::Tcp | Door::Tls => "",
            Door::WebSocket | Door::Bosh => " xmlns='jabber:client'",
        };
        let to = format!("<message{namespace} to='{user}@{domain}' type='chat' id='");
        let mut this = Self { to, text: String::new(), number: 0, bytes: Vec::new() };
        let missing = MESSAGE_BYTES.saturating_sub(this.at(0).len());
        this.text = " but soft, what light through yonder window breaks? "
            .chars()
            .cycle()
            .take(missing)
            .collect();
        this
    }

    /// One that is sent at this time.
    pub fn at(&mut self, stamp: u64) -> &[u8] {
        self.number += 1;
        self.bytes.clear();
        self.bytes.extend_from_slice(self.to.as_bytes());
        scan::put(&mut self.bytes, self.number);
        self.bytes.extend_from_slice(b"'>");
        self.bytes.extend_from_slice(Scanner::BODY.as_bytes());
        scan::put(&mut self.bytes, stamp);
        self.bytes.extend_from_slice(self.text.as_bytes());
        self.bytes.extend_from_slice(b"</body></message>");
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_length_that_is_told_and_differ() {
        for door in [Door::Tcp, Door::Bosh] {
            let mut message = Message::to(door, "localhost", "u00001");
            let first = message.at(1).to_vec();
            assert_eq!(first.len(), MESSAGE_BYTES, "{}", String::from_utf8_lossy(&first));
            assert_ne!(first, message.at(1));
        }
    }
}
