//! Compressed requests and answers, where the operator has them.

use crate::stage::{Answer, BODY, Browser, Stage, attribute};
use bosh_cm::{Pipe, Settings, Terms};
use flate2::{
    Compression,
    read::{GzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use std::io::{Read, Write};

fn stage(origins: Vec<String>) -> Stage {
    let terms = Terms { compression: true, ..Terms::default() };
    Stage::with(Settings { terms, ..Settings::default() }, origins)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Posts what is compressed like this.
async fn post<S: Pipe>(browser: &mut Browser<S>, coding: &str, packed: &[u8]) {
    let length = packed.len();
    let head = format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\n");
    let head = format!("{head}Content-Length: {length}\r\n\r\n");
    browser.raw(&[head.as_bytes(), packed].concat()).await;
}

fn request(sid: &str, rid: u64, payload: &str) -> String {
    format!("<body {BODY} rid='{rid}' sid='{sid}'>{payload}</body>")
}

/// A stanza long enough to be compressed, as it reaches the client.
fn long() -> String {
    format!("<message xmlns='jabber:client'><body>{}</body></message>", "so long ".repeat(300))
}

#[tokio::test]
async fn row_6_requests_may_be_compressed_as_accept_says() {
    let stage = stage(Vec::new());
    let mut browser = stage.browser().await;
    browser.send(&format!("<body {BODY} rid='100' to='example.com' ver='1.6'/>")).await;
    let mut server = stage.server().await;
    server.greet().await;
    let created = browser.answer().await.body;
    assert_eq!(attribute(&created, "accept"), "gzip,deflate");
    let sid = attribute(&created, "sid");
    for (rid, coding, pack) in [
        (101, "gzip", gzip as fn(&[u8]) -> Vec<u8>),
        (102, "Deflate", deflate),
        (103, "x-gzip", gzip),
    ] {
        let payload = format!("<a xmlns='urn:x' n='{rid}'/>");
        let mut other = stage.browser().await;
        post(&mut other, coding, &pack(request(&sid, rid, &payload).as_bytes())).await;
        server.expect(&payload).await;
        server.send("<presence/>").await;
        assert!(other.answer().await.body.contains("<presence "), "{coding}");
    }
}

#[tokio::test]
async fn x15_a_bomb_in_a_request_goes_no_further_than_the_limit() {
    let stage = stage(Vec::new());
    let (mut browser, sid, mut server) = stage.session().await;
    let blank = " ".repeat(50 << 20);
    for (coding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", deflate)] {
        let bomb = pack(request(&sid, 101, &blank).as_bytes());
        assert!(bomb.len() < stage.manager.body_bytes(), "it comes in as a small thing");
        let mut hostile = stage.browser().await;
        post(&mut hostile, coding, &bomb).await;
        let answer = hostile.answer().await;
        assert_eq!((answer.status, answer.is_terminal("policy-violation")), (413, true));
    }
    for (coding, packed) in [
        ("gzip", &b"no gzip"[..]),
        ("deflate", &gzip(request(&sid, 101, "").as_bytes())),
        ("gzip", &[gzip(b"<body/>"), gzip(b"<body/>")].concat()),
    ] {
        let mut hostile = stage.browser().await;
        post(&mut hostile, coding, packed).await;
        let answer = hostile.answer().await;
        assert_eq!((answer.status, answer.is_terminal("bad-request")), (400, true), "{coding}");
    }
    for coding in ["br", "identity", "gzip, gzip", "", "gzip\r\nContent-Encoding: gzip"] {
        let mut hostile = stage.browser().await;
        post(&mut hostile, coding, b"x").await;
        let answer = hostile.answer().await;
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, "gzip,deflate"));
    }
    browser.send(&request(&sid, 101, "<a xmlns='urn:x'/>")).await;
    server.expect("<a xmlns='urn:x'/>").await;
}

#[tokio::test]
async fn x15_a_stranger_may_not_send_more_by_compressing_it() {
    let stage = stage(Vec::new());
    let (_browser, sid, _server) = stage.session().await;
    let mut hostile = stage.browser().await;
    let long = request(&sid, 101, &" ".repeat(20_000));
    post(&mut hostile, "gzip", &gzip(long.as_bytes())).await;
    assert!(hostile.answer().await.is_terminal("policy-violation"));
}

/// The answer to an empty request with these headers.
async fn ask(stage: &Stage, sid: &str, rid: u64, headers: &str) -> Answer {
    let mut browser = stage.browser().await;
    browser.send_with(headers, &request(sid, rid, "")).await;
    browser.answer().await
}

fn inflated(answer: &Answer) -> String {
    let mut text = String::new();
    let read = match answer.header("content-encoding") {
        "gzip" => GzDecoder::new(&answer.packed[..]).read_to_string(&mut text),
        "deflate" => ZlibDecoder::new(&answer.packed[..]).read_to_string(&mut text),
        other => panic!("coding {other:?}"),
    };
    read.unwrap();
    text
}

#[tokio::test]
async fn row_5_answers_are_compressed_after_login_where_accept_encoding_asks() {
    const GZIP: &str = "Accept-Encoding: gzip, br\r\n";
    let stage = stage(vec!["https://chat.example".into()]);
    let (_browser, sid, mut server) = stage.session().await;
    server.send(&long()).await;
    let before = ask(&stage, &sid, 101, GZIP).await;
    assert!(before.body.contains(&long()), "a stranger's answers stay as they are (threat X15)");
    server.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
    let success = ask(&stage, &sid, 102, GZIP).await;
    assert!(success.body.contains("<success "), "too short to gain by it: {success:?}");

    let mut browser = stage.browser().await;
    let restart = format!("rid='103' sid='{sid}' xmlns:x='urn:xmpp:xbosh' x:restart='true'");
    browser.send(&format!("<body {BODY} {restart}/>")).await;
    server.greet().await;
    browser.answer().await;
    server.send(&long()).await;
    let answer = ask(&stage, &sid, 104, GZIP).await;
    assert!(inflated(&answer).contains(&long()));
    assert_eq!(answer.header("content-length"), answer.packed.len().to_string());
    assert_eq!(ask(&stage, &sid, 104, GZIP).await, answer, "a repeat gets the same bytes");
    let deflated = ask(&stage, &sid, 104, "Accept-Encoding: deflate, gzip;q=0.5\r\n").await;
    assert_eq!(inflated(&deflated), inflated(&answer));
    for none in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n"] {
        let plain = ask(&stage, &sid, 104, none).await;
        assert_eq!(plain.header("content-encoding"), "", "{none}");
        assert_eq!(plain.body, inflated(&answer), "{none}");
    }
}

#[tokio::test]
async fn row_80_scripts_may_say_how_a_body_is_compressed_and_caches_must_look_at_it() {
    let stage = stage(vec!["https://chat.example".into()]);
    let mut browser = stage.browser().await;
    let preflight = browser.request("OPTIONS /http-bind", "Origin: https://chat.example\r\n").await;
    let names = preflight.header("access-control-allow-headers");
    assert_eq!(names, "Content-Type, Content-Encoding");
    let (browser, ..) = stage.session().await;
    drop(browser);
    let stranger = ask(&stage, "none", 1, "").await;
    assert_eq!(stranger.vary, ["accept-encoding", "origin"]);
}
