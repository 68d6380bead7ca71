//! The least that a correct client of XEP-0124 does when its connections break.

use super::super::{
    Dial, Lab, Stop,
    client::Session,
    wire::{Answer, Connection},
};
use crate::faults::Dice;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use xmpp_core::{ns, xml::Node};

/// Messages said before the first of them is heard: the server need not keep more, and nobody is refused.
const AHEAD: u64 = 300;
/// The most messages in one request, and one more.
const TOGETHER: u64 = 41;
/// Beyond `wait`: after so long a response is taken for lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a failure, times how many there were.
const PAUSE: Duration = Duration::from_millis(5);
/// The most repeats of one request; managers end sessions that repeat without end (XEP-0124 14.3).
const REPEATS: u32 = 30;

/// One of the two.
pub(super) struct Client {
    session: Session,
    lab: Arc<Lab>,
    /// Connections that wait for their next request.
    idle: Arc<Idle>,
    requests: u64,
    hold: usize,
    /// Whether it tells what it has (XEP-0124 9.2).
    acknowledges: bool,
    patience: Duration,
    voice: Voice,
    ear: Ear,
    /// Every answer up to this request has been read.
    read: u64,
    /// Requests without an answer.
    open: BTreeMap<u64, Open>,
    /// Answers before their turn.
    answers: BTreeMap<u64, Answer>,
    /// The requests on their way, with what comes of them.
    attempts: JoinSet<(u64, Result<Answer, Stop>)>,
}

type Idle = Mutex<Vec<Connection>>;

struct Open {
    body: Arc<str>,
    repeats: u32,
    attempt: AbortHandle,
}

/// What one of them says.
pub(super) struct Voice {
    name: String,
    to: String,
    said: u64,
    total: u64,
    /// How much the other has heard.
    heard: watch::Receiver<u64>,
    dice: Dice,
}

/// What one of them hears.
pub(super) struct Ear {
    name: String,
    heard: u64,
    total: u64,
    tell: watch::Sender<u64>,
}

impl Client {
    /// Goes on with this session over that network.
    pub(super) fn new(
        session: Session,
        dial: Dial,
        acknowledges: bool,
        voice: Voice,
        ear: Ear,
    ) -> Result<Self, Stop> {
        let granted = |name: &str, usual| {
            session.created.number(name).map(|granted| granted.unwrap_or(usual))
        };
        let (requests, hold, wait) =
            (granted("requests", 2)?, granted("hold", 1)?, granted("wait", 60)?);
        Ok(Self {
            lab: Arc::new(Lab { dial, ..Lab::clone(&session.lab) }),
            idle: Arc::default(),
            requests,
            hold: usize::try_from(hold).expect("a few"),
            acknowledges,
            patience: Duration::from_secs(wait) + PATIENCE,
            read: session.rid,
            session,
            voice,
            ear,
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            attempts: JoinSet::new(),
        })
    }

    /// Speaks and listens until both have heard all.
    pub(super) async fn run(&mut self) -> Result<(), Stop> {
        while !(self.voice.is_done() && self.ear.is_done()) {
            self.speak();
            tokio::select! {
                Some(done) = self.attempts.join_next() => match done {
                    Ok((rid, answer)) => self.returned(rid, answer)?,
                    Err(error) => ensure!(error.is_cancelled(), "{error}"),
                },
                heard = self.voice.heard.changed() => {
                    heard.map_err(|_| Stop::fail("the other one has stopped listening"))?;
                }
            }
        }
        Ok(())
    }

    /// As many requests as the window has room for, and there is something to say in; an empty one only if fewer are
    /// open than the manager holds (XEP-0124 11).
    fn speak(&mut self) {
        // XEP-0124 14.2: within the window above the first that has no answer, or its answer may be forgotten.
        let first = self.open.keys().next().copied().unwrap_or(self.session.rid + 1);
        while self.session.rid + 1 < first + self.requests {
            let payload = match self.voice.next() {
                Some(payload) => payload,
                None if self.open.len() < self.hold => String::new(),
                None => break,
            };
            // XEP-0124 9.2: left out where it is the request before this one.
            let ack = match self.acknowledges && self.read < self.session.rid {
                true => format!("ack='{}'", self.read),
                false => String::new(),
            };
            let body: Arc<str> = self.session.next(&ack, &payload).into();
            let rid = self.session.rid;
            let attempt = self.attempt(rid, Arc::clone(&body), Duration::ZERO);
            self.open.insert(rid, Open { body, repeats: 0, attempt });
        }
    }

    fn attempt(&mut self, rid: u64, body: Arc<str>, after: Duration) -> AbortHandle {
        let (lab, idle) = (Arc::clone(&self.lab), Arc::clone(&self.idle));
        let patience = self.patience;
        self.attempts.spawn(async move {
            sleep(after).await;
            (rid, post(&lab, &idle, &body, patience).await)
        })
    }

    /// Sends a request again, unchanged (XEP-0124 14.3).
    fn repeat(&mut self, rid: u64) -> Result<(), Stop> {
        let Some(open) = self.open.get_mut(&rid) else { return Ok(()) };
        open.repeats += 1;
        ensure!(open.repeats <= REPEATS, "no answer to request {rid} after {REPEATS} repeats");
        open.attempt.abort();
        let (body, after) = (Arc::clone(&open.body), PAUSE * open.repeats);
        let attempt = self.attempt(rid, body, after);
        self.open.get_mut(&rid).expect("it was there").attempt = attempt;
        Ok(())
    }

    /// Something came of a request.
    fn returned(&mut self, rid: u64, answer: Result<Answer, Stop>) -> Result<(), Stop> {
        if !self.open.contains_key(&rid) {
            return Ok(()); // an earlier attempt was answered just as it was repeated
        }
        let answer = match answer {
            // XEP-0124 17.3: a repeat has taken over, or the manager could not; either way, again.
            Ok(answer) if answer.attr("type") != Some("error") => answer,
            _ => return self.repeat(rid),
        };
        answer.alive()?;
        if let Some(open) = self.open.remove(&rid) {
            open.attempt.abort();
        }
        if let Some(ack) = answer.number("ack")? {
            ensure!(ack <= self.session.rid, "ack='{ack}', but {} is the last", self.session.rid);
        }
        // XEP-0124 9.2: the manager thinks that this one was lost.
        if let Some(missing) = answer.number("report")? {
            self.repeat(missing)?;
        }
        self.answers.insert(rid, answer);
        while let Some(answer) = self.answers.remove(&(self.read + 1)) {
            self.read += 1;
            for payload in answer.payloads() {
                self.ear.take(payload)?;
            }
        }
        Ok(())
    }
}

/// One attempt at one request, on a connection that is there or a new one.
async fn post(lab: &Lab, idle: &Idle, body: &str, patience: Duration) -> Result<Answer, Stop> {
    let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = idle().pop();
    let mut connection = match waiting {
        Some(connection) => connection,
        None => lab.connect().await?,
    };
    let headers = "Content-Type: text/xml; charset=utf-8\r\n";
    connection.write(lab.request(headers, body)).await?;
    let answer = connection.answer(patience).await?;
    idle().push(connection);
    Ok(answer)
}

impl Voice {
    /// Says so many messages to this address, with names of their own.
    pub(super) fn new(
        name: String,
        to: String,
        total: u64,
        heard: watch::Receiver<u64>,
        seed: u64,
    ) -> Self {
        Self { name, to, said: 0, total, heard, dice: Dice::of(&[seed]) }
    }

    /// The next messages, if there is anything to say now.
    fn next(&mut self) -> Option<String> {
        let room = (*self.heard.borrow_and_update() + AHEAD).min(self.total) - self.said;
        let count = self.dice.among(1..TOGETHER).min(room);
        let mut payload = String::new();
        for _ in 0..count {
            self.said += 1;
            let Self { name, to, said, .. } = self;
            write!(
                payload,
                "<message xmlns='{}' to='{to}' type='chat' id='{name}-{said}'><body>{said}</body></message>",
                ns::CLIENT
            )
            .expect("strings take everything");
        }
        (count > 0).then_some(payload)
    }

    fn is_done(&self) -> bool {
        *self.heard.borrow() == self.total
    }
}

impl Ear {
    /// Hears so many messages of this name.
    pub(super) fn new(name: String, total: u64, tell: watch::Sender<u64>) -> Self {
        Self { name, heard: 0, total, tell }
    }

    /// Messages come in order, each once.
    fn take(&mut self, node: &Node) -> Result<(), Stop> {
        if node.name != "message" {
            return Ok(());
        }
        let expected = format!("{}-{}", self.name, self.heard + 1);
        let whole = node.attr("id") == Some(&*expected) && node.attr("type") == Some("chat");
        ensure!(whole, "instead of {expected} came {node:?}");
        self.heard += 1;
        self.tell.send_replace(self.heard);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.heard == self.total
    }
}
