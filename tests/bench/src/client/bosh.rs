//! Sessions over BOSH (XEP-0124, XEP-0206): two connections of HTTP/1.1, one request held.

use super::{Target, drain, fill};
use anyhow::Context;
use bytes::{Buf, BytesMut};
use memchr::memmem;
use std::{fmt::Write as _, io};
use tokio::net::TcpStream;

/// Seconds that a request may be held: longer than anything here lasts.
const WAIT: u32 = 600;
const BODY: &str = "xmlns='http://jabber.org/protocol/httpbind'";
const XBOSH: &str = "xmlns:xmpp='urn:xmpp:xbosh'";

pub(super) struct Bosh {
    target: Target,
    /// The second one is opened when it is needed first.
    connections: [Option<Connection>; 2],
    /// ` sid='…'`, empty at first.
    sid: String,
    rid: u64,
    /// Attributes of the next body but sid and rid.
    attributes: String,
    payload: BytesMut,
    /// Whether there is something to be sent, be it an empty body.
    due: bool,
}

struct Connection {
    socket: TcpStream,
    out: BytesMut,
    raw: BytesMut,
    /// Whether an answer is due.
    waits: bool,
}

impl Bosh {
    pub(super) async fn connect(target: &Target) -> anyhow::Result<Self> {
        Ok(Self {
            target: target.clone(),
            connections: [Some(Connection::dial(target).await.context("no connection")?), None],
            sid: String::new(),
            rid: 1_000,
            attributes: String::new(),
            payload: BytesMut::new(),
            due: false,
        })
    }

    /// The session's creation first, a restart of the stream later (XEP-0206 5).
    pub(super) fn open(&mut self, domain: &str) {
        self.attributes = if self.sid.is_empty() {
            format!(
                " to='{domain}' ver='1.6' hold='1' wait='{WAIT}' xml:lang='en' {XBOSH} xmpp:version='1.0'"
            )
        } else {
            format!(" to='{domain}' xml:lang='en' {XBOSH} xmpp:restart='true'")
        };
        self.due = true;
    }

    /// The features have come, the session's identifier with them or before.
    pub(super) fn opened(&mut self, answer: &str) -> anyhow::Result<()> {
        if self.sid.is_empty() {
            let (_, rest) = answer.split_once(" sid=").context("no sid")?;
            let quote = rest.chars().next().context("no sid")?;
            let sid = rest[1..].split(quote).next().context("no sid")?;
            self.sid = format!(" sid='{sid}'");
        }
        Ok(())
    }

    pub(super) fn put(&mut self, stanza: &[u8]) {
        self.payload.extend_from_slice(stanza);
        self.due = true;
    }

    pub(super) fn terminate(&mut self) {
        " type='terminate'".clone_into(&mut self.attributes);
        self.due = true;
    }

    /// Sends what is due, on a connection that nothing waits on; where there is none, its answer comes first.
    pub(super) async fn flush(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        while self.due {
            match self.connections.iter().position(|c| c.as_ref().is_none_or(|c| !c.waits)) {
                Some(free) => self.send(free).await?,
                None => self.receive(inbox).await?,
            }
        }
        for connection in self.connections.iter_mut().flatten() {
            connection.flush().await?;
        }
        Ok(())
    }

    /// Waits for an answer, with a request at the server if there was none.
    pub(super) async fn read(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        self.hold(inbox).await?;
        self.receive(inbox).await
    }

    /// Sends a request to be held, unless there is one.
    pub(super) async fn hold(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        self.due |= self.connections.iter().flatten().all(|connection| !connection.waits);
        self.flush(inbox).await
    }

    async fn send(&mut self, on: usize) -> io::Result<()> {
        let connection = match &mut self.connections[on] {
            Some(connection) => connection,
            none => none.insert(Connection::dial(&self.target).await?),
        };
        let mut start = String::with_capacity(160);
        let Self { rid, sid, attributes, payload, .. } = self;
        write!(start, "<body {BODY} rid='{rid}'{sid}{attributes}>").expect("a string takes all");
        let length = start.len() + payload.len() + "</body>".len();
        let head = format!(
            "POST /http-bind HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n",
            self.target.domain
        );
        for part in [head.as_bytes(), start.as_bytes(), &payload[..], b"</body>"] {
            connection.out.extend_from_slice(part);
        }
        connection.waits = true;
        payload.clear();
        attributes.clear();
        *rid += 1;
        self.due = false;
        connection.flush().await
    }

    /// Waits for one answer on either connection.
    async fn receive(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        let [first, second] = &mut self.connections;
        loop {
            for connection in [&mut *first, &mut *second].into_iter().flatten() {
                if connection.take_answer(inbox)? {
                    return Ok(());
                }
            }
            tokio::select! {
                read = Connection::more(first) => read?,
                read = Connection::more(second) => read?,
            }
        }
    }
}

impl Connection {
    async fn dial(target: &Target) -> io::Result<Self> {
        let socket = target.dial(target.http).await?;
        Ok(Self { socket, out: BytesMut::new(), raw: BytesMut::new(), waits: false })
    }

    async fn flush(&mut self) -> io::Result<()> {
        drain(&mut self.socket, &mut self.out).await
    }

    /// More bytes, where an answer is due; otherwise never.
    async fn more(this: &mut Option<Self>) -> io::Result<()> {
        match this {
            Some(this) if this.waits => fill(&mut this.socket, &mut this.raw).await,
            _ => std::future::pending().await,
        }
    }

    /// Moves the body of a complete answer to the inbox, if there is one.
    fn take_answer(&mut self, inbox: &mut BytesMut) -> io::Result<bool> {
        let Some(end) = memmem::find(&self.raw, b"\r\n\r\n") else { return Ok(false) };
        let head = &self.raw[..end + 4];
        let Some(length) = content_length(head).filter(|_| head.starts_with(b"HTTP/1.1 200 "))
        else {
            let head = String::from_utf8_lossy(&self.raw).into_owned();
            return Err(io::Error::other(format!("no answer of BOSH: {head}")));
        };
        if self.raw.len() < head.len() + length {
            return Ok(false);
        }
        self.raw.advance(end + 4);
        let body = self.raw.split_to(length);
        if memmem::find(&body, b"terminate").is_some() {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(io::Error::other(format!("the session ends: {body}")));
        }
        inbox.extend_from_slice(&body);
        if self.raw.is_empty() {
            self.raw = BytesMut::new(); // a request may be held for long
        }
        self.waits = false;
        Ok(true)
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}
