//! Every stream error of RFC 6120 4.9.3 and every SASL failure of 6.5: what brings it about, or why this server never
//! says it.

use super::*;
use crate::session::tests::Cause::{Never, Sent};
use router::Mail;
use xmpp_core::{StreamError, error::StreamCondition};

/// A stream on which something has just happened.
fn after(mut talk: Talk, happened: impl FnOnce(&mut Talk)) -> Talk {
    happened(&mut talk);
    talk
}

/// A fresh stream that begins with this.
fn begun(text: impl AsRef<str>) -> Talk {
    after(Talk::clear(), |talk| talk.hear(text.as_ref()))
}

/// A bound stream on which this came.
fn said(text: impl AsRef<str>) -> Talk {
    after(Talk::secure().bound(), |talk| talk.hear(text.as_ref()))
}

/// A good header with one thing changed.
fn header_with(this: &str, that: &str) -> Talk {
    begun(header("capulet.lit").replace(this, that))
}

/// No wildcard: a condition that is added needs its row.
fn stream_error(condition: &StreamCondition) -> Cause {
    use StreamCondition::*;
    match condition {
        BadFormat => Sent(vec![
            said("text"),
            said("<![CDATA[text]]>"),
            begun("<html>"),
            after(Talk::secure(), |talk| {
                // no element comes before a header, and a header does not end at once
                talk.hear(&header("capulet.lit").replace('>', "/>").replace("?/>", "?>"));
            }),
        ]),
        // An undeclared prefix is another matter: 11.3. Any prefix will do for the streams namespace (4.8.5).
        BadNamespacePrefix => Sent(vec![said("<p:message xmlns:p='jabber:client'/>")]),
        // The router's word: the newer of two sessions with one resource wins (7.7.2.2).
        Conflict => Sent(vec![told_to_close(Conflict)]),
        ConnectionTimeout => Sent(vec![after(Talk::secure().bound(), |talk| {
            talk.wait(300 * SECOND);
            assert!(talk.said().contains("urn:xmpp:ping"));
            talk.wait(60 * SECOND);
        })]),
        HostGone => {
            Never("no list of former domains is kept; a client can do no more about it (4.9.3.5)")
        }
        HostUnknown => Sent(vec![
            begun(header("verona.lit")),
            header_with(" to='capulet.lit'", ""),
            after(Talk::secure().authenticating(), |talk| {
                talk.answer("juliet", b"");
                talk.said();
                talk.hear(&header("verona.lit"));
            }),
        ]),
        ImproperAddressing => Sent(vec![
            begun(header("")),
            begun(header("@")),
            begun(header("juliet@capulet.lit")),
            header_with("to=", "from='@' to="),
        ]),
        InternalServerError => Never(
            "what fails inside fails one request: a SASL exchange (6.5.11) or a stanza (8.3.3.6)",
        ),
        InvalidFrom => Sent(vec![
            said("<message from='romeo@montague.lit'/>"),
            said("<message from='nurse@capulet.lit/chamber'/>"),
            said("<presence type='nonsense' from='romeo@montague.lit'/>"),
            after(Talk::secure().authenticated(), |talk| {
                talk.hear(&bind("").replace("<iq", "<iq from='romeo@montague.lit'"));
            }),
        ]),
        InvalidNamespace => Sent(vec![
            header_with("etherx", "wrong"),
            header_with("jabber:client", "jabber:server"),
            header_with("jabber:client", "urn:example"),
            header_with("to=", "xmlns:p='not a URI' to="),
            said("<message xmlns='jabber:server'/>"),
            after(Talk::clear().opened(), |talk| talk.hear("<iq xmlns='jabber:server'/>")),
            after(Talk::secure().authenticated(), |talk| {
                talk.hear(&bind("").replace("<iq", "<iq xmlns='jabber:server'"));
            }),
        ]),
        InvalidXml => Never("nothing is validated against the schemas (11.4)"),
        NotAuthorized => Sent(vec![
            after(Talk::clear().opened(), |talk| talk.hear("<presence/>")),
            after(Talk::secure().opened(), |talk| talk.hear("<message/>")),
            after(Talk::secure().authenticated(), |talk| talk.hear("<presence/>")), // 7.1
            // the account is gone, or its password is another
            told_to_close(NotAuthorized),
        ]),
        NotWellFormed => Sent(vec![
            said("<message></presence>"),
            said("<message><foo:body>What is this foo?</foo:body></message>"),
            begun("GET / HTTP/1.1\r\n"),
        ]),
        PolicyViolation => Sent(vec![
            after(Talk::clear().opened(), |talk| talk.wait(30 * SECOND)), // 4.6.3
            said(format!("<message>{}", "<a>".repeat(200))),
            // 6.4.5
            after(Talk::secure().opened(), |talk| {
                for _ in 0..6 {
                    talk.hear(&format!("<abort xmlns='{}'/>", ns::SASL));
                }
            }),
            // 7.7.3
            after(Talk::secure().authenticated(), |talk| {
                for _ in 0..6 {
                    talk.hear(&bind("").replace("'set'", "'get'"));
                }
            }),
            told_to_close(PolicyViolation), // it does not read
        ]),
        RemoteConnectionFailed => {
            Never("nothing remote is needed to authenticate a client (4.9.3.15)")
        }
        Reset => Never(
            "features stay, rustls closes before a sequence number wraps, and a new certificate is for new streams (4.9.3.16)",
        ),
        ResourceConstraint => Never(
            "over the limit of connections there is no stream; a session too many is refused by a stanza error (7.6.2.1)",
        ),
        RestrictedXml => Sent(vec![
            said("<message><!-- no --></message>"),
            said("<message><?php?></message>"),
            said("<message><body>&nbsp;</body></message>"),
            begun("<!DOCTYPE stream>"),
        ]),
        SeeOtherHost(_) => Never("there is no other host to see (4.9.3.19)"),
        SystemShutdown => {
            Sent(vec![after(Talk::secure().bound(), |talk| talk.event(Event::Shutdown))])
        }
        // what goes wrong has its own name but for this (4.9.3.21)
        UndefinedCondition => Sent(vec![after(Talk::secure().bound(), |talk| {
            talk.hear("<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='1'/>");
            assert!(matches!(talk.poll(), Some(Effect::Manage(None))));
        })]),
        UnsupportedEncoding => Sent(vec![
            begun("<?xml version='1.0' encoding='UTF-16'?>"),
            begun("<?xml version='1.0' encoding='iso-8859-1'?>"),
            after(Talk::clear(), |talk| talk.event(Event::Received(b"\xFF\xFE<\0"))),
            after(Talk::secure().bound(), |talk| {
                talk.event(Event::Received(b"<message><body>\xC0\x80</body></message>"));
            }),
        ]),
        UnsupportedFeature => Never("it is for the side that was offered something (4.9.3.23)"),
        UnsupportedStanzaType => Sent(vec![
            said("<pubsub/>"),
            said("<message xmlns='urn:example'/>"),
            said("<message xmlns=''/>"),
            after(Talk::clear().opened(), |talk| talk.hear("<foo xmlns='urn:example'/>")),
        ]),
        UnsupportedVersion => Sent(vec![
            header_with("version='1.0'>", ">"),
            header_with("version='1.0'>", "version='0.9'>"),
            header_with("version='1.0'>", "version='new'>"),
        ]),
    }
}

fn sasl_failure(failure: Failure) -> Cause {
    let asked = |mechanism: &str, data: &str| {
        after(Talk::secure().opened(), |talk| talk.hear(&auth(mechanism, data)))
    };
    let refused = || {
        Sent(vec![after(Talk::secure().authenticating(), |talk| {
            talk.event(Event::Authenticated(Answer::Refused(failure)));
        })])
    };
    match failure {
        Failure::Aborted => Sent(vec![after(Talk::secure().opened(), |talk| {
            talk.hear(&auth("PLAIN", ""));
            talk.says(&format!("<challenge xmlns='{}'/>", ns::SASL));
            talk.hear(&format!("<abort xmlns='{}'/>", ns::SASL));
        })]),
        Failure::AccountDisabled => Never("accounts are there or are not (6.5.2)"),
        Failure::CredentialsExpired => Never("passwords do not expire (6.5.3)"),
        Failure::EncryptionRequired => {
            Sent(vec![after(Talk::clear().opened(), |talk| talk.hear(&auth("PLAIN", PLAIN)))])
        }
        Failure::IncorrectEncoding => {
            Sent(vec![asked("PLAIN", "AA"), asked("SCRAM-SHA-1", "&lt;")])
        }
        // for romeo@montague.lit NUL juliet NUL password
        Failure::InvalidAuthzid => {
            Sent(vec![asked("PLAIN", "cm9tZW9AbW9udGFndWUubGl0AGp1bGlldAByMG0zMG15cjBtMzA=")])
        }
        Failure::InvalidMechanism => Sent(vec![asked("CRAM-MD5", ""), asked("", "")]),
        Failure::MalformedRequest => {
            Sent(vec![asked("PLAIN", "="), asked("PLAIN", "AA=="), asked("PLAIN", "<x/>")])
        }
        Failure::MechanismTooWeak => {
            Never("what is offered is good enough for every account (6.5.9)")
        }
        // by the exchange itself, and where the store or the limit of logins says so
        Failure::NotAuthorized | Failure::TemporaryAuthFailure => refused(),
    }
}

fn told_to_close(condition: StreamCondition) -> Talk {
    after(Talk::secure().bound(), |talk| {
        talk.event(Event::Mail(Mail::Close(StreamError::new(condition))));
    })
}

#[test]
fn rfc6120_4_9_3_every_stream_error_has_its_trigger_or_a_reason_not_to_come() {
    use StreamCondition::*;
    let all = [
        BadFormat,
        BadNamespacePrefix,
        Conflict,
        ConnectionTimeout,
        HostGone,
        HostUnknown,
        ImproperAddressing,
        InternalServerError,
        InvalidFrom,
        InvalidNamespace,
        InvalidXml,
        NotAuthorized,
        NotWellFormed,
        PolicyViolation,
        RemoteConnectionFailed,
        Reset,
        ResourceConstraint,
        RestrictedXml,
        SeeOtherHost("b.example".into()),
        SystemShutdown,
        UndefinedCondition,
        UnsupportedEncoding,
        UnsupportedFeature,
        UnsupportedStanzaType,
        UnsupportedVersion,
    ];
    in_any_pieces(|| {
        let mut sent = 0;
        for condition in &all {
            match stream_error(condition) {
                Sent(talks) => {
                    sent += 1;
                    for (index, talk) in talks.into_iter().enumerate() {
                        talk.ends_with(condition.name(), index);
                    }
                }
                Never(why) => assert!(!why.is_empty()),
            }
        }
        assert_eq!(sent, 17);
    });
}

#[test]
fn rfc6120_6_5_every_sasl_failure_has_its_trigger_or_a_reason_not_to_come() {
    let all = [
        Failure::Aborted,
        Failure::AccountDisabled,
        Failure::CredentialsExpired,
        Failure::EncryptionRequired,
        Failure::IncorrectEncoding,
        Failure::InvalidAuthzid,
        Failure::InvalidMechanism,
        Failure::MalformedRequest,
        Failure::MechanismTooWeak,
        Failure::NotAuthorized,
        Failure::TemporaryAuthFailure,
    ];
    in_any_pieces(|| {
        for condition in all {
            let Sent(talks) = sasl_failure(condition) else { continue };
            for mut talk in talks {
                talk.says(&failure(condition.name()));
                // RFC 6120 6.4.5: and another try is welcome
                assert!(talk.session.wants_input());
            }
        }
    });
}

/// RFC 6120 4.9.1.1: the side that receives an error closes the stream; 4.4: with a footer.
#[test]
fn rfc6120_4_9_1_1_an_error_of_the_client_is_not_answered_by_another() {
    in_any_pieces(|| {
        for mut talk in
            [Talk::clear().opened(), Talk::secure().authenticated(), Talk::secure().bound()]
        {
            talk.hear(&format!(
                "<stream:error><reset xmlns='{}'/></stream:error>",
                ns::STREAM_ERRORS
            ));
            assert_eq!(talk.closed(), Closed::finished(Side::Client, "stream error"));
            assert_eq!(talk.said(), "</stream:stream>");
        }
    });
}

/// RFC 6120 4.9.1.2 and its example: what is wrong with a header is said by whom it was for, to whom it was from.
#[test]
fn rfc6120_4_9_1_2_an_error_in_the_header_is_addressed_like_its_answer() {
    for (this, that, from, condition) in [
        ("etherx", "wrong", "montague.lit", "invalid-namespace"),
        ("version='1.0'>", "version='0.1'>", "montague.lit", "unsupported-version"),
        // 4.9.1.3: a host that is not here is answered by one that is
        ("to='montague.lit'", "to='verona.lit'", "capulet.lit", "host-unknown"),
        (" to='montague.lit'", "", "capulet.lit", "host-unknown"),
    ] {
        let good = header("montague.lit").replace(" to=", " from='romeo@montague.lit/x' to=");
        let mut talk = begun(good.replace(this, that));
        let said = String::from_utf8_lossy(talk.session.output()).into_owned();
        let expected = answer_header(from, Some("romeo@montague.lit"));
        assert!(said.starts_with(&expected), "{condition}: {said}");
        talk.fails(condition);
    }
}
