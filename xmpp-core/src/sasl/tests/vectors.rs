//! Published exchanges, bit by bit, in both roles.

use super::*;
use keys::prepare;

struct Vector {
    mechanism: MechanismName,
    client_nonce: &'static str,
    server_nonce: &'static str,
    salt: &'static str,
    messages: [&'static str; 4],
}

const VECTORS: [Vector; 3] = [
    // RFC 5802 5.
    Vector {
        mechanism: MechanismName::ScramSha1,
        client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        salt: "QSXCR+Q6sek8bf92",
        messages: [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    },
    // RFC 7677 3.
    Vector {
        mechanism: MechanismName::ScramSha256,
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    },
    // No RFC has one: RFC 7677 3 with SHA-512, computed by Python 3, where `am` is the three messages joined by commas
    // (the first without its `n,,`, the last without its proof), and `b64` is base64:
    //   h = 'sha512'; H = lambda k, m: hmac.new(k, m, h).digest()
    //   s = hashlib.pbkdf2_hmac(h, b'pencil', b64decode('W22ZaJ0SNY7soEsUEjb6gQ=='), 4096)
    //   ck = H(s, b'Client Key'); sk = hashlib.new(h, ck).digest()
    //   p = b64encode(bytes(x ^ y for x, y in zip(ck, H(sk, am)))); v = b64encode(H(H(s, b'Server Key'), am))
    Vector {
        mechanism: MechanismName::ScramSha512,
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ],
    },
];

/// Keys of the vectors' password for the hash under test; no other hash would do.
fn keys(vector: &Vector) -> Credentials {
    let salt = message::decode_base64(vector.salt).unwrap();
    let password = prepare("pencil").unwrap();
    let mut credentials = credentials("not the one");
    match vector.mechanism {
        MechanismName::ScramSha1 => {
            credentials.sha1 = ScramKeys::derive::<Sha1>(&password, 4096, &salt);
        }
        MechanismName::ScramSha256 => {
            credentials.sha256 = ScramKeys::derive::<Sha256>(&password, 4096, &salt);
        }
        MechanismName::ScramSha512 => {
            credentials.sha512 = ScramKeys::derive::<Sha512>(&password, 4096, &salt);
        }
        MechanismName::Plain => unreachable!("PLAIN has no vectors"),
    }
    credentials
}

#[test]
fn a03_the_server_answers_the_published_exchanges_to_the_byte() {
    for vector in &VECTORS {
        let [first, challenge, last, success] = vector.messages;
        let account = account(vector.mechanism, DOMAIN, first.as_bytes()).unwrap();
        let mut server =
            server(vector.mechanism, &account, Some(keys(vector)), &masking(), vector.server_nonce);
        let answer = server.respond(first.as_bytes()).unwrap();
        assert_eq!(answer, Response::Proceed(challenge.into()), "{:?}", vector.mechanism);
        let answer = server.respond(last.as_bytes()).unwrap();
        let expected = Response::Success(Identity::Username("user".into()), success.into());
        assert_eq!(answer, expected, "{:?}", vector.mechanism);
    }
}

#[test]
fn the_client_speaks_the_published_exchanges_to_the_byte() {
    for vector in &VECTORS {
        let [first, challenge, last, success] = vector.messages;
        let mut client =
            Client::new(vector.mechanism, "user", "pencil", vector.client_nonce).unwrap();
        assert_eq!(client.first(), first);
        assert_eq!(client.respond(challenge.as_bytes()).as_deref(), Ok(last));
        assert_eq!(client.verify(success.as_bytes()), Ok(()));
    }
}

#[test]
fn plain_is_the_message_of_its_rfc() {
    // RFC 4616 4, whose first example has no authorization identity.
    let client = Client::new(MechanismName::Plain, "tim", "tanstaaftanstaaf", "").unwrap();
    assert_eq!(client.first(), "\0tim\0tanstaaftanstaaf");
    let named = account(MechanismName::Plain, DOMAIN, client.first().as_bytes());
    assert_eq!(named, Ok("tim@capulet.example".parse().unwrap()));
}
