//! The slow visitors.

use super::connect;
use crate::faults::Dice;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Between two bytes of one visitor.
const DRIP: Duration = Duration::from_secs(3);
/// Whoever was thrown out comes back after this, and up to as much again.
const RETURN: u64 = 2_000;
/// A request whose answer is longer than it is.
const REQUEST: &[u8] = b"OPTIONS /http-bind HTTP/1.1\r\nHost: x\r\n\r\n";
/// For so long it stays if it is let: longer than a server has patience.
const LIFE: Duration = Duration::from_secs(90);
/// Requests of one that asks and does not read: their answers are more than both systems keep for it.
const UNREAD: usize = 150;

/// What the visitors do together.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Where.
    pub server: SocketAddr,
    /// How many connections.
    pub connections: u32,
    /// From how many addresses, of 127.1.0.0/16.
    pub addresses: u32,
}

/// What one of them does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// The head of a request, a byte at a time.
    SlowHead,
    /// Its body.
    SlowBody,
    /// One whole request after the other, of which it reads no answer.
    SlowReader,
    /// The same, with many requests at first.
    GreedyReader,
    /// Nothing.
    Silent,
}

/// Keeps so many connections open as the server allows, for ever.
pub async fn attack(attack: Attack) {
    let mut visitors = JoinSet::new();
    for number in 0..attack.connections {
        // As many of each as of any other, but for the greedy: what they ask for at first is not slow at all.
        let manner = match number % 20 {
            0..5 => Manner::SlowHead,
            5..10 => Manner::SlowBody,
            10..14 => Manner::SlowReader,
            14 => Manner::GreedyReader,
            _ => Manner::Silent,
        };
        let [.., high, low] = (number / 20 % attack.addresses).to_be_bytes();
        let address = Ipv4Addr::new(127, 1, high, low);
        visitors.spawn(visit(manner, address, attack.server, Dice::of(&[number.into()])));
    }
    // None of them ever returns.
    visitors.join_all().await;
}

async fn visit(manner: Manner, from: Ipv4Addr, server: SocketAddr, mut dice: Dice) {
    loop {
        sleep(dice.millis(0..RETURN)).await;
        let reads = !matches!(manner, Manner::SlowReader | Manner::GreedyReader);
        // Refused, thrown out, or out of ports: all the same to it.
        let _over = match connect(from, server, reads).await {
            Ok(stream) => manner.dawdle(stream).await,
            Err(error) => Err(error),
        };
        sleep(Duration::from_millis(RETURN)).await;
    }
}

impl Manner {
    /// Until the server ends it.
    async fn dawdle(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::SlowHead => {
                stream.write_all(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nX-Slow: ").await?
            }
            Self::SlowBody => {
                let head =
                    b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n<body ";
                stream.write_all(head).await?;
            }
            Self::GreedyReader => {
                // The server may stop reading first.
                if let Ok(written) = timeout(DRIP, stream.write_all(&REQUEST.repeat(UNREAD))).await
                {
                    written?;
                }
                // It may well be let.
                return timeout(LIFE, closed(&stream)).await.unwrap_or(Ok(()));
            }
            Self::SlowReader => {
                let asking = async {
                    loop {
                        stream.write_all(REQUEST).await?;
                        sleep(DRIP).await;
                    }
                };
                return asking.await;
            }
            Self::Silent => {}
        }
        let mut next = Instant::now() + DRIP;
        let mut answer = [0; 512];
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => if read? == 0 { return Ok(()) },
                () = sleep_until(next) => {
                    next += DRIP;
                    if !matches!(self, Self::Silent) {
                        stream.write_all(b"x").await?;
                    }
                }
            }
        }
    }
}

/// Waits until the server resets a connection of which nothing is read.
async fn closed(stream: &TcpStream) -> io::Result<()> {
    loop {
        let ready = stream.ready(Interest::ERROR).await?;
        if ready.is_error() || ready.is_write_closed() {
            return Ok(());
        }
    }
}
