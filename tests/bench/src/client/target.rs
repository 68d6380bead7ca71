//! Where the server is, and how to get there.

use super::Keys;
use anyhow::Context;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        client::Resumption,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::TLS13,
    },
};

/// Addresses to connect from: each has some 28,000 ports.
const SOURCES: u8 = 8;

/// A server that clients can log in to.
#[derive(Clone)]
pub struct Target {
    /// Where it serves streams.
    pub c2s: SocketAddr,
    /// Where it serves BOSH at `/http-bind` and WebSocket at `/xmpp-websocket`.
    pub http: SocketAddr,
    /// The domain of all accounts.
    pub domain: String,
    /// What they log in with.
    pub keys: Keys,
    /// Whether it forwards bytes only, see [`crate::floor`].
    pub is_floor: bool,
    tls: TlsConnector,
    next: Arc<AtomicU8>,
}

impl Target {
    /// A server for `domain`, whose certificate this PEM file vouches for. Every handshake is a full one in TLS 1.3 over X25519:
    /// what each of the servers that are compared can do.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(
        c2s: SocketAddr,
        http: SocketAddr,
        domain: &str,
        keys: Keys,
        authority: &Path,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).context("the certificate")?)?;
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            c2s,
            http,
            domain: domain.to_owned(),
            keys,
            is_floor: false,
            tls: Arc::new(config).into(),
            next: Arc::default(),
        })
    }

    /// A connection, from one of several addresses in turn.
    pub(super) async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let source = 2 + self.next.fetch_add(1, Relaxed) % SOURCES;
        socket.bind((Ipv4Addr::new(127, 0, 0, source), 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// TLS over a connection.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
    ) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.domain.clone())?;
        Ok(self.tls.connect(name, stream).await?)
    }
}
