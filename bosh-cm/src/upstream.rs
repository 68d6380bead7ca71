//! The way to the XMPP server.

mod servers;

pub use servers::{Place, Protection, Servers, Trust, Way};

use crate::session::Condition;
pub use crate::session::Destination;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    future::Future,
    io,
    mem::MaybeUninit,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// How long connecting may take, to all targets together.
const CONNECT: Duration = Duration::from_secs(20);
/// How long the server may take to read the end of a stream and close its side.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ: usize = 16_384;

/// Where a session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// The browser's address, as the HTTP listener or a trusted proxy tells it.
    pub address: Option<IpAddr>,
    /// Whether the HTTP connection counts as secure: HTTPS, loopback, or a trusted proxy says so.
    pub secure: bool,
}

/// A stream to an XMPP server.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// What [`Upstream::connect`] gives.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Pipe>>> + Send + 'a>>;

/// Opens streams to XMPP servers.
pub trait Upstream: Send + Sync + 'static {
    /// A connected byte stream for this domain, ready for a stream header. An error is
    /// `remote-connection-failed`; [`io::ErrorKind::NotFound`] is `host-unknown`.
    fn connect(&self, to: &Destination, visitor: Visitor) -> Connecting<'_>;
}

/// A session's connection to its server, from the first attempt on; or another stream that is written by turns.
pub(crate) struct Line {
    state: State,
    output: VecDeque<Bytes>,
    /// Whether something was written that may still stand in a buffer of the connection's own, such as TLS has.
    unflushed: bool,
}

enum State {
    Connecting(Connecting<'static>),
    Open(Box<dyn Pipe>),
    Gone,
}

/// What a [`Line`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Did {
    /// Read something into the input.
    Read,
    /// Wrote so many bytes.
    Wrote(usize),
    /// Did not get a connection.
    Fail(Condition),
    /// Lost the connection.
    Close,
}

impl Line {
    /// Connects, for at most [`CONNECT`].
    pub(crate) fn open(upstream: Arc<dyn Upstream>, to: Destination, visitor: Visitor) -> Self {
        let connecting = async move {
            let connecting = upstream.connect(&to, visitor);
            timeout(CONNECT, connecting).await.unwrap_or_else(|late| Err(late.into()))
        };
        Self::new(State::Connecting(Box::pin(connecting)))
    }

    /// Over a connection that is there.
    pub(crate) fn over(pipe: Box<dyn Pipe>) -> Self {
        Self::new(State::Open(pipe))
    }

    fn new(state: State) -> Self {
        Self { state, output: VecDeque::new(), unflushed: false }
    }

    /// Queues bytes for the other end.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.output.push_back(bytes);
    }

    /// Writes what is queued, ends the stream and waits for the other end's: closing a socket with unread
    /// input would reset it, and take what was just written with it.
    pub(crate) async fn close(self) {
        let State::Open(mut pipe) = self.state else { return };
        let goodbye = async {
            for bytes in self.output {
                pipe.write_all(&bytes).await?;
            }
            pipe.shutdown().await?;
            let mut rest = [0; 1024];
            while pipe.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(LINGER, goodbye).await {
            tracing::debug!(%error, "the other end was gone before its stream was closed");
        }
    }

    /// Does one thing: connects, writes what is queued, or reads if `reads`.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reads: bool,
        input: &mut BytesMut,
    ) -> Poll<Did> {
        if let State::Connecting(connecting) = &mut self.state {
            match ready!(connecting.as_mut().poll(cx)) {
                Ok(pipe) => self.state = State::Open(pipe),
                Err(error) => {
                    self.state = State::Gone;
                    tracing::warn!(%error, "no connection to the server");
                    return Poll::Ready(Did::Fail(match error.kind() {
                        io::ErrorKind::NotFound => Condition::HostUnknown,
                        _ => Condition::RemoteConnectionFailed,
                    }));
                }
            }
        }
        let State::Open(pipe) = &mut self.state else { return Poll::Pending };
        let mut done = write(pipe, &mut self.output, cx);
        self.unflushed |= done.is_ready();
        // Where nothing is read, too: by that the other end gets on, if it is in this very task.
        if (self.unflushed || !reads) && self.output.is_empty() && done.is_pending() {
            match Pin::new(&mut *pipe).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => done = Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if reads && done.is_pending() {
            done = read(pipe, input, cx);
        }
        done.map(|done| {
            done.unwrap_or_else(|error| {
                tracing::debug!(%error, "the connection broke");
                self.state = State::Gone;
                Did::Close
            })
        })
    }
}

/// Writes from the front of the queue, several pieces at once where the connection can.
fn write(
    pipe: &mut Box<dyn Pipe>,
    output: &mut VecDeque<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Did>> {
    if output.is_empty() {
        return Poll::Pending;
    }
    let mut slices = [io::IoSlice::new(&[]); 16];
    for (slice, bytes) in slices.iter_mut().zip(output.iter()) {
        *slice = io::IoSlice::new(bytes);
    }
    let used = output.len().min(slices.len());
    let wrote = ready!(Pin::new(pipe).poll_write_vectored(cx, &slices[..used]))?;
    if wrote == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    let mut left = wrote;
    while let Some(front) = output.front_mut().filter(|front| left >= front.len()) {
        left -= front.len();
        output.pop_front();
    }
    if let Some(front) = output.front_mut() {
        front.advance(left);
    }
    Poll::Ready(Ok(Did::Wrote(wrote)))
}

fn read(
    pipe: &mut Box<dyn Pipe>,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Did>> {
    if input.is_empty() {
        // An idle session keeps no buffer.
        *input = BytesMut::new();
    }
    let mut chunk = [MaybeUninit::uninit(); READ];
    let mut chunk = ReadBuf::uninit(&mut chunk);
    ready!(Pin::new(pipe).poll_read(cx, &mut chunk))?;
    input.extend_from_slice(chunk.filled());
    Poll::Ready(Ok(if chunk.filled().is_empty() { Did::Close } else { Did::Read }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn x04_an_idle_line_keeps_no_buffer() {
        let (mut server, near) = tokio::io::duplex(64);
        let mut line = Line::over(Box::new(near));
        let mut input = BytesMut::new();
        server.write_all(b"<r/>").await.expect("room for it");
        assert_eq!(poll_fn(|cx| line.poll(cx, true, &mut input)).await, Did::Read);
        assert_eq!(input.split_to(2), "<r");
        server.write_all(b"<a/>").await.expect("room for it");
        assert_eq!(poll_fn(|cx| line.poll(cx, true, &mut input)).await, Did::Read);
        assert_eq!(input.split(), "/><a/>");
        tokio::select! {
            biased;
            did = poll_fn(|cx| line.poll(cx, true, &mut input)) => panic!("{did:?}"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(input.capacity(), 0);
    }
}
