//! One BOSH session, as a value: requests and the server's stream go in, answers and stream bytes come
//! out (XEP-0124, XEP-0206). No socket, clock or dice in here.
//!
//! ```text
//!  requests ──► Window: order, repeats ──► payloads ──► Link ──► server
//!  answers  ◄── Window: held, buffered ◄── pending  ◄── Link ◄── server
//! ```

mod answer;
mod contract;
mod key;
mod link;
mod request;
#[cfg(test)]
mod tests;
mod window;

pub use answer::{Answer, CONTENT, Condition};
pub use contract::{Conn, ENVELOPE, Effect, End, Event, Terms};
pub use request::{Malformed, RID_MAX, Request, VERSION, Version, Wish};

use answer::{EMPTY, Kind, Payload, again, body, terminal};
use bytes::{Bytes, BytesMut};
use key::{Key, Sequence};
use link::{Link, News};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use window::{Missing, Place, Ticket, Window};
use xmpp_core::ns;

/// What waits for the client, in bytes, before the server is no longer read: what one response may carry,
/// twice.
const PENDING: usize = 262_144;
/// Places for what waits that an idle session keeps; more come with a burst, and go with it.
const PENDING_KEPT: usize = 8;
/// Bytes of payload after which a response takes no further payload. It bounds the buffer of answers, too.
const RESPONSE: usize = 131_072;
/// Bytes that the server has not taken yet before further requests wait for their turn.
const UNWRITTEN: usize = 262_144;
/// How long the server may take none of what is written to it.
const STALL: Duration = Duration::from_secs(60);
/// How long the server may take from a stream header to its features, as long as a client may take to
/// authenticate.
const OPENING: Duration = Duration::from_secs(30);
/// What a polling session may be silent for beyond the others: it has no request held to be noticed by
/// (XEP-0124 12).
const POLLING_EXTRA: Duration = Duration::from_secs(30);

/// A session. Poll for effects after [`Session::open`] and after every [`Session::handle`].
pub struct Session {
    sid: String,
    modern: bool,
    content: Arc<str>,
    wait: Duration,
    hold: usize,
    inactivity: Duration,
    polling: Duration,
    max_pause: Duration,
    /// The largest request of a stranger; `None` once SASL has succeeded.
    stranger_bytes: Option<usize>,

    window: Window,
    sequence: Sequence,
    /// An answer that may be lost, to be told of.
    missing: Option<Missing>,
    link: Link,
    /// Attributes for the next answer.
    news: Vec<(&'static str, String)>,
    /// Whether the first answer is out; until then nobody knows the session.
    introduced: bool,
    /// Whether the server's header has come.
    greeted: bool,
    pending: VecDeque<Payload>,
    pending_bytes: usize,
    unwritten: usize,
    /// When the server must have taken more of what is written.
    stall: Option<Instant>,
    /// When the server must have sent its features.
    opening: Option<Instant>,
    /// The silence allowed now: `inactivity`, or a pause.
    patience: Duration,
    /// Since when nobody waits for an answer.
    idle_since: Instant,
    previous: Previous,
    /// What ends the session as soon as somebody listens.
    ending: Option<End>,
    effects: VecDeque<Effect>,
    /// Whether the server's side is closed or being closed.
    closed: bool,
    over: bool,
}

/// The request of the highest number, for the rules of polling.
struct Previous {
    rid: u64,
    at: Instant,
    /// Whether it was empty and so was its answer.
    fruitless: bool,
}

impl Session {
    /// A new session for this request; its answer comes when the server's features do, or after `wait`.
    /// `sid` has to be unpredictable (XEP-0124 19.3).
    pub fn open(
        now: Instant,
        conn: Conn,
        request: &Request,
        sid: String,
        terms: &Terms,
    ) -> Result<Self, Condition> {
        if request.wish == Wish::Terminate {
            return Err(Condition::BadRequest);
        }
        if request.bytes > terms.stranger_bytes {
            return Err(Condition::PolicyViolation);
        }
        let version = request.version()?;
        let content = request.content()?;
        let wait = Duration::from_secs(request.number("wait")?.unwrap_or(u64::MAX)).min(terms.wait);
        // XEP-0124 12: who forbids to wait polls, and so does who forbids to hold.
        let hold = request.number("hold")?.unwrap_or(1).min(terms.hold);
        let hold = if wait.is_zero() { 0 } else { hold };
        let to = request.domain(&terms.domains)?;
        let extra = if hold == 0 { POLLING_EXTRA } else { Duration::ZERO };
        let ticket = Ticket::new(conn, now + wait, None);
        let mut sequence = Sequence::default();
        if !sequence.admits(request) {
            return Err(Condition::BadRequest);
        }
        let acknowledges = request.ack()? == Some(1);
        let mut session = Self {
            modern: request.has_version(),
            content: content.as_deref().unwrap_or(CONTENT).into(),
            wait,
            hold: usize::try_from(hold).expect("at most a few"),
            inactivity: terms.inactivity + extra,
            polling: terms.polling,
            max_pause: terms.max_pause,
            stranger_bytes: Some(terms.stranger_bytes),
            window: Window::new(hold + 1, request.rid, ticket, acknowledges),
            sequence,
            missing: None,
            link: Link::new(to, request.from(), request.lang()),
            news: Vec::new(),
            introduced: false,
            greeted: false,
            pending: VecDeque::new(),
            pending_bytes: 0,
            unwritten: 0,
            stall: Some(now + STALL),
            opening: Some(now + OPENING),
            patience: terms.inactivity + extra,
            idle_since: now,
            previous: Previous { rid: request.rid, at: now, fruitless: false },
            ending: None,
            effects: VecDeque::new(),
            closed: false,
            over: false,
            sid,
        };
        session.introduce(version, hold);
        session.effects.push_back(Effect::Connect(session.link.domain().to_owned()));
        session.write(session.link.header());
        session.write(request.payloads.clone());
        session.settle(now);
        Ok(session)
    }

    /// Tells what happened. Poll for effects afterwards.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        if self.over {
            return;
        }
        match event {
            Event::Request(conn, request) => self.arrive(now, conn, request),
            Event::Lost(conn) => self.lose(now, conn),
            Event::Pressed(conn) => self.press(now, conn),
            Event::Received(input) => self.receive(now, input),
            Event::Written(bytes) => {
                self.unwritten -= bytes;
                self.stall = None;
                self.advance(now);
            }
            Event::Failed(condition) => {
                self.closed = true;
                self.expect_end(now, End::Condition(condition));
            }
            Event::Closed => {
                self.closed = true;
                self.expect_end(now, End::Condition(Condition::RemoteConnectionFailed));
            }
            Event::Tick => self.tick(now),
            Event::Shutdown => {
                self.expect_end(now, End::Condition(Condition::SystemShutdown));
            }
        }
        let stall = (self.unwritten > 0).then(|| self.stall.unwrap_or(now + STALL));
        self.stall = stall.filter(|_| !self.closed);
    }

    /// The next thing to do; call until `None`.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to send [`Event::Tick`]. Ask again after every event.
    pub fn deadline(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let idle = (!self.window.is_open()).then(|| self.idle_since + self.patience);
        [self.window.deadline(), self.opening, self.stall, idle].into_iter().flatten().min()
    }

    /// Whether more from the server is welcome: not while the client is behind.
    pub fn reads(&self) -> bool {
        !self.closed && self.pending_bytes < PENDING
    }

    /// Whether the client understands terminal conditions (XEP-0124 17.1).
    pub fn is_modern(&self) -> bool {
        self.modern
    }

    /// The attributes of the first answer (XEP-0124 7.2, XEP-0206 4).
    fn introduce(&mut self, version: Version, hold: u64) {
        let seconds = |time: Duration| time.as_secs().to_string();
        self.news = vec![
            ("xmlns:xmpp", ns::XBOSH.into()),
            ("sid", self.sid.clone()),
            ("ver", version.to_string()),
            ("wait", seconds(self.wait)),
            ("hold", hold.to_string()),
            ("requests", (hold + 1).to_string()),
            ("polling", seconds(self.polling)),
            ("inactivity", seconds(self.inactivity)),
            ("maxpause", seconds(self.max_pause)),
            ("xmpp:restartlogic", "true".into()),
        ];
        // XEP-0124 9.1: told to who tells it, too.
        self.news.extend(self.window.received().map(|rid| ("ack", rid.to_string())));
    }

    fn arrive(&mut self, now: Instant, conn: Conn, request: Box<Request>) {
        self.patience = self.inactivity; // XEP-0124 10: a pause ends with the next request
        match self.window.place(&request, conn, now + self.wait) {
            Place::Outside => self.fail(Some(conn), Condition::ItemNotFound),
            Place::Worn => self.fail(Some(conn), Condition::PolicyViolation),
            Place::Answered(body) => {
                self.idle_since = now;
                self.answer(conn, body);
            }
            // XEP-0124 14.3
            Place::Open(before) => {
                if let Some(before) = before {
                    self.send_back(request.rid, before);
                }
                self.settle(now);
            }
            Place::New if self.is_overactive(now, &request) || self.is_too_large(&request) => {
                self.fail(Some(conn), Condition::PolicyViolation);
            }
            Place::New => {
                if request.rid > self.previous.rid {
                    let fruitless = request.is_empty();
                    self.previous = Previous { rid: request.rid, at: now, fruitless };
                }
                let ticket = Ticket::new(conn, now + self.wait, Key::of(&request));
                self.window.keep(request, ticket);
                self.advance(now);
            }
        }
    }

    /// XEP-0124 11 and 12.
    fn is_overactive(&self, now: Instant, request: &Request) -> bool {
        let requests = self.hold as u64 + 1;
        let open = self.window.open() + u64::from(!request.is_extra());
        // What fills a gap was sent before, however late it comes (threat B13).
        let last = request.rid > self.previous.rid;
        let hasty = last && request.is_empty() && now - self.previous.at < self.polling;
        open > requests
            || match self.hold {
                0 => hasty && self.previous.fruitless,
                _ => hasty && open == requests,
            }
    }

    /// Requests may wait here for their turn, and nobody yet answers for a stranger's (threat X04).
    fn is_too_large(&self, request: &Request) -> bool {
        self.stranger_bytes.is_some_and(|most| request.bytes > most)
    }

    /// Processes requests whose turn has come, as far as the server takes what they bring.
    fn advance(&mut self, now: Instant) {
        while !self.over && self.unwritten < UNWRITTEN {
            let Some(next) = self.window.next() else { break };
            let conn = next.ticket.conn;
            // XEP-0124 15.4: not processed.
            if !self.sequence.admits(&next.request) {
                return self.fail(conn, Condition::ItemNotFound);
            }
            self.window.hold(next.request.rid, next.ticket);
            self.process(now, conn, &next.request);
        }
        self.settle(now);
    }

    fn process(&mut self, now: Instant, conn: Option<Conn>, request: &Request) {
        if self.closed {
            return; // the server is gone; the client is about to learn it
        }
        match request.ack() {
            Ok(ack) => self.missing = self.window.acknowledge(request.rid, ack),
            Err(condition) => return self.fail(conn, condition),
        }
        if request.wish != Wish::Restart {
            if !request.payloads.is_empty() && self.link.awaits_restart() {
                return self.fail(conn, Condition::BadRequest);
            }
            self.write(request.payloads.clone());
        }
        match request.wish {
            Wish::Payloads => {}
            Wish::Restart => {
                if self.restart(now, request).is_err() {
                    self.fail(conn, Condition::BadRequest);
                }
            }
            Wish::Pause(seconds) if seconds > self.max_pause.as_secs() => {
                self.fail(conn, Condition::PolicyViolation);
            }
            Wish::Pause(seconds) => {
                // XEP-0124 10: every request back, the pause itself without payloads.
                while let Some(held) = self.window.take() {
                    self.respond(now, held, &[]);
                }
                self.patience = Duration::from_secs(seconds);
            }
            Wish::Terminate => self.conclude(End::Terminated),
        }
    }

    /// XEP-0206 5. Payloads beside it are ignored.
    fn restart(&mut self, now: Instant, request: &Request) -> Result<(), Condition> {
        let to = request.has_to().then(|| request.domain(&[])).transpose()?;
        self.link.restart(to.as_deref(), request.lang()).map_err(|_| Condition::BadRequest)?;
        self.opening = Some(now + OPENING);
        self.write(self.link.header());
        Ok(())
    }

    fn receive(&mut self, now: Instant, input: &mut BytesMut) {
        while !self.closed {
            match self.link.next(input) {
                Ok(None) => break,
                Ok(Some(News::Header { from, id })) => self.greet(from, id),
                Ok(Some(News::Success(payload))) => {
                    self.stranger_bytes = None;
                    self.effects.push_back(Effect::Authenticated);
                    self.queue(payload);
                }
                Ok(Some(News::Payload(payload))) => self.queue(payload),
                Ok(Some(News::Error(error))) => {
                    self.queue(error);
                    self.expect_end(now, End::Condition(Condition::RemoteStreamError));
                }
                Ok(Some(News::Footer)) => self.expect_end(now, End::Finished),
                Err(link::Broken) => {
                    self.expect_end(now, End::Condition(Condition::RemoteConnectionFailed));
                }
            }
        }
        if self.link.is_open() {
            self.opening = None;
        }
        self.settle(now);
    }

    /// The server's first header: what the client learns of it (XEP-0124 7.2, XEP-0206 4).
    fn greet(&mut self, from: Option<String>, id: Option<String>) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        if self.news.is_empty() {
            self.news.push(("xmlns:xmpp", ns::XBOSH.into()));
        }
        self.news.push(("from", from.unwrap_or_else(|| self.link.domain().to_owned())));
        self.news.push(("xmpp:version", "1.0".to_owned()));
        self.news.extend(id.map(|id| ("authid", id)));
    }

    fn queue(&mut self, payload: Payload) {
        self.pending_bytes += payload.bytes.len();
        self.pending.push_back(payload);
    }

    fn tick(&mut self, now: Instant) {
        if [self.opening, self.stall].into_iter().flatten().any(|at| at <= now) {
            self.expect_end(now, End::Condition(Condition::RemoteConnectionFailed));
        }
        // A request came long ago and the one before it never did: have both repeated (XEP-0124 17.3).
        for (rid, conn) in self.window.stuck(now) {
            self.send_back(rid, conn);
            self.idle_since = now;
        }
        while self.window.is_due(now) {
            let Some(held) = self.window.take() else { break };
            self.respond(now, held, &[]);
        }
        if !self.over && !self.window.is_open() && self.idle_since + self.patience <= now {
            self.finish(End::Inactive);
        }
    }

    /// The next request may be behind this one on its connection (XEP-0124 18.1): answered now, it lets it in.
    fn press(&mut self, now: Instant, conn: Conn) {
        if let Some(rid) = self.window.release(conn) {
            // What it waits for may be what is behind it.
            self.send_back(rid, conn);
            self.idle_since = now;
        }
        while self.window.is_held(conn) {
            let held = self.window.take().expect("it is held");
            self.respond(now, held, &[]);
        }
    }

    fn lose(&mut self, now: Instant, conn: Conn) {
        if !self.window.lose(conn) {
            return;
        }
        self.idle_since = now;
        if !self.introduced {
            self.finish(End::Inactive); // nobody knows the session
        }
    }

    /// Answers whatever can be answered now.
    fn settle(&mut self, now: Instant) {
        if self.over {
            return;
        }
        if self.ending.is_some() && self.window.is_open() {
            let end = self.ending.take().expect("just seen");
            return self.conclude(end);
        }
        // A lost connection's answer stays empty: its client may never ask for it again, and then nothing
        // is lost with it.
        let speaks = |session: &Self| !session.pending.is_empty() || session.missing.is_some();
        while speaks(self) && self.window.has_listener() {
            let held = self.window.take().expect("somebody listens");
            let payloads = if held.ticket.conn.is_some() { self.batch() } else { Vec::new() };
            self.respond(now, held, &payloads);
        }
        while self.window.holds() > self.hold {
            let held = self.window.take().expect("more than none");
            self.respond(now, held, &[]);
        }
    }

    /// The payloads of one response.
    fn batch(&mut self) -> Vec<Payload> {
        let mut batch: Vec<Payload> = Vec::new();
        let mut bytes = 0;
        while let Some(payload) = self.pending.front() {
            let first = batch.first().unwrap_or(payload);
            let alone = [first, payload].iter().any(|one| one.kind != Kind::Other);
            if !batch.is_empty() && (alone || bytes >= RESPONSE) {
                break;
            }
            bytes += payload.bytes.len();
            batch.extend(self.pending.pop_front());
        }
        self.pending.shrink_to(PENDING_KEPT.max(self.pending.len()));
        self.pending_bytes -= bytes;
        batch
    }

    /// Answers a held request and remembers the answer.
    fn respond(&mut self, now: Instant, held: window::Held, payloads: &[Payload]) {
        let conn = held.ticket.conn;
        let mut attributes = match conn {
            Some(_) => std::mem::take(&mut self.news),
            None => Vec::new(),
        };
        attributes.extend(self.ack(held.rid).map(|rid| ("ack", rid.to_string())));
        if let Some(Missing { rid, at }) = self.missing.take_if(|_| conn.is_some()) {
            attributes.push(("report", rid.to_string()));
            attributes.push(("time", (now - at).as_millis().to_string()));
        }
        let body = if attributes.is_empty() && payloads.is_empty() {
            EMPTY
        } else {
            let attributes: Vec<_> = attributes.iter().map(|(name, to)| (*name, &**to)).collect();
            body(&attributes, payloads)
        };
        if held.rid == self.previous.rid && !payloads.is_empty() {
            self.previous.fruitless = false;
        }
        self.window.remember(held, body.clone(), now);
        if let Some(conn) = conn {
            self.introduced = true;
            self.idle_since = now;
            self.answer(conn, body);
        }
    }

    /// The `ack` of the answer to this request, unless it goes without saying (XEP-0124 9.1). What ends a session
    /// has none: who guesses would learn what has come.
    fn ack(&self, rid: u64) -> Option<u64> {
        self.window.received().filter(|received| *received != rid)
    }

    /// Has a request repeated.
    fn send_back(&mut self, rid: u64, conn: Conn) {
        self.answer(conn, again(self.ack(rid)));
    }

    /// The server's side is over: whoever listens is told now, or else whoever asks next.
    fn expect_end(&mut self, now: Instant, end: End) {
        if self.ending.is_some() {
            return;
        }
        self.opening = None;
        self.close();
        self.ending = Some(end);
        self.settle(now);
    }

    /// The request on this connection broke the session: it learns why, the others that it was another
    /// (XEP-0124 17.2, `other-request`).
    fn fail(&mut self, conn: Option<Conn>, condition: Condition) {
        for other in self.window.drain() {
            if Some(other) != conn {
                self.answer_terminal(other, &Condition::OtherRequest);
            }
        }
        if let Some(conn) = conn {
            self.answer_terminal(conn, &condition);
        }
        self.finish(End::Condition(condition));
    }

    /// The last answers. The oldest connection has the word; what is still pending goes with it.
    fn conclude(&mut self, end: End) {
        let mut conns = self.window.drain().into_iter();
        let pending: Vec<_> = self.pending.drain(..).collect();
        match &end {
            End::Condition(condition) => {
                if let Some(first) = conns.next() {
                    let body = terminal(Some(condition), &pending);
                    self.answer_with(first, condition.status(self.modern), body);
                }
                conns.for_each(|conn| self.answer_terminal(conn, condition));
            }
            // XEP-0124 13: the others get an empty body.
            End::Terminated | End::Finished | End::Inactive => {
                if let Some(first) = conns.next() {
                    self.answer(first, terminal(None, &pending));
                }
                conns.for_each(|conn| self.answer(conn, EMPTY));
            }
        }
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        self.close();
        self.over = true;
        self.effects.push_back(Effect::End(end));
    }

    /// Closes the stream to the server, once.
    fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.write(self.link.footer());
            self.effects.push_back(Effect::Close);
        }
    }

    fn write(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.unwritten += bytes.len();
        self.effects.push_back(Effect::Write(bytes));
    }

    fn answer(&mut self, conn: Conn, body: Bytes) {
        self.answer_with(conn, 200, body);
    }

    fn answer_terminal(&mut self, conn: Conn, condition: &Condition) {
        self.answer_with(conn, condition.status(self.modern), terminal(Some(condition), &[]));
    }

    fn answer_with(&mut self, conn: Conn, status: u16, body: Bytes) {
        let answer = Answer { status, content: self.content.clone(), body };
        self.effects.push_back(Effect::Answer(conn, answer));
    }
}
