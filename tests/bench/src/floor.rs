//! The floor: a process that forwards what one of two sockets says to the other, unread. No server can need less.
//!
//! Each connection begins with a line, the name of a [user](crate::load::user), which is answered by [`READY`]. What comes from one
//! with an even number goes to the one with the next number, if that comes later.

use anyhow::Context;
use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// Says that a connection is known.
pub const READY: &str = "ready\n";
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Those who wait for the connection with this number.
type Waiting = Arc<Mutex<HashMap<usize, oneshot::Sender<TcpStream>>>>;

/// Forwards on this port of loopback until the process ends; the other one is open as well, so that it looks like a server.
///
/// # Errors
/// A port is taken.
pub async fn serve(c2s: u16, http: u16) -> anyhow::Result<()> {
    let _http = TcpListener::bind((Ipv4Addr::LOCALHOST, http)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, c2s)).await?;
    let waiting = Waiting::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let waiting = Arc::clone(&waiting);
        // A broken connection is the end of its pair and of nothing else.
        tokio::spawn(async move { connection(stream, waiting).await.is_ok() });
    }
}

async fn connection(mut stream: TcpStream, waiting: Waiting) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let number = name(&mut stream).await?;
    let writer = number & !1;
    let waiting = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if number != writer {
        let there = waiting().remove(&writer);
        stream.write_all(READY.as_bytes()).await?;
        if let Some(there) = there {
            return there.send(stream).ok().context("the other one has gone");
        }
        // It is here to be idle.
        stream.read_u8().await?;
        return Ok(());
    }
    let (there, other) = oneshot::channel();
    waiting().insert(writer, there);
    stream.write_all(READY.as_bytes()).await?;
    let mut byte = [0];
    let mut reader = tokio::select! {
        other = other => other?,
        // Nothing is said before both are there: it is the end.
        _ = stream.peek(&mut byte) => return Ok(()),
    };
    // A buffer once there is something to put into it: sessions that say nothing cost as little as they can.
    stream.peek(&mut byte).await?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => reader.write_all(&buffer[..read]).await?,
        }
    }
}

/// The number at the end of the first line.
async fn name(stream: &mut TcpStream) -> io::Result<usize> {
    let mut name = String::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => name.push(byte.into()),
        }
    }
    name[1..].parse().map_err(io::Error::other)
}
