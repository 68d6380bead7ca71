//! TLS for servers: a certificate that can be read again without dropping a stream.
//!
//! TLS 1.2 and 1.3 with the library's default cipher suites, session tickets, and no early data: what
//! could be replayed is never read (XEP-0388 wants that for authentication).

mod certificate;
pub mod client;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, server};

pub use certificate::CertificateError;

/// How long a handshake may take: a slow network needs a few round trips, nobody needs more than this.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How often [`Tls::watch`] looks whether the files changed: a new certificate is served within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes that wait for a slow socket in each connection: one full record. The writer then waits.
const BUFFER_BYTES: usize = 16 * 1024;

/// The certificate in force and the configurations made from it.
pub struct Tls {
    /// Where the certificate is read again from; in memory only where absent.
    files: Option<Files>,
    in_force: Arc<InForce>,
    start_tls: Arc<ServerConfig>,
    direct: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
}

/// How a stream comes to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// After `<starttls/>` (RFC 6120 5). The protocol was agreed before, so ALPN is not asked for.
    StartTls,
    /// From the first byte (XEP-0368). ALPN `xmpp-client` if the client offers any protocol; one that
    /// offers only others is refused with `no_application_protocol`.
    Direct,
    /// HTTPS. ALPN `h2` or, for clients that do not know it, `http/1.1`, likewise.
    Https,
}

/// Why there is no protected stream. The peer, or the network to it, is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// [`HANDSHAKE_DEADLINE`], or another that was given.
    #[error("the TLS handshake took too long")]
    Deadline,
    /// What the peer did wrong; it has been sent the alert.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
}

/// A stream under TLS. Closing the writing half sends `close_notify`.
pub struct TlsStream<S>(server::TlsStream<S>);

impl Tls {
    /// Reads a certificate chain and its private key, both in PEM form. A certificate out of date is
    /// served all the same, with a warning in the log: the clients decide.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let pair = certificate::read(&files.certificate, &files.key)?;
        if certificate::is_out_of_date(&pair) {
            tracing::warn!("{}", CertificateError::OutOfDate(files.certificate.clone()));
        }
        Ok(Self::new(Some(files), pair))
    }

    /// A self-signed certificate for these domains, made in `folder` unless a fitting one is there. The
    /// key can be read by its owner only.
    pub fn self_signed(folder: &Path, names: &[&str]) -> Result<Self, CertificateError> {
        let files = Files {
            certificate: folder.join("self-signed.crt"),
            key: folder.join("self-signed.key"),
        };
        let pair = certificate::self_signed_in(folder, &files.certificate, &files.key, names)?;
        Ok(Self::new(Some(files), pair))
    }

    /// A self-signed certificate for these domains that is nowhere but in memory.
    pub fn ephemeral(names: &[&str]) -> Result<Self, CertificateError> {
        Ok(Self::new(None, certificate::make(names)?.certified()?))
    }

    /// Reads certificate and key again. Streams that exist keep theirs, new handshakes get the new one.
    /// Tells whether the certificate is another than before. After an error the old one stays in force.
    ///
    /// Reads files: call it where blocking is allowed.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let Some(files) = &self.files else { return Ok(false) };
        if certificate::read_chain(&files.certificate)? == self.in_force.0.load().cert {
            // A new key never comes without a new certificate.
            return Ok(false);
        }
        let pair = certificate::read(&files.certificate, &files.key)?;
        if certificate::is_out_of_date(&pair) {
            return Err(CertificateError::OutOfDate(files.certificate.clone()));
        }
        self.in_force.0.store(Arc::new(pair));
        tracing::info!(certificate = %files.certificate.display(), "the new certificate is in force");
        Ok(true)
    }

    /// Reads them again now, because somebody says so, and tells in the log what came of it.
    pub async fn read_again(self: &Arc<Self>) {
        let tls = Arc::clone(self);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(changed)) => tracing::info!(changed, "certificate read again"),
            Ok(Err(error)) => tracing::error!(%error, "the certificate in force stays"),
            Err(error) => tracing::error!(%error, "the certificate could not be read"),
        }
    }

    /// Looks at the files twice a second and reads them again when the certificate changed, until
    /// `shutdown` completes. An error is logged once, and tried again: tools replace key and certificate
    /// one after the other.
    pub async fn watch(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut last_error = None;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            let error = match reloaded {
                Ok(outcome) => outcome.err().map(|error| error.to_string()),
                Err(panicked) => Some(panicked.to_string()),
            };
            if error != last_error
                && let Some(error) = &error
            {
                tracing::error!(%error, "the certificate in force stays");
            }
            last_error = error;
        }
    }

    /// Does the server's side of the handshake, within the deadline (normally [`HANDSHAKE_DEADLINE`]).
    /// Nothing may have been read from the stream beyond what came before TLS.
    pub async fn accept<S>(
        &self,
        stream: S,
        mode: Mode,
        deadline: Duration,
    ) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = match mode {
            Mode::StartTls => &self.start_tls,
            Mode::Direct => &self.direct,
            Mode::Https => &self.https,
        };
        let handshake = TlsAcceptor::from(config.clone())
            .accept_with(stream, |connection| connection.set_buffer_limit(Some(BUFFER_BYTES)));
        match tokio::time::timeout(deadline, handshake).await {
            Ok(Ok(stream)) => Ok(TlsStream(stream)),
            Ok(Err(error)) => Err(TlsError::Handshake(error)),
            Err(_elapsed) => Err(TlsError::Deadline),
        }
    }

    fn new(files: Option<Files>, pair: CertifiedKey) -> Self {
        let in_force = Arc::new(InForce(ArcSwap::from_pointee(pair)));
        let start_tls = Arc::new(config(&in_force, &[]));
        let direct = Arc::new(config(&in_force, &[b"xmpp-client"]));
        let https = Arc::new(config(&in_force, &[b"h2", b"http/1.1"]));
        Self { files, in_force, start_tls, direct, https }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The pair that the next handshake gets.
#[derive(Debug)]
struct InForce(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn config(in_force: &Arc<InForce>, protocols: &[&[u8]]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(in_force.clone());
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Tickets instead of a table: resumption costs the server no memory.
    config.ticketer = aws_lc_rs::Ticketer::new().expect("the operating system gives randomness");
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // No early data: it could be replayed.
    config.max_early_data_size = 0;
    config
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
