//! Streams that may be resumed in the next process (XEP-0198 5).

use crate::{BoxFuture, Journal, LeftStreams, Result};

/// A stanza of a stream that may be resumed, as the client counts them: where a message is put that was sent there, it is put
/// together with this. So after a kill it is known, of what the client sends again, what had been put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The stream's number in the [`Journal`].
    pub stream: u32,
    /// Which of the stanzas on it, modulo 2^32.
    pub number: u32,
    /// What tells this stanza from another one.
    pub mark: u64,
    /// Of the stanzas up to this one nothing needs to be known any more.
    pub handled: Option<u32>,
}

/// A stanza that was put: its number on the stream, and its mark.
pub type Heard = (u32, u64);

/// What is kept of streams that may be resumed in the next process.
pub trait Sessions: Send + Sync {
    /// The journal for this process, with what the one before has left; `None` where nothing outlives the process. To be asked
    /// for once.
    fn journal(&self) -> Result<Option<(Journal, LeftStreams)>>;
    /// What was put of what was sent on each of these streams, which go on; of all others it is forgotten.
    fn heard(&self, streams: Vec<u32>) -> BoxFuture<Result<Vec<(u32, Heard)>>>;
    /// A stream is over: it is forgotten what was put.
    fn forget(&self, stream: u32) -> BoxFuture<Result<()>>;
}
