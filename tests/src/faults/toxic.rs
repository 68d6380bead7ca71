//! What can happen to the bytes of one connection.

use super::Dice;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Bytes read at once.
const BLOCK: usize = 16 * 1024;
/// The longest that a seed lets bytes wait: shorter than any time-out of a client or a server that is worth having.
const LONGEST: u64 = 80;
/// Where a seed has something happen: within the first requests of a connection, or in the middle of one.
const EARLY: u64 = 6_000;
/// Where it does in an outage: while a stream is begun, or in the middle of it.
const MIDDLE: u64 = 40_000;
/// How long a stall of an outage lasts at most, in milliseconds: some are longer than a client waits, so that what was on its
/// way arrives when nobody counts on it any more.
const STALL: u64 = 4_000;

/// What happens to the bytes that go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// They pass.
    None,
    /// What is read at once is passed on so much later.
    Delay(Duration),
    /// Each byte comes alone.
    Dribble,
    /// Nothing comes for a time after so many bytes.
    Stall {
        /// After how many bytes.
        after: u64,
        /// For how long.
        time: Duration,
    },
    /// The connection is reset, both ways.
    Cut {
        /// After how many bytes this way.
        after: u64,
    },
    /// This way ends in order, and takes no more; the other goes on.
    HalfClose {
        /// After how many bytes.
        after: u64,
    },
    /// Nothing comes any more, nor the end, and nobody is told.
    BlackHole {
        /// After how many bytes.
        after: u64,
    },
}

/// What happens both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toxics {
    /// From client to server.
    pub up: Toxic,
    /// From server to client.
    pub down: Toxic,
}

/// The connection is to be reset.
#[derive(Debug)]
struct Cut;

impl Toxics {
    /// Nothing happens.
    pub const NONE: Self = Self { up: Toxic::None, down: Toxic::None };

    /// What this seed does to the connection of this number: nothing to most.
    pub fn of(seed: u64, connection: u64) -> Self {
        let mut dice = Dice::of(&[seed, connection]);
        Self { up: Toxic::any(&mut dice), down: Toxic::any(&mut dice) }
    }

    /// What an outage does to the connection of a long stream: something to most.
    pub fn outage(dice: &mut Dice) -> Self {
        Self { up: Toxic::bad(dice), down: Toxic::bad(dice) }
    }

    /// Passes bytes between these two until the connection ends.
    pub async fn relay(self, mut client: TcpStream, mut server: TcpStream) {
        let cut = {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let up = self.up.flow(&mut from_client, &mut to_server);
            let down = self.down.flow(&mut from_server, &mut to_client);
            tokio::try_join!(up, down)
        };
        if cut.is_err() {
            for stream in [&client, &server] {
                // A connection that is gone already cannot be reset, and need not.
                let _gone = stream.set_zero_linger();
            }
        }
    }
}

impl Toxic {
    /// One of all, in a mixture in which a client that tries again gets on.
    fn any(dice: &mut Dice) -> Self {
        match dice.among(0..100) {
            0..80 => Self::None,
            80..86 => Self::Delay(dice.millis(1..LONGEST)),
            86..88 => Self::Dribble,
            88..91 => Self::Stall { after: dice.among(0..EARLY), time: dice.millis(1..LONGEST) },
            91..96 => Self::Cut { after: dice.among(0..EARLY) },
            96..99 => Self::HalfClose { after: dice.among(0..EARLY) },
            _ => Self::BlackHole { after: dice.among(0..EARLY) },
        }
    }

    /// One of all, in a mixture in which a stream gets on only where its client comes back to it.
    fn bad(dice: &mut Dice) -> Self {
        match dice.among(0..100) {
            0..45 => Self::None,
            45..58 => Self::Delay(dice.millis(1..LONGEST)),
            58..64 => Self::Dribble,
            64..76 => Self::Stall { after: dice.among(0..MIDDLE), time: dice.millis(1..STALL) },
            76..86 => Self::Cut { after: dice.among(0..MIDDLE) },
            86..93 => Self::HalfClose { after: dice.among(0..MIDDLE) },
            _ => Self::BlackHole { after: dice.among(0..MIDDLE) },
        }
    }

    /// After how many bytes something changes.
    fn after(self) -> u64 {
        match self {
            Self::None | Self::Delay(_) | Self::Dribble => u64::MAX,
            Self::Stall { after, .. }
            | Self::Cut { after }
            | Self::HalfClose { after }
            | Self::BlackHole { after } => after,
        }
    }

    /// Passes bytes one way; an error ends both.
    async fn flow(
        mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Cut> {
        let mut block = vec![0; BLOCK];
        let mut left = self.after();
        loop {
            if left == 0 {
                match self {
                    Self::Stall { time, .. } => {
                        sleep(time).await;
                        (self, left) = (Self::None, u64::MAX);
                    }
                    Self::Cut { .. } => return Err(Cut),
                    Self::HalfClose { .. } => {
                        finish(to).await?;
                        return swallow(from, &mut block).await;
                    }
                    Self::BlackHole { .. } => {
                        swallow(from, &mut block).await?;
                        return std::future::pending().await;
                    }
                    Self::None | Self::Delay(_) | Self::Dribble => {
                        unreachable!("these never change")
                    }
                }
            }
            let most = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            let read = from.read(&mut block[..most]).await.map_err(cut)?;
            if read == 0 {
                return finish(to).await;
            }
            left -= read as u64;
            let bytes = &block[..read];
            match self {
                Self::Dribble => {
                    for byte in bytes.chunks(1) {
                        to.write_all(byte).await.map_err(cut)?;
                    }
                }
                Self::Delay(time) => {
                    sleep(time).await;
                    to.write_all(bytes).await.map_err(cut)?;
                }
                _ => to.write_all(bytes).await.map_err(cut)?,
            }
        }
    }
}

/// Whatever goes wrong with one connection resets the other.
fn cut(_: io::Error) -> Cut {
    Cut
}

async fn finish(to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Cut> {
    to.shutdown().await.map_err(cut)
}

async fn swallow(from: &mut (impl AsyncRead + Unpin), block: &mut [u8]) -> Result<(), Cut> {
    while from.read(block).await.map_err(cut)? > 0 {}
    Ok(())
}
