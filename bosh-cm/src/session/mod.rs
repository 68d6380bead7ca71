//! One BOSH session, as a value: requests and the servers' streams go in, answers and stream bytes come
//! out (XEP-0124, XEP-0206). No socket, clock or dice in here.
//!
//! ```text
//!  requests ──► Window: order, repeats ──► payloads ──► Stream: Link ──► server
//!  answers  ◄── Window: held, buffered ◄──  Outbox  ◄── Stream: Link ◄── server
//! ```

mod answer;
mod contract;
mod key;
pub(crate) mod link;
mod management;
mod outbox;
mod request;
mod servers;
mod stream;
#[cfg(test)]
mod tests;
mod undelivered;
mod window;

pub use answer::{Answer, CONTENT, Condition, Gist};
pub(crate) use answer::{Kind, Payload};
pub use contract::{CODINGS, Conn, Destination, ENVELOPE, Effect, End, Event, StreamId, Terms};
pub use request::{Malformed, Managing, RID_MAX, Request, VERSION, Version, Wish};

use answer::{EMPTY, again, body, terminal};
use bytes::Bytes;
use key::{Key, Sequence};
use outbox::{Batch, Outbox};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use stream::Stream;
use window::{Held, Missing, Place, Ticket, Window};
use xmpp_core::ns;

/// Bytes that the servers have not taken yet before further requests wait for their turn.
const UNWRITTEN: usize = 262_144;
/// What a polling session may be silent for beyond the others: it has no request held to be noticed by
/// (XEP-0124 12).
const POLLING_EXTRA: Duration = Duration::from_secs(30);

/// How long a client that holds requests may be silent when the manager stops: longer than any answer takes to be followed by the next
/// request. One that is away hears nothing, and the rest of the server would wait for it in vain.
const ABSENCE: Duration = Duration::from_secs(2);

/// A session. Poll for effects after [`Session::open`] and after every [`Session::handle`].
pub struct Session {
    terms: Arc<Terms>,
    sid: String,
    modern: bool,
    content: Arc<str>,
    wait: Duration,
    hold: usize,
    inactivity: Duration,
    /// The largest request of a stranger; `None` once SASL has succeeded.
    stranger_bytes: Option<usize>,

    window: Window,
    sequence: Sequence,
    /// An answer that may be lost, to be told of.
    missing: Option<Missing>,
    /// Those that are open, at least one until the session ends.
    streams: Vec<Stream>,
    /// How many there have been.
    opened: u64,
    /// Whether there has ever been more than one: then bodies say which they are about.
    several: bool,
    /// The names of those that ended last: the client may not know it yet.
    gone: VecDeque<Arc<str>>,
    outbox: Outbox,
    /// Requests answered for nothing but the next one, since a server last heard what has arrived.
    nudged: usize,
    /// Whether the first answer is out; until then nobody knows the session.
    introduced: bool,
    /// The silence allowed now: `inactivity`, or a pause.
    patience: Duration,
    /// Since when nobody waits for an answer.
    idle_since: Instant,
    previous: Previous,
    /// What ends the session as soon as somebody listens, and the server's stream error.
    ending: Option<(End, Option<Payload>)>,
    effects: VecDeque<Effect>,
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
        terms: &Arc<Terms>,
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
        let to = request.domain(terms)?;
        let extra = if hold == 0 { POLLING_EXTRA } else { Duration::ZERO };
        let mut sequence = Sequence::default();
        if !sequence.admits(request) {
            return Err(Condition::BadRequest);
        }
        let acknowledges = request.ack()? == Some(1);
        let ticket = Ticket::new(conn, now + wait, None);
        let mut session = Self {
            terms: Arc::clone(terms),
            modern: request.has_version(),
            content: content.as_deref().unwrap_or(CONTENT).into(),
            wait,
            hold: usize::try_from(hold).expect("at most a few"),
            inactivity: terms.inactivity + extra,
            stranger_bytes: Some(terms.stranger_bytes),
            window: Window::new(hold + 1, request.rid, ticket, acknowledges),
            sequence,
            missing: None,
            streams: Vec::new(),
            opened: 0,
            several: false,
            gone: VecDeque::new(),
            outbox: Outbox::default(),
            nudged: 0,
            introduced: false,
            patience: terms.inactivity + extra,
            idle_since: now,
            previous: Previous { rid: request.rid, at: now, fruitless: false },
            ending: None,
            effects: VecDeque::new(),
            over: false,
            sid,
        };
        let (id, name) = session.next_stream();
        session.connect(now, id, name, to, request);
        session.introduce(version, hold);
        session.write(0, request.payloads.clone());
        session.watch(now);
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
            Event::Received(id, input) => self.receive(now, id, input),
            Event::Written(id, bytes) => {
                self.streams.iter_mut().filter(|one| one.id == id).for_each(|one| one.wrote(bytes));
                self.advance(now);
            }
            Event::Failed(id, condition) => self.lose_server(now, id, condition),
            Event::Closed(id) => self.lose_server(now, id, Condition::RemoteConnectionFailed),
            Event::Tick => self.tick(now),
            Event::Shutdown => {
                if !self.is_closed() {
                    // While there is a way: perhaps nobody asks any more. What goes back is not given as well.
                    self.return_undelivered();
                }
                self.leave_all();
                let end = End::Condition(Condition::SystemShutdown);
                self.ending.get_or_insert((end, None));
                if self.hold > 0 {
                    self.inactivity = ABSENCE;
                    self.patience = ABSENCE;
                }
                self.settle(now);
            }
        }
        self.watch(now);
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
        let streams = self.streams.iter().filter_map(Stream::deadline);
        streams.chain(self.window.deadline()).chain(idle).min()
    }

    /// Whether more from this stream's server is welcome: not while the client is behind.
    pub fn reads(&self, id: StreamId) -> bool {
        self.stream(id).is_some() && !self.outbox.is_full()
    }

    /// Whether the client understands terminal conditions (XEP-0124 17.1).
    pub fn is_modern(&self) -> bool {
        self.modern
    }

    /// The attributes of the first answer (XEP-0124 7.2, XEP-0206 4).
    fn introduce(&mut self, version: Version, hold: u64) {
        let seconds = |time: Duration| time.as_secs().to_string();
        let first = &mut self.streams[0];
        first.news = vec![
            ("xmlns:xmpp", ns::XBOSH.into()),
            ("sid", self.sid.clone()),
            ("ver", version.to_string()),
            ("wait", seconds(self.wait)),
            ("hold", hold.to_string()),
            ("requests", (hold + 1).to_string()),
            ("polling", seconds(self.terms.polling)),
            ("inactivity", seconds(self.inactivity)),
            ("maxpause", seconds(self.terms.max_pause)),
            ("xmpp:restartlogic", "true".into()),
        ];
        if self.terms.compression {
            first.news.push(("accept", CODINGS.into()));
        }
        // XEP-0124 16.2
        if self.terms.streams > 1 {
            first.news.push(("stream", first.name.to_string()));
        }
        // XEP-0124 9.1: told to who tells it, too.
        first.news.extend(self.window.received().map(|rid| ("ack", rid.to_string())));
    }

    fn arrive(&mut self, now: Instant, conn: Conn, request: Box<Request>) {
        let place = self.window.place(&request, conn, now + self.wait);
        // XEP-0124 10: a pause ends with the next request.
        if !matches!(place, Place::Forgotten) {
            self.patience = self.inactivity;
        }
        match place {
            Place::Outside => self.fail(Some(conn), Condition::ItemNotFound),
            // XEP-0124 14.3, for whoever still listens. A client that has gone on has its answer, so this is a copy that
            // the network delivers late, and no reason to end the session.
            Place::Forgotten => self.answer_terminal(conn, &Condition::ItemNotFound),
            Place::Worn => self.fail(Some(conn), Condition::PolicyViolation),
            Place::Answered(body) => {
                self.idle_since = now;
                self.answer(conn, body, Gist::Repeat);
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
                    let fruitless = self.is_idle(&request);
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
        let soon = now - self.previous.at < self.terms.polling;
        let hasty = last && soon && self.is_idle(request);
        open > requests
            || match self.hold {
                0 => hasty && self.previous.fruitless,
                _ => hasty && open == requests,
            }
    }

    /// Whether it only asks for payloads and brings none.
    fn is_idle(&self, request: &Request) -> bool {
        request.is_empty() || request.wish == Wish::Stream && self.terms.streams == 1
    }

    /// Requests may wait here for their turn, and nobody yet answers for a stranger's (threat X04).
    fn is_too_large(&self, request: &Request) -> bool {
        self.stranger_bytes.is_some_and(|most| request.bytes > most)
    }

    /// Processes requests whose turn has come, as far as the server takes what they bring.
    fn advance(&mut self, now: Instant) {
        while !self.over && self.unwritten() < UNWRITTEN {
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
        if self.is_closed() {
            return; // the servers are gone; the client is about to learn it
        }
        let done = request.ack().and_then(|ack| {
            self.prove(self.window.proven(request, ack));
            self.missing = self.window.acknowledge(request.rid, ack);
            self.carry_out(now, request)
        });
        if let Err(condition) = done {
            self.fail(conn, condition);
        }
    }

    fn carry_out(&mut self, now: Instant, request: &Request) -> Result<(), Condition> {
        let target = self.target(request)?;
        if request.wish == Wish::Restart {
            return self.restart(now, target, request);
        }
        self.forward(target, request)?;
        match request.wish {
            Wish::Payloads | Wish::Restart => {}
            Wish::Stream if self.terms.streams == 1 => {}
            Wish::Stream => self.open_stream(now, request),
            Wish::Pause(seconds) if seconds > self.terms.max_pause.as_secs() => {
                return Err(Condition::PolicyViolation);
            }
            Wish::Pause(seconds) => {
                // XEP-0124 10: every request back, the pause itself without payloads.
                while let Some(held) = self.window.take() {
                    self.respond(now, held, Batch::default());
                }
                self.patience = Duration::from_secs(seconds);
            }
            Wish::Terminate => self.terminate(now, target),
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        self.give_up(now);
        // A request came long ago and the one before it never did: have both repeated (XEP-0124 17.3).
        for (rid, conn) in self.window.stuck(now) {
            self.send_back(rid, conn);
            self.idle_since = now;
        }
        while self.window.is_due(now) {
            let Some(held) = self.window.take() else { break };
            self.respond(now, held, Batch::default());
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
            self.respond(now, held, Batch::default());
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
        loop {
            // Of several streams each is to have its own last word (XEP-0124 16.4).
            let said = !self.several || self.outbox.is_empty();
            if said
                && self.window.is_open()
                && let Some((end, error)) = self.ending.take()
            {
                return self.conclude(now, end, error);
            }
            let speaks = !self.outbox.is_empty() || self.missing.is_some();
            if !speaks || !self.window.has_listener() {
                break;
            }
            let held = self.window.take().expect("somebody listens");
            self.speak(now, held);
        }
        while self.window.holds() > self.hold {
            let held = self.window.take().expect("more than none");
            self.respond(now, held, Batch::default());
        }
        // A server that waits to hear what has arrived would have to wait for as long as a request is held. As many more
        // requests show it for certain as may be open at once.
        let behind = |stream: &Stream| !stream.closed && stream.management.is_behind();
        if self.nudged <= self.hold
            && self.window.has_listener()
            && self.streams.iter().any(behind)
            && let Some(held) = self.window.take()
        {
            self.nudged += 1;
            self.respond(now, held, Batch::default());
        }
    }

    /// Answers a held request with what waits. A lost connection's answer stays empty: its client may never ask for
    /// it again, and then nothing is lost with it.
    fn speak(&mut self, now: Instant, held: Held) {
        let listens = held.ticket.conn.is_some();
        let batch = if listens { self.outbox.batch() } else { Batch::default() };
        self.respond(now, held, batch);
    }

    /// Answers a held request and remembers the answer.
    fn respond(&mut self, now: Instant, held: Held, mut batch: Batch) {
        let why = batch.end.as_ref().and_then(End::condition);
        batch.payloads.extend(why.and_then(Condition::detail));
        let conn = held.ticket.conn;
        let attributes = self.attributes(now, &held, &batch);
        let gist = if batch.payloads.is_empty() { Gist::Empty } else { Gist::Payloads };
        let body = if attributes.is_empty() && gist == Gist::Empty {
            EMPTY
        } else {
            let attributes: Vec<_> = attributes.iter().map(|(name, to)| (*name, &**to)).collect();
            body(&attributes, &batch.payloads)
        };
        if held.rid == self.previous.rid && !batch.payloads.is_empty() {
            self.previous.fruitless = false;
        }
        self.count(held.rid, &batch);
        self.window.remember(held, body.clone(), now);
        if let Some(conn) = conn {
            self.introduced = true;
            self.idle_since = now;
            self.answer(conn, body, gist);
        }
    }

    /// The attributes of a response.
    fn attributes(
        &mut self,
        now: Instant,
        held: &Held,
        batch: &Batch,
    ) -> Vec<(&'static str, String)> {
        let listens = held.ticket.conn.is_some();
        let about = |stream: &&mut Stream| match &batch.stream {
            Some(name) => stream.name == *name,
            None => !stream.news.is_empty(),
        };
        let stream = self.streams.iter_mut().filter(|_| listens).find(about);
        let named = batch.stream.as_ref().or(stream.as_ref().map(|stream| &stream.name)).cloned();
        let mut attributes =
            stream.map(|stream| std::mem::take(&mut stream.news)).unwrap_or_default();
        if self.several || batch.end.is_some() {
            attributes.extend(named.map(|name| ("stream", name.to_string())));
        }
        if let Some(end) = &batch.end {
            attributes.push(("type", "terminate".to_owned()));
            attributes.extend(end.condition().map(|one| ("condition", one.to_string())));
        }
        attributes.extend(self.ack(held.rid).map(|rid| ("ack", rid.to_string())));
        if let Some(Missing { rid, at }) = self.missing.take_if(|_| listens) {
            attributes.push(("report", rid.to_string()));
            attributes.push(("time", (now - at).as_millis().to_string()));
        }
        attributes
    }

    /// The `ack` of the answer to this request, unless it goes without saying (XEP-0124 9.1). What ends a session
    /// has none: who guesses would learn what has come.
    fn ack(&self, rid: u64) -> Option<u64> {
        self.window.received().filter(|received| *received != rid)
    }

    /// Has a request repeated.
    fn send_back(&mut self, rid: u64, conn: Conn) {
        self.answer(conn, again(self.ack(rid)), Gist::Again);
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

    /// The last answers. The oldest connection has the word; what is still pending goes with it, or before it if
    /// it is of several streams, as far as anybody listens.
    fn conclude(&mut self, now: Instant, end: End, error: Option<Payload>) {
        while self.several && !self.outbox.is_empty() && self.window.listeners() > 1 {
            let held = self.window.take().expect("somebody listens");
            self.speak(now, held);
        }
        let mut conns = self.window.drain().into_iter();
        if let Some(first) = conns.next() {
            let mut pending = Vec::new();
            if !self.several {
                let waiting = self.outbox.drain().map(|(_, payload)| payload);
                // What the server takes back it would give again; and what comes behind that may speak of it, as an
                // acknowledgement does of the error before it (XEP-0198 4).
                let returns = !self.is_closed();
                pending.extend(waiting.take_while(|payload| !(returns && payload.counted)));
            }
            pending.extend(error);
            let status = end.condition().map_or(200, |one| one.status(self.modern));
            self.answer_with(first, status, terminal(end.condition(), &pending), Gist::Last);
        }
        for conn in conns {
            match end.condition() {
                Some(condition) => self.answer_terminal(conn, condition),
                // XEP-0124 13
                None => self.answer(conn, EMPTY, Gist::Empty),
            }
        }
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        self.return_undelivered();
        match end {
            End::Inactive => self.leave_all(),
            _ => self.close_all(),
        }
        self.over = true;
        self.effects.push_back(Effect::End(end));
    }

    fn answer(&mut self, conn: Conn, body: Bytes, gist: Gist) {
        self.answer_with(conn, 200, body, gist);
    }

    fn answer_terminal(&mut self, conn: Conn, condition: &Condition) {
        let body = terminal(Some(condition), &[]);
        self.answer_with(conn, condition.status(self.modern), body, Gist::Last);
    }

    fn answer_with(&mut self, conn: Conn, status: u16, body: Bytes, gist: Gist) {
        // Threat X15
        let compressible = self.stranger_bytes.is_none();
        let answer = Answer { status, content: self.content.clone(), body, compressible, gist };
        self.effects.push_back(Effect::Answer(conn, answer));
    }
}
