//! Clauses of RFC 6120 that no play can show, since they come before a session: headers, STARTTLS, SASL, binding. Not all
//! of it is hostile; all of it must come to the same at every door, however it is cut.

use super::{OWN_HEADER, stream};
use crate::{
    case::{
        Case, Expect,
        Expect::{Answer, Goodbye, SaslFailure, StanzaError, StreamError},
        PASSWORD,
        Stage::*,
        case,
    },
    stream::{auth, bind},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use xmpp_core::ns;

const FEATURES: Expect = Answer(|answer| answer.is(ns::STREAMS, "features"));
const SUCCESS: Expect = Answer(|answer| answer.is(ns::SASL, "success"));
const BOUND: Expect = Answer(|answer| answer.attr("type") == Some("result"));
const NAMESPACE: Expect = StreamError("invalid-namespace");
const VERSION: Expect = StreamError("unsupported-version");

pub fn cases() -> Vec<Case> {
    [headers(), namespaces(), ends(), logins(), resources()].into_iter().flatten().collect()
}

/// RFC 6120 4.7.
fn headers() -> Vec<Case> {
    let header =
        |name, bytes: String, expect| case(name, Encrypted, bytes, expect).stream_only(OWN_HEADER);
    let version = |version| stream("").replace("'1.0'", version);
    vec![
        header(
            "rfc6120-4.7.1_full_address_in_from",
            stream(" from='mallory@capulet.lit/x'"),
            FEATURES,
        ),
        header("rfc6120-4.7.3_id_of_the_client_is_ignored", stream(" id='mine'"), FEATURES),
        header("rfc6120-4.7.4_language_that_is_none", stream(" xml:lang='no language'"), FEATURES),
        // 4.7.5: the lower of both, by number; what is before 1.0 knows neither TLS nor SASL.
        header("rfc6120-4.7.5_version_1.5", version("'1.5'"), FEATURES),
        header("rfc6120-4.7.5_version_2.0", version("'2.0'"), FEATURES),
        header("rfc6120-4.7.5_version_01.00", version("'01.00'"), FEATURES),
        header("rfc6120-4.7.5_version_0.9", version("'0.9'"), VERSION),
        header("rfc6120-4.7.5_version_of_letters", version("'one'"), VERSION),
        // 4.8.2: both styles.
        header(
            "rfc6120-4.8.2_no_content_namespace",
            stream("").replace("xmlns='jabber:client'", ""),
            FEATURES,
        ),
        header(
            "rfc6120-4.8.2_stream_namespace_as_default",
            "<stream xmlns='http://etherx.jabber.org/streams' to='capulet.lit' version='1.0'>"
                .into(),
            FEATURES,
        ),
        header(
            "rfc6120-4.8.5_other_prefix_for_the_stream",
            stream("").replace("stream:", "s:").replace(":stream=", ":s="),
            FEATURES,
        ),
        header(
            "rfc6120-11.5_standalone_is_ignored",
            format!("<?xml version='1.0' standalone='no'?>{}", stream("")),
            FEATURES,
        ),
    ]
}

/// RFC 6120 4.8.
fn namespaces() -> Vec<Case> {
    let stanza = "<iq xmlns='jabber:server' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
    vec![
        case(
            "rfc6120-4.8.1_another_stream_namespace",
            Encrypted,
            stream("").replace("etherx.jabber.org", "example.org"),
            NAMESPACE,
        )
        .stream_only(OWN_HEADER),
        case(
            "rfc6120-4.8.3_header_of_a_server",
            Fresh,
            stream("").replace("jabber:client", "jabber:server"),
            NAMESPACE,
        )
        .stream_only(OWN_HEADER),
        case("rfc6120-4.8.3_stanza_of_a_server_in_the_clear", Clear, stanza, NAMESPACE),
        case("rfc6120-4.8.3_stanza_of_a_server_during_sasl", Challenged, stanza, NAMESPACE),
        case("rfc6120-4.8.3_stanza_of_a_server_before_bind", Restarted, stanza, NAMESPACE),
    ]
}

/// RFC 6120 4.4, 4.9.1.1: who reports an error has closed the stream, and is not contradicted.
fn ends() -> Vec<Case> {
    let error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let terminate = "over BOSH a client ends its session by type='terminate'";
    vec![
        case("rfc6120-4.9.1.1_error_in_the_clear", Clear, error, Goodbye).stream_only(terminate),
        case("rfc6120-4.9.1.1_error_during_sasl", Challenged, error, Goodbye)
            .stream_only(terminate),
        case(
            "rfc6120-4.9.1.1_error_before_bind",
            Restarted,
            format!("{error}</stream:stream>"),
            Goodbye,
        )
        .stream_only(terminate),
        case("rfc6120-4.4_end_in_the_clear", Clear, "</stream:stream>", Goodbye)
            .stream_only(terminate),
        case("rfc6120-4.4_end_before_bind", Restarted, "</stream:stream>", Goodbye)
            .stream_only(terminate),
    ]
}

/// RFC 6120 6.
fn logins() -> Vec<Case> {
    let response = |data: &str| format!("<response xmlns='{}'>{data}</response>", ns::SASL);
    let plain = BASE64.encode(format!("\0mallory\0{PASSWORD}"));
    vec![
        // 6.4.2: the last one counts.
        case("rfc6120-6.4.2_auth_after_auth", Challenged, auth("PLAIN", &plain), SUCCESS),
        case(
            "rfc6120-6.4.2_auth_after_auth_of_another_mechanism",
            Challenged,
            auth("CRAM-MD5", ""),
            SaslFailure("invalid-mechanism"),
        ),
        // 6.4.2: no data is other than data of no bytes.
        case(
            "rfc6120-6.4.2_no_initial_response",
            Offered,
            auth("PLAIN", ""),
            Answer(|answer| answer.is(ns::SASL, "challenge") && answer.text.is_empty()),
        ),
        case(
            "rfc6120-6.4.2_initial_response_of_no_bytes",
            Offered,
            auth("SCRAM-SHA-256", "="),
            SaslFailure("malformed-request"),
        ),
        case(
            "rfc6120-6.4.3_response_of_no_bytes",
            Challenged,
            response("="),
            SaslFailure("malformed-request"),
        ),
        // 6.5.10
        case(
            "rfc6120-6.5.10_wrong_password",
            Offered,
            auth("PLAIN", &BASE64.encode("\0mallory\0another")),
            SaslFailure("not-authorized"),
        ),
    ]
}

/// RFC 6120 7.
fn resources() -> Vec<Case> {
    let request = |inside: &str| {
        format!(
            "<iq type='set' id='b' to='capulet.lit'><bind xmlns='{}'>{inside}</bind></iq>",
            ns::BIND
        )
    };
    let resource = |text: &str| request(&format!("<resource>{text}</resource>"));
    let bad = StanzaError("bad-request");
    vec![
        case(
            "rfc6120-7.6.1_resource_by_the_server",
            Restarted,
            request(""),
            Answer(|answer| {
                let jid =
                    answer.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid"));
                jid.is_some_and(|jid| jid.text.len() >= "mallory@capulet.lit/".len() + 22)
            }),
        ),
        // 7.7.2.1: as if none was asked for.
        case("rfc6120-7.7.2.1_resource_of_no_bytes", Restarted, resource(""), BOUND),
        case(
            "rfc6120-7.7.2.1_resource_of_1023_bytes",
            Restarted,
            resource(&"r".repeat(1_023)),
            BOUND,
        ),
        case(
            "rfc6120-7.7.2.1_resource_of_1024_bytes",
            Restarted,
            resource(&"r".repeat(1_024)),
            bad,
        ),
        case(
            "rfc6120-7.7.1_resource_without_modification",
            Restarted,
            bind("A &amp; b\u{1F339}"),
            Answer(|answer| {
                let jid =
                    answer.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid"));
                jid.is_some_and(|jid| jid.text == "mallory@capulet.lit/A & b\u{1F339}")
            }),
        ),
        case(
            "rfc6120-8.2.3_bind_with_another_child",
            Restarted,
            request("").replace("</iq>", "<ping xmlns='urn:xmpp:ping'/></iq>"),
            bad,
        ),
        case(
            "rfc6120-8.2.3_bind_without_an_id",
            Restarted,
            request("").replace(" id='b'", ""),
            bad,
        ),
    ]
}
