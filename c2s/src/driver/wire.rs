//! The bytes of one connection, whatever carries them.

use crate::session::{Event, Session};
use std::{
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{self, Instant},
};

/// Bytes read in one turn. They are read onto the stack and only what came is kept, so an idle connection holds no
/// buffer and a stanza that waits somewhere pins no more memory than it arrived in.
const READ_MAX: usize = 8 * 1_024;

/// TCP, TLS or a pipe.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection and what is under way on it.
pub(super) struct Wire {
    io: Box<dyn Io>,
    /// Something was written that may not be on its way yet.
    unflushed: bool,
    lost: bool,
}

/// The time since a connection began, as its session counts it. It stands still between two looks: what happens at once
/// happens at one time, and nobody asks the system for it again.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    now: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), now: Duration::ZERO }
    }

    /// The time at which it was looked at last.
    pub(super) fn now(self) -> Duration {
        self.now
    }

    /// Looks what time it is.
    pub(super) fn look(&mut self) -> Duration {
        self.now = self.start.elapsed();
        self.now
    }

    pub(super) fn at(self, time: Duration) -> Instant {
        self.start + time
    }
}

impl Wire {
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Self { io, unflushed: false, lost: false }
    }

    /// Writes what the session has to say, as far as the connection takes it; ready where it took some, or is lost.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: Clock,
    ) -> Poll<()> {
        let written = self.try_write(cx, session, clock);
        self.moved(written, session, clock)
    }

    /// Reads what has come, where the session wants it; ready where something has, or the connection is lost.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: Clock,
    ) -> Poll<()> {
        let read = self.try_read(cx, session, clock);
        self.moved(read, session, clock)
    }

    fn moved(
        &mut self,
        moved: Poll<io::Result<()>>,
        session: &mut Session,
        clock: Clock,
    ) -> Poll<()> {
        moved.map(|result| {
            if result.is_err() {
                self.lost = true;
                session.handle(clock.now(), Event::Lost);
            }
        })
    }

    fn try_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: Clock,
    ) -> Poll<io::Result<()>> {
        let mut moved = Poll::Pending;
        while !session.output().is_empty() {
            faults::site!("before-write");
            match Pin::new(&mut self.io).poll_write(cx, session.output())? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    faults::site!("after-write");
                    session.handle(clock.now(), Event::Written(count));
                    self.unflushed = true;
                    moved = Poll::Ready(Ok(()));
                }
                Poll::Pending => break,
            }
        }
        if self.unflushed && Pin::new(&mut self.io).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        moved
    }

    fn try_read(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: Clock,
    ) -> Poll<io::Result<()>> {
        if !session.wants_input() {
            return Poll::Pending;
        }
        let mut space = [MaybeUninit::uninit(); READ_MAX];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let event = match buffer.filled() {
            [] => Event::Ended,
            bytes => Event::Received(bytes),
        };
        session.handle(clock.now(), event);
        Poll::Ready(Ok(()))
    }

    /// Writes all of the session's output and hands out the connection, for another layer to be put on it.
    pub(super) async fn take_written(
        &mut self,
        session: &mut Session,
        clock: Clock,
    ) -> io::Result<Box<dyn Io>> {
        self.write_out(session, clock).await?;
        Ok(mem::replace(&mut self.io, Box::new(io::empty())))
    }

    /// Writes what is left, as far as the client takes it within `patience`.
    pub(super) async fn last_words(
        &mut self,
        session: &mut Session,
        clock: Clock,
        patience: Duration,
    ) {
        if !self.lost {
            let written = time::timeout(patience, self.write_out(session, clock)).await;
            self.lost = !matches!(written, Ok(Ok(())));
        }
    }

    /// Says goodbye on every layer, and lets the client's last words come in for at most `patience`: a connection closed with
    /// unread input is reset, and the client may never see why.
    pub(super) async fn farewell(&mut self, patience: Duration) {
        let farewell = async {
            if self.lost {
                return Ok(());
            }
            self.io.shutdown().await?;
            let mut space = [0; 512];
            while self.io.read(&mut space).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // Whatever goes wrong here, the connection ends: that is all that is asked for.
        let _ended = time::timeout(patience, farewell).await;
    }

    async fn write_out(&mut self, session: &mut Session, mut clock: Clock) -> io::Result<()> {
        while !session.output().is_empty() {
            let count = self.io.write(session.output()).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            session.handle(clock.look(), Event::Written(count));
        }
        self.io.flush().await
    }
}
