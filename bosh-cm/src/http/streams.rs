//! The streams of one HTTP/2 connection, and what they may not do to it (RFC 9113 10.5).
//!
//! hyper and h2 hold by themselves what `connection` sets: streams open at once, the size of a head (however many
//! CONTINUATION frames it comes in), streams that were reset unseen or had to be reset for an error, windows; and they
//! answer SETTINGS and PING one at a time, reading nothing before the answer is written. What they leave open is held
//! here: connections on which nothing is asked, answers that are not taken, requests that are taken back, and large bodies
//! side by side.

use super::patience::WRITE_TIME;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// Streams of one connection open at once: RFC 9113 6.5.2 recommends no fewer, and a browser has but one connection for
/// all sessions of all its tabs.
pub(super) const AT_ONCE: u32 = 100;
/// Requests of one connection that may be taken back before they are answered, less those that are answered: a page
/// that is left takes back what it has held, and nobody has more than [`AT_ONCE`] of those (CVE-2023-44487).
const TAKEN_BACK: u32 = 2 * AT_ONCE;
/// Bytes of an answer handed over at once: what a client does not take stands in memory outside of any session
/// (CVE-2019-9511, CVE-2019-9517).
const PIECE: usize = 16_384;
/// A body up to this many bytes needs no place among the large ones.
pub(super) const SMALL: usize = 16_384;
/// Larger bodies of one connection read at once; over HTTP/1 it is one.
const LARGE: usize = 4;

/// What one connection is doing.
pub(super) struct Streams {
    table: Mutex<Table>,
    changed: Notify,
    patience: Duration,
    /// Whether a proxy brings several visitors by them, of whom none may end the connection for the others: what one
    /// leaves is kept for as long as the proxy would have it, on as many streams as there may be.
    shared: bool,
    large: Semaphore,
}

struct Table {
    /// Since when nothing has been asked, or since it was told that it is [`Over::Quiet`].
    quiet: Instant,
    told: bool,
    /// When the last piece of an answer was handed over, which may still be on its way.
    answered: Option<Instant>,
    /// By number: since when the next piece of its answer waits to be taken, if there is an answer.
    requests: HashMap<u64, Option<Instant>>,
    /// Numbers requests.
    count: u64,
    taken_back: u32,
    hung_up: bool,
}

/// Why a connection comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    /// It may be told so (GOAWAY), and end in order.
    #[error("nothing is asked on it")]
    Quiet,
    #[error("an answer is not taken")]
    Untaken,
    #[error("too many requests were taken back")]
    TakenBack,
    #[error("it is hung up on")]
    HungUp,
}

impl Streams {
    /// Of a connection that begins now, whose client has so long to ask for something each time; and whether it is a proxy.
    pub(super) fn new(patience: Duration, shared: bool) -> Arc<Self> {
        let table = Table {
            quiet: Instant::now(),
            told: false,
            answered: None,
            requests: HashMap::new(),
            count: 0,
            taken_back: 0,
            hung_up: false,
        };
        Arc::new(Self {
            table: Mutex::new(table),
            changed: Notify::new(),
            patience,
            shared,
            large: Semaphore::new(LARGE),
        })
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        let mut table = self.table();
        table.count += 1;
        let number = table.count;
        table.requests.insert(number, None);
        drop(table);
        Underway(Arc::new(Asked {
            streams: Arc::clone(self),
            number,
            done: AtomicBool::new(false),
        }))
    }

    /// Waits until the connection has to end. After [`Over::Quiet`] it may be asked again, and gives what is on its way
    /// the time to arrive.
    pub(super) async fn over(&self) -> Over {
        loop {
            let look_again = match self.table().judge(Instant::now(), self.patience, self.shared) {
                Ok(look_again) => look_again,
                Err(over) => return over,
            };
            let later = async {
                match look_again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = later => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Ends the connection, if it is one visitor's.
    fn hang_up(&self) {
        if self.shared {
            return;
        }
        self.table().hung_up = true;
        self.changed.notify_one();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is complete before anything can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// When to look again, unless something happens.
    fn judge(
        &mut self,
        now: Instant,
        patience: Duration,
        shared: bool,
    ) -> Result<Option<Instant>, Over> {
        if self.hung_up {
            return Err(Over::HungUp);
        }
        if self.taken_back > TAKEN_BACK && !shared {
            return Err(Over::TakenBack);
        }
        if self.requests.is_empty() {
            let mut end = self.quiet + patience;
            if self.told
                && let Some(answered) = self.answered
            {
                end = end.max(answered + WRITE_TIME);
            }
            if now >= end {
                (self.quiet, self.told) = (now, true);
                return Err(Over::Quiet);
            }
            return Ok(Some(end));
        }
        if shared {
            return Ok(None);
        }
        // What begins later has its time then.
        let oldest = self.requests.values().flatten().min().copied().unwrap_or(now);
        let end = oldest + WRITE_TIME;
        if now >= end { Err(Over::Untaken) } else { Ok(Some(end)) }
    }
}

/// A request that is being answered, its answer that is being taken, or the WebSocket that it became: as long as any
/// clone is there.
#[derive(Clone)]
pub(super) struct Underway(Arc<Asked>);

struct Asked {
    streams: Arc<Streams>,
    number: u64,
    /// Whether all of the answer was handed over.
    done: AtomicBool,
}

impl Underway {
    /// A place for a large body.
    pub(super) async fn room(&self) -> SemaphorePermit<'_> {
        self.0.streams.large.acquire().await.expect("the semaphore is never closed")
    }

    /// Ends the connection, if it is one visitor's.
    pub(super) fn hang_up(&self) {
        self.0.streams.hang_up();
    }

    /// The answer, or its next piece, waits to be taken from now on.
    fn answers(&self) {
        self.0.streams.table().requests.insert(self.0.number, Some(Instant::now()));
    }

    /// The last piece was taken.
    fn done(&self) {
        self.0.done.store(true, Ordering::Relaxed);
        let mut table = self.0.streams.table();
        table.requests.insert(self.0.number, None);
        table.answered = Some(Instant::now());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut table = self.streams.table();
        table.requests.remove(&self.number);
        if table.requests.is_empty() {
            table.quiet = Instant::now();
        }
        table.taken_back = match *self.done.get_mut() {
            true => table.taken_back.saturating_sub(1),
            false => table.taken_back + 1,
        };
        if table.requests.is_empty() || table.taken_back > TAKEN_BACK {
            drop(table);
            self.streams.changed.notify_one();
        }
    }
}

/// The body of an answer in pieces, of which hyper asks for the next, or drops what is left, when the client has room for the
/// last.
pub(super) struct Sending {
    rest: Bytes,
    underway: Underway,
}

impl Sending {
    /// The body of the answer to this request.
    pub(super) fn new(rest: Bytes, underway: Underway) -> Self {
        underway.answers();
        Self { rest, underway }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.rest.is_empty() {
            self.underway.done();
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.underway.answers();
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A stream that has become a WebSocket. What was written is its own until the client takes it, so one that is left
/// before takes its connection with it.
pub(super) struct Held<S> {
    stream: S,
    underway: Underway,
    /// Whether it is over, in order or not.
    over: bool,
}

impl<S> Held<S> {
    pub(super) fn new(stream: S, underway: Underway) -> Self {
        Self { stream, underway, over: false }
    }

    fn see<T>(&mut self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.over |= matches!(outcome, Poll::Ready(Err(_)));
        outcome
    }
}

impl<S> Drop for Held<S> {
    fn drop(&mut self) {
        if !self.over {
            self.underway.hang_up();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.see(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.see(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.see(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.over |= outcome.is_ready();
        outcome
    }
}
