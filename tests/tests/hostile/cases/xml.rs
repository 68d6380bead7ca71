//! XML that XMPP forbids, and what is no XML: X01 to X04, X06, X11, X12.

use super::{OWN_HEADER, UNFINISHED, message, stream};
use crate::case::{
    Case,
    Expect::{Answer, StreamError, Terminate},
    MALLORY,
    Stage::*,
    case,
};
use xmpp_core::ns;

const RESTRICTED: crate::case::Expect = StreamError("restricted-xml"); // RFC 6120 11.1
const MALFORMED: crate::case::Expect = StreamError("not-well-formed"); // RFC 6120 11.3
const POLICY: crate::case::Expect = StreamError("policy-violation");

const LAUGHS: &str = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";

pub fn cases() -> Vec<Case> {
    [documents(), instructions(), references(), tags(), sizes(), encodings()]
        .into_iter()
        .flatten()
        .collect()
}

fn documents() -> Vec<Case> {
    let declared = format!("<?xml version='1.0'?>{LAUGHS}<l>&b;</l>");
    let include = format!(
        "<message to='{MALLORY}'><xi:include href='file:///etc/passwd' parse='text' \
         xmlns:xi='http://www.w3.org/2001/XInclude'/></message>"
    );
    vec![
        case("x01_billion_laughs_instead_of_a_header", Fresh, declared, RESTRICTED),
        case("x01_billion_laughs_after_tls", Encrypted, LAUGHS, RESTRICTED),
        case("x01_billion_laughs_before_sasl", Offered, LAUGHS, RESTRICTED),
        case("x01_billion_laughs_between_stanzas", Bound, LAUGHS, RESTRICTED),
        case("x01_billion_laughs_inside_a_stanza", Bound, message(LAUGHS), RESTRICTED),
        case(
            "x01_billion_laughs_inside_a_response",
            Challenged,
            format!("<response xmlns='{}'>{LAUGHS}&b;</response>", ns::SASL),
            RESTRICTED,
        ),
        case("x01_entity_without_a_doctype", Restarted, "<!ENTITY a 'b'>", RESTRICTED),
        case(
            "x01_parameter_entity",
            Authenticated,
            "<!DOCTYPE l [<!ENTITY % p '&#60;x/>'> %p;]><l/>",
            RESTRICTED,
        ),
        case("x01_doctype_of_html", Fresh, "<!doctype html><html></html>", RESTRICTED),
        case("x01_conditional_section", Bound, message("<![INCLUDE[x]]>"), RESTRICTED),
        case("x01_element_declaration", Clear, "<!ELEMENT x ANY>", RESTRICTED),
        case("x02_external_dtd", Fresh, "<!DOCTYPE s SYSTEM \"file:///secret\"><s/>", RESTRICTED),
        case(
            "x02_external_dtd_with_a_public_name",
            Clear,
            "<!DOCTYPE s PUBLIC '-//W3C//DTD XHTML 1.0//EN' 'http://198.51.100.9/x.dtd'>",
            RESTRICTED,
        ),
        case(
            "x02_external_entity",
            Bound,
            "<!DOCTYPE s [<!ENTITY xxe SYSTEM \"file:///etc/passwd\">]><message>&xxe;</message>",
            RESTRICTED,
        ),
        case("x02_stylesheet", Fresh, "<?xml-stylesheet href='file:///secret'?><a/>", RESTRICTED),
        // Any element may be carried (RFC 6120 8.4); nobody on the way reads what it names.
        case(
            "x02_inclusion_is_carried_and_not_done",
            Bound,
            include,
            Answer(|message| {
                let include = message.child("http://www.w3.org/2001/XInclude", "include");
                include.is_some_and(|one| one.text.is_empty() && one.children.is_empty())
            }),
        ),
    ]
}

fn instructions() -> Vec<Case> {
    let five = |inside: &str| message(&format!("<a><b><c>{inside}</c></b></a>"));
    vec![
        case("x03_comment_before_the_header", Fresh, "<!-- x --><a/>", RESTRICTED),
        case("x03_comment_between_stanzas", Bound, "<!-- x -->", RESTRICTED),
        case("x03_comment_before_sasl", Offered, "<!-- x -->", RESTRICTED),
        case("x03_comment_inside_a_stanza", Bound, message("a<!-- x -->b"), RESTRICTED),
        case("x03_comment_deep_inside", Bound, five("<!---->"), RESTRICTED),
        case(
            "x03_comment_inside_auth",
            Offered,
            format!("<auth xmlns='{}' mechanism='PLAIN'><!-- x --></auth>", ns::SASL),
            RESTRICTED,
        ),
        case(
            "x03_comment_that_hides_an_end",
            Bound,
            message("<!-- </body></message> -->"),
            RESTRICTED,
        ),
        case("x03_instruction_before_the_header", Fresh, "<?php echo ?><a/>", RESTRICTED),
        case("x03_instruction_between_stanzas", Restarted, "<?x?>", RESTRICTED),
        case("x03_instruction_deep_inside", Bound, five("<?x y?>"), RESTRICTED),
        case("x03_instruction_that_begins_like_xml", Clear, "<?xmlish?>", RESTRICTED),
        case("x03_instruction_with_a_capital_xml", Fresh, "<?XML version='1.0'?><a/>", RESTRICTED),
        case("x03_entity_in_text", Bound, message("&foo;"), RESTRICTED),
        case("x03_entity_of_html", Bound, message("a&nbsp;b"), RESTRICTED),
        case("x03_entity_in_capitals", Bound, message("&LT;"), RESTRICTED),
        case("x03_entity_longer_than_a_known_one", Bound, message("&ltx;"), RESTRICTED),
        case("x03_entity_in_an_attribute", Bound, "<message id='&foo;'/>", RESTRICTED),
        case("x03_entity_in_an_address", Bound, "<message to='&nurse;@capulet.lit'/>", RESTRICTED),
        case(
            "x03_entity_in_a_namespace",
            Bound,
            "<message><x xmlns='&foo;'/></message>",
            RESTRICTED,
        ),
        case("x03_entity_between_stanzas", Restarted, "&foo;", RESTRICTED),
        case("x03_known_entity_between_stanzas", Bound, "&amp;", RESTRICTED),
        case("x03_entity_in_the_header", Encrypted, stream(" xml:lang='&foo;'"), RESTRICTED),
        case("x03_cdata_in_small_letters", Bound, message("<![cdata[x]]>"), RESTRICTED),
    ]
}

/// XML 1.0 4.1, 2.2.
fn references() -> Vec<Case> {
    vec![
        case("x11_ampersand_alone", Bound, message("you & me"), MALFORMED),
        case("x11_reference_without_a_name", Bound, message("&;"), MALFORMED),
        case("x11_reference_without_its_end", Bound, message("&lt"), MALFORMED),
        case("x11_reference_without_digits", Bound, message("&#;"), MALFORMED),
        case("x11_reference_with_a_capital_x", Bound, message("&#X41;"), MALFORMED),
        case("x11_reference_with_a_sign", Bound, message("&#-65;"), MALFORMED),
        case("x11_reference_to_nul", Bound, message("&#0;"), MALFORMED),
        case("x11_reference_to_a_control", Bound, message("&#x8;"), MALFORMED),
        case("x11_reference_to_a_surrogate", Bound, message("&#xD83D;&#xDE00;"), MALFORMED),
        case("x11_reference_to_a_noncharacter", Bound, message("&#xFFFE;"), MALFORMED),
        case("x11_reference_past_unicode", Bound, message("&#x110000;"), MALFORMED),
        // Longer than any character's number: it is not looked at.
        case("x11_reference_that_wraps_32_bits", Bound, message("&#4294967361;"), POLICY)
            .bosh(Terminate("bad-request")),
        case("x11_cdata_end_in_text", Bound, message("]]>"), MALFORMED),
        case("x11_nul", Bound, message("a\0b"), MALFORMED),
        case("x11_escape", Bound, message("\u{1B}[31m"), MALFORMED),
        case("x11_noncharacter", Bound, message("\u{FFFF}"), MALFORMED),
        case("x11_control_in_an_attribute", Bound, "<message id='a\u{1}'/>", MALFORMED),
        case("x11_cdata_in_an_attribute", Bound, "<message id='<![CDATA[x]]>'/>", MALFORMED),
        case(
            "x11_cdata_hides_no_stanza",
            Bound,
            format!(
                "<message to='{MALLORY}'><body><![CDATA[</body></message>\
                 <message to='nurse@capulet.lit'><body>]]></body></message>"
            ),
            Answer(|message| {
                let body = message.child(ns::CLIENT, "body");
                body.is_some_and(|body| body.text.starts_with("</body></message><message"))
            }),
        ),
        case(
            "x11_quotes_hide_no_stanza",
            Bound,
            format!(
                "<message to='{MALLORY}' id=\"'/&gt;>\"><x xmlns='urn:x' \
                 a='&lt;/message>&quot;'/></message>"
            ),
            Answer(|message| {
                let x = message.child("urn:x", "x");
                message.attr("id") == Some("'/>>")
                    && x.is_some_and(|x| x.attr("a") == Some("</message>\""))
            }),
        ),
        case(
            "x11_line_ends_by_reference_stay",
            Bound,
            format!("<message to='{MALLORY}' id='a&#13;&#10;&#9;b'><body>&#13;</body></message>"),
            Answer(|message| {
                message.attr("id") == Some("a\r\n\tb")
                    && message.child(ns::CLIENT, "body").is_some_and(|body| body.text == "\r")
            }),
        ),
    ]
}

/// XML 1.0 3.1.
fn tags() -> Vec<Case> {
    vec![
        case("x11_end_tag_of_another_name", Bound, message("<a></b>"), MALFORMED),
        case("x11_end_tags_out_of_order", Bound, message("<a><b></a></b>"), MALFORMED),
        case("x11_end_tag_in_other_letters", Bound, "<message></Message>", MALFORMED),
        case("x11_end_tag_before_any_start", Fresh, "</stream:stream>", MALFORMED),
        case("x11_end_tag_of_something_else", Offered, "</stream>", MALFORMED),
        case("x11_end_tag_with_an_attribute", Bound, "<message></message id='1'>", MALFORMED),
        case("x11_end_tag_that_closes_itself", Bound, "<message></message/>", MALFORMED),
        case("x11_tag_without_a_name", Bound, "<>", MALFORMED),
        case("x11_tag_with_a_space_before_its_name", Bound, "< message/>", MALFORMED),
        case("x11_tag_in_a_tag", Bound, "<message <body/>", MALFORMED),
        case("x11_tag_that_begins_with_a_digit", Bound, "<1/>", MALFORMED),
        case("x11_slash_in_a_tag", Bound, "<message / id='1'>", MALFORMED),
        case("x11_attribute_without_a_value", Bound, "<message id/>", MALFORMED),
        case("x11_attribute_without_quotes", Bound, "<message id=1/>", MALFORMED),
        case("x11_attribute_without_a_name", Bound, "<message ='1'/>", MALFORMED),
        case("x11_attributes_without_a_space", Bound, "<message id='1'type='chat'/>", MALFORMED),
        case("x11_attribute_with_two_equals", Bound, "<message id=='1'/>", MALFORMED),
        case("x11_angle_in_an_attribute", Bound, "<message id='<'/>", MALFORMED),
        case(
            "x11_attribute_with_mixed_quotes",
            Bound,
            "<message id='1\"></message><message id='2'/>'></message>",
            MALFORMED,
        ),
        case("x11_vertical_tab_as_space", Bound, "<message\u{B}id='1'/>", MALFORMED),
        case("x11_wide_space_as_space", Bound, "<message\u{3000}id='1'/>", MALFORMED),
    ]
}

fn sizes() -> Vec<Case> {
    let many = |count: usize| "<a/>".repeat(count);
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    // A request of so many bytes.
    let long = |bytes: usize| {
        let (start, end) = ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'>", "</ping></iq>");
        format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
    };
    vec![
        case("x04_element_33_before_sasl", Offered, format!("<auth>{}", many(32)), POLICY)
            .stream_only(UNFINISHED),
        case("x04_elements_in_the_clear", Clear, format!("<x>{}</x>", many(2_046)), POLICY),
        case(
            "x04_elements_inside_a_response",
            Challenged,
            format!("<response xmlns='{}'>{}</response>", ns::SASL, many(32)),
            POLICY,
        ),
        case("x04_element_4097_in_a_stanza", Bound, message(&many(4_095)), POLICY),
        case("x06_depth_17_before_sasl", Offered, deep(17), POLICY),
        case("x06_depth_129_in_a_stanza", Bound, message(&deep(127)), POLICY)
            .bosh(Terminate("bad-request")),
        case(
            "x06_depth_128_in_a_stanza_is_carried",
            Bound,
            format!("<message to='{MALLORY}'>{}</message>", deep(127)),
            Answer(|message| message.child(ns::CLIENT, "a").is_some()),
        ),
        case("x06_depth_without_end", Bound, "<a>".repeat(20_000), POLICY).stream_only(UNFINISHED),
        case("x06_depth_of_empty_elements", Offered, format!("{}<a/>", "<a>".repeat(16)), POLICY)
            .stream_only(UNFINISHED),
        case("x16_element_of_8193_bytes_before_sasl", Offered, long(8_193), POLICY),
        // What is read whole is refused for what it is (threat A09).
        case(
            "x16_element_of_8192_bytes_before_sasl",
            Offered,
            long(8_192),
            StreamError("not-authorized"),
        ),
        case("x16_element_of_262145_bytes", Bound, long(262_145), POLICY),
        case(
            "x16_element_of_262144_bytes",
            Bound,
            long(262_144),
            Answer(|iq| iq.attr("type") == Some("result")),
        ),
        case("x16_element_over_the_limit_before_its_end", Offered, &long(9_000)[..8_193], POLICY)
            .stream_only(UNFINISHED),
        case(
            "x16_header_without_end",
            Fresh,
            format!("<stream:stream to='{}", "a".repeat(8_200)),
            POLICY,
        )
        .bosh(Terminate("bad-request")),
        case("x16_space_in_a_tag_without_end", Offered, format!("<a{}", " ".repeat(8_200)), POLICY)
            .stream_only(UNFINISHED),
        case("x16_name_without_end", Offered, format!("<{}", "a".repeat(300)), POLICY)
            .stream_only(UNFINISHED),
        case("x16_comment_without_end", Offered, format!("<!--{}", "a".repeat(9_000)), RESTRICTED),
        case(
            "x16_cdata_without_end",
            Offered,
            format!("<a><![CDATA[{}", "a".repeat(8_200)),
            POLICY,
        )
        .stream_only(UNFINISHED),
        case("x16_declaration_without_end", Fresh, format!("<?xml {}", " ".repeat(8_200)), POLICY)
            .bosh(Terminate("bad-request")),
    ]
}

/// RFC 6120 11.5, 11.6: XML 1.0 in UTF-8, declared at most once, at the very start.
fn encodings() -> Vec<Case> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let header = stream("");
    let wide: Vec<u8> = header.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let encoding = StreamError("unsupported-encoding");
    let declared = |declaration: &str| format!("{declaration}{header}");
    vec![
        case("x12_utf16_with_a_mark", Fresh, [&[0xFF, 0xFE], &*utf16(&header)].concat(), encoding),
        case("x12_utf16_little_end_first", Encrypted, utf16(&header), encoding),
        case("x12_utf16_big_end_first", Fresh, wide, encoding),
        case("x12_utf32", Fresh, b"\0\0\xFE\xFF\0\0\0<".as_slice(), encoding),
        case(
            "x12_utf16_inside_a_stanza",
            Bound,
            [b"<message><body>", &*utf16("x<y"), b"</body></message>"].concat(),
            encoding,
        ),
        case("x12_mark_of_utf8", Fresh, declared("\u{FEFF}"), MALFORMED),
        case(
            "x12_declared_as_latin_1",
            Fresh,
            declared("<?xml version='1.0' encoding='ISO-8859-1'?>"),
            encoding,
        ),
        case(
            "x12_declared_as_nothing",
            Encrypted,
            declared("<?xml version='1.0' encoding=''?>"),
            encoding,
        ),
        case("x12_version_1_1", Fresh, declared("<?xml version='1.1'?>"), MALFORMED),
        case(
            "x12_declaration_without_a_version",
            Fresh,
            declared("<?xml encoding='UTF-8'?>"),
            MALFORMED,
        ),
        case("x12_declaration_without_quotes", Fresh, declared("<?xml version=1.0?>"), MALFORMED),
        case(
            "x12_declaration_in_another_order",
            Fresh,
            declared("<?xml encoding='UTF-8' version='1.0'?>"),
            MALFORMED,
        ),
        case(
            "x12_declaration_of_more",
            Fresh,
            declared("<?xml version='1.0' evil='1'?>"),
            MALFORMED,
        ),
        case("x12_declaration_after_a_space", Fresh, declared(" <?xml version='1.0'?>"), MALFORMED),
        case(
            "x12_second_declaration",
            Fresh,
            declared("<?xml version='1.0'?><?xml version='1.0'?>"),
            MALFORMED,
        ),
        case("x12_declaration_between_stanzas", Bound, "<?xml version='1.0'?>", MALFORMED),
        case("x12_declaration_inside_a_stanza", Bound, message("<?xml version='1.0'?>"), MALFORMED),
        case(
            "x12_declaration_and_nothing_of_a_header",
            Authenticated,
            "<?xml version='1.0'?>x",
            MALFORMED,
        )
        .stream_only(OWN_HEADER),
    ]
}
