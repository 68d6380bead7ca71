//! Many at once, many in a row, and slowly: X04, X05, X17.

use crate::{
    case::Stage,
    http::Http,
    stream::{Attacker, auth},
    target::{Bystander, PATIENCE, Target},
};
use script::Incoming;
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    task::yield_now,
    time::{interval, timeout},
};
use xmpp_core::ns;

/// What is alive: tasks of the runtime, and open files.
fn alive() -> (usize, usize) {
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (Handle::current().metrics().num_alive_tasks(), files)
}

/// Bytes of memory in use.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// CVE-2026-43506: whatever way a connection ends, nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x05_nothing_stays_of_connections_that_are_gone() {
    let target = Target::start(&[]).await;
    let mut bystander = Bystander::enter(&target).await;
    let (tasks, files) = alive();
    for round in 0..2_000 {
        leave(&target, round % 12).await;
    }
    bystander.ping().await.unwrap();
    // The server takes note of an end in its own time; other tests of this process open files of their own.
    let deadline = Instant::now() + PATIENCE;
    while alive().0 > tasks {
        assert!(Instant::now() < deadline, "{:?} and not {tasks} tasks, {files} files", alive());
        yield_now().await;
    }
    assert!(alive().1 < files + 500, "{} and not {files} files", alive().1);
    target.server.stop().await;
}

/// One way to end a connection badly.
async fn leave(target: &Target, way: usize) {
    let mut attacker = match way {
        0..=5 => Attacker::over_tcp(target).await,
        _ => Attacker::in_memory(target, true),
    };
    match way {
        // Before a byte; in the header; after it; at the proceed; in the handshake.
        0 => {}
        1 => attacker.write(b"<?xml version='1.0'?><stream:str").await,
        2 => attacker.advance(Stage::Clear).await.unwrap(),
        3 | 4 => {
            attacker.advance(Stage::Clear).await.unwrap();
            attacker.write(format!("<starttls xmlns='{}'/>", ns::TLS).as_bytes()).await;
            let proceed = attacker.next().await.unwrap();
            assert!(matches!(proceed, Some(Incoming::Element(_))));
            if way == 4 {
                attacker.write(&[22, 3, 1, 2, 0, 1, 0]).await;
            }
        }
        // With a reset, while the server writes.
        5 => {
            drop(attacker);
            let stream = TcpStream::connect(target.address("c2s")).await.unwrap();
            stream.set_zero_linger().unwrap();
            let mut attacker = Attacker::on(Box::new(stream));
            attacker.write(b"<broken<").await;
        }
        6 => attacker.advance(Stage::Challenged).await.unwrap(),
        // While the password is hashed.
        7 => {
            attacker.advance(Stage::Offered).await.unwrap();
            attacker.write(auth("PLAIN", "AG1hbGxvcnkAd2hlcmVmb3Jl").as_bytes()).await;
        }
        8 => attacker.advance(Stage::Authenticated).await.unwrap(),
        // After an error that is not read.
        9 => {
            attacker.advance(Stage::Offered).await.unwrap();
            attacker.write(b"<!-- -->").await;
        }
        // Bound, in the middle of a stanza.
        10 => {
            attacker.advance(Stage::Bound).await.unwrap();
            attacker.write(b"<message to='nurse@capulet.lit'><body>").await;
        }
        // In the middle of a request.
        _ => {
            let mut http = Http::connect(target.address("http")).await;
            http.write(&[b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n<body"])
                .await;
        }
    }
}

/// CVE-2026-43507, libexpat CVE-2025-59375: what comes in cannot grow in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x04_a_thousand_half_elements_take_little_memory() {
    let target = Target::start(&[]).await;
    let mut bystander = Bystander::enter(&target).await;
    // Just within the limits, so that all of it is kept: nested, with attributes, and without end.
    let attributes: String = (0..16).map(|n| format!(" a{n}='{}'", "x".repeat(400))).collect();
    let half = format!("<a{attributes}>{}", "<b/>".repeat(31));
    assert!((6_500..8_191).contains(&half.len()), "{}", half.len());
    let before = resident();
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let mut attacker = Attacker::in_memory(&target, true);
        attacker.advance(Stage::Offered).await.unwrap();
        attacker.write(half.as_bytes()).await;
        all.push(attacker);
    }
    bystander.ping().await.unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1_024 * 1_024, "{grown} bytes");
}

/// Bytes do not put the end off: it is no idle timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x17_a_slow_drip_ends_when_the_time_to_log_in_is_over() {
    let target = Target::start(&["limits.auth_timeout=1"]).await;
    let mut bystander = Bystander::enter(&target).await;
    let header = script::header("capulet.lit");
    // The header, a byte at a time; white space for ever; a stanza without end; SASL that is aborted for ever.
    let abort = format!("<abort xmlns='{}'/>", ns::SASL).into_bytes();
    let drips = [
        (Stage::Fresh, header.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>()),
        (Stage::Clear, vec![b" ".to_vec(); 100]),
        (
            Stage::Offered,
            vec![b"<a".to_vec(), b" b='".to_vec()]
                .into_iter()
                .chain(vec![b"x".to_vec(); 100])
                .collect(),
        ),
        (Stage::Challenged, vec![abort; 4].into_iter().chain(vec![b"\n".to_vec(); 100]).collect()),
    ];
    let mut tests = Vec::new();
    for (stage, drip) in drips {
        let attacker = Attacker::over_tcp(&target).await;
        tests.push(tokio::spawn(dripping(attacker, stage, drip)));
    }
    for test in tests {
        test.await.unwrap();
    }
    bystander.ping().await.unwrap();
}

async fn dripping(mut attacker: Attacker, stage: Stage, drip: Vec<Vec<u8>>) {
    let start = Instant::now();
    attacker.advance(stage).await.unwrap();
    let mut turn = interval(Duration::from_millis(50));
    let mut drip = drip.into_iter();
    loop {
        tokio::select! {
            incoming = timeout(PATIENCE, attacker.next()) => match incoming.unwrap().unwrap() {
                Some(Incoming::Element(error)) if error.is(ns::STREAMS, "error") => {
                    assert!(error.child(ns::STREAM_ERRORS, "policy-violation").is_some(), "{error:?}");
                    break;
                }
                Some(_) => {}
                None => panic!("{stage:?}: no word of the reason"),
            },
            _ = turn.tick() => match drip.next() {
                Some(bytes) => attacker.write(&bytes).await,
                None => panic!("{stage:?}: it goes on"),
            },
        }
    }
    let taken = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&taken), "{taken:?}");
    assert_eq!(attacker.next().await.unwrap(), Some(Incoming::End));
    assert_eq!(attacker.next().await.unwrap(), None);
}
