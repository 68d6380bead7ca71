//! What operators see: numbers that are right, on a listener of their own, and nothing of anybody.

use crate::{
    program::{NO_TLS, listening},
    stage::{Answer, BODY, Browser, FEATURES, HEADER, Stage},
    websocket::{OPEN, Socket},
};
use bosh_cm::{Settings, websocket::frames::Opcode};
use net::address::{AddressBook, AddressLimits};
use program::metrics::Metrics;
use std::time::Duration;
use tokio::{net::TcpStream, task::yield_now};

fn limits(total: usize, per_address: u32) -> AddressLimits {
    AddressLimits { total, per_address, new_per_minute: 1_000, trusted: Vec::new() }
}

/// The value of one number.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

impl Stage {
    fn number(&self, name: &str) -> u64 {
        let mut metrics = Metrics::default();
        self.manager.tell(&mut metrics, &AddressBook::new(limits(1, 1)));
        value(&metrics.text(), name).parse().unwrap()
    }

    /// Once the number is this: it is counted behind the answer's back.
    async fn reaches(&self, name: &str, value: u64) {
        while self.number(name) != value {
            yield_now().await;
        }
    }
}

#[tokio::test]
async fn sessions_and_answers_over_bosh_are_counted_by_what_they_come_to() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    assert_eq!(stage.number("bosh_cm_sessions{over=\"bosh\"}"), 1);
    assert_eq!(stage.number("bosh_cm_responses_total{kind=\"payloads\"}"), 1, "features");
    assert_eq!(stage.number("bosh_cm_push_seconds_count{over=\"bosh\"}"), 1);

    let first = format!("<body {BODY} rid='101' sid='{sid}'><a xmlns='x'/></body>");
    browser.send(&first).await;
    server.expect("<a xmlns='x'/>").await;
    assert_eq!(stage.number("bosh_cm_held_requests"), 1);
    server.send("<b xmlns='x'/>").await;
    browser.answer().await;
    assert_eq!(stage.number("bosh_cm_held_requests"), 0);
    assert_eq!(stage.number("bosh_cm_responses_total{kind=\"payloads\"}"), 2);
    assert_eq!(stage.number("bosh_cm_push_seconds_count{over=\"bosh\"}"), 2);
    browser.post(&first).await;
    assert_eq!(stage.number("bosh_cm_responses_total{kind=\"repeat\"}"), 1);
    assert_eq!(stage.number("bosh_cm_push_seconds_count{over=\"bosh\"}"), 2, "no push");

    // What waited for the client waited for nothing here.
    server.send("<c xmlns='x'/>").await;
    browser.post(&format!("<body {BODY} rid='102' sid='{sid}'/>")).await;
    browser.post(&format!("<body {BODY} rid='103' sid='{sid}' type='terminate'/>")).await;
    stage.reaches("bosh_cm_sessions{over=\"bosh\"}", 0).await;
    let ended = "bosh_cm_sessions_ended_total{over=\"bosh\",condition=";
    assert_eq!(stage.number(&format!("{ended}\"closed\"}}")), 1);
    assert_eq!(stage.number("bosh_cm_sessions_begun_total{over=\"bosh\"}"), 1);

    let (mut browser, sid, _server) = stage.session().await;
    browser.post(&format!("<body {BODY} rid='999' sid='{sid}'/>")).await;
    stage.reaches(&format!("{ended}\"item-not-found\"}}"), 1).await;
    assert_eq!(stage.number("bosh_cm_responses_total{kind=\"terminate\"}"), 2);
}

#[tokio::test]
async fn sessions_and_pushes_over_websocket_are_counted() {
    let stage = Stage::new();
    let mut socket = Socket::over(stage.browser().await).await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    server.greet().await;
    socket.text().await;
    socket.text().await;
    assert_eq!(stage.number("bosh_cm_sessions{over=\"websocket\"}"), 1);
    let pushes = stage.number("bosh_cm_push_seconds_count{over=\"websocket\"}");
    server.send("<b xmlns='x'/>").await;
    socket.text().await;
    stage.reaches("bosh_cm_push_seconds_count{over=\"websocket\"}", pushes + 1).await;
    socket.send(Opcode::Binary, b"x").await;
    stage.reaches("bosh_cm_sessions{over=\"websocket\"}", 0).await;
    let ended = "bosh_cm_sessions_ended_total{over=\"websocket\",condition=\"binary\"}";
    assert_eq!(stage.number(ended), 1);
}

#[tokio::test]
async fn b03_and_b05_requests_that_wait_are_counted_per_address_and_in_all() {
    let requests = limits(3, 2);
    let stage = Stage::with(Settings { requests, ..Settings::default() }, Vec::new());
    let mut held = Vec::new();
    for (address, refusal) in [
        ("192.0.2.1", None),
        ("192.0.2.1", None),
        ("192.0.2.1", Some(429)),
        ("192.0.2.2", None),
        ("192.0.2.3", Some(503)),
    ] {
        let mut browser = stage.browser_from(address, true);
        browser.send(&format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>")).await;
        match refusal {
            None => held.push((browser, stage.server().await)),
            Some(status) => {
                let answer = browser.answer().await;
                assert_eq!(answer.status, status, "{address}");
                assert!(answer.body.contains("type='error'"), "to be sent again: {answer:?}");
            }
        }
    }
    assert_eq!(stage.number("bosh_cm_held_requests"), 3);
    assert_eq!(stage.number("bosh_cm_refused_total{limit=\"requests\"}"), 1);
    assert_eq!(stage.number("bosh_cm_refused_total{limit=\"requests_per_address\"}"), 1);
    // One that is answered makes room, and the session that was never begun can be.
    let (mut browser, mut server) = held.remove(0);
    server.greet().await;
    assert_eq!(browser.answer().await.status, 200);
    let mut browser = stage.browser_from("192.0.2.1", true);
    browser.send(&format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>")).await;
    stage.server().await.greet().await;
    assert_eq!(browser.answer().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn b05_what_requests_are_refused_for_is_counted() {
    let stage = Stage::new();
    let mut browser = stage.browser_from("192.0.2.1", false);
    browser.send(&"x".repeat(300_000)).await;
    assert_eq!(browser.answer().await.status, 413);
    let mut browser = stage.browser_from("192.0.2.1", false);
    let long = "x".repeat(9_000);
    browser.raw(format!("POST /http-bind HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await;
    assert_eq!(browser.answer().await.status, 431);
    for slow in ["POST /http-bind HT", "POST /http-bind HTTP/1.1\r\nContent-Length: 9\r\n\r\n<"] {
        let mut browser = stage.browser_from("192.0.2.1", false);
        browser.raw(slow.as_bytes()).await;
        while browser.read_answer(false).await.is_some() {}
    }
    for (limit, count) in [("http_body", 1), ("http_head", 1), ("http_timeout", 2)] {
        stage.reaches(&format!("bosh_cm_refused_total{{limit=\"{limit}\"}}"), count).await;
    }
    for guess in 0..21 {
        let mut browser = stage.browser_from("192.0.2.1", false);
        browser.send(&format!("<body {BODY} rid='1' sid='{guess}'/>")).await;
        browser.read_answer(false).await;
    }
    assert_eq!(stage.number("bosh_cm_refused_total{limit=\"strays_per_minute\"}"), 1);
}

async fn get(address: &str, line: &str) -> Answer {
    let connecting = TcpStream::connect(address);
    let stream = tokio::time::timeout(Duration::from_secs(60), connecting).await.unwrap();
    Browser::new(stream.unwrap()).request(line, "").await
}

#[tokio::test]
async fn u04_numbers_have_a_listener_of_their_own_and_name_nobody() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    let metrics = "metrics.listen=['127.0.0.1:0']";
    let (_child, addresses) = listening(&[&upstream, NO_TLS, metrics]);
    let mut browser = Browser::new(TcpStream::connect(&addresses["http"]).await.unwrap());
    let creation = format!("<body {BODY} rid='1' to='secret.example' ver='1.6'/>");
    let (answer, _upstream) = tokio::join!(browser.post(&creation), async {
        let (mut stream, _) = server.accept().await.unwrap();
        let greeting = format!("{HEADER}{FEATURES}");
        tokio::io::AsyncWriteExt::write_all(&mut stream, greeting.as_bytes()).await.unwrap();
        stream
    });
    let sid = crate::stage::attribute(&answer.body, "sid");

    let text = get(&addresses["metrics"], "GET /metrics").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&text.body, "bosh_cm_sessions{over=\"bosh\"}"), "1");
    assert_eq!(value(&text.body, "bosh_cm_connections"), "1");
    let page = get(&addresses["metrics"], "GET /").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("content-security-policy"), "default-src 'none'");
    assert!(page.body.starts_with("<!DOCTYPE html>") && !page.body.contains("<script"));
    for answer in [&text, &page] {
        assert_eq!(answer.status, 200);
        for private in ["secret.example", &sid, "127.0.0.1"] {
            assert!(!answer.body.contains(private), "{private} in {}", answer.body);
        }
    }
    assert_eq!(get(&addresses["metrics"], "GET /http-bind").await.status, 404);
    let post = get(&addresses["metrics"], "POST /metrics").await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    for line in ["GET /metrics", "GET /"] {
        assert_eq!(get(&addresses["http"], line).await.status, 404, "{line} for everybody");
    }
}
