//! HTTP/2 (RFC 9113): any number of requests side by side, each a stream.

use super::{
    Asked, Peer, Site,
    bosh::Post,
    patience::{Impatient, Pushes},
    reply::Reply,
    streams::{AT_ONCE, Held, Over, SMALL, Sending, Streams, Underway},
};
use crate::{driver::Delivery, gauges::limit, websocket::driver::Guest};
use bytes::BytesMut;
use http::{
    Method, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http2, service::service_fn, upgrade};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Bytes of a request, or from a WebSocket, that a stream may send ahead of being read: what every client expects to begin
/// with (RFC 9113 6.9.2).
const STREAM_WINDOW: u32 = 65_535;
/// Bytes that all of them may send ahead: several can be slow before the others have to wait.
const CONNECTION_WINDOW: u32 = 1_048_576;
/// Bytes written ahead on one stream.
const SEND_BUFFER: usize = 65_536;
/// Streams that h2 had to reset for an error or a surplus before it ends their connection.
const RESETS: usize = 2 * AT_ONCE as usize;

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unanswered {
    /// Its connection is to be closed.
    #[error("the visitor is hung up on")]
    HangUp,
    /// It did not come to its end.
    #[error("the request was broken off")]
    BrokenOff,
}

/// Serves a connection to its end. From `shutdown` on it takes no further request.
pub(super) async fn serve<S>(stream: S, peer: &Peer, site: &Arc<Site>, shutdown: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let pushes = Pushes::new(Arc::clone(&site.manager));
    let stream = Impatient::new(stream).telling(pushes.clone());
    let streams = Streams::new(site.patience, site.is_proxy(peer));
    let service = service_fn(|request| {
        answer(Arc::clone(site), request, peer.clone(), streams.begin(), pushes.clone())
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(AT_ONCE)
        .max_header_list_size(u32::try_from(site.head_bytes).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol(); // RFC 8441 3
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut leaving = false;
    loop {
        tokio::select! {
            outcome = &mut connection => {
                if let Err(error) = outcome {
                    debug!(%error, "HTTP/2 breaks off");
                }
                return;
            }
            () = shutdown.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            over = streams.over() => match over {
                Over::Quiet if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                over => {
                    if over == Over::Quiet {
                        site.manager.gauges.limits.add(limit::TIME);
                    }
                    debug!(%over, "HTTP/2 is ended");
                    return;
                }
            }
        }
    }
}

/// Answers one request.
async fn answer(
    site: Arc<Site>,
    mut request: Request<Incoming>,
    peer: Peer,
    underway: Underway,
    pushes: Pushes,
) -> Result<Response<Sending>, Unanswered> {
    let is_head = request.method() == Method::HEAD;
    let reply = match site.ask(&request, &peer) {
        Asked::Reply(reply) => *reply,
        Asked::WebSocket(reply, guest) => {
            let upgrade = upgrade::on(&mut request);
            tokio::spawn(welcome(guest, upgrade, underway.clone(), peer));
            *reply
        }
        Asked::Post(post) => {
            let reply = site.read_and_post(post, request.into_body(), &underway, &pushes).await;
            if matches!(reply, Err(Unanswered::HangUp)) {
                // By itself an error resets the stream only.
                underway.hang_up();
            }
            reply?
        }
    };
    let (mut head, mut body) = reply.into_parts();
    // RFC 9113 8.2.2: there is a connection, but it is no concern of a request's.
    head.headers.remove(CONNECTION);
    head.headers.remove(UPGRADE);
    if is_head {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        body.clear();
    }
    Ok(Response::from_parts(head, Sending::new(body, underway)))
}

/// Serves a WebSocket once its stream has changed hands: when the answer is written, for which the end does not wait.
async fn welcome(guest: Guest, upgrade: upgrade::OnUpgrade, underway: Underway, peer: Peer) {
    match guest.unless_killed(upgrade).await {
        Some(Ok(stream)) => {
            let stream = Held::new(TokioIo::new(stream), underway);
            guest.serve(Box::new(Impatient::new(stream))).await;
        }
        Some(Err(error)) => debug!(%error, "no WebSocket after all"),
        None => debug!("no WebSocket before the end"),
    }
    drop(peer);
}

impl Site {
    async fn read_and_post(
        &self,
        post: Post,
        body: Incoming,
        underway: &Underway,
        pushes: &Pushes,
    ) -> Result<Reply, Unanswered> {
        let body = read(body, self.manager.body_bytes(), underway);
        let limit = match timeout(self.patience, body).await {
            Ok(Ok(Some(body))) => {
                let asking = match self.post(&post, body) {
                    Ok(asking) => asking,
                    Err(refusal) => return Ok(*refusal),
                };
                let Delivery { answer, pushed } = asking.await.ok_or(Unanswered::HangUp)?;
                if let Some(since) = pushed {
                    pushes.begin(since);
                }
                return Ok(self.deliver(&post, answer));
            }
            Ok(Err(broken_off)) => return Err(broken_off),
            Ok(Ok(None)) => limit::BODY,
            Err(_) => limit::TIME,
        };
        Ok(self.over(&post, limit))
    }
}

/// Reads a body of at most so many bytes; `None` if it is larger.
async fn read(
    mut body: Incoming,
    max: usize,
    underway: &Underway,
) -> Result<Option<BytesMut>, Unanswered> {
    // It grows with what comes, not with what is announced.
    let mut bytes = BytesMut::new();
    let mut place = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unanswered::BrokenOff)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > max {
            return Ok(None);
        }
        if length > SMALL && place.is_none() {
            place = Some(underway.room().await);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}
