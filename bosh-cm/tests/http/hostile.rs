//! Visitors who mean no good.

use crate::stage::{BODY, Stage, attribute};
use bosh_cm::Settings;
use net::address::AddressLimits;
use std::{net::IpAddr, time::Duration};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep},
};

fn creation() -> String {
    format!("<body {BODY} rid='100' to='example.com' ver='1.6'/>")
}

#[tokio::test]
async fn b01_guesses_are_not_answered_without_end() {
    let stage = Stage::new();
    let guess = |n| format!("<body {BODY} rid='100' sid='guess{n}'/>");
    let mut browser = stage.browser_from("192.0.2.1", false);
    for n in 0..20 {
        assert!(browser.post(&guess(n)).await.is_terminal("item-not-found"), "{n}");
    }
    browser.send(&guess(20)).await;
    assert_eq!(browser.read_answer(false).await, None);
    let mut other = stage.browser_from("192.0.2.2", false);
    assert!(other.post(&guess(21)).await.is_terminal("item-not-found"));
}

#[tokio::test]
async fn r03_sessions_are_counted_per_address() {
    let sessions =
        AddressLimits { total: 4, per_address: 2, new_per_minute: 100, trusted: Vec::new() };
    let stage = Stage::with(Settings { sessions, ..Settings::default() }, Vec::new());
    let mut open = Vec::new();
    for (address, refusal) in [
        ("192.0.2.1", None),
        ("192.0.2.1", None),
        ("192.0.2.1", Some("policy-violation")),
        ("2001:db8::1", None),
        ("2001:db8::2", None),
        // Not its own fault, so it is told what is the matter (XEP-0124 17.2).
        ("2001:db8:0:1::1", Some("undefined-condition")),
    ] {
        let mut browser = stage.browser_from(address, true);
        browser.send(&creation()).await;
        match refusal {
            None => open.push((stage.server().await, browser)),
            Some(condition) => {
                let answer = browser.answer().await;
                assert!(answer.is_terminal(condition), "{address}: {answer:?}");
                let detail = answer.body.contains("<resource-constraint ");
                assert_eq!(detail, condition == "undefined-condition");
            }
        }
    }
    // One that leaves makes room.
    let (server, browser) = open.remove(0);
    drop(browser);
    server.gone().await;
    let mut browser = stage.browser_from("192.0.2.1", true);
    browser.send(&creation()).await;
    stage.server().await.greet().await;
    assert_eq!(browser.answer().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn b05_a_slow_head_and_a_slow_body_are_cut_off() {
    let stage = Stage::new();
    let mut slow = stage.browser_from("192.0.2.1", false);
    let start = Instant::now();
    slow.raw(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-").await;
    assert!(slow.read_answer(false).await.is_none_or(|answer| answer.status == 408));
    assert_eq!(start.elapsed().as_secs(), 10);

    let mut slow = stage.browser_from("192.0.2.1", false);
    let start = Instant::now();
    slow.raw(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<body").await;
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.is_terminal("policy-violation")), (408, true));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(slow.read_answer(false).await, None, "and closed");
}

#[tokio::test(start_paused = true)]
async fn b05_who_does_not_read_the_answer_is_cut_off() {
    let stage = Stage::new();
    let mut visitor = stage.browser_from("192.0.2.1", true);
    visitor.send(&creation()).await;
    let mut server = stage.server().await;
    server.greet().await;
    let sid = attribute(&visitor.answer().await.body, "sid");
    visitor.send(&format!("<body {BODY} rid='101' sid='{sid}'/>")).await;
    server.send(&format!("<a xmlns='x'>{}</a>", "a".repeat(200_000))).await;
    sleep(Duration::from_secs(70)).await;
    let mut read = Vec::new();
    visitor.stream.read_to_end(&mut read).await.unwrap();
    assert!(read.len() < 100_000, "{}", read.len());
}

#[tokio::test]
async fn b06_a_request_that_two_readers_could_cut_differently_is_refused() {
    let stage = Stage::new();
    let inner = "POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "X: 1\r\n Content-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "X:\0",
        "X\r: 1",
        "\u{e9}: 1",
    ] {
        let mut browser = stage.browser().await;
        let head = format!("POST /http-bind HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
        browser.raw(format!("{head}0\r\n\r\n{inner}").as_bytes()).await;
        let answer = browser.answer().await;
        assert!([400, 411, 413, 501].contains(&answer.status), "{headers:?}: {answer:?}");
        assert_eq!(browser.read_answer(false).await, None, "{headers:?}: a second request");
    }
}

#[tokio::test]
async fn x15_a_coding_that_was_not_announced_is_not_undone() {
    let stage = Stage::new();
    for coding in ["gzip", "deflate", "br", "identity", "gzip, gzip", ""] {
        let mut browser = stage.browser().await;
        let head = format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\n");
        browser.raw(format!("{head}Content-Length: 2\r\n\r\n\x1f\x0b").as_bytes()).await;
        assert_eq!(browser.answer().await.status, 415, "{coding}");
    }
}

#[tokio::test]
async fn b06_a_head_of_more_than_8_kib_is_refused() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let long = "x".repeat(9_000);
    browser.raw(format!("POST /http-bind HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await;
    let answer = browser.answer().await;
    assert_eq!(answer.status, 431);
    assert_eq!(browser.read_answer(false).await, None);
}

#[tokio::test]
async fn b07_a_route_leads_nowhere() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let route = creation().replace(" to=", " route='xmpp:198.51.100.9:25' to=");
    browser.send(&route).await;
    assert_eq!(stage.server().await.domain, "example.com");
}

#[tokio::test]
async fn b08_only_a_trusted_proxy_names_the_visitor() {
    let stage = Stage::new();
    let from = "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n";
    let https = "X-Forwarded-Proto: https\r\n";
    let own: IpAddr = "192.0.2.1".parse().unwrap();
    let visitor: IpAddr = "203.0.113.7".parse().unwrap();
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    for (peer, headers, address, secure) in [
        (own, format!("{from}{https}"), own, false),
        (here, format!("{from}{https}"), visitor, true),
        (here, from.to_owned(), visitor, false),
        (here, format!("{from}X-Forwarded-Proto: http\r\n"), visitor, false),
        (here, format!("{from}X-Forwarded-For: 127.0.0.5\r\n{https}"), visitor, true),
        (here, format!("X-Forwarded-For: ::ffff:203.0.113.7\r\n{https}"), visitor, true),
        (here, format!("X-Forwarded-For: 203.0.113.9, unknown\r\n{https}"), here, true),
        (here, format!("X-Forwarded-For: 203.0.113.7:4711\r\n{https}"), visitor, true),
        (here, "X-Forwarded-For: unknown\r\n".into(), here, false),
        (here, String::new(), here, true),
        (here, "X-Forwarded-Proto: http\r\n".into(), here, false),
        (own, "Forwarded: for=203.0.113.7;proto=https\r\n".into(), own, false),
        (here, "Forwarded: for=203.0.113.7;proto=https\r\n".into(), visitor, true),
        (
            here,
            "Forwarded: for=198.51.100.1\r\nForwarded: for=203.0.113.7\r\n".into(),
            visitor,
            false,
        ),
        (here, format!("Forwarded: for=203.0.113.7\r\n{from}{https}"), visitor, true),
    ] {
        let mut browser = stage.browser_from(&peer.to_string(), false);
        browser.send_with(&headers, &creation()).await;
        let server = stage.server().await;
        let seen = (server.visitor.address, server.visitor.secure);
        assert_eq!(seen, (Some(address), secure), "{peer} {headers}");
    }
    // Whose is it, then?
    let mut browser = stage.browser_from("127.0.0.1", false);
    browser.send_with(&format!("Forwarded: for=203.0.113.9\r\n{from}{https}"), &creation()).await;
    assert_eq!(browser.answer().await.status, 400);
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn b10_broken_bodies_are_refused_and_change_nothing() {
    let stage = Stage::new();
    let (_, sid, mut server) = stage.session().await;
    let good = format!("<body {BODY} sid='{sid}' rid='101'><a xmlns='x'/></body>");
    let deep = "<x>".repeat(200) + &"</x>".repeat(200);
    let inside = |inner: &str| good.replace("<a xmlns='x'/>", inner);
    for bad in [
        format!("{good}{good}"),
        good.replace("protocol/httpbind", "protocol/other"),
        format!("<a xmlns='x'/>{good}"),
        format!("<!DOCTYPE body [<!ENTITY a 'b'>]>{good}"),
        format!("<!DOCTYPE body SYSTEM 'file:///etc/passwd'>{good}"),
        good[..good.len() - 1].to_owned(),
        good.replace("</body>", "</Body>"),
        inside("&a;"),
        inside("<!-- c -->"),
        inside("<?p i?>"),
        inside("<a:b/>"),
        inside("<a b='1' b='2'/>"),
        inside("text"),
        inside("<a>\u{1}</a>"),
        inside(&deep),
        inside(&"<x/>".repeat(9_000)),
        format!("\u{feff}{good}"),
        format!("<?xml version='1.1'?>{good}"),
        format!("<?xml version='1.0' encoding='utf-16'?>{good}"),
    ] {
        let mut browser = stage.browser().await;
        let answer = browser.post(&bad).await;
        let shown: String = bad.chars().take(200).collect();
        assert!([200, 400].contains(&answer.status), "{shown}: {answer:?}");
        assert!(answer.is_terminal("bad-request"), "{shown}: {answer:?}");
    }
    for bytes in [&b"\xff\xfe<\0b\0"[..], b"<body \xc0\xaf/>", b"<body>\xed\xa0\x80</body>"] {
        let mut browser = stage.browser().await;
        let head = format!("POST /http-bind HTTP/1.1\r\nContent-Length: {}\r\n\r\n", bytes.len());
        browser.raw(head.as_bytes()).await;
        browser.raw(bytes).await;
        assert!(browser.answer().await.is_terminal("bad-request"));
    }
    let mut browser = stage.browser().await;
    browser.send(&inside(&"x".repeat(10_000_000))).await;
    let answer = browser.answer().await;
    assert_eq!((answer.status, answer.is_terminal("policy-violation")), (413, true));
    let mut browser = stage.browser().await;
    browser.send(&good).await;
    assert_eq!(server.expect("<a xmlns='x'/>").await, "<a xmlns='x'/>", "the session goes on");
}

#[tokio::test]
async fn x09_nothing_breaks_out_of_its_stanza() {
    let stage = Stage::new();
    let (mut browser, sid, mut server) = stage.session().await;
    let inner =
        "<message xmlns='jabber:client'><body>&lt;/stream:stream&gt; &#x3c;x/></body></message>";
    browser.send(&format!("<body {BODY} sid='{sid}' rid='101'>{inner}</body>")).await;
    assert_eq!(server.expect("</message>").await, inner, "byte by byte");
}
