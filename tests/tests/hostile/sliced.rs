//! A pipe whose far end is read in pieces that end at given places, however fast the near end writes.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Bytes in flight each way.
const CAPACITY: usize = 16_384;

/// The lengths of the next reads; without any, reads are as long as can be.
#[derive(Clone, Default)]
pub struct Cuts(Arc<Mutex<VecDeque<usize>>>);

impl Cuts {
    /// What is written next is read in pieces of these lengths.
    pub fn set(&self, lengths: impl Iterator<Item = usize>) {
        *self.0.lock().unwrap() = lengths.collect();
    }
}

/// The far end.
pub struct Sliced {
    io: DuplexStream,
    cuts: Cuts,
}

/// Both ends, and the knife.
pub fn duplex() -> (DuplexStream, Sliced, Cuts) {
    let (near, far) = tokio::io::duplex(CAPACITY);
    let cuts = Cuts::default();
    (near, Sliced { io: far, cuts: cuts.clone() }, cuts)
}

impl AsyncRead for Sliced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let cuts = self.cuts.clone();
        let piece = cuts.0.lock().unwrap().front().copied();
        let Some(piece) = piece else { return Pin::new(&mut self.io).poll_read(cx, buffer) };
        let mut space = vec![0; piece.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        let mut cuts = cuts.0.lock().unwrap();
        match piece - part.filled().len() {
            0 => drop(cuts.pop_front()),
            left => cuts[0] = left,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sliced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
