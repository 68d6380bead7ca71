//! Byte streams: in memory, and TCP with STARTTLS.

use super::{broken, nonce, patiently, tls};
use bytes::Bytes;
use script::{Character, Connection, FOOTER, Incoming, Lost, Reader, Stage, header};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use xmpp_core::xml::Node;

/// Connections in memory, which count as secure.
pub struct Memory<F> {
    /// Gives the client's end of a fresh pipe into the server.
    pub pipe: F,
}

impl<F: FnMut() -> DuplexStream + Send> Stage for Memory<F> {
    type Connection = Wire;
    async fn connect(&mut self, _character: &Character) -> Result<Wire, Lost> {
        Ok(Wire::new((self.pipe)(), true))
    }
    fn nonce(&mut self) -> String {
        nonce()
    }
}

/// Connections over TCP, with STARTTLS where the server offers it.
pub struct Tcp {
    /// The server's listener for clients.
    pub address: SocketAddr,
}

impl Stage for Tcp {
    type Connection = Wire;
    async fn connect(&mut self, _character: &Character) -> Result<Wire, Lost> {
        let stream = TcpStream::connect(self.address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(Wire::new(stream, false))
    }
    fn nonce(&mut self) -> String {
        nonce()
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// An XMPP stream over a byte stream.
pub struct Wire {
    /// Taken while TLS starts; gone for good where that failed.
    stream: Option<Box<dyn Duplex>>,
    secure: bool,
    reader: Reader,
}

impl Wire {
    fn new(stream: impl Duplex + 'static, secure: bool) -> Self {
        Self { stream: Some(Box::new(stream)), secure, reader: Reader::new() }
    }

    fn stream(&mut self) -> Result<&mut Box<dyn Duplex>, Lost> {
        self.stream.as_mut().ok_or_else(|| broken("TLS had failed"))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let stream = self.stream()?;
        patiently(async {
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
            let read = patiently(self.stream()?.read(&mut part)).await?;
            if read == 0 {
                return Ok(None);
            }
            self.reader.push(&part[..read]);
        }
    }
}

impl Connection for Wire {
    fn is_secure(&self) -> bool {
        self.secure
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
        let stream = self.stream.take().ok_or_else(|| broken("TLS had failed"))?;
        let stream = patiently(tls::connect(stream, domain, tls::config(&[]))).await?;
        self.stream = Some(Box::new(stream));
        self.secure = true;
        Ok(())
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.write(FOOTER).await?;
        while self.receive().await?.is_some() {}
        Ok(())
    }
}
