//! WebSocket's framing (RFC 6455 5), for the server's end of a connection and for the client's.
//!
//! No extension is ever agreed on: compression of what an attacker may choose in part beside what is secret gives the
//! secret away (CRIME), and a window for each connection costs memory.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a control frame's payload (RFC 6455 5.5).
pub const CONTROL_BYTES: usize = 125;

/// What messages may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of one message, all its fragments together.
    pub bytes: usize,
    /// Fragments of one message. Empty ones cost nothing to send, and each costs time here.
    pub fragments: u32,
}

/// What the peer sent, fragments put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text, checked to be UTF-8.
    Text(Bytes),
    /// A question whether this end is there; to be answered with a pong of the same content.
    Ping(Bytes),
    /// An answer to a ping, or a sign of life.
    Pong,
    /// The peer closes, perhaps with a code. To be answered with a close, and nothing is to follow.
    Close(Option<u16>),
}

/// Kinds of frames (RFC 6455 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0,
    /// A text, or its beginning.
    Text = 1,
    /// Bytes, which no XMPP stream carries (RFC 7395 3.2).
    Binary = 2,
    /// The end.
    Close = 8,
    /// A question whether the peer is there.
    Ping = 9,
    /// The answer.
    Pong = 10,
}

/// Why a connection cannot go on. It is closed with [`Violation::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Against the rules of framing.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message of bytes (RFC 7395 3.2).
    #[error("a binary message")]
    Binary,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    NotText,
    /// Over [`FrameLimits::fragments`].
    #[error("too many fragments")]
    Fragments,
    /// Over [`FrameLimits::bytes`].
    #[error("a message too large")]
    TooLarge,
}

impl Violation {
    /// One word, for who counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::Binary => "binary",
            Self::NotText => "not-text",
            Self::Fragments => "fragments",
            Self::TooLarge => "too-large",
        }
    }

    /// The close code (RFC 6455 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => code::PROTOCOL,
            Self::Binary => code::UNSUPPORTED,
            Self::NotText => code::NOT_TEXT,
            Self::Fragments => code::POLICY,
            Self::TooLarge => code::TOO_LARGE,
        }
    }
}

/// Close codes (RFC 6455 7.4.1).
pub mod code {
    /// Its purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server goes down.
    pub const GOING_AWAY: u16 = 1001;
    /// Against the rules of framing.
    pub const PROTOCOL: u16 = 1002;
    /// A kind of data that is not taken.
    pub const UNSUPPORTED: u16 = 1003;
    /// A text that is none.
    pub const NOT_TEXT: u16 = 1007;
    /// Against the rules of this server.
    pub const POLICY: u16 = 1008;
    /// A message too large.
    pub const TOO_LARGE: u16 = 1009;
    /// The server cannot go on.
    pub const INTERNAL: u16 = 1011;
}

/// Whose frames are read: a client masks its frames, a server never does (RFC 6455 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Frames of a client.
    Client,
    /// Frames of a server.
    Server,
}

/// Reads frames. A frame's header is judged before its payload is waited for, so the buffer never needs to grow over
/// [`FrameLimits::bytes`] and a header.
#[derive(Debug)]
pub struct Decoder {
    peer: Peer,
    limits: FrameLimits,
    /// A message whose last fragment is still to come.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    text: BytesMut,
    fragments: u32,
}

/// A frame whose header is there.
struct Head {
    last: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    /// Bytes of the header.
    header: usize,
    /// Bytes of the payload.
    payload: usize,
}

impl Decoder {
    /// For the frames of this peer.
    pub fn new(peer: Peer, limits: FrameLimits) -> Self {
        Self { peer, limits, begun: None }
    }

    /// Another size for messages from now on.
    pub fn set_bytes(&mut self, bytes: usize) {
        self.limits.bytes = bytes;
    }

    /// The next message at the front of `input`, taken out of it; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The connection is lost: call it no more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, Violation> {
        while let Some(head) = self.head(input)? {
            if input.len() < head.header + head.payload {
                return Ok(None);
            }
            input.advance(head.header);
            let mut payload = input.split_to(head.payload);
            if let Some(mask) = head.mask {
                apply(mask, &mut payload);
            }
            match head.opcode {
                Opcode::Ping => return Ok(Some(Message::Ping(payload.freeze()))),
                Opcode::Pong => return Ok(Some(Message::Pong)),
                Opcode::Close => return close(&payload).map(|code| Some(Message::Close(code))),
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
            }
            let text = match &mut self.begun {
                None if head.last => payload,
                None => {
                    self.begun = Some(Begun { text: payload, fragments: 1 });
                    continue;
                }
                Some(begun) => {
                    begun.text.extend_from_slice(&payload);
                    begun.fragments += 1;
                    if !head.last {
                        continue;
                    }
                    std::mem::take(&mut begun.text)
                }
            };
            self.begun = None;
            if str::from_utf8(&text).is_err() {
                return Err(Violation::NotText); // RFC 6455 8.1
            }
            return Ok(Some(Message::Text(text.freeze())));
        }
        Ok(None)
    }

    /// Judges the header of the next frame as far as it is there; `None` where it is not there yet.
    fn head(&self, input: &[u8]) -> Result<Option<Head>, Violation> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => return Err(Violation::Binary),
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::Protocol("an unknown opcode")),
        };
        let (last, is_masked) = (first & 0x80 != 0, second & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("a reserved bit is set")); // 5.2: no extension was agreed on
        }
        if is_masked != (self.peer == Peer::Client) {
            return Err(Violation::Protocol("masked by the wrong end")); // 5.1
        }
        let wide = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let is_control = first & 0x08 != 0;
        if is_control && (!last || wide > 0) {
            return Err(Violation::Protocol("a control frame in parts or too long")); // 5.5
        }
        match (opcode, &self.begun) {
            (Opcode::Continuation, None) => {
                return Err(Violation::Protocol("more of a message that has not begun"));
            }
            (Opcode::Text, Some(_)) => {
                return Err(Violation::Protocol("a message within a message"));
            }
            (Opcode::Continuation, Some(begun)) if begun.fragments >= self.limits.fragments => {
                return Err(Violation::Fragments);
            }
            _ => {}
        }
        let Some(length) = rest.get(..wide) else { return Ok(None) };
        let payload = match wide {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        let shortest = match payload {
            0..126 => 0,
            126..0x1_0000 => 2,
            _ => 8,
        };
        if wide != shortest || payload >> 63 != 0 {
            return Err(Violation::Protocol("a length not written as it has to be")); // 5.2
        }
        let so_far = self.begun.as_ref().map_or(0, |begun| begun.text.len());
        let room =
            if is_control { CONTROL_BYTES } else { self.limits.bytes.saturating_sub(so_far) };
        let payload = usize::try_from(payload).ok().filter(|payload| *payload <= room);
        let payload = payload.ok_or(Violation::TooLarge)?;
        let mask = match (is_masked, rest[wide..].first_chunk()) {
            (false, _) => None,
            (true, Some(mask)) => Some(*mask),
            (true, None) => return Ok(None),
        };
        let header = 2 + wide + mask.map_or(0, |mask| mask.len());
        Ok(Some(Head { last, opcode, mask, header, payload }))
    }
}

/// The code of a close frame (RFC 6455 5.5.1, 7.4).
fn close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::Protocol("half a close code")),
        };
    };
    if str::from_utf8(reason).is_err() {
        return Err(Violation::NotText);
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(Violation::Protocol("a close code that may not be sent")),
    }
}

/// Appends a frame. A client has to give a mask that nobody can foresee (RFC 6455 5.3), a server must give none.
pub fn write_frame(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    write_head(out, opcode, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply(mask, &mut out[start..]);
    }
}

/// The header of a server's frame, to stand before a payload of so many bytes.
pub(super) fn server_head(opcode: Opcode, payload: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(10);
    write_head(&mut out, opcode, payload, None);
    out.freeze()
}

fn write_head(out: &mut BytesMut, opcode: Opcode, payload: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let wide = (payload as u64).to_be_bytes();
    let head = [0x80 | opcode as u8, masked];
    match payload {
        0..126 => out.extend_from_slice(&[head[0], head[1] | wide[7]]),
        126..0x1_0000 => out.extend_from_slice(&[head[0], head[1] | 126, wide[6], wide[7]]),
        _ => {
            out.extend_from_slice(&[head[0], head[1] | 127]);
            out.extend_from_slice(&wide);
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| mask));
}

/// Masks, or takes the mask off (RFC 6455 5.3).
fn apply(mask: [u8; 4], payload: &mut [u8]) {
    // Eight bytes at a time: the optimiser makes one operation of each.
    let wide: [u8; 8] = std::array::from_fn(|at| mask[at % 4]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
    }
    chunks.into_remainder().iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits { bytes: 70_000, fragments: 4 };
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Feeds all bytes at once and gives what came of them.
    fn read(peer: Peer, bytes: &[u8]) -> Result<Vec<Message>, Violation> {
        let mut decoder = Decoder::new(peer, LIMITS);
        let mut input = BytesMut::from(bytes);
        let mut messages = Vec::new();
        while let Some(message) = decoder.next(&mut input)? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn text(text: &str) -> Message {
        Message::Text(text.to_owned().into())
    }

    /// A masked frame with this first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        write_frame(&mut out, Opcode::Text, payload, Some(MASK));
        out[0] = first;
        out.to_vec()
    }

    /// RFC 6455 5.7.
    #[test]
    fn the_examples_of_the_rfc() {
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(Peer::Client, &masked), Ok(vec![text("Hello")]));
        let plain = b"\x81\x05Hello";
        assert_eq!(read(Peer::Server, plain), Ok(vec![text("Hello")]));
        assert_eq!(read(Peer::Server, b"\x01\x03Hel\x80\x02lo"), Ok(vec![text("Hello")]));
        let ping = Message::Ping(Bytes::from_static(b"Hello"));
        assert_eq!(read(Peer::Server, b"\x89\x05Hello"), Ok(vec![ping]));
        let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(Peer::Client, &pong), Ok(vec![Message::Pong]));
        let mut out = BytesMut::new();
        write_frame(&mut out, Opcode::Text, b"Hello", Some(MASK));
        assert_eq!(out, masked[..]);
    }

    #[test]
    fn w02_frames_against_the_rules_are_refused_with_their_code() {
        let good = frame(0x81, b"x");
        for (what, bytes, code) in [
            ("not masked", b"\x81\x01x".to_vec(), 1002),
            ("reserved bit 1", frame(0xc1, b"x"), 1002),
            ("reserved bit 2", frame(0xa1, b"x"), 1002),
            ("reserved bit 3", frame(0x91, b"x"), 1002),
            ("binary", frame(0x82, b"x"), 1003),
            ("an unknown opcode for data", frame(0x83, b"x"), 1002),
            ("an unknown opcode for control", frame(0x8b, b"x"), 1002),
            ("a ping in parts", frame(0x09, b"x"), 1002),
            ("a long ping", frame(0x89, &[b'x'; 126]), 1002),
            ("a continuation of nothing", frame(0x80, b"x"), 1002),
            ("a text within a text", [frame(0x01, b"x"), good.clone()].concat(), 1002),
            ("not UTF-8", frame(0x81, b"\xff"), 1007),
            ("half a character", frame(0x81, "é".as_bytes().split_at(1).0), 1007),
            ("16 bits for a short length", b"\x81\xfe\x00\x7d".to_vec(), 1002),
            ("64 bits for a short length", b"\x81\xff\0\0\0\0\0\0\xff\xff".to_vec(), 1002),
            ("2^63 bytes", b"\x81\xff\x80\0\0\0\0\0\0\0".to_vec(), 1002),
            ("2^62 bytes", b"\x81\xff\x40\0\0\0\0\0\0\0".to_vec(), 1009),
            ("one byte too many", b"\x81\xff\0\0\0\0\0\x01\x11\x71".to_vec(), 1009),
            ("half a close code", frame(0x88, b"\x03"), 1002),
            ("a close code nobody may send", frame(0x88, &1005_u16.to_be_bytes()), 1002),
            ("a close code of the past", frame(0x88, &999_u16.to_be_bytes()), 1002),
            ("a close code of no range", frame(0x88, &2000_u16.to_be_bytes()), 1002),
            ("a reason that is not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
        ] {
            let violation = read(Peer::Client, &bytes).expect_err(what);
            assert_eq!(violation.code(), code, "{what}");
        }
        assert!(read(Peer::Client, &good).is_ok());
        assert_eq!(read(Peer::Server, &good).expect_err("masked").code(), 1002);
    }

    #[test]
    fn w02_fragments_are_counted_even_if_they_are_empty() {
        let parts = |count: usize| {
            let middle = frame(0x00, b"").repeat(count - 2);
            read(Peer::Client, &[frame(0x01, b"a"), middle, frame(0x80, b"b")].concat())
        };
        assert_eq!(parts(4), Ok(vec![text("ab")]));
        assert_eq!(parts(5), Err(Violation::Fragments));
        assert_eq!(parts(1_000_000), Err(Violation::Fragments));
    }

    #[test]
    fn w02_fragments_together_may_be_as_large_as_one_frame() {
        let half = vec![b'x'; LIMITS.bytes / 2];
        let both = [frame(0x01, &half), frame(0x80, &half)].concat();
        assert!(read(Peer::Client, &both).is_ok());
        let more = [frame(0x01, &half), frame(0x00, &half), frame(0x80, b"x")].concat();
        assert_eq!(read(Peer::Client, &more), Err(Violation::TooLarge));
    }

    #[test]
    fn w02_a_length_is_judged_before_the_payload_is_there() {
        let mut decoder = Decoder::new(Peer::Client, LIMITS);
        let mut input = BytesMut::from(&b"\x81\xff\0\0\0\0\x7f\xff\xff\xff"[..]);
        assert_eq!(decoder.next(&mut input), Err(Violation::TooLarge));
    }

    #[test]
    fn control_frames_may_stand_between_fragments() {
        let bytes = [frame(0x01, b"a"), frame(0x89, b"p"), frame(0x8a, b""), frame(0x80, b"b")];
        let ping = Message::Ping(Bytes::from_static(b"p"));
        assert_eq!(read(Peer::Client, &bytes.concat()), Ok(vec![ping, Message::Pong, text("ab")]));
    }

    #[test]
    fn a_character_may_be_cut_between_fragments() {
        let (one, two) = "é".as_bytes().split_at(1);
        let bytes = [frame(0x01, one), frame(0x80, two)].concat();
        assert_eq!(read(Peer::Client, &bytes), Ok(vec![text("é")]));
    }

    #[test]
    fn closes_may_tell_a_code_and_a_reason() {
        for (payload, code) in [
            (&b""[..], None),
            (b"\x03\xe8", Some(1000)),
            (b"\x03\xe9gone", Some(1001)),
            (b"\x0b\xb8", Some(3000)),
            (b"\x13\x87", Some(4999)),
        ] {
            let close = Message::Close(code);
            assert_eq!(read(Peer::Client, &frame(0x88, payload)), Ok(vec![close]));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_parts_of_any_size(
            lengths in prop::collection::vec(prop_oneof![0..130_usize, 65_530..65_540_usize], 1..5),
            mask in any::<[u8; 4]>(),
            part in 1..5_000_usize,
        ) {
            for (peer, mask) in [(Peer::Client, Some(mask)), (Peer::Server, None)] {
                let texts: Vec<_> = lengths.iter().map(|length| "é".repeat(length / 2)).collect();
                let mut bytes = BytesMut::new();
                texts.iter().for_each(|text| {
                    write_frame(&mut bytes, Opcode::Text, text.as_bytes(), mask);
                });
                let (mut decoder, mut input) = (Decoder::new(peer, LIMITS), BytesMut::new());
                let mut got = Vec::new();
                for part in bytes.chunks(part) {
                    input.extend_from_slice(part);
                    while let Some(message) = decoder.next(&mut input).unwrap() {
                        got.push(message);
                    }
                }
                prop_assert_eq!(got, texts.iter().map(|one| text(one)).collect::<Vec<_>>());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for peer in [Peer::Client, Peer::Server] {
                let _judged = read(peer, &bytes);
            }
        }
    }
}
