//! Who says to be somebody else, and by what: A01, A02, and PLAIN and base64 under A03.

use crate::{
    case::{
        Case, Expect,
        Expect::{Answer, SaslFailure},
        PASSWORD,
        Stage::*,
        case,
    },
    stream::auth,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use xmpp_core::ns;

const AUTHZID: Expect = SaslFailure("invalid-authzid"); // RFC 6120 6.5.6
const MECHANISM: Expect = SaslFailure("invalid-mechanism"); // RFC 6120 6.5.7
const MALFORMED: Expect = SaslFailure("malformed-request"); // RFC 6120 6.5.8
const REFUSED: Expect = SaslFailure("not-authorized"); // RFC 6120 6.5.10
const ENCODING: Expect = SaslFailure("incorrect-encoding"); // RFC 6120 6.5.5
const SUCCESS: Expect = Answer(|success| success.is(ns::SASL, "success"));

/// RFC 4616.
fn plain(message: &str) -> String {
    auth("PLAIN", &BASE64.encode(message))
}

/// Mallory's own password, in the name of this identity.
fn acting_as(authzid: &str) -> String {
    plain(&format!("{authzid}\0mallory\0{PASSWORD}"))
}

fn scram(mechanism: &str, first: &str) -> String {
    auth(mechanism, &BASE64.encode(first))
}

pub fn cases() -> Vec<Case> {
    [identities(), mechanisms(), messages(), encodings()].into_iter().flatten().collect()
}

/// Only one's own account, named by its bare address or by nothing (RFC 6120 6.3.8).
fn identities() -> Vec<Case> {
    vec![
        case("a01_plain_as_another_user", Offered, acting_as("nurse@capulet.lit"), AUTHZID),
        case("a01_plain_as_another_user_without_a_host", Offered, acting_as("nurse"), AUTHZID),
        case("a01_plain_as_oneself_without_a_host", Offered, acting_as("mallory"), AUTHZID),
        case(
            "a01_plain_as_another_s_session",
            Offered,
            acting_as("nurse@capulet.lit/garden"),
            AUTHZID,
        ),
        case(
            "a01_plain_as_oneself_at_another_host",
            Offered,
            acting_as("mallory@montague.lit"),
            AUTHZID,
        ),
        case("a01_plain_as_the_host", Offered, acting_as("capulet.lit"), AUTHZID),
        case("a01_plain_as_no_address", Offered, acting_as("@"), AUTHZID),
        case("a01_plain_as_a_lookalike", Offered, acting_as("m\u{430}llory@capulet.lit"), AUTHZID),
        case(
            "a01_scram_as_another_user",
            Offered,
            scram("SCRAM-SHA-1", "n,a=nurse@capulet.lit,n=mallory,r=x"),
            AUTHZID,
        ),
        case(
            "a01_scram_as_another_host",
            Offered,
            scram("SCRAM-SHA-256", "n,a=mallory@montague.lit,n=mallory,r=x"),
            AUTHZID,
        ),
        case(
            "a01_scram_as_another_s_session",
            Offered,
            scram("SCRAM-SHA-512", "n,a=nurse@capulet.lit/garden,n=mallory,r=x"),
            AUTHZID,
        ),
        case(
            "a01_scram_as_a_quoted_name",
            Offered,
            scram("SCRAM-SHA-1", "n,a==2Cnurse@capulet.lit,n=mallory,r=x"),
            AUTHZID,
        ),
        // The user name is a name and no address (RFC 6120 6.3.7).
        case(
            "a01_address_as_user_name",
            Offered,
            plain(&format!("\0nurse@capulet.lit\0{PASSWORD}")),
            REFUSED,
        ),
        case(
            "a01_address_at_another_host_as_user_name",
            Offered,
            plain(&format!("\0mallory@montague.lit\0{PASSWORD}")),
            REFUSED,
        ),
        case("a01_oneself_in_another_spelling", Offered, acting_as("MALLORY@Capulet.lit"), SUCCESS),
    ]
}

/// Known somewhere, not on offer here (CVE-2017-10807).
fn mechanisms() -> Vec<Case> {
    vec![
        case("a02_anonymous", Offered, auth("ANONYMOUS", ""), MECHANISM),
        case("a02_external", Offered, auth("EXTERNAL", "="), MECHANISM),
        case("a02_digest_md5", Offered, auth("DIGEST-MD5", ""), MECHANISM),
        case(
            "a02_channel_binding",
            Offered,
            scram("SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=mallory,r=x"),
            MECHANISM,
        ),
        case("a02_token", Offered, auth("OAUTHBEARER", "biws"), MECHANISM),
        case("a02_fast", Offered, auth("HT-SHA-256-NONE", "bWFsbG9yeQB4"), MECHANISM),
        // RFC 4422 3.1: names are in capitals.
        case("a02_small_letters", Offered, auth("plain", ""), MECHANISM),
        case("a02_space_around_the_name", Offered, auth(" PLAIN ", ""), MECHANISM),
        case("a02_no_name", Offered, auth("", ""), MECHANISM),
        case(
            "a02_no_attribute",
            Offered,
            format!("<auth xmlns='{}'>AGEAYg==</auth>", ns::SASL),
            MECHANISM,
        ),
        case(
            "a02_attribute_in_a_namespace",
            Offered,
            format!(
                "<auth xmlns='{}' p:mechanism='PLAIN' xmlns:p='urn:p'>AGEAYg==</auth>",
                ns::SASL
            ),
            MECHANISM,
        ),
        case("a02_legacy_google", Offered, auth("X-OAUTH2", "AGEAYg=="), MECHANISM),
    ]
}

/// Messages of PLAIN, and turns.
fn messages() -> Vec<Case> {
    let response = |data: &str| format!("<response xmlns='{}'>{data}</response>", ns::SASL);
    vec![
        case("a03_plain_with_a_wrong_password", Offered, plain("\0mallory\0therefore"), REFUSED),
        case("a03_plain_of_nobody", Offered, plain("\0paris\0wherefore"), REFUSED),
        case("a03_plain_without_a_password", Offered, plain("\0mallory\0"), MALFORMED),
        case("a03_plain_without_a_name", Offered, plain("\0\0wherefore"), MALFORMED),
        case("a03_plain_of_two_fields", Offered, plain("mallory\0wherefore"), MALFORMED),
        case("a03_plain_of_four_fields", Offered, plain("\0mallory\0wherefore\0nurse"), MALFORMED),
        case("a03_plain_of_no_bytes", Offered, auth("PLAIN", "="), MALFORMED),
        case(
            "a03_plain_of_too_many_bytes",
            Offered,
            plain(&format!("\0mallory\0{}", "x".repeat(4_100))),
            MALFORMED,
        ),
        case(
            "a03_plain_with_a_name_that_is_none",
            Offered,
            plain("\0mal lory\0wherefore"),
            REFUSED,
        ),
        case("a03_response_to_nothing", Offered, response("AGEAYg=="), MALFORMED),
        case(
            "a03_abort_of_nothing",
            Offered,
            format!("<abort xmlns='{}'/>", ns::SASL),
            SaslFailure("aborted"),
        ),
        // RFC 6120 6.4.4
        case(
            "a03_abort",
            Challenged,
            format!("<abort xmlns='{}'/>", ns::SASL),
            SaslFailure("aborted"),
        ),
        // RFC 6120 6.4.2
        case("a03_second_auth_during_sasl", Challenged, acting_as(""), SUCCESS),
        case(
            "a03_element_inside_auth",
            Offered,
            format!("<auth xmlns='{}' mechanism='PLAIN'><x/></auth>", ns::SASL),
            MALFORMED,
        ),
        case("a03_empty_response", Challenged, response(""), MALFORMED),
    ]
}

/// RFC 6120 6.3.5, 13.9.1; RFC 4648 3.
fn encodings() -> Vec<Case> {
    vec![
        case("a03_base64_with_a_space", Offered, auth("PLAIN", "AG1h bGxvcnkAeA=="), ENCODING),
        case("a03_base64_with_line_ends", Offered, auth("PLAIN", "\nAG1hbGxvcnkAeA==\n"), ENCODING),
        case("a03_base64_for_addresses", Offered, auth("PLAIN", "AP-_AHg="), ENCODING),
        case("a03_base64_without_padding", Offered, auth("PLAIN", "AG1hbGxvcnkAeA"), ENCODING),
        case(
            "a03_base64_with_too_much_padding",
            Offered,
            auth("PLAIN", "AG1hbGxvcnkAeA==="),
            ENCODING,
        ),
        case("a03_base64_with_padding_inside", Offered, auth("PLAIN", "AG1h=bGxv"), ENCODING),
        case("a03_base64_with_stray_bits", Offered, auth("PLAIN", "AG1hbGxvcnkAeB=="), ENCODING),
        case("a03_base64_of_no_letters", Offered, auth("PLAIN", "\u{FF21}\u{FF21}=="), ENCODING),
        case(
            "a03_base64_of_what_is_not_utf8",
            Offered,
            auth("PLAIN", "AG1h/2xvcnkAeA=="),
            ENCODING,
        ),
    ]
}
