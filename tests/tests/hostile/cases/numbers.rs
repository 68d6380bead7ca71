//! Numbers: X18. Decimal digits and nothing else; what does not fit is an error and never another number.

use super::{OWN_HEADER, bosh::create, stream};
use crate::case::{
    Case, Expect,
    Expect::{Answer, StanzaError, StreamError, Terminate},
    Stage::*,
    body, case,
};
use xmpp_core::ns;

const BAD: Expect = Terminate("bad-request");
const VERSION: Expect = StreamError("unsupported-version");

/// A request that creates a session whose attribute is this.
fn with(attribute: &str) -> Vec<u8> {
    let rid = if attribute.starts_with("rid=") { "" } else { " rid='1'" };
    create(&format!("{rid} to='capulet.lit' {attribute}"))
}

fn priority(text: &str) -> String {
    format!("<presence><priority>{text}</priority></presence>")
}

pub fn cases() -> Vec<Case> {
    [requests(), waits(), versions(), priorities()].into_iter().flatten().collect()
}

/// XEP-0124 14.1: positive, and at most 9007199254740991.
fn requests() -> Vec<Case> {
    let features = Answer(|features| features.is(ns::STREAMS, "features"));
    vec![
        body("x18_rid_missing", Fresh, |_| create(" to='capulet.lit'"), BAD),
        body("x18_rid_empty", Fresh, |_| with("rid=''"), BAD),
        body("x18_rid_zero", Fresh, |_| with("rid='0'"), BAD),
        body("x18_rid_minus_zero", Fresh, |_| with("rid='-0'"), BAD),
        body("x18_rid_with_a_minus", Fresh, |_| with("rid='-1'"), BAD),
        body("x18_rid_with_a_plus", Fresh, |_| with("rid='+1'"), BAD),
        body("x18_rid_with_a_leading_zero", Fresh, |_| with("rid='01'"), BAD),
        body("x18_rid_with_an_exponent", Fresh, |_| with("rid='1e3'"), BAD),
        body("x18_rid_with_a_fraction", Fresh, |_| with("rid='1.0'"), BAD),
        body("x18_rid_in_hexadecimal", Fresh, |_| with("rid='0x1'"), BAD),
        body("x18_rid_with_a_space_before", Fresh, |_| with("rid=' 1'"), BAD),
        body("x18_rid_with_a_space_after", Fresh, |_| with("rid='1&#10;'"), BAD),
        body("x18_rid_in_arabic_digits", Fresh, |_| with("rid='\u{661}'"), BAD),
        body("x18_rid_in_wide_digits", Fresh, |_| with("rid='\u{FF11}'"), BAD),
        body("x18_rid_of_2_to_31", Fresh, |_| with("rid='2147483648'"), features),
        body("x18_rid_of_2_to_32", Fresh, |_| with("rid='4294967296'"), features),
        body("x18_rid_of_2_to_53_less_1", Fresh, |_| with("rid='9007199254740991'"), features),
        body("x18_rid_of_2_to_53", Fresh, |_| with("rid='9007199254740992'"), BAD),
        body("x18_rid_of_2_to_63", Fresh, |_| with("rid='9223372036854775808'"), BAD),
        body("x18_rid_of_2_to_64_plus_1", Fresh, |_| with("rid='18446744073709551617'"), BAD),
        body("x18_rid_of_400_digits", Fresh, |_| with(&format!("rid='{}'", "9".repeat(400))), BAD),
        // Far outside of the window looks like no session at all (threat B02).
        body(
            "x18_rid_far_ahead",
            Offered,
            |met| create(&format!(" rid='{}' sid='{}'", met.rid + 1_000, met.sid)),
            Terminate("item-not-found"),
        ),
        body(
            "x18_rid_far_behind",
            Offered,
            |met| create(&format!(" rid='1' sid='{}'", met.sid)),
            Terminate("item-not-found"),
        ),
    ]
}

/// XEP-0124 7.1, 10.
fn waits() -> Vec<Case> {
    let features = Answer(|features| features.is(ns::STREAMS, "features"));
    vec![
        body("x18_wait_with_a_minus", Fresh, |_| with("wait='-1'"), BAD),
        body("x18_wait_that_is_no_number", Fresh, |_| with("wait='forever'"), BAD),
        body("x18_wait_with_a_fraction", Fresh, |_| with("wait='1.5'"), BAD),
        body("x18_wait_of_2_to_64", Fresh, |_| with("wait='18446744073709551616'"), BAD),
        body(
            "x18_wait_of_2_to_53_less_1_is_cut",
            Fresh,
            |_| with("wait='9007199254740991'"),
            features,
        ),
        body("x18_hold_with_a_minus", Fresh, |_| with("hold='-1'"), BAD),
        body("x18_hold_empty", Fresh, |_| with("hold=''"), BAD),
        body(
            "x18_hold_of_400_digits",
            Fresh,
            |_| with(&format!("hold='{}'", "9".repeat(400))),
            BAD,
        ),
        body("x18_hold_of_2_to_32_is_cut", Fresh, |_| with("hold='4294967296'"), features),
        body(
            "x18_pause_with_a_leading_zero",
            Offered,
            |met| create(&format!(" rid='{}' sid='{}' pause='060'", met.rid, met.sid)),
            BAD,
        ),
        body(
            "x18_pause_of_2_to_64_plus_1",
            Offered,
            |met| {
                create(&format!(
                    " rid='{}' sid='{}' pause='18446744073709551617'",
                    met.rid, met.sid
                ))
            },
            BAD,
        ),
        // XEP-0124 10: more than `maxpause` is too much.
        body(
            "x18_pause_of_2_to_32",
            Offered,
            |met| create(&format!(" rid='{}' sid='{}' pause='4294967296'", met.rid, met.sid)),
            Terminate("policy-violation"),
        ),
        body("x18_ver_of_one_number", Fresh, |_| in_version("1"), BAD),
        body("x18_ver_with_a_sign", Fresh, |_| in_version("+1.6"), BAD),
        body("x18_ver_of_2_to_64", Fresh, |_| in_version("1.18446744073709551616"), BAD),
    ]
}

/// A request that creates a session in this version.
fn in_version(ver: &str) -> Vec<u8> {
    let text = String::from_utf8(with("")).expect("text");
    text.replace("ver='1.6'", &format!("ver='{ver}'")).into_bytes()
}

/// RFC 6120 4.7.5: two numbers with a dot between them.
fn versions() -> Vec<Case> {
    let version = |name, version: &str, expect| {
        let header = stream("").replace("version='1.0'", &format!("version='{version}'"));
        case(name, Encrypted, header, expect).stream_only(OWN_HEADER)
    };
    let features = Answer(|features| features.is(ns::STREAMS, "features"));
    vec![
        version("x18_version_of_one_number", "1", VERSION),
        version("x18_version_of_three_numbers", "1.0.0", VERSION),
        version("x18_version_with_a_minus", "-1.0", VERSION),
        version("x18_version_with_a_plus", "+1.0", VERSION),
        version("x18_version_with_a_space", " 1.0", VERSION),
        version("x18_version_with_an_exponent", "1e0.0", VERSION),
        version("x18_version_in_arabic_digits", "\u{661}.\u{660}", VERSION),
        version("x18_version_of_2_to_32", "4294967297.0", VERSION),
        version("x18_version_of_400_digits", &format!("1.{}", "9".repeat(400)), VERSION),
        version("x18_version_before_1_0", "0.9", VERSION),
        version("x18_version_empty", "", VERSION),
        // Leading zeros do not count; a later version is answered with ours.
        version("x18_version_with_leading_zeros", "01.00", features),
    ]
}

/// RFC 6121 4.7.2.3: an integer from -128 to 127.
fn priorities() -> Vec<Case> {
    let bad = StanzaError("bad-request");
    vec![
        case("x18_priority_of_128", Bound, priority("128"), bad),
        case("x18_priority_of_minus_129", Bound, priority("-129"), bad),
        case("x18_priority_that_wraps_8_bits", Bound, priority("257"), bad),
        case("x18_priority_that_wraps_64_bits", Bound, priority("18446744073709551617"), bad),
        case("x18_priority_of_400_digits", Bound, priority(&"9".repeat(400)), bad),
        case("x18_priority_with_an_exponent", Bound, priority("1e1"), bad),
        case("x18_priority_with_a_fraction", Bound, priority("1.0"), bad),
        case("x18_priority_in_arabic_digits", Bound, priority("\u{661}"), bad),
        case("x18_priority_with_a_wide_space", Bound, priority("\u{3000}1"), bad),
        case("x18_priority_empty", Bound, priority(""), bad),
        case("x18_priority_of_an_element", Bound, priority("<b>1</b>"), bad),
        case(
            "x18_priority_twice",
            Bound,
            "<presence><priority>1</priority><priority>-1</priority></presence>",
            bad,
        ),
    ]
}
