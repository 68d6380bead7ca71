//! Reads a byte stream as a session does: frames it, then checks each frame.
#![allow(dead_code, unreachable_pub)] // each test file takes its part

use bytes::BytesMut;
use xmpp_core::xml::{Element, Frame, Framer, Limits, Scope, XmlError};

/// What came out of a stream before its end or its first error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Headers and elements as they arrived, `</>` for the end; white space is left out.
    pub frames: Vec<String>,
    /// Why it ended early.
    pub error: Option<XmlError>,
    /// How many bytes were fed before it did.
    pub fed: usize,
    /// The most bytes left in the buffer after a call.
    pub kept: usize,
}

impl Outcome {
    /// Without what depends on how the input was split.
    pub fn same(&self) -> (&[String], Option<XmlError>) {
        (&self.frames, self.error)
    }
}

/// Feeds the pieces.
pub fn read<'a>(
    mut framer: Framer,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut buffer = BytesMut::new();
    let mut scope = Scope::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        outcome.fed += piece.len();
        loop {
            let frame = framer.next(&mut buffer).and_then(|frame| {
                let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
                Ok(match frame {
                    Some(Frame::Header(raw)) => {
                        scope = Element::check_header(raw.clone(), limits)?.1;
                        Some(Some(text(&raw)))
                    }
                    Some(Frame::Element(raw)) => {
                        Element::check(raw.clone(), &scope, limits)?;
                        Some(Some(text(&raw)))
                    }
                    Some(Frame::Footer) => Some(Some("</>".to_owned())),
                    Some(Frame::Whitespace) => Some(None),
                    None => None,
                })
            });
            outcome.kept = outcome.kept.max(buffer.len());
            match frame {
                Ok(Some(frame)) => outcome.frames.extend(frame),
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// Feeds the input whole, byte by byte, and in two parts cut at every place (where it is long: at a
/// thousand places); all must agree.
pub fn read_every_way(framer: impl Fn() -> Framer, limits: &Limits, input: &[u8]) -> Outcome {
    let whole = read(framer(), limits, [input]);
    let bytes = read(framer(), limits, input.chunks(1));
    assert_eq!(whole.same(), bytes.same(), "byte by byte: {}", String::from_utf8_lossy(input));
    let step = (input.len() / 1_024).max(1); // long inputs differ in length only
    for cut in (0..input.len()).step_by(step) {
        let (a, b) = input.split_at(cut);
        let parts = read(framer(), limits, [a, b]);
        assert_eq!(whole.same(), parts.same(), "cut at {cut}: {}", String::from_utf8_lossy(input));
    }
    bytes
}
