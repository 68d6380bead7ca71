//! The head of an HTTP/1 request (RFC 9112): where it ends, and what it says of the connection and of the body behind it.

use super::list;
use bytes::{Buf, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
};
use std::mem;

/// Header lines of one request, several times as many as browsers send.
const LINES: usize = 100;

/// A request without its body.
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// Bytes of the body; `None` where no length says it (RFC 9112 6.1).
    pub(super) length: Option<u64>,
    /// Whether the connection is to be kept for the next request (RFC 9112 9.3).
    pub(super) stays: bool,
    /// Whether the client waits for leave to send the body (RFC 9110 10.1.1).
    pub(super) waits: bool,
}

/// Why there is no request, and no knowing where the next one would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("not a request of HTTP/1")]
    Malformed,
    #[error("the head of a request is too large")]
    TooLarge,
    #[error("the head of a request takes too long")]
    Slow,
}

impl Fault {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Drops the empty lines that may stand before a request (RFC 9112 2.2).
pub(super) fn skip_empty_lines(input: &mut BytesMut) {
    let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    input.advance(empty);
}

/// Takes a head of at most so many bytes from the front of the input, once all of it is there. `seen` is how much of it was
/// looked at before, at first 0.
pub(super) fn take(
    input: &mut BytesMut,
    seen: &mut usize,
    max: usize,
) -> Result<Option<Head>, Fault> {
    let before = mem::replace(seen, input.len());
    match end(input, before) {
        Some(end) if end > max => Err(Fault::TooLarge),
        Some(end) => parse(&input.split_to(end).freeze()).map(Some),
        None if input.len() >= max => Err(Fault::TooLarge),
        None => {
            // What cannot become a request, such as the beginning of TLS, is not waited for.
            let mut lines = [httparse::EMPTY_HEADER; LINES];
            let begins = before > 0 || httparse::Request::new(&mut lines).parse(input).is_ok();
            if begins { Ok(None) } else { Err(Fault::Malformed) }
        }
    }
}

/// Behind the empty line that ends a head. What was seen before is not looked at twice.
fn end(input: &[u8], seen: usize) -> Option<usize> {
    // The end of a line, and with it perhaps half of an empty one, may have been seen.
    let from = seen.saturating_sub(2);
    let ends = |at: &usize| match &input[*at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    };
    (from..input.len()).find_map(|at| ends(&at))
}

fn parse(head: &bytes::Bytes) -> Result<Head, Fault> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut parsed = httparse::Request::new(&mut lines);
    match parsed.parse(head) {
        // Two readers that cut differently are two requests where there was one (threat B06).
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
        _ => return Err(Fault::Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Fault::Malformed);
    };
    let mut request = Request::new(());
    let malformed = |_: http::Error| Fault::Malformed;
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|error| malformed(error.into()))?;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice_ref(target.as_bytes()))
        .map_err(|error| malformed(error.into()))?;
    *request.version_mut() = if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let headers = request.headers_mut();
    headers.reserve(parsed.headers.len());
    for line in &*parsed.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value));
        headers.append(
            name.map_err(|error| malformed(error.into()))?,
            value.map_err(|error| malformed(error.into()))?,
        );
    }
    let says = |name: HeaderName, token: &str| {
        list(headers, name.as_str()).iter().any(|one| one.eq_ignore_ascii_case(token))
    };
    let (stays, waits) = match version {
        1 => (!says(CONNECTION, "close"), says(EXPECT, "100-continue")),
        _ => (says(CONNECTION, "keep-alive") && !says(CONNECTION, "close"), false),
    };
    let length = length(headers)?;
    Ok(Head { request, length, stays, waits })
}

/// RFC 9112 6.3, where a body that is chunked has no length.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else { return Ok(Some(0)) };
    // Digits, once: others might take another of two for the one that counts (threat B06).
    let digits = Some(line.as_bytes()).filter(|_| lines.next().is_none());
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let number = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    number.map(Some).ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;
    const POST: &str =
        "POST /b?c HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5\r\nX: y\r\nX: z\r\n\r\n<a/>\n";

    fn taken(text: &str) -> Result<Option<Head>, Fault> {
        take(&mut text.into(), &mut 0, MAX)
    }

    fn head(lines: &str) -> Result<Head, Fault> {
        taken(&format!("POST / HTTP/1.1\r\n{lines}\r\n")).map(|head| head.expect("whole"))
    }

    #[test]
    fn row_2_a_head_is_found_however_it_is_cut() {
        for text in [POST.to_owned(), POST.replace("\r\n", "\n")] {
            for size in 1..text.len() {
                let (mut input, mut seen, mut heads) = (BytesMut::new(), 0, Vec::new());
                for piece in text.as_bytes().chunks(size) {
                    input.extend_from_slice(piece);
                    if heads.is_empty() {
                        heads.extend(take(&mut input, &mut seen, MAX).expect("well-formed"));
                    }
                }
                let head = heads.pop().expect("a head");
                assert_eq!(input, "<a/>\n", "in pieces of {size}");
                assert_eq!((head.length, head.stays, head.waits), (Some(5), true, false));
                assert_eq!(head.request.uri().path(), "/b");
                assert_eq!(head.request.headers().get_all("x").iter().count(), 2);
            }
        }
    }

    #[test]
    fn row_2_empty_lines_before_a_request_are_nothing() {
        let mut input = BytesMut::from("\r\n\n\r\nGET");
        skip_empty_lines(&mut input);
        assert_eq!(input, "GET");
    }

    #[test]
    fn row_1_who_wants_to_stay_does() {
        let of = |version, lines| {
            let head = taken(&format!("GET / HTTP/1.{version}\r\n{lines}\r\n"));
            head.ok().flatten().expect("a head").stays
        };
        assert!(of(1, "") && of(1, "Connection: keep-alive\r\n") && of(1, "Connection: x, y\r\n"));
        assert!(!of(1, "Connection: x, Close\r\n"));
        assert!(!of(1, "Connection: close\r\nConnection: keep-alive\r\n"));
        assert!(!of(0, "") && of(0, "Connection: Keep-Alive\r\n"));
    }

    #[test]
    fn b06_a_length_is_digits_and_there_is_one() {
        for (lines, length) in [
            ("", Some(Some(0))),
            ("Content-Length: 007\r\n", Some(Some(7))),
            ("Transfer-Encoding: chunked\r\n", Some(None)),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", Some(None)),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", None),
            ("Content-Length: 7, 7\r\n", None),
            ("Content-Length: +7\r\n", None),
            ("Content-Length: \r\n", None),
            ("Content-Length: 18446744073709551616\r\n", None),
        ] {
            assert_eq!(head(lines).map(|head| head.length).ok(), length, "{lines}");
        }
    }

    #[test]
    fn b06_what_is_no_request_is_refused_as_soon_as_it_shows() {
        for text in ["\x16\x03\x01\x02", "GET  / HTTP/1.1\r\n", "GET / HTTP/2.0\r\n", "G\0T / "] {
            assert_eq!(taken(text).err(), Some(Fault::Malformed), "{text:?}");
        }
        for lines in ["X : y\r\n", " X: y\r\n", "X: y\r\n z\r\n", "X: \0\r\n", "X\r: y\r\n"] {
            assert_eq!(head(lines).err(), Some(Fault::Malformed), "{lines:?}");
        }
        assert!(matches!(taken("GET / HTTP/1.1\r\nX: y\r\n"), Ok(None)));
    }

    #[test]
    fn b05_a_head_without_end_is_too_large() {
        let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(MAX));
        assert_eq!(taken(&long).err(), Some(Fault::TooLarge));
        assert_eq!(taken(&format!("{long}\r\n\r\n")).err(), Some(Fault::TooLarge));
        assert_eq!(head(&"X: y\r\n".repeat(LINES + 1)).err(), Some(Fault::TooLarge));
    }
}
