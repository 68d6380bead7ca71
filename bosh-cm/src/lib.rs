//! The BOSH connection manager (XEP-0124, XEP-0206): HTTP bodies in, XMPP streams out.

use std::{future::Future, io, net::IpAddr, pin::Pin};
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a session comes from.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The browser's address, as the HTTP listener or a trusted proxy tells it.
    pub address: Option<IpAddr>,
    /// Whether the HTTP connection counts as secure: HTTPS, loopback, or a trusted proxy says so.
    pub secure: bool,
}

/// A stream to an XMPP server.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Opens streams to XMPP servers.
pub trait Upstream: Send + Sync + 'static {
    /// A connected byte stream for this domain, ready for a stream header. An error is `remote-connection-failed`;
    /// [`io::ErrorKind::NotFound`] is `host-unknown`.
    fn connect(
        &self,
        domain: &str,
        visitor: Visitor,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Pipe>>> + Send + '_>>;
}
