//! Every way to go wrong, each with the failure that goes on the wire.

use super::*;
use Failure::{IncorrectEncoding, InvalidAuthzid, MalformedRequest, NotAuthorized};

/// First messages of SCRAM.
const FIRST: &[(&[u8], Failure)] = &[
    // The encoding, and what is no message at all.
    (b"", MalformedRequest),
    (b"n", MalformedRequest),
    (b"n,", MalformedRequest),
    (b"n,,", MalformedRequest),
    (b",,n=juliet,r=abc", MalformedRequest),
    (b"n,,n=jul\xffiet,r=abc", IncorrectEncoding),
    (b"n,,n=jul\xed\xa0\x80iet,r=abc", IncorrectEncoding),
    (b"n,,n=jul\0iet,r=abc", MalformedRequest),
    (b"\0juliet\0wherefore art thou", MalformedRequest),
    // The channel binding flag (RFC 5802 6).
    (b"x,,n=juliet,r=abc", MalformedRequest),
    (b"N,,n=juliet,r=abc", MalformedRequest),
    (b"nn,,n=juliet,r=abc", MalformedRequest),
    (b"n=,,n=juliet,r=abc", MalformedRequest),
    (b"F,n,,n=juliet,r=abc", MalformedRequest),
    (b"p,,n=juliet,r=abc", MalformedRequest),
    (b"p=,,n=juliet,r=abc", MalformedRequest),
    (b"p=tls unique,,n=juliet,r=abc", MalformedRequest),
    (b"p=tls-unique,,n=juliet,r=abc", NotAuthorized),
    (b"p=tls-exporter,,n=juliet,r=abc", NotAuthorized),
    (b"p=tls-server-end-point,,n=juliet,r=abc", NotAuthorized),
    // Mandatory extensions, wherever they stand (RFC 5802 5.1).
    (b"n,,m=x,n=juliet,r=abc", NotAuthorized),
    (b"n,,n=juliet,m=x,r=abc", NotAuthorized),
    (b"n,,n=juliet,r=abc,m=x", NotAuthorized),
    (b"n,,n=juliet,r=abc,x=1,m=x", NotAuthorized),
    (b"n,,m=,n=juliet,r=abc", MalformedRequest),
    // The order and the presence of attributes.
    (b"n,,r=abc,n=juliet", MalformedRequest),
    (b"n,,n=juliet", MalformedRequest),
    (b"n,,n=juliet,", MalformedRequest),
    (b"n,,r=abc", MalformedRequest),
    (b"n,n=juliet,r=abc", MalformedRequest),
    (b"n,,x=1,n=juliet,r=abc", MalformedRequest),
    (b"n,,n=juliet,x=1,r=abc", MalformedRequest),
    (b"n,,n=juliet,n=romeo,r=abc", MalformedRequest),
    (b"n,,N=juliet,r=abc", MalformedRequest),
    (b"n,,n=juliet,R=abc", MalformedRequest),
    (b"n,, n=juliet,r=abc", MalformedRequest),
    // Extensions that are none.
    (b"n,,n=juliet,r=abc,", MalformedRequest),
    (b"n,,n=juliet,r=abc,x", MalformedRequest),
    (b"n,,n=juliet,r=abc,x=", MalformedRequest),
    (b"n,,n=juliet,r=abc,1=x", MalformedRequest),
    (b"n,,n=juliet,r=abc,xx=1", MalformedRequest),
    (b"n,,n=juliet,r=abc,x=\0", MalformedRequest),
    (b"n,,n=juliet,r=abc,r=def", MalformedRequest),
    (b"n,,n=juliet,r=abc,a=romeo", MalformedRequest),
    (b"n,,n=juliet,r=abc,p=AAAA", MalformedRequest),
    // The nonce.
    (b"n,,n=juliet,r=", MalformedRequest),
    (b"n,,n=juliet,r=a c", MalformedRequest),
    (b"n,,n=juliet,r=a\tc", MalformedRequest),
    (b"n,,n=juliet,r=a\x7fc", MalformedRequest),
    ("n,,n=juliet,r=äbc".as_bytes(), MalformedRequest),
    // The name and its quoting.
    (b"n,,n=,r=abc", MalformedRequest),
    (b"n,,n=juliet=,r=abc", MalformedRequest),
    (b"n,,n=juliet=2,r=abc", MalformedRequest),
    (b"n,,n=juliet=2c,r=abc", MalformedRequest),
    (b"n,,n=juliet=3d,r=abc", MalformedRequest),
    (b"n,,n=juliet=2D,r=abc", MalformedRequest),
    (b"n,,n=juliet=41,r=abc", MalformedRequest),
    ("n,,n=juliet=é,r=abc".as_bytes(), MalformedRequest),
    (b"n,a=juliet=40capulet.example,n=juliet,r=abc", MalformedRequest),
    (b"n,juliet@capulet.example,n=juliet,r=abc", MalformedRequest),
    // Names that no account can have, a whole address among them (RFC 6120 6.3.7).
    (b"n,,n=juliet@capulet.example,r=abc", NotAuthorized),
    (b"n,,n=juliet/balcony,r=abc", NotAuthorized),
    (b"n,,n=jul iet,r=abc", NotAuthorized),
    (b"n,,n=<juliet>,r=abc", NotAuthorized),
    ("n,,n=jul\u{ad}iet,r=abc".as_bytes(), NotAuthorized),
    ("n,,n=jul\u{378}iet,r=abc".as_bytes(), NotAuthorized),
];

/// Messages of PLAIN.
const PLAIN: &[(&[u8], Failure)] = &[
    (b"", MalformedRequest),
    (b"juliet", MalformedRequest),
    (b"\0", MalformedRequest),
    (b"\0\0", MalformedRequest),
    (b"\0juliet", MalformedRequest),
    (b"\0juliet\0", MalformedRequest),
    (b"\0\0wherefore art thou", MalformedRequest),
    (b"juliet\0wherefore art thou", MalformedRequest),
    (b"\0juliet\0wherefore art thou\0", MalformedRequest),
    (b"\0juliet\0wherefore\0 art thou", MalformedRequest),
    (b"\0\0juliet\0wherefore art thou", MalformedRequest),
    (b"\0juliet\0wherefore art \xff", IncorrectEncoding),
    (b"\xc0\x80juliet\0wherefore art thou", IncorrectEncoding),
    (b"\0juliet@capulet.example\0wherefore art thou", NotAuthorized),
    (b"\0jul iet\0wherefore art thou", NotAuthorized),
    (b"n,,n=juliet,r=abc", MalformedRequest),
];

/// Final messages of SCRAM, in which `C` and `R` stand for the values that would have been right, and `P` for a proof of
/// this very message: it is never the proof that is at fault, unless it is not `P`.
const FINAL: &[(&str, Failure)] = &[
    ("", MalformedRequest),
    ("c=C", MalformedRequest),
    ("c=C,r=R", MalformedRequest),
    ("p=P", MalformedRequest),
    ("r=R,c=C,p=P", MalformedRequest),
    ("c=C,p=P,r=R", MalformedRequest),
    ("c=C,p=P", MalformedRequest),
    ("r=R,p=P", MalformedRequest),
    ("c=C,r=R,p=P,", MalformedRequest),
    ("c=C,r=R,p=P,x=1", MalformedRequest),
    ("c=C,r=R,p=P,p=P", MalformedRequest),
    ("c=C,c=C,r=R,p=P", MalformedRequest),
    ("c=C,r=R,r=R,p=P", MalformedRequest),
    ("c=C,x=1,r=R,p=P", MalformedRequest),
    ("x=1,c=C,r=R,p=P", MalformedRequest),
    ("c=C,r=R,x=,p=P", MalformedRequest),
    ("c=C,r=R,n=juliet,p=P", MalformedRequest),
    ("C=C,r=R,p=P", MalformedRequest),
    ("c=C,r=R,P=P", MalformedRequest),
    ("m=x,c=C,r=R,p=P", NotAuthorized),
    ("c=C,r=R,m=x,p=P", NotAuthorized),
    // The channel binding: another header, an authzid slipped in, data after the header, the other flag.
    ("c=,r=R,p=P", MalformedRequest),
    ("c=biw,r=R,p=P", IncorrectEncoding),
    ("c=b iws,r=R,p=P", IncorrectEncoding),
    ("c=bi-s,r=R,p=P", IncorrectEncoding),
    ("c=biws=,r=R,p=P", IncorrectEncoding),
    ("c=eSws,r=R,p=P", NotAuthorized),
    ("c=bixhPXJvbWVvLA==,r=R,p=P", NotAuthorized),
    ("c=biwsYWJj,r=R,p=P", NotAuthorized),
    ("c=biw=,r=R,p=P", NotAuthorized),
    ("c=cD10bHMtdW5pcXVlLCw=,r=R,p=P", NotAuthorized),
    // The nonce: none, the client's part only, the server's part only, longer, shorter, changed.
    ("c=C,r=,p=P", MalformedRequest),
    ("c=C,r=R é,p=P", MalformedRequest),
    ("c=C,r=abc,p=P", NotAuthorized),
    ("c=C,r=3rfcNHYJY1ZVvWVs7j,p=P", NotAuthorized),
    ("c=C,r=Rx,p=P", NotAuthorized),
    ("c=C,r=xR,p=P", NotAuthorized),
    ("c=C,r=abc3rfcNHYJY1ZVvWVs7,p=P", NotAuthorized),
    ("c=C,r=abC3rfcNHYJY1ZVvWVs7j,p=P", NotAuthorized),
    // The proof: none, not base64, too short, too long.
    ("c=C,r=R,p=", MalformedRequest),
    ("c=C,r=R,p=P=", IncorrectEncoding),
    ("c=C,r=R,p=*", IncorrectEncoding),
    ("c=C,r=R,p=AB==", IncorrectEncoding),
    ("c=C,r=R,p=AAAA", NotAuthorized),
    ("c=C,r=R,p=AAAAP", NotAuthorized),
];

/// Authorization identities that are not juliet@capulet.example's own.
const FOREIGN: &[&str] = &[
    "romeo@capulet.example",
    "juliet@montague.example",
    "juliet@capulet.example/balcony",
    "juliet",
    "romeo",
    "capulet.example",
    "@capulet.example",
    "juliet@",
    "juliet@capulet.example/",
    "juliet@capulet.example@capulet.example",
    " juliet@capulet.example",
    "jul\u{ad}iet@capulet.example",
    "juli\u{435}t@capulet.example",
    "*",
];

fn refusal(answer: Result<Response, MechanismError>) -> Failure {
    failure(&answer.expect_err("a refusal"))
}

#[test]
fn a03_first_messages_of_scram() {
    for mechanism in SCRAM {
        for (first, expected) in FIRST {
            let shown = first.escape_ascii();
            assert_eq!(account(mechanism, DOMAIN, first), Err(*expected), "{mechanism:?} {shown}");
            let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
            assert_eq!(refusal(server.respond(first)), *expected, "{mechanism:?} {shown}");
            let again = refusal(server.respond(b"n,,n=juliet,r=abc"));
            assert_eq!(again, NotAuthorized, "no second try after {shown}");
        }
    }
}

#[test]
fn messages_of_plain() {
    for (message, expected) in PLAIN {
        let shown = message.escape_ascii();
        assert_eq!(account(MechanismName::Plain, DOMAIN, message), Err(*expected), "{shown}");
        let mut server = exchange(MechanismName::Plain, Some(credentials(PASSWORD)));
        assert_eq!(refusal(server.respond(message)), *expected, "{shown}");
        let again = refusal(server.respond(b"\0juliet\0wherefore art thou"));
        assert_eq!(again, NotAuthorized, "no second try after {shown}");
    }
}

#[test]
fn plain_passwords_that_no_account_can_have_are_wrong_ones() {
    for password in ["tab\there", &"x".repeat(MAX_PASSWORD_BYTES + 1)] {
        let mut server = exchange(MechanismName::Plain, Some(credentials(PASSWORD)));
        let message = format!("\0juliet\0{password}");
        assert_eq!(refusal(server.respond(message.as_bytes())), NotAuthorized);
    }
}

#[test]
fn messages_have_a_limit() {
    let whole = |padding: usize| format!("n,,n=juliet,r={}", "r".repeat(padding));
    let room = MAX_MESSAGE_BYTES - whole(0).len();
    for mechanism in SCRAM {
        assert_eq!(account(mechanism, DOMAIN, whole(room).as_bytes()), Ok(juliet()));
        let refused = account(mechanism, DOMAIN, whole(room + 1).as_bytes());
        assert_eq!(refused, Err(MalformedRequest));
    }
    let plain = format!("\0juliet\0{}", "x".repeat(MAX_MESSAGE_BYTES));
    let refused = account(MechanismName::Plain, DOMAIN, plain.as_bytes());
    assert_eq!(refused, Err(MalformedRequest));
}

/// A server after `n,,n=juliet,r=abc`, and the final message that would succeed.
fn ready_for_final(mechanism: MechanismName) -> (Box<dyn Mechanism>, String) {
    let mut client = Client::new(mechanism, "juliet", PASSWORD, "abc").unwrap();
    let (server, challenge) = challenged(mechanism, &client.first());
    (server, client.respond(challenge.as_bytes()).unwrap())
}

/// The final message of a template of [`FINAL`].
fn fill_in(template: &str, mechanism: MechanismName, challenge: &str) -> String {
    let nonce = format!("abc{SERVER_NONCE}");
    let filled = template.replace("=C", "=biws").replace("=R", &format!("={nonce}"));
    let filled = filled.replace("=xR", &format!("=x{nonce}"));
    let (unproven, _) = filled.rsplit_once(",p=").unwrap_or((&filled, ""));
    let proof = proof(mechanism, "n=juliet,r=abc", challenge, unproven);
    filled.replace("=P", &format!("={proof}")).replace("AAAAP", &format!("AAAA{proof}"))
}

#[test]
fn a03_final_messages_of_scram() {
    for mechanism in SCRAM {
        for (template, expected) in FINAL {
            let (mut server, challenge) = challenged(mechanism, "n,,n=juliet,r=abc");
            let wrong = fill_in(template, mechanism, &challenge);
            assert_eq!(
                refusal(server.respond(wrong.as_bytes())),
                *expected,
                "{mechanism:?} {wrong}"
            );
            let right = fill_in("c=C,r=R,p=P", mechanism, &challenge);
            let again = refusal(server.respond(right.as_bytes()));
            assert_eq!(again, NotAuthorized, "no second try after {wrong}");
        }
        let (mut server, challenge) = challenged(mechanism, "n,,n=juliet,r=abc");
        let right = fill_in("c=C,r=R,p=P", mechanism, &challenge);
        assert!(server.respond(right.as_bytes()).is_ok(), "the template itself is right");
    }
}

#[test]
fn a03_a_header_changed_on_the_way_is_refused() {
    // RFC 5802 6: the client proves the header that it sent, which is not the one that arrived.
    for (arrived, sent) in [
        ("n,,", "eSws"),
        ("y,,", "biws"),
        ("n,a=juliet@capulet.example,", "biws"),
        ("n,,", "bixhPWp1bGlldEBjYXB1bGV0LmV4YW1wbGUs"),
    ] {
        for mechanism in SCRAM {
            let first = format!("{arrived}n=juliet,r=abc");
            let (mut server, challenge) = challenged(mechanism, &first);
            let last = fill_in(&format!("c={sent},r=R,p=P"), mechanism, &challenge);
            assert_eq!(refusal(server.respond(last.as_bytes())), NotAuthorized, "{arrived} {sent}");
        }
    }
}

#[test]
fn a03_what_the_proof_does_not_cover_is_refused() {
    for mechanism in SCRAM {
        let (mut server, right) = ready_for_final(mechanism);
        let slipped_in = right.replace(",p=", ",x=1,p=");
        assert_eq!(refusal(server.respond(slipped_in.as_bytes())), NotAuthorized);
    }
}

#[test]
fn a03_a_final_message_is_good_for_one_exchange_once() {
    for mechanism in SCRAM {
        let (mut exchange, right) = ready_for_final(mechanism);
        assert!(exchange.respond(right.as_bytes()).is_ok());
        assert_eq!(refusal(exchange.respond(right.as_bytes())), NotAuthorized, "the same exchange");
        let keys = Some(credentials(PASSWORD));
        let mut other = server(mechanism, &juliet(), keys, &masking(), "another");
        assert!(other.respond(b"n,,n=juliet,r=abc").is_ok());
        assert_eq!(refusal(other.respond(right.as_bytes())), NotAuthorized, "another exchange");
    }
}

#[test]
fn a03_a_proof_made_of_a_changed_challenge_is_refused() {
    type Change = fn(&str) -> String;
    let changes: [(&str, Change); 2] = [
        ("iterations", |challenge| challenge.replace(",i=2", ",i=1")),
        ("extension", |challenge| format!("{challenge},x=1")),
    ];
    for mechanism in SCRAM {
        for (what, change) in changes {
            let mut client = Client::new(mechanism, "juliet", PASSWORD, "abc").unwrap();
            let (mut server, challenge) = challenged(mechanism, &client.first());
            let changed = change(&challenge);
            assert_ne!(changed, challenge);
            let last = client.respond(changed.as_bytes()).unwrap();
            assert_eq!(refusal(server.respond(last.as_bytes())), NotAuthorized, "{what}");
        }
    }
}

#[test]
fn a03_a_proof_of_another_user_with_the_same_password_is_refused() {
    // Same keys even: the name is part of what is signed.
    for mechanism in SCRAM {
        let (mut server, right) = ready_for_final(mechanism);
        let mut romeo = Client::new(mechanism, "romeo", PASSWORD, "abc").unwrap();
        let keys = match mechanism {
            MechanismName::ScramSha1 => credentials(PASSWORD).sha1,
            MechanismName::ScramSha256 => credentials(PASSWORD).sha256,
            _ => credentials(PASSWORD).sha512,
        };
        let salt = message::encode_base64(&keys.salt);
        let challenge = format!("r=abc{SERVER_NONCE},s={salt},i={}", keys.iterations);
        let last = romeo.respond(challenge.as_bytes()).unwrap();
        assert_ne!(last, right);
        assert_eq!(refusal(server.respond(last.as_bytes())), NotAuthorized);
    }
}

#[test]
fn a01_nobody_acts_as_somebody_else() {
    for mechanism in ALL {
        for authzid in FOREIGN {
            let first = match mechanism {
                MechanismName::Plain => format!("{authzid}\0juliet\0{PASSWORD}"),
                _ => format!("n,a={authzid},n=juliet,r=abc"),
            };
            let named = account(mechanism, DOMAIN, first.as_bytes());
            assert_eq!(named, Err(InvalidAuthzid), "{mechanism:?} {authzid:?}");
            let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
            assert_eq!(refusal(server.respond(first.as_bytes())), InvalidAuthzid);
        }
    }
}

#[test]
fn a01_everybody_acts_as_oneself_in_any_spelling() {
    // RFC 7622 3.2 strips a domain's trailing dot.
    for authzid in [
        "",
        "juliet@capulet.example",
        "juliet@capulet.example.",
        "JULIET@Capulet.Example",
        "ｊuliet@capulet.example",
    ] {
        let plain = format!("{authzid}\0juliet\0{PASSWORD}");
        let mut server = exchange(MechanismName::Plain, Some(credentials(PASSWORD)));
        let expected = Response::Success(Identity::Username("juliet".into()), Vec::new());
        assert_eq!(server.respond(plain.as_bytes()), Ok(expected), "{authzid:?}");
        for mechanism in SCRAM {
            let first = format!("n,a={authzid},n=Juliet,r=abc");
            assert_eq!(account(mechanism, DOMAIN, first.as_bytes()), Ok(juliet()), "{authzid:?}");
            let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
            assert!(matches!(server.respond(first.as_bytes()), Ok(Response::Proceed(_))));
        }
    }
}

#[test]
fn a01_an_exchange_ends_as_the_account_it_was_made_for_or_not_at_all() {
    for (mechanism, first) in [
        (MechanismName::Plain, format!("\0romeo\0{PASSWORD}")),
        (MechanismName::ScramSha256, "n,,n=romeo,r=abc".to_owned()),
    ] {
        assert!(account(mechanism, DOMAIN, first.as_bytes()).is_ok());
        let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
        assert_eq!(refusal(server.respond(first.as_bytes())), NotAuthorized, "{mechanism:?}");
    }
}
