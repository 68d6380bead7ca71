//! Whole exchanges: published vectors, every way to go wrong, and what a stranger can learn.

mod masking;
mod refusals;
mod vectors;

use super::{client::Client, client::ClientError, *};
use proptest::prelude::*;

const SCRAM: [MechanismName; 3] =
    [MechanismName::ScramSha1, MechanismName::ScramSha256, MechanismName::ScramSha512];
const ALL: [MechanismName; 4] = [
    MechanismName::ScramSha1,
    MechanismName::ScramSha256,
    MechanismName::ScramSha512,
    MechanismName::Plain,
];
const DOMAIN: &str = "capulet.example";
const PASSWORD: &str = "wherefore art thou";
const SERVER_NONCE: &str = "3rfcNHYJY1ZVvWVs7j";

fn juliet() -> BareJid {
    "juliet@capulet.example".parse().unwrap()
}

fn credentials(password: &str) -> Credentials {
    Credentials::derive(password, 2, &[[1; 16], [2; 16], [3; 16]]).unwrap()
}

fn masking() -> Masking {
    Masking::new([7; 32], 2)
}

fn exchange(mechanism: MechanismName, credentials: Option<Credentials>) -> Box<dyn Mechanism> {
    server(mechanism, &juliet(), credentials, &masking(), SERVER_NONCE)
}

/// The whole exchange of a client that means well. Gives the identity and whether the client trusts the server.
fn log_in(
    server: &mut dyn Mechanism,
    mut client: Client,
) -> Result<(Identity, Result<(), ClientError>), Failure> {
    let mut message = client.first();
    loop {
        match server.respond(message.as_bytes()).map_err(|e| failure(&e))? {
            Response::Proceed(challenge) => message = client.respond(&challenge).unwrap(),
            Response::Success(identity, last) => return Ok((identity, client.verify(&last))),
        }
    }
}

/// The right proof of whatever the final message says, as a client would make it that keeps no rule but this one.
fn proof(mechanism: MechanismName, first_bare: &str, challenge: &str, unproven: &str) -> String {
    fn over<D: hmac::EagerHash>(salt: u8, signed: &str) -> String {
        let password = keys::prepare(PASSWORD).unwrap();
        let client_key = keys::SaltedPassword::<D>::derive(&password, &[salt; 16], 2).client_key();
        let signature = keys::hmac::<D>(&D::digest(&*client_key), &[signed.as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        message::encode_base64(&proof)
    }
    let signed = format!("{first_bare},{challenge},{unproven}");
    match mechanism {
        MechanismName::ScramSha1 => over::<Sha1>(1, &signed),
        MechanismName::ScramSha256 => over::<Sha256>(2, &signed),
        MechanismName::ScramSha512 => over::<Sha512>(3, &signed),
        MechanismName::Plain => unreachable!("PLAIN proves nothing"),
    }
}

/// Sends the first message to a new server, which must take it; gives the server and its challenge.
fn challenged(mechanism: MechanismName, first: &str) -> (Box<dyn Mechanism>, String) {
    let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
    match server.respond(first.as_bytes()) {
        Ok(Response::Proceed(challenge)) => (server, String::from_utf8(challenge).unwrap()),
        other => panic!("{mechanism:?} {first}: {other:?}"),
    }
}

fn log_in_as(mechanism: MechanismName, user: &str, password: &str) -> Result<Identity, Failure> {
    let client = Client::new(mechanism, user, password, "fyko+d2lbbFgONRv9qkxdawL").unwrap();
    let account = account(mechanism, DOMAIN, client.first().as_bytes())?;
    let known = (account == juliet()).then(|| credentials(PASSWORD));
    let mut server = server(mechanism, &account, known, &masking(), SERVER_NONCE);
    let (identity, trusted) = log_in(&mut *server, client)?;
    assert_eq!(trusted, Ok(()), "the server proved itself");
    Ok(identity)
}

#[test]
fn the_right_password_opens_the_account_with_every_mechanism() {
    for mechanism in ALL {
        let identity = log_in_as(mechanism, "juliet", PASSWORD);
        assert_eq!(identity, Ok(Identity::Username("juliet".into())), "{mechanism:?}");
        assert_eq!(exchange(mechanism, None).name(), mechanism.as_str());
    }
}

#[test]
fn another_password_does_not() {
    for mechanism in ALL {
        for password in ["Wherefore art thou", "wherefore art tho", "wherefore art thou "] {
            let identity = log_in_as(mechanism, "juliet", password);
            assert_eq!(identity, Err(Failure::NotAuthorized), "{mechanism:?} {password:?}");
        }
    }
}

#[test]
fn each_mechanism_has_keys_of_its_own() {
    let (right, wrong) = (credentials(PASSWORD), credentials("another"));
    for mechanism in ALL {
        let mut mixed = wrong.clone();
        match mechanism {
            MechanismName::ScramSha1 => mixed.sha1 = right.sha1.clone(),
            MechanismName::ScramSha512 => mixed.sha512 = right.sha512.clone(),
            MechanismName::ScramSha256 | MechanismName::Plain => {
                mixed.sha256 = right.sha256.clone()
            }
        }
        let client = Client::new(mechanism, "juliet", PASSWORD, "nonce").unwrap();
        assert!(log_in(&mut *exchange(mechanism, Some(mixed)), client).is_ok(), "{mechanism:?}");
    }
}

#[test]
fn a13_spellings_of_a_user_name_are_one_account() {
    for mechanism in ALL {
        for spelling in ["JULIET", "Juliet", "ｊuliet"] {
            let identity = log_in_as(mechanism, spelling, PASSWORD);
            assert_eq!(
                identity,
                Ok(Identity::Username("juliet".into())),
                "{mechanism:?} {spelling}"
            );
        }
    }
}

#[test]
fn spellings_of_a_password_are_one_password() {
    // RFC 8265 4.2: normalized to NFC, other spaces mapped to U+0020, case and width kept.
    let keys = credentials("caf\u{e9} noir");
    for mechanism in ALL {
        let try_it = |password| {
            let client = Client::new(mechanism, "juliet", password, "nonce").unwrap();
            log_in(&mut *exchange(mechanism, Some(keys.clone())), client).is_ok()
        };
        assert!(try_it("cafe\u{301} noir"), "{mechanism:?}");
        assert!(try_it("caf\u{e9}\u{1680}noir"), "{mechanism:?}");
        assert!(!try_it("CAF\u{e9} noir"), "{mechanism:?}");
        assert!(!try_it("ｃaf\u{e9} noir"), "{mechanism:?}");
    }
}

#[test]
fn a_password_has_characters_and_an_end() {
    let derive = |password: &str| Credentials::derive(password, 1, &[[0; 16]; 3]);
    for bad in ["", "tab\there", "nul\0", "unassigned \u{378}", &"x".repeat(MAX_PASSWORD_BYTES + 1)]
    {
        assert_eq!(derive(bad), Err(PasswordError), "{bad:?}");
        let client = Client::new(MechanismName::ScramSha1, "juliet", bad, "nonce");
        assert_eq!(client.err(), Some(ClientError::Password(PasswordError)));
    }
    assert!(derive(&"x".repeat(MAX_PASSWORD_BYTES)).is_ok());
    assert!(derive("🥰 of this decade").is_ok());
}

#[test]
fn the_longest_names_and_password_fit_into_a_message() {
    // Three fields of 1,023 bytes, of which a quoted comma takes three times its size only in SCRAM.
    let user = "j".repeat(1023 - DOMAIN.len() - 1);
    let first = format!("{user}@{DOMAIN}\0{user}\0{}", "x".repeat(MAX_PASSWORD_BYTES));
    let named = account(MechanismName::Plain, DOMAIN, first.as_bytes()).unwrap();
    assert_eq!(named.local(), Some(user.as_str()));
}

#[test]
fn names_with_commas_and_equals_signs_are_quoted() {
    let name = "=,==2C,3D=";
    let client = Client::new(MechanismName::ScramSha256, name, PASSWORD, "nonce").unwrap();
    assert_eq!(client.first(), "n,,n==3D=2C=3D=3D2C=2C3D=3D,r=nonce");
    let named = account(MechanismName::ScramSha256, DOMAIN, client.first().as_bytes()).unwrap();
    assert_eq!(named.local(), Some("=,==2c,3d="));
}

#[test]
fn whatever_a_first_message_may_hold_can_be_proved() {
    // The flag, the authzid and unknown optional extensions (RFC 5802 5.1) are all part of what is signed; `y` is
    // refused only by servers that offer -PLUS (RFC 5802 6).
    for (header, bare, c, extension) in [
        ("n,,", "n=juliet,r=abc", "biws", ""),
        ("y,,", "n=juliet,r=abc", "eSws", ""),
        ("n,,", "n=juliet,r=abc,x=1,Z=a=b", "biws", ",y=2"),
        ("n,a=,", "n=JULIET,r=abc", "bixhPSw=", ""),
        (
            "n,a=juliet@capulet.example,",
            "n=juliet,r=abc",
            "bixhPWp1bGlldEBjYXB1bGV0LmV4YW1wbGUs",
            "",
        ),
    ] {
        for mechanism in SCRAM {
            let (mut server, challenge) = challenged(mechanism, &format!("{header}{bare}"));
            let unproven = format!("c={c},r=abc{SERVER_NONCE}{extension}");
            let proof = proof(mechanism, bare, &challenge, &unproven);
            let answer = server.respond(format!("{unproven},p={proof}").as_bytes());
            let Ok(Response::Success(identity, _)) = answer else {
                panic!("{mechanism:?} {header}{bare}: {answer:?}")
            };
            assert_eq!(identity, Identity::Username("juliet".into()));
        }
    }
}

#[test]
fn accounts_keep_the_salts_and_rounds_that_they_were_made_with() {
    let old = Credentials::derive(PASSWORD, 5, &[[9; 16], [8; 16], [7; 16]]).unwrap();
    for mechanism in ALL {
        let client = Client::new(mechanism, "juliet", PASSWORD, "nonce").unwrap();
        let identity = log_in(&mut *exchange(mechanism, Some(old.clone())), client);
        assert_eq!(identity, Ok((Identity::Username("juliet".into()), Ok(()))), "{mechanism:?}");
    }
}

#[test]
fn failures_survive_the_error_type_of_the_sasl_crate() {
    use Failure::*;
    for expected in [MalformedRequest, IncorrectEncoding, InvalidAuthzid, NotAuthorized] {
        assert_eq!(failure(&error(expected)), expected);
    }
    assert_eq!(failure(&MechanismError::SaslSessionAlreadyOver), NotAuthorized);
}

#[test]
fn a02_mechanisms_have_exact_names() {
    for mechanism in ALL {
        assert_eq!(MechanismName::from_name(mechanism.as_str()), Some(mechanism));
        assert_eq!(MechanismName::from_name(&mechanism.as_str().to_lowercase()), None);
    }
    for name in ["", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "ANONYMOUS", "EXTERNAL", "PLAIN "] {
        assert_eq!(MechanismName::from_name(name), None, "{name:?}");
    }
}

#[test]
fn a14_debug_shows_no_secret() {
    // Keys of these bytes would show as digits, as text or as hexadecimal.
    let keys = ScramKeys {
        salt: vec![0xab; 16],
        iterations: 4096,
        stored_key: vec![0xab; 20],
        server_key: vec![0xab; 20],
    };
    let all = Credentials { sha1: keys.clone(), sha256: keys.clone(), sha512: keys.clone() };
    let client = Client::new(MechanismName::Plain, "juliet", "171ab", "nonce").unwrap();
    let shown = format!("{keys:?} {all:?} {:?} {client:?}", Masking::new([0xab; 32], 4096));
    for secret in ["171", "ab", "AB"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_client_gives_up_on_a_server_that_is_not_its_own() {
    let client = || Client::new(MechanismName::ScramSha1, "juliet", PASSWORD, "abc").unwrap();
    let refused: [&[u8]; 13] = [
        b"",
        b"\xff",
        b"r=abc,s=AAAA,i=2",             // nothing added to the nonce
        b"r=xyzdef,s=AAAA,i=2",          // another nonce
        b"r=ab,s=AAAA,i=2",              // a shorter one
        b"r=abcdef,s=AAA,i=2",           // not base64
        b"r=abcdef,s=,i=2",              // no salt
        b"r=abcdef,s=AAAA,i=0",          // no rounds
        b"r=abcdef,s=AAAA,i=-1",         // not a number
        b"r=abcdef,s=AAAA,i=4294967295", // work without end
        b"m=x,r=abcdef,s=AAAA,i=2",      // a mandatory extension
        b"s=AAAA,r=abcdef,i=2",          // another order
        b"e=other-error",                // an error
    ];
    for challenge in refused {
        let answer = client().respond(challenge);
        assert_eq!(answer, Err(ClientError::Malformed), "{}", challenge.escape_ascii());
    }
    let mut early = client();
    assert_eq!(early.verify(b"v="), Err(ClientError::Malformed), "success before the challenge");
    let mut cheated = client();
    assert!(cheated.respond(b"r=abcdef,s=AAAA,i=2,x=ignored").is_ok());
    assert_eq!(cheated.verify(b""), Err(ClientError::Signature));
    assert_eq!(cheated.verify(b""), Err(ClientError::Malformed), "only once");
    let mut plain = Client::new(MechanismName::Plain, "juliet", PASSWORD, "").unwrap();
    assert_eq!(plain.verify(b"data"), Err(ClientError::Signature), "PLAIN has none");
}

/// Bytes that look like messages often enough to get past the first check.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let text = "[nyp]?,?(a=)?[a-zJé=2CD]{0,9},?(m=|n=|c=)?[a-z=,2CD3]{0,20},?(r=|p=)?[!-~]{0,20}";
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        text.prop_map(String::into_bytes),
        "[\\PC\0]{0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn no_message_panics_and_none_opens_the_account(first in messages(), last in messages()) {
        for mechanism in ALL {
            let named = account(mechanism, DOMAIN, &first);
            let mut server = exchange(mechanism, Some(credentials(PASSWORD)));
            let answer = server.respond(&first);
            if let Ok(Response::Proceed(_)) = answer {
                prop_assert_eq!(named, Ok(juliet()));
            }
            prop_assert!(!matches!(answer, Ok(Response::Success(..))));
            prop_assert!(!matches!(server.respond(&last), Ok(Response::Success(..))));
        }
    }

    #[test]
    fn a03_a_final_message_changed_in_any_byte_is_refused(at in 0..200usize, bit in 0..8u8) {
        for mechanism in SCRAM {
            let mut client = Client::new(mechanism, "juliet", PASSWORD, "abc").unwrap();
            let (mut server, challenge) = challenged(mechanism, &client.first());
            let mut last = client.respond(challenge.as_bytes()).unwrap().into_bytes();
            let at = at % last.len();
            last[at] ^= 1 << bit;
            prop_assert!(server.respond(&last).is_err());
        }
    }

    #[test]
    fn quoted_names_come_back(name in "[a-z=,2CD3]{1,30}") {
        let client = Client::new(MechanismName::ScramSha1, &name, PASSWORD, "abc").unwrap();
        let named = account(MechanismName::ScramSha1, DOMAIN, client.first().as_bytes()).unwrap();
        let expected = name.to_lowercase();
        prop_assert_eq!(named.local(), Some(expected.as_str()));
    }
}
