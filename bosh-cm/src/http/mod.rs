//! HTTP for browsers: the endpoints of BOSH and WebSocket, and static pages beside them.
//!
//! - `connection`: one connection, from its first byte to its last, in HTTP/1 or HTTP/2.
//! - `head`, `http1`: requests one behind the other.
//! - `http2`, `streams`: requests side by side, by hyper.
//! - `begun`, `patience`: connections that something was read of, and clients that leave untaken what they are sent.
//! - `bosh`, `websocket`: the two endpoints.
//! - `coding`: compressed requests and answers.
//! - [`host_meta`]: where the endpoints are, for clients that know a domain only.
//! - `visitor`: whose connection it is, and whether the way to it was secure.
//! - `reply`: answers, and the headers that all of them carry.

mod begun;
mod bosh;
mod coding;
mod connection;
mod head;
pub mod host_meta;
mod http1;
mod http2;
mod patience;
mod reply;
mod streams;
mod visitor;
mod websocket;

pub use connection::connection;

use crate::{driver::Manager, websocket::driver::Guest};
use bosh::Post;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use ipnet::IpNet;
use net::{
    address::Permit,
    listener::Listener,
    tls::{Mode, Tls},
};
use reply::{NO_CONTENT_POLICY, NO_SNIFF, Reply, TEXT, not_allowed, reply};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

/// The usual [`Site::head_bytes`].
pub const HEAD_BYTES: usize = 8_192;
/// The usual [`Site::patience`].
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long connections may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(5);

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
    /// Proxies whose `Forwarded`, or `X-Forwarded-For` and `X-Forwarded-Proto`, is believed.
    pub proxies: Vec<IpNet>,
    /// Other pages, by their path.
    pub pages: Vec<Page>,
    /// The largest head of a request.
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

/// What is asked for, as far as the head of a request tells. Replies in boxes: a request of BOSH, which has none yet, is held long.
enum Asked {
    /// This answers it, whatever body it has.
    Reply(Box<Reply>),
    /// The endpoint of BOSH, which is to read the body.
    Post(Post),
    /// A WebSocket, once this answer is written.
    WebSocket(Box<Reply>, Guest),
}

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

impl Site {
    fn ask<B>(&self, request: &Request<B>, peer: &Peer) -> Asked {
        match request.uri().path() {
            path if path == self.bosh => self.bosh(request, peer),
            path if path == self.websocket => self.websocket(request, peer),
            path => Asked::Reply(Box::new(self.page(request.method(), path))),
        }
    }

    fn page(&self, method: &Method, path: &str) -> Reply {
        let page = self.pages.iter().find(|page| page.path == path);
        let missing = || Page::text("", StatusCode::NOT_FOUND, "There is nothing here.\n");
        let page = page.cloned().unwrap_or_else(missing);
        let mut reply = match *method {
            Method::GET | Method::HEAD => reply(page.status, page.content_type, page.body),
            _ => not_allowed(&HeaderValue::from_static("GET, HEAD")),
        };
        reply.headers_mut().insert(CONTENT_SECURITY_POLICY, page.policy);
        if page.any_origin {
            let any = HeaderValue::from_static("*");
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
        reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        reply
    }
}

/// The comma-separated values of a header, over all its lines.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}
