//! From the first byte to the features.

use super::*;

#[test]
fn rfc6120_5_3_1_the_features_in_the_clear_are_starttls_alone() {
    let mut talk = Talk::clear();
    talk.hear(&header("capulet.lit"));
    talk.says(&format!("{}{TLS_ONLY}", answer_header("capulet.lit", None)));
}

#[test]
fn rfc6120_6_3_3_the_features_of_a_secure_stream_are_the_mechanisms_in_order() {
    let mut settings = Settings::new("capulet.lit");
    settings.mechanisms.rotate_left(1);
    let names: Vec<_> = settings.mechanisms.iter().map(|name| name.as_str()).collect();
    let mut talk = Talk::new(settings, true, false);
    talk.hear(&header("capulet.lit"));
    let mechanisms: String =
        names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    talk.says(&format!(
        "{}<stream:features><mechanisms xmlns='{}'>{mechanisms}</mechanisms>\
         <feature xmlns='urn:BeforeAuth:capulet.lit'/><limits xmlns='urn:xmpp:stream-limits:0'>\
         <max-bytes>8192</max-bytes><idle-seconds>30</idle-seconds></limits></stream:features>",
        answer_header("capulet.lit", None),
        ns::SASL
    ));
}

#[test]
fn rfc6120_5_3_1_where_tls_is_optional_both_are_offered() {
    let mut settings = Settings::new("capulet.lit");
    settings.require_tls = false;
    let mut talk = Talk::new(settings, false, false);
    talk.hear(&header("capulet.lit"));
    assert!(talk.poll().is_none());
    let said = talk.said();
    assert!(said.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{said}");
    assert!(said.contains("<mechanism>PLAIN</mechanism>"), "{said}");
}

#[test]
fn rfc6120_4_7_2_the_answer_is_to_the_bare_address_that_the_client_says_it_has() {
    let mut talk = Talk::clear();
    let from = "from='Juliet@capulet.lit/balcony' to='Capulet.lit'";
    talk.hear(&header("capulet.lit").replace("to='capulet.lit'", from));
    talk.says(&format!("{}{TLS_ONLY}", answer_header("capulet.lit", Some(JULIET))));
}

/// RFC 6120 4.9.1.2, 4.9.1.3: whatever is wrong with the header, the error comes on a stream.
#[test]
fn rfc6120_4_9_1_2_a_wrong_header_gets_a_header_an_error_and_a_footer() {
    let good = header("capulet.lit");
    let from = |from: &str| good.replace("to=", &format!("from='{from}' to="));
    let cases = [
        (header("verona.lit"), "host-unknown"),
        (good.replace(" to='capulet.lit'", ""), "host-unknown"),
        (header(""), "improper-addressing"),
        (header("juliet@capulet.lit"), "improper-addressing"),
        (header("capulet.lit/balcony"), "improper-addressing"),
        (header("capulet .lit"), "improper-addressing"),
        (from("@"), "improper-addressing"),
        (good.replace(" version='1.0'>", ">"), "unsupported-version"),
        (good.replace("'1.0'>", "'0.9'>"), "unsupported-version"),
        (good.replace("'1.0'>", "'one'>"), "unsupported-version"),
        (good.replace("etherx", "wrong"), "invalid-namespace"),
        (good.replace("jabber:client", "jabber:server"), "invalid-namespace"),
        (good.replace("stream:stream ", "stream:flow "), "bad-format"),
        (good.replace("<stream:", "<flow:"), "not-well-formed"),
        ("GET / HTTP/1.1\r\nHost: capulet.lit\r\n\r\n".into(), "not-well-formed"),
        ("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>".into(), "restricted-xml"),
    ];
    for (sent, condition) in cases {
        in_any_pieces(|| {
            let mut talk = Talk::secure();
            talk.hear(&sent);
            let said = String::from_utf8_lossy(talk.session.output()).into_owned();
            assert!(said.starts_with("<?xml version='1.0'?><stream:stream"), "{sent}: {said}");
            assert!(said.contains(" from='capulet.lit'"), "{sent}: {said}");
            talk.fails(condition);
        });
    }
}

#[test]
fn rfc6120_4_7_5_higher_versions_are_answered_with_ours() {
    for version in ["1.0", "1.1", "01.0", "2.13"] {
        let mut talk = Talk::clear();
        talk.hear(
            &header("capulet.lit").replace("version='1.0'>", &format!("version='{version}'>")),
        );
        talk.says(&format!("{}{TLS_ONLY}", answer_header("capulet.lit", None)));
    }
}

#[test]
fn t01_nothing_sent_ahead_in_the_clear_is_read_after_tls() {
    let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
    for ahead in [" ", "\n", "<", "<auth", "<presence/>", "<auth xmlns='a'>AA==</auth><iq/>"] {
        let mut talk = Talk::clear().opened();
        talk.hear(&format!("{starttls}{ahead}"));
        talk.fails("policy-violation");
    }
    // in two segments it may come too late to be seen: then it is TLS's to refuse, and never the session's to read
    let mut talk = Talk::clear().opened();
    talk.hear(&starttls);
    assert!(matches!(talk.effect(), Effect::StartTls));
    assert_eq!(talk.said(), format!("<proceed xmlns='{}'/>", ns::TLS));
    talk.hear("<auth xmlns='a'>AA==</auth>");
    talk.event(Event::Secured);
    talk.says("");
    talk.hear(&header("capulet.lit"));
    talk.says_after_header();
}

#[test]
fn rfc6120_5_4_3_3_starttls_begins_a_new_stream() {
    let mut talk = Talk::clear();
    talk.hear(&header("capulet.lit").replace("to=", "from='romeo@montague.lit' to="));
    assert!(talk.poll().is_none());
    talk.said();
    talk.hear(&format!("<starttls xmlns='{}'/>", ns::TLS));
    assert!(matches!(talk.effect(), Effect::StartTls));
    assert!(!talk.session.wants_input());
    talk.said();
    talk.event(Event::Secured);
    talk.hear(&header("capulet.lit"));
    assert!(talk.poll().is_none());
    // RFC 6120 5.4.3.3: the old `from` is forgotten, and STARTTLS is not offered again
    let said = talk.said();
    assert!(said.starts_with(&answer_header("capulet.lit", None)), "{said}");
    assert!(!said.contains("starttls") && said.contains("SCRAM-SHA-256"), "{said}");
}

#[test]
fn rfc6120_5_4_2_2_starttls_out_of_place_ends_the_stream() {
    in_any_pieces(|| {
        let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
        let expected = format!("<failure xmlns='{}'/></stream:stream>", ns::TLS);
        let mut authenticated = Talk::secure().authenticated();
        authenticated.hear(&starttls);
        let mut bound = Talk::secure().bound();
        bound.hear(&starttls);
        let mut secure = Talk::secure().opened();
        secure.hear(&starttls);
        let mut during_sasl = Talk::secure().opened();
        during_sasl.hear(&auth("SCRAM-SHA-1", ""));
        assert!(during_sasl.poll().is_none());
        during_sasl.said();
        during_sasl.hear(&starttls);
        let mut malformed = Talk::clear().opened();
        malformed.hear(&format!("<starttls xmlns='{}'><required/></starttls>", ns::TLS));
        for mut talk in [secure, during_sasl, malformed, authenticated, bound] {
            assert_eq!(talk.closed().why, "starttls out of place");
            assert_eq!(talk.said(), expected);
        }
    });
}

#[test]
fn x13_a_second_header_ends_the_stream() {
    in_any_pieces(|| {
        for mut talk in
            [Talk::clear().opened(), Talk::secure().authenticated(), Talk::secure().bound()]
        {
            talk.hear(&header("capulet.lit"));
            talk.fails("not-well-formed"); // its XML declaration
        }
        let again = header("capulet.lit");
        let (_, again) = again.split_once("?>").expect("a declaration");
        for mut talk in
            [Talk::clear().opened(), Talk::secure().authenticated(), Talk::secure().bound()]
        {
            talk.hear(&format!("{again}</stream:stream>"));
            talk.fails("unsupported-stanza-type");
        }
    });
}

#[test]
fn x13_unknown_elements_and_text_end_the_stream() {
    in_any_pieces(|| {
        let elements = [
            "<foo/>",
            "<foo xmlns='urn:example'/>",
            "<message xmlns='urn:example'/>",
            "<stream:features/>",
            "<handshake xmlns='jabber:component:accept'/>",
        ];
        for element in elements {
            for mut talk in
                [Talk::clear().opened(), Talk::secure().authenticated(), Talk::secure().bound()]
            {
                talk.hear(element);
                talk.fails("unsupported-stanza-type");
            }
        }
        for mut talk in [Talk::clear().opened(), Talk::secure().bound()] {
            talk.hear("text");
            assert!(matches!(talk.closed().why, "bad-format" | "not-well-formed"));
        }
    });
}

#[test]
fn x15_compression_is_refused() {
    in_any_pieces(|| {
        let compress = "<compress xmlns='http://jabber.org/protocol/compress'>\
                    <method>zlib</method></compress>";
        for mut talk in [Talk::secure().opened(), Talk::secure().bound()] {
            talk.hear(compress);
            talk.fails("unsupported-stanza-type");
        }
    });
}

#[test]
fn x14_the_domain_stays_over_the_restart_after_sasl() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        talk.said();
        talk.hear(&header("montague.lit"));
        talk.fails("not-authorized");
    });
}

/// RFC 6120 5.4.3.3: anybody may have changed it on the way.
#[test]
fn rfc6120_5_4_3_3_the_domain_that_was_asked_for_in_the_clear_is_forgotten() {
    let mut talk = Talk::clear().opened();
    talk.hear(&format!("<starttls xmlns='{}'/>", ns::TLS));
    assert!(matches!(talk.effect(), Effect::StartTls));
    talk.said();
    talk.event(Event::Secured);
    talk.hear(&header("montague.lit"));
    assert!(talk.poll().is_none());
    assert!(talk.said().starts_with(&answer_header("montague.lit", None)));
    talk.hear(&auth("PLAIN", PLAIN));
    let Effect::Authenticate(Ask::Begin { account, .. }) = talk.effect() else {
        panic!("another effect")
    };
    assert_eq!(account.as_str(), "juliet@montague.lit");
}

#[test]
fn rfc6120_4_4_a_footer_is_answered_by_a_footer() {
    in_any_pieces(|| {
        for mut talk in
            [Talk::clear().opened(), Talk::secure().authenticated(), Talk::secure().bound()]
        {
            talk.hear("</stream:stream>");
            assert_eq!(talk.closed(), Closed::finished(Side::Client, "stream closed"));
            assert_eq!(talk.said(), "</stream:stream>");
        }
    });
}

#[test]
fn a_client_that_goes_without_a_word_is_not_spoken_to() {
    for event in [Event::Ended, Event::Lost] {
        let mut talk = Talk::secure().bound();
        talk.event(event);
        assert_eq!(talk.closed().by, Side::Client);
        talk.says("");
    }
}

#[test]
fn rfc6120_4_9_3_20_at_shutdown_every_stream_is_told_so() {
    for mut talk in [Talk::clear(), Talk::clear().opened(), Talk::secure().bound()] {
        talk.event(Event::Shutdown);
        talk.fails("system-shutdown");
    }
}
