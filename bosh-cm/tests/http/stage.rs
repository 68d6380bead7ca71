//! The stage: a connection manager, a server that says what it is told, and browsers made of bare sockets.

use bosh_cm::{
    Manager, Pipe, Settings, Upstream, Visitor,
    http::{HEAD_BYTES, PATIENCE, Page, Peer, Site, connection, serve},
    upstream::{Connecting, Destination},
};
use http::StatusCode;
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) const BODY: &str = "xmlns='http://jabber.org/protocol/httpbind'";
pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='i1' from='example.com' version='1.0'>";
pub(crate) const FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";

/// Gives every session a server that the test plays.
struct Fake {
    servers: mpsc::UnboundedSender<Server>,
}

/// The server's end of one session's stream.
pub(crate) struct Server {
    pub(crate) domain: String,
    pub(crate) visitor: Visitor,
    pipe: DuplexStream,
    got: String,
}

impl Upstream for Fake {
    fn connect(&self, to: &Destination, visitor: Visitor) -> Connecting<'_> {
        let domain = to.domain.clone();
        Box::pin(async move {
            if domain == "unreachable.example" {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (pipe, near) = duplex(65_536);
            let server = Server { domain, visitor, pipe, got: String::new() };
            self.servers.send(server).map_err(io::Error::other)?;
            Ok(Box::new(near) as Box<dyn Pipe>)
        })
    }
}

impl Server {
    /// Reads until this text has come, and gives all up to its end.
    pub(crate) async fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.got.find(text) {
                let rest = self.got.split_off(at + text.len());
                return std::mem::replace(&mut self.got, rest);
            }
            let mut buffer = [0; 4096];
            let read = self.pipe.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "the stream ended before {text} came: {}", self.got);
            self.got.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.unwrap();
    }

    /// Answers the stream header with one of its own, and features.
    pub(crate) async fn greet(&mut self) {
        self.expect("<stream:stream").await;
        self.expect(">").await;
        self.send(&format!("{HEADER}{FEATURES}")).await;
    }

    /// Waits for the end of the connection.
    pub(crate) async fn gone(mut self) -> String {
        let mut rest = Vec::new();
        self.pipe.read_to_end(&mut rest).await.unwrap();
        self.got + std::str::from_utf8(&rest).unwrap()
    }
}

/// A connection manager on a loopback port.
pub(crate) struct Stage {
    pub(crate) manager: Arc<Manager>,
    pub(crate) address: SocketAddr,
    pub(crate) site: Arc<Site>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    servers: Mutex<mpsc::UnboundedReceiver<Server>>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default(), Vec::new())
    }

    pub(crate) fn with(settings: Settings, origins: Vec<String>) -> Self {
        let (sender, servers) = mpsc::unbounded_channel();
        let manager = Manager::new(settings, Arc::new(Fake { servers: sender }));
        let site = Arc::new(Site {
            manager: manager.clone(),
            bosh: "/http-bind".into(),
            websocket: "/ws".into(),
            origins,
            proxies: ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec(),
            pages: vec![Page::text("/", StatusCode::OK, "Hello")],
            head_bytes: HEAD_BYTES,
            patience: PATIENCE,
        });
        let limits = AddressLimits {
            total: 1_000,
            per_address: 1_000,
            new_per_minute: 1_000,
            trusted: Vec::new(),
        };
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap(), AddressBook::new(limits)).unwrap();
        let address = listener.local_addr();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, None, site.clone(), shutdown.clone()));
        Self { manager, address, site, shutdown, serving, servers: Mutex::new(servers) }
    }

    /// The server of the next session.
    pub(crate) async fn server(&self) -> Server {
        self.servers.lock().await.recv().await.unwrap()
    }

    /// Whether any session has reached its server that no test has looked at.
    pub(crate) async fn is_untouched(&self) -> bool {
        self.servers.lock().await.try_recv().is_err()
    }

    pub(crate) async fn browser(&self) -> Browser {
        Browser::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A browser in memory, from this address; its clock may be the test's.
    pub(crate) fn browser_from(&self, address: &str, tls: bool) -> Browser<DuplexStream> {
        Browser::new(self.pipe_from(address, tls))
    }

    /// A connection in memory, from this address.
    pub(crate) fn pipe_from(&self, address: &str, tls: bool) -> DuplexStream {
        let (near, far) = duplex(65_536);
        let address: IpAddr = address.parse().unwrap();
        let peer = Peer { address: Some(address), tls, permit: None };
        tokio::spawn(connection(far, peer, self.site.clone(), self.shutdown.clone()));
        near
    }

    /// A session with features told: its first browser, its identifier, its server.
    pub(crate) async fn session(&self) -> (Browser, String, Server) {
        let browser = self.browser().await;
        self.begin(browser).await
    }

    /// A session of a browser in memory, from this address.
    pub(crate) async fn session_from(
        &self,
        address: &str,
    ) -> (Browser<DuplexStream>, String, Server) {
        let browser = self.browser_from(address, false);
        self.begin(browser).await
    }

    async fn begin<S: Pipe>(&self, mut browser: Browser<S>) -> (Browser<S>, String, Server) {
        let body = format!("<body {BODY} rid='100' to='example.com' ver='1.6' wait='60'/>");
        let server = async {
            let mut server = self.server().await;
            server.greet().await;
            server
        };
        let (answer, server) = tokio::join!(browser.post(&body), server);
        let sid = attribute(&answer.body, "sid");
        (browser, sid, server)
    }
}

/// The value of an attribute in a body.
pub(crate) fn attribute(body: &str, name: &str) -> String {
    let start = body.find(&format!(" {name}='")).expect("the attribute") + name.len() + 3;
    body[start..].split('\'').next().unwrap().to_owned()
}

/// One connection, without any library that would be polite.
pub(crate) struct Browser<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// What its `Vary` lines name, sorted.
    pub(crate) vary: Vec<String>,
    /// The body as it came, if that is no text.
    pub(crate) packed: Vec<u8>,
}

impl<S: Pipe> Browser<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, body: &str) {
        self.send_with("", body).await;
    }

    /// Posts with further header lines, each with its line end.
    pub(crate) async fn send_with(&mut self, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n");
        self.raw(format!("{head}{headers}\r\n{body}").as_bytes()).await;
    }

    pub(crate) async fn post(&mut self, body: &str) -> Answer {
        self.send(body).await;
        self.answer().await
    }

    pub(crate) async fn request(&mut self, line: &str, headers: &str) -> Answer {
        self.raw(format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
        let is_head = line.starts_with("HEAD");
        self.read_answer(is_head).await.expect("an answer")
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.read_answer(false).await.expect("an answer")
    }

    /// The next answer, or `None` if the connection ends instead.
    pub(crate) async fn read_answer(&mut self, is_head: bool) -> Option<Answer> {
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(at + 4);
                break String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap();
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "half an answer");
                return None;
            }
        };
        let mut lines = head.trim_end().split("\r\n");
        let mut status = lines.next().unwrap().splitn(3, ' ');
        let version = status.next().unwrap().to_owned();
        let status = status.next().unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(header).collect();
        for name in ["connection", "content-length", "date"] {
            assert!(headers.iter().filter(|(one, _)| one == name).count() <= 1, "{head}");
        }
        let vary = headers.iter().filter(|(name, _)| name == "vary");
        let mut vary: Vec<_> = vary.map(|(_, value)| value.to_ascii_lowercase()).collect();
        vary.sort();
        let headers: HashMap<_, _> = headers.into_iter().collect();
        assert!(!headers.contains_key("transfer-encoding"), "{head}");
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if is_head { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.fill().await, "half a body");
        }
        let rest = self.buffer.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut self.buffer, rest));
        let (body, packed) = match body {
            Ok(body) => (body, Vec::new()),
            Err(packed) => (String::new(), packed.into_bytes()),
        };
        Some(Answer { version, status, headers, body, vary, packed })
    }

    async fn fill(&mut self) -> bool {
        // A reset is an end too.
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is_terminal(&self, condition: &str) -> bool {
        self.body.contains("type='terminate'")
            && self.body.contains(&format!("condition='{condition}'"))
    }
}
