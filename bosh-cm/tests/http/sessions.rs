//! Sessions over real connections.

use crate::stage::{Answer, BODY, Browser, FEATURES, HEADER, Server, Stage, attribute};
use bosh_cm::{Insecure, Settings};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const MESSAGE: &str = "<message xmlns='jabber:client'><body>hi</body></message>";

fn body(sid: &str, rid: u64, attributes: &str, payloads: &str) -> String {
    format!("<body {BODY} sid='{sid}' rid='{rid}' {attributes}>{payloads}</body>")
}

fn post(body: &str) -> String {
    format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn creation(attributes: &str) -> String {
    format!("<body {BODY} rid='100' to='example.com' {attributes}/>")
}

fn holds(answer: &Answer, payload: &str) -> bool {
    answer.status == 200 && answer.body.contains(payload)
}

/// The requests 101 and 102.
async fn log_in(browser: &mut Browser, sid: &str, server: &mut Server) {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>eA==</auth>";
    browser.send(&body(sid, 101, "", auth)).await;
    server.expect(auth).await;
    server.send(SUCCESS).await;
    assert!(holds(&browser.answer().await, SUCCESS));

    let restart = "xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true' to='example.com'";
    browser.send(&body(sid, 102, restart, "")).await;
    server.expect("<stream:stream").await;
    server.expect(">").await;
    let bind =
        "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
    server.send(&format!("{HEADER}{bind}")).await;
    assert!(holds(&browser.answer().await, bind));
}

#[tokio::test]
async fn from_the_first_request_to_the_first_message() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    assert_eq!(server.domain, "example.com");
    assert_eq!(server.visitor.address, Some("127.0.0.1".parse().unwrap()));
    assert!(server.visitor.secure, "loopback is");

    log_in(&mut browser, &sid, &mut server).await;
    browser.send(&body(&sid, 103, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
    server.send(&MESSAGE.replace(" xmlns='jabber:client'", "")).await;
    let answer = browser.answer().await;
    assert_eq!(answer.body, format!("<body {BODY}>{MESSAGE}</body>"));
}

/// Clients send what they have queued in one body, such as a question about each contact, and each stanza declares its
/// namespace.
#[tokio::test]
async fn row_10_a_body_holds_two_thousand_stanzas() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    log_in(&mut browser, &sid, &mut server).await;
    let many = MESSAGE.repeat(2_000);
    browser.send(&body(&sid, 103, "", &many)).await;
    server.expect(&many).await;
}

#[tokio::test]
async fn row_1_every_request_may_have_a_connection_of_its_own_in_http_1_0() {
    let stage = Stage::new();
    let (_, sid, mut server) = stage.session().await;
    for rid in 101..=103 {
        let mut browser = stage.browser().await;
        let text = body(&sid, rid, "", MESSAGE);
        let head = format!("POST /http-bind HTTP/1.0\r\nContent-Length: {}\r\n\r\n", text.len());
        browser.raw(format!("{head}{text}").as_bytes()).await;
        server.expect(MESSAGE).await;
        server.send(MESSAGE).await;
        let answer = browser.answer().await;
        assert!(holds(&answer, MESSAGE), "{answer:?}");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert_eq!(browser.read_answer(false).await, None, "and it is closed");
    }
}

#[tokio::test]
async fn row_2_a_client_that_pipelines_gets_its_answers_in_order() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    browser.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    browser.send(&body(&sid, 102, "", "<b xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    server.send(MESSAGE).await;
    assert!(holds(&browser.answer().await, MESSAGE));
    server.expect("<b xmlns='x'/>").await;
    server.send(MESSAGE).await;
    assert!(holds(&browser.answer().await, MESSAGE));
}

#[tokio::test(start_paused = true)]
async fn row_2_a_client_that_pipelines_never_waits_for_the_request_before() {
    let stage = Stage::new();
    let (mut first, sid, mut server) = stage.session_from("192.0.2.7").await;
    let started = tokio::time::Instant::now();
    // In one piece and in several, and the first of them to be held for a minute.
    let posts: String = (101..=103).map(|rid| post(&body(&sid, rid, "", MESSAGE))).collect();
    first.raw(posts.as_bytes()).await;
    for _ in 0..2 {
        assert_eq!(first.answer().await.body, format!("<body {BODY}/>"));
    }
    server.expect(&MESSAGE.repeat(3)).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let next = post(&body(&sid, 104, "", "<b xmlns='x'/>"));
    first.raw(&next.as_bytes()[..1]).await;
    assert_eq!(first.answer().await.body, format!("<body {BODY}/>"), "its first byte is enough");
    first.raw(&next.as_bytes()[1..]).await;
    server.expect("<b xmlns='x'/>").await;
    server.send(MESSAGE).await;
    assert!(holds(&first.answer().await, MESSAGE));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn row_2_and_30_requests_pipelined_in_the_wrong_order_are_sent_back() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session_from("192.0.2.7").await;
    let (late, early) =
        (body(&sid, 102, "", "<b xmlns='x'/>"), body(&sid, 101, "", "<a xmlns='x'/>"));
    browser.raw((post(&late) + &post(&early) + &post(&late)).as_bytes()).await;
    assert_eq!(browser.answer().await.body, format!("<body {BODY} type='error'/>"));
    server.expect("<a xmlns='x'/><b xmlns='x'/>").await;
    assert_eq!(browser.answer().await.body, format!("<body {BODY}/>"), "101");
    server.send(MESSAGE).await;
    assert!(holds(&browser.answer().await, MESSAGE), "102");
}

#[tokio::test]
async fn row_66_and_68_each_stream_of_a_session_has_a_server_of_its_own() {
    let stage = Stage::new();
    let (mut browser, sid, mut first) = stage.session().await;
    let answer = browser.post(&body(&sid, 101, "to='example.org'", "")).await;
    let name = attribute(&answer.body, "stream");
    let mut second = stage.server().await;
    assert_eq!(second.domain, "example.org");
    second.greet().await;
    let answer = browser.post(&body(&sid, 102, "", "")).await;
    assert!(holds(&answer, FEATURES) && attribute(&answer.body, "stream") == name);

    browser.send(&body(&sid, 103, &format!("stream='{name}'"), "<a xmlns='x'/>")).await;
    second.expect("<a xmlns='x'/>").await;
    first.send(MESSAGE).await;
    let answer = browser.answer().await;
    assert!(holds(&answer, MESSAGE) && attribute(&answer.body, "stream") != name);
    let end = format!("type='terminate' stream='{name}'");
    let answer = browser.post(&body(&sid, 104, &end, "")).await;
    assert!(answer.body.contains("type='terminate'") && attribute(&answer.body, "stream") == name);
    assert_eq!(second.gone().await, "</stream:stream>");
    browser.send(&body(&sid, 105, "", "<b xmlns='x'/>")).await;
    assert!(!first.expect("<b xmlns='x'/>").await.contains("<a"));
    first.send(MESSAGE).await;
    assert!(holds(&browser.answer().await, MESSAGE));
    let answer = browser.post(&body(&sid, 106, "to='unreachable.example'", "")).await;
    let lost = attribute(&answer.body, "stream");
    let answer = browser.post(&body(&sid, 107, "", "")).await;
    assert!(answer.is_terminal("remote-connection-failed"), "{answer:?}");
    assert_eq!(attribute(&answer.body, "stream"), lost);
}

#[tokio::test]
async fn b03_further_streams_count_as_sessions_do() {
    let mut settings = Settings::default();
    settings.sessions.per_address = 2;
    let stage = Stage::with(settings, Vec::new());
    let (mut browser, sid, _first) = stage.session_from("192.0.2.7").await;
    browser.post(&body(&sid, 101, "to='example.org'", "")).await;
    let _second = stage.server().await;
    let answer = browser.post(&body(&sid, 102, "to='example.org'", "")).await;
    let third = attribute(&answer.body, "stream");
    let answer = browser.post(&body(&sid, 103, "", "")).await;
    assert!(answer.is_terminal("policy-violation"), "{answer:?}");
    assert_eq!(attribute(&answer.body, "stream"), third);
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn row_3_and_81_the_type_of_a_request_is_ignored() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    let types = ["text/xml", "text/plain", "application/x-www-form-urlencoded", "x"];
    for (rid, content) in (101..).zip(types) {
        let headers = format!("Content-Type: {content}\r\nX-Unknown: 1\r\n");
        browser.send_with(&headers, &body(&sid, rid, "", MESSAGE)).await;
        server.expect(MESSAGE).await;
        server.send(MESSAGE).await;
        let answer = browser.answer().await;
        assert!(holds(&answer, MESSAGE));
        assert_eq!(answer.header("content-type"), "text/xml; charset=utf-8");
    }
}

#[tokio::test]
async fn row_31_data_goes_out_on_one_connection_while_another_comes_in() {
    let stage = Stage::new();
    let (mut one, sid, mut server) = stage.session().await;
    let mut two = stage.browser().await;
    for round in 0..10 {
        let rid = 101 + 2 * round;
        one.send(&body(&sid, rid, "", "<a xmlns='x'/>")).await;
        server.expect("<a xmlns='x'/>").await;
        two.send(&body(&sid, rid + 1, "", "<b xmlns='x'/>")).await;
        assert_eq!(one.answer().await.body, format!("<body {BODY}/>"));
        server.expect("<b xmlns='x'/>").await;
        server.send(MESSAGE).await;
        assert!(holds(&two.answer().await, MESSAGE));
    }
}

#[tokio::test(start_paused = true)]
async fn row_32_a_held_request_is_answered_after_wait() {
    let stage = Stage::new();
    let mut browser = stage.browser_from("::1", false);
    browser.send(&creation("ver='1.6' wait='30'")).await;
    let mut server = stage.server().await;
    server.greet().await;
    let sid = attribute(&browser.answer().await.body, "sid");
    let before = tokio::time::Instant::now();
    let answer = browser.post(&body(&sid, 101, "", "")).await;
    assert_eq!(answer.body, format!("<body {BODY}/>"));
    assert_eq!(before.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn row_50_an_idle_session_ends_without_a_word() {
    let stage = Stage::new();
    let mut browser = stage.browser_from("::1", false);
    browser.send(&creation("ver='1.6'")).await;
    let mut server = stage.server().await;
    server.greet().await;
    let sid = attribute(&browser.answer().await.body, "sid");
    assert_eq!(stage.manager.sessions(), 1);
    assert_eq!(server.gone().await, "</stream:stream>");
    assert_eq!(stage.manager.sessions(), 0);
    let mut browser = stage.browser_from("::1", false);
    assert!(browser.post(&body(&sid, 101, "", "")).await.is_terminal("item-not-found"));
}

#[tokio::test]
async fn row_25_a_server_out_of_reach_is_told() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let text = creation("ver='1.6'").replace("example.com", "unreachable.example");
    let answer = browser.post(&text).await;
    assert!(answer.status == 200 && answer.is_terminal("remote-connection-failed"), "{answer:?}");

    let (mut browser, sid, server) = stage.session().await;
    browser.send(&body(&sid, 101, "", "")).await;
    drop(server);
    assert!(browser.answer().await.is_terminal("remote-connection-failed"));
}

#[tokio::test]
async fn row_39_and_45_an_answer_lost_on_its_way_is_given_again() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    browser.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    server.send(MESSAGE).await;
    let first = browser.answer().await;
    browser.stream.set_zero_linger().unwrap();
    drop(browser);
    let mut browser = stage.browser().await;
    let mut again = browser.post(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    again.headers.insert("date".into(), first.header("date").into());
    assert_eq!(again, first);
    browser.send(&body(&sid, 102, "", "<b xmlns='x'/>")).await;
    assert_eq!(server.expect("<b xmlns='x'/>").await, "<b xmlns='x'/>", "once");
}

#[tokio::test]
async fn row_44_a_held_request_whose_client_leaves_is_taken_up_again() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    browser.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    // The session has to learn of the loss, or it would answer on the dead connection.
    let held = format!("<body {BODY} type='error'/>");
    browser.stream.shutdown().await.unwrap();
    assert_eq!(browser.read_answer(false).await, None);
    server.send(MESSAGE).await;
    let mut browser = stage.browser().await;
    let answer = browser.post(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    assert!(holds(&answer, MESSAGE) && answer.body != held, "{answer:?}");
}

#[tokio::test]
async fn row_40_a_repeat_sends_the_first_connection_home() {
    let stage = Stage::new();
    let (mut one, sid, mut server) = stage.session().await;
    one.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    let mut two = stage.browser().await;
    two.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    assert_eq!(one.answer().await.body, format!("<body {BODY} type='error'/>"));
    server.send(MESSAGE).await;
    assert!(holds(&two.answer().await, MESSAGE));
}

#[tokio::test]
async fn row_60_after_its_end_a_session_is_unknown() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    let answer = browser.post(&body(&sid, 101, "type='terminate'", MESSAGE)).await;
    assert_eq!(answer.body, format!("<body {BODY} type='terminate'/>"));
    assert_eq!(server.expect("</stream:stream>").await, format!("{MESSAGE}</stream:stream>"));
    assert_eq!(server.gone().await, "");
    assert!(browser.post(&body(&sid, 102, "", "")).await.is_terminal("item-not-found"));
}

#[tokio::test]
async fn row_23_a_bad_sid_and_a_bad_rid_get_the_same_answer() {
    let stage = Stage::new();
    let (mut browser, sid, _server) = stage.session().await;
    let mut bad_sid = browser.post(&body("AAAAAAAAAAAAAAAAAAAAAA", 101, "", "")).await;
    let bad_rid = browser.post(&body(&sid, 7, "", "")).await;
    bad_sid.headers.insert("date".into(), bad_rid.header("date").into());
    assert_eq!(bad_sid, bad_rid);
    assert!(bad_rid.is_terminal("item-not-found"));
}

#[tokio::test]
async fn row_27_an_insecure_visitor_is_refused_before_the_server_hears_of_it() {
    let refuse = |see_other: Option<&str>| Settings {
        insecure: Insecure::Refuse { bosh: see_other.map(str::to_owned), websocket: None },
        ..Settings::default()
    };
    let stage = Stage::with(refuse(Some("https://x.example/http-bind")), Vec::new());
    let mut browser = stage.browser_from("192.0.2.1", false);
    let answer = browser.post(&creation("ver='1.6'")).await;
    assert!(answer.is_terminal("see-other-uri"));
    assert!(answer.body.contains("<uri>https://x.example/http-bind</uri>"));
    assert!(stage.is_untouched().await);

    let stage = Stage::with(refuse(None), Vec::new());
    let mut browser = stage.browser_from("192.0.2.1", false);
    assert!(browser.post(&creation("ver='1.6'")).await.is_terminal("policy-violation"));
    assert!(stage.is_untouched().await);
    for mut secure in [stage.browser_from("192.0.2.1", true), stage.browser_from("::1", false)] {
        secure.send(&creation("ver='1.6'")).await;
        let mut server = stage.server().await;
        assert!(server.visitor.secure);
        server.greet().await;
        assert!(holds(&secure.answer().await, FEATURES));
    }
}

#[tokio::test]
async fn row_70_a_secure_session_is_not_continued_over_plain_http() {
    let stage = Stage::new();
    let mut secure = stage.browser_from("192.0.2.1", true);
    secure.send(&creation("ver='1.6'")).await;
    let mut server = stage.server().await;
    server.greet().await;
    let sid = attribute(&secure.answer().await.body, "sid");
    let mut plain = stage.browser_from("192.0.2.1", false);
    plain.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    assert_eq!(plain.read_answer(false).await, None, "closed without an answer");
    secure.send(&body(&sid, 101, "", "<b xmlns='x'/>")).await;
    assert_eq!(server.expect("<b xmlns='x'/>").await, "<b xmlns='x'/>");
}

#[tokio::test]
async fn row_28_a_stop_is_told_to_every_session_and_nothing_new_begins() {
    let stage = Stage::new();
    let (mut held, sid, mut server) = stage.session().await;
    held.send(&body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    let mut late = stage.browser().await;
    assert_eq!(late.request("GET /", "").await.status, 200);
    let shut = stage.manager.shut(Duration::from_secs(5));
    let told = async {
        assert!(held.answer().await.is_terminal("system-shutdown"));
        assert!(late.post(&creation("ver='1.6'")).await.is_terminal("system-shutdown"));
        assert_eq!(server.gone().await, "</stream:stream>");
    };
    tokio::join!(shut, told);
    stage.shutdown.cancel();
    drop((held, late));
    stage.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn row_28_a_session_that_does_not_ask_does_not_keep_the_program() {
    let stage = Stage::new();
    let mut browser = stage.browser_from("::1", false);
    browser.send(&creation("ver='1.6'")).await;
    let mut server = stage.server().await;
    server.greet().await;
    browser.answer().await;
    stage.manager.shut(Duration::from_secs(3)).await;
    assert_eq!(stage.manager.sessions(), 0);
    assert_eq!(server.gone().await, "</stream:stream>");
}

#[tokio::test]
async fn row_22_a_bad_request_is_told_as_the_client_understands_it() {
    let stage = Stage::new();
    let mut browser: Browser = stage.browser().await;
    let legacy = browser.post(&creation("").replace("rid='100'", "")).await;
    assert_eq!((legacy.status, legacy.is_terminal("bad-request")), (400, true));
    let modern = browser.post(&creation("ver='1.6'").replace("rid='100'", "")).await;
    assert_eq!((modern.status, modern.is_terminal("bad-request")), (200, true));
    let (mut browser, sid, mut server) = stage.session().await;
    let odd = browser.post(&body(&sid, 101, "", "").replace("rid='101'", "rid='x'")).await;
    assert_eq!((odd.status, odd.is_terminal("bad-request")), (200, true));
    browser.send(&body(&sid, 101, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
}
