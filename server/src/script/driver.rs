//! Streams over bytes: in memory, and over TCP with STARTTLS.

use super::{Certificates, broken, patiently};
use bytes::Bytes;
use net::{pipe::Pipe, tls::client};
use rustls::ClientConfig;
use script::{Channel, Character, Connection, FOOTER, Incoming, Lost, Reader, Stage, header};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use xmpp_core::xml::Node;

/// Connections in memory, which count as secure.
pub struct Memory<F> {
    /// Gives the client's end of a fresh pipe into the server.
    pub pipe: F,
    /// How long every step of the server's may take.
    pub patience: Duration,
}

impl<F: FnMut() -> Pipe + Send> Stage for Memory<F> {
    type Connection = Wire;
    async fn connect(&mut self, _character: &Character) -> Result<Wire, Lost> {
        Ok(Wire::new((self.pipe)(), Channel::Secure, self.patience, None))
    }
    fn nonce(&mut self) -> String {
        net::random::token()
    }
}

/// Connections over TCP, with STARTTLS where the server offers it.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// `HOST:PORT` of the server's listener for clients.
    pub address: String,
    /// Which certificates are good.
    pub certificates: Certificates,
    /// How long every step of the server's may take.
    pub patience: Duration,
}

impl Stage for Tcp {
    type Connection = Wire;
    async fn connect(&mut self, _character: &Character) -> Result<Wire, Lost> {
        let (stream, is_local) = tcp(&self.address, self.patience).await?;
        let channel = if is_local { Channel::Local } else { Channel::Open };
        let config = self.certificates.of(is_local);
        Ok(Wire::new(stream, channel, self.patience, Some(config)))
    }
    fn nonce(&mut self) -> String {
        net::random::token()
    }
}

/// A connection to `HOST:PORT`, and whether it stays on this machine.
pub(super) async fn tcp(address: &str, patience: Duration) -> Result<(TcpStream, bool), Lost> {
    let stream = patiently(patience, TcpStream::connect(address)).await.map_err(|lost| {
        let Lost::Broken(error) = lost else { return lost };
        Lost::Broken(format!("{address}: {error}"))
    })?;
    stream.set_nodelay(true).map_err(broken)?;
    let is_local = stream.peer_addr().map_err(broken)?.ip().to_canonical().is_loopback();
    Ok((stream, is_local))
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// An XMPP stream over a byte stream.
pub struct Wire {
    /// Taken while TLS starts; gone for good where that failed.
    stream: Option<Box<dyn Duplex>>,
    channel: Channel,
    patience: Duration,
    /// For STARTTLS; none in memory, where it is never asked for.
    tls: Option<Arc<ClientConfig>>,
    reader: Reader,
}

impl Wire {
    fn new(
        stream: impl Duplex + 'static,
        channel: Channel,
        patience: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let stream: Box<dyn Duplex> = Box::new(stream);
        Self { stream: Some(stream), channel, patience, tls, reader: Reader::new() }
    }

    fn stream(&mut self) -> Result<&mut Box<dyn Duplex>, Lost> {
        self.stream.as_mut().ok_or_else(|| broken("TLS had failed"))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let patience = self.patience;
        let stream = self.stream()?;
        patiently(patience, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await
    }

    /// The next part of the stream, `None` where it broke off.
    async fn next(&mut self) -> Result<Option<Incoming>, Lost> {
        loop {
            if let Some(incoming) = self.reader.incoming().map_err(broken)? {
                return Ok(Some(incoming));
            }
            let mut part = [0; 4096];
            let patience = self.patience;
            let read = patiently(patience, self.stream()?.read(&mut part)).await?;
            if read == 0 {
                return Ok(None);
            }
            self.reader.push(&part[..read]);
        }
    }
}

impl Connection for Wire {
    fn channel(&self) -> Channel {
        self.channel
    }
    async fn open(&mut self, domain: &str) -> Result<(), Lost> {
        self.reader.restart();
        self.write(&header(domain)).await
    }
    async fn send(&mut self, elements: Bytes) -> Result<(), Lost> {
        self.write(&elements).await
    }
    async fn receive(&mut self) -> Result<Option<Node>, Lost> {
        loop {
            match self.next().await? {
                Some(Incoming::Header) => {}
                Some(Incoming::Element(node)) => return Ok(Some(node)),
                Some(Incoming::End) => return Ok(None),
                None => return Err(broken("the connection broke off without a stream's end")),
            }
        }
    }
    async fn start_tls(&mut self, domain: &str) -> Result<(), Lost> {
        // RFC 6120 5.4.3.3: nothing may stand between <proceed/> and the handshake.
        if !self.reader.is_empty() {
            return Err(broken("the server said more before TLS"));
        }
        let config = self.tls.take().ok_or_else(|| broken("there is TLS already"))?;
        let stream = self.stream.take().ok_or_else(|| broken("TLS had failed"))?;
        let stream = patiently(self.patience, client::connect(stream, domain, config)).await?;
        self.stream = Some(Box::new(stream));
        self.channel = Channel::Secure;
        Ok(())
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.write(FOOTER).await?;
        while self.receive().await?.is_some() {}
        Ok(())
    }
}
