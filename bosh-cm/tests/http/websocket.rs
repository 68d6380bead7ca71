//! WebSocket: the handshake, and a session over a real connection.

use crate::stage::{Answer, Browser, FEATURES, HEADER, Stage};
use bosh_cm::{
    Insecure, Pipe, Settings, http,
    websocket::{
        Terms,
        frames::{Decoder, FrameLimits, Message, Opcode, Peer, write_frame},
        http::accept,
    },
};
use bytes::BytesMut;
use net::address::AddressLimits;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";
pub(crate) const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

/// The lines of a good handshake.
fn lines() -> Vec<String> {
    [
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: chat, xmpp",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A handshake with one line in the place of another, or without it where it is empty.
async fn shake<S: Pipe>(browser: &mut Browser<S>, name: &str, line: &str) -> Answer {
    let mut lines = lines();
    lines.retain(|one| !one.starts_with(name) || name.is_empty());
    lines.extend((!line.is_empty()).then(|| line.to_owned()));
    let headers: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    browser.request("GET /ws", &headers).await
}

/// A WebSocket over a connection whose handshake is done.
pub(crate) struct Socket<S> {
    pub(crate) stream: S,
    decoder: Decoder,
    input: BytesMut,
}

impl<S: Pipe> Socket<S> {
    pub(crate) async fn over(mut browser: Browser<S>) -> Self {
        let answer = shake(&mut browser, "", "").await;
        assert_eq!(answer.status, 101, "{answer:?}");
        Self::new(browser.stream)
    }

    pub(crate) fn new(stream: S) -> Self {
        let limits = FrameLimits { bytes: 1_000_000, fragments: 1 };
        Self { stream, decoder: Decoder::new(Peer::Server, limits), input: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        write_frame(&mut out, opcode, payload, Some([1, 2, 3, 4]));
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn says(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes()).await;
    }

    pub(crate) async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.decoder.next(&mut self.input).unwrap() {
                return message;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "the end");
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ends(mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _end = self.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn a_handshake_is_answered_as_the_rfc_has_it() {
    let stage = Stage::new();
    let answer = shake(&mut stage.browser().await, "", "Origin: https://any.example").await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), "websocket");
    assert_eq!(answer.header("connection"), "upgrade");
    assert_eq!(answer.header("sec-websocket-accept"), accept(KEY));
    assert_eq!(answer.header("sec-websocket-protocol"), "xmpp");
    assert_eq!(answer.header("sec-websocket-extensions"), "", "no compression");
}

#[tokio::test]
async fn w03_handshakes_that_are_none_are_refused() {
    let stage = Stage::new();
    for (name, line, status) in [
        ("Sec-WebSocket-Protocol", "", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: mqtt, xmpp2", 400),
        ("Sec-WebSocket-Key", "", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAA", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: !", 400),
        ("Sec-WebSocket-Version", "", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", 426),
        ("Upgrade", "", 426),
        ("Upgrade", "Upgrade: h2c", 426),
        ("Connection", "Connection: keep-alive", 426),
    ] {
        let answer = shake(&mut stage.browser().await, name, line).await;
        assert_eq!(answer.status, status, "{name}, {line}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{name}, {line}");
        if status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), "13");
        }
    }
    let mut browser = stage.browser().await;
    let answer = browser.request("POST /ws", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET"));
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn w01_pages_of_other_origins_are_refused_where_there_is_a_list() {
    let stage = Stage::with(Settings::default(), vec!["https://chat.example".into()]);
    for (origin, status) in [
        ("Origin: https://chat.example", 101),
        ("Origin: https://evil.example", 403),
        ("Origin: https://chat.example.evil.example", 403),
        ("Origin: http://chat.example", 403),
        ("Origin: null", 403),
        // No page in a browser.
        ("", 101),
    ] {
        let answer = shake(&mut stage.browser().await, "", origin).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn a_session_over_a_connection() {
    let stage = Stage::new();
    let mut socket = Socket::over(stage.browser().await).await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    assert_eq!(server.domain, "example.com");
    server.expect("<stream:stream").await;
    server.expect(">").await;
    server.send(&format!("{HEADER}{FEATURES}")).await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.starts_with("<stream:features xmlns:stream="));
    socket.send(Opcode::Ping, b"there?").await;
    assert_eq!(socket.next().await, Message::Pong);
    socket.says("<iq xmlns='jabber:client' id='1'/>").await;
    server.expect("<iq xmlns='jabber:client' id='1'/>").await;
    socket.says(CLOSE).await;
    server.expect("</stream:stream>").await;
    server.send("</stream:stream>").await;
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(server.gone().await, "");
    assert_eq!(socket.next().await, Message::Close(Some(1000)));
    socket.send(Opcode::Close, &[3, 232]).await;
    socket.ends().await;
}

#[tokio::test]
async fn what_comes_right_behind_the_handshake_is_read() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", lines().join("\r\n"));
    let mut all = BytesMut::from(handshake.as_bytes());
    write_frame(&mut all, Opcode::Text, OPEN.as_bytes(), Some([1, 2, 3, 4]));
    browser.raw(&all).await;
    assert_eq!(browser.answer().await.status, 101);
    assert_eq!(stage.server().await.domain, "example.com");
}

#[tokio::test]
async fn w03_a_handshake_has_no_body() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let headers = format!("{}\r\nContent-Length: 3\r\n", lines().join("\r\n"));
    assert_eq!(browser.request("GET /ws", &headers).await.status, 400);
    assert_eq!(browser.read_answer(false).await, None);
}

#[tokio::test]
async fn b08_only_a_trusted_proxy_names_the_visitor_of_a_websocket() {
    let stage = Stage::new();
    let from = "X-Forwarded-For: 203.0.113.7";
    for (peer, seen) in [("127.0.0.1", "203.0.113.7"), ("192.0.2.1", "192.0.2.1")] {
        let mut browser = stage.browser_from(peer, true);
        assert_eq!(shake(&mut browser, "", from).await.status, 101);
        let mut socket = Socket::new(browser.stream);
        socket.says(OPEN).await;
        let visitor = stage.server().await.visitor;
        assert_eq!(visitor.address, Some(seen.parse().unwrap()), "{peer}");
    }
    let both = format!("{from}\r\nForwarded: for=203.0.113.9");
    let answer = shake(&mut stage.browser_from("127.0.0.1", true), "", &both).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn t02_without_https_a_visitor_is_sent_away() {
    let (https, wss) = ("https://chat.example/http-bind", "wss://chat.example/ws");
    for (bosh, websocket, see_other) in
        [(Some(https), Some(wss), wss), (None, Some(wss), wss), (Some(https), None, https)]
    {
        let [bosh, websocket] = [bosh, websocket].map(|uri| uri.map(str::to_owned));
        let insecure = Insecure::Refuse { bosh, websocket };
        let stage = Stage::with(Settings { insecure, ..Settings::default() }, Vec::new());
        let mut socket = Socket::over(stage.browser_from("192.0.2.1", false)).await;
        socket.says(OPEN).await;
        assert!(socket.text().await.contains(&format!("see-other-uri='{see_other}'")));
        assert_eq!(socket.next().await, Message::Close(Some(1000)));
        assert!(stage.is_untouched().await);
    }
}

#[tokio::test]
async fn b02_sessions_of_one_address_are_counted_over_websocket_too() {
    let sessions =
        AddressLimits { total: 10, per_address: 2, new_per_minute: 10, trusted: Vec::new() };
    let stage = Stage::with(Settings { sessions, ..Settings::default() }, Vec::new());
    let first = Socket::over(stage.browser_from("192.0.2.1", true)).await;
    let _second = Socket::over(stage.browser_from("192.0.2.1", true)).await;
    let answer = shake(&mut stage.browser_from("192.0.2.1", true), "", "").await;
    assert_eq!(answer.status, 503);
    let _other = Socket::over(stage.browser_from("192.0.2.2", true)).await;
    let mut first = first;
    first.send(Opcode::Close, b"").await;
    assert_eq!(first.next().await, Message::Close(Some(1000)));
    first.ends().await;
    let _third = Socket::over(stage.browser_from("192.0.2.1", true)).await;
}

#[tokio::test]
async fn w02_what_a_client_may_not_send_ends_its_connection() {
    let settings = Settings {
        websocket: Arc::new(Terms { fragments: 2, ..Terms::default() }),
        ..Settings::default()
    };
    let stage = Stage::with(settings, Vec::new());
    for (what, bytes, code) in [
        ("not masked", b"\x81\x01x".to_vec(), 1002),
        ("a reserved bit", b"\xc1\x81\0\0\0\0x".to_vec(), 1002),
        ("not UTF-8", b"\x81\x81\0\0\0\0\xff".to_vec(), 1007),
        ("many fragments", b"\x01\x80\0\0\0\0\0\x80\0\0\0\0\0\x80\0\0\0\0".to_vec(), 1008),
    ] {
        let mut socket = Socket::over(stage.browser().await).await;
        socket.stream.write_all(&bytes).await.unwrap();
        assert_eq!(socket.next().await, Message::Close(Some(code)), "{what}");
        socket.ends().await;
    }
    // The length alone is enough: nothing of the message has to come.
    let mut socket = Socket::over(stage.browser().await).await;
    socket.stream.write_all(b"\x81\xff\0\0\0\0\x7f\xff\xff\xff").await.unwrap();
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.contains("<policy-violation "));
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(socket.next().await, Message::Close(Some(1009)));
    socket.ends().await;
}

#[tokio::test(start_paused = true)]
async fn w02_a_handshake_is_not_enough_to_stay() {
    let stage = Stage::new();
    let mut socket = Socket::over(stage.browser_from("192.0.2.1", true)).await;
    let begun = tokio::time::Instant::now();
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.contains("<connection-timeout "));
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(socket.next().await, Message::Close(Some(1000)));
    socket.ends().await;
    assert!(begun.elapsed() <= Duration::from_secs(45), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_manager_that_stops_tells_its_sessions() {
    let stage = Stage::new();
    let mut socket = Socket::over(stage.browser().await).await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    server.greet().await;
    socket.text().await;
    socket.text().await;
    stage.shutdown.cancel();
    let stopping = stage.manager.shut(Duration::from_secs(5));
    let client = async {
        assert!(socket.text().await.contains("<system-shutdown "));
        assert_eq!(socket.text().await, CLOSE);
        assert_eq!(socket.next().await, Message::Close(Some(1001)));
        socket.send(Opcode::Close, &[3, 233]).await;
        socket.ends().await;
        assert_eq!(server.gone().await, "", "broken off: the client may resume it (XEP-0198 7)");
    };
    tokio::join!(stopping, client);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_stops_does_not_wait_for_who_takes_no_handshake() {
    let stage = Stage::new();
    // Room for a part of the answer.
    let (mut near, far) = duplex(64);
    let address = Some([192, 0, 2, 1].into());
    let peer = http::Peer { address, tls: true, permit: None };
    tokio::spawn(http::connection(far, peer, stage.site.clone(), stage.shutdown.clone()));
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", lines().join("\r\n"));
    near.write_all(handshake.as_bytes()).await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), b'H', "it was accepted");
    let begun = tokio::time::Instant::now();
    stage.manager.shut(Duration::from_secs(5)).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
}
