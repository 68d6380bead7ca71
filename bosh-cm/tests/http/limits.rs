//! Every limit of the program is the one that its key sets.

use crate::{
    program::{NO_TLS, Running, running},
    stage::{Answer, BODY, Browser, FEATURES, HEADER, attribute},
    websocket::{OPEN, Socket},
};
use bosh_cm::websocket::frames::{Message, Opcode};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>";

/// The program with this limit, which nobody is trusted to break, before this server.
async fn limited(limit: &str, server: &TcpListener) -> (Running, String) {
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    running(&[&upstream, NO_TLS, "limits.trusted=[]", "http.websocket=/ws", limit])
}

/// The same before a server that lets everybody in.
async fn open(limit: &str) -> (Running, String) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let started = limited(limit, &server).await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            tokio::spawn(async move {
                let mut got = [0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut got).await {
                    let said = String::from_utf8_lossy(&got[..read]).into_owned();
                    let answer = match said {
                        said if said.contains("<auth ") => {
                            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned()
                        }
                        said if said.contains("<stream:stream") => format!("{HEADER}{FEATURES}"),
                        _ => continue,
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    started
}

async fn browser(address: &str) -> Browser {
    Browser::new(TcpStream::connect(address).await.unwrap())
}

fn creation(more: &str) -> String {
    format!("<body {BODY} rid='1' to='example.com' ver='1.6' {more}/>")
}

/// The answer to whoever asks for a session, with these attributes.
async fn created(address: &str, more: &str) -> Answer {
    browser(address).await.post(&creation(more)).await
}

#[tokio::test]
async fn b02_so_many_sessions_in_all_of_one_address_and_in_a_minute() {
    for (limit, condition) in [
        ("limits.sessions=1", "undefined-condition"),
        ("limits.sessions_per_address=1", "policy-violation"),
        ("limits.sessions_per_minute=1", "policy-violation"),
    ] {
        let (_child, address) = open(limit).await;
        assert!(created(&address, "").await.body.contains("PLAIN"), "{limit}");
        let answer = created(&address, "").await;
        assert!(answer.is_terminal(condition), "{limit}: {answer:?}");
    }
}

#[tokio::test]
async fn b05_so_many_connections_in_all_of_one_address_and_in_a_minute() {
    for limit in ["connections=1", "connections_per_address=1", "connections_per_minute=1"] {
        let (_child, address) = open(&format!("limits.{limit}")).await;
        let mut first = browser(&address).await;
        assert_eq!(first.request("GET /http-bind", "").await.status, 200);
        // Its reset may come before anything is said.
        let Ok(second) = TcpStream::connect(&address).await else { continue };
        let mut second = Browser::new(second);
        let _reset = second.stream.write_all(b"GET /http-bind HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(second.read_answer(false).await, None, "{limit}");
    }
}

#[tokio::test]
async fn b05_so_many_requests_that_wait_in_all_and_of_one_address() {
    for (limit, status) in [("limits.requests=1", 503), ("limits.requests_per_address=1", 429)] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_child, address) = limited(limit, &server).await;
        let mut waiting = browser(&address).await;
        waiting.send(&creation("")).await;
        let (mut silent, _) = server.accept().await.unwrap();
        assert_eq!(created(&address, "").await.status, status);
        silent.write_all(format!("{HEADER}{FEATURES}").as_bytes()).await.unwrap();
        assert!(waiting.answer().await.body.contains("PLAIN"), "it was not disturbed");
    }
}

#[tokio::test]
async fn b01_so_many_guesses_in_a_minute() {
    let (_child, address) = open("limits.strays_per_minute=1").await;
    let mut guessing = browser(&address).await;
    let guess = format!("<body {BODY} rid='1' sid='guess'/>");
    assert!(guessing.post(&guess).await.is_terminal("item-not-found"));
    guessing.send(&guess).await;
    assert_eq!(guessing.read_answer(false).await, None);
}

#[tokio::test]
async fn b05_so_large_a_head_and_a_body_and_so_slow() {
    let long = format!("X: {}\r\n", "x".repeat(9_000));
    for (limit, status) in [("limits.http_head=8192", 431), ("limits.http_head=16384", 200)] {
        let (_child, address) = open(limit).await;
        let answer = browser(&address).await.request("GET /http-bind", &long).await;
        assert_eq!(answer.status, status, "{limit}");
    }
    let large = "x".repeat(20_000);
    for (limit, status) in [("limits.http_body=19999", 413), ("limits.http_body=20000", 400)] {
        let (_child, address) = open(limit).await;
        assert_eq!(browser(&address).await.post(&large).await.status, status, "{limit}");
    }
    let (_child, address) = open("limits.http_timeout=1").await;
    for slow in ["POST /http-bind HT", "POST /http-bind HTTP/1.1\r\nContent-Length: 9\r\n\r\n<"] {
        let mut browser = browser(&address).await;
        let begun = Instant::now();
        browser.raw(slow.as_bytes()).await;
        while browser.read_answer(false).await.is_some() {}
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(9), "{took:?}");
    }
}

#[tokio::test]
async fn b03_what_a_session_is_granted() {
    for (limit, granted) in [
        ("limits.hold=3", "hold='3'"),
        ("limits.hold=3", "requests='4'"),
        ("limits.wait=7", "wait='7'"),
        ("limits.inactivity=9", "inactivity='9'"),
        ("limits.polling=4", "polling='4'"),
        ("limits.pause=33", "maxpause='33'"),
    ] {
        let (_child, address) = open(limit).await;
        let answer = created(&address, "hold='99' wait='9999'").await;
        assert!(answer.body.contains(&format!(" {granted}")), "{limit}: {answer:?}");
    }
}

#[tokio::test]
async fn x04_so_much_of_a_stranger() {
    let (_child, address) = open("limits.preauth_bytes=1024").await;
    let mut browser = browser(&address).await;
    let answer = browser.post(&creation("")).await;
    let sid = attribute(&answer.body, "sid");
    let large = "x".repeat(1_024 + 8_192);
    let body = format!("<body {BODY} rid='2' sid='{sid}'><a>{large}</a></body>");
    assert!(browser.post(&body).await.is_terminal("policy-violation"));

    let mut socket = Socket::over(self::browser(&address).await).await;
    socket.says(&format!("<a xmlns='x'>{}</a>", "x".repeat(1_024))).await;
    assert_eq!(closes(&mut socket).await, 1009);
}

#[tokio::test]
async fn w02_so_large_a_message_and_so_many_fragments() {
    for (size, is_closed) in [(9_000, false), (10_001, true)] {
        let (_child, address) = open("limits.websocket_message=10000").await;
        let mut socket = Socket::over(browser(&address).await).await;
        for message in [OPEN, AUTH, OPEN] {
            socket.says(message).await;
            let mut heard = socket.text().await;
            while !heard.contains("features>") && !heard.contains("<success") {
                heard = socket.text().await;
            }
        }
        socket.says(&format!("<a xmlns='x'>{}</a>", "x".repeat(size))).await;
        socket.send(Opcode::Ping, b"").await;
        if is_closed {
            assert_eq!(closes(&mut socket).await, 1009);
        } else {
            assert_eq!(socket.next().await, Message::Pong);
        }
    }
    for (fragments, is_closed) in [(3, false), (2, true)] {
        let (_child, address) = open(&format!("limits.websocket_fragments={fragments}")).await;
        let mut socket = Socket::over(browser(&address).await).await;
        // Three fragments without content, the last of them the end of the message, and a ping.
        let frames = b"\x01\x80\0\0\0\0\0\x80\0\0\0\0\x80\x80\0\0\0\0\x89\x80\0\0\0\0";
        socket.stream.write_all(frames).await.unwrap();
        match is_closed {
            true => assert_eq!(closes(&mut socket).await, 1008),
            // Nothing is no element, which XMPP has words for.
            false => assert!(socket.text().await.starts_with("<open ")),
        }
    }
}

#[tokio::test]
async fn row_19_domains_that_are_gone_are_gone_by_every_door() {
    let (_child, address) = open("gone=['example.com']").await;
    let answer = created(&address, "").await;
    assert!(answer.is_terminal("host-gone"), "{answer:?}");
    let mut socket = Socket::over(browser(&address).await).await;
    socket.says(OPEN).await;
    assert!(socket.text().await.starts_with("<open "));
    assert!(socket.text().await.contains("<host-gone "));
}

/// The code with which it is closed, whatever is said before.
async fn closes<S: bosh_cm::Pipe>(socket: &mut Socket<S>) -> u16 {
    loop {
        if let Message::Close(code) = socket.next().await {
            return code.unwrap();
        }
    }
}
