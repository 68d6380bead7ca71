//! XMPP over WebSocket (RFC 7395), as a browser would speak it.

use super::{Certificates, broken, driver::tcp, patiently};
use base64::{Engine, prelude::BASE64_STANDARD};
use bosh_cm::websocket::{
    frames::{Decoder, FrameLimits, Message, Opcode, Peer, code, write_frame},
    http::{SUBPROTOCOL, VERSION, accept},
};
use bytes::{Bytes, BytesMut};
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1::handshake,
    header::{
        CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use net::tls::client;
use script::{Channel, Character, Connection, Lost, Stage, standalone};
use std::{str::FromStr, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use xmpp_core::{
    ns,
    xml::{Node, Writer},
};

/// The largest message that is read: one stanza of the largest size that servers usually take.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Fragments of it.
const FRAGMENTS: u32 = 1_024;

/// Streams over WebSocket.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// Where its service is.
    pub endpoint: Endpoint,
    /// Which certificates are good, over `wss:`.
    pub certificates: Certificates,
    /// How long every step of the server's may take.
    pub patience: Duration,
}

/// The URL of a WebSocket service, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    /// `HOST:PORT`
    address: String,
    path: String,
    tls: bool,
}

impl FromStr for Endpoint {
    type Err = String;
    /// Reads `ws://HOST:PORT/PATH` or `wss://…`.
    fn from_str(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url:?} is no URL such as ws://127.0.0.1:5280/xmpp-websocket");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { address: format!("{host}:{port}"), host, path, tls })
    }
}

impl Stage for WebSocket {
    type Connection = Socket;
    async fn connect(&mut self, _character: &Character) -> Result<Socket, Lost> {
        let (stream, is_local) = tcp(&self.endpoint.address, self.patience).await?;
        let (stream, channel) = match self.endpoint.tls {
            true => {
                let config = self.certificates.of(is_local);
                let secured = client::connect(stream, &self.endpoint.host, config);
                (self.upgrade(patiently(self.patience, secured).await?).await?, Channel::Secure)
            }
            // Nothing over WebSocket starts TLS: whether anybody may listen is known from the first connection.
            false if is_local => (self.upgrade(stream).await?, Channel::Secure),
            false => (self.upgrade(stream).await?, Channel::Open),
        };
        let limits = FrameLimits { bytes: MESSAGE_BYTES, fragments: FRAGMENTS };
        Ok(Socket {
            stream: TokioIo::new(stream),
            channel,
            patience: self.patience,
            decoder: Decoder::new(Peer::Server, limits),
            input: BytesMut::new(),
            closed: false,
        })
    }
    fn nonce(&mut self) -> String {
        net::random::token()
    }
}

impl WebSocket {
    /// The opening handshake (RFC 6455 4.1).
    async fn upgrade(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Upgraded, Lost> {
        let (mut connection, driver) =
            patiently(self.patience, handshake(TokioIo::new(stream))).await?;
        // It ends once the connection has changed hands; what goes wrong before is seen by the request.
        tokio::spawn(driver.with_upgrades());
        let mut key = [0; 16];
        net::random::fill(&mut key);
        let key = BASE64_STANDARD.encode(key);
        let request = Request::builder()
            .uri(&self.endpoint.path)
            .header(HOST, &self.endpoint.address)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, VERSION)
            .header(SEC_WEBSOCKET_KEY, &key)
            .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .body(Empty::<Bytes>::new())
            .map_err(broken)?;
        let answer = patiently(self.patience, connection.send_request(request)).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(broken(format!("HTTP status {}", answer.status())));
        }
        let is = |name, value: &str| answer.headers().get(name).is_some_and(|one| one == value);
        if !is(SEC_WEBSOCKET_ACCEPT, &accept(&key)) || !is(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            return Err(broken("the handshake is not answered as RFC 7395 has it"));
        }
        patiently(self.patience, upgrade::on(answer)).await
    }
}

/// One stream over one WebSocket.
pub struct Socket {
    stream: TokioIo<Upgraded>,
    channel: Channel,
    patience: Duration,
    decoder: Decoder,
    input: BytesMut,
    /// The server has closed its stream.
    closed: bool,
}

impl Socket {
    async fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Lost> {
        let mut mask = [0; 4];
        net::random::fill(&mut mask);
        let mut frame = BytesMut::new();
        write_frame(&mut frame, opcode, payload, Some(mask));
        let stream = &mut self.stream;
        patiently(self.patience, async {
            stream.write_all(&frame).await?;
            stream.flush().await
        })
        .await
    }

    async fn framing(&mut self, name: &'static str, to: Option<&str>) -> Result<(), Lost> {
        let mut out = Writer::new();
        out.open_ns(name, ns::FRAMING);
        if let Some(to) = to {
            out.attr("to", to).attr("xml:lang", "en").attr("version", "1.0");
        }
        out.close();
        self.frame(Opcode::Text, &out.finish()).await
    }

    /// The next text; `None` where the connection is closed in order.
    async fn text(&mut self) -> Result<Option<Bytes>, Lost> {
        loop {
            match self.decoder.next(&mut self.input).map_err(broken)? {
                Some(Message::Text(text)) => return Ok(Some(text)),
                Some(Message::Ping(content)) => self.frame(Opcode::Pong, &content).await?,
                Some(Message::Pong) => {}
                Some(Message::Close(_)) => return Ok(None),
                None => {
                    let patience = self.patience;
                    let read = self.stream.read_buf(&mut self.input);
                    if patiently(patience, read).await? == 0 {
                        return Err(broken("the connection broke off without a close"));
                    }
                }
            }
        }
    }
}

impl Connection for Socket {
    fn channel(&self) -> Channel {
        self.channel
    }
    async fn open(&mut self, domain: &str) -> Result<(), Lost> {
        self.framing("open", Some(domain)).await
    }
    async fn send(&mut self, elements: Bytes) -> Result<(), Lost> {
        for element in standalone(&elements).map_err(broken)? {
            self.frame(Opcode::Text, &element).await?;
        }
        Ok(())
    }
    async fn receive(&mut self) -> Result<Option<Node>, Lost> {
        while !self.closed {
            let Some(text) = self.text().await? else {
                return Err(broken("the connection was closed without a stream's end"));
            };
            // RFC 7395 3.3.3: a document of its own.
            let node = Node::parse(&text, "").map_err(broken)?;
            if node.is(ns::FRAMING, "open") {
                continue;
            }
            self.closed = node.is(ns::FRAMING, "close");
            if !self.closed {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }
    async fn start_tls(&mut self, _domain: &str) -> Result<(), Lost> {
        Err(broken("there is no STARTTLS over WebSocket"))
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.framing("close", None).await?;
        while self.receive().await?.is_some() {}
        // RFC 7395 3.6: the stream is closed; now the connection.
        self.frame(Opcode::Close, &code::NORMAL.to_be_bytes()).await?;
        while self.text().await?.is_some() {}
        Ok(())
    }
}
