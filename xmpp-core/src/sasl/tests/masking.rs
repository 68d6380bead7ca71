//! A05: what a stranger can learn of which accounts exist.

use super::*;
use std::collections::HashSet;

fn challenge(
    mechanism: MechanismName,
    user: &str,
    known: Option<Credentials>,
    mask: &Masking,
) -> String {
    let first = format!("n,,n={user},r=abc");
    let account = account(mechanism, DOMAIN, first.as_bytes()).unwrap();
    let mut server = server(mechanism, &account, known, mask, SERVER_NONCE);
    match server.respond(first.as_bytes()) {
        Ok(Response::Proceed(challenge)) => String::from_utf8(challenge).unwrap(),
        other => panic!("{mechanism:?} {user}: {other:?}"),
    }
}

/// The challenge without the value of its salt, and that value.
fn split(challenge: &str) -> (String, String) {
    let (before, rest) = challenge.split_once(",s=").unwrap();
    let (salt, after) = rest.split_once(',').unwrap();
    assert_eq!(message::decode_base64(salt).unwrap().len(), 16);
    (format!("{before},s=,{after}"), salt.to_owned())
}

#[test]
fn a05_unknown_users_are_challenged_like_known_ones() {
    for mechanism in SCRAM {
        let real = challenge(mechanism, "juliet", Some(credentials(PASSWORD)), &masking());
        let fake = challenge(mechanism, "rosaline", None, &masking());
        assert_eq!(split(&real).0, split(&fake).0, "{mechanism:?}");
    }
}

#[test]
fn a05_the_salt_of_an_unknown_user_is_stable_and_its_own() {
    let mut salts = HashSet::new();
    for user in 0..1000 {
        for mechanism in SCRAM {
            let user = format!("nobody{user}");
            let first = challenge(mechanism, &user, None, &masking());
            assert_eq!(challenge(mechanism, &user, None, &masking()), first, "asked again");
            let shouted = challenge(mechanism, &user.to_uppercase(), None, &masking());
            assert_eq!(split(&shouted).1, split(&first).1, "another spelling, as for an account");
            assert!(salts.insert(split(&first).1), "{mechanism:?} shares a salt with another");
        }
    }
    let other_key = Masking::new([8; 32], 2);
    let salt = split(&challenge(MechanismName::ScramSha1, "nobody0", None, &other_key)).1;
    assert!(!salts.contains(&salt), "nobody can compute it without the key");
}

#[test]
fn a05_a_challenge_shows_the_rounds_of_the_mask_and_never_none() {
    let masked = |iterations| {
        challenge(MechanismName::ScramSha1, "nobody", None, &Masking::new([7; 32], iterations))
    };
    assert!(masked(10_000).ends_with(",i=10000"));
    assert!(masked(0).ends_with(",i=1"));
}

#[test]
fn a05_unknown_users_fail_like_a_wrong_password() {
    for mechanism in ALL {
        let attempt = |known| {
            let client = Client::new(mechanism, "juliet", "wrong", "abc").unwrap();
            log_in(&mut *exchange(mechanism, known), client)
        };
        let unknown = attempt(None);
        assert_eq!(unknown, Err(Failure::NotAuthorized), "{mechanism:?}");
        assert_eq!(unknown, attempt(Some(credentials(PASSWORD))), "{mechanism:?}");
    }
}

#[test]
fn a05_faults_in_the_last_message_are_the_same_for_unknown_users() {
    for mechanism in SCRAM {
        for last in ["", "c=biws,r=x,p=AAAA", "c=*,r=x,p=AAAA", "c=biws,r=abc,m=x,p=AAAA"] {
            let attempt = |known| {
                let mut server = exchange(mechanism, known);
                assert!(server.respond(b"n,,n=juliet,r=abc").is_ok());
                server.respond(last.as_bytes())
            };
            assert_eq!(attempt(None), attempt(Some(credentials(PASSWORD))), "{last}");
        }
    }
}

#[test]
fn a05_the_keys_of_a_mask_open_nothing_even_if_they_match() {
    // Were the mask's keys those of a real password, the account would still not exist.
    let keys = credentials(PASSWORD).sha256;
    let mut server =
        Scram::<Sha256>::new(MechanismName::ScramSha256, juliet(), keys.clone(), false, "x".into());
    let client = Client::new(MechanismName::ScramSha256, "juliet", PASSWORD, "abc").unwrap();
    assert_eq!(log_in(&mut server, client), Err(Failure::NotAuthorized));
    let mut server = Plain::new(juliet(), keys, false);
    let client = Client::new(MechanismName::Plain, "juliet", PASSWORD, "").unwrap();
    assert_eq!(log_in(&mut server, client), Err(Failure::NotAuthorized));
}
