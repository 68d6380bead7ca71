//! Logging in, as far as the server computes something for it.

use super::Once;
use std::hint::black_box;
use xmpp_core::{
    BareJid,
    sasl::{self, Credentials, Masking, MechanismName, Response, client::Client},
};

const MECHANISM: MechanismName = MechanismName::ScramSha1;
const NONCE: &str = "0123456789abcdef";

/// The server's part of an exchange: the client's is said in advance.
pub(crate) fn scram() -> Once {
    let juliet: BareJid = "juliet@localhost".parse().expect("an address");
    let credentials = Credentials::derive("secret", 4096, &[[0; 16]; 3]).expect("a password");
    let masking = Masking::new([0; 32], 4096);
    let mut client = Client::new(MECHANISM, "juliet", "secret", NONCE).expect("a password");
    let first = client.first();
    let mut respond = None;
    Box::new(move || {
        let account = sasl::account(MECHANISM, "localhost", first.as_bytes());
        assert_eq!(account.as_ref(), Ok(&juliet));
        let known = Some(credentials.clone());
        let mut server = sasl::server(MECHANISM, &juliet, known, &masking, NONCE);
        let Ok(Response::Proceed(challenge)) = server.respond(first.as_bytes()) else {
            panic!("no challenge");
        };
        let last = respond.get_or_insert_with(|| client.respond(&challenge).expect("a challenge"));
        let end = server.respond(last.as_bytes());
        assert!(matches!(black_box(end), Ok(Response::Success(..))));
    })
}
