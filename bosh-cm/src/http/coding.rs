//! Compressed requests and answers (RFC 9110 8.4; XEP-0124 5, 7.2), where the operator has them.

use super::{
    list,
    reply::{Reply, answered, refusal},
};
use crate::session::{Answer, CODINGS};
use bytes::{Bytes, BytesMut};
use flate2::{
    Compression, Decompress, FlushDecompress, Status,
    bufread::GzDecoder,
    write::{GzEncoder, ZlibEncoder},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};
use std::io::{self, Read, Write};

/// Shorter answers stay as they are: a packet carries as much, compressed or not.
const WORTH: usize = 1_024;
/// Bytes inflated in one step, each counted before the next (threat X15).
const STEP: usize = 8_192;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; not the bare stream of RFC 1951, which some call by the same name.
    Deflate,
}

/// Compressed as nobody was told that it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unannounced;

/// Why a body cannot be had as it was before it was compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// It would be larger than allowed.
    TooLarge,
    /// It is damaged, incomplete, or not alone.
    Broken,
}

impl Coding {
    /// How this request's body is compressed, if it is.
    pub(super) fn of_request(
        headers: &HeaderMap,
        allowed: bool,
    ) -> Result<Option<Self>, Unannounced> {
        let mut lines = headers.get_all(CONTENT_ENCODING).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        let known = Self::named(line.to_str().unwrap_or_default().trim());
        let known = known.filter(|_| allowed && lines.next().is_none());
        known.map(Some).ok_or(Unannounced)
    }

    /// What the client likes best of what there is (RFC 9110 12.5.3); `None`: the answer as it is.
    pub(super) fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let (mut gzip, mut deflate, mut identity, mut others) = (None, None, None, None);
        for entry in list(headers, ACCEPT_ENCODING.as_str()) {
            let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
            let (name, weight) = (name.trim(), thousandths(weight)?);
            match Self::named(name) {
                Some(Self::Gzip) => gzip = Some(weight),
                Some(Self::Deflate) => deflate = Some(weight),
                None if name == "*" => others = Some(weight),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
                None => {}
            }
        }
        let liked = |weight: Option<u16>| weight.or(others).unwrap_or(0);
        let (best, coding) = match liked(gzip) >= liked(deflate) {
            true => (liked(gzip), Self::Gzip),
            false => (liked(deflate), Self::Deflate),
        };
        (best > 0 && best >= identity.unwrap_or(0)).then_some(coding)
    }

    /// The body as it was, if it was no larger than this.
    pub(super) fn inflate(self, packed: &[u8], max: usize) -> Result<BytesMut, Packed> {
        match self {
            Self::Gzip => inflate_gzip(packed, max),
            Self::Deflate => inflate_deflate(packed, max),
        }
    }

    /// The same for everybody who asks for it, and no larger than before; `None` if it would be.
    fn compress(self, body: &Bytes) -> Option<Bytes> {
        // Fast: an answer is compressed while others wait.
        let (into, level) = (Vec::with_capacity(body.len() / 4), Compression::fast());
        let packed = match self {
            Self::Gzip => write_all(GzEncoder::new(into, level), body, GzEncoder::finish),
            Self::Deflate => write_all(ZlibEncoder::new(into, level), body, ZlibEncoder::finish),
        };
        let packed = packed.expect("memory takes everything");
        (packed.len() < body.len()).then(|| packed.into())
    }

    fn named(name: &str) -> Option<Self> {
        // RFC 9110 8.4.1.3: an older name of the same.
        let gzip = ["gzip", "x-gzip"].iter().any(|known| name.eq_ignore_ascii_case(known));
        let deflate = name.eq_ignore_ascii_case("deflate");
        gzip.then_some(Self::Gzip).or(deflate.then_some(Self::Deflate))
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }
}

/// The answer, compressed if its client would have it so, may have it so, and gains by it.
pub(super) fn compressed(mut answer: Answer, coding: Option<Coding>) -> Reply {
    let fit = answer.compressible && answer.body.len() >= WORTH;
    let packed = coding.filter(|_| fit).and_then(|one| Some((one, one.compress(&answer.body)?)));
    let Some((coding, body)) = packed else { return varied(answered(answer)) };
    answer.body = body;
    let mut reply = varied(answered(answer));
    reply.headers_mut().insert(CONTENT_ENCODING, coding.name());
    reply
}

/// The answer to a request compressed as nobody was told that it may be (RFC 9110 15.5.16).
pub(super) fn unannounced(allowed: bool) -> Reply {
    let mut reply = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let codings = if allowed { CODINGS } else { "identity" };
    reply.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
    reply
}

/// RFC 9110 12.5.5
fn varied(mut reply: Reply) -> Reply {
    reply.headers_mut().append(VARY, ACCEPT_ENCODING.into());
    reply
}

/// A weight such as `q=0.5`, in thousandths; without one it is 1. `None` if it is none (RFC 9110 12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let weight = weight.trim();
    if weight.is_empty() {
        return Some(1_000);
    }
    let value = weight.strip_prefix("q=").or(weight.strip_prefix("Q="))?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

/// One member and nothing after it.
fn inflate_gzip(mut packed: &[u8], max: usize) -> Result<BytesMut, Packed> {
    let mut body = BytesMut::new();
    let mut step = [0; STEP];
    let mut decoder = GzDecoder::new(&mut packed);
    loop {
        match decoder.read(&mut step).map_err(|_| Packed::Broken)? {
            0 => break,
            read => grow(&mut body, &step[..read], max)?,
        }
    }
    if packed.is_empty() { Ok(body) } else { Err(Packed::Broken) }
}

fn inflate_deflate(mut packed: &[u8], max: usize) -> Result<BytesMut, Packed> {
    let mut body = BytesMut::new();
    let mut step = [0; STEP];
    let mut inflater = Decompress::new(true);
    loop {
        let (taken, given) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(packed, &mut step, FlushDecompress::None);
        let status = status.map_err(|_| Packed::Broken)?;
        let (taken, given) = (inflater.total_in() - taken, inflater.total_out() - given);
        let size = |count: u64| usize::try_from(count).expect("no more than there is");
        packed = &packed[size(taken)..];
        grow(&mut body, &step[..size(given)], max)?;
        match status {
            Status::StreamEnd if packed.is_empty() => return Ok(body),
            Status::StreamEnd => return Err(Packed::Broken),
            Status::Ok | Status::BufError if taken == 0 && given == 0 => {
                return Err(Packed::Broken); // it ends before its end
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn grow(body: &mut BytesMut, step: &[u8], max: usize) -> Result<(), Packed> {
    if body.len() + step.len() > max {
        return Err(Packed::TooLarge);
    }
    body.extend_from_slice(step);
    Ok(())
}

fn write_all<W: Write>(
    mut encoder: W,
    body: &[u8],
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    encoder.write_all(body)?;
    finish(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Deflate];
    const MAX: usize = 100_000;

    fn text() -> Bytes {
        "<message><body>again and again</body></message>".repeat(100).into()
    }

    fn preferred(accept: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(accept).expect("text"));
        Coding::of_answer(&headers)
    }

    #[test]
    fn row_5_the_weights_of_accept_encoding_decide() {
        use Coding::{Deflate, Gzip};
        assert_eq!(Coding::of_answer(&HeaderMap::new()), None, "who says nothing wants nothing");
        for (accept, coding) in [
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("DEFLATE", Some(Deflate)),
            ("gzip, deflate, br, zstd", Some(Gzip)),
            ("deflate, gzip", Some(Gzip)),
            ("deflate;q=0.9, gzip;q=0.8", Some(Deflate)),
            ("gzip;q=0, deflate", Some(Deflate)),
            ("gzip;q=0.001", Some(Gzip)),
            ("gzip; Q=1.000", Some(Gzip)),
            ("*", Some(Gzip)),
            ("*;q=0.5, gzip;q=0", Some(Deflate)),
            ("gzip;q=0.5, identity;q=0.7", None),
            ("gzip;q=0.7, identity;q=0.7", Some(Gzip)),
            ("identity", None),
            ("br", None),
            ("*;q=0", None),
            ("gzip;q=0, deflate;q=0.000", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;level=9", None),
        ] {
            assert_eq!(preferred(accept), coding, "{accept:?}");
        }
    }

    #[test]
    fn row_6_what_was_compressed_is_had_again_and_always_compresses_alike() {
        for coding in BOTH {
            let packed = coding.compress(&text()).expect("much shorter");
            assert_eq!(coding.inflate(&packed, MAX).expect("whole"), text());
            assert_eq!(coding.compress(&text()), Some(packed));
            assert_eq!(coding.compress(&Bytes::from_static(b"<body/>")), None);
        }
    }

    #[test]
    fn x15_what_is_damaged_incomplete_or_not_alone_is_refused() {
        for coding in BOTH {
            let packed = coding.compress(&text()).expect("much shorter");
            for end in 0..packed.len() {
                let part = coding.inflate(&packed[..end], MAX);
                assert_eq!(part, Err(Packed::Broken), "{coding:?}: {end} bytes");
            }
            for more in [&b"x"[..], &packed] {
                let both = coding.inflate(&[&packed, more].concat(), MAX);
                assert_eq!(both, Err(Packed::Broken), "{coding:?}");
            }
            let mut damaged = packed.to_vec();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            assert_eq!(coding.inflate(&damaged, MAX), Err(Packed::Broken), "its sum");
            assert_eq!(coding.inflate(&text(), MAX), Err(Packed::Broken));
        }
    }

    #[test]
    fn x15_a_bomb_is_put_down_at_the_limit() {
        let zeros = Bytes::from(vec![0; 64 << 20]);
        for coding in BOTH {
            let bomb = coding.compress(&zeros).expect("much shorter");
            assert_eq!(coding.inflate(&bomb, MAX), Err(Packed::TooLarge));
            let exact = coding.compress(&zeros.slice(..MAX)).expect("much shorter");
            assert_eq!(coding.inflate(&exact, MAX).map(|body| body.len()), Ok(MAX));
            assert_eq!(coding.inflate(&exact, MAX - 1), Err(Packed::TooLarge));
        }
    }
}
