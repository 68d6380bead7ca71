//! SASL and resource binding.

use super::*;
use xmpp_core::sasl::MechanismName;

#[test]
fn a_login_from_header_to_bound() {
    in_any_pieces(|| {
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("PLAIN", PLAIN));
        let Effect::Authenticate(Ask::Begin { mechanism, account: asked, first }) = talk.effect()
        else {
            panic!("another effect")
        };
        assert_eq!((mechanism, asked), (MechanismName::Plain, account(JULIET)));
        assert_eq!(first, b"\0juliet\0r0m30myr0m30");
        talk.answer("juliet", b"");
        talk.says(&format!("<success xmlns='{}'></success>", ns::SASL));
        talk.hear(&header("capulet.lit"));
        talk.says(&format!(
            "{}<stream:features><bind xmlns='{}'/><session xmlns='{}'><optional/></session><sm xmlns='urn:xmpp:sm:3'/>\
         <feature xmlns='urn:AfterAuth:capulet.lit'/><limits xmlns='urn:xmpp:stream-limits:0'>\
         <max-bytes>262144</max-bytes><idle-seconds>300</idle-seconds></limits></stream:features>",
            answer_header("capulet.lit", None),
            ns::BIND,
            ns::SESSION
        ));
        talk.hear(&bind(""));
        assert_eq!(talk.claim(), (JULIET.into(), None));
        talk.claimed(Ok(BALCONY));
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert!(said.contains(&format!("<bind xmlns='{}'><jid>{BALCONY}</jid></bind>", ns::BIND)));
        assert!(said.contains("type='result'") && said.contains("id='b'"), "{said}");
        talk.hear("<presence/>");
        assert!(talk.dispatched().head.to.is_none());
    });
}

#[test]
fn rfc6120_6_4_3_challenges_and_responses_go_to_the_exchange_in_turn() {
    let mut talk = Talk::secure().opened();
    talk.hear(&auth("SCRAM-SHA-1", "biwsbj1qdWxpZXQscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw=="));
    assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
    let challenge = Response::Proceed(b"r=1".to_vec());
    talk.event(Event::Authenticated(Answer::Responded(exchange(), challenge)));
    talk.says(&format!("<challenge xmlns='{}'>cj0x</challenge>", ns::SASL));
    talk.hear(&format!("<response xmlns='{}'>Yz1iaXdz</response>", ns::SASL));
    let Effect::Authenticate(Ask::Continue { message, .. }) = talk.effect() else {
        panic!("another effect")
    };
    assert_eq!(message, b"c=biws");
    talk.answer("juliet", b"v=1");
    talk.says(&format!("<success xmlns='{}'>dj0x</success>", ns::SASL));
}

#[test]
fn rfc6120_6_4_2_without_initial_response_an_empty_challenge_asks_for_it() {
    let mut talk = Talk::secure().opened();
    talk.hear(&auth("PLAIN", ""));
    talk.says(&format!("<challenge xmlns='{}'/>", ns::SASL));
    talk.hear(&format!("<response xmlns='{}'>{PLAIN}</response>", ns::SASL));
    assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
}

#[test]
fn t02_authentication_in_the_clear_is_refused_before_anything_is_read() {
    in_any_pieces(|| {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "NONSENSE"] {
            let mut talk = Talk::clear().opened();
            talk.hear(&auth(mechanism, PLAIN));
            talk.says(&failure("encryption-required"));
        }
    });
}

#[test]
fn a02_what_is_not_offered_is_not_accepted() {
    in_any_pieces(|| {
        let known = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];
        for offered in known {
            let mut settings = Settings::new("capulet.lit");
            settings.mechanisms = vec![MechanismName::from_name(offered).expect("known")];
            let unknown = [
                "",
                "plain",
                "ANONYMOUS",
                "EXTERNAL",
                "DIGEST-MD5",
                "SCRAM-SHA-256-PLUS",
                "X-OAUTH2",
            ];
            for other in known.into_iter().chain(unknown).filter(|other| *other != offered) {
                let mut talk = Talk::new(settings.clone(), true, false).opened();
                talk.hear(&auth(other, PLAIN));
                talk.says(&failure("invalid-mechanism"));
            }
        }
        let mut talk = Talk::secure().opened();
        talk.hear(&format!("<auth xmlns='{}'>{PLAIN}</auth>", ns::SASL));
        talk.says(&failure("invalid-mechanism"));
    });
}

#[test]
fn a01_another_authzid_is_refused() {
    in_any_pieces(|| {
        // admin@capulet.lit NUL juliet NUL password
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("PLAIN", "YWRtaW5AY2FwdWxldC5saXQAanVsaWV0AHIwbTMwbXlyMG0zMA=="));
        talk.says(&failure("invalid-authzid"));
    });
}

#[test]
fn a09_no_stanza_is_processed_before_authentication() {
    in_any_pieces(|| {
        let stanzas = [
            "<message/>",
            "<message to='romeo@montague.lit'><body>hi</body></message>",
            "<message from='nurse@capulet.lit'/>",
            "<message type='error'/>",
            "<message to='@@@'/>",
            "<presence/>",
            "<presence type='unavailable'/>",
            "<presence type='subscribe' to='romeo@montague.lit'/>",
            "<presence type='nonsense'/>",
            "<iq/>",
            "<iq type='get' id='1'/>",
            "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='set' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>",
            "<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            "<iq type='result' id='1'/>",
            "<iq type='error' id='1'/>",
        ];
        for stanza in stanzas {
            let mut during_sasl = Talk::secure().opened();
            during_sasl.hear(&auth("SCRAM-SHA-1", ""));
            assert!(during_sasl.poll().is_none());
            during_sasl.said();
            for mut talk in [Talk::clear().opened(), Talk::secure().opened(), during_sasl] {
                talk.hear(stanza);
                talk.fails("not-authorized");
            }
        }
    });
}

#[test]
fn rfc6120_6_5_5_data_must_be_strict_base64() {
    in_any_pieces(|| {
        let bad =
            ["A", "AA", "AA=", "AB==", " AA==", "AA==\n", "A A=", "A-_=", "====", "==", "AA==AA=="];
        for data in bad {
            let mut talk = Talk::secure().opened();
            talk.hear(&auth("PLAIN", data));
            talk.says(&failure("incorrect-encoding"));
            talk.hear(&auth("PLAIN", ""));
            assert!(talk.poll().is_none());
            talk.said();
            talk.hear(&format!("<response xmlns='{}'>{data}</response>", ns::SASL));
            talk.says(&failure("incorrect-encoding"));
        }
        for data in ["<x/>", "AA==<x/>", "="] {
            let mut talk = Talk::secure().opened();
            talk.hear(&auth("PLAIN", data));
            talk.says(&failure("malformed-request"));
        }
    });
}

#[test]
fn rfc6120_6_4_5_what_is_out_of_turn_fails_and_may_be_tried_again() {
    in_any_pieces(|| {
        let abort = format!("<abort xmlns='{}'/>", ns::SASL);
        let response = format!("<response xmlns='{}'>AA==</response>", ns::SASL);
        let mut talk = Talk::secure().opened();
        talk.hear(&response);
        talk.says(&failure("malformed-request"));
        talk.hear(&abort);
        talk.says(&failure("aborted"));
        talk.hear(&auth("SCRAM-SHA-256", ""));
        talk.says(&format!("<challenge xmlns='{}'/>", ns::SASL));
        talk.hear(&abort);
        talk.says(&failure("aborted"));
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
    });
}

/// RFC 6120 6.4.2.
#[test]
fn rfc6120_6_4_2_another_auth_discards_the_exchange_under_way() {
    in_any_pieces(|| {
        let challenge = || {
            let challenge = Response::Proceed(b"r=1".to_vec());
            Event::Authenticated(Answer::Responded(exchange(), challenge))
        };
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("SCRAM-SHA-1", "biwsbj1qdWxpZXQscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw=="));
        assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
        talk.event(challenge());
        talk.said();
        talk.hear(&auth("PLAIN", PLAIN));
        let Effect::Authenticate(Ask::Begin { mechanism, .. }) = talk.effect() else {
            panic!("another effect")
        };
        assert_eq!(mechanism, MechanismName::Plain);
        talk.answer("juliet", b"");
        talk.says(&format!("<success xmlns='{}'></success>", ns::SASL));
    });
}

/// RFC 6120 6.4.5: who never finishes an exchange could begin them for ever.
#[test]
fn a08_an_exchange_that_was_discarded_was_a_try() {
    let mut talk = Talk::secure().opened();
    for _ in 0..6 {
        talk.hear(&auth("SCRAM-SHA-256", ""));
        talk.says(&format!("<challenge xmlns='{}'/>", ns::SASL));
    }
    talk.hear(&auth("SCRAM-SHA-256", ""));
    talk.fails("policy-violation");
}

#[test]
fn a08_the_sixth_failed_login_ends_the_stream() {
    let mut talk = Talk::secure().opened();
    for _ in 0..5 {
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.event(Event::Authenticated(Answer::Refused(Failure::NotAuthorized)));
        talk.says(&failure("not-authorized"));
    }
    talk.hear(&auth("PLAIN", PLAIN));
    assert!(matches!(talk.effect(), Effect::Authenticate(_)));
    talk.event(Event::Authenticated(Answer::Refused(Failure::NotAuthorized)));
    talk.fails("policy-violation");
}

/// RFC 6120 6.4.6: but what was said in the clear proves nothing.
#[test]
fn rfc6120_6_4_6_who_an_encrypted_header_said_it_is_must_log_in() {
    let claim = header("capulet.lit").replace("to=", "from='nurse@capulet.lit' to=");
    let mut settings = Settings::new("capulet.lit");
    settings.require_tls = false;
    for secure in [true, false] {
        let mut talk = Talk::new(settings.clone(), secure, false);
        talk.hear(&claim);
        assert!(talk.poll().is_none());
        talk.said();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        assert_eq!(talk.secure, secure);
        if secure {
            talk.fails("invalid-from");
        } else {
            talk.says(&format!("<success xmlns='{}'></success>", ns::SASL));
        }
    }
}

#[test]
fn rfc6120_4_9_3_9_the_header_after_authentication_is_from_who_authenticated() {
    for (from, good) in [("nurse@capulet.lit", false), (JULIET, true)] {
        let mut talk = Talk::secure().opened();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        talk.said();
        talk.hear(&header("capulet.lit").replace("to=", &format!("from='{from}' to=")));
        if good {
            assert!(talk.poll().is_none());
            assert!(talk.said().starts_with(&answer_header("capulet.lit", Some(JULIET))));
        } else {
            talk.fails("invalid-from");
        }
    }
}

#[test]
fn rfc6120_6_4_6_after_authentication_there_is_no_other() {
    for mut talk in [Talk::secure().authenticated(), Talk::secure().bound()] {
        talk.hear(&auth("PLAIN", PLAIN));
        talk.fails("unsupported-stanza-type");
    }
}

#[test]
fn nothing_is_read_while_an_answer_is_under_way() {
    let mut talk = Talk::secure().opened();
    talk.hear(&format!("{}{}", auth("PLAIN", PLAIN), header("capulet.lit")));
    assert!(matches!(talk.effect(), Effect::Authenticate(_)));
    assert!(!talk.session.wants_input());
    talk.says("");
    talk.answer("juliet", b"");
    assert!(talk.poll().is_none());
    let said = talk.said();
    let success = format!("<success xmlns='{}'></success>", ns::SASL);
    assert!(
        said.starts_with(&format!("{success}{}", answer_header("capulet.lit", None))),
        "{said}"
    );
}

#[test]
fn rfc6120_7_6_and_7_7_the_client_asks_for_a_resource_or_leaves_it_to_the_server() {
    let cases = [
        ("<resource>balcony</resource>", Some("balcony")),
        ("<resource>a&amp;b</resource>", Some("a&b")),
        ("<resource><![CDATA[a<b]]></resource>", Some("a<b")),
        ("<resource>🥰</resource>", Some("🥰")),
        ("<resource/>", None),
        ("<resource></resource>", None),
        ("<other xmlns='urn:example'/>", None),
    ];
    for (wish, expected) in cases {
        let mut talk = Talk::secure().authenticated();
        talk.hear(&bind(wish));
        assert_eq!(talk.claim(), (JULIET.into(), expected.map(str::to_owned)), "{wish}");
    }
    let mut talk = Talk::secure().authenticated();
    talk.hear(&bind("").replace("'set'", "'get'"));
    assert!(talk.poll().is_none());
    assert!(talk.said().contains("<bad-request "));
}

#[test]
fn rfc6120_4_8_5_a_request_to_bind_may_use_any_prefix() {
    let mut talk = Talk::secure().authenticated();
    talk.hear(&format!(
        "<iq type='set' id='b' xmlns:b='{}'><b:bind><b:resource>balcony</b:resource></b:bind></iq>",
        ns::BIND
    ));
    assert_eq!(talk.claim().1.as_deref(), Some("balcony"));
}

#[test]
fn rfc6120_7_7_3_a_claim_that_fails_may_be_tried_again_but_not_for_ever() {
    let mut talk = Talk::secure().authenticated();
    let outcomes = [
        (ClaimError::BadResource, "bad-request"),
        (ClaimError::TooMany, "resource-constraint"),
        (ClaimError::Failed, "internal-server-error"),
    ];
    for (error, condition) in outcomes.into_iter().cycle().take(5) {
        talk.hear(&bind(""));
        talk.claim();
        talk.claimed(Err(error));
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert!(said.contains(&format!("<{condition} ")) && said.contains("id='b'"), "{said}");
    }
    talk.hear(&bind(""));
    talk.claim();
    talk.claimed(Err(ClaimError::TooMany));
    talk.fails("policy-violation"); // RFC 6120 7.7.3
}

#[test]
fn an_account_deleted_meanwhile_is_not_bound() {
    let mut talk = Talk::secure().authenticated();
    talk.hear(&bind(""));
    talk.claim();
    talk.claimed(Err(ClaimError::NoAccount));
    talk.fails("not-authorized");
}

#[test]
fn rfc6120_7_1_before_a_resource_is_bound_nothing_else_goes() {
    in_any_pieces(|| {
        let cases = [
            ("<presence/>".into(), "not-authorized"),
            ("<message to='romeo@montague.lit'/>".into(), "not-authorized"),
            ("<message to='@@@'/>".into(), "not-authorized"),
            (
                "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>".into(),
                "not-authorized",
            ),
            (bind("").replace("<iq", "<iq to='romeo@montague.lit'"), "not-authorized"),
            (bind("").replace("<iq", "<iq from='romeo@montague.lit'"), "invalid-from"),
        ];
        for (stanza, condition) in cases {
            let mut talk = Talk::secure().authenticated();
            talk.hear(&stanza);
            talk.fails(condition);
        }
        for to in ["capulet.lit", JULIET] {
            let mut talk = Talk::secure().authenticated();
            talk.hear(&bind("").replace("<iq", &format!("<iq to='{to}'")));
            talk.claim();
        }
    });
}
