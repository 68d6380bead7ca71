//! The same over HTTP/2 (RFC 9113, RFC 8441): what is different there, for those who mean well and those who do not.

use crate::{
    frames::{
        ACK, CONNECT_PROTOCOL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
        INITIAL_WINDOW, PING, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        Wire, block, frame, head,
    },
    stage::{Answer, BODY, FEATURES, HEADER, Server, Stage, attribute},
    websocket::{CLOSE, OPEN, Socket},
};
use bosh_cm::{
    Insecure, Settings,
    http::{Https, serve},
    websocket::frames::{Message, Opcode},
};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
    ext::Protocol,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
    tls::{Tls, client},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};

const MESSAGE: &str = "<message xmlns='jabber:client'><body>hi</body></message>";
const EMPTY: &str = "<body xmlns='http://jabber.org/protocol/httpbind'/>";

fn creation() -> String {
    format!("<body {BODY} rid='100' to='example.com' ver='1.6' wait='60' hold='1'/>")
}

fn body(sid: &str, rid: u64, attributes: &str, payloads: &str) -> String {
    format!("<body {BODY} sid='{sid}' rid='{rid}' {attributes}>{payloads}</body>")
}

/// One connection of a client that asks for several things at a time.
struct Client {
    requests: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn over(stream: impl bosh_cm::Pipe + 'static) -> Self {
        let (requests, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    async fn from(stage: &Stage, address: &str, tls: bool) -> Self {
        Self::over(stage.pipe_from(address, tls)).await
    }

    async fn respond(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let mut requests = self.requests.clone();
        requests.ready().await?;
        requests.send_request(request).await
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(format!("https://x{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::default()).unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        answer(self.respond(self.request(method, path, headers)).await.unwrap()).await
    }

    /// Posts now; the answer may come later.
    async fn send(&self, headers: &[(&str, &str)], body: &str) -> JoinHandle<Option<Answer>> {
        let request = self.request("POST", "/http-bind", headers);
        let body = Full::new(Bytes::from(body.to_owned()));
        let mut requests = self.requests.clone();
        requests.ready().await.unwrap();
        let response = requests.send_request(request.map(|_| body));
        tokio::spawn(async move { Some(answer(response.await.ok()?).await) })
    }

    async fn post(&self, body: &str) -> Answer {
        self.send(&[], body).await.await.unwrap().expect("an answer")
    }

    /// A session that has logged in: before that, what both sides may send is short.
    async fn logged_in(&self, stage: &Stage) -> (String, Server) {
        let (sid, mut server) = self.session(stage).await;
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>eA==</auth>";
        let held = self.send(&[], &body(&sid, 101, "", auth)).await;
        server.expect(auth).await;
        server.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        assert!(held.await.unwrap().unwrap().body.contains("<success "));
        let restart = "xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true' to='example.com'";
        let held = self.send(&[], &body(&sid, 102, restart, "")).await;
        server.greet().await;
        assert!(held.await.unwrap().unwrap().body.contains(FEATURES));
        (sid, server)
    }

    /// A session with features told.
    async fn session(&self, stage: &Stage) -> (String, Server) {
        let created = self.send(&[], &creation()).await;
        let mut server = stage.server().await;
        server.greet().await;
        let created = created.await.unwrap().expect("an answer");
        assert!(created.body.contains(FEATURES), "{created:?}");
        (attribute(&created.body, "sid"), server)
    }

    /// Asks for a WebSocket (RFC 8441 5), with one header in the place of another, or without it where it is empty.
    async fn connect(&self, name: &str, value: &str) -> Response<Incoming> {
        let mut headers = vec![("sec-websocket-version", "13"), ("sec-websocket-protocol", "xmpp")];
        headers.retain(|(one, _)| *one != name);
        headers.extend((!value.is_empty() && !name.starts_with(':')).then_some((name, value)));
        let path = if name == ":path" { value } else { "/ws" };
        let mut request = self.request("CONNECT", path, &headers);
        let protocol = if name == ":protocol" { value } else { "websocket" };
        let protocol = Protocol::from(protocol);
        request.extensions_mut().insert(protocol);
        self.respond(request).await.unwrap()
    }

    async fn websocket(&self) -> Socket<TokioIo<hyper::upgrade::Upgraded>> {
        let response = self.connect("", "").await;
        assert_eq!(response.status(), 200, "{response:?}");
        Socket::new(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
    }

    /// Waits until the connection is closed.
    async fn ends(self) {
        drop(self.requests);
        // Whether in order or not.
        let _ended = self.connection.await.unwrap();
    }
}

async fn answer(response: Response<Incoming>) -> Answer {
    assert_eq!(response.version(), Version::HTTP_2);
    let (head, body) = response.into_parts();
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let headers = head.headers.iter().map(text).collect();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (version, status) = ("HTTP/2".into(), head.status.as_u16());
    Answer { version, status, headers, body, vary: Vec::new(), packed: Vec::new() }
}

#[tokio::test]
async fn a_session_over_one_connection() {
    let stage = Stage::new();
    // Without TLS: known beforehand (RFC 9113 3.3).
    let client = Client::over(TcpStream::connect(stage.address).await.unwrap()).await;
    let (sid, mut server) = client.logged_in(&stage).await;
    // One is held, another comes in beside it.
    for round in 0..5 {
        let first = client.send(&[], &body(&sid, 103 + 2 * round, "", "")).await;
        let second = client.send(&[], &body(&sid, 104 + 2 * round, "", MESSAGE)).await;
        server.expect(MESSAGE).await;
        assert_eq!(first.await.unwrap().unwrap().body, EMPTY);
        server.send(MESSAGE).await;
        assert_eq!(second.await.unwrap().unwrap().body, format!("<body {BODY}>{MESSAGE}</body>"));
    }
    let end = client.post(&body(&sid, 113, "type='terminate'", "")).await;
    assert_eq!(end.body, format!("<body {BODY} type='terminate'/>"));
    assert_eq!(server.gone().await, "</stream:stream>");
}

#[tokio::test(start_paused = true)]
async fn row_2_a_request_is_not_answered_early_for_what_else_comes_on_its_connection() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.session(&stage).await;
    let begun = Instant::now();
    let held = client.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    // Another page, and another session.
    assert_eq!(client.ask("GET", "/", &[]).await.body, "Hello");
    let (other, mut beside) = client.session(&stage).await;
    let second = client.send(&[], &body(&other, 101, "", "<b xmlns='x'/>")).await;
    beside.expect("<b xmlns='x'/>").await;
    sleep(Duration::from_secs(20)).await;
    assert!(!held.is_finished() && !second.is_finished());
    server.send(MESSAGE).await;
    assert!(held.await.unwrap().unwrap().body.contains(MESSAGE));
    assert_eq!(second.await.unwrap().unwrap().body, EMPTY);
    assert_eq!(begun.elapsed().as_secs(), 60, "after `wait`");
}

#[tokio::test]
async fn row_2_every_answer_tells_its_length_and_nothing_of_the_connection() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let long = "x".repeat(300_000);
    let mut answers =
        vec![client.post(&creation().replace("rid='100'", "")).await, client.post(&long).await];
    let of_coding = client.send(&[("content-encoding", "gzip")], "x").await;
    answers.push(of_coding.await.unwrap().unwrap());
    for (method, path) in [
        ("GET", "/http-bind"),
        ("DELETE", "/http-bind"),
        ("GET", "/"),
        ("GET", "/none"),
        ("GET", "/ws"),
        ("PUT", "/"),
    ] {
        answers.push(client.ask(method, path, &[]).await);
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 413, 415, 200, 405, 200, 404, 405, 405]);
    let refused = client.connect("sec-websocket-version", "8").await;
    answers.push(answer(refused).await);
    for answer in &answers {
        assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        for name in ["connection", "transfer-encoding", "upgrade", "keep-alive"] {
            assert!(!answer.headers.contains_key(name), "{answer:?}");
        }
    }
    let preflight = client.ask("OPTIONS", "/http-bind", &[]).await;
    assert_eq!((preflight.status, &*preflight.body), (204, ""));
    let head = client.ask("HEAD", "/http-bind", &[]).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(
        head.header("content-length"),
        client.ask("GET", "/http-bind", &[]).await.body.len().to_string()
    );
}

#[tokio::test]
async fn row_44_a_held_request_that_is_taken_back_is_taken_up_again() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.session(&stage).await;
    let held = client.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    // As a page does that is left: the stream is reset, the connection goes on.
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    // The reset is there before what is asked next.
    assert_eq!(client.ask("GET", "/", &[]).await.status, 200);
    server.send(MESSAGE).await;
    let again = client.post(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    assert!(again.body.contains(MESSAGE), "{again:?}");
    client.send(&[], &body(&sid, 102, "", "<b xmlns='x'/>")).await;
    assert_eq!(server.expect("<b xmlns='x'/>").await, "<b xmlns='x'/>", "once");
}

#[tokio::test]
async fn row_28_a_stop_is_told_on_the_streams_that_are_open() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.session(&stage).await;
    let held = client.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    stage.shutdown.cancel();
    let shut = stage.manager.shut(Duration::from_secs(5));
    tokio::join!(shut, async {
        assert!(held.await.unwrap().unwrap().is_terminal("system-shutdown"));
        assert_eq!(server.gone().await, "</stream:stream>");
    });
    client.ends().await;
}

#[tokio::test]
async fn t07_over_tls_the_client_chooses_the_version_by_alpn() {
    let stage = Stage::new();
    let tls = Arc::new(Tls::ephemeral(&["localhost"]).unwrap());
    let limits = AddressLimits { total: 9, per_address: 9, new_per_minute: 9, trusted: vec![] };
    let listener =
        Listener::bind("127.0.0.1:0".parse().unwrap(), AddressBook::new(limits)).unwrap();
    let address = listener.local_addr();
    let https = Https { tls, deadline: Duration::from_secs(10) };
    tokio::spawn(serve(listener, Some(https), stage.site.clone(), stage.shutdown.clone()));
    let connect = async |protocols: &[&str]| {
        let stream = TcpStream::connect(address).await.unwrap();
        client::connect(stream, "localhost", client::trusting_anyone(protocols)).await
    };
    for protocols in [&["h2"][..], &["http/1.1", "h2"], &["h2", "http/1.1"]] {
        let client = Client::over(connect(protocols).await.unwrap()).await;
        assert_eq!(client.ask("GET", "/", &[]).await.body, "Hello", "{protocols:?}");
    }
    for protocols in [&["http/1.1"][..], &[]] {
        let mut browser = crate::stage::Browser::new(connect(protocols).await.unwrap());
        assert_eq!(browser.request("GET /", "").await.version, "HTTP/1.1", "{protocols:?}");
    }
    assert!(connect(&["http/1.0"]).await.is_err());
}

#[tokio::test]
async fn row_70_a_secure_session_is_not_continued_over_plain_http_2() {
    let stage = Stage::new();
    let secure = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = secure.session(&stage).await;
    let plain = Client::from(&stage, "192.0.2.1", false).await;
    let refused = plain.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    assert_eq!(refused.await.unwrap(), None, "without an answer");
    plain.ends().await;
    secure.send(&[], &body(&sid, 101, "", "<b xmlns='x'/>")).await;
    assert_eq!(server.expect("<b xmlns='x'/>").await, "<b xmlns='x'/>");
}

#[tokio::test]
async fn b08_a_proxy_brings_several_visitors_on_one_connection() {
    let stage = Stage::new();
    let proxy = Client::from(&stage, "127.0.0.1", false).await;
    let of = |address| [("x-forwarded-for", address), ("x-forwarded-proto", "https")];
    let first = proxy.send(&of("203.0.113.7"), &creation()).await;
    let mut server = stage.server().await;
    assert_eq!(server.visitor.address, Some("203.0.113.7".parse().unwrap()));
    assert!(server.visitor.secure);
    server.greet().await;
    let sid = attribute(&first.await.unwrap().unwrap().body, "sid");
    let held = proxy.send(&of("203.0.113.7"), &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    // Another one guesses, until it is not answered any more: only its own streams are reset.
    for n in 0..25 {
        let guess = proxy.send(&of("203.0.113.8"), &body(&format!("guess{n}"), 1, "", "")).await;
        assert_eq!(guess.await.unwrap().is_some(), n < 20, "{n}");
    }
    server.send(MESSAGE).await;
    assert!(held.await.unwrap().unwrap().body.contains(MESSAGE));
}

#[tokio::test]
async fn b01_who_guesses_is_hung_up_on() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for n in 0..20 {
        let guess = client.post(&body(&format!("guess{n}"), 1, "", "")).await;
        assert!(guess.is_terminal("item-not-found"), "{n}");
    }
    let guess = client.send(&[], &body("guess20", 1, "", "")).await;
    assert_eq!(guess.await.unwrap(), None);
    client.ends().await;
}

#[tokio::test]
async fn b10_a_body_that_is_too_large_is_refused_and_its_connection_lives() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for _ in 0..3 {
        let answer = client.post(&"x".repeat(10_000_000)).await;
        assert_eq!((answer.status, answer.is_terminal("policy-violation")), (413, true));
    }
    // As large as it may be, several of them side by side.
    let (sid, mut server) = client.logged_in(&stage).await;
    let stanza = format!("<a xmlns='x'>{}</a>", "a".repeat(250_000));
    for rid in 103..106 {
        client.send(&[], &body(&sid, rid, "", &stanza)).await;
        server.expect(&stanza).await;
    }
}

// Those who mean no good.

#[tokio::test(start_paused = true)]
async fn b05_a_connection_on_which_nothing_is_asked_is_ended_in_order() {
    let stage = Stage::new();
    let begun = Instant::now();
    let wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let frames = wire.rest().await;
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY && frame.error() == 0), "{frames:?}");
    assert_eq!(begun.elapsed().as_secs(), 20, "told after ten seconds, and closed after ten more");
    // One that answers is closed at once; and so it is after something was asked.
    let client = Client::from(&stage, "192.0.2.1", true).await;
    sleep(Duration::from_secs(9)).await;
    let begun = Instant::now();
    assert_eq!(client.ask("GET", "/", &[]).await.status, 200);
    client.connection.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn b05_who_says_nothing_or_half_of_something_is_cut_off() {
    let stage = Stage::new();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let post = head("POST", "/http-bind", &[]);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half a preface", preface[..10].to_vec()),
        ("half a frame", [&preface[..], &frame(SETTINGS, 0, 0, &[])[..5]].concat()),
        (
            "half a head",
            [&preface[..], &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0, 1, &post[..9])].concat(),
        ),
    ] {
        let mut stream = stage.pipe_from("192.0.2.1", true);
        let begun = Instant::now();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        let _end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
        assert!(begun.elapsed().as_secs() <= 20, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn b05_a_slow_body_is_refused() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let begun = Instant::now();
    for stream in [1, 3, 5] {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        wire.send(DATA, 0, stream, b"<body").await;
    }
    for _ in 0..3 {
        let data = wire.until(DATA).await;
        assert!(String::from_utf8(data.payload).unwrap().contains("policy-violation"));
    }
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert!(stage.is_untouched().await);
}

#[tokio::test(start_paused = true)]
async fn b05_slow_large_bodies_have_few_places_and_small_ones_pass_them() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    for stream in (1..20).step_by(2) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        for _ in 0..3 {
            wire.send(DATA, 0, stream, &[b' '; 16_384]).await;
        }
    }
    wire.post(101, &[], &creation()).await;
    let mut server = stage.server().await;
    server.greet().await;
    let data = wire.until(DATA).await;
    assert_eq!(data.stream, 101);
}

#[tokio::test(start_paused = true)]
async fn b05_who_does_not_take_an_answer_is_cut_off() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.session(&stage).await;
    // The same visitor on another connection, with no room for what it asks for.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 0)]).await;
    wire.post(1, &[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    let begun = Instant::now();
    server.send(MESSAGE).await;
    // It asks on, so that the connection is never quiet.
    let mut stream = 1;
    let get = head("GET", "/", &[]);
    while begun.elapsed() < Duration::from_secs(120) {
        stream += 2;
        let frame = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        if !wire.try_raw(&frame).await {
            break;
        }
        sleep(Duration::from_secs(5)).await;
    }
    assert!((60..70).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn b05_who_takes_an_answer_slowly_gets_all_of_it() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.logged_in(&stage).await;
    let stanza = format!("<a xmlns='x'>{}</a>", "a".repeat(200_000));
    let mut wire =
        Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 20_000)]).await;
    wire.post(1, &[], &body(&sid, 103, "", "")).await;
    server.send(&stanza).await;
    let (mut taken, mut ended) = (Vec::new(), false);
    while !ended {
        let data = wire.until(DATA).await;
        taken.extend(data.payload);
        ended = data.flags & END_STREAM != 0;
        if !ended && taken.len() % 20_000 == 0 {
            // Some minutes for all of it.
            sleep(Duration::from_secs(30)).await;
            for stream in [0, 1] {
                wire.send(WINDOW_UPDATE, 0, stream, &20_000_u32.to_be_bytes()).await;
            }
        }
    }
    assert_eq!(String::from_utf8(taken).unwrap(), format!("<body {BODY}>{stanza}</body>"));
}

/// CVE-2023-44487
#[tokio::test]
async fn b05_requests_that_are_taken_back_without_end_end_their_connection() {
    let stage = Stage::new();
    let honest = Client::from(&stage, "192.0.2.9", true).await;
    let (sid, mut server) = honest.session(&stage).await;
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let mut sent = 0;
    for stream in (1..20_001).step_by(2) {
        let post = frame(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[]));
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if !wire.try_raw(&[post, reset].concat()).await {
            break;
        }
        sent += 1;
        // One after the other, so that each is seen before it is taken back.
        for _ in 0..4 {
            yield_now().await;
        }
    }
    assert!((100..1_000).contains(&sent), "{sent}");
    // All at once: most are never seen.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let flood: Vec<u8> = (1..20_001)
        .step_by(2)
        .flat_map(|stream| {
            let post = frame(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[]));
            [post, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    assert!(!wire.try_raw(&flood).await, "it is cut off in the middle");
    honest.send(&[], &body(&sid, 101, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
}

#[tokio::test]
async fn b05_requests_taken_back_among_others_are_nobody_s_fault() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    for stream in (1..4_000).step_by(4) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        let get = head("GET", "/", &[]);
        wire.send(HEADERS, END_HEADERS | END_STREAM, stream + 2, &get).await;
        assert_eq!(wire.until(DATA).await.stream, stream + 2);
        wire.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
    }
}

#[tokio::test]
async fn b05_streams_over_their_number_are_refused() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    wire.until(SETTINGS).await;
    wire.send(SETTINGS, ACK, 0, &[]).await;
    for stream in (1..).step_by(2).take(110) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
    }
    let mut refused = HashSet::new();
    while refused.len() < 10 {
        let reset = wire.until(RST_STREAM).await;
        assert_eq!(reset.error(), REFUSED_STREAM);
        refused.insert(reset.stream);
    }
    assert_eq!(refused, (201..220).step_by(2).collect());
    // The others go on.
    wire.send(DATA, END_STREAM, 1, b"x").await;
    let data = wire.until(DATA).await;
    assert_eq!(data.stream, 1);
}

#[tokio::test]
async fn b05_a_flood_of_frames_holds_up_nobody_else() {
    let stage = Stage::new();
    let honest = Client::from(&stage, "192.0.2.9", true).await;
    let (sid, mut server) = honest.session(&stage).await;
    let ping = frame(PING, 0, 0, &[7; 8]);
    // CVE-2019-9512, -9515, -9518; each 20,000 frames
    for (what, flood) in [
        ("PING", ping.repeat(20_000)),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[]).repeat(20_000)),
        ("DATA without any", {
            let post = frame(HEADERS, END_HEADERS, 1, &head("POST", "/http-bind", &[]));
            [post, frame(DATA, 0, 1, &[]).repeat(20_000)].concat()
        }),
    ] {
        let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
        // Nothing of what comes back is read: what cannot be answered is not read either.
        let flooding = tokio::spawn(async move { wire.try_raw(&flood).await });
        for _ in 0..20 {
            yield_now().await;
            assert_eq!(honest.ask("GET", "/", &[]).await.status, 200, "{what}");
        }
        flooding.abort();
    }
    honest.send(&[], &body(&sid, 101, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
}

#[tokio::test]
async fn b06_a_head_that_is_too_large_is_refused_however_it_is_cut() {
    let stage = Stage::new();
    let long = "x".repeat(9_000);
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let answer = client.ask("GET", "/", &[("x", &long)]).await;
    assert_eq!(answer.status, 431);
    assert_eq!(client.ask("GET", "/", &[]).await.status, 200, "the connection lives");
    // CVE-2024-27316
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    wire.send(HEADERS, END_STREAM, 1, &head("GET", "/", &[])).await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", &"x".repeat(1_000))]));
    assert!(!wire.try_raw(&more.repeat(10_000)).await, "it is cut off in the middle");
}

#[tokio::test]
async fn b06_a_request_that_is_none_in_http_2_is_reset() {
    let stage = Stage::new();
    let pseudo =
        [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/http-bind")];
    let with = |more: &[(&str, &str)]| block(&[&pseudo[..], more].concat());
    for (what, head) in [
        ("a coding", with(&[("transfer-encoding", "chunked")])),
        ("a connection", with(&[("connection", "close")])),
        ("an upgrade", with(&[("upgrade", "websocket")])),
        ("a keep-alive", with(&[("keep-alive", "1")])),
        ("two lengths", with(&[("content-length", "1"), ("content-length", "2")])),
        ("a length too short", with(&[("content-length", "1")])),
        ("a length too long", with(&[("content-length", "99")])),
        ("a length of none", with(&[("content-length", "+2")])),
        ("a name in capitals", with(&[("X", "1")])),
        ("a line end", with(&[("x", "1\r\ny: 2")])),
        ("a pseudo-header behind", with(&[("x", "1"), (":path", "/")])),
        ("two paths", with(&[(":path", "/")])),
        ("no path", block(&pseudo[..3])),
        ("no method", block(&pseudo[1..])),
    ] {
        let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
        wire.send(HEADERS, END_HEADERS, 1, &head).await;
        // Whoever refuses the head may be gone before this.
        let _gone = wire.try_raw(&frame(DATA, END_STREAM, 1, creation().as_bytes())).await;
        let error = loop {
            let frame = wire.next().await.unwrap_or_else(|| panic!("{what}: no answer"));
            match frame.kind {
                RST_STREAM | GOAWAY => break frame.error(),
                HEADERS => panic!("{what}: answered"),
                _ => {}
            }
        };
        assert_eq!(error, PROTOCOL_ERROR, "{what}");
    }
    assert!(stage.is_untouched().await);
}

// WebSocket.

#[tokio::test]
async fn a_websocket_is_a_stream_beside_others() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    assert_eq!(server.visitor.address, Some("192.0.2.1".parse().unwrap()));
    assert!(server.visitor.secure);
    server.expect("<stream:stream").await;
    server.expect(">").await;
    server.send(&format!("{HEADER}{FEATURES}")).await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.starts_with("<stream:features xmlns:stream="));
    // Before it has logged in, what both sides may send is short.
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>eA==</auth>";
    socket.says(auth).await;
    server.expect(auth).await;
    server.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
    assert!(socket.text().await.contains("<success "));
    socket.says(OPEN).await;
    server.greet().await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.starts_with("<stream:features "));
    let (sid, mut beside) = client.session(&stage).await;
    let held = client.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    beside.expect("<a xmlns='x'/>").await;
    socket.send(Opcode::Ping, b"there?").await;
    assert_eq!(socket.next().await, Message::Pong);
    let long = format!("<iq xmlns='jabber:client'>{}</iq>", "1".repeat(200_000));
    socket.says(&long).await;
    server.expect(&long).await;
    let back = format!("<iq>{}</iq>", "2".repeat(200_000));
    server.send(&back).await;
    assert!(socket.text().await.contains(&"2".repeat(200_000)));
    socket.says(CLOSE).await;
    server.expect("</stream:stream>").await;
    server.send("</stream:stream>").await;
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(server.gone().await, "");
    assert_eq!(socket.next().await, Message::Close(Some(1000)));
    socket.send(Opcode::Close, &[3, 232]).await;
    socket.ends().await;
    beside.send(MESSAGE).await;
    assert!(held.await.unwrap().unwrap().body.contains(MESSAGE), "the connection lives");
}

/// RFC 8441 3
#[tokio::test]
async fn extended_connect_is_announced() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let settings = wire.until(SETTINGS).await.payload;
    let announced = [&CONNECT_PROTOCOL.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
    assert!(settings.chunks(6).any(|setting| setting == announced), "{settings:?}");
}

#[tokio::test]
async fn w03_handshakes_that_are_none_are_refused_over_http_2() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for (name, value, status) in [
        ("sec-websocket-protocol", "", 400),
        ("sec-websocket-protocol", "mqtt, xmpp2", 400),
        ("sec-websocket-version", "", 400),
        ("sec-websocket-version", "8", 400),
        (":protocol", "connect-udp", 501),
        (":protocol", "WebSocket2", 501),
        (":path", "/http-bind", 405),
        (":path", "/", 405),
    ] {
        let answer = answer(client.connect(name, value).await).await;
        assert_eq!(answer.status, status, "{name}, {value}");
        let version = if name == "sec-websocket-version" { "13" } else { "" };
        assert_eq!(answer.header("sec-websocket-version"), version, "{name}, {value}");
    }
    for method in ["GET", "POST"] {
        let answer = client.ask(method, "/ws", &[("sec-websocket-version", "13")]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "CONNECT"), "{method}");
    }
    // A tunnel to elsewhere (RFC 9113 8.5) is not what stands here.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let tunnel = block(&[(":method", "CONNECT"), (":authority", "127.0.0.1:25")]);
    wire.send(HEADERS, END_HEADERS, 1, &tunnel).await;
    let refusal = String::from_utf8(wire.until(DATA).await.payload).unwrap();
    assert_eq!(refusal, "This method is not for here.\n");
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn w01_pages_of_other_origins_are_refused_over_http_2() {
    let stage = Stage::with(Settings::default(), vec!["https://chat.example".into()]);
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for (origin, status) in
        [("https://chat.example", 200), ("https://evil.example", 403), ("null", 403), ("", 200)]
    {
        assert_eq!(client.connect("origin", origin).await.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn t02_without_https_a_visitor_is_sent_away_over_http_2() {
    let bosh = Some("https://chat.example/http-bind".to_owned());
    let websocket = Some("wss://chat.example/ws".to_owned());
    let insecure = Insecure::Refuse { bosh, websocket };
    let stage = Stage::with(Settings { insecure, ..Settings::default() }, Vec::new());
    let client = Client::from(&stage, "192.0.2.1", false).await;
    assert!(client.post(&creation()).await.is_terminal("see-other-uri"));
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    assert!(socket.text().await.contains("see-other-uri='wss://chat.example/ws'"));
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn b02_sessions_of_one_address_are_counted_on_one_connection_too() {
    let sessions =
        AddressLimits { total: 10, per_address: 2, new_per_minute: 10, trusted: Vec::new() };
    let stage = Stage::with(Settings { sessions, ..Settings::default() }, Vec::new());
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut first = client.websocket().await;
    let _second = client.websocket().await;
    assert_eq!(client.connect("", "").await.status(), 503);
    assert!(client.post(&creation()).await.is_terminal("policy-violation"));
    first.send(Opcode::Close, b"").await;
    assert_eq!(first.next().await, Message::Close(Some(1000)));
    first.ends().await;
    let _third = client.websocket().await;
}

#[tokio::test(start_paused = true)]
async fn w02_a_websocket_keeps_its_connection_for_as_long_as_it_is_there() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    server.greet().await;
    sleep(Duration::from_secs(25)).await;
    socket.send(Opcode::Ping, b"").await;
    while socket.next().await != Message::Pong {}
    // It goes as a page does that is left, and there is nothing to wait for any more.
    let begun = Instant::now();
    drop(socket);
    server.gone().await;
    client.ends().await;
    assert_eq!(begun.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn w02_a_websocket_whose_client_takes_nothing_is_cut_off() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 0)]).await;
    let pseudo = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", "/ws"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "xmpp"),
    ];
    wire.send(HEADERS, END_HEADERS, 1, &block(&pseudo)).await;
    let begun = Instant::now();
    let mut open = bytes::BytesMut::new();
    bosh_cm::websocket::frames::write_frame(&mut open, Opcode::Text, OPEN.as_bytes(), Some([1; 4]));
    wire.send(DATA, 0, 1, &open).await;
    let mut server = stage.server().await;
    server.greet().await;
    for _ in 0..50 {
        server.send(&format!("<a>{}</a>", "a".repeat(1_000))).await;
    }
    let frames = wire.rest().await;
    assert!(frames.iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()));
    assert!(begun.elapsed().as_secs() <= 90, "{:?}", begun.elapsed());
    server.gone().await;
}
