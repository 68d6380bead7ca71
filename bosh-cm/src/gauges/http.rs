//! The listener that shows a program's numbers: `/metrics` for Prometheus, `/` for people. It is no part of a
//! [`Site`](crate::http::Site), whose listeners are for everybody.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
};
use program::metrics::Metrics;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

/// Connections at a time: those who look are few, and known.
const CONNECTIONS: usize = 64;
/// How long a connection may last: one question and its answer.
const TIME: Duration = Duration::from_secs(10);
/// The format's name (Prometheus, exposition formats).
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Collects a program's numbers as they are now.
pub type Collect = dyn Fn() -> Metrics + Send + Sync;

/// What the listener shows.
pub struct Board {
    /// The title of the page.
    pub title: &'static str,
    /// The numbers.
    pub collect: Box<Collect>,
}

/// Who may look: anybody who gets to the listener, and not too many at once.
pub fn book() -> Arc<AddressBook> {
    let limits = AddressLimits {
        total: CONNECTIONS,
        per_address: u32::MAX,
        new_per_minute: u32::MAX,
        trusted: Vec::new(),
    };
    AddressBook::new(limits)
}

/// Answers whoever connects, until `shutdown`.
pub async fn serve(listener: Listener, board: Arc<Board>, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let (stream, _, permit) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (board, shutdown) = (Arc::clone(&board), shutdown.clone());
        connections.spawn(async move {
            shutdown.run_until_cancelled(timeout(TIME, connection(stream, &board))).await;
            drop(permit);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, board: &Board) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(board, &request)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(TIME).keep_alive(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "who looked at the numbers is gone");
    }
}

fn answer(board: &Board, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, content, body) = match (request.method(), request.uri().path()) {
        (&(Method::GET | Method::HEAD), "/metrics") => {
            (StatusCode::OK, PROMETHEUS, (board.collect)().text())
        }
        (&(Method::GET | Method::HEAD), "/") => {
            (StatusCode::OK, HTML, (board.collect)().page(board.title))
        }
        (&(Method::GET | Method::HEAD), _) => {
            (StatusCode::NOT_FOUND, TEXT, "There is nothing here.\n".into())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "This method is not for here.\n".into()),
    };
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, content);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    reply
}
