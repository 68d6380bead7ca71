//! What can be wrong with SCRAM: A03.

use crate::{
    case::{
        Case, Expect,
        Expect::{Answer, SaslFailure},
        Met, PASSWORD,
        Stage::*,
        case, made,
    },
    stream::{NONCE, auth},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use xmpp_core::{
    ns,
    sasl::{MechanismName, client::Client},
};

const MALFORMED: Expect = SaslFailure("malformed-request");
const REFUSED: Expect = SaslFailure("not-authorized");
const ENCODING: Expect = SaslFailure("incorrect-encoding");

fn first(message: &str) -> String {
    auth("SCRAM-SHA-1", &BASE64.encode(message))
}

/// The right last message of this user, and what becomes of it on the way.
fn last(met: &Met, user: &str, challenge: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    if met.challenge.is_empty() {
        return vec![b' '; 200]; // nothing was said yet: only the length counts
    }
    let mut client = Client::new(MechanismName::ScramSha1, user, PASSWORD, NONCE).unwrap();
    let message = change(client.respond(challenge.as_bytes()).unwrap());
    response(&message)
}

fn response(message: &str) -> Vec<u8> {
    format!("<response xmlns='{}'>{}</response>", ns::SASL, BASE64.encode(message)).into_bytes()
}

/// The right message, changed.
fn changed(met: &Met, change: impl Fn(String) -> String) -> Vec<u8> {
    last(met, "mallory", &met.challenge, change)
}

/// With another proof of the same length.
fn with_proof(message: String, proof: &str) -> String {
    let (unproven, _) = message.split_once(",p=").expect("a proof");
    format!("{unproven},p={proof}")
}

pub fn cases() -> Vec<Case> {
    [first_messages(), last_messages()].into_iter().flatten().collect()
}

/// RFC 5802 5.1, 7.
fn first_messages() -> Vec<Case> {
    vec![
        case("a03_scram_without_a_header", Offered, first("n=mallory,r=x"), MALFORMED),
        case("a03_scram_with_an_unknown_flag", Offered, first("q,,n=mallory,r=x"), MALFORMED),
        case(
            "a03_scram_with_a_binding_it_cannot_have",
            Offered,
            first("p=tls-exporter,,n=mallory,r=x"),
            REFUSED,
        ),
        case(
            "a03_scram_with_a_binding_without_a_name",
            Offered,
            first("p=,,n=mallory,r=x"),
            MALFORMED,
        ),
        case(
            "a03_scram_with_a_mandatory_extension",
            Offered,
            first("n,,m=x,n=mallory,r=y"),
            REFUSED,
        ),
        case("a03_scram_in_another_order", Offered, first("n,,r=x,n=mallory"), MALFORMED),
        case("a03_scram_without_a_name", Offered, first("n,,n=,r=x"), MALFORMED),
        case("a03_scram_without_a_nonce", Offered, first("n,,n=mallory,r="), MALFORMED),
        case(
            "a03_scram_with_a_space_in_its_nonce",
            Offered,
            first("n,,n=mallory,r=x y"),
            MALFORMED,
        ),
        case("a03_scram_with_a_name_half_quoted", Offered, first("n,,n=mal=2lory,r=x"), MALFORMED),
        case("a03_scram_with_two_names", Offered, first("n,,n=mallory,n=nurse,r=x"), MALFORMED),
        case("a03_scram_with_nul", Offered, first("n,,n=mal\0lory,r=x"), MALFORMED),
        case(
            "a03_scram_with_the_proof_at_once",
            Offered,
            first("n,,n=mallory,r=x,p=AAAA"),
            MALFORMED,
        ),
        case(
            "a03_scram_in_surrogates",
            Offered,
            auth("SCRAM-SHA-1", &BASE64.encode(b"n,,n=\xED\xA0\x80,r=x")),
            ENCODING,
        ),
        // An account that is not there looks like any other until the end (threat A05).
        case(
            "a03_scram_of_nobody_is_challenged",
            Offered,
            first("n,,n=paris,r=x"),
            Answer(|challenge| challenge.is(ns::SASL, "challenge")),
        ),
        // `y`: the client believes that no binding is on offer, which is true (RFC 5802 6).
        case(
            "a03_scram_with_y_where_no_binding_is_offered",
            Offered,
            first("y,,n=mallory,r=x"),
            Answer(|challenge| challenge.is(ns::SASL, "challenge")),
        ),
    ]
}

fn last_messages() -> Vec<Case> {
    vec![
        made(
            "a03_scram_right",
            Challenged,
            |met| changed(met, |right| right),
            Answer(|success| success.is(ns::SASL, "success")),
        ),
        made(
            "a03_scram_with_another_nonce",
            Challenged,
            |met| changed(met, |right| right.replace(",r=fyko", ",r=okyf")),
            REFUSED,
        ),
        made(
            "a03_scram_with_the_client_s_nonce_alone",
            Challenged,
            |met| {
                changed(met, |right| {
                    let (start, rest) = right.split_once(",r=").expect("a nonce");
                    let (_, proof) = rest.split_once(",p=").expect("a proof");
                    format!("{start},r={NONCE},p={proof}")
                })
            },
            REFUSED,
        ),
        made(
            "a03_scram_with_a_longer_nonce",
            Challenged,
            |met| changed(met, |right| right.replace(",p=", "x,p=")),
            REFUSED,
        ),
        // eSws is "y,,": the flag was changed on the way.
        made(
            "a03_scram_with_another_flag",
            Challenged,
            |met| changed(met, |right| right.replace("c=biws", "c=eSws")),
            REFUSED,
        ),
        made(
            "a03_scram_with_a_binding_that_is_not_base64",
            Challenged,
            |met| changed(met, |right| right.replace("c=biws", "c=bi ws")),
            ENCODING,
        ),
        made(
            "a03_scram_with_an_empty_binding",
            Challenged,
            |met| changed(met, |right| right.replace("c=biws", "c=")),
            MALFORMED,
        ),
        made(
            "a03_scram_without_a_proof",
            Challenged,
            |met| changed(met, |right| right.split(",p=").next().expect("a start").to_owned()),
            MALFORMED,
        ),
        made(
            "a03_scram_with_a_proof_of_zeros",
            Challenged,
            |met| changed(met, |right| with_proof(right, &BASE64.encode([0; 20]))),
            REFUSED,
        ),
        made(
            "a03_scram_with_a_short_proof",
            Challenged,
            |met| changed(met, |right| with_proof(right, &BASE64.encode([0; 19]))),
            REFUSED,
        ),
        made(
            "a03_scram_with_a_long_proof",
            Challenged,
            |met| changed(met, |right| with_proof(right, &BASE64.encode([0; 64]))),
            REFUSED,
        ),
        made(
            "a03_scram_with_a_proof_that_is_not_base64",
            Challenged,
            |met| changed(met, |right| with_proof(right, "!")),
            ENCODING,
        ),
        made(
            "a03_scram_with_two_proofs",
            Challenged,
            |met| changed(met, |right| right.replace(",p=", ",p=AAAA,p=")),
            MALFORMED,
        ),
        made(
            "a03_scram_with_a_late_extension",
            Challenged,
            |met| changed(met, |right| right.replace(",p=", ",x=1,p=")),
            REFUSED,
        ),
        made(
            "a03_scram_with_a_late_mandatory_extension",
            Challenged,
            |met| changed(met, |right| right.replace(",p=", ",m=1,p=")),
            REFUSED,
        ),
        made(
            "a03_scram_of_another_user",
            Challenged,
            |met| last(met, "nurse", &met.challenge, |right| right),
            REFUSED,
        ),
        made(
            "a03_scram_with_fewer_rounds",
            Challenged,
            |met| last(met, "mallory", &met.challenge.replace(",i=1", ",i=2"), |right| right),
            REFUSED,
        ),
        made(
            "a03_scram_with_another_salt",
            Challenged,
            |met| {
                let (start, _) = met.challenge.split_once(",s=").unwrap_or_default();
                let salt = BASE64.encode([7; 15]);
                last(met, "mallory", &format!("{start},s={salt},i=1"), |right| right)
            },
            REFUSED,
        ),
        // Heard in another exchange.
        case(
            "a03_scram_replayed",
            Challenged,
            response("c=biws,r=fyko3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
            REFUSED,
        ),
        case(
            "a03_scram_first_message_again",
            Challenged,
            response("n,,n=mallory,r=fyko"),
            MALFORMED,
        ),
    ]
}
