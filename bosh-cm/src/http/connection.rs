//! One HTTP connection, from its first byte to its last.

use super::{
    HEAD_BYTES, Peer, Site,
    patience::{Impatient, Pushes},
    pipeline::Watched,
};
use crate::gauges::limit;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
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

/// Serves one connection. From `shutdown` on it takes no further request.
pub async fn connection<S>(stream: S, peer: Peer, site: Arc<Site>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let address = peer.address;
    let pushes = Pushes::new(Arc::clone(&site.manager));
    let (stream, seen) = Watched::new(Impatient::new(stream, pushes.clone()));
    let count = AtomicU64::new(0);
    let service = service_fn(|request| {
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        let turn = Turn { count, begun: seen.clone(), pushes: pushes.clone() };
        let (site, peer) = (Arc::clone(&site), peer.clone());
        async move { site.respond(request, peer, turn).await }
    });
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
        if error.is_timeout() {
            site.manager.gauges.limits.add(limit::TIME);
        } else if error.is_parse_too_large() {
            site.manager.gauges.limits.add(limit::HEAD);
        }
        debug!(%error, address = address.map(tracing::field::display), "HTTP connection ends");
    }
}

/// The place of a request among those of its connection.
pub(super) struct Turn {
    /// How many have been handed over, this one included.
    count: u64,
    /// How many have begun to arrive.
    begun: watch::Receiver<u64>,
    /// Answers that are about to be written on it.
    pub(super) pushes: Pushes,
}

impl Turn {
    /// Completes when the next request has begun to arrive: in HTTP/1 it is not read before this one is answered
    /// (XEP-0124 18.1).
    pub(super) async fn pressed(mut self) {
        if self.begun.wait_for(|begun| *begun > self.count).await.is_err() {
            std::future::pending().await // the connection is gone, and with it this request
        }
    }
}
