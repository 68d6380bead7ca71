//! The stages of a stream, one struct each, named for what it waits for and consumed by its transition; and what
//! survives them.

use super::{Answer, Effect, End, Exchange, Host, RegisterError, Side, sasl::refuse_tls};
use bytes::{Bytes, BytesMut};
use compact_str::CompactString;
use router::ClaimError;
use std::sync::Arc;
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
}

impl Stream {
    pub(super) fn new(host: Arc<dyn Host>, secure: bool) -> Self {
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
            | Self::Closed => false,
        }
    }

    /// Whether SASL is behind it.
    pub(super) fn is_authenticated(&self) -> bool {
        match self {
            Self::Header(header) => header.account.is_some(),
            Self::Bind(_) | Self::Claim(_) | Self::Bound(_) => true,
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
            (ns::CLIENT, _) => {}
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
                reply.write(&mut stream.output);
                return Stage::Bound(self).stay();
            }
            Err(StanzaFault::Ignore) => return Stage::Bound(self).stay(), // RFC 6120 8.3.1
            Err(StanzaFault::Close(error)) => return Err(error.into()),
        };
        self.check_from(stanza.head.from.as_ref())?;
        if self.is_bind(&stanza) {
            stanza.head.from = Some(self.jid.clone()); // RFC 6120 8.1.1.1
            let error = StanzaError::new(StanzaCondition::NotAllowed); // RFC 6120 7.6.2.2
            if let Some(reply) = stanza.error(&error) {
                reply.write(&mut stream.output);
            }
            return Stage::Bound(self).stay();
        }
        if stanza.head.lang.is_none() {
            stanza.head.lang.clone_from(&stream.lang); // RFC 6120 4.7.4
        }
        Ok(Stage::Bound(self).with(Effect::Dispatch(stanza)))
    }

    /// RFC 6120 4.9.3.9: a client speaks for nobody but itself (threat P01).
    fn check_from(&self, from: Option<&Jid>) -> Result<(), StreamCondition> {
        match from {
            Some(from) if *from != self.jid && from.as_str() != self.jid.bare_str() => {
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
        let ping = Bytes::from_static(b"<ping xmlns='urn:xmpp:ping'/>"); // XEP-0199
        let mut request =
            Stanza::new(Kind::Iq(IqType::Get), ping).id(&stream.host.token()).to(self.jid.clone());
        request.head.from.clone_from(&stream.domain); // RFC 6120 8.1.2.1
        request.write(&mut stream.output);
    }
}
