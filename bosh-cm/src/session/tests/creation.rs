//! How a session begins: XEP-0124 7, XEP-0206 3 to 5.

use super::*;

#[test]
fn row_13_and_14_the_answer_grants_what_was_asked_as_far_as_it_may() {
    let mut talk = Talk::asked("ver='1.6' hold='2' wait='30'");
    assert_eq!(talk.connects, ["example.com"]);
    assert!(talk.answers.is_empty(), "it waits for the features");
    talk.server(HEADER).server(FEATURES);
    let (conn, body) = talk.answer();
    assert_eq!(conn, FIRST);
    assert_eq!(
        body,
        format!(
            "<body xmlns:stream='http://etherx.jabber.org/streams' xmlns:xmpp='urn:xmpp:xbosh' \
             sid='SID' ver='1.6' wait='30' hold='2' requests='3' polling='2' inactivity='60' \
             maxpause='120' xmpp:restartlogic='true' stream='{}' from='example.com' xmpp:version='1.0' \
             authid='i1'>{FEATURES}</body>",
            stream::name("SID", StreamId::FIRST),
        )
    );
}

#[test]
fn row_15_session_attributes_come_once() {
    let mut talk = Talk::usual();
    talk.send(101, "").after(60);
    assert_eq!(talk.answer(), empty(101));
}

#[test]
fn b03_hold_and_wait_are_clamped() {
    let mut talk = Talk::asked("hold='1000000' wait='1000000000'");
    talk.server(HEADER).server(FEATURES);
    let (_, body) = talk.answer();
    assert!(body.contains(" wait='60' hold='4' requests='5' "), "{body}");
    let mut talk = Talk::asked("");
    talk.server(HEADER).server(FEATURES);
    let (_, body) = talk.answer();
    assert!(body.contains(" wait='60' hold='1' requests='2' "), "{body}");
}

#[test]
fn x18_odd_numbers_open_nothing() {
    for odd in ["hold='-1'", "hold='01'", "wait='1e9'", "wait=''", "hold='99999999999999999999'"] {
        assert_eq!(open(odd).err(), Some(Condition::BadRequest), "{odd}");
    }
}

#[test]
fn row_4_every_answer_has_the_content_type_asked_for() {
    let mut talk = Talk::asked("content='text/html' ver='1.6'");
    talk.server(HEADER).server(FEATURES).on(1, 101, "", "").on(2, 999, "", "");
    assert_eq!(talk.answers.len(), 3);
    assert!(talk.answers.iter().all(|(_, answer)| &*answer.content == "text/html"));
    assert_eq!(open("content='text/x'").err(), Some(Condition::BadRequest));
    let mut talk = Talk::asked("");
    talk.server(HEADER).server(FEATURES);
    assert_eq!(&*talk.answers[0].1.content, "text/xml; charset=utf-8");
}

#[test]
fn row_18_and_71_what_the_server_tells_late_comes_in_a_later_answer() {
    let mut talk = Talk::asked("ver='1.6' wait='10'");
    talk.after(10);
    let (_, body) = talk.answer();
    assert!(body.contains(" sid='SID' ") && !body.contains(" from="), "{body}");
    talk.send(101, "").server(HEADER);
    assert_eq!(talk.answers(), [], "a header is nothing to answer for");
    talk.server(FEATURES);
    assert_eq!(
        talk.answer().1,
        format!(
            "<body xmlns:stream='http://etherx.jabber.org/streams' xmlns:xmpp='urn:xmpp:xbosh' \
             from='example.com' xmpp:version='1.0' authid='i1'>{FEATURES}</body>"
        )
    );
}

#[test]
fn row_18_what_the_server_tells_is_not_spent_on_a_lost_connection() {
    let mut talk = Talk::asked("ver='1.6' wait='10'");
    talk.after(10).send(101, "").server(HEADER).lose(101).send(102, "").answers();
    talk.server(FEATURES);
    let (conn, body) = talk.answer();
    assert!(conn == 102 && body.contains(" from='example.com' "), "{body}");
}

#[test]
fn row_21_from_and_language_go_into_the_stream_header() {
    let mut talk = Talk::asked("from='romeo@example.com' xml:lang='it'");
    let header = talk.written();
    for part in ["to='example.com'", "from='romeo@example.com'", "xml:lang='it'", "version='1.0'"] {
        assert!(header.contains(part), "{part} in {header}");
    }
}

#[test]
fn b07_a_route_changes_nothing() {
    let talk = Talk::asked("route='xmpp:198.51.100.9:25'");
    assert_eq!(talk.connects, ["example.com"]);
    assert!(!talk.written.contains("198.51"));
}

#[test]
fn row_25_a_server_out_of_reach_is_told_in_the_first_answer() {
    let mut talk = Talk::asked("ver='1.6'");
    talk.tell(Event::Failed(StreamId::FIRST, Condition::RemoteConnectionFailed));
    assert_eq!(talk.answer(), (FIRST, terminate("remote-connection-failed")));
    assert!(talk.end.is_some());
    assert!(!talk.written.contains("</stream"), "there is nobody to say goodbye to");

    let mut talk = Talk::asked("ver='1.6'");
    talk.tell(Event::Failed(StreamId::FIRST, Condition::HostUnknown));
    assert_eq!(talk.answer(), (FIRST, terminate("host-unknown")));
}

#[test]
fn row_25_a_server_without_a_word_is_given_up() {
    let mut talk = Talk::asked("ver='1.6' wait='60'");
    talk.after(29);
    assert_eq!(talk.answers(), []);
    talk.after(1);
    assert_eq!(talk.answer(), (FIRST, terminate("remote-connection-failed")));
}

#[test]
fn row_25_a_server_that_speaks_something_else_is_given_up() {
    for odd in ["HTTP/1.1 400 Bad Request\r\n\r\n", "<html>", "<!DOCTYPE x>"] {
        let mut talk = Talk::asked("ver='1.6'");
        talk.server(odd);
        assert_eq!(talk.answer(), (FIRST, terminate("remote-connection-failed")), "{odd}");
    }
}

#[test]
fn a_session_that_nobody_can_know_ends_with_its_connection() {
    let mut talk = Talk::asked("");
    talk.lose(FIRST);
    assert_eq!(talk.end, Some(End::Inactive));
    assert_eq!(talk.closed, [0]);
}

#[test]
fn row_73_a_restart_opens_a_new_stream_on_the_same_connection() {
    let mut talk = Talk::usual();
    talk.send(101, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>eA==</auth>");
    talk.written();
    talk.server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    assert_eq!(talk.answer(), (101, holding(success)));
    assert!(talk.authenticated);

    let attributes = "to='example.com' xml:lang='it' xmpp:restart='true'";
    talk.on(102, 102, attributes, &message("ignored"));
    let header = talk.written();
    assert!(header.contains("<stream:stream") && header.contains("xml:lang='it'"), "{header}");
    assert!(!header.contains("ignored") && !header.contains("</stream"), "{header}");
    assert_eq!(talk.connects.len(), 1);

    talk.server(&HEADER.replace("i1", "i2"));
    talk.server(
        "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    );
    assert_eq!(
        talk.answer(),
        (
            102,
            "<body xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features></body>"
                .into()
        )
    );
}

#[test]
fn x14_a_restart_changes_no_host_and_waits_for_authentication() {
    let mut talk = Talk::usual();
    talk.on(101, 101, "xmpp:restart='true'", "");
    assert_eq!(talk.answer(), (101, terminate("bad-request")), "before SASL");

    let mut talk = Talk::usual();
    talk.server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    talk.send(101, "").answers();
    talk.on(102, 102, "to='other.example' xmpp:restart='true'", "");
    assert_eq!(talk.answer(), (102, terminate("bad-request")));
    assert_eq!(talk.written(), "</stream:stream>");
}

#[test]
fn a09_nothing_is_said_between_authentication_and_the_restart() {
    let mut talk = Talk::usual();
    talk.server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    talk.send(101, "").answers();
    talk.send(102, "<presence/>");
    assert_eq!(talk.answer(), (102, terminate("bad-request")));
    assert_eq!(talk.written(), "</stream:stream>");
}

#[test]
fn row_74_features_of_no_use_over_http_are_left_out() {
    let mut talk = Talk::asked("");
    talk.server(HEADER).server(
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
         <compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
         <mechanism>SCRAM-SHA-1</mechanism><mechanism> SCRAM-SHA-256-PLUS</mechanism></mechanisms>\
         <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
         </sasl-channel-binding><sub xmlns='urn:x'/></stream:features>",
    );
    let (_, body) = talk.answer();
    let features = &body[body.find("<stream:features>").expect("features")..];
    assert_eq!(
        features,
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>SCRAM-SHA-1</mechanism></mechanisms><sub xmlns='urn:x'/></stream:features></body>"
    );
}

#[test]
fn row_77_external_is_not_offered_since_the_certificate_would_not_be_the_clients() {
    let mut talk = Talk::asked("");
    talk.server(HEADER).server(
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>EXTERNAL</mechanism><mechanism> EXTERNAL </mechanism><mechanism>PLAIN</mechanism>\
         </mechanisms><authentication xmlns='urn:xmpp:sasl:2'><mechanism>EXTERNAL</mechanism>\
         </authentication></stream:features>",
    );
    let (_, body) = talk.answer();
    assert!(!body.contains("EXTERNAL") && body.contains("PLAIN"), "{body}");
}

#[test]
fn row_72_the_prefix_stream_is_declared_whatever_the_server_calls_it() {
    let mut talk = Talk::asked("");
    talk.server(
        "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' \
         id='i' version='1.0'><s:features><x xmlns='urn:x'/></s:features>",
    );
    let (_, body) = talk.answer();
    assert!(body.contains(" xmlns:stream='http://etherx.jabber.org/streams' "), "{body}");
    assert!(body.ends_with("<stream:features><x xmlns='urn:x'/></stream:features></body>"));
}
