//! Where one HTTP/1 request ends and the next begins, so that whoever answers the first can know that there is
//! another behind it. It judges nothing: that is done by who reads the requests.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

/// What a line that tells a length may be long; longer ones are of no interest.
const LINE: usize = 64;

/// A connection that tells how many requests have begun to arrive on it.
pub(super) struct Watched<S> {
    stream: S,
    requests: Requests,
    begun: watch::Sender<u64>,
}

impl<S> Watched<S> {
    /// The connection, and the number.
    pub(super) fn new(stream: S) -> (Self, watch::Receiver<u64>) {
        let (begun, seen) = watch::channel(0);
        (Self { stream, requests: Requests::default(), begun }, seen)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        let begun = self.requests.follow(&buf.filled()[before..]);
        if begun > 0 {
            self.begun.send_modify(|count| *count += begun);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Follows the bytes of one connection.
#[derive(Default)]
struct Requests {
    place: Place,
    /// The line of the head that is being read, as far as it is of interest.
    line: Vec<u8>,
    /// The length of the body that follows the head.
    length: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a request.
    #[default]
    Between,
    /// In its head.
    Head,
    /// In its body, so many bytes before the end.
    Body(u64),
    /// In HTTP/2, where none is behind another.
    Beside,
}

impl Requests {
    /// How many requests begin in what comes next.
    fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while let Some(first) = bytes.first() {
            match self.place {
                // RFC 9112 2.2: empty lines before a request are nothing.
                Place::Between if matches!(first, b'\r' | b'\n') => bytes = &bytes[1..],
                Place::Between => {
                    begun += 1;
                    self.place = Place::Head;
                    self.length = 0;
                }
                Place::Head => bytes = self.head(bytes),
                Place::Beside => return begun,
                Place::Body(left) => {
                    let here = left.min(bytes.len() as u64);
                    self.place = Self::body(left - here);
                    bytes = &bytes[usize::try_from(here).expect("no more than there is")..];
                }
            }
        }
        begun
    }

    /// Takes one line of the head, or the part of it that is there.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE - self.line.len();
        self.line.extend_from_slice(&part[..room.min(part.len())]);
        let Some(end) = end else { return &[] };
        match self.line.trim_ascii() {
            b"" => self.place = Self::body(self.length),
            // RFC 9113 3.4: as a request it would be none.
            b"PRI * HTTP/2.0" => self.place = Place::Beside,
            line => self.length = content_length(line).unwrap_or(self.length),
        }
        self.line.clear();
        &bytes[end + 1..]
    }

    fn body(left: u64) -> Place {
        if left == 0 { Place::Between } else { Place::Body(left) }
    }
}

fn content_length(line: &[u8]) -> Option<u64> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "POST /b HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5\r\nX: y\r\n\r\n<a/>\n";
    const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn row_2_requests_are_counted_however_they_are_cut() {
        let long =
            format!("{GET}\r\n\n{POST}{POST}{GET}{POST}").replace("X: y", &"X: y".repeat(99));
        for size in 1..long.len() {
            let mut requests = Requests::default();
            let begun: u64 = long.as_bytes().chunks(size).map(|one| requests.follow(one)).sum();
            assert_eq!(begun, 5, "in pieces of {size}");
            assert!(requests.place == Place::Between, "all of it is read");
        }
    }

    #[test]
    fn row_2_the_end_of_one_request_is_not_the_beginning_of_another() {
        let mut requests = Requests::default();
        assert_eq!(requests.follow(POST.as_bytes()), 1);
        assert_eq!(requests.follow(b"\r\n"), 0);
        assert_eq!(requests.follow(b"P"), 1, "its first byte tells");
    }

    #[test]
    fn row_2_in_http_2_nothing_is_followed() {
        let mut requests = Requests::default();
        assert_eq!(requests.follow(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1);
        assert_eq!(requests.follow(format!("{POST}{GET}").as_bytes()), 0);
    }

    #[test]
    fn b05_a_line_without_end_takes_no_memory() {
        let mut requests = Requests::default();
        for _ in 0..1_000 {
            requests.follow(&[b'x'; 1_000]);
        }
        assert!(requests.line.capacity() <= 2 * LINE);
    }
}
