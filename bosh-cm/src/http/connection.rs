//! One HTTP connection, from its first byte to its last.

use super::{
    HEAD_BYTES, Peer, Site, Unanswered,
    patience::{Impatient, Pushes},
    pipeline::Watched,
    streams::{AT_ONCE, Over, Sending, Streams, Underway},
};
use crate::gauges::limit;
use http::{
    Method, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Bytes of a request, or from a WebSocket, that a stream of HTTP/2 may send ahead of being read: what every client
/// expects to begin with (RFC 9113 6.9.2).
const STREAM_WINDOW: u32 = 65_535;
/// Bytes that all of them may send ahead: several can be slow before the others have to wait.
const CONNECTION_WINDOW: u32 = 1_048_576;
/// Bytes written ahead on one stream of HTTP/2.
const SEND_BUFFER: usize = 65_536;
/// Streams that h2 had to reset for an error or a surplus before it ends their connection.
const RESETS: usize = 2 * AT_ONCE as usize;

/// Serves one connection, in HTTP/1 or HTTP/2 as its first bytes have it: over TLS that is what ALPN agreed on, without TLS
/// it is known beforehand (RFC 9113 3.3). From `shutdown` on it takes no further request.
pub async fn connection<S>(stream: S, peer: Peer, site: Arc<Site>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let address = peer.address;
    let pushes = Pushes::new(Arc::clone(&site.manager));
    let (stream, seen) = Watched::new(Impatient::new(stream, pushes.clone()));
    let count = AtomicU64::new(0);
    let streams = Streams::new(site.patience, site.is_proxy(&peer));
    let service = service_fn(|request: Request<Incoming>| {
        let place = match request.version() {
            Version::HTTP_2 => Place::Beside(streams.begin()),
            _ => {
                streams.is_http1();
                let count = count.fetch_add(1, Ordering::Relaxed) + 1;
                Place::Behind { count, begun: seen.clone() }
            }
        };
        let turn = Turn { place, pushes: pushes.clone() };
        answer(Arc::clone(&site), request, peer.clone(), turn, Arc::clone(&streams))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let head = site.head_bytes.max(HEAD_BYTES);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(site.patience).max_buf_size(head);
    builder
        .http2()
        .max_concurrent_streams(AT_ONCE)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol(); // RFC 8441 3
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut leaving = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut connection => break outcome,
            () = shutdown.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            over = streams.over() => match over {
                Over::Quiet if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                over => break Err(over.into()),
            }
        }
    };
    if let Err(error) = outcome {
        let http = error.downcast_ref::<hyper::Error>();
        let slow = error.downcast_ref() == Some(&Over::Quiet);
        if slow || http.is_some_and(hyper::Error::is_timeout) {
            site.manager.gauges.limits.add(limit::TIME);
        } else if http.is_some_and(hyper::Error::is_parse_too_large) {
            site.manager.gauges.limits.add(limit::HEAD);
        }
        debug!(%error, address = address.map(tracing::field::display), "HTTP connection ends");
    }
}

/// Answers one request, as its version of HTTP has it.
async fn answer(
    site: Arc<Site>,
    request: Request<Incoming>,
    peer: Peer,
    turn: Turn,
    streams: Arc<Streams>,
) -> Result<Response<Sending>, Unanswered> {
    let is_head = request.method() == Method::HEAD;
    let underway = turn.underway().cloned();
    let reply = site.respond(request, peer, turn).await;
    if underway.is_some() && matches!(reply, Err(Unanswered::HangUp)) {
        // By itself an error resets the stream only; in HTTP/1 it ends the connection.
        streams.hang_up();
    }
    let (mut head, mut body) = reply?.into_parts();
    if underway.is_some() {
        // RFC 9113 8.2.2: there is a connection, but it is no concern of a request's.
        head.headers.remove(CONNECTION);
        head.headers.remove(UPGRADE);
    }
    if is_head {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        body.clear();
    }
    Ok(Response::from_parts(head, Sending::new(body, underway)))
}

/// A request among those of its connection.
pub(super) struct Turn {
    place: Place,
    /// Answers that are about to be written on it.
    pub(super) pushes: Pushes,
}

/// What it is to the others.
enum Place {
    /// In HTTP/1 they are answered one after the other.
    Behind {
        /// How many have been handed over, this one included.
        count: u64,
        /// How many have begun to arrive.
        begun: watch::Receiver<u64>,
    },
    /// In HTTP/2 none waits for another.
    Beside(Underway),
}

impl Turn {
    /// Completes when the next request has begun to arrive, if that is not read before this one is answered
    /// (XEP-0124 18.1).
    pub(super) async fn pressed(self) {
        if let Place::Behind { count, mut begun } = self.place
            && begun.wait_for(|begun| *begun > count).await.is_ok()
        {
            return;
        }
        std::future::pending().await // or the connection is gone, and with it this request
    }

    /// The request, if it is a stream of its own.
    pub(super) fn underway(&self) -> Option<&Underway> {
        match &self.place {
            Place::Behind { .. } => None,
            Place::Beside(underway) => Some(underway),
        }
    }
}
