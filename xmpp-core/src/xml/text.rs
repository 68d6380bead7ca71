//! Pieces of checked bytes, kept as offsets.

use compact_str::CompactString;
use std::ops::Range;

/// A byte range. Elements are refused before their offsets could outgrow 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From offsets into an element.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |n| u32::try_from(n).expect("the size of an element is limited");
        Self { start: narrow(start), end: narrow(end) }
    }
    /// For slicing.
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
    /// The text it covers in checked bytes.
    pub(crate) fn str(self, base: &[u8]) -> &str {
        str::from_utf8(&base[self.range()]).expect("checked to be UTF-8 and cut between characters")
    }
    /// The same place in bytes that begin `by` later.
    pub(crate) fn back(self, by: u32) -> Self {
        Self { start: self.start - by, end: self.end - by }
    }
    /// The same place in bytes that begin `by` earlier.
    pub(crate) fn on(self, by: u32) -> Self {
        Self { start: self.start + by, end: self.end + by }
    }
}

/// A namespace or a prefix: a piece of the element where it stands there as it is, else a copy.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// Stands in the element's bytes.
    Span(Span),
    /// A namespace that everybody uses.
    Known(&'static str),
    /// From outside the element, or written with references in it.
    Owned(CompactString),
}

impl Text {
    /// A copy, free of cost for the namespaces that stream headers have.
    pub(crate) fn copy(text: &str) -> Self {
        match crate::ns::of_headers(text) {
            Some(known) => Self::Known(known),
            None => Self::Owned(text.into()),
        }
    }
    /// The bytes, in the element with these bytes.
    pub(crate) fn bytes<'a>(&'a self, base: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Span(span) => &base[span.range()],
            Self::Known(text) => text.as_bytes(),
            Self::Owned(text) => text.as_bytes(),
        }
    }
    /// The text, in the element with these bytes.
    pub(crate) fn str<'a>(&'a self, base: &'a [u8]) -> &'a str {
        match self {
            Self::Span(span) => span.str(base),
            Self::Known(text) => text,
            Self::Owned(text) => text,
        }
    }
}
