//! One connection, whatever it speaks.

use super::{
    Peer, Site,
    http1::{self, Next},
    http2,
    patience::Impatient,
};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Serves one connection, in HTTP/1 or HTTP/2 as its first bytes have it: over TLS that is what ALPN agreed on, without TLS
/// it is known beforehand (RFC 9113 3.3). From `shutdown` on it takes no further request.
pub async fn connection<S>(stream: S, peer: Peer, site: Arc<Site>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Each is boxed, so that a connection takes the memory of what it does and not of all that it might.
    match Box::pin(http1::serve(stream, &peer, &site, &shutdown)).await {
        Next::Nothing => {}
        Next::Http2(stream) => Box::pin(http2::serve(stream, &peer, &site, &shutdown)).await,
        Next::WebSocket(guest, stream) => {
            Box::pin(guest.serve(Box::new(Impatient::new(stream)))).await;
        }
    }
    debug!(address = peer.address.map(tracing::field::display), "HTTP connection ends");
}
