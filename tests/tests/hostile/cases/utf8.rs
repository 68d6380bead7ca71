//! Bytes that are not UTF-8, and what might be smuggled by them: X09.

use super::{OWN_HEADER, stream};
use crate::case::{Case, Expect, Expect::StreamError, Stage::*, case};
use xmpp_core::ns;

/// RFC 6120 11.6.
const ENCODING: Expect = StreamError("unsupported-encoding");

/// A stanza to the bystander in which a sequence stands here: a parser that swallows a byte too many or too few sees
/// another stanza.
fn around(before: &str, bad: &[u8], after: &str) -> Vec<u8> {
    let start = format!("<message to='nurse@capulet.lit'{before}");
    [start.as_bytes(), bad, after.as_bytes()].concat()
}

fn in_text(bad: &[u8]) -> Vec<u8> {
    around("><body>", bad, "</body></message><message to='nurse@capulet.lit'/>")
}

pub fn cases() -> Vec<Case> {
    let header = stream(" id='X'");
    let (before, after) = header.split_once('X').expect("a place");
    vec![
        case("x09_overlong_in_two_bytes", Bound, in_text(b"\xC0\xBC/body>"), ENCODING),
        case("x09_overlong_in_three_bytes", Bound, in_text(b"\xE0\x80\xBC"), ENCODING),
        case("x09_overlong_in_four_bytes", Bound, in_text(b"\xF0\x80\x80\xBC"), ENCODING),
        case("x09_overlong_nul", Bound, in_text(b"\xC0\x80"), ENCODING),
        case("x09_surrogate", Bound, in_text(b"\xED\xA0\x80"), ENCODING),
        case("x09_pair_of_surrogates", Bound, in_text(b"\xED\xA0\xBD\xED\xB8\x80"), ENCODING),
        case("x09_past_unicode", Bound, in_text(b"\xF4\x90\x80\x80"), ENCODING),
        case("x09_five_bytes", Bound, in_text(b"\xF8\x88\x80\x80\x80"), ENCODING),
        case("x09_continuation_alone", Bound, in_text(b"\x80"), ENCODING),
        case("x09_byte_that_is_never_used", Bound, in_text(b"\xFF"), ENCODING),
        // CVE-2022-25235: the tag's bracket as the rest of a character.
        case("x09_start_before_a_tag", Bound, in_text(b"\xEB"), ENCODING),
        case("x09_start_and_half_before_a_tag", Bound, in_text(b"\xF0\x9F\x98"), ENCODING),
        case("x09_start_before_a_quote", Bound, around(" id='", b"\xE2", "'/>"), ENCODING),
        case("x09_start_at_the_end_of_a_tag", Bound, around(" ", b"\xEB", ">x</message>"), ENCODING),
        case("x09_start_in_a_name", Bound, around("><a", b"\xC3", "/></message>"), ENCODING),
        case("x09_start_in_an_attribute_s_name", Bound, around("><a b", b"\xDF", "=''/></message>"), ENCODING),
        case("x09_start_in_a_namespace", Bound, around("><a xmlns='urn:", b"\xC3", "'/></message>"), ENCODING),
        case("x09_start_in_cdata", Bound, around("><body><![CDATA[", b"\xEF\xBF", "]]></body></message>"), ENCODING),
        case(
            "x09_latin_1_in_a_response",
            Challenged,
            [format!("<response xmlns='{}'>", ns::SASL).as_bytes(), b"caf\xE9", b"</response>"].concat(),
            ENCODING,
        ),
        case("x09_latin_1_before_sasl", Offered, b"<auth mechanism='\xE9'/>".as_slice(), ENCODING),
        case(
            "x09_latin_1_in_a_resource",
            Restarted,
            [b"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\xE9".as_slice(), b"</resource></bind></iq>"].concat(),
            ENCODING,
        ),
        case("x09_latin_1_in_the_header", Encrypted, [before.as_bytes(), b"\xE9", after.as_bytes()].concat(), ENCODING)
            .stream_only(OWN_HEADER),
    ]
}
