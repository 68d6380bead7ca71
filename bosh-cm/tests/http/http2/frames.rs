//! HTTP/2 frame by frame (RFC 9113), for visitors whom no library would help.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// On SETTINGS and PING.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// SETTINGS_INITIAL_WINDOW_SIZE
pub(crate) const INITIAL_WINDOW: u16 = 4;
/// SETTINGS_ENABLE_CONNECT_PROTOCOL
pub(crate) const CONNECT_PROTOCOL: u16 = 8;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM, or of GOAWAY.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The increment of WINDOW_UPDATE.
    pub(crate) fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: DuplexStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Says the preface and these settings.
    pub(crate) async fn open(stream: DuplexStream, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self { stream, buffer: Vec::new() };
        wire.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let of =
            |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings: Vec<u8> = settings.iter().flat_map(of).collect();
        wire.send(SETTINGS, 0, 0, &settings).await;
        wire
    }

    /// Writes as much as the other side takes; whether it takes it all.
    pub(crate) async fn try_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        assert!(self.try_raw(bytes).await, "the connection is gone");
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&frame(kind, flags, stream, payload)).await;
    }

    /// A whole request.
    pub(crate) async fn post(&mut self, stream: u32, headers: &[(&str, &str)], body: &str) {
        self.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", headers)).await;
        self.send(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    /// The next frame, or `None` once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<9>() {
                let [a, b, c, kind, flags, stream @ ..] = *header;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if self.buffer.len() >= 9 + length {
                    let rest = self.buffer.split_off(9 + length);
                    let payload = std::mem::replace(&mut self.buffer, rest).split_off(9);
                    return Some(Frame {
                        kind,
                        flags,
                        stream: u32::from_be_bytes(stream),
                        payload,
                    });
                }
            }
            // A reset is an end too.
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame of this kind; those before it are dropped.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        let found = async {
            while let Some(frame) = self.next().await {
                if frame.kind == kind {
                    return frame;
                }
            }
            panic!("the connection ended before a frame of kind {kind}")
        };
        timeout(Duration::from_secs(600), found).await.expect("a frame of this kind")
    }

    /// All frames up to the end of the connection.
    pub(crate) async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a request (RFC 7541 6.2.2: nothing indexed, nothing compressed).
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", "x"), (":path", path)];
    block(&[&pseudo[..], headers].concat())
}

pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 5.1, with a prefix of seven bits.
fn integer(value: usize, out: &mut Vec<u8>) {
    let Some(mut rest) = value.checked_sub(127) else {
        return out.push(u8::try_from(value).unwrap());
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}
