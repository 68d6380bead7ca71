//! Cuts a stream into its top-level parts, resumable at any byte.

use super::{Limits, XmlError};
use bytes::{Bytes, BytesMut};

/// One part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The start tag of the stream, with the XML declaration before it, if any, cut off.
    Header(Bytes),
    /// A complete element at depth 1, unchecked but for its end.
    Element(Bytes),
    /// The end tag of the stream.
    Footer,
    /// White space between elements: a sign of life, its bytes dropped.
    Whitespace,
}

/// Finds frames in a read buffer without copying and without scanning a byte twice.
#[derive(Debug)]
pub struct Framer {
    _limits: Limits,
}

impl Framer {
    /// For a fresh stream: the first frame is a header.
    pub fn new(limits: Limits) -> Self {
        Self { _limits: limits }
    }
    /// For one self-contained element such as a BOSH body: no header, [`Frame::Element`] at the root.
    pub fn document(_limits: Limits) -> Self {
        todo!()
    }
    /// Other limits from the next frame on.
    pub fn set_limits(&mut self, _limits: Limits) {
        todo!()
    }
    /// The next frame at the front of `buffer`, split off; `None` when more bytes are needed.
    /// Call again until `None`. After an error the stream is lost.
    pub fn next(&mut self, _buffer: &mut BytesMut) -> Result<Option<Frame>, XmlError> {
        todo!()
    }
}
