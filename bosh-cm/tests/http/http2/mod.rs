//! The same over HTTP/2 (RFC 9113): what is different there for those who mean well. Those who do not are in [`hostile`].

mod frames;
mod hostile;
mod websocket;

use crate::{
    stage::{Answer, BODY, FEATURES, Server, Stage, attribute},
    websocket::Socket,
};
use bosh_cm::http::{Https, serve};
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
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
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
async fn t06_over_tls_the_client_chooses_the_version_by_alpn() {
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
