//! Conversations with a session, no socket and no clock in sight.

mod again;
mod anything;
mod asking;
mod bound;
mod counts;
mod errors;
mod limits;
mod login;
mod manage;
mod model;
mod opening;
mod register;

use super::{Answer, Ask, Closed, Effect, Event, Exchange, Host, RegisterError, Session, Side};
use crate::Settings;
use bytes::{Bytes, BytesMut};
use router::{ClaimError, Offer};
use std::{cell::Cell, sync::Arc, time::Duration};
use xmpp_core::{
    BareJid, Jid, Stanza, ns,
    sasl::{Failure, Identity, Mechanism, MechanismError, Response},
    stream,
};

const JULIET: &str = "juliet@capulet.lit";
const BALCONY: &str = "juliet@capulet.lit/balcony";
/// PLAIN's message: no authzid, juliet, a password.
const PLAIN: &str = "AGp1bGlldAByMG0zMG15cjBtMzA=";
const TLS_ONLY: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
    <required/></starttls><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>8192</max-bytes>\
    <idle-seconds>30</idle-seconds></limits></stream:features>";
const SECOND: Duration = Duration::from_secs(1);

struct Verona(Settings);

impl Host for Verona {
    fn settings(&self) -> &Settings {
        &self.0
    }
    fn serves(&self, domain: &str) -> bool {
        ["capulet.lit", "montague.lit"].contains(&domain)
    }
    fn features(&self, offer: Offer, domain: &str) -> Bytes {
        format!("<feature xmlns='urn:{offer:?}:{domain}'/>").into()
    }
    fn token(&self) -> String {
        "token".into()
    }
}

/// A mechanism whose answers the test gives: nobody asks it.
struct Mute;

impl Mechanism for Mute {
    fn name(&self) -> &str {
        "MUTE"
    }
    fn respond(&mut self, _: &[u8]) -> Result<Response, MechanismError> {
        unreachable!("the session asks the driver")
    }
}

fn exchange() -> Exchange {
    Box::new(Mute)
}

thread_local! {
    /// Into how many bytes what clients send is cut.
    static PIECE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Runs a conversation with all that the client sends whole, byte by byte, and in small pieces: no difference.
fn in_any_pieces(conversation: impl Fn()) {
    for size in [usize::MAX, 1, 2, 7] {
        PIECE.set(size);
        conversation();
    }
}

/// What brings a condition about.
enum Cause {
    /// On each of these it is what comes next.
    Sent(Vec<Talk>),
    /// Nothing does, and why.
    Never(&'static str),
}

/// A client and its session.
struct Talk {
    session: Session,
    /// An effect that was due before all that the client sent was in.
    due: Option<Effect>,
    now: Duration,
    secure: bool,
}

impl Talk {
    fn new(settings: Settings, secure: bool, trusted: bool) -> Self {
        let now = 1_000 * SECOND;
        let session = Session::new(Arc::new(Verona(settings)), now, secure, trusted);
        Self { session, due: None, now, secure }
    }

    /// A connection in the clear, to a server that requires TLS.
    fn clear() -> Self {
        Self::new(Settings::new("capulet.lit"), false, false)
    }

    fn secure() -> Self {
        Self::new(Settings::new("capulet.lit"), true, false)
    }

    /// A stream on which SASL and resource binding are next.
    fn opened(mut self) -> Self {
        self.hear(&header("capulet.lit"));
        self.says_after_header();
        self
    }

    /// A stream that waits for what SASL says.
    fn authenticating(self) -> Self {
        let mut talk = self.opened();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
        talk
    }

    /// A stream that waits for a resource.
    fn authenticated(self) -> Self {
        let mut talk = self.authenticating();
        talk.answer("juliet", b"");
        talk.says(&format!("<success xmlns='{}'></success>", ns::SASL));
        talk.hear(&header("capulet.lit"));
        talk.says_after_header();
        talk
    }

    /// A stream that is bound to the balcony.
    fn bound(self) -> Self {
        let mut talk = self.authenticated();
        talk.hear(&bind("<resource>balcony</resource>"));
        assert_eq!(talk.claim(), (JULIET.into(), Some("balcony".into())));
        talk.claimed(Ok(BALCONY));
        talk.session.handle(talk.now, Event::Written(talk.session.output().len()));
        talk
    }

    fn event(&mut self, event: Event<'_>) {
        self.session.handle(self.now, event);
    }

    /// The client sends this.
    fn hear(&mut self, text: &str) {
        for piece in text.as_bytes().chunks(PIECE.get()) {
            self.event(Event::Received(piece));
            self.due = self.poll();
        }
    }

    fn poll(&mut self) -> Option<Effect> {
        self.due.take().or_else(|| self.session.poll())
    }

    fn answer(&mut self, user: &str, data: &[u8]) {
        let success = Response::Success(Identity::Username(user.into()), data.to_vec());
        self.event(Event::Authenticated(Answer::Responded(exchange(), success)));
    }

    fn claimed(&mut self, outcome: Result<&str, ClaimError>) {
        self.event(Event::Claimed(outcome.map(|jid| jid.parse().expect("an address"))));
    }

    /// The one effect that is due.
    fn effect(&mut self) -> Effect {
        self.poll().unwrap_or_else(|| panic!("no effect, but {}", self.said()))
    }

    fn claim(&mut self) -> (String, Option<String>) {
        match self.effect() {
            Effect::Claim(account, resource) => (account.to_string(), resource),
            _ => panic!("another effect"),
        }
    }

    /// The stanza that is to be routed, which is and settles at once.
    fn dispatched(&mut self) -> Stanza {
        let stanza = self.routed();
        self.event(Event::Settled(1));
        stanza
    }

    /// The stanza that is to be routed, which is and does not settle yet.
    fn routed(&mut self) -> Stanza {
        match self.effect() {
            Effect::Dispatch(stanza) => {
                assert!(self.session.poll().is_none(), "one stanza after the other");
                self.event(Event::Routed);
                stanza
            }
            Effect::Close(closed) => panic!("closed: {closed:?}: {}", self.said()),
            _ => panic!("another effect"),
        }
    }

    fn closed(&mut self) -> Closed {
        match self.effect() {
            Effect::Close(closed) => {
                assert!(self.poll().is_none(), "nothing after the end");
                assert_eq!(self.session.deadline(), None);
                closed
            }
            _ => panic!("another effect"),
        }
    }

    /// All that the server has said since it was last asked.
    fn said(&mut self) -> String {
        let said = String::from_utf8(self.session.output().to_vec()).expect("UTF-8");
        self.session.handle(self.now, Event::Written(said.len()));
        said
    }

    /// The server, without asking for anything, says exactly this.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        assert!(self.poll().is_none(), "an effect, after {}", self.said());
        assert_eq!(self.said(), expected);
    }

    /// A header and features, whatever they are.
    fn says_after_header(&mut self) {
        assert!(self.poll().is_none());
        let said = self.said();
        assert!(said.starts_with(&answer_header("capulet.lit", None)), "{said}");
        assert!(said.ends_with("</stream:features>"), "{said}");
    }

    /// The server ends the stream with this error and nothing else.
    #[track_caller]
    fn fails(&mut self, condition: &str) {
        let closed = self.closed();
        let said = self.said();
        assert_eq!(closed.why, condition, "{said}");
        let error = said.find("<stream:error>").unwrap_or_else(|| panic!("no error: {said}"));
        let element = format!("<stream:error><{condition} xmlns='{}'/>", ns::STREAM_ERRORS);
        assert!(said[error..].starts_with(&element), "{said}");
        assert!(said.ends_with("</stream:error></stream:stream>"), "{said}");
    }

    /// The server may have something to say before, but this error is its last word.
    #[track_caller]
    fn ends_with(mut self, condition: &str, index: usize) {
        let closed = match self.poll() {
            Some(Effect::Close(closed)) => closed,
            Some(_) => panic!("{condition} {index}: another effect"),
            None => panic!("{condition} {index}: the stream goes on: {}", self.said()),
        };
        let said = self.said();
        let error = format!("<stream:error><{condition} xmlns='{}'/>", ns::STREAM_ERRORS);
        assert_eq!(closed.why, condition, "{index}: {said}");
        assert!(said.contains(&error), "{condition} {index}: {said}");
        assert!(said.ends_with("</stream:error></stream:stream>"), "{condition} {index}: {said}");
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.event(Event::Tick);
    }
}

fn header(to: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{to}' version='1.0'>"
    )
}

fn answer_header(from: &str, to: Option<&str>) -> String {
    let mut out = BytesMut::new();
    stream::write_header(&mut out, from, to, "token", "en");
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

fn bind(inner: &str) -> String {
    format!("<iq type='set' id='b'><bind xmlns='{}'>{inner}</bind></iq>", ns::BIND)
}

fn failure(name: &str) -> String {
    format!("<failure xmlns='{}'><{name}/></failure>", ns::SASL)
}

fn auth(mechanism: &str, data: &str) -> String {
    format!("<auth xmlns='{}' mechanism='{mechanism}'>{data}</auth>", ns::SASL)
}

fn jid(text: &str) -> Jid {
    text.parse().expect("an address")
}

fn account(text: &str) -> BareJid {
    text.parse().expect("an account")
}
