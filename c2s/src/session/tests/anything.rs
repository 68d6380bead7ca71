//! Whatever comes in whatever order: the rules that no conversation may break.

use super::*;
use crate::Registration;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Move {
    /// The client sends a piece of something sensible.
    Says(&'static str),
    /// The client sends this.
    Babbles(Vec<u8>),
    /// The driver's answer to what it was asked is good news, or bad.
    Answered(bool),
    Waits(u32),
    /// The client reads so many bytes.
    Reads(usize),
}

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='capulet.lit' version='1.0'>";

const WORDS: [&str; 23] = [
    HEADER,
    HEADER,
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGp1bGlldAByMG0zMG15cjBtMzA=</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<message to='romeo@montague.lit'><body>hi</body></message>",
    "<message to='@@@'/>",
    "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>",
    "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>juliet</username>\
     <password>secret</password></query></iq>",
    "<presence/>",
    "<inactive xmlns='urn:xmpp:csi:0'/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    "<enable xmlns='urn:xmpp:sm:3'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='token' h='0'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='9'/>",
    "<iq type='result' id='1'/>",
    " ",
    "</stream:stream>",
];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        12 => prop::sample::select(&WORDS[..]).prop_map(Move::Says),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Move::Babbles),
        12 => any::<bool>().prop_map(Move::Answered),
        1 => (0_u32..400).prop_map(Move::Waits),
        4 => (0_usize..3_000).prop_map(Move::Reads),
    ];
    // most begin well, or few would come far
    (0_usize..6, prop::collection::vec(one, 0..30)).prop_map(|(known, mut moves)| {
        use Move::{Answered, Says};
        let login = [
            Says(HEADER),
            Says(WORDS[3]),
            Answered(true),
            Says(HEADER),
            Says(WORDS[7]),
            Answered(true),
        ];
        moves.splice(0..0, login.into_iter().take(known));
        moves
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nobody_is_served_before_they_are_known_and_nothing_follows_the_end(
        moves in moves(),
        secure in any::<bool>(),
    ) {
        let mut settings = Settings::new("capulet.lit");
        settings.require_tls = false;
        settings.registration =
            Some(Registration { timeout: 300 * SECOND, per_hour: 1, reserved: Vec::new() });
        let mut talk = Talk::new(settings, secure, false);
        let (mut authenticated, mut bound, mut closed) = (false, false, false);
        let (mut asked, mut protected) = (None, secure);
        for step in moves {
            match step {
                Move::Says(text) if talk.session.wants_input() => {
                    talk.event(Event::Received(text.as_bytes()));
                }
                Move::Babbles(bytes) if talk.session.wants_input() => {
                    talk.event(Event::Received(&bytes));
                }
                Move::Says(_) | Move::Babbles(_) => {}
                Move::Answered(well) => match asked.take() {
                    Some(Effect::StartTls) if well => {
                        protected = true;
                        talk.event(Event::Secured);
                    }
                    Some(Effect::StartTls) => talk.event(Event::Lost),
                    Some(Effect::Authenticate(_)) if well => {
                        authenticated = true;
                        talk.answer("juliet", b"");
                    }
                    Some(Effect::Authenticate(_)) => {
                        let refused = Answer::Refused(Failure::NotAuthorized);
                        talk.event(Event::Authenticated(refused));
                    }
                    Some(Effect::Register(..)) => {
                        let outcome = if well { Ok(()) } else { Err(RegisterError::Taken) };
                        talk.event(Event::Registered(outcome));
                    }
                    Some(Effect::Claim(..)) if well => {
                        bound = true;
                        talk.claimed(Ok(BALCONY));
                    }
                    Some(Effect::Claim(..)) => talk.claimed(Err(ClaimError::Failed)),
                    Some(Effect::Resume(..)) if well => {
                        bound = true;
                        talk.event(Event::Resumed(Ok(manage::former(&[]))));
                    }
                    Some(Effect::Resume(..)) => talk.event(Event::Resumed(Err(Some(7)))),
                    _ => {}
                },
                Move::Waits(seconds) => talk.wait(seconds * SECOND),
                Move::Reads(bytes) => {
                    let bytes = bytes.min(talk.session.output().len());
                    talk.event(Event::Written(bytes));
                }
            }
            while let Some(effect) = talk.session.poll() {
                prop_assert!(!closed, "an effect after the end");
                match effect {
                    Effect::Dispatch(stanza) => {
                        prop_assert!(authenticated && bound);
                        prop_assert!(stanza.head.from.is_none());
                        talk.event(Event::Routed);
                        talk.event(Event::Settled(1));
                        continue;
                    }
                    Effect::Active(active) => {
                        prop_assert!(bound && !active);
                        continue; // the mailbox is told, and that is all
                    }
                    Effect::Manage(_) => {
                        prop_assert!(bound);
                        continue; // it is to be found, and that is all
                    }
                    Effect::Resume(ref who, _) => {
                        prop_assert!(authenticated && !bound);
                        prop_assert_eq!(who.as_str(), JULIET);
                    }
                    Effect::Close(end) => {
                        closed = true;
                        let said = String::from_utf8_lossy(talk.session.output()).into_owned();
                        let footer = said.is_empty() || said.ends_with("</stream:stream>");
                        prop_assert!(end.by == Side::Client || footer, "{}: {}", end.why, said);
                        continue;
                    }
                    Effect::Claim(ref who, _) => {
                        prop_assert!(authenticated && !bound);
                        prop_assert_eq!(who.as_str(), JULIET);
                    }
                    Effect::Authenticate(_) => prop_assert!(!authenticated),
                    Effect::Register(..) => prop_assert!(!authenticated && protected),
                    Effect::StartTls => prop_assert!(!authenticated && !secure),
                }
                prop_assert!(asked.is_none(), "asked twice");
                prop_assert!(!talk.session.wants_input(), "read while an answer is under way");
                asked = Some(effect);
                break;
            }
            prop_assert_eq!(talk.session.deadline().is_none(), closed);
            if closed {
                prop_assert!(!talk.session.wants_input() && !talk.session.has_room());
            }
        }
    }
}
