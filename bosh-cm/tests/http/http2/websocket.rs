//! WebSocket as a stream of HTTP/2 (RFC 8441).

use super::{
    Client, MESSAGE, answer, body, creation,
    frames::{
        CONNECT_PROTOCOL, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW, RST_STREAM, SETTINGS, Wire,
        block, head,
    },
};
use crate::{
    stage::{FEATURES, HEADER, Server, Stage, attribute},
    websocket::{CLOSE, OPEN},
};
use bosh_cm::{
    Insecure, Settings,
    websocket::frames::{Message, Opcode, write_frame},
};
use bytes::BytesMut;
use net::address::AddressLimits;
use std::time::Duration;
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

#[tokio::test]
async fn a_websocket_is_a_stream_beside_others() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    assert_eq!(server.visitor.address, Some("192.0.2.1".parse().unwrap()));
    assert!(server.visitor.secure);
    server.expect("<stream:stream").await;
    server.expect(">").await;
    server.send(&format!("{HEADER}{FEATURES}")).await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.starts_with("<stream:features xmlns:stream="));
    // Before it has logged in, what both sides may send is short.
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>eA==</auth>";
    socket.says(auth).await;
    server.expect(auth).await;
    server.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
    assert!(socket.text().await.contains("<success "));
    socket.says(OPEN).await;
    server.greet().await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.starts_with("<stream:features "));
    let (sid, mut beside) = client.session(&stage).await;
    let held = client.send(&[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    beside.expect("<a xmlns='x'/>").await;
    socket.send(Opcode::Ping, b"there?").await;
    assert_eq!(socket.next().await, Message::Pong);
    let long = format!("<iq xmlns='jabber:client'>{}</iq>", "1".repeat(200_000));
    socket.says(&long).await;
    server.expect(&long).await;
    let back = format!("<iq>{}</iq>", "2".repeat(200_000));
    server.send(&back).await;
    assert!(socket.text().await.contains(&"2".repeat(200_000)));
    socket.says(CLOSE).await;
    server.expect("</stream:stream>").await;
    server.send("</stream:stream>").await;
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(server.gone().await, "");
    assert_eq!(socket.next().await, Message::Close(Some(1000)));
    socket.send(Opcode::Close, &[3, 232]).await;
    socket.ends().await;
    beside.send(MESSAGE).await;
    assert!(held.await.unwrap().unwrap().body.contains(MESSAGE), "the connection lives");
}

/// RFC 8441 3
#[tokio::test]
async fn extended_connect_is_announced() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let settings = wire.until(SETTINGS).await.payload;
    let announced = [&CONNECT_PROTOCOL.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
    assert!(settings.chunks(6).any(|setting| setting == announced), "{settings:?}");
}

#[tokio::test]
async fn w03_handshakes_that_are_none_are_refused_over_http_2() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for (name, value, status) in [
        ("sec-websocket-protocol", "", 400),
        ("sec-websocket-protocol", "mqtt, xmpp2", 400),
        ("sec-websocket-version", "", 400),
        ("sec-websocket-version", "8", 400),
        (":protocol", "connect-udp", 501),
        (":protocol", "WebSocket2", 501),
        (":path", "/http-bind", 405),
        (":path", "/", 405),
    ] {
        let answer = answer(client.connect(name, value).await).await;
        assert_eq!(answer.status, status, "{name}, {value}");
        let version = if name == "sec-websocket-version" { "13" } else { "" };
        assert_eq!(answer.header("sec-websocket-version"), version, "{name}, {value}");
    }
    for method in ["GET", "POST"] {
        let answer = client.ask(method, "/ws", &[("sec-websocket-version", "13")]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "CONNECT"), "{method}");
    }
    // A tunnel to elsewhere (RFC 9113 8.5) is not what stands here.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let tunnel = block(&[(":method", "CONNECT"), (":authority", "127.0.0.1:25")]);
    wire.send(HEADERS, END_HEADERS, 1, &tunnel).await;
    let refusal = String::from_utf8(wire.until(DATA).await.payload).unwrap();
    assert_eq!(refusal, "This method is not for here.\n");
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn w01_pages_of_other_origins_are_refused_over_http_2() {
    let stage = Stage::with(Settings::default(), vec!["https://chat.example".into()]);
    let client = Client::from(&stage, "192.0.2.1", true).await;
    for (origin, status) in
        [("https://chat.example", 200), ("https://evil.example", 403), ("null", 403), ("", 200)]
    {
        assert_eq!(client.connect("origin", origin).await.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn t02_without_https_a_visitor_is_sent_away_over_http_2() {
    let bosh = Some("https://chat.example/http-bind".to_owned());
    let websocket = Some("wss://chat.example/ws".to_owned());
    let insecure = Insecure::Refuse { bosh, websocket };
    let stage = Stage::with(Settings { insecure, ..Settings::default() }, Vec::new());
    let client = Client::from(&stage, "192.0.2.1", false).await;
    assert!(client.post(&creation()).await.is_terminal("see-other-uri"));
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    assert!(socket.text().await.contains("see-other-uri='wss://chat.example/ws'"));
    assert!(stage.is_untouched().await);
}

#[tokio::test]
async fn b02_sessions_of_one_address_are_counted_on_one_connection_too() {
    let sessions =
        AddressLimits { total: 10, per_address: 2, new_per_minute: 10, trusted: Vec::new() };
    let stage = Stage::with(Settings { sessions, ..Settings::default() }, Vec::new());
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut first = client.websocket().await;
    let _second = client.websocket().await;
    assert_eq!(client.connect("", "").await.status(), 503);
    assert!(client.post(&creation()).await.is_terminal("policy-violation"));
    first.send(Opcode::Close, b"").await;
    assert_eq!(first.next().await, Message::Close(Some(1000)));
    first.ends().await;
    let _third = client.websocket().await;
}

#[tokio::test(start_paused = true)]
async fn w02_a_websocket_keeps_its_connection_for_as_long_as_it_is_there() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let mut socket = client.websocket().await;
    socket.says(OPEN).await;
    let mut server = stage.server().await;
    server.greet().await;
    sleep(Duration::from_secs(25)).await;
    socket.send(Opcode::Ping, b"").await;
    while socket.next().await != Message::Pong {}
    // It goes as a page does that is left, and there is nothing to wait for any more.
    let begun = Instant::now();
    drop(socket);
    server.gone().await;
    client.ends().await;
    assert_eq!(begun.elapsed().as_secs(), 0);
}

/// A WebSocket on stream 1 whose server says more than its client takes.
async fn deaf(stage: &Stage, wire: &mut Wire, headers: &[(&str, &str)]) -> Server {
    let handshake = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", "/ws"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "xmpp"),
    ];
    wire.send(HEADERS, END_HEADERS, 1, &block(&[&handshake[..], headers].concat())).await;
    let mut open = BytesMut::new();
    write_frame(&mut open, Opcode::Text, OPEN.as_bytes(), Some([1; 4]));
    wire.send(DATA, 0, 1, &open).await;
    let mut server = stage.server().await;
    server.greet().await;
    for _ in 0..50 {
        server.send(&format!("<a>{}</a>", "a".repeat(1_000))).await;
    }
    server
}

#[tokio::test(start_paused = true)]
async fn b08_what_one_visitor_of_a_proxy_leaves_cuts_off_no_other() {
    let stage = Stage::new();
    let mut wire =
        Wire::open(stage.pipe_from("127.0.0.1", false), &[(INITIAL_WINDOW, 4_096)]).await;
    let of = |address| [("x-forwarded-for", address), ("x-forwarded-proto", "https")];
    let deaf = deaf(&stage, &mut wire, &of("203.0.113.7")).await;
    wire.post(3, &of("203.0.113.8"), &creation()).await;
    let mut server = stage.server().await;
    server.greet().await;
    let created = loop {
        let frame = wire.until(DATA).await;
        if frame.stream == 3 && !frame.payload.is_empty() {
            break String::from_utf8(frame.payload).unwrap();
        }
    };
    // Held until after the other's time is over.
    sleep(Duration::from_secs(20)).await;
    wire.post(5, &of("203.0.113.8"), &body(&attribute(&created, "sid"), 101, "", "")).await;
    for stream in (7..1_007).step_by(2) {
        let post = head("POST", "/http-bind", &of("203.0.113.7"));
        wire.send(HEADERS, END_HEADERS, stream, &post).await;
        // So that it is seen before it is taken back.
        for _ in 0..4 {
            yield_now().await;
        }
        wire.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
    }
    deaf.gone().await;
    sleep(Duration::from_secs(10)).await;
    server.send(MESSAGE).await;
    while wire.until(HEADERS).await.stream != 5 {}
}

#[tokio::test(start_paused = true)]
async fn w02_a_websocket_whose_client_takes_nothing_is_cut_off() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 0)]).await;
    let begun = Instant::now();
    let server = deaf(&stage, &mut wire, &[]).await;
    let frames = wire.rest().await;
    assert!(frames.iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()));
    assert!(begun.elapsed().as_secs() <= 90, "{:?}", begun.elapsed());
    server.gone().await;
}
