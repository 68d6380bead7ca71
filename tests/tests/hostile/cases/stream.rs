//! What is said out of turn, or twice, or for somebody else: X13, X14, X15, T01, T02, T06, A09.

use super::{OWN_HEADER, stream};
use crate::case::{
    Case, Expect,
    Expect::{Answer, Goodbye, SaslFailure, StanzaError, StreamError, Terminate, TlsFailure},
    Stage::*,
    case,
};
use xmpp_core::ns;

/// RFC 6120 4.9.3.24.
const UNSUPPORTED: Expect = StreamError("unsupported-stanza-type");
/// RFC 6120 4.9.3.12.
const NOT_AUTHORIZED: Expect = StreamError("not-authorized");
/// RFC 6120 4.9.3.1.
const FORMAT: Expect = StreamError("bad-format");

pub fn cases() -> Vec<Case> {
    [headers(), elements(), hosts(), compression(), encryption(), protocols(), too_early()]
        .into_iter()
        .flatten()
        .collect()
}

/// RFC 6120 4.7, 4.9.1.3.
fn headers() -> Vec<Case> {
    let to = |to: &str| stream("").replace("to='capulet.lit'", to);
    let header = |name, stage, bytes: String, expect| {
        case(name, stage, bytes, expect).stream_only(OWN_HEADER)
    };
    let second = format!("{}</stream:stream>", stream(""));
    vec![
        case("x13_second_header", Bound, second.clone(), UNSUPPORTED),
        case("x13_second_header_before_sasl", Offered, second, UNSUPPORTED),
        header("x13_header_without_a_recipient", Fresh, to(""), StreamError("host-unknown")),
        header(
            "x13_header_for_a_user",
            Fresh,
            to("to='nurse@capulet.lit'"),
            StreamError("improper-addressing"),
        ),
        header("x13_header_for_nobody", Fresh, to("to='@'"), StreamError("improper-addressing")),
        header(
            "x13_header_for_another_host",
            Encrypted,
            to("to='verona.lit'"),
            StreamError("host-unknown"),
        ),
        header(
            "x13_header_from_no_address",
            Encrypted,
            stream(" from='/'"),
            StreamError("improper-addressing"),
        ),
        // RFC 6120 4.7.5
        header(
            "x13_header_without_a_version",
            Fresh,
            stream("").replace("version='1.0'", ""),
            StreamError("unsupported-version"),
        ),
        header(
            "x13_header_of_another_name",
            Fresh,
            stream("").replace("<stream:stream", "<stream:flow"),
            FORMAT,
        ),
        header("x13_header_that_closes_itself", Fresh, stream("").replace('>', "/>"), FORMAT),
        header(
            "x13_header_of_another_content",
            Fresh,
            stream("").replace("jabber:client", "urn:example"),
            StreamError("invalid-namespace"),
        ),
    ]
}

fn elements() -> Vec<Case> {
    vec![
        case("x13_unknown_element", Bound, "<foo/>", UNSUPPORTED),
        case("x13_unknown_element_before_sasl", Offered, "<foo xmlns='urn:foo'/>", UNSUPPORTED),
        case("x13_stanza_in_capitals", Bound, "<Message to='nurse@capulet.lit'/>", UNSUPPORTED),
        case(
            "x13_stanza_of_servers",
            Bound,
            "<message xmlns='jabber:server' to='nurse@capulet.lit'/>",
            StreamError("invalid-namespace"),
        ),
        case(
            "x13_handshake_of_a_component",
            Offered,
            "<handshake xmlns='jabber:component:accept'>00</handshake>",
            UNSUPPORTED,
        ),
        case(
            "x13_dialback",
            Offered,
            "<db:result xmlns:db='jabber:server:dialback' from='a' to='b'>0</db:result>",
            UNSUPPORTED,
        ),
        case("x13_features_of_the_client", Restarted, "<stream:features/>", UNSUPPORTED),
        case(
            "x13_challenge_of_the_client",
            Challenged,
            format!("<challenge xmlns='{}'/>", ns::SASL),
            UNSUPPORTED,
        ),
        case(
            "x13_success_of_the_client",
            Offered,
            format!("<success xmlns='{}'/>", ns::SASL),
            UNSUPPORTED,
        ),
        case(
            "x13_proceed_of_the_client",
            Clear,
            format!("<proceed xmlns='{}'/>", ns::TLS),
            UNSUPPORTED,
        ),
        // RFC 6120 6.4.6: once authenticated, a stream authenticates nobody else.
        case(
            "x13_auth_once_authenticated",
            Restarted,
            format!("<auth xmlns='{}' mechanism='PLAIN'>AG51cnNlAHg=</auth>", ns::SASL),
            UNSUPPORTED,
        ),
        case(
            "x13_auth_once_bound",
            Bound,
            format!("<auth xmlns='{}' mechanism='PLAIN'>AG51cnNlAHg=</auth>", ns::SASL),
            UNSUPPORTED,
        ),
        case(
            "x13_stream_management_that_is_not_offered",
            Bound,
            "<enable xmlns='urn:xmpp:sm:2' resume='true'/>",
            UNSUPPORTED,
        ),
        case(
            "s02_resumption_of_a_guessed_stream",
            Restarted,
            "<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>",
            Answer(|failed| {
                failed.is(ns::STREAM_MANAGEMENT, "failed")
                    && failed.child(ns::STANZA_ERRORS, "item-not-found").is_some()
            }),
        ),
        case(
            "x13_frame_of_websockets",
            Offered,
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='capulet.lit' version='1.0'/>",
            UNSUPPORTED,
        ),
        case("x13_text_between_stanzas", Bound, "hello", FORMAT),
        case("x13_text_after_a_space", Offered, " \n\thello", FORMAT),
        case("x13_cdata_between_stanzas", Bound, "<![CDATA[x]]>", FORMAT),
        case("x13_nul_between_stanzas", Bound, "\0", FORMAT),
        case("x13_text_before_the_header", Fresh, "hello", StreamError("not-well-formed")),
        // RFC 6120 4.4: whatever follows the end is not the stream's.
        case(
            "x13_stanza_after_the_end",
            Bound,
            "</stream:stream><message to='nurse@capulet.lit'/>",
            Goodbye,
        )
        .bosh(Terminate("bad-request")),
        case("x13_end_before_sasl_ends", Challenged, "</stream:stream>", Goodbye)
            .bosh(Terminate("bad-request")),
        case("x13_space_is_nothing", Bound, " \r\n\t \n", Expect::Silence),
        // XML 1.0 2.1, where no declaration comes.
        case(
            "x13_space_before_the_header_is_nothing",
            Encrypted,
            format!("\r\n \t{}", stream("")),
            Answer(|features| features.is(ns::STREAMS, "features")),
        )
        .stream_only(OWN_HEADER),
    ]
}

/// CVE-2018-10847: who is known at one host is nobody at another.
fn hosts() -> Vec<Case> {
    let other = |attributes: &str| stream("").replace("to='capulet.lit'", attributes);
    vec![
        case(
            "x14_other_host_after_sasl",
            Authenticated,
            other("to='montague.lit'"),
            NOT_AUTHORIZED,
        )
        .stream_only("x14_restart_for_another_host does it in a <body/>"),
        case("x14_no_host_after_sasl", Authenticated, other(""), StreamError("host-unknown"))
            .stream_only(OWN_HEADER),
        // RFC 6120 4.9.3.9
        case(
            "x14_other_user_after_sasl",
            Authenticated,
            stream(" from='nurse@capulet.lit'"),
            StreamError("invalid-from"),
        )
        .stream_only(OWN_HEADER),
        case(
            "x14_bind_for_another_account",
            Restarted,
            "<iq type='set' id='1' to='nurse@capulet.lit'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            NOT_AUTHORIZED,
        ),
        case(
            "x14_bind_from_another_account",
            Restarted,
            "<iq type='set' id='1' from='nurse@capulet.lit'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            StreamError("invalid-from"),
        ),
        // RFC 6120 7.1: one resource to a stream.
        case(
            "x14_bind_once_bound",
            Bound,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>garden</resource></bind></iq>",
            StanzaError("not-allowed"),
        ),
        // RFC 6120 7.7.2.1
        case(
            "x14_bind_of_a_resource_that_is_none",
            Restarted,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>a&#x202E;b&#xFFF9;</resource></bind></iq>",
            StanzaError("bad-request"),
        ),
        case(
            "x14_bind_asked_for_by_get",
            Restarted,
            "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            StanzaError("bad-request"),
        ),
    ]
}

/// XEP-0138 is obsolete and not there.
fn compression() -> Vec<Case> {
    let compress = |method: &str| {
        format!(
            "<compress xmlns='http://jabber.org/protocol/compress'><method>{method}</method></compress>"
        )
    };
    vec![
        case("x15_compression_in_the_clear", Clear, compress("zlib"), UNSUPPORTED),
        case("x15_compression_before_sasl", Offered, compress("lzw"), UNSUPPORTED),
        case("x15_compression_of_a_bound_stream", Bound, compress("zlib"), UNSUPPORTED),
        case(
            "x15_zlib_without_asking",
            Bound,
            b"x\x9C\xCB\x48\xCD\xC9\xC9\x07\x00\x06\x2C\x02\x15".as_slice(),
            FORMAT,
        ),
        case(
            "x15_gzip_instead_of_a_header",
            Encrypted,
            b"\x1F\x8B\x08\0\0\0\0\0\0\x03".as_slice(),
            StreamError("not-well-formed"),
        ),
    ]
}

/// RFC 6120 5.4. Data after `<starttls/>` is in `tls.rs`, since what comes of it depends on where it is cut.
fn encryption() -> Vec<Case> {
    let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
    let plain = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AG1hbGxvcnkAd2hlcmVmb3Jl</auth>";
    let no_clear = "over the loopback a connection manager's session counts as encrypted";
    vec![
        case(
            "t01_starttls_with_something_inside",
            Clear,
            format!("<starttls xmlns='{}'>{plain}</starttls>", ns::TLS),
            TlsFailure,
        ),
        case("t01_starttls_on_an_encrypted_stream", Offered, starttls.clone(), TlsFailure),
        case("t01_starttls_during_sasl", Challenged, starttls.clone(), TlsFailure),
        case("t01_starttls_once_bound", Bound, starttls, TlsFailure),
        // RFC 6120 6.5.4; `require_tls` is the default.
        case("t02_password_in_the_clear", Clear, plain, SaslFailure("encryption-required"))
            .stream_only(no_clear),
        case(
            "t02_scram_in_the_clear",
            Clear,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biws</auth>",
            SaslFailure("encryption-required"),
        )
        .stream_only(no_clear),
        // XEP-0388 does not exist here yet.
        case(
            "t02_authenticate_in_the_clear",
            Clear,
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGEAYg==</initial-response></authenticate>",
            UNSUPPORTED,
        ),
        case(
            "t02_old_authentication_in_the_clear",
            Clear,
            "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>mallory</username><password>wherefore</password></query></iq>",
            NOT_AUTHORIZED,
        ),
        case(
            "t02_bind_in_the_clear",
            Clear,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            NOT_AUTHORIZED,
        ),
    ]
}

/// What belongs at other ports. Nothing of it may be echoed.
fn protocols() -> Vec<Case> {
    let malformed = StreamError("not-well-formed");
    vec![
        case("t06_http", Fresh, "GET / HTTP/1.1\r\nHost: capulet.lit\r\n\r\n", malformed),
        case(
            "t06_http_inside_tls",
            Encrypted,
            "POST /http-bind HTTP/1.1\r\n\r\n<body/>",
            malformed,
        ),
        case(
            "t06_tls_without_starttls",
            Fresh,
            b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03".as_slice(),
            malformed,
        ),
        case("t06_http_2", Encrypted, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", malformed),
        case("t06_mail", Fresh, "EHLO capulet.lit\r\n", malformed),
        case("t06_flash_policy", Fresh, "<policy-file-request/>\0", FORMAT)
            .bosh(Terminate("bad-request")),
    ]
}

/// XEP-0205: a stanza before authentication must not be processed.
fn too_early() -> Vec<Case> {
    let message =
        "<message to='nurse@capulet.lit' from='nurse@capulet.lit'><body>x</body></message>";
    let ping = "<iq type='get' id='1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>";
    vec![
        case("a09_message_in_the_clear", Clear, message, NOT_AUTHORIZED),
        case("a09_message_before_sasl", Offered, message, NOT_AUTHORIZED),
        case("a09_message_during_sasl", Challenged, message, NOT_AUTHORIZED),
        case("a09_message_before_bind", Restarted, message, NOT_AUTHORIZED),
        case(
            "a09_presence_before_sasl",
            Offered,
            "<presence to='nurse@capulet.lit/garden'/>",
            NOT_AUTHORIZED,
        ),
        case("a09_presence_before_bind", Restarted, "<presence/>", NOT_AUTHORIZED),
        case(
            "a09_subscription_before_bind",
            Restarted,
            "<presence type='subscribe' to='nurse@capulet.lit'/>",
            NOT_AUTHORIZED,
        ),
        case("a09_request_in_the_clear", Clear, ping, NOT_AUTHORIZED),
        case("a09_request_before_sasl", Offered, ping, NOT_AUTHORIZED),
        case("a09_request_during_sasl", Challenged, ping, NOT_AUTHORIZED),
        case("a09_request_before_bind", Restarted, ping, NOT_AUTHORIZED),
        case(
            "a09_roster_before_bind",
            Restarted,
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            NOT_AUTHORIZED,
        ),
        case(
            "a09_session_before_bind",
            Restarted,
            "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            NOT_AUTHORIZED,
        ),
        case(
            "a09_registration_before_sasl",
            Offered,
            "<iq type='set' id='1'><query xmlns='jabber:iq:register'><username>nurse</username></query></iq>",
            // XEP-0077 3.1: it is off
            StanzaError("service-unavailable"),
        ),
        case(
            "a09_bind_before_sasl",
            Offered,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            NOT_AUTHORIZED,
        ),
        case(
            "a09_result_before_sasl",
            Offered,
            "<iq type='result' id='1' to='nurse@capulet.lit/garden'/>",
            NOT_AUTHORIZED,
        ),
        case(
            "a09_result_before_bind",
            Restarted,
            "<iq type='result' id='1' to='nurse@capulet.lit/garden'/>",
            NOT_AUTHORIZED,
        ),
        case("a09_malformed_request_before_sasl", Offered, "<iq type='get'/>", NOT_AUTHORIZED),
        case(
            "a09_stanza_instead_of_a_restart",
            Authenticated,
            "<message to='nurse@capulet.lit'/>",
            FORMAT,
        ),
        case("a09_ping_once_bound", Bound, ping, Answer(|iq| iq.attr("type") == Some("result"))),
    ]
}
