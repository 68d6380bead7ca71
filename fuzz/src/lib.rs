//! The targets as plain functions: the fuzzer calls them with bytes of its own, `tests/replay.rs` with the seeds.

#[path = "../../xmpp-core/tests/support/oracle.rs"]
mod oracle;
#[path = "../../xmpp-core/tests/support/mod.rs"]
mod support;

use sasl::server::Response;
use xmpp_core::{
    BareJid, Jid,
    sasl::{self as xmpp_sasl, Masking, MechanismName},
    xml::{Framer, Limits},
};

/// A target takes any bytes, and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("framer_split", framer_split),
    ("checker_rxml", checker_rxml),
    ("stanza_roundtrip", stanza_roundtrip),
    ("jid", jid),
    ("sasl_first", sasl_first),
];

/// Any split of the input gives the same frames and the same error, and the buffer stays within the limit. The
/// first byte tells a document (`d`) from a stream, the next eight the sizes of the pieces.
pub fn framer_split(data: &[u8]) {
    let Some((sizes, input)) = data.split_at_checked(9) else { return };
    let limits =
        Limits { bytes: 200, elements: 8, depth: 4, attributes: 4, declarations: 4, name: 16 };
    let framer = match sizes[0] {
        b'd' => Framer::document(limits.clone()),
        _ => Framer::new(limits.clone()),
    };
    let whole = match sizes[0] {
        b'd' => Framer::document(limits.clone()),
        _ => Framer::new(limits.clone()),
    };
    let mut sizes = sizes[1..].iter().map(|size| usize::from(size % 32) + 1).cycle();
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(sizes.next().expect("without end")));
        pieces.push(piece);
        rest = after;
    }
    let split = support::read(framer, &limits, pieces);
    let whole = support::read(whole, &limits, [input]);
    assert_eq!(split.same(), whole.same());
    assert!(split.kept <= limits.bytes + 32);
}

/// What the checker accepts, rxml and quick-xml read alike.
pub fn checker_rxml(data: &[u8]) {
    oracle::agree(data, &Limits::AFTER_AUTH);
    oracle::agree(&oracle::wrapped(data), &Limits::AFTER_AUTH);
}

/// A stanza written and read again is the same, in a place without its stream's prefixes too.
pub fn stanza_roundtrip(data: &[u8]) {
    oracle::round_trip(data);
}

/// A prepared address is prepared to itself, and so are its parts.
pub fn jid(data: &[u8]) {
    let Ok(Ok(jid)) = str::from_utf8(data).map(str::parse::<Jid>) else { return };
    assert_eq!(jid.as_str().parse(), Ok(jid.clone()));
    assert_eq!(Jid::new(jid.local(), jid.domain(), jid.resource()), Ok(jid.clone()));
    assert_eq!(jid.bare_str().parse::<BareJid>(), Ok(jid.to_bare()));
    for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
        assert!((1..=1_023).contains(&part.len()));
    }
}

/// The first message of any mechanism: what names an account starts an exchange, and nobody gets in without a
/// password. The first byte chooses the mechanism.
pub fn sasl_first(data: &[u8]) {
    let Some((mechanism, first)) = data.split_first() else { return };
    let mechanism = match mechanism {
        b'5' => MechanismName::ScramSha512,
        b'2' => MechanismName::ScramSha256,
        b'1' => MechanismName::ScramSha1,
        _ => MechanismName::Plain,
    };
    let Ok(account) = xmpp_sasl::account(mechanism, "localhost", first) else { return };
    assert_eq!(account.domain(), "localhost");
    let masking = Masking::new([7; 32], 1);
    let mut exchange =
        xmpp_sasl::server(mechanism, &account, None, &masking, "a-nonce-of-the-server");
    match exchange.respond(first) {
        Ok(Response::Success(..)) => panic!("there is no such account"),
        Ok(Response::Proceed(challenge)) => {
            assert!(str::from_utf8(&challenge).is_ok_and(|c| c.contains("a-nonce-of-the-server")));
            assert!(exchange.respond(first).is_err());
        }
        Err(_) => {}
    }
}
