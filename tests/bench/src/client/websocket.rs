//! Streams over WebSocket (RFC 6455, RFC 7395).

use super::{Target, drain, fill};
use anyhow::Context;
use bytes::{Buf, BytesMut};
use memchr::memmem;
use std::io;
use tokio::net::TcpStream;

/// Any mask makes the server unmask; nobody is protected from anything here (RFC 6455 10.3).
const MASK: [u8; 4] = [0x5a, 0x3c, 0x96, 0xf0];

pub(super) struct WebSocket {
    socket: TcpStream,
    out: BytesMut,
    /// Frames as they came.
    raw: BytesMut,
}

impl WebSocket {
    pub(super) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let mut socket = target.dial(target.http).await.context("no connection")?;
        let handshake = format!(
            "GET /xmpp-websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: xmpp\r\n\r\n",
            target.domain
        );
        drain(&mut socket, &mut handshake.as_bytes().into()).await?;
        let mut raw = BytesMut::new();
        let end = loop {
            if let Some(end) = memmem::find(&raw, b"\r\n\r\n") {
                break end;
            }
            fill(&mut socket, &mut raw).await?;
        };
        anyhow::ensure!(raw.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&raw));
        raw.advance(end + 4);
        Ok(Self { socket, out: BytesMut::new(), raw })
    }

    pub(super) fn open(&mut self, domain: &str) {
        let open = format!(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{domain}' version='1.0'/>"
        );
        self.put(open.as_bytes());
    }

    /// One text message, masked.
    #[allow(clippy::cast_possible_truncation, reason = "each length is in its range")]
    pub(super) fn put(&mut self, stanza: &[u8]) {
        match stanza.len() {
            length @ 0..126 => self.out.extend_from_slice(&[0x81, 0x80 | length as u8]),
            length => {
                let length = u16::try_from(length).expect("stanzas here are short");
                self.out.extend_from_slice(&[0x81, 0x80 | 126]);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.out.extend_from_slice(&MASK);
        self.out.extend(stanza.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        drain(&mut self.socket, &mut self.out).await
    }

    pub(super) async fn read(&mut self, inbox: &mut BytesMut) -> io::Result<()> {
        fill(&mut self.socket, &mut self.raw).await?;
        while let Some((opcode, head, length)) = frame(&self.raw) {
            if self.raw.len() < head + length {
                break;
            }
            self.raw.advance(head);
            let payload = self.raw.split_to(length);
            match opcode {
                0..=2 => inbox.extend_from_slice(&payload),
                8 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {} // nobody stays long enough for a ping to matter
            }
        }
        Ok(())
    }
}

/// Opcode, length of the header and of the payload of an unmasked frame, once its header is there (RFC 6455 5.2).
fn frame(raw: &[u8]) -> Option<(u8, usize, usize)> {
    let &[first, second, ref rest @ ..] = raw else { return None };
    let (head, length) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(*rest.first_chunk()?).into()),
        127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        length => (2, length.into()),
    };
    Some((first & 0x0f, head, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_length() {
        assert_eq!(frame(&[0x81]), None);
        assert_eq!(frame(&[0x81, 5, b'x']), Some((1, 2, 5)));
        assert_eq!(frame(&[0x81, 126, 1]), None);
        assert_eq!(frame(&[0x82, 126, 1, 2]), Some((2, 4, 258)));
        assert_eq!(frame(&[0x88, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Some((8, 10, 65_536)));
    }
}
