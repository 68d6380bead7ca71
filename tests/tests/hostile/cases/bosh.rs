//! What only HTTP bodies can get wrong (XEP-0124, XEP-0206): B10 and the rows that have a form of their own there.

use crate::case::{
    Case, Expect,
    Expect::{Status, StreamError, Terminate},
    Met,
    Stage::*,
    body, case,
};
use xmpp_core::ns;

const BAD: Expect = Terminate("bad-request");
const ONLY: &str = "it is a matter of HTTP bodies";

/// A request of a session that was created, with this instead of what follows `rid` and `sid`.
fn request(met: &Met, rest: &str) -> Vec<u8> {
    let (xbosh, httpbind) = (ns::XBOSH, ns::HTTPBIND);
    format!(
        "<body rid='{}' sid='{}' xmlns='{httpbind}' xmlns:xmpp='{xbosh}'{rest}",
        met.rid, met.sid
    )
    .into_bytes()
}

/// A request that creates a session, with these attributes.
pub fn create(attributes: &str) -> Vec<u8> {
    let (xbosh, httpbind) = (ns::XBOSH, ns::HTTPBIND);
    format!("<body xmlns='{httpbind}' xmlns:xmpp='{xbosh}' ver='1.6'{attributes}/>").into_bytes()
}

pub fn cases() -> Vec<Case> {
    let made = "rid='1' to='capulet.lit' wait='60' hold='1'";
    let good = String::from_utf8(create(&format!(" {made}"))).expect("text");
    let whole = |name, bytes: String| case(name, Fresh, bytes, BAD).bosh_only(ONLY);
    vec![
        whole("b10_nothing", String::new()),
        whole("b10_space", "  \r\n ".into()),
        whole("b10_two_bodies", format!("{good}{good}")),
        whole("b10_text_after_the_body", format!("{good}x")),
        whole("b10_body_without_end", good.replace("/>", ">")),
        whole("b10_body_of_another_namespace", good.replace("httpbind", "httpbinds")),
        whole("b10_body_without_a_namespace", format!("<body {made}/>")),
        whole("b10_another_element", good.replace("<body", "<head")),
        whole("b10_json", "{\"body\": {\"rid\": 1}}".into()),
        whole("b10_form", "body=%3Cbody%2F%3E&rid=1".into()),
        whole(
            "x01_billion_laughs_before_a_body",
            format!("<!DOCTYPE body [<!ENTITY a 'b'>]>{good}"),
        ),
        whole("x03_comment_before_a_body", format!("<!-- x -->{good}")),
        whole("x03_comment_after_a_body", format!("{good}<!-- x -->")),
        whole(
            "x12_body_declared_as_latin_1",
            format!("<?xml version='1.0' encoding='ISO-8859-1'?>{good}"),
        ),
        whole("x12_body_behind_a_mark", format!("\u{FEFF}{good}")),
        whole("x07_duplicate_rid", good.replace("rid='1'", "rid='1' rid='2'")),
        whole(
            "x08_restart_by_a_prefix_without_a_declaration",
            good.replace("rid=", "xmpp2:restart='true' rid="),
        ),
        body("b10_text_inside_the_body", Offered, |met| request(met, ">text</body>"), BAD),
        body(
            "x13_text_between_payloads",
            Bound,
            |met| request(met, "><presence xmlns='jabber:client'/>x</body>"),
            BAD,
        ),
        // The header is the connection manager's, but what it says is the client's.
        body(
            "x13_session_for_another_host",
            Fresh,
            |_| create(" rid='1' to='verona.lit'"),
            Terminate("host-unknown"),
        ),
        body(
            "x13_session_for_a_user",
            Fresh,
            |_| create(" rid='1' to='nurse@capulet.lit'"),
            Terminate("improper-addressing"),
        ),
        body(
            "x13_session_for_nobody",
            Fresh,
            |_| create(" rid='1'"),
            Terminate("improper-addressing"),
        ),
        body(
            "x13_session_from_no_address",
            Fresh,
            |_| create(" rid='1' to='capulet.lit' from='@'"),
            StreamError("improper-addressing"),
        ),
        body(
            "x13_session_that_is_not_there",
            Fresh,
            |_| create(" rid='1' sid='guess'"),
            Terminate("item-not-found"),
        ),
        body(
            "x13_session_that_ends_before_it_begins",
            Fresh,
            |_| create(" rid='1' to='capulet.lit' type='terminate'"),
            BAD,
        ),
        body(
            "x13_content_of_another_encoding",
            Fresh,
            |_| create(" rid='1' to='capulet.lit' content='text/xml; charset=utf-16'"),
            BAD,
        ),
        body(
            "x13_content_that_adds_a_header",
            Fresh,
            |_| create(" rid='1' to='capulet.lit' content='text/xml&#13;&#10;X-Evil: 1'"),
            BAD,
        ),
        body("a09_restart_before_sasl", Offered, |met| request(met, " xmpp:restart='true'/>"), BAD),
        body(
            "a09_restart_during_sasl",
            Challenged,
            |met| request(met, " xmpp:restart='true'/>"),
            BAD,
        ),
        body(
            "a09_stanza_with_the_first_request",
            Fresh,
            |_| {
                create(" rid='1' to='capulet.lit'")
                    .strip_suffix(b"/>")
                    .expect("an empty element")
                    .iter()
                    .chain(b"><message xmlns='jabber:client' to='nurse@capulet.lit'/></body>")
                    .copied()
                    .collect()
            },
            StreamError("not-authorized"),
        ),
        body(
            "x14_restart_for_another_host",
            Authenticated,
            |met| request(met, " xmpp:restart='true' to='montague.lit'/>"),
            BAD,
        ),
        body(
            "x14_restart_for_no_host",
            Authenticated,
            |met| request(met, " xmpp:restart='true' to='@'/>"),
            Terminate("improper-addressing"),
        ),
        // RFC 9110 15.5.16: no coding is announced, so none is taken.
        body("x15_gzip", Fresh, |_| vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3], Status(415))
            .headers("Content-Encoding: gzip\r\n"),
        body(
            "x15_deflate_inside_a_session",
            Bound,
            |_| b"x\x9C\x03\0\0\0\0\x01".to_vec(),
            Status(415),
        )
        .headers("Content-Encoding: deflate\r\n"),
        body(
            "x15_coding_that_is_none",
            Fresh,
            |_| create(" rid='1' to='capulet.lit'"),
            Status(415),
        )
        .headers("Content-Encoding: rot13\r\n"),
        body(
            "x16_body_over_the_limit",
            Fresh,
            |_| {
                let padding = " ".repeat(300_000);
                create(&format!("{padding} rid='1' to='capulet.lit'"))
            },
            Status(413),
        ),
        // A trusted proxy says that the visitor came in the clear.
        body(
            "t02_session_in_the_clear",
            Fresh,
            |_| create(" rid='1' to='capulet.lit'"),
            Terminate("policy-violation"),
        )
        .headers("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n"),
        body(
            "x04_elements_around_a_restart",
            Offered,
            |met| request(met, &format!(">{}</body>", "<a/>".repeat(10_000))),
            BAD,
        ),
        body(
            "x06_depth_of_a_body",
            Offered,
            |met| request(met, &format!(">{}{}</body>", "<a>".repeat(200), "</a>".repeat(200))),
            BAD,
        ),
        body(
            "x07_attribute_flood_on_a_body",
            Fresh,
            |_| {
                let flood: String = (0..70).map(|n| format!(" a{n}=''")).collect();
                create(&format!(" rid='1' to='capulet.lit'{flood}"))
            },
            BAD,
        ),
        body(
            "x08_namespace_flood_on_a_body",
            Fresh,
            |_| {
                let flood: String = (0..9_000).map(|n| format!(" xmlns:p{n}='u'")).collect();
                create(&format!(" rid='1' to='capulet.lit'{flood}"))
            },
            BAD,
        ),
    ]
}
