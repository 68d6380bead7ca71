//! HTTP by hand: a connection, what is written on it, and the answers that come back.

use super::Stop;
use bytes::{Bytes, BytesMut};
use std::{fmt::Write as _, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use xmpp_core::{
    ns,
    xml::{Element, Limits, Node, Scope},
};

/// Largest head of an answer that is read.
const HEAD_BYTES: usize = 64 * 1024;
/// What a manager may send: many stanzas, some of the largest size, one level deeper than on a stream.
const LIMITS: Limits = Limits {
    bytes: 16 << 20,
    depth: 100,
    elements: 65_536,
    declarations: 65_536,
    ..Limits::AFTER_AUTH
};
/// How long it may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A connection to the manager's HTTP port.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A future on its own.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens a connection to the manager.
pub type Dial = Arc<dyn Fn() -> BoxFuture<io::Result<Box<dyn Stream>>> + Send + Sync>;

/// Connections to `HOST:PORT` by TCP, with TLS for https. Any certificate is taken: the suite asks how the manager
/// speaks, not who it is.
pub fn http(address: String, https: bool) -> Dial {
    Arc::new(move || {
        let address = address.clone();
        Box::pin(async move {
            let stream = timeout(CONNECT_TIME, TcpStream::connect(&address))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            if !https {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
            let config = net::tls::client::trusting_anyone(&["http/1.1"]);
            let stream = net::tls::client::connect(stream, host, config).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}

/// One HTTP connection. Reading can be given up and taken up again.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    ended: bool,
}

/// One HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body as it came, without the chunks' heads.
    pub(crate) body: Bytes,
    /// Whether the body came in chunks.
    pub(crate) chunked: bool,
    /// The `<body/>`, if it is one.
    node: Option<Node>,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, buffer: BytesMut::new(), ended: false }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// The next answer; it has to come within this time.
    pub(crate) async fn answer(&mut self, within: Duration) -> Result<Answer, Stop> {
        match self.next(within).await? {
            Some(answer) => Ok(answer),
            None => Err(Stop::Fail(format!("no answer within {} s", within.as_secs_f32()))),
        }
    }

    /// No answer may come for so long.
    pub(crate) async fn held(&mut self, time: Duration) -> Result<(), Stop> {
        match self.next(time).await? {
            None => Ok(()),
            Some(answer) => Err(Stop::Fail(format!("answered too early: {}", answer.show()))),
        }
    }

    /// The next answer, or `None` if there is none after this time.
    pub(crate) async fn next(&mut self, within: Duration) -> Result<Option<Answer>, Stop> {
        let end = Instant::now() + within;
        loop {
            if let Some(answer) = self.cut()? {
                return Ok(Some(answer));
            }
            if self.ended {
                return Err(Stop::fail("the connection was closed without an answer"));
            }
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => self.ended = read? == 0,
                () = sleep_until(end) => return Ok(None),
            }
        }
    }

    /// Whether the manager closes the connection within this time; answers are dropped.
    pub(crate) async fn closes(&mut self, within: Duration) -> bool {
        let gone = async {
            while self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0) {
                self.buffer.clear();
            }
        };
        timeout(within, gone).await.is_ok()
    }

    /// Cuts a whole answer off the front of what has been read.
    fn cut(&mut self) -> Result<Option<Answer>, Stop> {
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            let sane = self.buffer.len() <= HEAD_BYTES;
            return if sane { Ok(None) } else { Err(Stop::fail("an endless head")) };
        };
        let head = str::from_utf8(&self.buffer[..end])
            .map_err(|_| Stop::fail("the head is not text"))?
            .to_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.ok_or_else(|| Stop::Fail(format!("not HTTP: {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let rest = &self.buffer[end + 4..];
        let chunked = value("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        let (body, used) = if chunked {
            let Some(found) = unchunk(rest)? else { return Ok(None) };
            found
        } else if let Some(length) = value("content-length") {
            let length = length.parse().map_err(|_| Stop::fail("a Content-Length of no number"))?;
            if rest.len() < length {
                return Ok(None);
            }
            (Bytes::copy_from_slice(&rest[..length]), length)
        } else if status == 204 || status == 304 || status < 200 {
            (Bytes::new(), 0)
        } else if self.ended {
            (Bytes::copy_from_slice(rest), rest.len())
        } else {
            return Ok(None); // it ends with the connection
        };
        let _cut = self.buffer.split_to(end + 4 + used);
        let node = parse(&body);
        Ok(Some(Answer { status, headers, body, chunked, node }))
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// An attribute of the `<body/>`.
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.node.as_ref()?.attr(name)
    }

    /// An attribute of the `<body/>` in the namespace of XEP-0206.
    pub(crate) fn xmpp_attr(&self, name: &str) -> Option<&str> {
        let attributes = &self.node.as_ref()?.attributes;
        let found = attributes.iter().find(|(ns, n, _)| ns == ns::XBOSH && n == name);
        found.map(|(_, _, value)| value.as_str())
    }

    /// A number among the attributes.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Stop> {
        let Some(text) = self.attr(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Stop::Fail(format!("{name}='{text}' is no number"))),
        }
    }

    /// The payloads.
    pub(crate) fn payloads(&self) -> &[Node] {
        self.node.as_ref().map_or(&[], |node| &node.children)
    }

    /// The first payload of this name.
    pub(crate) fn payload(&self, ns: &str, name: &str) -> Option<&Node> {
        self.payloads().iter().find(|node| node.is(ns, name))
    }

    /// Whether it ends something.
    pub(crate) fn is_terminate(&self) -> bool {
        self.attr("type") == Some("terminate") || matches!(self.status, 400 | 403 | 404 | 413)
    }

    /// The terminal condition; of a legacy error the one that superseded it (XEP-0124 17.1).
    pub(crate) fn condition(&self) -> Option<&str> {
        match (self.attr("type"), self.status) {
            (Some("terminate"), _) => self.attr("condition"),
            (_, 400) => Some("bad-request"),
            (_, 403 | 413) => Some("policy-violation"),
            (_, 404) => Some("item-not-found"),
            _ => None,
        }
    }

    /// It has to be this terminal condition, by `<body/>` or by legacy code.
    pub(crate) fn expect(&self, condition: &str) -> Result<(), Stop> {
        match self.condition() == Some(condition) {
            true => Ok(()),
            false => Err(Stop::Fail(format!("instead of {condition}: {}", self.show()))),
        }
    }

    /// It has to be a `<body/>` that goes on.
    pub(crate) fn alive(&self) -> Result<&Self, Stop> {
        let fine = self.status == 200 && self.node.is_some() && self.attr("type").is_none();
        if fine { Ok(self) } else { Err(Stop::Fail(format!("unexpected: {}", self.show()))) }
    }

    /// The same with another content, such as what it was before it was compressed.
    pub(crate) fn with_body(&self, body: Vec<u8>) -> Self {
        let body = Bytes::from(body);
        Self { node: parse(&body), body, ..self.clone() }
    }

    /// Its status and the beginning of its body, in one line.
    pub(crate) fn show(&self) -> String {
        const SHOWN: usize = 240;
        let text = String::from_utf8_lossy(&self.body);
        let mut line = format!("{}", self.status);
        let shown: String =
            text.chars().take(SHOWN).map(|c| if c < ' ' { ' ' } else { c }).collect();
        if !shown.is_empty() {
            let cut = if text.chars().count() > SHOWN { "…" } else { "" };
            write!(line, " {shown}{cut}").expect("strings take everything");
        }
        line
    }
}

/// A `<body/>` that passes the strict check.
fn parse(body: &Bytes) -> Option<Node> {
    let text = str::from_utf8(body).ok()?;
    // An XML declaration is allowed, and of no interest.
    let start = match text.strip_prefix("<?xml") {
        Some(rest) => text.len() - rest.split_once("?>")?.1.trim_start().len(),
        None => 0,
    };
    let body = body.slice(start..);
    let element = Element::check(body.clone(), &Scope::default(), &LIMITS).ok()?;
    let node = Node::parse(&body, "").ok()?;
    element.is(ns::HTTPBIND, "body").then_some(node)
}

/// The content of a chunked body and its length on the wire, once it is whole.
fn unchunk(bytes: &[u8]) -> Result<Option<(Bytes, usize)>, Stop> {
    let mut body = BytesMut::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = str::from_utf8(&rest[..line]).ok().and_then(|text| {
            let digits = text.split(';').next()?.trim();
            usize::from_str_radix(digits, 16).ok()
        });
        let size = size.ok_or_else(|| Stop::fail("a chunk of no size"))?;
        let Some(end) = (line + 4).checked_add(size) else {
            return Err(Stop::fail("a chunk of no size"));
        };
        if rest.len() < end {
            return Ok(None);
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        at += end;
        if size == 0 {
            return Ok(Some((body.freeze(), at)));
        }
    }
}
