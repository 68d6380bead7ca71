//! HTTP/1.1 for browsers: the endpoints of BOSH and WebSocket, and static pages beside them.

use crate::{
    driver::Manager,
    pipeline::Requests,
    session::Answer,
    upstream::Visitor,
    websocket::{
        driver::Guest,
        http::{Refusal, handshake},
    },
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, TRANSFER_ENCODING, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use net::{
    address::{Permit, is_within},
    listener::Listener,
    tls::{Mode, Tls},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

/// How long a client may take none of an answer.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// The usual [`Site::head_bytes`], and the least that hyper can be held to.
pub const HEAD_BYTES: usize = 8_192;
/// The usual [`Site::patience`].
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a body read and dropped once it is too large.
const DROPPED: usize = 16_777_216;
/// How long connections may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// For how long a browser remembers that it may post here.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");
/// Nothing in an answer is to be run or shown (threat U03).
const NO_CONTENT_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const TEXT: &str = "text/plain; charset=utf-8";

/// What one listener serves.
pub struct Site {
    /// The sessions.
    pub manager: Arc<Manager>,
    /// The path of the BOSH endpoint, such as `/http-bind`.
    pub bosh: String,
    /// The path of the WebSocket endpoint, such as `/xmpp-websocket`.
    pub websocket: String,
    /// The origins whose scripts may use the endpoints; empty: any. No cookies are ever involved, so any is
    /// safe (threats B09, W01).
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub proxies: Vec<IpNet>,
    /// Other pages, by their path.
    pub pages: Vec<Page>,
    /// The largest head of a request, at least [`HEAD_BYTES`].
    pub head_bytes: usize,
    /// How long the head of a request may take, how long its body, and how long a connection may be idle between
    /// requests.
    pub patience: Duration,
}

/// A static answer to GET and HEAD.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path, from the first slash to the query.
    pub path: String,
    /// 200, or for something that is missing on purpose an error such as 501.
    pub status: StatusCode,
    /// Its `Content-Type`.
    pub content_type: HeaderValue,
    /// Its `Content-Security-Policy`.
    pub policy: HeaderValue,
    /// Whether scripts of any origin may read it.
    pub any_origin: bool,
    /// Its content.
    pub body: Bytes,
}

/// Where a connection comes from.
#[derive(Clone)]
pub struct Peer {
    /// The address at the other end.
    pub address: Option<IpAddr>,
    /// Whether it is HTTPS.
    pub tls: bool,
    /// Its place among the connections, kept as long as anything comes by it.
    pub permit: Option<Arc<Permit>>,
}

/// What makes a listener one of HTTPS.
#[derive(Clone)]
pub struct Https {
    /// The certificate, as it is in force for each new connection.
    pub tls: Arc<Tls>,
    /// How long a handshake may take.
    pub deadline: Duration,
}

/// Close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the request is not answered")]
struct HangUp;

type Reply = Response<Full<Bytes>>;

impl Page {
    /// A plain text, with this status.
    pub fn text(path: impl Into<String>, status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self {
            path: path.into(),
            status,
            content_type: HeaderValue::from_static(TEXT),
            policy: NO_CONTENT_POLICY,
            any_origin: false,
            body: text.into(),
        }
    }
}

/// Accepts connections until `shutdown`, then lets the open ones finish what they have begun. Call
/// [`Manager::shut`] at the same time, or held requests are cut off.
pub async fn serve(
    listener: Listener,
    https: Option<Https>,
    site: Arc<Site>,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let (stream, address, permit) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let permit = Some(Arc::new(permit));
        let peer = Peer { address: Some(address.ip()), tls: https.is_some(), permit };
        let (site, shutdown) = (Arc::clone(&site), shutdown.clone());
        match https.clone() {
            None => connections.spawn(connection(stream, peer, site, shutdown)),
            Some(https) => connections.spawn(async move {
                match https.tls.accept(stream, Mode::Https, https.deadline).await {
                    Ok(stream) => connection(stream, peer, site, shutdown).await,
                    Err(error) => debug!(%error, %address, "no HTTPS"),
                }
            }),
        };
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "HTTP connections cut off");
    }
}

/// Serves one connection. From `shutdown` on it takes no further request.
pub async fn connection<S>(stream: S, peer: Peer, site: Arc<Site>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let address = peer.address;
    let (begun, seen) = watch::channel(0);
    let count = AtomicU64::new(0);
    let service = service_fn(|request| {
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        let (site, turn) = (Arc::clone(&site), Turn { count, begun: seen.clone() });
        let peer = peer.clone();
        async move { site.respond(request, peer, turn).await }
    });
    let stream = Impatient { stream, stuck: None, requests: Requests::default(), begun };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(site.patience)
        .max_buf_size(site.head_bytes.max(HEAD_BYTES))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        debug!(%error, address = address.map(tracing::field::display), "HTTP connection ends");
    }
}

impl Site {
    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        turn: Turn,
    ) -> Result<Reply, HangUp> {
        if request.uri().path() == self.bosh {
            let origin = request.headers().get(ORIGIN).cloned();
            let mut reply = self.bosh(request, &peer, turn).await?;
            self.dress(reply.headers_mut(), origin);
            return Ok(reply);
        }
        if request.uri().path() == self.websocket {
            let origin = request.headers().get(ORIGIN).cloned();
            let mut reply = self.websocket(request, peer).unwrap_or_else(refused);
            self.dress(reply.headers_mut(), origin);
            return Ok(reply);
        }
        let page = self.pages.iter().find(|page| page.path == request.uri().path());
        let missing = || Page::text("", StatusCode::NOT_FOUND, "There is nothing here.\n");
        let page = page.cloned().unwrap_or_else(missing);
        let mut reply = match *request.method() {
            Method::GET | Method::HEAD => reply(page.status, page.content_type, page.body),
            _ => not_allowed(&HeaderValue::from_static("GET, HEAD")),
        };
        reply.headers_mut().insert(CONTENT_SECURITY_POLICY, page.policy);
        if page.any_origin {
            let any = HeaderValue::from_static("*");
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
        reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        Ok(reply)
    }

    /// Accepts a WebSocket. What comes over it is served once the connection has changed hands.
    fn websocket(&self, mut request: Request<Incoming>, peer: Peer) -> Result<Reply, Refusal> {
        let (status, headers) = handshake(&request, &self.origins)?;
        let visitor = self.visitor(request.headers(), &peer);
        let guest = Guest::admit(&self.manager, visitor).ok_or(Refusal::Full)?;
        let upgrade = upgrade::on(&mut request);
        self.manager.tasks.spawn(async move {
            match upgrade.await {
                Ok(stream) => guest.serve(Box::new(TokioIo::new(stream))).await,
                Err(error) => debug!(%error, "no WebSocket after all"),
            }
            drop(peer);
        });
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        Ok(reply)
    }

    async fn bosh(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        turn: Turn,
    ) -> Result<Reply, HangUp> {
        match *request.method() {
            Method::POST => self.post(request, peer, turn).await,
            Method::OPTIONS => {
                let mut reply = Response::new(Full::default());
                *reply.status_mut() = StatusCode::NO_CONTENT;
                let headers = reply.headers_mut();
                let methods = HeaderValue::from_static("POST, OPTIONS");
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
                let names = HeaderValue::from_static("Content-Type");
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
                headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
                Ok(reply)
            }
            Method::GET | Method::HEAD => {
                let text = "This is a BOSH endpoint (XEP-0124): XMPP clients post to it.\n";
                Ok(reply(StatusCode::OK, HeaderValue::from_static(TEXT), text.into()))
            }
            _ => Ok(not_allowed(&HeaderValue::from_static("POST, OPTIONS, GET, HEAD"))),
        }
    }

    async fn post(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        turn: Turn,
    ) -> Result<Reply, HangUp> {
        let visitor = self.visitor(request.headers(), peer);
        // Whoever is between might read a chunked request with a length otherwise than we do (threat B06).
        if request.headers().contains_key(TRANSFER_ENCODING) {
            return Ok(refusal(StatusCode::LENGTH_REQUIRED));
        }
        // RFC 9110 8.4, threat X15: no coding is announced, so none is undone.
        if request.headers().contains_key(CONTENT_ENCODING) {
            return Ok(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let shares = request.version() >= Version::HTTP_2;
        let body = read(request.into_body(), self.manager.body_bytes());
        let body = match timeout(self.patience, body).await {
            Ok(Ok(Some(body))) => body,
            Ok(Ok(None)) => return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE)),
            Ok(Err(HangUp)) => return Err(HangUp),
            Err(_) => return Ok(refusal(StatusCode::REQUEST_TIMEOUT)),
        };
        let pressed = async {
            match shares {
                true => std::future::pending().await,
                false => turn.pressed().await,
            }
        };
        let answer = self.manager.request(body, visitor, pressed).await.ok_or(HangUp)?;
        Ok(answered(answer))
    }

    /// The address that counts and whether the way to it is secure: of the connection, or as a trusted
    /// proxy tells it (threat B08).
    fn visitor(&self, headers: &HeaderMap, peer: &Peer) -> Visitor {
        let trusted = |address: &IpAddr| is_within(&self.proxies, *address);
        let direct = Visitor {
            address: peer.address,
            secure: peer.tls || peer.address.is_some_and(|address| address.is_loopback()),
        };
        if !peer.address.as_ref().is_some_and(trusted) {
            return direct;
        }
        // Every proxy appends the address it sees, so the last one that is no proxy of ours is the visitor's.
        let forwarded = list(headers, "x-forwarded-for");
        let proto = list(headers, "x-forwarded-proto").pop();
        if forwarded.is_empty() && proto.is_none() {
            return direct;
        }
        let mut addresses = forwarded.iter().rev().map_while(|text| address(text));
        let visitor = addresses.find(|address| !trusted(address));
        Visitor {
            address: visitor.or(peer.address),
            secure: proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")),
        }
    }

    /// What every answer of an endpoint carries, errors too: the leave for scripts of other origins to read
    /// it, and the warning not to keep it or to make anything else of it.
    fn dress(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(CONTENT_SECURITY_POLICY, NO_CONTENT_POLICY);
        if self.origins.is_empty() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        }
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let known = |origin: &HeaderValue| self.origins.iter().any(|one| origin == one.as_str());
        if let Some(origin) = origin.filter(known) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

/// The place of a request among those of its connection.
struct Turn {
    /// How many have been handed over, this one included.
    count: u64,
    /// How many have begun to arrive.
    begun: watch::Receiver<u64>,
}

impl Turn {
    /// Completes when the next request has begun to arrive: in HTTP/1 it is not read before this one is answered
    /// (XEP-0124 18.1).
    async fn pressed(mut self) {
        if self.begun.wait_for(|begun| *begun > self.count).await.is_err() {
            std::future::pending().await // the connection is gone, and with it this request
        }
    }
}

/// A connection that knows how many requests have begun on it, and fails once the other side has taken nothing for [`WRITE_TIME`]: answers that are not read
/// would keep their memory and their connection for good (threat B05).
struct Impatient<S> {
    stream: S,
    stuck: Option<Pin<Box<Sleep>>>,
    requests: Requests,
    begun: watch::Sender<u64>,
}

impl<S> Impatient<S> {
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            return outcome;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        stuck.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        let begun = self.requests.follow(&buf.filled()[before..]);
        if begun > 0 {
            self.begun.send_modify(|count| *count += begun);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}

/// Reads a body of at most so many bytes; `None` if it is larger. Some of the rest is read and dropped, since
/// the answer to a client that still sends gets lost when the connection closes.
async fn read(mut body: Incoming, max: usize) -> Result<Option<BytesMut>, HangUp> {
    let expected = body.size_hint().lower().try_into().unwrap_or(max).min(max);
    let mut bytes = BytesMut::with_capacity(expected);
    let mut dropped = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| HangUp)?.into_data() else { continue };
        if dropped == 0 && bytes.len() + data.len() <= max {
            bytes.extend_from_slice(&data);
            continue;
        }
        bytes = BytesMut::new();
        dropped += data.len();
        if dropped > DROPPED {
            break;
        }
    }
    Ok((dropped == 0).then_some(bytes))
}

/// An address as proxies write it, some of them with the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

/// The comma-separated values of a header, over all its lines.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

fn answered(answer: Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).expect("one of four codes");
    let content = HeaderValue::from_str(&answer.content).expect("one of a few types");
    reply(status, content, answer.body)
}

fn reply(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// The answer to a body that was not read to its end, so the connection is of no further use.
fn refusal(status: StatusCode) -> Reply {
    let answer = crate::session::Condition::PolicyViolation.answer(true);
    let mut reply = answered(answer);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The answer to a handshake that is none.
fn refused(refusal: Refusal) -> Reply {
    let text = format!("{refusal}\n").into();
    let mut reply = reply(refusal.status(), HeaderValue::from_static(TEXT), text);
    if refusal == Refusal::Method {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    refusal.dress(reply.headers_mut());
    reply
}

fn not_allowed(allow: &HeaderValue) -> Reply {
    let text = Bytes::from_static(b"This method is not for here.\n");
    let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, HeaderValue::from_static(TEXT), text);
    reply.headers_mut().insert(ALLOW, allow.clone());
    reply
}
