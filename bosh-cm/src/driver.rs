//! All sessions, and the task that moves each of them between HTTP and its server.

mod asking;

pub use asking::Asking;

use crate::{
    gauges::{Books, Gauges, limit},
    session::{
        Answer, Condition, Conn, ENVELOPE, Effect, End, Event, Gist, Malformed, Request, Session,
        StreamId, Terms,
    },
    upstream::{Did, Line, Upstream, Visitor},
    websocket,
};
use bytes::BytesMut;
use futures_channel::mpsc; // tokio's has room for 32 knocks from the beginning: a session's largest part
use futures_util::StreamExt;
use net::address::{AddressBook, AddressLimits, Attempts, Permit, Refused};
use program::metrics::Metrics;
use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use xmpp_core::xml::Limits;

/// Requests on their way into one session's task. More wait in their connections, which are limited by the
/// listener.
const DOOR: usize = 8;

/// What a [`Manager`] allows.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What sessions are granted.
    pub terms: Terms,
    /// Whether sessions may begin over a connection that is not secure.
    pub insecure: Insecure,
    /// Sessions in all, of one address, and new ones of one address before they authenticate. One may hold
    /// some MiB, but about 100 KiB before it authenticates.
    pub sessions: AddressLimits,
    /// Requests that wait for an answer, in all and of one address. Each may hold as much as `body` allows.
    pub requests: AddressLimits,
    /// Requests per minute of one address that may name a session which is not there; further ones are not
    /// answered (threat B01).
    pub strays: u32,
    /// What one `<body/>` may be.
    pub body: Limits,
    /// What sessions over WebSocket are granted.
    pub websocket: Arc<websocket::Terms>,
}

/// What happens to a session that would begin over a connection that is not secure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insecure {
    /// It begins.
    Accept,
    /// It is refused before the server hears of it, and told where to go (`see-other-uri`), or that there is no such
    /// place (`policy-violation`).
    Refuse {
        /// The `https:` address of BOSH.
        bosh: Option<String>,
        /// The `wss:` address of WebSocket. Without one a WebSocket is sent to BOSH (RFC 7395 3.6.1).
        websocket: Option<String>,
    },
}

impl Default for Settings {
    /// Sessions over any connection; 10,000 in all, 100 per address, of which 30 new per minute, loopback not
    /// counted; twice as many requests that wait; 20 strays per minute; stanzas of 256 KiB.
    fn default() -> Self {
        let trusted = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a network"));
        Self {
            terms: Terms::default(),
            insecure: Insecure::Accept,
            sessions: AddressLimits {
                total: 10_000,
                per_address: 100,
                new_per_minute: 30,
                trusted: trusted.to_vec(),
            },
            requests: AddressLimits {
                total: 20_000,
                per_address: 200,
                new_per_minute: u32::MAX,
                trusted: trusted.to_vec(),
            },
            strays: 20,
            body: Limits {
                bytes: Limits::AFTER_AUTH.bytes + ENVELOPE,
                elements: 2 * Limits::AFTER_AUTH.elements,
                // Every stanza in it declares its namespace, and so may what is in the stanza.
                declarations: 2 * Limits::AFTER_AUTH.elements,
                depth: Limits::AFTER_AUTH.depth + 1,
                ..Limits::AFTER_AUTH
            },
            websocket: Arc::default(),
        }
    }
}

/// The connection manager: every session there is.
pub struct Manager {
    pub(crate) settings: Settings,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) book: Arc<AddressBook>,
    /// Requests that wait for an answer.
    requests: Arc<AddressBook>,
    pub(crate) gauges: Gauges,
    strays: Attempts,
    table: Mutex<Table>,
    /// Numbers requests.
    conns: AtomicU64,
    pub(crate) stop: CancellationToken,
    pub(crate) kill: CancellationToken,
    pub(crate) tasks: TaskTracker,
    terms: Arc<Terms>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Entry>,
    /// It takes no more.
    closed: bool,
    /// Numbers sessions for the log: their identifiers are secrets.
    count: u64,
}

#[derive(Clone)]
struct Entry {
    door: mpsc::Sender<Knock>,
    modern: bool,
    secure: bool,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Delivery {
    /// What is to be sent.
    pub answer: Answer,
    /// When the server sent what is in it, where it waited for nothing else: see [`Manager::delivered`].
    pub pushed: Option<std::time::Instant>,
}

impl From<Answer> for Delivery {
    fn from(answer: Answer) -> Self {
        Self { answer, pushed: None }
    }
}

/// What comes to a session's door.
enum Knock {
    /// A request.
    Request { conn: Conn, request: Box<Request>, reply: oneshot::Sender<Delivery> },
    /// This connection's client waits with more.
    Pressed(Conn),
    /// The manager stops.
    Shutdown,
    /// The session ends without a word.
    Kill,
}

/// A place in the table, given back on drop, whatever becomes of the task.
struct Seat {
    manager: Arc<Manager>,
    sid: String,
    number: u64,
    permit: Option<Permit>,
}

impl Manager {
    /// A manager without sessions.
    pub fn new(settings: Settings, upstream: Arc<dyn Upstream>) -> Arc<Self> {
        Arc::new(Self {
            book: AddressBook::new(settings.sessions.clone()),
            requests: AddressBook::new(settings.requests.clone()),
            gauges: Gauges::new(),
            strays: Attempts::per_minute(settings.strays, settings.sessions.trusted.clone()),
            terms: Arc::new(settings.terms.clone()),
            settings,
            upstream,
            table: Mutex::default(),
            conns: AtomicU64::new(0),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The most bytes that a request may have.
    pub fn body_bytes(&self) -> usize {
        self.settings.body.bytes
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.table().sessions.len()
    }

    /// An answer was written.
    pub fn delivered(&self, pushed: std::time::Instant) {
        self.gauges.bosh.pushes.record(now() - pushed);
    }

    /// All that is counted here, with the HTTP connections that this book counts.
    pub fn tell(&self, out: &mut Metrics, connections: &AddressBook) {
        let (sessions, requests) = (&self.book, &self.requests);
        self.gauges.tell(out, &Books { connections, sessions, requests });
    }

    /// Stops: no new sessions, and every session is told `system-shutdown`. Those whose client does not ask
    /// before the deadline go without a word.
    pub async fn shut(&self, deadline: Duration) {
        self.stop.cancel();
        self.table().closed = true;
        self.knock(|| Knock::Shutdown);
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            warn!(sessions = self.sessions(), "sessions ended without being told");
            self.kill.cancel();
            self.knock(|| Knock::Kill);
            self.tasks.wait().await;
        }
    }

    /// At every session's door. A session does not watch for the end otherwise: it would look out in each turn, at what all share.
    fn knock(&self, knock: impl Fn() -> Knock) {
        let doors: Vec<_> =
            self.table().sessions.values().map(|entry| entry.door.clone()).collect();
        for mut door in doors {
            // A new sender has a place of its own, so that only a session that ends by itself does not hear it.
            let _ended = door.try_send(knock());
        }
    }

    /// A number for the log: what names a session elsewhere is a secret.
    pub(crate) fn number(&self) -> u64 {
        let mut table = self.table();
        table.count += 1;
        table.count
    }

    fn refuse(&self, malformed: Malformed) -> Answer {
        let modern = match malformed {
            Malformed::Xml => false,
            Malformed::Body { sid: None, ver } => ver,
            // Who guesses learns nothing: an unknown session answers like most known ones.
            Malformed::Body { sid: Some(sid), .. } => {
                self.table().sessions.get(&sid).is_none_or(|entry| entry.modern)
            }
        };
        Condition::BadRequest.answer(modern)
    }

    /// No such session: it may have ended, and it may be a guess.
    fn stray(&self, visitor: Visitor) -> Option<Answer> {
        if let Some(address) = visitor.address {
            if !self.strays.allowed(address, now()) {
                self.gauges.limits.add(limit::STRAYS);
                return None;
            }
            self.strays.count(address, now());
        }
        Some(Condition::ItemNotFound.answer(true))
    }

    fn begin(
        self: &Arc<Self>,
        request: &Request,
        visitor: Visitor,
        conn: Conn,
        reply: oneshot::Sender<Delivery>,
    ) -> Result<mpsc::Sender<Knock>, Condition> {
        if let (Insecure::Refuse { bosh, .. }, false) = (&self.settings.insecure, visitor.secure) {
            return Err(match bosh {
                Some(uri) => Condition::SeeOtherUri(uri.as_str().into()),
                None => Condition::PolicyViolation,
            });
        }
        let sid = net::random::token();
        let waiting = Waiting(vec![(conn, reply)]);
        // Boxed, as an argument and a variable of a task are two places.
        let session = Box::new(Session::open(now(), conn, request, sid.clone(), &self.terms)?);
        let (door, knocks) = mpsc::channel(DOOR);
        let entry =
            Entry { door: door.clone(), modern: session.is_modern(), secure: visitor.secure };
        let permit = visitor.address.map(|address| self.book.admit(address, now())).transpose();
        let permit = permit.map_err(refusal)?;
        let number = self.table().insert(sid.clone(), entry).ok_or(Condition::SystemShutdown)?;
        let seat = Seat { manager: Arc::clone(self), sid, number, permit };
        info!(
            session = number,
            address = visitor.address.map(tracing::field::display),
            "session begins"
        );
        self.tasks.spawn(run(seat, session, waiting, knocks, visitor));
        Ok(door)
    }

    fn conn(&self) -> Conn {
        Conn(self.conns.fetch_add(1, Ordering::Relaxed))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is complete before anything can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes a session in and gives its number, unless it is closed.
    fn insert(&mut self, sid: String, entry: Entry) -> Option<u64> {
        if self.closed {
            return None;
        }
        self.sessions.insert(sid, entry);
        self.count += 1;
        Some(self.count)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.manager.table().sessions.remove(&self.sid);
    }
}

/// Its own fault, or that of too many others (XEP-0124 17.2).
fn refusal(refused: Refused) -> Condition {
    match refused {
        Refused::Total => Condition::UndefinedCondition("resource-constraint"),
        Refused::PerAddress | Refused::TooOften => Condition::PolicyViolation,
    }
}

/// Moves one session until it ends.
fn run(
    mut seat: Seat,
    mut session: Box<Session>,
    mut waiting: Waiting,
    mut knocks: mpsc::Receiver<Knock>,
    visitor: Visitor,
) -> impl Future<Output = ()> {
    // No `async fn`, which would hold all arguments twice.
    let manager = Arc::clone(&seat.manager);
    async move {
        let _open = manager.gauges.bosh.begin();
        let mut lines = Lines::default();
        // When the server said what the session has just heard.
        let mut pushed = None;
        let mut alarm = pin!(sleep_until(Instant::now()));
        let end = 'session: loop {
            while let Some(effect) = session.poll() {
                match effect {
                    Effect::Connect(stream, destination) => {
                        let permit = match visitor.address {
                            // The first counts as the session does.
                            Some(address) if stream != StreamId::FIRST => {
                                manager.book.admit(address, now()).map(Some)
                            }
                            _ => Ok(None),
                        };
                        match permit {
                            Ok(permit) => {
                                let upstream = Arc::clone(&manager.upstream);
                                let line = Line::open(upstream, destination, visitor);
                                lines.0.reserve_exact(1);
                                lines.0.push(Wire { stream, line, input: BytesMut::new(), permit });
                            }
                            Err(refused) => {
                                session.handle(now(), Event::Failed(stream, refusal(refused)));
                            }
                        }
                    }
                    Effect::Write(stream, bytes) => {
                        faults::site!("body-passed-on");
                        if let Some(wire) = lines.get(stream) {
                            wire.line.write(bytes);
                        }
                    }
                    Effect::Answer(conn, answer) => {
                        let pushed = pushed.filter(|_| answer.gist == Gist::Payloads);
                        faults::site!("body-answered");
                        waiting.answer(conn, Delivery { answer, pushed });
                    }
                    Effect::Authenticated(stream) => {
                        let further = lines.get(stream).and_then(|wire| wire.permit.as_mut());
                        if let Some(permit) = further.or(seat.permit.as_mut()) {
                            permit.authenticated();
                        }
                    }
                    Effect::Close(stream) => {
                        if let Some(wire) = lines.take(stream) {
                            manager.tasks.spawn(wire.line.close());
                        }
                    }
                    Effect::End(end) => break 'session Some(end),
                }
            }
            pushed = None;
            let deadline = session.deadline().map(Instant::from);
            // Most deadlines move away with every request, so the alarm is put off only when it rings.
            if let Some(deadline) = deadline
                && (deadline < alarm.deadline() || alarm.is_elapsed())
            {
                alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                Some(knock) = knocks.next() => match knock {
                    Knock::Request { conn, request, reply } => {
                        waiting.0.push((conn, reply));
                        session.handle(now(), Event::Request(conn, request));
                    }
                    Knock::Pressed(conn) => session.handle(now(), Event::Pressed(conn)),
                    Knock::Shutdown => session.handle(now(), Event::Shutdown),
                    Knock::Kill => break None,
                },
                conn = waiting.lost() => session.handle(now(), Event::Lost(conn)),
                (stream, did) = lines.turn(&session) => match did {
                    Did::Read => {
                        if let Some(wire) = lines.get(stream) {
                            let now = now();
                            pushed = Some(now);
                            session.handle(now, Event::Received(stream, &mut wire.input));
                        }
                    }
                    Did::Wrote(bytes) => session.handle(now(), Event::Written(stream, bytes)),
                    Did::Fail(condition) => {
                        lines.take(stream);
                        session.handle(now(), Event::Failed(stream, condition));
                    }
                    Did::Close => {
                        lines.take(stream);
                        session.handle(now(), Event::Closed(stream));
                    }
                },
                () = &mut alarm, if deadline.is_some() => session.handle(now(), Event::Tick),
            }
        };
        let number = seat.number;
        manager.gauges.bosh.end(end.as_ref().map(End::name));
        match end {
            Some(End::Condition(condition)) => info!(session = number, %condition, "session ends"),
            Some(end) => info!(session = number, ?end, "session ends"),
            None => info!(session = number, "session cut off"),
        }
    }
}

/// The connections of one session to its servers, one for each of its streams.
#[derive(Default)]
struct Lines(Vec<Wire>);

struct Wire {
    stream: StreamId,
    line: Line,
    input: BytesMut,
    /// Of those after the first.
    permit: Option<Permit>,
}

impl Lines {
    fn get(&mut self, stream: StreamId) -> Option<&mut Wire> {
        self.0.iter_mut().find(|wire| wire.stream == stream)
    }

    fn take(&mut self, stream: StreamId) -> Option<Wire> {
        let at = self.0.iter().position(|wire| wire.stream == stream)?;
        Some(self.0.remove(at))
    }

    /// The next thing that one of them does.
    async fn turn(&mut self, session: &Session) -> (StreamId, Did) {
        poll_fn(|cx| self.poll(cx, session)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, session: &Session) -> Poll<(StreamId, Did)> {
        for at in 0..self.0.len() {
            let Wire { stream, line, input, .. } = &mut self.0[at];
            if let Poll::Ready(did) = line.poll(cx, session.reads(*stream), input) {
                let stream = *stream;
                // The others first, next time.
                self.0.rotate_left(at + 1);
                return Poll::Ready((stream, did));
            }
        }
        Poll::Pending
    }
}

/// The connections that wait for an answer of one session: as many as its window has places.
struct Waiting(Vec<(Conn, oneshot::Sender<Delivery>)>);

impl Waiting {
    fn answer(&mut self, conn: Conn, delivery: Delivery) {
        if let Some(at) = self.0.iter().position(|(one, _)| *one == conn) {
            // If the connection is gone the client will ask for the answer again.
            let _gone = self.0.swap_remove(at).1.send(delivery);
        }
    }

    /// The next connection whose client is gone.
    async fn lost(&mut self) -> Conn {
        poll_fn(|cx| self.poll_lost(cx)).await
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Conn> {
        let gone = self.0.iter_mut().position(|(_, reply)| reply.poll_closed(cx).is_ready());
        match gone {
            Some(at) => Poll::Ready(self.0.swap_remove(at).0),
            None => Poll::Pending,
        }
    }
}

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
