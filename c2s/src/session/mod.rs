//! One client's stream as a value (RFC 6120): no socket, clock, store or randomness inside.
//!
//! Give it what happened with [`Session::handle`]; then call [`Session::poll`] until it gives `None`, carry out each
//! effect and hand its outcome back as an event; write what [`Session::output`] holds, and come back at
//! [`Session::deadline`] if nothing else happens before. Input stays in the session's own buffer, uncut, while it waits for
//! the outcome of an effect, so a client that sends ahead gains nothing and nothing is handled out of turn.
//!
//! ```text
//!  ┌──────────────────── TLS is up ──────────────────────────────┐
//!  ▼                                                             │
//! ExpectHeader ── header ──► ExpectAuth ─── <starttls/> ───► ExpectTls
//!  ▲   │                      ▲      │
//!  │   │ header, once      failure   │ <auth/>
//!  │   │ authenticated        │      ▼
//!  │   │                   ExpectSaslResult ◄── <response/> ─── ExpectSaslResponse
//!  │   │                      │      │                            ▲
//!  │   │                      │      └───────── challenge ────────┘
//!  └── │ ───── success ───────┘
//!      ▼
//! ExpectBind ── bind ──► ExpectClaim ── claimed ──► Bound ──► a stanza at a time
//!      ▲                      │
//!      └────── refused ───────┘
//!
//! ExpectAuth ── jabber:iq:register ──► ExpectRegistration ── made, or refused ──► ExpectAuth
//!
//! from everywhere: a footer, a stream error, a deadline, the end of the connection ──► Closed
//! ```

mod bind;
mod header;
mod rate;
mod register;
mod sasl;
mod stage;
#[cfg(test)]
mod tests;

use crate::Settings;
use bytes::{Buf, Bytes, BytesMut};
use rate::Bucket;
pub(crate) use register::RegisterError;
use router::{ClaimError, Letter, Mail, Offer};
use stage::{ExpectHeader, Stage, Step, Stream, Transition};
use std::{mem, sync::Arc, time::Duration};
use xmpp_core::{
    BareJid, Jid, Stanza, StreamError,
    error::StreamCondition,
    sasl::{Failure, Mechanism, MechanismName, Response},
    stream,
    xml::{Element, Frame},
};

/// Bytes of output past which neither input nor mail is taken: enough to fill a fast connection in one turn. One more
/// stanza, or the answers to one, may come on top.
const OUTPUT_MAX: usize = 64 * 1_024;

/// The server as a session sees it.
pub(crate) trait Host: Send + Sync {
    /// Limits and rules.
    fn settings(&self) -> &Settings;
    /// Whether a domain (prepared) is served here.
    fn serves(&self, domain: &str) -> bool;
    /// What streams to this domain offer beyond what a session does itself, serialised.
    fn features(&self, offer: Offer, domain: &str) -> Bytes;
    /// A fresh unpredictable token, for a stream's id (RFC 6120 4.7.3) and a request's.
    fn token(&self) -> String;
}

/// A SASL exchange under way.
pub(crate) type Exchange = Box<dyn Mechanism + Send>;

/// What happened.
pub(crate) enum Event<'a> {
    /// These bytes were received. Only while [`Session::wants_input`]; else they are dropped.
    Received(&'a [u8]),
    /// So many bytes of [`Session::output`] were written.
    Written(usize),
    /// The client sends nothing more.
    Ended,
    /// The connection broke.
    Lost,
    /// The deadline passed. Any other event notices that too.
    Tick,
    /// After [`Effect::StartTls`]: the connection is encrypted now.
    Secured,
    /// After [`Effect::Authenticate`].
    Authenticated(Answer),
    /// After [`Effect::Register`].
    Registered(Result<(), RegisterError>),
    /// After [`Effect::Claim`].
    Claimed(Result<Jid, ClaimError>),
    /// The mailbox gave this.
    Mail(Mail),
    /// The server shuts down.
    Shutdown,
}

/// What a session asks for. One at a time: the outcome is the next event but for those that always happen.
pub(crate) enum Effect {
    /// Write all output, then do the handshake (RFC 6120 5.4.3). Where it fails: [`Event::Lost`].
    StartTls,
    /// Put this to SASL.
    Authenticate(Ask),
    /// Make this account, with this password (XEP-0077 3.1.1).
    Register(BareJid, String),
    /// Claim this account with this resource, or with one of the router's making (RFC 6120 7).
    Claim(BareJid, Option<String>),
    /// Route this stanza; no event follows, but poll again only when it is routed (RFC 6120 10.1).
    Dispatch(Stanza),
    /// The client says whether somebody is looking at it (XEP-0352): tell the mailbox; no event follows.
    Active(bool),
    /// It is over: write what is left of the output, then end the connection.
    Close(Closed),
}

/// One step of a SASL exchange.
pub(crate) enum Ask {
    /// A new exchange: look the credentials up, make the mechanism and give it the client's first message.
    Begin { mechanism: MechanismName, account: BareJid, first: Vec<u8> },
    /// Give the mechanism the client's next message.
    Continue { exchange: Exchange, message: Vec<u8> },
}

/// What came of an [`Ask`].
pub(crate) enum Answer {
    /// The mechanism answered.
    Responded(Exchange, Response),
    /// The exchange failed.
    Refused(Failure),
}

/// How a stream ended: who ended it and why. For the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) by: Side,
    pub(crate) why: &'static str,
    pub(crate) text: Option<&'static str>,
}

/// One end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A client's stream. See the module's documentation for how to drive it.
pub(crate) struct Session {
    stage: Stage,
    stream: Stream,
    effect: Option<Effect>,
    /// `None` for trusted addresses.
    rates: Option<Rates>,
    now: Duration,
    /// When the connection began.
    began: Duration,
    /// When a stream that is not bound yet is closed.
    negotiate_by: Duration,
    /// When the last byte came.
    heard: Duration,
    /// What was written for the client.
    letters: Vec<Letter>,
    /// Since when the client has taken nothing of the output, if there is any.
    unread_since: Option<Duration>,
}

struct Rates {
    bytes: Bucket,
    stanzas: Bucket,
}

impl Session {
    /// A fresh connection. `now` is the time since any fixed moment, as in every event; `secure`: nobody else can read
    /// it, no STARTTLS is offered; `trusted`: no rates hold for it.
    pub(crate) fn new(host: Arc<dyn Host>, now: Duration, secure: bool, trusted: bool) -> Self {
        let settings = host.settings();
        let rates = (!trusted).then(|| Rates {
            bytes: Bucket::new(settings.bytes),
            stanzas: Bucket::new(settings.stanzas),
        });
        Self {
            began: now,
            negotiate_by: now + settings.auth_timeout,
            stage: Stage::Header(ExpectHeader { account: None }),
            stream: Stream::new(host, secure),
            effect: None,
            rates,
            now,
            heard: now,
            letters: Vec::new(),
            unread_since: None,
        }
    }

    /// Takes in what happened. Poll for effects after it.
    pub(crate) fn handle(&mut self, now: Duration, event: Event<'_>) {
        self.now = now;
        if matches!(event, Event::Received(_)) {
            self.heard = now;
        }
        if let Event::Written(count) = event {
            self.stream.output.advance(count);
            self.unread_since = None;
        }
        self.check_deadlines();
        if !matches!(self.stage, Stage::Closed) {
            self.take_in(event);
        }
        self.watch_output();
    }

    /// The next thing to do. `None`: wait for an event or the deadline.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        let effect = loop {
            if let Some(effect) = self.effect.take() {
                break Some(effect);
            }
            if !self.wants_input() {
                break None;
            }
            match self.stream.framer.next(&mut self.stream.input) {
                Ok(Some(frame)) => self.on_frame(frame),
                Ok(None) => break None,
                Err(error) => self.fail(error.into()),
            }
        };
        if self.stream.input.is_empty() && self.stream.input.capacity() > 0 {
            self.stream.input = BytesMut::new(); // an idle stream holds no buffer
        }
        self.watch_output();
        effect
    }

    /// Whether bytes of the client are of use now: not while an effect is under way, over a rate, while the client itself
    /// does not read, or once closed. What is not read is not kept: the client has to wait (threat R05).
    pub(crate) fn wants_input(&self) -> bool {
        self.stage.reads() && self.has_room() && self.resume_at().is_none()
    }

    /// Whether a stanza can be taken: what the client does not read waits in the mailbox, which is bounded. The end of the
    /// session needs no room.
    pub(crate) fn has_room(&self) -> bool {
        !matches!(self.stage, Stage::Closed) && self.stream.output.len() < OUTPUT_MAX
    }

    /// What is to be written, in one piece. Tell what was taken by [`Event::Written`].
    pub(crate) fn output(&self) -> &[u8] {
        &self.stream.output
    }

    /// What was written for the client, and is its own from then on.
    pub(crate) fn take_letters(&mut self) -> std::vec::Drain<'_, Letter> {
        self.letters.drain(..)
    }

    /// Gives the memory of an empty output back, for a connection that has nothing to do.
    pub(crate) fn release_output(&mut self) {
        if self.stream.output.is_empty() {
            self.stream.output = BytesMut::new();
        }
    }

    /// When something is to happen by itself: hand in [`Event::Tick`] then. `None` once closed.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let settings = self.stream.host.settings();
        let stage = match &self.stage {
            Stage::Closed => return None,
            Stage::Bound(bound) if bound.pinged => {
                self.heard + settings.idle_timeout + settings.idle_grace
            }
            Stage::Bound(_) => self.heard + settings.idle_timeout,
            _ => self.negotiate_by,
        };
        let unread = self.unread_since.map(|since| since + settings.write_timeout);
        let resume = if self.stage.reads() { self.resume_at() } else { None };
        [Some(stage), unread, resume].into_iter().flatten().min()
    }

    /// When input is of use again, for a stream over its rates.
    fn resume_at(&self) -> Option<Duration> {
        let rates = self.rates.as_ref()?;
        let at = rates.bytes.ready_at().max(rates.stanzas.ready_at());
        (at > self.now).then_some(at)
    }

    fn take_in(&mut self, event: Event<'_>) {
        match event {
            Event::Received(bytes) => {
                if let Some(rates) = &mut self.rates {
                    rates.bytes.take(self.now, bytes.len());
                }
                if let Stage::Bound(bound) = &mut self.stage {
                    bound.pinged = false;
                }
                if self.stage.reads() {
                    self.stream.input.extend_from_slice(bytes);
                }
            }
            Event::Written(_) | Event::Tick => {}
            Event::Ended => self.end(Side::Client, "connection ended", None),
            Event::Lost => {
                self.stream.output.clear();
                self.end(Side::Client, "connection lost", None);
            }
            Event::Mail(Mail::Letter(letter)) => {
                letter.stanza().write(&mut self.stream.output);
                self.letters.push(letter);
            }
            Event::Mail(Mail::Close(error)) => self.fail(error),
            Event::Shutdown => self.fail(StreamCondition::SystemShutdown.into()),
            Event::Secured => self.advance(Stage::on_secured),
            Event::Authenticated(answer) => {
                self.advance(|stage, stream| stage.on_answer(answer, stream))
            }
            Event::Registered(outcome) => {
                self.advance(|stage, stream| stage.on_registered(outcome, stream));
            }
            Event::Claimed(outcome) => {
                self.advance(|stage, stream| stage.on_claimed(outcome, stream))
            }
        }
    }

    fn on_frame(&mut self, frame: Frame) {
        match frame {
            Frame::Whitespace => {}
            Frame::Footer => {
                self.stream.write_footer();
                self.end(Side::Client, "stream closed", None);
            }
            Frame::Header(raw) => self.advance(|stage, stream| stage.on_header(raw, stream)),
            Frame::Element(raw) => {
                if let Some(rates) = &mut self.rates {
                    rates.stanzas.take(self.now, 1);
                }
                match Element::check(raw, &self.stream.scope, &self.stream.limits) {
                    Ok(element) => self.advance(|stage, stream| stage.on_element(&element, stream)),
                    Err(error) => self.fail(error.into()),
                }
            }
        }
    }

    /// Consumes the stage and puts the next one in its place.
    fn advance(&mut self, transition: impl FnOnce(Stage, &mut Stream) -> Transition) {
        let stage = mem::replace(&mut self.stage, Stage::Closed);
        let was_authenticated = stage.is_authenticated();
        match transition(stage, &mut self.stream) {
            Ok(Step { next, effect }) => {
                self.stage = next;
                self.effect = effect;
                if self.stage.is_authenticated() && !was_authenticated {
                    self.negotiate_by = self.now + self.stream.host.settings().auth_timeout;
                } else if !was_authenticated
                    && self.stream.form_sent
                    && let Some(registration) = &self.stream.host.settings().registration
                {
                    // People fill it in. Still no idle timer: it counts from the beginning.
                    self.negotiate_by = self.negotiate_by.max(self.began + registration.timeout);
                }
            }
            Err(End::Error(error)) => self.fail(error),
            Err(End::Footer(by, why)) => {
                self.stream.write_footer();
                self.end(by, why, None);
            }
        }
    }

    fn check_deadlines(&mut self) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        let settings = self.stream.host.settings();
        if self.unread_since.is_some_and(|since| self.now >= since + settings.write_timeout) {
            self.stream.output.clear(); // nobody reads it
            return self.end(Side::Server, "the client does not read", None);
        }
        match &mut self.stage {
            Stage::Closed => {}
            Stage::Bound(bound) => {
                let idle_at = self.heard + settings.idle_timeout;
                if bound.pinged && self.now >= idle_at + settings.idle_grace {
                    self.fail(StreamCondition::ConnectionTimeout.into()); // RFC 6120 4.6.2
                } else if !bound.pinged && self.now >= idle_at {
                    bound.ping(&mut self.stream);
                }
            }
            _ if self.now >= self.negotiate_by => {
                // RFC 6120 4.6.3: however much it said meanwhile
                let error = StreamError::from(StreamCondition::PolicyViolation);
                self.fail(error.with_text("it took too long to log in"));
            }
            _ => {}
        }
    }

    /// Remembers since when output waits, to notice a client that does not read.
    fn watch_output(&mut self) {
        if self.stream.output.is_empty() {
            self.unread_since = None;
        } else {
            self.unread_since.get_or_insert(self.now);
        }
    }

    /// Ends the stream with an error (RFC 6120 4.9.1.1).
    fn fail(&mut self, error: StreamError) {
        // RFC 6120 4.9.1.2: an error during set-up comes on a stream of its own
        self.stream.write_header_once();
        error.write(&mut self.stream.output);
        self.stream.output.extend_from_slice(stream::FOOTER.as_bytes());
        self.end(Side::Server, error.condition.name(), error.text);
    }

    fn end(&mut self, by: Side, why: &'static str, text: Option<&'static str>) {
        self.stage = Stage::Closed;
        self.stream.input = BytesMut::new();
        self.effect = Some(Effect::Close(Closed { by, why, text }));
    }
}

/// How a transition ends the stream.
enum End {
    /// With an error.
    Error(StreamError),
    /// With what was written already, and a footer; by whom, and why.
    Footer(Side, &'static str),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Error(error)
    }
}

impl From<StreamCondition> for End {
    fn from(condition: StreamCondition) -> Self {
        Self::Error(condition.into())
    }
}
