//! The servers' side of a session: its streams, which of them a request is about, and how they begin and end
//! (XEP-0124 16, XEP-0206 5).

use super::{
    Condition, Destination, Effect, End, Request, Session, StreamId, Wish,
    answer::{Kind, Payload},
    link::{self, Link, News},
    management::{self, Heard, Management},
    outbox::Batch,
    stream::{self, Stream},
    undelivered,
};
use bytes::{Bytes, BytesMut};
use std::{sync::Arc, time::Instant};

/// Names of streams that have ended: as many as may have ended while one request was under way.
const GONE: usize = 8;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// All streams (XEP-0124 16.4).
    All,
    /// One of them.
    One(StreamId),
    /// One that has just ended: nothing comes of it.
    Gone,
}

impl Target {
    fn includes(self, id: StreamId) -> bool {
        self == Self::All || self == Self::One(id)
    }
}

impl Session {
    /// An open stream.
    pub(super) fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.id == id && !stream.closed)
    }

    fn position(&self, id: StreamId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id && !stream.closed)
    }

    /// Whether no stream is open any more.
    pub(super) fn is_closed(&self) -> bool {
        self.streams.iter().all(|stream| stream.closed)
    }

    /// Bytes that the servers have not taken yet.
    pub(super) fn unwritten(&self) -> usize {
        let open = self.streams.iter().filter(|stream| !stream.closed);
        open.map(|stream| stream.unwritten).sum()
    }

    pub(super) fn watch(&mut self, now: Instant) {
        self.streams.iter_mut().for_each(|stream| stream.watch(now));
    }

    /// Number and name of the next stream.
    pub(super) fn next_stream(&mut self) -> (StreamId, Arc<str>) {
        let id = StreamId(self.opened);
        self.opened += 1;
        (id, stream::name(&self.sid, id))
    }

    /// Opens a stream to this domain for this request.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        id: StreamId,
        name: Arc<str>,
        to: String,
        request: &Request,
    ) {
        let destination = Destination { domain: to.clone(), route: request.route() };
        self.effects.push_back(Effect::Connect(id, destination));
        let link = Link::new(to, request.from(), request.lang());
        let header = link.header();
        self.streams.reserve_exact(1); // nearly all sessions have one
        self.streams.push(Stream::new(now, id, name, link));
        self.write(self.streams.len() - 1, header);
    }

    /// XEP-0124 16.3. The answer to this request, and no other, tells the name. What cannot be opened is told as what
    /// has ended at once, and the session goes on.
    pub(super) fn open_stream(&mut self, now: Instant, request: &Request) {
        while let Some(held) = self.window.take_before(request.rid) {
            self.speak(now, held);
        }
        let (id, name) = self.next_stream();
        let full = self.streams.len() >= self.terms.streams;
        let end = match request.domain(&self.terms) {
            Ok(_) if full => Some(End::Condition(Condition::PolicyViolation)),
            Err(condition) => Some(End::Condition(condition)),
            Ok(to) => {
                self.several = true;
                self.connect(now, id, Arc::clone(&name), to, request);
                None
            }
        };
        if end.is_some() {
            self.forget(Arc::clone(&name));
        }
        let held = self.window.take().expect("the request itself is held");
        self.respond(now, held, Batch::of(name, end));
    }

    /// Which streams a request is about. Where it is empty a name means nothing (XEP-0124 16.4).
    pub(super) fn target(&self, request: &Request) -> Result<Target, Condition> {
        let says =
            !request.payloads.is_empty() || matches!(request.wish, Wish::Restart | Wish::Terminate);
        let named = request.stream().filter(|_| says && self.terms.streams > 1);
        let Some(name) = named else { return Ok(Target::All) };
        let mut open = self.streams.iter().filter(|stream| !stream.closed);
        match open.find(|stream| *stream.name == *name) {
            Some(stream) => Ok(Target::One(stream.id)),
            None if self.gone.iter().any(|gone| **gone == *name) => Ok(Target::Gone),
            None => Err(Condition::ItemNotFound),
        }
    }

    /// Payloads for these streams, to all or to none.
    pub(super) fn forward(&mut self, target: Target, request: &Request) -> Result<(), Condition> {
        let meant = |stream: &Stream| !stream.closed && target.includes(stream.id);
        let early = |stream: &Stream| meant(stream) && stream.link.awaits_restart();
        if !request.payloads.is_empty() && self.streams.iter().any(early) {
            return Err(Condition::BadRequest);
        }
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            if !meant(stream) {
                continue;
            }
            match stream.management.hear(stream.link.is_manageable(), request) {
                Heard::Payloads => {}
                Heard::Enable => self.write(at, management::ENABLE),
                Heard::Without => {
                    self.refuse_management(at, request);
                    self.write(at, request.unmanaged());
                    continue;
                }
            }
            self.write(at, request.payloads.clone());
        }
        Ok(())
    }

    /// The client comes too late to manage the stream itself; who does not read what it is told is told no more of it.
    fn refuse_management(&mut self, at: usize, request: &Request) {
        for _ in request.management.iter().filter(|one| one.asks) {
            if self.outbox.is_full() {
                break;
            }
            let refusal = Payload::new(management::too_late(), Kind::Other);
            self.outbox.push(Arc::clone(&self.streams[at].name), refusal);
        }
    }

    /// The client has the answers up to this request: the servers may forget what was in them.
    pub(super) fn prove(&mut self, rid: u64) {
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            if let Some(ack) = stream.management.arrived(rid).filter(|_| !stream.closed) {
                self.nudged = 0;
                self.write(at, ack);
            }
        }
    }

    /// Keeps in mind what the answer to this request says.
    pub(super) fn count(&mut self, rid: u64, batch: &Batch) {
        let counted = batch.payloads.iter().filter(|payload| payload.counted).map(|_| 1).sum();
        let about = |stream: &&mut Stream| batch.stream.as_ref() == Some(&stream.name);
        if counted > 0
            && let Some(stream) = self.streams.iter_mut().find(about)
        {
            stream.management.answered(rid, counted);
        }
    }

    /// XEP-0206 5. Payloads beside it are ignored. Of several streams, unless one is named, those are meant that
    /// wait for it.
    pub(super) fn restart(
        &mut self,
        now: Instant,
        target: Target,
        request: &Request,
    ) -> Result<(), Condition> {
        let to = request.has_to().then(|| request.to()).transpose()?;
        let mut done = target == Target::Gone;
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            if stream.closed || !target.includes(stream.id) {
                continue;
            }
            if stream.link.restart(to.as_deref(), request.lang()).is_ok() {
                stream.reopen(now);
                let header = stream.link.header();
                self.write(at, header);
                done = true;
            }
        }
        if done { Ok(()) } else { Err(Condition::BadRequest) }
    }

    /// The client ends a stream, or with the last one the session (XEP-0124 13, 16.5).
    pub(super) fn terminate(&mut self, now: Instant, target: Target) {
        let others = self.streams.iter().any(|one| !one.closed && !target.includes(one.id));
        if !others {
            return self.conclude(now, End::Terminated, None);
        }
        if let Target::One(id) = target
            && let Some(at) = self.position(id)
        {
            self.end_stream(now, at, End::Terminated, None);
        }
        while let Some(held) = self.window.take() {
            self.speak(now, held);
        }
    }

    /// What came from a server.
    pub(super) fn receive(&mut self, now: Instant, id: StreamId, input: &mut BytesMut) {
        while let Some(at) = self.position(id) {
            let stream = &mut self.streams[at];
            let name = Arc::clone(&stream.name);
            match stream.link.next(input) {
                Ok(None) => {
                    stream.heard();
                    break;
                }
                Ok(Some(News::Header { from, id, .. })) => stream.greet(from, id),
                Ok(Some(News::Success { payload, managed })) => {
                    if managed {
                        stream.management = Management::Theirs;
                    }
                    self.stranger_bytes = None;
                    self.effects.push_back(Effect::Authenticated(id));
                    self.outbox.push(name, payload);
                }
                Ok(Some(News::Payload(mut payload))) => {
                    payload.counted = payload.kind == Kind::Stanza && stream.management.counts();
                    self.outbox.push(name, payload);
                }
                Ok(Some(News::Management(nonza, payload))) => {
                    let (ours, answer) = stream.management.learn(nonza);
                    if !ours {
                        self.outbox.push(name, payload);
                    }
                    self.write(at, answer.unwrap_or_default());
                }
                Ok(Some(News::Error(error))) => {
                    let end = End::Condition(Condition::RemoteStreamError);
                    self.end_stream(now, at, end, Some(error));
                }
                Ok(Some(News::Footer)) => self.end_stream(now, at, End::Finished, None),
                Err(link::Broken) => {
                    let end = End::Condition(Condition::RemoteConnectionFailed);
                    self.end_stream(now, at, end, None);
                }
            }
        }
        self.settle(now);
    }

    /// A server cannot be reached, or no longer: there is nobody to say goodbye to.
    pub(super) fn lose_server(&mut self, now: Instant, id: StreamId, condition: Condition) {
        if let Some(at) = self.position(id) {
            self.streams[at].closed = true;
            self.end_stream(now, at, End::Condition(condition), None);
        }
    }

    /// Gives up the servers that had their time.
    pub(super) fn give_up(&mut self, now: Instant) {
        let late = |stream: &Stream| stream.deadline().is_some_and(|deadline| deadline <= now);
        while let Some(at) = self.streams.iter().position(late) {
            let end = End::Condition(Condition::RemoteConnectionFailed);
            self.end_stream(now, at, end, None);
        }
    }

    /// A stream is over. If it was the last, so is the session: whoever listens is told now, or else whoever asks next.
    fn end_stream(&mut self, now: Instant, at: usize, end: End, error: Option<Payload>) {
        self.close(at);
        if self.is_closed() {
            self.ending.get_or_insert((end, error));
        } else {
            let stream = self.streams.remove(at);
            self.forget(Arc::clone(&stream.name));
            self.outbox.push_end(stream.name, end, error);
        }
        self.settle(now);
    }

    fn forget(&mut self, name: Arc<str>) {
        self.gone.push_back(name);
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }

    /// What the client did not take goes back where it came from (XEP-0206 7), unless the server sees to that.
    pub(super) fn return_undelivered(&mut self) {
        let bare = self.outbox.drain().filter(|(_, payload)| !payload.counted);
        for (name, payload) in bare {
            let open = |stream: &Stream| !stream.closed && stream.name == name;
            if let Some(at) = self.streams.iter().position(open)
                && let Some(error) = undelivered::returned(payload.bytes)
            {
                self.write(at, error);
            }
        }
    }

    pub(super) fn close_all(&mut self) {
        (0..self.streams.len()).for_each(|at| self.close(at));
    }

    /// Ends all streams without a word of the client's: those that it manages itself it may come back to (XEP-0198 7).
    pub(super) fn leave_all(&mut self) {
        for stream in self.streams.iter_mut().filter(|stream| stream.management.is_theirs()) {
            if !std::mem::replace(&mut stream.closed, true) {
                self.effects.push_back(Effect::Close(stream.id));
            }
        }
        self.close_all();
    }

    /// Closes a stream, once.
    fn close(&mut self, at: usize) {
        if !std::mem::replace(&mut self.streams[at].closed, true) {
            let stream = &self.streams[at];
            let (id, footer) = (stream.id, stream.link.footer());
            self.write(at, footer);
            self.effects.push_back(Effect::Close(id));
        }
    }

    pub(super) fn write(&mut self, at: usize, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let stream = &mut self.streams[at];
        stream.unwritten += bytes.len();
        self.effects.push_back(Effect::Write(stream.id, bytes));
    }
}
