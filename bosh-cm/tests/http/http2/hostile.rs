//! Visitors who mean no good, in HTTP/2.

use super::{
    Client, MESSAGE, body, creation,
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, PING,
        PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, block, frame,
        head,
    },
};
use crate::stage::{BODY, Stage};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    task::yield_now,
    time::{Instant, sleep},
};

#[tokio::test(start_paused = true)]
async fn b05_a_connection_on_which_nothing_is_asked_is_ended_in_order() {
    let stage = Stage::new();
    let begun = Instant::now();
    let wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let frames = wire.rest().await;
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY && frame.error() == 0), "{frames:?}");
    assert_eq!(begun.elapsed().as_secs(), 20, "told after ten seconds, and closed after ten more");
    // One that answers is closed at once; and so it is after something was asked.
    let client = Client::from(&stage, "192.0.2.1", true).await;
    sleep(Duration::from_secs(9)).await;
    let begun = Instant::now();
    assert_eq!(client.ask("GET", "/", &[]).await.status, 200);
    client.connection.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn b05_who_says_nothing_or_half_of_something_is_cut_off() {
    let stage = Stage::new();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let post = head("POST", "/http-bind", &[]);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half a preface", preface[..10].to_vec()),
        ("half a frame", [&preface[..], &frame(SETTINGS, 0, 0, &[])[..5]].concat()),
        (
            "half a head",
            [&preface[..], &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0, 1, &post[..9])].concat(),
        ),
    ] {
        let mut stream = stage.pipe_from("192.0.2.1", true);
        let begun = Instant::now();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        let _end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
        assert!(begun.elapsed().as_secs() <= 20, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn b05_a_slow_body_is_refused() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let begun = Instant::now();
    for stream in [1, 3, 5] {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        wire.send(DATA, 0, stream, b"<body").await;
    }
    for _ in 0..3 {
        let data = wire.until(DATA).await;
        assert!(String::from_utf8(data.payload).unwrap().contains("policy-violation"));
    }
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert!(stage.is_untouched().await);
}

#[tokio::test(start_paused = true)]
async fn b05_slow_large_bodies_have_few_places_and_small_ones_pass_them() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    for stream in (1..20).step_by(2) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        for _ in 0..4 {
            wire.send(DATA, 0, stream, &[b' '; 12_000]).await;
        }
    }
    wire.post(101, &[], &creation()).await;
    stage.server().await.greet().await;
    // How much of each was read by then.
    let mut read: HashMap<_, u32> = HashMap::new();
    let answered = loop {
        let frame = wire.next().await.expect("the connection lives");
        match frame.kind {
            WINDOW_UPDATE => *read.entry(frame.stream).or_default() += frame.number(),
            DATA => break frame.stream,
            _ => {}
        }
    };
    read.retain(|stream, bytes| *stream > 0 && *bytes > 24_000);
    assert_eq!((answered, read.len()), (101, 4), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn b05_who_does_not_take_an_answer_is_cut_off() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.session(&stage).await;
    // The same visitor on another connection, with no room for what it asks for.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 0)]).await;
    wire.post(1, &[], &body(&sid, 101, "", "<a xmlns='x'/>")).await;
    server.expect("<a xmlns='x'/>").await;
    let begun = Instant::now();
    server.send(MESSAGE).await;
    // It asks on, so that the connection is never quiet.
    let mut stream = 1;
    let get = head("GET", "/", &[]);
    while begun.elapsed() < Duration::from_secs(120) {
        stream += 2;
        let frame = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        if !wire.try_raw(&frame).await {
            break;
        }
        sleep(Duration::from_secs(5)).await;
    }
    assert!((60..70).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn b05_who_takes_an_answer_slowly_gets_all_of_it() {
    let stage = Stage::new();
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let (sid, mut server) = client.logged_in(&stage).await;
    let stanza = format!("<a xmlns='x'>{}</a>", "a".repeat(200_000));
    let mut wire =
        Wire::open(stage.pipe_from("192.0.2.1", true), &[(INITIAL_WINDOW, 20_000)]).await;
    wire.post(1, &[], &body(&sid, 103, "", "")).await;
    server.send(&stanza).await;
    let (mut taken, mut ended) = (Vec::new(), false);
    while !ended {
        let data = wire.until(DATA).await;
        taken.extend(data.payload);
        ended = data.flags & END_STREAM != 0;
        if !ended && taken.len() % 20_000 == 0 {
            // Some minutes for all of it.
            sleep(Duration::from_secs(30)).await;
            for stream in [0, 1] {
                wire.send(WINDOW_UPDATE, 0, stream, &20_000_u32.to_be_bytes()).await;
            }
        }
    }
    assert_eq!(String::from_utf8(taken).unwrap(), format!("<body {BODY}>{stanza}</body>"));
}

/// CVE-2023-44487
#[tokio::test]
async fn b05_requests_that_are_taken_back_without_end_end_their_connection() {
    let stage = Stage::new();
    let honest = Client::from(&stage, "192.0.2.9", true).await;
    let (sid, mut server) = honest.session(&stage).await;
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let mut sent = 0;
    for stream in (1..20_001).step_by(2) {
        let post = frame(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[]));
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if !wire.try_raw(&[post, reset].concat()).await {
            break;
        }
        sent += 1;
        // One after the other, so that each is seen before it is taken back.
        for _ in 0..4 {
            yield_now().await;
        }
    }
    assert!((100..1_000).contains(&sent), "{sent}");
    // All at once: most are never seen.
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    let flood: Vec<u8> = (1..20_001)
        .step_by(2)
        .flat_map(|stream| {
            let post = frame(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[]));
            [post, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    assert!(!wire.try_raw(&flood).await, "it is cut off in the middle");
    honest.send(&[], &body(&sid, 101, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
}

#[tokio::test]
async fn b05_requests_taken_back_among_others_are_nobody_s_fault() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    for stream in (1..4_000).step_by(4) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
        let get = head("GET", "/", &[]);
        wire.send(HEADERS, END_HEADERS | END_STREAM, stream + 2, &get).await;
        assert_eq!(wire.until(DATA).await.stream, stream + 2);
        wire.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
    }
}

#[tokio::test]
async fn b05_streams_over_their_number_are_refused() {
    let stage = Stage::new();
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    wire.until(SETTINGS).await;
    wire.send(SETTINGS, ACK, 0, &[]).await;
    for stream in (1..).step_by(2).take(110) {
        wire.send(HEADERS, END_HEADERS, stream, &head("POST", "/http-bind", &[])).await;
    }
    let mut refused = HashSet::new();
    while refused.len() < 10 {
        let reset = wire.until(RST_STREAM).await;
        assert_eq!(reset.error(), REFUSED_STREAM);
        refused.insert(reset.stream);
    }
    assert_eq!(refused, (201..220).step_by(2).collect());
    // The others go on.
    wire.send(DATA, END_STREAM, 1, b"x").await;
    let data = wire.until(DATA).await;
    assert_eq!(data.stream, 1);
}

#[tokio::test]
async fn b05_a_flood_of_frames_holds_up_nobody_else() {
    let stage = Stage::new();
    let honest = Client::from(&stage, "192.0.2.9", true).await;
    let (sid, mut server) = honest.session(&stage).await;
    let ping = frame(PING, 0, 0, &[7; 8]);
    // CVE-2019-9512, -9515, -9518; each 20,000 frames
    for (what, flood) in [
        ("PING", ping.repeat(20_000)),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[]).repeat(20_000)),
        ("DATA without any", {
            let post = frame(HEADERS, END_HEADERS, 1, &head("POST", "/http-bind", &[]));
            [post, frame(DATA, 0, 1, &[]).repeat(20_000)].concat()
        }),
    ] {
        let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
        // Nothing of what comes back is read: what cannot be answered is not read either.
        let flooding = tokio::spawn(async move { wire.try_raw(&flood).await });
        for _ in 0..20 {
            yield_now().await;
            assert_eq!(honest.ask("GET", "/", &[]).await.status, 200, "{what}");
        }
        flooding.abort();
    }
    honest.send(&[], &body(&sid, 101, "", MESSAGE)).await;
    server.expect(MESSAGE).await;
}

#[tokio::test]
async fn b06_a_head_that_is_too_large_is_refused_however_it_is_cut() {
    let stage = Stage::new();
    let long = "x".repeat(9_000);
    let client = Client::from(&stage, "192.0.2.1", true).await;
    let answer = client.ask("GET", "/", &[("x", &long)]).await;
    assert_eq!(answer.status, 431);
    assert_eq!(client.ask("GET", "/", &[]).await.status, 200, "the connection lives");
    // CVE-2024-27316
    let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
    wire.send(HEADERS, END_STREAM, 1, &head("GET", "/", &[])).await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", &"x".repeat(1_000))]));
    assert!(!wire.try_raw(&more.repeat(10_000)).await, "it is cut off in the middle");
}

#[tokio::test]
async fn b06_a_request_that_is_none_in_http_2_is_reset() {
    let stage = Stage::new();
    let pseudo =
        [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/http-bind")];
    let with = |more: &[(&str, &str)]| block(&[&pseudo[..], more].concat());
    for (what, head) in [
        ("a coding", with(&[("transfer-encoding", "chunked")])),
        ("a connection", with(&[("connection", "close")])),
        ("an upgrade", with(&[("upgrade", "websocket")])),
        ("a keep-alive", with(&[("keep-alive", "1")])),
        ("two lengths", with(&[("content-length", "1"), ("content-length", "2")])),
        ("a length too short", with(&[("content-length", "1")])),
        ("a length too long", with(&[("content-length", "99")])),
        ("a length of none", with(&[("content-length", "+2")])),
        ("a name in capitals", with(&[("X", "1")])),
        ("a line end", with(&[("x", "1\r\ny: 2")])),
        ("a pseudo-header behind", with(&[("x", "1"), (":path", "/")])),
        ("two paths", with(&[(":path", "/")])),
        ("no path", block(&pseudo[..3])),
        ("no method", block(&pseudo[1..])),
    ] {
        let mut wire = Wire::open(stage.pipe_from("192.0.2.1", true), &[]).await;
        wire.send(HEADERS, END_HEADERS, 1, &head).await;
        // Whoever refuses the head may be gone before this.
        let _gone = wire.try_raw(&frame(DATA, END_STREAM, 1, creation().as_bytes())).await;
        let error = loop {
            let frame = wire.next().await.unwrap_or_else(|| panic!("{what}: no answer"));
            match frame.kind {
                RST_STREAM | GOAWAY => break frame.error(),
                HEADERS => panic!("{what}: answered"),
                _ => {}
            }
        };
        assert_eq!(error, PROTOCOL_ERROR, "{what}");
    }
    assert!(stage.is_untouched().await);
}
