//! What is counted against [`Limits`], alike in the framer and in the checker.

use super::{Limits, XmlError};

/// What one top-level element has used up so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    elements: u32,
    attributes: u32,
    declarations: u32,
}

impl Tally {
    /// A start tag begins, at this depth (the top-level element's being 1).
    pub(super) fn element(&mut self, depth: u32, limits: &Limits) -> Result<(), XmlError> {
        self.elements += 1;
        self.attributes = 0;
        if depth > limits.depth {
            Err(XmlError::Limit("elements nested too deeply"))
        } else if self.elements > limits.elements {
            Err(XmlError::Limit("too many elements"))
        } else {
            Ok(())
        }
    }
    /// An attribute or a namespace declaration has this name.
    pub(super) fn attribute(&mut self, name: &[u8], limits: &Limits) -> Result<(), XmlError> {
        if name == b"xmlns" || name.starts_with(b"xmlns:") {
            self.declarations += 1;
            if self.declarations > limits.declarations {
                return Err(XmlError::Limit("too many namespace declarations"));
            }
        } else {
            self.attributes += 1;
            if self.attributes > limits.attributes {
                return Err(XmlError::Limit("too many attributes"));
            }
        }
        Ok(())
    }
}

/// A name has this many bytes, perhaps not all of them seen yet.
pub(super) fn name(bytes: usize, limits: &Limits) -> Result<(), XmlError> {
    if bytes > limits.name { Err(XmlError::Limit("a name too long")) } else { Ok(()) }
}

/// Over [`Limits::bytes`].
pub(super) const TOO_LARGE: XmlError = XmlError::Limit("an element too large");

/// A top-level element or a header has this many bytes.
pub(super) fn bytes(bytes: usize, limits: &Limits) -> Result<(), XmlError> {
    // offsets are kept as u32
    if bytes > limits.bytes || u32::try_from(bytes).is_err() { Err(TOO_LARGE) } else { Ok(()) }
}
