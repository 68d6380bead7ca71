//! One XMPP stream over one WebSocket, as a value (RFC 7395): frames and the server's stream go in, frames and stream
//! bytes come out. No socket, clock or dice in here.

use super::{
    contract::{Admission, Effect, End, Event, Terms},
    frames::{Decoder, FrameLimits, Message, Opcode, Peer, Violation, code, server_head},
};
use crate::session::{
    Condition, Kind, Payload,
    link::{Link, News},
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use xmpp_core::{
    Jid, StreamError,
    error::StreamCondition,
    ns,
    stream::version,
    xml::{Element, Frame, Framer, Limits, Scope, Writer, XmlError},
};

/// How long the client may take to open its stream, and the server to answer with its features.
const OPENING: Duration = Duration::from_secs(30);
/// How long either side may take to answer the end of a stream, and the client to answer a close.
const LEAVING: Duration = Duration::from_secs(5);
/// After so much silence the client is asked whether it is there: less than the minute after which proxies usually
/// close a connection that carries nothing.
const PING_AFTER: Duration = Duration::from_secs(45);
/// How long it may take to answer. Whoever has moved to another network never will.
const PONG_WITHIN: Duration = Duration::from_secs(45);
/// Bytes that one side has not taken yet before the other is no longer read.
const AHEAD: usize = 16_384;
/// How long the server may take none of what is written to it.
const STALL: Duration = Duration::from_secs(60);

/// A session. Poll for effects after every [`Session::handle`].
pub struct Session {
    terms: Arc<Terms>,
    admission: Admission,
    /// The identifier of the stream, should it end before the server gives one.
    id: String,
    limits: Limits,
    decoder: Decoder,
    /// The stream to the server, once the client has opened its own.
    link: Option<Link>,
    stage: Stage,
    /// When this stage has lasted too long.
    until: Option<Instant>,
    /// Whether the client has an `<open/>` for the stream that is open.
    greeted: bool,
    /// Whether the connection to the server is closed or being closed, or was never made.
    closed: bool,
    /// When something came from the client.
    heard: Instant,
    /// Whether it was asked for a sign of life since.
    pinged: bool,
    unsent: usize,
    unwritten: usize,
    /// When the server must have taken more of what is written.
    stall: Option<Instant>,
    effects: VecDeque<Effect>,
}

/// How far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The client has said nothing yet.
    Opening,
    /// There is a stream.
    Streaming,
    /// The client has closed its stream; the server is still to close its own.
    Leaving,
    /// The server has closed its stream; the client is still to close its own.
    Ending,
    /// A close frame was sent; the client's is still to come.
    Closing(End),
    /// Nothing is to be done any more.
    Over,
}

impl Session {
    /// A session whose handshake is done. `id` has to be unpredictable (RFC 6120 4.7.3).
    pub fn new(now: Instant, id: String, admission: Admission, terms: Arc<Terms>) -> Self {
        let limits = terms.before_auth.clone();
        let frames = FrameLimits { bytes: limits.bytes, fragments: terms.fragments };
        Self {
            terms,
            admission,
            id,
            limits,
            decoder: Decoder::new(Peer::Client, frames),
            link: None,
            stage: Stage::Opening,
            until: Some(now + OPENING),
            greeted: false,
            closed: true,
            heard: now,
            pinged: false,
            unsent: 0,
            unwritten: 0,
            stall: None,
            effects: VecDeque::new(),
        }
    }

    /// Tells what happened. Poll for effects afterwards.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        if self.stage == Stage::Over {
            return;
        }
        match event {
            Event::Heard(input) => {
                (self.heard, self.pinged) = (now, false);
                self.hear(now, input);
            }
            Event::Sent(bytes) => self.unsent -= bytes,
            Event::Lost => self.lose(End::Lost),
            Event::Received(input) => self.receive(now, input),
            // Of what is written to a stream that is closed nobody keeps count.
            Event::Written(_) if self.closed => {}
            Event::Written(bytes) => {
                self.unwritten -= bytes;
                self.stall = None;
            }
            Event::Failed(Condition::HostUnknown) => {
                (self.closed, self.unwritten) = (true, 0);
                self.fail(now, StreamCondition::HostUnknown);
            }
            Event::Failed(_) | Event::Closed => {
                (self.closed, self.unwritten) = (true, 0);
                match self.stage {
                    Stage::Leaving => self.finish(now, End::Closed, code::NORMAL),
                    _ => self.fail(now, StreamCondition::RemoteConnectionFailed),
                }
            }
            Event::Tick => self.tick(now),
            Event::Shutdown => self.fail(now, StreamCondition::SystemShutdown),
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
        match self.stage {
            Stage::Over => None,
            _ => [self.until, self.stall, self.silence()].into_iter().flatten().min(),
        }
    }

    /// Whether the client may send more; else its frames stay in the network.
    pub fn reads_client(&self) -> bool {
        self.unwritten < AHEAD && self.unsent < AHEAD
    }

    /// Whether the server may send more.
    pub fn reads_server(&self) -> bool {
        self.unsent < AHEAD
    }

    fn hear(&mut self, now: Instant, input: &mut BytesMut) {
        while self.stage != Stage::Over {
            match self.decoder.next(input) {
                Ok(None) => return,
                Ok(Some(Message::Text(text))) => self.message(now, text),
                Ok(Some(Message::Ping(content))) if !self.is_closing() => {
                    self.frame(Opcode::Pong, content);
                }
                Ok(Some(Message::Ping(_) | Message::Pong)) => {}
                Ok(Some(Message::Close(code))) => self.closed_by_client(code),
                Err(violation) => self.violated(now, violation),
            }
        }
    }

    fn message(&mut self, now: Instant, text: Bytes) {
        if self.is_closing() {
            return; // RFC 6455 5.5.1: what follows a close is not for anybody.
        }
        match self.element(text).map_err(StreamError::from) {
            Ok(element) if element.is(ns::FRAMING, "close") => self.leave(now),
            _ if self.stage == Stage::Leaving || self.stage == Stage::Ending => {}
            Ok(element) => {
                if let Err(error) = self.take(now, &element) {
                    self.fail(now, error);
                }
            }
            Err(error) => self.fail(now, error),
        }
    }

    /// The one element of a message (RFC 7395 3.3.3).
    fn element(&self, text: Bytes) -> Result<Element, XmlError> {
        if text.first() != Some(&b'<') {
            return Err(XmlError::BadFormat("a message has to begin with <"));
        }
        let mut text = BytesMut::from(text);
        let mut framer = Framer::document(self.limits.clone());
        let element = match framer.next(&mut text)? {
            Some(Frame::Element(raw)) => Element::check(raw, &Scope::default(), &self.limits)?,
            _ => return Err(XmlError::NotWellFormed("a message is one whole element")),
        };
        match (framer.next(&mut text)?, text.is_empty()) {
            (None, true) => Ok(element),
            _ => Err(XmlError::NotWellFormed("a message is one element")),
        }
    }

    /// Takes an element that closes nothing.
    fn take(&mut self, now: Instant, element: &Element) -> Result<(), StreamError> {
        let expects_header = self.link.as_ref().is_none_or(Link::awaits_restart);
        if element.is(ns::FRAMING, "open") {
            return match expects_header {
                true => self.open(now, element),
                false => Err(StreamError::new(StreamCondition::BadFormat)
                    .with_text("the stream is open already")),
            };
        }
        if expects_header {
            // RFC 7395 3.3.2
            let wrong = ["open", "close", "stream"].contains(&element.name());
            return Err(match wrong {
                true => StreamCondition::InvalidNamespace.into(),
                false => StreamError::new(StreamCondition::BadFormat)
                    .with_text("a stream begins with <open/>"),
            });
        }
        self.write(element.within(ns::CLIENT));
        Ok(())
    }

    /// The client opens its stream, for the first time or again (RFC 7395 3.4, 3.7).
    fn open(&mut self, now: Instant, open: &Element) -> Result<(), StreamError> {
        let to = domain(open.attr("to").as_deref(), &self.terms)?;
        // RFC 6120 4.7.5, 4.9.3.25
        let version = open.attr("version").and_then(|text| version(&text));
        if version.is_none_or(|(major, _)| major == 0) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        let lang = open.attr_ns(ns::XML, "lang").map(String::from);
        let Some(link) = &mut self.link else {
            let from = open.attr("from").map(String::from);
            return self.begin(now, Link::new(to, from, lang));
        };
        link.restart(Some(&to), lang).map_err(|_| {
            StreamError::new(StreamCondition::NotAuthorized)
                .with_text("the domain changed within one connection")
        })?;
        self.greeted = false;
        let header = link.header();
        self.write(header);
        self.until = Some(now + OPENING);
        Ok(())
    }

    /// The first stream of the connection.
    fn begin(&mut self, now: Instant, link: Link) -> Result<(), StreamError> {
        match &self.admission {
            Admission::Granted => {}
            Admission::Elsewhere(uri) => {
                let moved = close(Some(uri)); // RFC 7395 3.6.1
                self.send(moved);
                self.close(now, End::Moved, code::NORMAL);
                return Ok(());
            }
            Admission::Refused => {
                return Err(StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("this service has to be reached over HTTPS"));
            }
        }
        self.stage = Stage::Streaming;
        self.until = Some(now + OPENING);
        self.closed = false;
        self.effects.push_back(Effect::Connect(link.domain().to_owned()));
        self.write(link.header());
        self.link = Some(link);
        Ok(())
    }

    fn receive(&mut self, now: Instant, input: &mut BytesMut) {
        while self.stage == Stage::Streaming || self.stage == Stage::Leaving {
            let Some(link) = &mut self.link else { return };
            match link.next(input) {
                Ok(None) => break,
                Ok(Some(News::Header { from, to, id, lang })) => {
                    let from = from.as_deref().or(Some(link.domain()));
                    let open = opened(from, to.as_deref(), id.as_deref(), lang.as_deref());
                    self.greet(open);
                }
                Ok(Some(News::Success { payload, .. })) => {
                    self.limits = self.terms.after_auth.clone();
                    self.decoder.set_bytes(self.limits.bytes);
                    self.effects.push_back(Effect::Authenticated);
                    self.pass(payload);
                }
                Ok(Some(
                    News::Payload(payload) | News::Management(_, payload) | News::Error(payload),
                )) => self.pass(payload),
                Ok(Some(News::Footer)) => self.ended_by_server(now),
                Err(_) => self.fail(now, StreamCondition::RemoteConnectionFailed),
            }
        }
        let is_open = self.link.as_ref().is_some_and(Link::is_open);
        if self.stage == Stage::Streaming && is_open {
            self.until = None;
        }
    }

    /// The client closes its stream (RFC 7395 3.6).
    fn leave(&mut self, now: Instant) {
        match self.stage {
            Stage::Streaming => {
                self.stage = Stage::Leaving;
                self.until = Some(now + LEAVING);
                let footer = self.link.as_ref().map(Link::footer);
                footer.into_iter().for_each(|footer| self.write(footer));
            }
            Stage::Ending => self.close(now, End::Finished, code::NORMAL),
            Stage::Opening => self.finish(now, End::Closed, code::NORMAL),
            Stage::Leaving | Stage::Closing(_) | Stage::Over => {}
        }
    }

    fn ended_by_server(&mut self, now: Instant) {
        if self.stage == Stage::Leaving {
            return self.finish(now, End::Closed, code::NORMAL);
        }
        self.hang_up(true);
        self.send(close(None));
        self.stage = Stage::Ending;
        self.until = Some(now + LEAVING);
    }

    fn closed_by_client(&mut self, code: Option<u16>) {
        let end = match &self.stage {
            Stage::Closing(end) => end.clone(),
            // RFC 7395 3.6: the stream is over with the connection, and the server sees it break off likewise.
            stage => {
                let end = match stage {
                    Stage::Ending => End::Finished,
                    Stage::Leaving => End::Closed,
                    _ => End::Lost,
                };
                self.frame(Opcode::Close, close_payload(code.unwrap_or(code::NORMAL)));
                end
            }
        };
        self.lose(end);
    }

    /// RFC 6455 7.1.7: nothing that follows can be understood.
    fn violated(&mut self, now: Instant, violation: Violation) {
        let speaks = matches!(self.stage, Stage::Opening | Stage::Streaming);
        if violation == Violation::TooLarge && speaks {
            // RFC 6120 13.12: with a word to who speaks XMPP.
            let error = StreamError::new(StreamCondition::PolicyViolation);
            self.tell(error.with_text("a message too large"));
        }
        if !self.is_closing() {
            self.close(now, End::Violation(violation), violation.code());
        }
        self.lose(End::Violation(violation));
    }

    /// Ends the stream with an error (RFC 7395 3.5).
    fn fail(&mut self, now: Instant, error: impl Into<StreamError>) {
        let error = error.into();
        match self.stage {
            Stage::Opening | Stage::Streaming => {}
            Stage::Leaving | Stage::Ending | Stage::Closing(_) | Stage::Over => return,
        }
        let code = match error.condition {
            StreamCondition::SystemShutdown => code::GOING_AWAY,
            StreamCondition::PolicyViolation => code::POLICY,
            StreamCondition::RemoteConnectionFailed => code::INTERNAL,
            _ => code::NORMAL,
        };
        let condition = error.condition.clone();
        self.tell(error);
        self.close(now, End::Error(condition), code);
    }

    /// A stream error, after an `<open/>` if there was none, and the end of the stream.
    fn tell(&mut self, error: StreamError) {
        let known = self.link.as_ref().map(Link::domain);
        let from = known.or(self.terms.domains.first().map(String::as_str));
        let open = opened(from, None, Some(&self.id), Some("en"));
        self.greet(open);
        let mut out = BytesMut::new();
        error.write(&mut out);
        self.send(declared(&out));
        self.send(close(None));
    }

    /// Closes the streams in good order, then the connection.
    fn finish(&mut self, now: Instant, end: End, code: u16) {
        self.send(close(None));
        self.close(now, end, code);
    }

    /// Sends a close frame; the stream to the server ends in good order. Where nobody on the client's side has ended it, it
    /// breaks off there, too: the client may resume it (XEP-0198 7).
    fn close(&mut self, now: Instant, end: End, code: u16) {
        use StreamCondition::{ConnectionTimeout, SystemShutdown};
        let has_left = self.stage == Stage::Leaving;
        let cut_off = matches!(end, End::Error(ConnectionTimeout | SystemShutdown));
        self.hang_up(!has_left && !cut_off);
        self.frame(Opcode::Close, close_payload(code));
        self.stage = Stage::Closing(end);
        self.until = Some(now + LEAVING);
    }

    /// Nothing more is to come from the client, or to go there. What the server is in the middle of breaks off.
    fn lose(&mut self, end: End) {
        self.hang_up(false);
        let end = match &self.stage {
            Stage::Closing(end) => end.clone(),
            _ => end,
        };
        self.stage = Stage::Over;
        self.effects.push_back(Effect::End(end));
    }

    fn hang_up(&mut self, in_order: bool) {
        if !std::mem::replace(&mut self.closed, true) {
            if let Some(link) = self.link.as_ref().filter(|_| in_order) {
                self.effects.push_back(Effect::Write(link.footer()));
            }
            self.effects.push_back(Effect::Close);
            self.unwritten = 0;
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            match &self.stage {
                Stage::Opening => self.fail(now, StreamCondition::ConnectionTimeout),
                Stage::Streaming => self.fail(now, StreamCondition::RemoteConnectionFailed),
                Stage::Leaving => self.finish(now, End::Closed, code::NORMAL),
                Stage::Ending => self.close(now, End::Finished, code::NORMAL),
                Stage::Closing(end) => self.lose(end.clone()),
                Stage::Over => {}
            }
        }
        if self.stall.is_some_and(|stall| stall <= now) {
            self.fail(now, StreamCondition::RemoteConnectionFailed);
        }
        if self.silence().is_some_and(|silence| silence <= now) {
            if self.pinged {
                return self.lose(End::Silent);
            }
            // RFC 7395 3.8: no white space here.
            self.pinged = true;
            self.frame(Opcode::Ping, Bytes::new());
        }
    }

    /// When the client has been silent for too long. Who is not listened to cannot be heard.
    fn silence(&self) -> Option<Instant> {
        let patience = if self.pinged { PING_AFTER + PONG_WITHIN } else { PING_AFTER };
        (self.stage == Stage::Streaming && self.reads_client()).then(|| self.heard + patience)
    }

    fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(_) | Stage::Over)
    }

    /// Sends this `<open/>` unless there was one.
    fn greet(&mut self, open: Bytes) {
        if !std::mem::replace(&mut self.greeted, true) {
            self.send(open);
        }
    }

    /// Passes something on to the client (RFC 7395 3.3.3).
    fn pass(&mut self, payload: Payload) {
        let document = match payload.kind {
            Kind::Stream => declared(&payload.bytes),
            Kind::Sasl | Kind::Stanza | Kind::Other => payload.bytes,
        };
        self.send(document);
    }

    /// Sends one message.
    fn send(&mut self, text: Bytes) {
        self.frame(Opcode::Text, text);
    }

    fn frame(&mut self, opcode: Opcode, payload: Bytes) {
        let head = server_head(opcode, payload.len());
        for bytes in [head, payload].into_iter().filter(|bytes| !bytes.is_empty()) {
            self.unsent += bytes.len();
            self.effects.push_back(Effect::Send(bytes));
        }
    }

    fn write(&mut self, bytes: Bytes) {
        if !self.closed {
            self.unwritten += bytes.len();
            self.effects.push_back(Effect::Write(bytes));
        }
    }
}

/// The domain that an `<open/>` is for, prepared.
fn domain(to: Option<&str>, terms: &Terms) -> Result<String, StreamError> {
    // RFC 6120 4.7.2: a client must say whom it wants.
    let to = to.ok_or_else(|| StreamError::new(StreamCondition::HostUnknown))?;
    let to: Jid = to.parse().map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?;
    if to.local().is_some() || !to.is_bare() {
        return Err(StreamCondition::ImproperAddressing.into());
    }
    let is_in = |names: &[String]| names.iter().any(|one| one == to.domain());
    match terms.domains.is_empty() || is_in(&terms.domains) {
        _ if is_in(&terms.gone) => Err(StreamCondition::HostGone.into()),
        true => Ok(to.domain().to_owned()),
        false => Err(StreamCondition::HostUnknown.into()),
    }
}

/// The answer to an `<open/>` (RFC 7395 3.4).
fn opened(from: Option<&str>, to: Option<&str>, id: Option<&str>, lang: Option<&str>) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("open", ns::FRAMING);
    for (name, value) in [("from", from), ("to", to), ("id", id), ("xml:lang", lang)] {
        if let Some(value) = value {
            out.attr(name, value);
        }
    }
    out.attr("version", "1.0").close();
    out.finish()
}

/// The end of a stream, perhaps with the address to go on at (RFC 7395 3.6.1).
fn close(see_other: Option<&str>) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("close", ns::FRAMING);
    if let Some(uri) = see_other {
        out.attr("see-other-uri", uri);
    }
    out.close();
    out.finish()
}

/// An element that is named with the prefix `stream`, with the prefix declared (RFC 7395 3.3.3).
fn declared(element: &[u8]) -> Bytes {
    let end = element.iter().position(|byte| b" />".contains(byte)).unwrap_or(element.len());
    let (name, rest) = element.split_at(end);
    let mut out = BytesMut::with_capacity(element.len() + 64);
    for part in [name, b" xmlns:stream='", ns::STREAMS.as_bytes(), b"'", rest] {
        out.extend_from_slice(part);
    }
    out.freeze()
}

fn close_payload(code: u16) -> Bytes {
    Bytes::copy_from_slice(&code.to_be_bytes())
}

#[cfg(test)]
mod tests;
