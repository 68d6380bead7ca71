//! Streams inside the process, for what elsewhere is a connection. A direction without anything in it holds no buffer, so an
//! idle stream costs some two hundred bytes.

use bytes::{Buf, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
};

/// One end of a stream. Dropped, the other end reads what was written and then its end.
pub struct Pipe {
    /// One way for each end to write.
    ways: Arc<[Mutex<Way>; 2]>,
    /// Which of them is written to at this end.
    outward: usize,
    most: usize,
}

/// One direction.
#[derive(Default)]
struct Way {
    bytes: BytesMut,
    /// Nothing more is written.
    ended: bool,
    /// Nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Both ends of a new stream, with at most so many bytes on their way in each direction.
pub fn pipe(most: usize) -> (Pipe, Pipe) {
    let ways = Arc::<[Mutex<Way>; 2]>::default();
    let end = |outward| Pipe { ways: Arc::clone(&ways), outward, most };
    (end(0), end(1))
}

/// One end of a stream together with whoever is at the other: they get on in one task, without waking each other.
///
/// The other gets on when this end is read, or else flushed: so whoever holds it does one of them each time its task is woken.
/// Where it is dropped before the other is done, that goes on in a task of its own.
pub struct Attended {
    pipe: Pipe,
    other: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A stream of which one end is handed to `other`, who serves it.
pub fn attended<F>(most: usize, other: impl FnOnce(Pipe) -> F) -> Attended
where
    F: Future<Output = ()> + Send + 'static,
{
    let (near, far) = pipe(most);
    Attended { pipe: near, other: Some(Box::pin(other(far))) }
}

impl Attended {
    fn attend(&mut self, cx: &mut Context<'_>) {
        let Some(other) = &mut self.other else { return };
        // It is this task that reads, and it is awake.
        self.pipe.inward().reader = None;
        if other.as_mut().poll(cx).is_ready() {
            self.other = None;
        }
    }
}

impl AsyncRead for Attended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.attend(cx);
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Attended {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Who reads it is in this task, and gets on when this end is read or flushed. A task that wakes itself is put behind all
        // others, and another thread is woken for it.
        self.pipe.outward().reader = None;
        let wrote = Pin::new(&mut self.pipe).poll_write_vectored(cx, pieces);
        if wrote.is_ready() {
            return wrote;
        }
        self.attend(cx); // which makes room
        Pin::new(&mut self.pipe).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attend(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        // Without a runtime there is nobody left to whom it matters.
        if let (Some(other), Ok(runtime)) = (self.other.take(), Handle::try_current()) {
            runtime.spawn(other);
        }
    }
}

impl Pipe {
    fn outward(&self) -> MutexGuard<'_, Way> {
        // Every change is complete before anything can panic.
        self.ways[self.outward].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inward(&self) -> MutexGuard<'_, Way> {
        self.ways[1 - self.outward].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut way = self.inward();
        if way.bytes.is_empty() {
            if way.ended {
                return Poll::Ready(Ok(()));
            }
            wait(&mut way.reader, cx);
            return Poll::Pending;
        }
        let count = way.bytes.len().min(buf.remaining());
        buf.put_slice(&way.bytes[..count]);
        way.bytes.advance(count);
        if way.bytes.is_empty() {
            way.bytes = BytesMut::new();
        }
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.outward();
        if way.unread || way.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.most - way.bytes.len();
        if room == 0 {
            wait(&mut way.writer, cx);
            return Poll::Pending;
        }
        let mut left = room;
        for piece in pieces {
            let count = left.min(piece.len());
            way.bytes.extend_from_slice(&piece[..count]);
            left -= count;
        }
        if left < room
            && let Some(reader) = way.reader.take()
        {
            reader.wake();
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outward().end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.outward().end();
        let mut way = self.inward();
        way.unread = true;
        way.bytes = BytesMut::new();
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
    }
}

impl Way {
    fn end(&mut self) {
        self.ended = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_written_is_read_at_the_other_end_to_its_end() {
        let (mut near, mut far) = pipe(4);
        let written = async {
            near.write_all(b"more than there is room for").await.unwrap();
            near.shutdown().await.unwrap();
            assert!(near.write(b"!").await.is_err(), "it has ended");
            near
        };
        let mut read = Vec::new();
        let (near, length) = tokio::join!(written, far.read_to_end(&mut read));
        assert_eq!((length.unwrap(), &*read), (27, &b"more than there is room for"[..]));
        // The other direction is still open.
        far.write_all(b"yes").await.unwrap();
        drop(far);
        let mut near = near;
        read.clear();
        near.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"yes");
    }

    #[tokio::test]
    async fn nobody_writes_to_who_is_gone() {
        let (mut near, far) = pipe(4);
        near.write_all(b"full").await.unwrap();
        let (blocked, ()) = tokio::join!(near.write(b"!"), async move { drop(far) });
        assert_eq!(blocked.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn pieces_go_in_one() {
        let (mut near, mut far) = pipe(8);
        let pieces = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two three")];
        assert_eq!(near.write_vectored(&pieces).await.unwrap(), 8);
        let mut read = [0; 16];
        assert_eq!(far.read(&mut read).await.unwrap(), 8);
        assert_eq!(&read[..8], b"one two ");
    }

    #[tokio::test]
    async fn both_ends_get_on_in_one_task() {
        let mut near = attended(4, |mut far| async move {
            let mut read = [0; 8];
            while let Ok(count @ 1..) = far.read(&mut read).await {
                far.write_all(&read[..count]).await.unwrap();
            }
        });
        near.write_all(b"an").await.unwrap();
        let mut read = [0; 8];
        assert_eq!(near.read(&mut read).await.unwrap(), 2);
        near.write_all(b"echo").await.unwrap();
        near.flush().await.unwrap();
        near.write_all(b"full").await.unwrap();
        near.shutdown().await.unwrap();
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"echofull");
    }

    #[tokio::test]
    async fn who_is_left_alone_goes_on_to_the_end() {
        let (done, seen) = tokio::sync::oneshot::channel();
        let mut near = attended(4, |mut far| async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            done.send(all).unwrap();
        });
        near.write_all(b"bye").await.unwrap();
        drop(near);
        assert_eq!(seen.await.unwrap(), b"bye");
    }

    #[tokio::test]
    async fn x04_an_idle_pipe_holds_no_buffer() {
        let (mut near, mut far) = pipe(1_024);
        near.write_all(&[0; 1_000]).await.unwrap();
        far.read_exact(&mut [0; 1_000]).await.unwrap();
        assert_eq!(far.inward().bytes.capacity(), 0);
    }
}
