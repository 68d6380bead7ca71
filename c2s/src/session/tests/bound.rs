//! Stanzas, both ways.

use super::*;
use bytes::Bytes;
use router::Mail;
use xmpp_core::{
    StreamError,
    error::StreamCondition,
    stanza::{Kind, MessageType},
};

#[test]
fn rfc6120_10_1_stanzas_are_dispatched_one_at_a_time_and_in_order() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().bound();
        talk.hear(
            "<message to='romeo@montague.lit' id='1'/> <message id='2'/><presence id='3'/><iq ",
        );
        for id in ["1", "2", "3"] {
            assert_eq!(talk.dispatched().head.id.as_deref(), Some(id));
        }
        talk.says("");
    });
}

#[test]
fn p01_a_client_speaks_for_itself_only() {
    in_any_pieces(|| {
        for from in [JULIET, BALCONY, "JULIET@capulet.lit", "juliet@capulet.lit/chamber"] {
            let mut talk = Talk::secure().bound();
            talk.hear(&format!("<message from='{from}' to='romeo@montague.lit'/>"));
            talk.dispatched();
        }
        let forged = [
            "romeo@montague.lit",
            "romeo@montague.lit/orchard",
            "juliet@montague.lit",
            "juliet@capulet.lit.montague.lit",
            "capulet.lit",
            "capulet.lit/balcony",
            "nurse@capulet.lit",
        ];
        for from in forged {
            for stanza in ["<message", "<presence", "<iq type='result' id='1'"] {
                let mut talk = Talk::secure().bound();
                talk.hear(&format!("{stanza} from='{from}' to='romeo@montague.lit'/>"));
                talk.fails("invalid-from");
            }
        }
    });
}

#[test]
fn rfc6120_8_3_1_a_faulty_stanza_gets_an_error_and_the_stream_goes_on() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().bound();
        talk.hear("<message to='@@@' id='1'><body>hi</body></message>");
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert!(said.contains("<jid-malformed ") && said.contains("id='1'"), "{said}");
        talk.hear("<iq type='get' id='2'/>");
        assert!(talk.poll().is_none());
        assert!(talk.said().contains("<bad-request "));
        talk.hear("<presence/>");
        talk.dispatched();
    });
}

/// RFC 6120 8.1.1.1: what the server makes itself is for the full address, whatever the client called itself.
#[test]
fn rfc6120_8_1_1_1_an_answer_is_to_the_full_address() {
    in_any_pieces(|| {
        for from in [String::new(), format!(" from='{JULIET}'"), format!(" from='{BALCONY}'")] {
            for faulty in [
                format!("<message to='@' id='1'{from}/>"),
                format!("<iq type='get' id='1'{from}/>"),
                format!("<presence type='nonsense' id='1'{from}/>"),
                bind("").replace("<iq", &format!("<iq{from}")),
            ] {
                let mut talk = Talk::secure().bound();
                talk.hear(&faulty);
                assert!(talk.poll().is_none());
                let said = talk.said();
                assert!(said.contains(&format!(" to='{BALCONY}' ")), "{faulty}: {said}");
                assert!(said.contains("type='error'"), "{faulty}: {said}");
            }
        }
    });
}

/// RFC 6120 4.8.2: the style without a default namespace.
#[test]
fn rfc6120_4_8_2_stanzas_may_name_their_namespace_one_by_one() {
    in_any_pieces(|| {
        let header =
            "<stream xmlns='http://etherx.jabber.org/streams' to='capulet.lit' version='1.0'>";
        let mut talk = Talk::secure();
        talk.hear(header);
        talk.says_after_header();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        talk.said();
        talk.hear(header);
        talk.says_after_header();
        talk.hear(&bind("").replace("<iq", "<iq xmlns='jabber:client'"));
        talk.claim();
        talk.claimed(Ok(BALCONY));
        talk.said();
        talk.hear("<message xmlns='jabber:client' id='1'><body>hi</body></message>");
        let message = talk.dispatched();
        assert!(message.child(ns::CLIENT, "body").is_some());
        talk.hear("<message><body>what namespace is this?</body></message>");
        talk.fails("unsupported-stanza-type");
    });
}

#[test]
fn rfc6120_7_6_2_2_a_second_resource_is_not_allowed() {
    for to in ["", " to='capulet.lit'", " to='juliet@capulet.lit'"] {
        let mut talk = Talk::secure().bound();
        talk.hear(&bind("<resource>chamber</resource>").replace("<iq", &format!("<iq{to}")));
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert!(said.contains("<not-allowed ") && said.contains("id='b'"), "{said}");
    }
    // to somebody else it is nobody's business here
    let mut talk = Talk::secure().bound();
    talk.hear(&bind("").replace("<iq", "<iq to='romeo@montague.lit/orchard'"));
    talk.dispatched();
}

#[test]
fn rfc6120_4_7_4_stanzas_are_in_the_language_of_the_stream_unless_they_say_otherwise() {
    for (header_lang, stanza_lang, expected) in [
        ("it", "", Some("it")),
        ("it", " xml:lang='de'", Some("de")),
        ("not a language!", "", None),
        ("", "", None),
    ] {
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        talk.said();
        let lang = format!("xml:lang='{header_lang}' to=");
        talk.hear(&header("capulet.lit").replace("to=", &lang));
        talk.says_after_header();
        talk.hear(&bind(""));
        talk.claim();
        talk.claimed(Ok(BALCONY));
        talk.hear(&format!("<message{stanza_lang}/>"));
        assert_eq!(talk.dispatched().head.lang.as_deref(), expected);
    }
}

#[test]
fn xep0352_4_2_the_client_s_state_is_told_in_its_place_among_stanzas() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().bound();
        talk.hear(
            "<presence id='1'/><inactive xmlns='urn:xmpp:csi:0'/>\
             <active xmlns='urn:xmpp:csi:0'></active><presence id='2'/>",
        );
        assert_eq!(talk.dispatched().head.id.as_deref(), Some("1"));
        assert!(matches!(talk.effect(), Effect::Active(false)));
        assert!(matches!(talk.effect(), Effect::Active(true)));
        assert_eq!(talk.dispatched().head.id.as_deref(), Some("2"));
        talk.says("");
        talk.hear("<idle xmlns='urn:xmpp:csi:0'/>");
        talk.fails("unsupported-stanza-type");
    });
}

#[test]
fn xep0352_4_2_there_is_no_state_before_there_is_a_session() {
    let mut talk = Talk::secure().authenticated();
    talk.hear("<inactive xmlns='urn:xmpp:csi:0'/>");
    talk.fails("unsupported-stanza-type");
}

#[test]
fn mail_is_written_in_order() {
    let mut talk = Talk::secure().bound();
    for id in ["1", "2"] {
        let message = Stanza::new(Kind::Message(MessageType::Chat), Bytes::new())
            .to(jid(BALCONY))
            .from(jid("romeo@montague.lit/orchard"))
            .id(id);
        talk.event(Event::Mail(Mail::Letter(message.into())));
    }
    assert!(talk.poll().is_none());
    let said = talk.said();
    assert!(said.find("id='1'").expect("the first") < said.find("id='2'").expect("the second"));
    assert_eq!(said.matches("<message ").count(), 2, "{said}");
}

#[test]
fn the_router_ends_a_session_with_an_error() {
    let mut talk = Talk::secure().bound();
    let conflict = StreamError::new(StreamCondition::Conflict);
    talk.event(Event::Mail(Mail::Close(conflict)));
    talk.fails("conflict");
}

#[test]
fn no_mail_is_taken_after_the_end() {
    let mut talk = Talk::secure().bound();
    assert!(talk.session.has_room());
    talk.hear("</stream:stream>");
    talk.closed();
    assert!(!talk.session.has_room() && !talk.session.wants_input());
}
