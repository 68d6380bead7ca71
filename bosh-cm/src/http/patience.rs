//! A connection whose other side may not leave what it is sent untaken for long, and that tells when an answer is written.

use crate::driver::Manager;
use std::{
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a client may take none of an answer.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(60);

/// A connection that fails once the other side has taken nothing for [`WRITE_TIME`]: answers that are not read
/// would keep their memory and their connection for good (threat B05).
pub(super) struct Impatient<S> {
    stream: S,
    stuck: Option<Pin<Box<Sleep>>>,
    pushes: Option<Pushes>,
}

/// Since when answers are under way that will be written next, as many as a connection of HTTP/2 has streams.
#[derive(Clone)]
pub(super) struct Pushes(Arc<(Arc<Manager>, Mutex<Vec<Instant>>)>);

impl Pushes {
    pub(super) fn new(manager: Arc<Manager>) -> Self {
        Self(Arc::new((manager, Mutex::default())))
    }

    /// The server sent this answer's payloads at this moment.
    pub(super) fn begin(&self, since: Instant) {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).push(since);
    }

    fn written(&self) {
        let (manager, pushes) = &*self.0;
        let pushes = mem::take(&mut *pushes.lock().unwrap_or_else(PoisonError::into_inner));
        pushes.into_iter().for_each(|since| manager.delivered(since));
    }
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, stuck: None, pushes: None }
    }

    /// The same, which tells when these are written.
    pub(super) fn telling(self, pushes: Pushes) -> Self {
        Self { pushes: Some(pushes), ..self }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            if let Some(pushes) = &self.pushes {
                pushes.written();
            }
            return outcome;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        stuck.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}
