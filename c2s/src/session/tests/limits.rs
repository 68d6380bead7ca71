//! Time, rates and sizes.

use super::*;
use crate::Rate;
use bytes::Bytes;
use router::Mail;
use xmpp_core::stanza::{Kind, MessageType};

#[test]
fn x17_a_slow_drip_does_not_put_off_the_end() {
    let whole = header("capulet.lit");
    let drips: [&dyn Fn(usize) -> u8; 2] = [&|second| whole.as_bytes()[second], &|_| b' '];
    for (stage, drip) in [Talk::clear(), Talk::clear().opened()].into_iter().zip(drips) {
        let mut talk = stage;
        for second in 0..30 {
            assert!(talk.poll().is_none());
            talk.event(Event::Received(&[drip(second)]));
            talk.now += SECOND;
        }
        talk.event(Event::Received(b" "));
        talk.fails("policy-violation");
    }
}

#[test]
fn x17_the_deadline_is_known() {
    let mut talk = Talk::clear();
    assert_eq!(talk.session.deadline(), Some(talk.now + 30 * SECOND));
    talk.wait(29 * SECOND);
    assert!(talk.poll().is_none());
    talk.wait(SECOND);
    talk.fails("policy-violation");
}

#[test]
fn who_has_authenticated_has_as_long_again_to_bind() {
    let mut talk = Talk::secure().opened();
    talk.wait(29 * SECOND);
    talk.hear(&auth("PLAIN", PLAIN));
    assert!(matches!(talk.effect(), Effect::Authenticate(_)));
    talk.answer("juliet", b"");
    talk.said();
    talk.wait(29 * SECOND);
    assert!(talk.poll().is_none());
    talk.wait(SECOND);
    talk.fails("policy-violation");
}

#[test]
fn rfc6120_4_6_2_a_silent_client_is_asked_for_a_sign_of_life() {
    let mut talk = Talk::secure().bound();
    let heard = talk.now;
    assert_eq!(talk.session.deadline(), Some(heard + 300 * SECOND));
    talk.wait(300 * SECOND);
    assert!(talk.poll().is_none());
    let said = talk.said();
    assert!(said.contains("<ping xmlns='urn:xmpp:ping'/>"), "{said}");
    assert!(said.contains("from='capulet.lit'") && said.contains(BALCONY), "{said}");
    talk.wait(59 * SECOND);
    talk.says("");
    talk.wait(SECOND);
    talk.fails("connection-timeout");
}

#[test]
fn rfc6120_4_6_2_any_byte_is_a_sign_of_life() {
    let mut talk = Talk::secure().bound();
    for _ in 0..3 {
        talk.wait(300 * SECOND);
        assert!(talk.said().contains("urn:xmpp:ping"));
        talk.wait(59 * SECOND);
        talk.hear(" ");
        talk.says("");
        assert_eq!(talk.session.deadline(), Some(talk.now + 300 * SECOND));
    }
}

#[test]
fn a_client_that_does_not_read_is_gone_after_a_minute() {
    let mut talk = Talk::secure().bound();
    talk.event(Event::Mail(mail(100)));
    talk.now += 30 * SECOND;
    talk.event(Event::Written(1));
    talk.wait(59 * SECOND);
    talk.event(Event::Mail(mail(100)));
    assert!(talk.poll().is_none());
    talk.wait(SECOND);
    assert_eq!(
        talk.closed(),
        Closed { by: Side::Server, why: "the client does not read", text: None, finished: false }
    );
    talk.says("");
}

#[test]
fn r05_a_client_that_does_not_read_is_not_read_and_takes_no_mail() {
    let mut talk = Talk::secure().bound();
    while talk.session.has_room() {
        talk.event(Event::Mail(mail(10_000)));
    }
    assert!(talk.session.output().len() < 80_000);
    assert!(!talk.session.wants_input());
    talk.said();
    assert!(talk.session.has_room() && talk.session.wants_input());
}

#[test]
fn r05_over_the_rate_of_bytes_a_stream_is_not_read() {
    let mut settings = Settings::new("capulet.lit");
    settings.bytes = Rate { per_second: 1_000, burst: 10_000 };
    let mut talk = Talk::new(settings, true, false).bound();
    talk.now += 60 * SECOND; // the burst is whole again
    let stanza = format!("<message><body>{}</body></message>", "x".repeat(11_000 - 32));
    talk.hear(&stanza);
    assert_eq!(stanza.len(), 11_000);
    talk.says("");
    assert!(!talk.session.wants_input());
    let resume = talk.session.deadline().expect("a deadline");
    assert_eq!(resume, talk.now + SECOND);
    talk.wait(resume - talk.now);
    talk.dispatched();
    assert!(talk.session.wants_input());
}

#[test]
fn r05_over_the_rate_of_stanzas_what_came_already_waits() {
    let mut talk = Talk::secure().bound();
    talk.now += 60 * SECOND;
    talk.hear(&"<presence/>".repeat(250));
    for _ in 0..201 {
        talk.dispatched();
    }
    talk.says("");
    assert!(!talk.session.wants_input());
    for left in (0..49).rev() {
        let resume = talk.session.deadline().expect("a deadline");
        assert_eq!(resume, talk.now + SECOND / 50);
        talk.wait(SECOND / 50);
        talk.dispatched();
        assert!(talk.poll().is_none(), "{left}");
    }
}

#[test]
fn trusted_addresses_have_no_rates() {
    let mut talk = Talk::new(Settings::new("capulet.lit"), true, true).bound();
    for _ in 0..100 {
        talk.hear(&"<presence/>".repeat(100));
        for _ in 0..100 {
            talk.dispatched();
        }
    }
}

#[test]
fn x16_limits_are_small_before_authentication_and_large_after() {
    let text = |bytes: usize| "x".repeat(bytes);
    let frame = |bytes: usize| format!("<message><body>{}</body></message>", text(bytes - 32));
    let mut talk = Talk::clear().opened();
    talk.hear(&frame(8_192));
    talk.fails("not-authorized"); // it was read
    let mut talk = Talk::clear().opened();
    talk.hear(&frame(8_193));
    talk.fails("policy-violation");

    let mut settings = Settings::new("capulet.lit");
    settings.bytes.burst = u32::MAX;
    let mut talk = Talk::new(settings.clone(), true, false).bound();
    talk.hear(&frame(262_144));
    talk.dispatched();
    let mut talk = Talk::new(settings, true, false).bound();
    let over = frame(262_145);
    talk.hear(&over[..262_143]);
    talk.says("");
    talk.hear("x"); // and two bytes are still to come
    talk.fails("policy-violation");
}

/// XEP-0478 3.1
#[test]
fn x16_the_limits_on_offer_are_those_that_hold() {
    let mut settings = Settings::new("capulet.lit");
    settings.before_auth.bytes = 2_000;
    settings.after_auth.bytes = 12_345;
    settings.auth_timeout = 20 * SECOND;
    settings.idle_timeout = 77 * SECOND;
    let stranger = || Talk::new(settings.clone(), true, false);
    let authenticated = || {
        let mut talk = stranger().opened();
        talk.hear(&auth("PLAIN", PLAIN));
        talk.effect();
        talk.answer("juliet", b"");
        talk.said();
        talk
    };
    let offer = |mut talk: Talk| {
        talk.hear(&header("capulet.lit"));
        assert!(talk.poll().is_none());
        let said = talk.said();
        let number = |element: &str| {
            let (_, rest) = said.split_once(&format!("<{element}>")).expect("it is on offer");
            rest.split_once('<').expect("it ends").0.parse().expect("a number")
        };
        (number("max-bytes"), number("idle-seconds"))
    };
    let (before, after) = (offer(stranger()), offer(authenticated()));
    assert_eq!((before, after), ((2_000, 20), (12_345, 77)));

    let message = |bytes: u64| {
        let frame = "<message><body></body></message>";
        let body = usize::try_from(bytes).expect("it is small") - frame.len();
        format!("<message><body>{}</body></message>", "x".repeat(body))
    };
    let mut talk = stranger().opened();
    talk.hear(&message(before.0));
    talk.fails("not-authorized"); // it was read
    let mut talk = stranger().opened();
    talk.hear(&message(before.0 + 1));
    talk.fails("policy-violation");
    let mut talk = stranger().bound();
    talk.hear(&message(after.0));
    talk.dispatched();
    let mut talk = stranger().bound();
    talk.hear(&message(after.0 + 1));
    talk.fails("policy-violation");

    let mut talk = stranger().opened();
    talk.wait(Duration::from_secs(before.1) - SECOND);
    talk.says("");
    talk.wait(SECOND);
    talk.fails("policy-violation"); // it took too long
    let mut talk = stranger().bound();
    talk.wait(Duration::from_secs(after.1) - SECOND);
    talk.says("");
    talk.wait(SECOND);
    assert!(talk.said().contains("urn:xmpp:ping"));
}

#[test]
fn x04_elements_are_counted_before_authentication() {
    let mut talk = Talk::clear().opened();
    talk.hear(&format!("<x>{}", "<a/>".repeat(32)));
    talk.fails("policy-violation");
}

#[test]
fn an_idle_stream_holds_no_buffers() {
    let mut talk = Talk::secure().bound();
    talk.hear(&format!("<message><body>{}</body></message>", "x".repeat(10_000)));
    talk.dispatched();
    talk.event(Event::Mail(mail(10_000)));
    talk.said();
    assert!(talk.poll().is_none());
    talk.session.release_output();
    assert_eq!(talk.session.stream.input.capacity(), 0);
    assert_eq!(talk.session.stream.output.capacity(), 0);
    assert_eq!(talk.session.stream.unwritten.capacity(), 0);
}

fn mail(bytes: usize) -> Mail {
    let body = format!("<body>{}</body>", "x".repeat(bytes));
    let message = Stanza::new(Kind::Message(MessageType::Chat), Bytes::from(body));
    Mail::Letter(message.from(jid("romeo@montague.lit/orchard")).to(jid(BALCONY)).into())
}
