//! Clients that cost little: what comes in is scanned for marks, never parsed.
//!
//! A [`Client`] is logged in over one of the [`Door`]s. [`put`](Client::put) queues a stanza, [`flush`](Client::flush)
//! writes what is queued, [`read`](Client::read) waits for more bytes in [`inbox`](Client::inbox); all are cancel-safe. Over BOSH
//! `read` keeps a request at the server, as browsers do.

mod bosh;
mod keys;
mod stream;
mod target;
mod websocket;

pub use keys::Keys;
pub use target::Target;

use crate::floor::READY;
use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use bosh::Bosh;
use bytes::{Buf, BytesMut};
use memchr::memmem;
use std::{fmt, io, time::Duration};
use stream::Stream;
use tokio::time::timeout;
use websocket::WebSocket;

/// How long a login may take, the server being busy with others.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read at once, at most: several windows of messages.
const READ_BYTES: usize = 16 * 1024;

/// The way that a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// RFC 6120 over TCP, without TLS.
    Tcp,
    /// RFC 6120 over TCP with STARTTLS, TLS 1.3, the certificate verified.
    Tls,
    /// RFC 7395 over HTTP.
    WebSocket,
    /// XEP-0124 and XEP-0206 over HTTP, two connections, one request held.
    Bosh,
}

/// One logged-in client.
pub struct Client {
    line: Line,
    /// What came and was not used. Over BOSH whole `<body/>` elements.
    pub inbox: BytesMut,
}

enum Line {
    Stream(Stream),
    WebSocket(WebSocket),
    Bosh(Box<Bosh>),
}

impl Client {
    /// Logs in with SCRAM-SHA-1 and binds this resource. No presence is sent.
    ///
    /// # Errors
    /// The server is not there, refuses, or takes longer than a minute.
    pub async fn login(
        target: &Target,
        door: Door,
        user: &str,
        resource: &str,
    ) -> anyhow::Result<Self> {
        let login = async {
            let line = match door {
                Door::Tcp => Line::Stream(Stream::plain(target).await?),
                Door::Tls => Line::Stream(Stream::secured(target).await?),
                Door::WebSocket => Line::WebSocket(WebSocket::connect(target).await?),
                Door::Bosh => Line::Bosh(Box::new(Bosh::connect(target).await?)),
            };
            let mut client = Self { line, inbox: BytesMut::new() };
            if target.is_floor {
                // What only forwards bytes knows its two ends by a number.
                client.put(user.as_bytes());
                client.put(b"\n");
                client.flush().await?;
                client.expect(&[READY]).await?;
                return Ok(client);
            }
            client.open(target).await?;
            client.authenticate(target, user).await?;
            client.open(target).await?;
            client.bind(resource).await?;
            Ok(client)
        };
        timeout(PATIENCE, login)
            .await
            .unwrap_or_else(|_| bail!("it takes too long"))
            .with_context(|| format!("the login of {user} over {door}"))
    }

    /// Queues one stanza; over WebSocket and BOSH it must declare its namespace.
    pub fn put(&mut self, stanza: &[u8]) {
        match &mut self.line {
            Line::Stream(stream) => stream.put(stanza),
            Line::WebSocket(socket) => socket.put(stanza),
            Line::Bosh(bosh) => bosh.put(stanza),
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn flush(&mut self) -> io::Result<()> {
        match &mut self.line {
            Line::Stream(stream) => stream.flush().await,
            Line::WebSocket(socket) => socket.flush().await,
            Line::Bosh(bosh) => bosh.flush(&mut self.inbox).await,
        }
    }

    /// Waits until there is more in the inbox.
    ///
    /// # Errors
    /// The connection is broken, or its end was reached.
    pub async fn read(&mut self) -> io::Result<()> {
        match &mut self.line {
            Line::Stream(stream) => stream.read(&mut self.inbox).await,
            Line::WebSocket(socket) => socket.read(&mut self.inbox).await,
            Line::Bosh(bosh) => bosh.read(&mut self.inbox).await,
        }
    }

    /// Becomes available, and waits until the server has done what that causes.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn available(&mut self) -> anyhow::Result<()> {
        self.put(b"<presence xmlns='jabber:client'/>");
        self.synchronise().await
    }

    /// Asks the server something and waits for the answer: all that was said before is done.
    ///
    /// # Errors
    /// The connection is broken, or no answer comes.
    pub async fn synchronise(&mut self) -> anyhow::Result<()> {
        self.put(
            b"<iq xmlns='jabber:client' type='get' id='synchronise'><ping xmlns='urn:xmpp:ping'/></iq>",
        );
        self.flush().await?;
        self.expect(&["synchronise"]).await.map(drop)
    }

    /// Will be quiet from now on: gives back what buffers hold, and over BOSH leaves a request with the server.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn rest(&mut self) -> io::Result<()> {
        if let Line::Bosh(bosh) = &mut self.line {
            bosh.hold(&mut self.inbox).await?;
        }
        self.inbox = BytesMut::new();
        Ok(())
    }

    /// Says goodbye. The server's own goodbye is not waited for.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn close(mut self) -> io::Result<()> {
        match &mut self.line {
            Line::Stream(stream) => stream.put(b"</stream:stream>"),
            Line::WebSocket(socket) => {
                socket.put(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
            }
            Line::Bosh(bosh) => bosh.terminate(),
        }
        self.flush().await
    }

    /// Reads up to one of these texts, and takes all to its end out of the inbox.
    ///
    /// # Errors
    /// The connection is broken, or the server says that something is wrong.
    pub async fn expect(&mut self, ends: &[&str]) -> anyhow::Result<String> {
        loop {
            let found = ends.iter().filter_map(|end| {
                memmem::find(&self.inbox, end.as_bytes()).map(|at| at + end.len())
            });
            if let Some(end) = found.min() {
                return Ok(String::from_utf8_lossy(&self.inbox.split_to(end)).into_owned());
            }
            if let Some(error) = complaint(&self.inbox) {
                bail!("{error}");
            }
            self.read().await?;
        }
    }

    async fn open(&mut self, target: &Target) -> anyhow::Result<()> {
        match &mut self.line {
            Line::Stream(stream) => stream.header(&target.domain),
            Line::WebSocket(socket) => socket.open(&target.domain),
            Line::Bosh(bosh) => bosh.open(&target.domain),
        }
        self.flush().await?;
        let features = self.expect(&["</stream:features>", "</features>"]).await?;
        if let Line::Bosh(bosh) = &mut self.line {
            bosh.opened(&features)?;
        }
        Ok(())
    }

    async fn authenticate(&mut self, target: &Target, user: &str) -> anyhow::Result<()> {
        const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let nonce = net::random::token();
        let bare = format!("n={user},r={nonce}");
        let first = STANDARD.encode(format!("n,,{bare}"));
        self.put(format!("<auth {SASL} mechanism='SCRAM-SHA-1'>{first}</auth>").as_bytes());
        self.flush().await?;
        let challenge = decoded(&self.expect(&["</challenge>"]).await?)?;
        let (response, signature) = target.keys.respond(&bare, &nonce, &challenge)?;
        let response = STANDARD.encode(response);
        self.put(format!("<response {SASL}>{response}</response>").as_bytes());
        self.flush().await?;
        let success = decoded(&self.expect(&["</success>"]).await?)?;
        ensure!(success == signature, "the server does not know the password");
        Ok(())
    }

    async fn bind(&mut self, resource: &str) -> anyhow::Result<()> {
        let bind = format!(
            "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        );
        self.put(bind.as_bytes());
        self.flush().await?;
        let bound = self.expect(&["</iq>"]).await?;
        ensure!(bound.contains("</jid>"), "no resource: {bound}");
        // The end of BOSH's body, and the like, is nobody's concern.
        self.inbox.advance(self.inbox.len());
        Ok(())
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::WebSocket => "WebSocket",
            Self::Bosh => "BOSH",
        })
    }
}

/// What the server says where something is wrong: no load may run into errors unseen.
#[must_use]
pub fn complaint(inbox: &[u8]) -> Option<String> {
    const WRONG: [&str; 6] =
        ["<failure", "stream:error", "<error", "type='error'", "type=\"error\"", "condition="];
    WRONG
        .iter()
        .any(|wrong| memmem::find(inbox, wrong.as_bytes()).is_some())
        .then(|| format!("the server says {}", String::from_utf8_lossy(inbox)))
}

/// Waits for some bytes at the end of this buffer.
async fn fill(
    socket: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<()> {
    use tokio::io::AsyncReadExt;
    buffer.reserve(READ_BYTES);
    match socket.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Writes this buffer out; what was written is gone from it at any time.
async fn drain(
    socket: &mut (impl tokio::io::AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    while !buffer.is_empty() {
        socket.write_buf(buffer).await?;
    }
    socket.flush().await
}

/// The text of the last element, from base64.
fn decoded(element: &str) -> anyhow::Result<String> {
    let text = element.rsplit_once("</").and_then(|(text, _)| text.rsplit_once('>'));
    let (_, text) = text.context("no text")?;
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}
