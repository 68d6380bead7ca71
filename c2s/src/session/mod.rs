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
//! ExpectBind ── <resume/> ──► ExpectResume ── found ──► Bound, or else ExpectBind
//!
//! from everywhere: a footer, a stream error, a deadline, the end of the connection ──► Closed
//! ```

mod again;
mod bind;
mod frozen;
mod header;
mod ledger;
mod manage;
mod rate;
mod register;
mod sasl;
mod stage;
#[cfg(test)]
mod tests;

use crate::Settings;
pub(crate) use again::mark;
use bytes::{Bytes, BytesMut};
pub(crate) use frozen::{
    Page, Saved, Standing, State, put_counts, put_last, put_letter, put_seat, put_standing,
    put_taken, put_terms,
};
pub(crate) use ledger::{Counts, Ledger};
pub(crate) use manage::Resumed;
use rate::Bucket;
pub(crate) use register::RegisterError;
use router::{ClaimError, Letter, Mail, Offer};
use stage::{ExpectHeader, Stage, Step, Stream, Transition};
use std::{collections::VecDeque, mem, sync::Arc, time::Duration};
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

/// Stanzas of one stream that may be on their way to the store at a time: enough for one that sends as fast as it can while a
/// disk flushes, and each costs a task's memory.
const OPEN_MAX: usize = 1_024;

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
    /// After [`Effect::Resume`].
    Resumed(Result<Resumed, Option<u32>>),
    /// After [`Effect::Dispatch`]: the next stanza may follow.
    Routed,
    /// So many stanzas that were dispatched, in their order, have settled, and all that they caused for the client itself was
    /// handed in. Also when it is over.
    Settled(usize),
    /// The mailbox gave this.
    Mail(Mail),
    /// The stream is being resumed on another connection.
    Replaced,
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
    /// Resume the stream of this account with this SM-ID (XEP-0198 5).
    Resume(BareJid, String),
    /// Route this stanza. It is [`Event::Routed`] and, now or later, [`Event::Settled`]; mail and time go on meanwhile.
    Dispatch(Stanza),
    /// The stream is managed from now on and, with this SM-ID, to be found (XEP-0198 3); no event follows.
    Manage(Option<Box<str>>),
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
    /// The stream was closed, by a footer or a fault: not merely cut off, so it is not resumed (XEP-0198 7).
    pub(crate) finished: bool,
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
    /// When the connection began.
    began: Duration,
    /// When a stream that is not bound yet is closed.
    negotiate_by: Duration,
    /// When the last byte came.
    heard: Duration,
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
            stream: Stream::new(host, secure, now),
            effect: None,
            rates,
            heard: now,
            unread_since: None,
        }
    }

    /// Takes in what happened. Poll for effects after it.
    pub(crate) fn handle(&mut self, now: Duration, event: Event<'_>) {
        self.stream.now = now;
        match event {
            Event::Received(_) => self.heard = now,
            Event::Written(count) => {
                self.stream.on_written(count);
                self.unread_since = None;
            }
            Event::Settled(count) => self.stream.settle(count),
            _ => {}
        }
        if !matches!(event, Event::Resumed(Ok(_))) {
            // What is resumed is taken in, however late: nobody else has it any more.
            self.check_deadlines();
        }
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
        if effect.is_none() && matches!(self.stage, Stage::Bound(_)) {
            self.stream.settle_up();
        }
        if self.stream.input.is_empty() && self.stream.input.capacity() > 0 {
            self.stream.input = BytesMut::new(); // an idle stream holds no buffer
        }
        self.watch_output();
        effect
    }

    /// Whether bytes of the client are of use now: not while an effect is under way, over a rate, while the client itself
    /// does not read, or once closed. What is not read is not kept: the client has to wait (threat R05).
    pub(crate) fn wants_input(&self) -> bool {
        self.reads() && self.stream.output.len() < OUTPUT_MAX && self.resume_at().is_none()
    }

    /// Whether a stanza can be taken: what the client does not read or acknowledge waits in the mailbox, which is bounded.
    /// The end of the session needs no room.
    pub(crate) fn has_room(&self) -> bool {
        !matches!(self.stage, Stage::Closed) && self.keeps_up()
    }

    /// Whether its client takes what there is for it.
    pub(crate) fn keeps_up(&self) -> bool {
        self.stream.output.len() < OUTPUT_MAX && self.stream.has_room()
    }

    /// The letters that the client is known to have by now: acknowledged or, where the stream is not managed, written.
    pub(crate) fn take_proven(&mut self) -> Vec<Letter> {
        mem::take(&mut self.stream.proven)
    }

    /// Whether the client may resume the stream once its connection is lost: it was told how, and that was written.
    pub(crate) fn is_resumable(&self) -> bool {
        let Stream { ledger, promised, written, .. } = &self.stream;
        written >= promised && ledger.as_ref().is_some_and(|ledger| ledger.terms().is_some())
    }

    /// The books of a managed stream.
    pub(crate) fn books(&mut self) -> Option<&mut Ledger> {
        self.stream.ledger.as_deref_mut()
    }

    /// The books of a managed stream, once it is over and all that it sent has settled.
    pub(crate) fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        self.stream.ledger.take()
    }

    /// The letters that the client may not have, once it is over.
    pub(crate) fn take_unproven(&mut self) -> Vec<Letter> {
        let unwritten = self.stream.unwritten.drain(..).map(|(_, letter)| letter);
        let ledger = self.stream.ledger.as_mut();
        unwritten
            .chain(ledger.map(|ledger| ledger.take_unacknowledged()).unwrap_or_default())
            .collect()
    }

    /// What is to be written, in one piece. Tell what was taken by [`Event::Written`].
    pub(crate) fn output(&self) -> &[u8] {
        &self.stream.output
    }

    /// Gives the memory of an empty output back, and of the list of what stood in it, for a connection that has nothing to do.
    pub(crate) fn release_output(&mut self) {
        if self.stream.output.is_empty() {
            self.stream.output = BytesMut::new();
        }
        if self.stream.unwritten.is_empty() {
            self.stream.unwritten = VecDeque::new();
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
        let resume = if self.reads() { self.resume_at() } else { None };
        let (mute, unanswered) = (self.mute_at(), self.unanswered_at());
        [Some(stage), unread, resume, mute, unanswered].into_iter().flatten().min()
    }

    /// Whether what the client says is of use.
    fn reads(&self) -> bool {
        self.stage.reads() && !self.stream.dispatching && self.stream.open.len() < OPEN_MAX
    }

    /// When a client has taken too long to say what it has: it said nothing at all meanwhile.
    fn mute_at(&self) -> Option<Duration> {
        let since = self.stream.ledger.as_ref()?.open_since()?;
        Some(since.max(self.heard) + self.stream.host.settings().ack_timeout)
    }

    /// When a client is asked again for what it did not acknowledge.
    fn unanswered_at(&self) -> Option<Duration> {
        self.stream.ledger.as_ref()?.unanswered_at(self.stream.host.settings().ack_timeout)
    }

    /// When input is of use again, for a stream over its rates.
    fn resume_at(&self) -> Option<Duration> {
        let rates = self.rates.as_ref()?;
        let at = rates.bytes.ready_at().max(rates.stanzas.ready_at());
        (at > self.stream.now).then_some(at)
    }

    fn take_in(&mut self, event: Event<'_>) {
        match event {
            Event::Received(bytes) => {
                if let Some(rates) = &mut self.rates {
                    rates.bytes.take(self.stream.now, bytes.len());
                }
                if let Stage::Bound(bound) = &mut self.stage {
                    bound.pinged = false;
                }
                if self.stage.reads() {
                    self.stream.input.extend_from_slice(bytes);
                }
            }
            Event::Written(_) | Event::Settled(_) | Event::Tick => {}
            Event::Routed => self.stream.dispatching = false,
            Event::Ended => self.cut(Side::Client, "connection ended"),
            Event::Lost => {
                self.stream.output.clear();
                self.cut(Side::Client, "connection lost");
            }
            Event::Mail(Mail::Letter(letter)) => self.stream.send(letter),
            Event::Mail(Mail::Close(error)) => self.fail(error),
            // XEP-0198 5: the client has another connection by now
            Event::Replaced => self.interrupt(StreamCondition::Conflict),
            Event::Shutdown => self.interrupt(StreamCondition::SystemShutdown),
            Event::Resumed(outcome) => {
                self.advance(|stage, stream| stage.on_resumed(outcome, stream));
            }
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
                self.end(Closed::finished(Side::Client, "stream closed"));
            }
            Frame::Header(raw) => self.advance(|stage, stream| stage.on_header(raw, stream)),
            Frame::Element(raw) => {
                if let Some(rates) = &mut self.rates {
                    rates.stanzas.take(self.stream.now, 1);
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
                    self.negotiate_by = self.stream.now + self.stream.host.settings().auth_timeout;
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
                self.end(Closed::finished(by, why));
            }
        }
    }

    fn check_deadlines(&mut self) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        let settings = self.stream.host.settings();
        let now = self.stream.now;
        let is_over = |at: Option<Duration>| at.is_some_and(|at| now >= at);
        if is_over(self.unread_since.map(|since| since + settings.write_timeout)) {
            self.stream.output.clear(); // nobody reads it
            return self.cut(Side::Server, "the client does not read");
        }
        let (mute, unanswered) = (is_over(self.mute_at()), is_over(self.unanswered_at()));
        match &mut self.stage {
            Stage::Closed => {}
            Stage::Bound(bound) => {
                let idle_at = self.heard + settings.idle_timeout;
                if mute || (bound.pinged && now >= idle_at + settings.idle_grace) {
                    // RFC 6120 4.6.2
                    self.interrupt(StreamCondition::ConnectionTimeout);
                } else if !bound.pinged && now >= idle_at {
                    bound.ping(&mut self.stream);
                } else if unanswered {
                    self.stream.ask();
                }
            }
            _ if now >= self.negotiate_by => {
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
            self.unread_since.get_or_insert(self.stream.now);
        }
    }

    /// Ends the stream with an error that is not about what was said on it, so that it may be resumed.
    fn interrupt(&mut self, condition: StreamCondition) {
        self.fail_with(condition.into(), false);
    }

    /// Ends the stream with an error (RFC 6120 4.9.1.1).
    fn fail(&mut self, error: StreamError) {
        self.fail_with(error, true);
    }

    fn fail_with(&mut self, error: StreamError, finished: bool) {
        // RFC 6120 4.9.1.2: an error during set-up comes on a stream of its own
        self.stream.write_header_once();
        error.write(&mut self.stream.output);
        self.stream.output.extend_from_slice(stream::FOOTER.as_bytes());
        let (why, text) = (error.condition.name(), error.text);
        self.end(Closed { by: Side::Server, why, text, finished });
    }

    /// The connection is of no use any more.
    fn cut(&mut self, by: Side, why: &'static str) {
        self.end(Closed { by, why, text: None, finished: false });
    }

    fn end(&mut self, closed: Closed) {
        self.stage = Stage::Closed;
        self.stream.input = BytesMut::new();
        self.effect = Some(Effect::Close(closed));
    }
}

impl Closed {
    fn finished(by: Side, why: &'static str) -> Self {
        Self { by, why, text: None, finished: true }
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
