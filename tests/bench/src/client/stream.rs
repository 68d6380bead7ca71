//! Streams over TCP (RFC 6120), with STARTTLS or without TLS.

use super::{Target, drain, fill};
use anyhow::Context;
use bytes::BytesMut;
use memchr::memmem;
use std::io;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(super) struct Stream {
    socket: Socket,
    out: BytesMut,
}

enum Socket {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) async fn plain(target: &Target) -> anyhow::Result<Self> {
        let socket = target.dial(target.c2s).await.context("no connection")?;
        Ok(Self { socket: Socket::Plain(socket), out: BytesMut::new() })
    }

    pub(super) async fn secured(target: &Target) -> anyhow::Result<Self> {
        let mut plain = Self::plain(target).await?;
        plain.header(&target.domain);
        plain.until("</stream:features>").await?;
        plain.put(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        plain.until("<proceed").await?;
        let Socket::Plain(socket) = plain.socket else { unreachable!("it is plain") };
        let socket = Socket::Secured(Box::new(target.secure(socket).await.context("TLS")?));
        Ok(Self { socket, out: BytesMut::new() })
    }

    pub(super) fn header(&mut self, domain: &str) {
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        self.put(header.as_bytes());
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(socket) => drain(socket, &mut self.out).await,
            Socket::Secured(socket) => drain(socket, &mut self.out).await,
        }
    }

    pub(super) async fn read(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(socket) => fill(socket, inbox).await,
            Socket::Secured(socket) => fill(socket, inbox).await,
        }
    }

    /// Says what is queued, and reads to this text.
    async fn until(&mut self, end: &str) -> io::Result<()> {
        self.flush().await?;
        let mut got = BytesMut::new();
        while memmem::find(&got, end.as_bytes()).is_none() {
            self.read(&mut got).await?;
        }
        Ok(())
    }
}
