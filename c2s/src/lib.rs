//! Client streams: from a fresh connection to a bound session and back to silence (RFC 6120).

use net::tls::Tls;
use roster_store::Accounts;
use router::Router;
use std::{net::IpAddr, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The visitor's address, if known: what limits per address count.
    pub address: Option<IpAddr>,
    /// The connection is protected already (HTTPS in front, loopback inside this process): no STARTTLS is offered or required.
    pub secure: bool,
}

/// Serves client streams; shared by all listeners.
pub struct Door {}

/// What the door must know.
pub struct Settings {
    /// STARTTLS before anything else (RFC 6120 5.3.1).
    pub require_tls: bool,
    // mechanisms, limits, time-outs, masking key ...
}

impl Door {
    /// A door onto this router.
    pub fn new(
        _settings: Settings,
        _router: Arc<Router>,
        _accounts: Arc<dyn Accounts>,
        _tls: Arc<Tls>,
    ) -> Arc<Self> {
        todo!()
    }
    /// Serves one connection until it ends. Ends by itself soon after [`Door::shut`].
    pub async fn serve<S>(self: Arc<Self>, _stream: S, _origin: Origin)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        todo!()
    }
    /// Accepts connections of a listener and serves each in a task of its own.
    pub async fn listen(self: Arc<Self>, _listener: net::listener::Listener, _direct_tls: bool) {
        todo!()
    }
    /// Tells every client `system-shutdown` and waits until they are gone, or for the deadline.
    pub async fn shut(&self) {
        todo!()
    }
}
