//! A proxy that knows HTTP/1.1 and BOSH: what goes wrong is decided request by request, from a seed.
//!
//! A request is known by how far its `rid` is from the first that came, and by how often it came, so that the same seed
//! does the same whatever else the machine is doing.

use super::Dice;
use crate::bosh::{Dial, Stream};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::sleep,
};

/// Bytes between a client and the proxy.
const PIPE: usize = 64 * 1024;
/// The longest head.
const HEAD_BYTES: usize = 64 * 1024;
/// So often a request is spoiled; then it passes, or no client would get on.
const ATTEMPTS: u32 = 5;
/// Requests that are remembered behind the newest.
const REMEMBERED: u64 = 64;

/// What happens to one request and its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    /// They pass.
    None,
    /// The connection ends before the request gets through.
    LoseRequest,
    /// The request gets through; the connection ends so much later unless the response was faster.
    CutBeforeResponse(Duration),
    /// The response is taken, and the connection ends without it.
    LoseResponse,
    /// The connection ends in the middle of the response, after so many thousandths of it.
    CutResponse(u64),
    /// The response is taken, and the connection stays open without it.
    SwallowResponse,
    /// The request gets through so much later, so that others overtake it.
    DelayRequest(Duration),
    /// The response gets through so much later.
    DelayResponse(Duration),
}

/// Spoils the requests of one client.
#[derive(Debug)]
pub struct Meddler {
    seed: u64,
    /// Every response of a number that this divides is lost.
    every: u64,
    log: Mutex<Log>,
}

/// What has come to pass.
#[derive(Debug, Default)]
struct Log {
    first: Option<u64>,
    /// How often each request came.
    attempts: BTreeMap<u64, u32>,
    /// What each was answered with.
    answers: BTreeMap<u64, Bytes>,
    counts: HashMap<&'static str, u64>,
    /// The first repeated request that was answered otherwise than before.
    differing: Option<u64>,
}

/// A whole request or response.
struct Message {
    bytes: Bytes,
    head: usize,
}

impl Meddler {
    /// That of this seed.
    pub fn new(seed: u64) -> Arc<Self> {
        let every = Dice::of(&[seed]).among(3..12);
        Arc::new(Self { seed, every, log: Mutex::default() })
    }

    /// Connections through it.
    pub fn between(self: &Arc<Self>, dial: Dial) -> Dial {
        let meddler = Arc::clone(self);
        Arc::new(move || {
            let (client, near) = duplex(PIPE);
            let (meddler, dial) = (Arc::clone(&meddler), Arc::clone(&dial));
            tokio::spawn(async move {
                // Whatever goes wrong with one connection ends the other.
                let _cut = meddler.serve(near, dial).await;
            });
            Box::pin(async { Ok(Box::new(client) as Box<dyn Stream>) })
        })
    }

    /// What was spoiled, and how often.
    pub fn counts(&self) -> HashMap<&'static str, u64> {
        self.with(|log| log.counts.clone())
    }

    /// How far from the first the request is that was repeated and answered with other bytes (XEP-0124 14.3), if any.
    pub fn differing(&self) -> Option<u64> {
        self.with(|log| log.differing)
    }

    /// What happens to a request, by its number and how often it came before.
    fn fault(&self, number: u64, attempt: u32) -> Fault {
        if attempt >= ATTEMPTS {
            return Fault::None;
        }
        if attempt == 0 && number.is_multiple_of(self.every) {
            return Fault::LoseResponse;
        }
        let mut dice = Dice::of(&[self.seed, number, attempt.into()]);
        match dice.among(0..1_000) {
            0..40 => Fault::LoseRequest,
            40..100 => Fault::CutBeforeResponse(dice.millis(0..30)),
            100..130 => Fault::LoseResponse,
            130..180 => Fault::CutResponse(dice.among(0..1_000)),
            180..183 => Fault::SwallowResponse,
            183..350 => Fault::DelayRequest(dice.millis(1..60)),
            350..450 => Fault::DelayResponse(dice.millis(1..60)),
            _ => Fault::None,
        }
    }

    /// One connection of the client.
    async fn serve(&self, mut near: impl Stream, dial: Dial) -> io::Result<()> {
        let (mut from_client, mut from_manager) = (BytesMut::new(), BytesMut::new());
        let mut far: Option<Box<dyn Stream>> = None;
        while let Some(request) = Message::read(&mut near, &mut from_client).await? {
            let number = self.number(&request)?;
            let fault = self.enter(number);
            match fault {
                Fault::LoseRequest => return Ok(()),
                Fault::DelayRequest(time) => tokio::select! {
                    () = gone(&mut near, &mut from_client) => return Ok(()),
                    () = sleep(time) => {}
                },
                _ => {}
            }
            let far = match &mut far {
                Some(far) => far,
                none => none.insert(dial().await?),
            };
            far.write_all(&request.bytes).await?;
            far.flush().await?;
            let cut = async {
                match fault {
                    Fault::CutBeforeResponse(time) => sleep(time).await,
                    _ => std::future::pending().await,
                }
            };
            let response = tokio::select! {
                response = Message::read(far, &mut from_manager) => response?,
                () = gone(&mut near, &mut from_client) => return Ok(()),
                () = cut => return Ok(()),
            };
            let Some(response) = response else { return Ok(()) };
            self.answered(number, &response);
            let mut bytes = &response.bytes[..];
            match fault {
                Fault::LoseResponse => return Ok(()),
                Fault::SwallowResponse => {
                    gone(&mut near, &mut from_client).await;
                    return Ok(());
                }
                Fault::DelayResponse(time) => tokio::select! {
                    () = gone(&mut near, &mut from_client) => return Ok(()),
                    () = sleep(time) => {}
                },
                Fault::CutResponse(thousandths) => {
                    let part = bytes.len() as u64 * thousandths / 1_000;
                    bytes = &bytes[..usize::try_from(part).expect("a part of them")];
                }
                _ => {}
            }
            near.write_all(bytes).await?;
            near.flush().await?;
            if matches!(fault, Fault::CutResponse(_)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// How far a request is from the first.
    fn number(&self, request: &Message) -> io::Result<u64> {
        let body = str::from_utf8(request.body()).ok();
        let rid = body.and_then(|body| {
            let (_, rest) = body.split_once(" rid='")?;
            rest.split('\'').next()?.parse::<u64>().ok()
        });
        let rid = rid.ok_or_else(|| broken("a request without a rid"))?;
        let first = self.with(|log| *log.first.get_or_insert(rid));
        Ok(rid.wrapping_sub(first))
    }

    /// A request came: what happens to it.
    fn enter(&self, number: u64) -> Fault {
        self.with(|log| {
            let attempts = log.attempts.entry(number).or_default();
            let fault = self.fault(number, *attempts);
            *attempts += 1;
            *log.counts.entry(fault.word()).or_default() += 1;
            log.attempts = log.attempts.split_off(&number.saturating_sub(REMEMBERED));
            fault
        })
    }

    /// A response came: it has to be what it was.
    fn answered(&self, number: u64, response: &Message) {
        let body = response.bytes.slice(response.head..);
        let tag = body.split(|byte| *byte == b'>').next().unwrap_or_default();
        // To a connection that another one has taken over (XEP-0124 14.3).
        if tag.windows(12).any(|attribute| attribute == b"type='error'") {
            return;
        }
        self.with(|log| {
            let before = log.answers.entry(number).or_insert_with(|| body.clone());
            if *before != body {
                log.differing.get_or_insert(number);
            }
            log.answers = log.answers.split_off(&number.saturating_sub(REMEMBERED));
        });
    }

    fn with<T>(&self, job: impl FnOnce(&mut Log) -> T) -> T {
        job(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fault {
    /// As a word of a report.
    fn word(self) -> &'static str {
        match self {
            Self::None => "passed",
            Self::LoseRequest => "requests lost",
            Self::CutBeforeResponse(_) => "cut before the response",
            Self::LoseResponse => "responses lost",
            Self::CutResponse(_) => "responses cut",
            Self::SwallowResponse => "responses swallowed",
            Self::DelayRequest(_) => "requests delayed",
            Self::DelayResponse(_) => "responses delayed",
        }
    }
}

impl Message {
    /// The next on this connection; `None` where it ends before one begins.
    async fn read(stream: &mut impl Stream, buffer: &mut BytesMut) -> io::Result<Option<Self>> {
        loop {
            if let Some(message) = Self::cut(buffer)? {
                return Ok(Some(message));
            }
            if stream.read_buf(buffer).await? == 0 {
                return match buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn cut(buffer: &mut BytesMut) -> io::Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if buffer.len() > HEAD_BYTES {
                Err(broken("an endless head"))
            } else {
                Ok(None)
            };
        };
        let head = str::from_utf8(&buffer[..end]).map_err(|_| broken("a head that is no text"))?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        let length = match length {
            Some(Ok(length)) => length,
            _ => return Err(broken("no Content-Length")),
        };
        let head = end + 4;
        let whole = buffer.len() - head >= length;
        Ok(whole.then(|| Self { bytes: buffer.split_to(head + length).freeze(), head }))
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Waits until the client hangs up; keeps what it says before.
async fn gone(stream: &mut impl Stream, buffer: &mut BytesMut) {
    while stream.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kth_response_is_lost_and_every_fault_comes() {
        let meddler = Meddler::new(3);
        let faults: Vec<_> = (0..5_000).map(|number| meddler.fault(number, 0)).collect();
        for (number, fault) in faults.iter().enumerate() {
            if (number as u64).is_multiple_of(meddler.every) {
                assert_eq!(*fault, Fault::LoseResponse);
            }
        }
        let words: HashSet<_> = faults.iter().map(|fault| fault.word()).collect();
        assert_eq!(words.len(), 8);
        assert_eq!(meddler.fault(0, ATTEMPTS), Fault::None, "it gets through in the end");
        let again = Meddler::new(3);
        assert!((0..5_000).all(|n| again.fault(n, 1) == meddler.fault(n, 1)));
    }

    #[test]
    fn replays_have_to_be_identical_but_for_connections_taken_over() {
        let response = |body: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            Message::cut(&mut BytesMut::from(&*text)).unwrap().unwrap()
        };
        let meddler = Meddler::new(1);
        meddler.answered(4, &response("<body type='error'/>"));
        meddler.answered(4, &response("<body>a</body>"));
        meddler.answered(4, &response("<body type='error'/>"));
        meddler.answered(4, &response("<body>a</body>"));
        assert_eq!(meddler.differing(), None);
        meddler.answered(4, &response("<body>b</body>"));
        assert_eq!(meddler.differing(), Some(4));
    }
}
