//! Finds marks in what comes in: a text that stands nowhere else, then a number of sixteen hexadecimal digits.

use bytes::{Buf, BytesMut};
use memchr::memmem::Finder;

/// Digits of a number.
const DIGITS: usize = 16;

/// Finds the marks that begin with one text.
#[derive(Debug, Clone)]
pub struct Scanner(Finder<'static>);

impl Scanner {
    /// The marks of messages: the number is the time in nanoseconds.
    pub const BODY: &'static str = "<body>@";
    /// The marks of presence: the number says whose.
    pub const STATUS: &'static str = "<status>@";

    /// Finds marks that begin so.
    #[must_use]
    pub fn new(mark: &'static str) -> Self {
        Self(Finder::new(mark.as_bytes()))
    }

    /// Gives the number of each mark, in order; what may be the beginning of one stays in the inbox, all else is gone.
    pub fn take(&self, inbox: &mut BytesMut, mut found: impl FnMut(u64)) {
        let mark = self.0.needle().len();
        let mut used = 0;
        loop {
            let Some(at) = self.0.find(&inbox[used..]) else {
                // The mark itself may be cut, but for its last byte.
                used = used.max((inbox.len() + 1).saturating_sub(mark));
                break;
            };
            let digits = used + at + mark;
            let Some(number) = inbox.get(digits..digits + DIGITS) else {
                used += at;
                break;
            };
            found(hexadecimal(number));
            used = digits + DIGITS;
        }
        inbox.advance(used);
    }
}

/// Writes a number as a mark has it.
#[allow(clippy::cast_possible_truncation, reason = "its last digit counts")]
pub fn put(out: &mut Vec<u8>, number: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..DIGITS).rev().map(|digit| HEX[(number >> (4 * digit)) as usize % HEX.len()]));
}

fn hexadecimal(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| {
        let value = if digit.is_ascii_digit() {
            digit - b'0'
        } else {
            (digit | 0x20).wrapping_sub(b'a') + 10
        };
        number << 4 | u64::from(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_once_wherever_the_bytes_are_cut() {
        let mut text = Vec::new();
        let numbers = [0, 1, 0x0123_4567_89ab_cdef, u64::MAX];
        for number in numbers {
            text.extend(b"<message><body>@");
            put(&mut text, number);
            text.extend(b" and more</body></message><body>");
        }
        let scanner = Scanner::new(Scanner::BODY);
        for size in 1..text.len() {
            let (mut inbox, mut got) = (BytesMut::new(), Vec::new());
            for part in text.chunks(size) {
                inbox.extend_from_slice(part);
                scanner.take(&mut inbox, |number| got.push(number));
                assert!(inbox.len() < 23, "more is kept than a mark");
            }
            assert_eq!(got, numbers, "in pieces of {size}");
        }
    }
}
