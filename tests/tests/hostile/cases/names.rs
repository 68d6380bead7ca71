//! Attributes, prefixes and namespaces: X07, X08, X10.

use super::{OWN_HEADER, message, stream};
use crate::case::{
    Case, Expect,
    Expect::{Answer, StanzaError, StreamError},
    MALLORY,
    Stage::*,
    case,
};
use xmpp_core::ns;

const MALFORMED: Expect = StreamError("not-well-formed"); // RFC 6120 11.3
const POLICY: Expect = StreamError("policy-violation");
const BOUNCE: Expect = StanzaError("bad-request");

pub fn cases() -> Vec<Case> {
    [attributes(), prefixes(), namespaces(), streams_inside()].into_iter().flatten().collect()
}

fn attributes() -> Vec<Case> {
    let flood = |count: usize| (0..count).map(|n| format!(" a{n}=''")).collect::<String>();
    vec![
        case("x07_attribute_17_before_sasl", Offered, format!("<a{}/>", flood(17)), POLICY),
        case("x07_attribute_17_of_the_header", Fresh, stream(&flood(15)), POLICY)
            .bosh(Expect::Terminate("bad-request")),
        case("x07_attribute_65_of_a_stanza", Bound, format!("<message{}/>", flood(65)), POLICY)
            .bosh(Expect::Terminate("bad-request")),
        case(
            "x07_attribute_65_deep_inside",
            Bound,
            message(&format!("<a><b{}/></a>", flood(65))),
            POLICY,
        )
        .bosh(Expect::Terminate("bad-request")),
        case(
            "x07_attribute_64_is_carried",
            Bound,
            format!("<message to='{MALLORY}'><a{}/></message>", flood(64)),
            Answer(|message| {
                message.child(ns::CLIENT, "a").is_some_and(|a| a.attributes.len() == 64)
            }),
        ),
        case(
            "x07_duplicate_attribute",
            Bound,
            "<message id='1' to='nurse@capulet.lit' id='1'/>",
            MALFORMED,
        ),
        case(
            "x07_duplicate_attribute_by_two_prefixes",
            Bound,
            message("<x xmlns:p='urn:p' xmlns:q='urn:p' p:a='' q:a=''/>"),
            MALFORMED,
        ),
        case(
            "x07_duplicate_attribute_by_a_reference_in_its_namespace",
            Bound,
            message("<x xmlns:p='urn:p' xmlns:q='urn:&#112;' p:a='' q:a=''/>"),
            MALFORMED,
        ),
        case(
            "x07_duplicate_default_namespace",
            Bound,
            "<message xmlns='jabber:client' xmlns='jabber:client'/>",
            MALFORMED,
        ),
        case(
            "x07_duplicate_prefix",
            Bound,
            message("<x xmlns:p='urn:p' xmlns:p='urn:q'/>"),
            MALFORMED,
        ),
        case("x07_duplicate_language", Bound, "<message xml:lang='en' xml:lang='de'/>", MALFORMED),
        case(
            "x07_duplicate_recipient_of_the_header",
            Encrypted,
            stream(" to='montague.lit'"),
            MALFORMED,
        ),
        case(
            "x07_duplicate_mechanism",
            Offered,
            format!("<auth xmlns='{}' mechanism='PLAIN' mechanism='EXTERNAL'/>", ns::SASL),
            MALFORMED,
        ),
        // The recipient is the attribute without a namespace, and no other.
        case(
            "x07_recipient_in_a_namespace_is_none",
            Bound,
            "<iq type='get' id='1' p:to='nurse@capulet.lit' xmlns:p='urn:p'><ping xmlns='urn:xmpp:ping'/></iq>",
            Answer(|iq| iq.attr("id") == Some("1") && iq.attr("type") == Some("result")),
        ),
    ]
}

/// Namespaces in XML 1.0 3 and 4.
fn prefixes() -> Vec<Case> {
    let flood = |count: usize| (0..count).map(|n| format!(" xmlns:p{n}='u'")).collect::<String>();
    let long = format!(" xmlns:p='urn:{}'", "p".repeat(6_000));
    vec![
        case("x08_namespace_17_before_sasl", Offered, format!("<a{}/>", flood(17)), POLICY),
        case("x08_namespace_257_of_a_stanza", Bound, message(&"<a xmlns='u'/>".repeat(257)), POLICY),
        // What the header declares is repeated on stanzas that use it: a long one would be an amplifier.
        case("x08_long_namespace_on_the_header", Encrypted, stream(&long), POLICY)
            .stream_only(OWN_HEADER),
        case("x08_prefix_without_a_declaration", Bound, message("<p:a/>"), MALFORMED),
        case("x08_prefix_of_an_attribute_without_a_declaration", Bound, "<message p:a='1'/>", MALFORMED),
        case("x08_prefix_of_a_sibling", Bound, message("<a xmlns:p='urn:p'/><p:b/>"), MALFORMED),
        case("x08_prefix_of_the_header_without_a_declaration", Fresh, "<stream:stream xmlns='jabber:client'>", MALFORMED),
        case("x08_prefix_of_nothing", Bound, message("<a xmlns:p=''/>"), MALFORMED),
        case("x08_prefix_xml_for_something_else", Bound, message("<a xmlns:xml='urn:x'/>"), MALFORMED),
        case("x08_prefix_xmlns_declared", Bound, message("<a xmlns:xmlns='urn:x'/>"), MALFORMED),
        case("x08_prefix_xmlns_used", Bound, message("<xmlns:a/>"), MALFORMED),
        case(
            "x08_namespace_of_xml_by_another_prefix",
            Bound,
            message("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>"),
            MALFORMED,
        ),
        case("x08_namespace_of_xmlns_as_default", Bound, message("<a xmlns='http://www.w3.org/2000/xmlns/'/>"), MALFORMED),
        case("x08_prefix_that_is_empty", Bound, message("<:a/>"), MALFORMED),
        case("x08_prefix_without_a_name", Bound, message("<p: xmlns:p='urn:p'/>"), MALFORMED),
        case("x08_two_prefixes", Bound, message("<p:q:a xmlns:p='urn:p'/>"), MALFORMED),
        case("x08_end_tag_by_another_prefix", Bound, message("<p:a xmlns:p='u' xmlns:q='u'></q:a>"), MALFORMED),
        case("x08_declaration_that_begins_with_a_digit", Bound, message("<a xmlns:1='u'/>"), MALFORMED),
        // RFC 6120 4.8.5: the stanza itself has no prefix.
        case(
            "x08_prefix_on_a_stanza",
            Bound,
            "<p:message xmlns:p='jabber:client' to='nurse@capulet.lit'/>",
            StreamError("bad-namespace-prefix"),
        ),
        // RFC 6120 4.8.2, 4.9.3.10.
        case(
            "x08_header_of_another_namespace",
            Fresh,
            "<stream:stream to='capulet.lit' version='1.0' xmlns='jabber:client' xmlns:stream='urn:x'>",
            StreamError("invalid-namespace"),
        )
        .stream_only(OWN_HEADER),
        case(
            "x08_header_for_servers",
            Encrypted,
            stream("").replace("jabber:client", "jabber:server"),
            StreamError("invalid-namespace"),
        )
        .stream_only(OWN_HEADER),
    ]
}

/// A namespace is compared as a whole: no character in it separates anything.
fn namespaces() -> Vec<Case> {
    let inside = |ns: &str| message(&format!("<x xmlns='{ns}'/>"));
    vec![
        // No URI has them (RFC 3986 2), and some parsers join a namespace and a name by them.
        case("x10_line_feed_in_a_namespace", Bound, inside("urn:a&#10;jabber:client"), BOUNCE),
        case("x10_brace_in_a_namespace", Bound, inside("{jabber:client}message|"), BOUNCE),
        case("x10_form_feed_in_a_namespace", Bound, inside("urn:a&#12;b"), MALFORMED),
        case(
            "x10_namespace_with_a_space_is_another",
            Bound,
            "<message xmlns='jabber:client ' to='nurse@capulet.lit'><body>x</body></message>",
            StreamError("unsupported-stanza-type"),
        ),
        case(
            "x10_namespace_in_capitals_is_another",
            Offered,
            format!("<auth xmlns='{}' mechanism='PLAIN'/>", ns::SASL.to_uppercase()),
            StreamError("unsupported-stanza-type"),
        ),
        case(
            "x10_namespace_by_reference_is_the_same",
            Bound,
            "<iq xmlns='jabber:clien&#116;' type='get' id='1'><ping xmlns='urn:xmpp:pin&#103;'/></iq>",
            Answer(|iq| iq.attr("id") == Some("1") && iq.attr("type") == Some("result")),
        ),
        case(
            "x10_children_without_a_namespace_stay_without",
            Bound,
            format!("<message to='{MALLORY}'><body xmlns=''>x</body></message>"),
            Answer(|message| message.child("", "body").is_some()),
        ),
    ]
}

/// Some clients take what is of the streams namespace for their own stream's (CVE-2022-20917): it is never carried.
fn streams_inside() -> Vec<Case> {
    vec![
        case(
            "x10_stream_inside_a_message",
            Bound,
            "<message to='nurse@capulet.lit'><stream:stream><iq/></stream:stream></message>",
            BOUNCE,
        ),
        case(
            "x10_stream_error_deep_inside",
            Bound,
            message("<a><b><stream:error/></b></a>"),
            BOUNCE,
        ),
        case(
            "x10_stream_by_another_prefix",
            Bound,
            "<message to='nurse@capulet.lit'><s:features xmlns:s='http://etherx.jabber.org/streams'/></message>",
            BOUNCE,
        ),
        case(
            "x10_stream_without_a_prefix",
            Bound,
            "<message to='nurse@capulet.lit'><stream xmlns='http://etherx.jabber.org/streams'/></message>",
            BOUNCE,
        ),
        case(
            "x10_stream_by_a_reference",
            Bound,
            "<message to='nurse@capulet.lit'><s xmlns='http://etherx.jabber.org/stream&#115;'/></message>",
            BOUNCE,
        ),
        case(
            "x10_stream_inside_an_iq",
            Bound,
            "<iq type='set' id='1' to='nurse@capulet.lit/garden'><stream:stream/></iq>",
            BOUNCE,
        ),
        case("x10_stream_inside_a_presence", Bound, "<presence><stream:error/></presence>", BOUNCE),
    ]
}
