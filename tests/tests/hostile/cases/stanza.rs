//! Stanzas whose form is wrong, on a bound stream (RFC 6120 8): X13, and the addresses of P01 and P10.

use crate::case::{
    Case, Expect,
    Expect::{Answer, Silence, StanzaError, StreamError},
    MALLORY,
    Stage::*,
    case,
};

const BAD: Expect = StanzaError("bad-request");
const NO_ADDRESS: Expect = StanzaError("jid-malformed"); // RFC 6120 8.3.3.8
const FROM: Expect = StreamError("invalid-from"); // RFC 6120 4.9.3.9

fn to(address: &str) -> String {
    format!("<message to='{address}'><body>x</body></message>")
}

fn from(address: &str) -> String {
    format!("<message from='{address}' to='nurse@capulet.lit/garden'><body>x</body></message>")
}

pub fn cases() -> Vec<Case> {
    vec![
        // RFC 6120 8.1.3, 8.2.3
        case(
            "x13_iq_without_an_id",
            Bound,
            "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            BAD,
        ),
        case("x13_iq_without_a_type", Bound, "<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq>", BAD),
        case(
            "x13_iq_of_another_type",
            Bound,
            "<iq id='1' type='fetch'><ping xmlns='urn:xmpp:ping'/></iq>",
            BAD,
        ),
        case(
            "x13_iq_of_a_type_in_capitals",
            Bound,
            "<iq id='1' type='GET'><ping xmlns='urn:xmpp:ping'/></iq>",
            BAD,
        ),
        case("x13_iq_that_asks_nothing", Bound, "<iq id='1' type='get'/>", BAD),
        case(
            "x13_iq_that_asks_twice",
            Bound,
            "<iq id='1' type='get'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
            BAD,
        ),
        case("x13_iq_that_asks_in_words", Bound, "<iq id='1' type='get'>ping</iq>", BAD),
        case(
            "x13_iq_of_an_unknown_kind",
            Bound,
            "<iq id='1' type='get'><x xmlns='urn:unknown'/></iq>",
            StanzaError("service-unavailable"),
        ),
        // RFC 6121 4.7.1
        case(
            "x13_presence_of_another_type",
            Bound,
            "<presence type='evil' to='nurse@capulet.lit'/>",
            BAD,
        ),
        case(
            "x13_id_without_end",
            Bound,
            format!("<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>", "i".repeat(1_024)),
            BAD,
        ),
        case(
            "x13_language_without_end",
            Bound,
            format!("<message xml:lang='{}' to='nurse@capulet.lit'/>", "x".repeat(65)),
            BAD,
        ),
        // RFC 6120 8.3.1: an error is never answered by one, whatever else is wrong with it.
        case(
            "x13_error_to_nobody",
            Bound,
            "<message type='error' to='@'><error/></message>",
            Silence,
        ),
        case(
            "x13_result_nobody_asked_for",
            Bound,
            "<iq type='result' id='well-1' to='capulet.lit'/>",
            Silence,
        ),
        case(
            "x13_result_for_somebody_s_request",
            Bound,
            "<iq type='result' id='1' to='paris@capulet.lit/x'/>",
            Silence,
        ),
        case(
            "x13_error_iq_without_an_id",
            Bound,
            "<iq type='error' to='nurse@capulet.lit/garden'/>",
            Silence,
        ),
        case("p01_from_another_user", Bound, from("nurse@capulet.lit"), FROM),
        // RFC 6120 8.1.2.1: the true one is stamped.
        case(
            "p01_from_another_session",
            Bound,
            format!("<message from='mallory@capulet.lit/y' to='{MALLORY}'><body/></message>"),
            Answer(|message| message.attr("from") == Some(MALLORY)),
        ),
        case("p01_from_the_server", Bound, from("capulet.lit"), FROM),
        case("p01_from_no_address", Bound, from("@capulet.lit"), NO_ADDRESS),
        case("p10_address_without_a_host", Bound, to("nurse@"), NO_ADDRESS),
        case("p10_address_without_a_name", Bound, to("@capulet.lit"), NO_ADDRESS),
        case("p10_address_without_a_resource", Bound, to("nurse@capulet.lit/"), NO_ADDRESS),
        case("p10_address_with_two_names", Bound, to("nurse@nurse@capulet.lit"), NO_ADDRESS),
        case("p10_address_with_a_space", Bound, to("nur se@capulet.lit"), NO_ADDRESS),
        case("p10_address_with_quotes", Bound, to("nurse&quot;@capulet.lit"), NO_ADDRESS),
        case(
            "p10_address_with_a_control_of_direction",
            Bound,
            to("nurse\u{202E}@capulet.lit"),
            NO_ADDRESS,
        ),
        case(
            "p10_address_with_a_name_of_1024_bytes",
            Bound,
            to(&format!("{}@capulet.lit", "n".repeat(1_024))),
            NO_ADDRESS,
        ),
        case(
            "p10_address_with_a_host_of_1024_bytes",
            Bound,
            to(&format!("nurse@{}", "a.".repeat(512))),
            NO_ADDRESS,
        ),
        case("p10_address_with_a_host_that_is_none", Bound, to("nurse@[::1"), NO_ADDRESS),
        case("p10_address_that_is_empty", Bound, to(""), NO_ADDRESS),
        // RFC 6120 10.4.3
        case(
            "p10_address_at_another_server",
            Bound,
            to("nurse@verona.lit"),
            StanzaError("remote-server-not-found"),
        ),
    ]
}
