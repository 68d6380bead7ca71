//! Conversations with one session: messages and stream bytes in, messages and stream bytes out.

use super::{super::frames::write_frame, *};

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
const OPENED: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.com' id='i1' \
    xml:lang='en' version='1.0'/>";
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='i1' from='example.com' xml:lang='en' version='1.0'>";
const FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FOOTER: &str = "</stream:stream>";

/// A session, with its clock, its client and its server.
struct Talk {
    session: Session,
    now: Instant,
    heard: BytesMut,
    received: BytesMut,
    /// What the client got: texts, and other frames by their names.
    got: Vec<String>,
    reader: Decoder,
    sent: BytesMut,
    written: String,
    /// Whether the other side takes what is sent to it at once.
    client_takes: bool,
    server_takes: bool,
    connects: Vec<String>,
    authenticated: bool,
    closed: bool,
    end: Option<End>,
}

impl Talk {
    fn new() -> Self {
        Self::with(Admission::Granted, Terms::default())
    }

    fn with(admission: Admission, terms: Terms) -> Self {
        let now = Instant::now();
        let limits = FrameLimits { bytes: 10_000_000, fragments: 1 };
        Self {
            session: Session::new(now, "own".into(), admission, Arc::new(terms)),
            now,
            heard: BytesMut::new(),
            received: BytesMut::new(),
            got: Vec::new(),
            reader: Decoder::new(Peer::Server, limits),
            sent: BytesMut::new(),
            written: String::new(),
            client_takes: true,
            server_takes: true,
            connects: Vec::new(),
            authenticated: false,
            closed: false,
            end: None,
        }
    }

    /// With a stream whose features the client has.
    fn opened() -> Self {
        let mut talk = Self::new();
        talk.says(OPEN).server(&format!("{HEADER}{FEATURES}"));
        talk.got.clear();
        talk.written.clear();
        talk
    }

    fn authenticated() -> Self {
        let mut talk = Self::opened();
        talk.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").server(SUCCESS);
        talk.says(OPEN).server(&format!("{HEADER}<stream:features/>"));
        talk.got.clear();
        talk.written.clear();
        talk
    }

    fn event(&mut self, event: Event<'_>) -> &mut Self {
        self.session.handle(self.now, event);
        self.settle()
    }

    fn settle(&mut self) -> &mut Self {
        while let Some(effect) = self.session.poll() {
            assert_eq!(self.end, None, "{effect:?} after the end");
            match effect {
                Effect::Connect(domain) => self.connects.push(domain),
                Effect::Write(bytes) => {
                    assert!(!self.closed, "written to a stream that is closed");
                    self.written.push_str(str::from_utf8(&bytes).unwrap());
                    if self.server_takes {
                        self.session.handle(self.now, Event::Written(bytes.len()));
                    }
                }
                Effect::Send(bytes) => {
                    self.sent.extend_from_slice(&bytes);
                    if self.client_takes {
                        self.session.handle(self.now, Event::Sent(bytes.len()));
                    }
                }
                Effect::Authenticated => self.authenticated = true,
                Effect::Close => self.closed = true,
                Effect::End(end) => self.end = Some(end),
            }
        }
        while let Some(message) = self.reader.next(&mut self.sent).unwrap() {
            self.got.push(match message {
                Message::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Message::Close(code) => format!("close {}", code.unwrap()),
                Message::Ping(_) => "ping".to_owned(),
                Message::Pong => "pong".to_owned(),
            });
        }
        self
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> &mut Self {
        let mut heard = std::mem::take(&mut self.heard);
        write_frame(&mut heard, opcode, payload, Some([7, 8, 9, 10]));
        self.event(Event::Heard(&mut heard));
        self.heard = heard;
        self
    }

    fn says(&mut self, text: &str) -> &mut Self {
        self.frame(Opcode::Text, text.as_bytes())
    }

    fn server(&mut self, text: &str) -> &mut Self {
        let mut received = std::mem::take(&mut self.received);
        received.extend_from_slice(text.as_bytes());
        self.event(Event::Received(&mut received));
        self.received = received;
        self
    }

    /// Lets time pass until the session has something to do, and gives how long that was.
    fn waits(&mut self) -> Duration {
        let deadline = self.session.deadline().expect("it waits for something");
        let waited = deadline - self.now;
        self.now = deadline;
        self.event(Event::Tick);
        waited
    }

    /// What the client got last, an error without what surrounds it.
    #[track_caller]
    fn is_told(&self, condition: &str, code: u16) {
        let [.., error, close, frame] = &self.got[..] else { panic!("{:?}", self.got) };
        let start = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>";
        assert!(error.starts_with(&format!("{start}<{condition} ")), "{error}");
        assert_eq!((close.as_str(), frame), (CLOSE, &format!("close {code}")));
    }
}

/// RFC 7395 3.4, 3.7 and 3.6.
#[test]
fn row_19_a_domain_that_is_served_no_more_is_gone() {
    let gone = vec!["gone.example".to_owned(), "example.com".to_owned()];
    for domains in [vec![], vec!["example.com".to_owned(), "example.org".to_owned()]] {
        for (domain, is_gone) in
            [("gone.example", true), ("example.com", true), ("example.org", false)]
        {
            let terms = Terms { domains: domains.clone(), gone: gone.clone(), ..Terms::default() };
            let mut talk = Talk::with(Admission::Granted, terms);
            talk.says(&OPEN.replace("example.com", domain));
            assert_eq!(talk.got.concat().contains("<host-gone "), is_gone, "{:?}", talk.got);
            assert_eq!(talk.connects.is_empty(), is_gone, "{domain}");
        }
    }
}

#[test]
fn a_session_from_open_to_close() {
    let mut talk = Talk::new();
    talk.says(OPEN);
    assert_eq!(talk.connects, ["example.com"]);
    assert!(talk.written.starts_with("<?xml version='1.0'?><stream:stream "), "{}", talk.written);
    talk.written.clear();
    talk.server(HEADER);
    assert_eq!(talk.got, [OPENED]);
    talk.server(FEATURES);
    // No STARTTLS (3.9), and no binding to a channel that is not the client's; the prefix is declared (3.3.3).
    assert_eq!(
        talk.got[1],
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
         </stream:features>"
    );
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    talk.says(auth);
    assert_eq!(std::mem::take(&mut talk.written), auth);
    assert!(!talk.authenticated);
    talk.server(SUCCESS);
    assert!(talk.authenticated);
    assert_eq!(talk.got[2], SUCCESS);
    talk.says(OPEN);
    assert!(talk.written.starts_with("<?xml version='1.0'?><stream:stream "));
    talk.written.clear();
    talk.server(&format!("{HEADER}<stream:features/>"));
    assert_eq!(
        talk.got[3..],
        [OPENED, "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>"]
    );
    talk.got.clear();
    talk.says("<presence xmlns='jabber:client'/>");
    assert_eq!(std::mem::take(&mut talk.written), "<presence xmlns='jabber:client'/>");
    // One element a message, each complete in itself.
    talk.server(" <message id='1'><body>x</body></message>\n<iq id='2' type='result'/>");
    assert_eq!(
        talk.got,
        [
            "<message xmlns='jabber:client' id='1'><body>x</body></message>",
            "<iq xmlns='jabber:client' id='2' type='result'/>"
        ]
    );
    talk.got.clear();
    talk.says(CLOSE);
    assert_eq!(talk.written, FOOTER);
    // What was on its way still comes.
    talk.server(&format!("<message id='3'/>{FOOTER}"));
    assert_eq!(talk.got, ["<message xmlns='jabber:client' id='3'/>", CLOSE, "close 1000"]);
    assert!(talk.closed && talk.end.is_none());
    talk.frame(Opcode::Close, &[3, 232]);
    assert_eq!(talk.end, Some(End::Closed));
}

#[test]
fn the_server_closes_its_stream() {
    let mut talk = Talk::authenticated();
    talk.server(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    );
    talk.server(FOOTER);
    let error = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
        <conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(talk.got, [error, CLOSE]);
    assert_eq!((talk.written.as_str(), talk.closed), (FOOTER, true));
    talk.says("<presence xmlns='jabber:client'/>");
    assert_eq!(talk.got.len(), 2, "what crosses the end is for nobody");
    talk.says(CLOSE);
    assert_eq!(talk.got[2], "close 1000");
    talk.frame(Opcode::Close, b"");
    assert_eq!(talk.end, Some(End::Finished));
}

#[test]
fn nobody_waits_for_a_client_that_does_not_close() {
    let mut talk = Talk::authenticated();
    talk.server(FOOTER);
    assert_eq!(talk.waits(), LEAVING);
    assert_eq!(talk.got, [CLOSE, "close 1000"]);
    assert_eq!(talk.waits(), LEAVING);
    assert_eq!(talk.end, Some(End::Finished));
}

#[test]
fn nobody_waits_for_a_server_that_does_not_close() {
    let mut talk = Talk::authenticated();
    talk.says(CLOSE);
    assert_eq!(talk.waits(), LEAVING);
    assert_eq!(talk.got, [CLOSE, "close 1000"]);
    assert!(talk.closed);
}

/// RFC 7395 3.6: as over TCP, the server sees a connection that broke, not the end of a stream.
#[test]
fn a_connection_that_ends_without_a_close_breaks_the_stream_off() {
    let mut talk = Talk::authenticated();
    talk.frame(Opcode::Close, &[3, 233]);
    assert_eq!((talk.got.as_slice(), talk.written.as_str()), (&["close 1001".to_owned()][..], ""));
    assert_eq!((talk.closed, talk.end), (true, Some(End::Lost)));
    let mut talk = Talk::authenticated();
    talk.event(Event::Lost);
    assert_eq!((talk.written.as_str(), talk.closed, talk.end), ("", true, Some(End::Lost)));
}

#[test]
fn w03_a_stream_begins_with_an_open() {
    let framing = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'";
    for (first, condition) in [
        ("<open to='example.com' version='1.0'/>".to_owned(), "invalid-namespace"),
        (
            "<open xmlns='jabber:client' to='example.com' version='1.0'/>".into(),
            "invalid-namespace",
        ),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             to='example.com' version='1.0'>"
                .into(),
            "not-well-formed",
        ),
        (
            "<stream xmlns='http://etherx.jabber.org/streams' to='example.com' version='1.0'/>"
                .into(),
            "invalid-namespace",
        ),
        ("<presence xmlns='jabber:client'/>".into(), "bad-format"),
        (format!("<open {framing} version='1.0'/>"), "host-unknown"),
        (format!("<open {framing} to='other.example' version='1.0'/>"), "host-unknown"),
        (format!("<open {framing} to='a@example.com' version='1.0'/>"), "improper-addressing"),
        (format!("<open {framing} to='' version='1.0'/>"), "improper-addressing"),
        (format!("<open {framing} to='example.com'/>"), "unsupported-version"),
        (format!("<open {framing} to='example.com' version='0.9'/>"), "unsupported-version"),
    ] {
        let terms = Terms { domains: vec!["example.com".into()], ..Terms::default() };
        let mut talk = Talk::with(Admission::Granted, terms);
        talk.says(&first);
        // 3.5: the error follows an open.
        assert_eq!(talk.got[0], OPENED.replace("i1", "own"), "{first}");
        talk.is_told(condition, 1000);
        assert!(talk.connects.is_empty(), "{first}");
    }
}

#[test]
fn w03_a_message_is_one_element_and_nothing_else() {
    for (message, condition) in [
        ("<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>", "not-well-formed"),
        ("<presence xmlns='jabber:client'>", "not-well-formed"),
        ("</presence>", "not-well-formed"),
        ("", "bad-format"),
        (" ", "bad-format"),
        (" <presence xmlns='jabber:client'/>", "bad-format"),
        ("presence", "bad-format"),
        ("<presence xmlns='jabber:client'/>x", "not-well-formed"),
        ("<!-- --><presence xmlns='jabber:client'/>", "restricted-xml"),
        ("<!DOCTYPE x><presence xmlns='jabber:client'/>", "restricted-xml"),
        ("<x:presence/>", "not-well-formed"),
        (OPEN, "bad-format"),
    ] {
        let mut talk = Talk::authenticated();
        talk.says(message);
        talk.is_told(condition, 1000);
        assert_eq!((talk.written.as_str(), talk.closed), (FOOTER, true), "{message}");
    }
}

/// RFC 7395 3.3.3 finds it superfluous, not wrong.
#[test]
fn an_xml_declaration_is_taken_off() {
    let mut talk = Talk::authenticated();
    talk.says("<?xml version='1.0'?><presence xmlns='jabber:client'/>");
    assert_eq!(talk.written, "<presence xmlns='jabber:client'/>");
}

/// What a document does not declare it must not get from the stream it is put into.
#[test]
fn nothing_gets_a_namespace_that_it_did_not_declare() {
    let mut talk = Talk::authenticated();
    talk.says("<presence/>");
    talk.says("<c:message xmlns:c='jabber:client'><body/></c:message>");
    assert_eq!(
        talk.written,
        "<presence xmlns=''/><c:message xmlns='' xmlns:c='jabber:client'><body/></c:message>"
    );
}

#[test]
fn x14_who_authenticated_at_one_domain_is_nobody_at_another() {
    let mut talk = Talk::opened();
    talk.server(SUCCESS).says(&OPEN.replace("example.com", "other.example"));
    talk.is_told("not-authorized", 1000);
}

#[test]
fn only_an_open_may_follow_the_success_of_sasl() {
    let mut talk = Talk::opened();
    talk.server(SUCCESS).says("<presence xmlns='jabber:client'/>");
    talk.is_told("bad-format", 1000);
    assert_eq!(talk.written, FOOTER);
}

#[test]
fn x01_strangers_get_little_room_and_users_more() {
    let big =
        format!("<message xmlns='jabber:client'><body>{}</body></message>", "x".repeat(9_000));
    let mut talk = Talk::opened();
    talk.says(&big);
    talk.is_told("policy-violation", 1009);
    assert_eq!(
        (talk.written.as_str(), talk.end),
        (FOOTER, Some(End::Violation(Violation::TooLarge)))
    );
    let mut talk = Talk::authenticated();
    talk.says(&big);
    assert_eq!(talk.written, big);
    talk.says(&"x".repeat(262_145));
    talk.is_told("policy-violation", 1009);
}

#[test]
fn w02_a_violation_of_framing_ends_the_session() {
    let mut talk = Talk::authenticated();
    talk.frame(Opcode::Binary, b"<presence xmlns='jabber:client'/>");
    assert_eq!(talk.got, ["close 1003"]);
    assert_eq!(talk.end, Some(End::Violation(Violation::Binary)));
    assert_eq!((talk.written.as_str(), talk.closed), (FOOTER, true));
}

#[test]
fn w02_pings_are_not_read_faster_than_pongs_are_taken() {
    let mut talk = Talk::authenticated();
    talk.client_takes = false;
    for _ in 0..1_000 {
        if talk.session.reads_client() {
            talk.frame(Opcode::Ping, &[b'x'; 125]);
        }
    }
    assert!(talk.got.len() < 200, "{}", talk.got.len());
    assert!(!talk.session.reads_server());
}

#[test]
fn a_server_that_takes_nothing_stops_the_client_and_then_ends() {
    let mut talk = Talk::authenticated();
    talk.server_takes = false;
    talk.says(&format!("<presence xmlns='jabber:client'>{}</presence>", " ".repeat(AHEAD)));
    assert!(!talk.session.reads_client());
    assert_eq!(talk.waits(), STALL);
    talk.is_told("remote-connection-failed", 1011);
    assert!(talk.session.reads_client(), "its close is to be heard");
    talk.frame(Opcode::Close, b"");
    assert!(matches!(talk.end, Some(End::Error(StreamCondition::RemoteConnectionFailed))));
}

/// RFC 7395 3.8.
#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let mut talk = Talk::authenticated();
    assert_eq!(talk.waits(), PING_AFTER);
    assert_eq!(talk.got, ["ping"]);
    talk.frame(Opcode::Pong, b"");
    assert_eq!(talk.waits(), PING_AFTER);
    assert_eq!(talk.got, ["ping", "ping"]);
    assert_eq!(talk.waits(), PONG_WITHIN);
    assert_eq!((talk.end, talk.closed), (Some(End::Silent), true));
    assert_eq!(talk.written, "", "the server sees a connection that broke");
}

#[test]
fn white_space_of_the_server_is_not_passed_on() {
    let mut talk = Talk::authenticated();
    talk.server(" \n ");
    assert!(talk.got.is_empty());
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let mut talk = Talk::new();
    assert_eq!(talk.waits(), OPENING);
    talk.is_told("connection-timeout", 1000);
    let mut talk = Talk::new();
    talk.says(OPEN);
    assert_eq!(talk.waits(), OPENING);
    talk.is_told("remote-connection-failed", 1011);
}

/// RFC 7395 3.6.1.
#[test]
fn t02_over_a_connection_that_is_not_secure_there_is_no_stream() {
    let elsewhere = Admission::Elsewhere("wss://x.example/ws?a&b".into());
    let mut talk = Talk::with(elsewhere, Terms::default());
    talk.says(OPEN);
    let moved = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' \
        see-other-uri='wss://x.example/ws?a&amp;b'/>";
    assert_eq!(talk.got, [moved, "close 1000"]);
    assert!(talk.connects.is_empty());
    let mut talk = Talk::with(Admission::Refused, Terms::default());
    talk.says(OPEN);
    talk.is_told("policy-violation", 1008);
    assert!(talk.connects.is_empty());
}

#[test]
fn without_a_server_the_client_learns_why() {
    for (condition, told, code) in [
        (Condition::HostUnknown, "host-unknown", 1000),
        (Condition::RemoteConnectionFailed, "remote-connection-failed", 1011),
    ] {
        let mut talk = Talk::new();
        talk.says(OPEN).event(Event::Failed(condition));
        assert_eq!(talk.got[0], OPENED.replace("i1", "own"));
        talk.is_told(told, code);
    }
    let mut talk = Talk::authenticated();
    talk.event(Event::Closed);
    talk.is_told("remote-connection-failed", 1011);
    let mut talk = Talk::opened();
    talk.server("<this is not XMPP");
    talk.server("<");
    talk.is_told("remote-connection-failed", 1011);
}

/// The client has closed nothing: it may resume its stream (XEP-0198 7).
#[test]
fn a_manager_that_stops_says_so() {
    let mut talk = Talk::authenticated();
    talk.event(Event::Shutdown);
    talk.is_told("system-shutdown", 1001);
    assert_eq!((talk.written.as_str(), talk.closed), ("", true));
    assert_eq!(talk.waits(), LEAVING, "the client's close is waited for, not forever");
    assert!(talk.end.is_some());
}

#[test]
fn a_client_may_leave_without_a_stream() {
    let mut talk = Talk::new();
    talk.says(CLOSE);
    assert_eq!(talk.got, [CLOSE, "close 1000"]);
    assert!(talk.connects.is_empty());
}
