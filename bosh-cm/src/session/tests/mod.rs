//! Conversations with one session: requests and stream bytes in, answers and stream bytes out. Names begin
//! with the row of the conformance list or the threat that they hold.

mod acks;
mod creation;
mod ends;
mod keys;
mod management;
mod model;
mod order;
mod pace;
mod streams;

use super::*;
use bytes::BytesMut;
use std::collections::BTreeMap;
use xmpp_core::xml::Limits;

const BODY: &str = " xmlns='http://jabber.org/protocol/httpbind'";
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='i1' from='example.com' version='1.0'>";
const FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";

/// The `rid` that opens a session here.
const FIRST: u64 = 100;

/// A session, with its clock, its server and its connections.
struct Talk {
    session: Session,
    now: Instant,
    input: BytesMut,
    /// Bytes that the server has not taken; `None` if it takes all at once.
    stalled: Option<usize>,
    written: String,
    /// What the servers of further streams have got.
    further: BTreeMap<u64, String>,
    answers: Vec<(u64, Answer)>,
    connects: Vec<String>,
    authenticated: bool,
    closed: Vec<u64>,
    end: Option<End>,
}

fn request(text: &str) -> Request {
    let limits = Limits { bytes: 1_000_000, ..Limits::AFTER_AUTH };
    Request::parse(text.into(), &limits).expect("a good request")
}

fn open(attributes: &str) -> Result<Session, Condition> {
    let text = format!(
        "<body{BODY} xmlns:xmpp='urn:xmpp:xbosh' rid='{FIRST}' to='example.com' {attributes}/>"
    );
    let domains = vec!["example.com".into(), "example.org".into()];
    let terms = Arc::new(Terms { domains, ..Terms::default() });
    Session::open(Instant::now(), Conn(FIRST), &request(&text), "SID".into(), &terms)
}

impl Talk {
    /// A session just asked for, with these attributes beside `rid` and `to`; no word from the server yet.
    fn asked(attributes: &str) -> Self {
        let mut talk = Self {
            session: open(attributes).expect("a session"),
            now: Instant::now(),
            input: BytesMut::new(),
            stalled: None,
            written: String::new(),
            further: BTreeMap::new(),
            answers: Vec::new(),
            connects: Vec::new(),
            authenticated: false,
            closed: Vec::new(),
            end: None,
        };
        talk.perform();
        talk
    }

    /// A session whose creation has been answered, a moment ago.
    fn with(attributes: &str) -> Self {
        let mut talk = Self::asked(&format!("ver='1.6' {attributes}"));
        talk.server(HEADER);
        talk.server(FEATURES);
        talk.after(5);
        talk.answers.clear();
        talk.written.clear();
        talk
    }

    /// A usual session after SASL.
    fn authenticated() -> Self {
        let mut talk = Self::usual();
        talk.send(101, "<auth/>").server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(talk.authenticated);
        talk.on(102, 102, "xmpp:restart='true'", "").server(HEADER).server(FEATURES);
        talk.answers();
        talk.written();
        talk
    }

    /// A usual session: hold 1, requests 2.
    fn usual() -> Self {
        Self::with("hold='1' wait='60'")
    }

    fn perform(&mut self) {
        while let Some(effect) = self.session.poll() {
            assert_eq!(self.end, None, "nothing after the end, but {effect:?}");
            match effect {
                Effect::Connect(_, to) => self.connects.push(to.domain),
                Effect::Write(stream, bytes) => {
                    let written = match stream {
                        StreamId::FIRST => &mut self.written,
                        StreamId(other) => self.further.entry(other).or_default(),
                    };
                    written.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
                    match &mut self.stalled {
                        Some(stalled) => *stalled += bytes.len(),
                        None => self.session.handle(self.now, Event::Written(stream, bytes.len())),
                    }
                }
                Effect::Answer(Conn(conn), answer) => self.answers.push((conn, answer)),
                Effect::Authenticated(_) => self.authenticated = true,
                Effect::Close(StreamId(stream)) => self.closed.push(stream),
                Effect::End(end) => self.end = Some(end),
            }
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        self.session.handle(self.now, event);
        self.perform();
    }

    /// A request on a connection of this number.
    fn on(&mut self, conn: u64, rid: u64, attributes: &str, payloads: &str) -> &mut Self {
        let text = format!(
            "<body{BODY} xmlns:xmpp='urn:xmpp:xbosh' rid='{rid}' sid='SID' {attributes}>{payloads}</body>"
        );
        self.tell(Event::Request(Conn(conn), Box::new(request(&text))));
        self
    }

    /// A request on a connection numbered like its `rid`.
    fn send(&mut self, rid: u64, payloads: &str) -> &mut Self {
        self.on(rid, rid, "", payloads)
    }

    fn lose(&mut self, conn: u64) -> &mut Self {
        self.tell(Event::Lost(Conn(conn)));
        self
    }

    fn server(&mut self, text: &str) -> &mut Self {
        self.input.extend_from_slice(text.as_bytes());
        let mut input = std::mem::take(&mut self.input);
        self.tell(Event::Received(StreamId::FIRST, &mut input));
        self.input = input;
        self
    }

    /// The server of another stream says something whole.
    fn other_server(&mut self, stream: u64, text: &str) -> &mut Self {
        let mut input = BytesMut::from(text);
        self.tell(Event::Received(StreamId(stream), &mut input));
        assert!(input.is_empty());
        self
    }

    /// Lets seconds pass, with every deadline on the way.
    fn after(&mut self, seconds: u64) -> &mut Self {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(deadline) = self.session.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.tell(Event::Tick);
        }
        self.now = until;
        self
    }

    /// What has been answered since the last look: connection and body, without the usual namespace.
    fn answers(&mut self) -> Vec<(u64, String)> {
        let answers = std::mem::take(&mut self.answers).into_iter();
        answers.map(|(conn, answer)| (conn, plain(&answer.body))).collect()
    }

    /// The only answer since the last look.
    fn answer(&mut self) -> (u64, String) {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// What the server has got since the last look.
    fn written(&mut self) -> String {
        std::mem::take(&mut self.written)
    }
}

fn plain(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).expect("UTF-8");
    assert!(text.starts_with(&format!("<body{BODY}")), "{text}");
    text.replacen(BODY, "", 1)
}

/// A terminal answer.
fn terminate(condition: &str) -> String {
    format!("<body type='terminate' condition='{condition}'/>")
}

fn empty(conn: u64) -> (u64, String) {
    (conn, "<body/>".into())
}

/// A stanza in the client's namespace, as it reaches the other side.
fn message(text: &str) -> String {
    format!("<message xmlns='jabber:client'><body>{text}</body></message>")
}

/// The same as a server sends it.
fn inherited(text: &str) -> String {
    format!("<message><body>{text}</body></message>")
}

fn holding(payload: &str) -> String {
    format!("<body>{payload}</body>")
}
