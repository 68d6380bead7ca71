//! The stages of a stream, one struct each, named for what it waits for and consumed by its transition; and what
//! survives them.

use super::{
    Answer, Effect, End, Exchange, Host, Ledger, RegisterError, Resumed, Side, manage,
    sasl::refuse_tls,
};
use bytes::{Buf, Bytes, BytesMut};
use compact_str::CompactString;
use router::{ClaimError, Letter};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use xmpp_core::{
    BareJid, Jid, Stanza,
    error::{StanzaCondition, StanzaError, StreamCondition},
    ns,
    sasl::MechanismName,
    stanza::{IqType, Kind, StanzaFault},
    stream,
    xml::{Element, Framer, Limits, Scope},
};

/// Where a stream stands.
pub(super) enum Stage {
    Header(ExpectHeader),
    Auth(ExpectAuth),
    Tls(ExpectTls),
    Registration(Box<ExpectRegistration>),
    SaslResult(ExpectSaslResult),
    SaslResponse(ExpectSaslResponse),
    Bind(ExpectBind),
    Claim(Box<ExpectClaim>),
    Resume(Box<ExpectResume>),
    Bound(Bound),
    Closed,
}

/// A stream header, the first one or one after a restart (RFC 6120 4.2, 4.3.3).
pub(super) struct ExpectHeader {
    /// Who has authenticated.
    pub(super) account: Option<BareJid>,
}

/// STARTTLS or SASL (RFC 6120 5.4.2, 6.4.2): the features are sent.
pub(super) struct ExpectAuth;

/// The TLS handshake, which the driver does (RFC 6120 5.4.3).
pub(super) struct ExpectTls;

/// What came of a registration, which the driver makes (XEP-0077 3.1.1).
pub(super) struct ExpectRegistration {
    /// The request, without what it asked.
    pub(super) request: Stanza,
}

/// What SASL says, which the driver asks.
pub(super) struct ExpectSaslResult {
    pub(super) account: BareJid,
}

/// The client's answer to a challenge (RFC 6120 6.4.3).
pub(super) enum ExpectSaslResponse {
    /// It sent no initial response: its first message comes now.
    First(MechanismName),
    /// The exchange goes on.
    Next { account: BareJid, exchange: Exchange },
}

/// A request to bind a resource (RFC 6120 7).
pub(super) struct ExpectBind {
    pub(super) account: BareJid,
    /// Requests refused so far.
    pub(super) refused: u32,
}

/// The router's word on the resource.
pub(super) struct ExpectClaim {
    pub(super) account: BareJid,
    pub(super) refused: u32,
    pub(super) request: Stanza,
}

/// The former stream that the client wants to go on with, which the driver looks for (XEP-0198 5).
pub(super) struct ExpectResume {
    pub(super) account: BareJid,
    pub(super) refused: u32,
    /// How many stanzas the client has of it.
    pub(super) h: u32,
}

/// Stanzas, until the end.
pub(super) struct Bound {
    pub(super) jid: Jid,
    /// The client was asked for a sign of life.
    pub(super) pinged: bool,
}

/// The next stage and what must happen for it.
pub(super) struct Step {
    pub(super) next: Stage,
    pub(super) effect: Option<Effect>,
}

pub(super) type Transition = Result<Step, End>;

/// What survives the stages.
pub(super) struct Stream {
    pub(super) host: Arc<dyn Host>,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    pub(super) framer: Framer,
    pub(super) limits: Limits,
    pub(super) scope: Scope,
    /// Nobody else can read the connection.
    pub(super) secure: bool,
    /// Our header is sent on this stream.
    opened: bool,
    /// The domain that the first header asked for, kept over the restart after SASL (threat X14).
    pub(super) domain: Option<Jid>,
    /// Who the client says it is.
    pub(super) peer: Option<BareJid>,
    /// The client's language, for stanzas that name none (RFC 6120 4.7.4).
    pub(super) lang: Option<CompactString>,
    /// SASL exchanges that failed.
    pub(super) failures: u32,
    /// The client was told what to fill in to register: it has more time.
    pub(super) form_sent: bool,
    /// An account was registered on this stream.
    pub(super) registered: bool,
    /// The time of the last event.
    pub(super) now: Duration,
    /// A stanza is being routed: the next has to wait (RFC 6120 10.1).
    pub(super) dispatching: bool,
    /// The stanzas that were dispatched and have not settled, in order: how many count as handled once each has, itself and
    /// those behind it that were answered here. Bounded: past [`OPEN_MAX`](super::OPEN_MAX) nothing is read.
    pub(super) open: VecDeque<u32>,
    /// The books, once the stream is managed (XEP-0198).
    pub(super) ledger: Option<Box<Ledger>>,
    /// Bytes of the output that were written, ever.
    pub(super) written: u64,
    /// Where in the output the client is told how to resume the stream.
    pub(super) promised: u64,
    /// What was sent while the stream was not managed and is not written yet: where in the output each ends. As much as
    /// the output holds.
    pub(super) unwritten: VecDeque<(u64, Letter)>,
    /// What the client is known to have since the driver last asked.
    pub(super) proven: Vec<Letter>,
}

impl Stream {
    pub(super) fn new(host: Arc<dyn Host>, secure: bool, now: Duration) -> Self {
        let limits = host.settings().before_auth.clone();
        Self {
            host,
            input: BytesMut::new(),
            output: BytesMut::new(),
            framer: Framer::new(limits.clone()),
            limits,
            scope: Scope::default(),
            secure,
            opened: false,
            domain: None,
            peer: None,
            lang: None,
            failures: 0,
            form_sent: false,
            registered: false,
            now,
            dispatching: false,
            open: VecDeque::new(),
            ledger: None,
            written: 0,
            promised: 0,
            unwritten: VecDeque::new(),
            proven: Vec::new(),
        }
    }

    /// Forgets all that was said on the stream before: a fresh parser reads what comes (RFC 6120 4.3.3, threat T01).
    pub(super) fn restart(&mut self, limits: Limits) {
        self.framer = Framer::new(limits.clone());
        self.limits = limits;
        self.scope = Scope::default();
        self.peer = None;
        self.lang = None;
        self.opened = false;
    }

    /// So many bytes of the output were written.
    pub(super) fn on_written(&mut self, count: usize) {
        self.output.advance(count);
        self.written += count as u64;
        let written = self.written;
        let count = self.unwritten.iter().take_while(|(end, _)| *end <= written).count();
        self.proven.extend(self.unwritten.drain(..count).map(|(_, letter)| letter));
    }

    /// A stanza was taken from the stream.
    fn receive(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.receive();
        }
    }

    /// The stanza just received goes on its way.
    fn dispatch(&mut self, stanza: Stanza) -> Effect {
        self.dispatching = true;
        self.open.push_back(self.ledger.is_some().into());
        Effect::Dispatch(stanza)
    }

    /// The stanza just received was answered here, or needs no answer.
    fn handle(&mut self) {
        match (self.open.back_mut(), &mut self.ledger) {
            (_, None) => {}
            (Some(last), _) => *last += 1,
            (None, Some(ledger)) => ledger.handle(1),
        }
    }

    /// The next so many stanzas that were dispatched have settled.
    pub(super) fn settle(&mut self, stanzas: usize) {
        let handled = self.open.drain(..stanzas).sum();
        if let Some(ledger) = &mut self.ledger {
            ledger.handle(handled);
        }
    }

    /// Whether the client may be sent another stanza, as far as what it did not acknowledge goes.
    pub(super) fn has_room(&self) -> bool {
        let settings = self.host.settings();
        let ledger = self.ledger.as_ref();
        ledger.is_none_or(|ledger| ledger.has_room(settings.unacked, settings.unacked_bytes))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Our header, where it is not sent yet.
    pub(super) fn write_header_once(&mut self) {
        if self.opened {
            return;
        }
        self.opened = true;
        let host = Arc::clone(&self.host);
        let from = self.domain.as_ref().map_or(&*host.settings().domain, Jid::domain);
        let to = self.peer.as_ref().map(BareJid::as_str); // RFC 6120 4.7.2
        // RFC 6120 4.7.4: all texts that we write are English
        stream::write_header(&mut self.output, from, to, &host.token(), "en");
    }

    pub(super) fn write_footer(&mut self) {
        self.write_header_once();
        self.write(stream::FOOTER.as_bytes());
    }
}

impl Stage {
    /// Whether it waits for the client rather than for an effect.
    pub(super) fn reads(&self) -> bool {
        match self {
            Self::Header(_)
            | Self::Auth(_)
            | Self::SaslResponse(_)
            | Self::Bind(_)
            | Self::Bound(_) => true,
            Self::Tls(_)
            | Self::Registration(_)
            | Self::SaslResult(_)
            | Self::Claim(_)
            | Self::Resume(_)
            | Self::Closed => false,
        }
    }

    /// Whether SASL is behind it.
    pub(super) fn is_authenticated(&self) -> bool {
        match self {
            Self::Header(header) => header.account.is_some(),
            Self::Bind(_) | Self::Claim(_) | Self::Resume(_) | Self::Bound(_) => true,
            _ => false,
        }
    }

    pub(super) fn on_header(self, raw: Bytes, stream: &mut Stream) -> Transition {
        match self {
            Self::Header(stage) => stage.on_header(raw, stream),
            _ => Err(StreamCondition::BadFormat.into()), // a second header (threat X13)
        }
    }

    pub(super) fn on_element(self, element: &Element, stream: &mut Stream) -> Transition {
        match (element.ns(), element.name()) {
            // RFC 6120 4.9.1.1: an error of the client's ends the stream, and is not answered by another
            (ns::STREAMS, "error") => return Err(End::Footer(Side::Client, "stream error")),
            // RFC 6120 4.8.3: servers speak among themselves elsewhere
            (ns::SERVER, _) => return Err(StreamCondition::InvalidNamespace.into()),
            (ns::TLS, "starttls") if !matches!(self, Self::Auth(_)) => {
                return Err(refuse_tls(stream));
            }
            (ns::STREAM_MANAGEMENT, "enable" | "resume" | "r" | "a")
                if !self.is_authenticated() =>
            {
                return manage::refuse_early(self, stream);
            }
            _ => {}
        }
        match self {
            Self::Auth(stage) => stage.on_element(element, stream),
            Self::SaslResponse(stage) => stage.on_element(element, stream),
            Self::Bind(stage) => stage.on_element(element, stream),
            Self::Bound(stage) => stage.on_element(element, stream),
            // the others read no elements: a header comes first, or the input waits
            _ => Err(StreamCondition::BadFormat.into()),
        }
    }

    pub(super) fn on_secured(self, stream: &mut Stream) -> Transition {
        match self {
            Self::Tls(stage) => Ok(stage.on_secured(stream)),
            other => other.unasked("a TLS handshake"),
        }
    }

    pub(super) fn on_registered(
        self,
        outcome: Result<(), RegisterError>,
        stream: &mut Stream,
    ) -> Transition {
        match self {
            Self::Registration(stage) => stage.on_registered(outcome, stream),
            other => other.unasked("a registration"),
        }
    }

    pub(super) fn on_answer(self, answer: Answer, stream: &mut Stream) -> Transition {
        match self {
            Self::SaslResult(stage) => stage.on_answer(answer, stream),
            other => other.unasked("an answer of SASL"),
        }
    }

    pub(super) fn on_claimed(
        self,
        outcome: Result<Jid, ClaimError>,
        stream: &mut Stream,
    ) -> Transition {
        match self {
            Self::Claim(stage) => stage.on_claimed(outcome, stream),
            other => other.unasked("a claim"),
        }
    }

    pub(super) fn on_resumed(
        self,
        outcome: Result<Resumed, Option<u32>>,
        stream: &mut Stream,
    ) -> Transition {
        match self {
            Self::Resume(stage) => stage.on_resumed(outcome, stream),
            other => other.unasked("a stream resumed"),
        }
    }

    /// An event that no effect asked for: the driver's fault, not the client's.
    fn unasked(self, what: &str) -> Transition {
        debug_assert!(false, "{what} that the session did not ask for");
        self.stay()
    }

    fn stay(self) -> Transition {
        Ok(Step { next: self, effect: None })
    }

    /// This stage next, and this effect for it.
    pub(super) fn with(self, effect: Effect) -> Step {
        Step { next: self, effect: Some(effect) }
    }
}

impl From<Stage> for Step {
    fn from(next: Stage) -> Self {
        Self { next, effect: None }
    }
}

impl ExpectTls {
    fn on_secured(self, stream: &mut Stream) -> Step {
        stream.secure = true;
        // RFC 6120 5.4.3.3: nothing that was said in the clear counts
        stream.restart(stream.limits.clone());
        stream.domain = None;
        Stage::Header(ExpectHeader { account: None }).into()
    }
}

impl Bound {
    fn on_element(self, element: &Element, stream: &mut Stream) -> Transition {
        match (element.ns(), element.name()) {
            (ns::CLIENT, _) => {
                faults::site!("stanza-received");
                stream.receive();
            }
            (ns::STREAM_MANAGEMENT, _) => return self.on_management(element, stream),
            // XEP-0352 4.2
            (ns::CLIENT_STATE, "active") => {
                return Ok(Stage::Bound(self).with(Effect::Active(true)));
            }
            (ns::CLIENT_STATE, "inactive") => {
                return Ok(Stage::Bound(self).with(Effect::Active(false)));
            }
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        let mut stanza = match Stanza::parse(element) {
            Ok(Some(stanza)) => stanza,
            Ok(None) => return Err(StreamCondition::UnsupportedStanzaType.into()),
            Err(StanzaFault::Reply(mut reply)) => {
                self.check_from(reply.head.to.as_ref())?;
                reply.head.to = Some(self.jid.clone()); // RFC 6120 8.1.1.1
                return self.answer(Some(reply), stream);
            }
            Err(StanzaFault::Ignore) => return self.answer(None, stream), // RFC 6120 8.3.1
            Err(StanzaFault::Close(error)) => return Err(error.into()),
        };
        self.check_from(stanza.head.from.as_ref())?;
        if self.is_bind(&stanza) {
            stanza.head.from = Some(self.jid.clone()); // RFC 6120 8.1.1.1
            let error = StanzaError::new(StanzaCondition::NotAllowed); // RFC 6120 7.6.2.2
            return self.answer(stanza.error(&error), stream);
        }
        if stream.ledger.as_mut().is_some_and(|ledger| ledger.knows(&stanza)) {
            return self.answer(None, stream); // XEP-0198 5: definitively
        }
        if stanza.head.lang.is_none() {
            stanza.head.lang.clone_from(&stream.lang); // RFC 6120 4.7.4
        }
        faults::site!("stanza-parsed");
        Ok(Stage::Bound(self).with(stream.dispatch(stanza)))
    }

    /// Answers a stanza here and now: before it counts as handled (XEP-0198 4).
    fn answer(self, reply: Option<Stanza>, stream: &mut Stream) -> Transition {
        if let Some(reply) = reply {
            stream.send(Letter::from(reply));
        }
        stream.handle();
        Stage::Bound(self).stay()
    }

    /// RFC 6120 4.9.3.9: a client speaks for no other account (threat P01). As which resource of its own it speaks is
    /// stamped anyway (8.1.2.1), and some are wrong about it: converse.js, once it has resumed a stream.
    fn check_from(&self, from: Option<&Jid>) -> Result<(), StreamCondition> {
        match from {
            Some(from) if from.bare_str() != self.jid.bare_str() => {
                Err(StreamCondition::InvalidFrom)
            }
            _ => Ok(()),
        }
    }

    /// Another request to bind: there is one resource to a stream.
    fn is_bind(&self, stanza: &Stanza) -> bool {
        stanza.kind() == Kind::Iq(IqType::Set)
            && stanza.head.to.as_ref().is_none_or(|to| {
                to.as_str() == self.jid.bare_str() || to.as_str() == self.jid.domain()
            })
            && stanza.child(ns::BIND, "bind").is_some()
    }

    /// Asks for a sign of life. Any byte is one, so nobody waits for the answer itself.
    pub(super) fn ping(&mut self, stream: &mut Stream) {
        self.pinged = true;
        if stream.ledger.is_some() {
            return stream.ask(); // XEP-0198 8.2
        }
        let ping = Bytes::from_static(b"<ping xmlns='urn:xmpp:ping'/>"); // XEP-0199
        let mut request =
            Stanza::new(Kind::Iq(IqType::Get), ping).id(&stream.host.token()).to(self.jid.clone());
        request.head.from.clone_from(&stream.domain); // RFC 6120 8.1.2.1
        stream.send(Letter::from(request));
    }
}
