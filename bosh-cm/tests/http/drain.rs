//! The end of the program: nobody new, everybody told, in time, and well ended.

use crate::{
    program::{NO_TLS, running},
    stage::{BODY, Browser, FEATURES, HEADER, attribute},
    websocket::{CLOSE, OPEN, Socket},
};
use bosh_cm::websocket::frames::{Message, Opcode};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server that greets every stream, and gives what each got to its end.
fn server(listener: TcpListener, streams: usize) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut tasks = Vec::new();
        for _ in 0..streams {
            let (mut stream, _) = listener.accept().await.unwrap();
            tasks.push(tokio::spawn(async move {
                stream.write_all(format!("{HEADER}{FEATURES}").as_bytes()).await.unwrap();
                let mut got = String::new();
                stream.read_to_string(&mut got).await.unwrap();
                got
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    })
}

async fn browser(address: &str) -> Browser {
    Browser::new(TcpStream::connect(address).await.unwrap())
}

/// A session whose features are told: its browser and its identifier.
async fn session(address: &str) -> (Browser, String) {
    let mut browser = browser(address).await;
    let answer = browser.post(&format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>")).await;
    let sid = attribute(&answer.body, "sid");
    (browser, sid)
}

#[tokio::test]
async fn row_28_at_its_end_the_program_takes_nobody_new_and_tells_everybody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", listener.local_addr().unwrap());
    let streams = server(listener, 4);
    let sets = [&*upstream, NO_TLS, "http.websocket=/ws", "limits.drain=60"];
    let (child, address) = running(&sets);

    let (mut holding, sid) = session(&address).await;
    holding.send(&format!("<body {BODY} rid='2' sid='{sid}'/>")).await;
    let (mut between, between_sid) = session(&address).await;
    let (other, other_sid) = session(&address).await;
    drop(other);
    let mut socket = Socket::over(browser(&address).await).await;
    socket.says(OPEN).await;
    socket.text().await;
    socket.text().await;

    let begun = Instant::now();
    child.terminate();
    assert!(holding.answer().await.is_terminal("system-shutdown"), "who has a request held");
    assert!(socket.text().await.contains("<system-shutdown "), "a WebSocket");
    assert_eq!(socket.text().await, CLOSE);
    assert_eq!(socket.next().await, Message::Close(Some(1001)));
    socket.send(Opcode::Close, &[3, 233]).await;
    socket.ends().await;
    // Nobody new, by any door.
    let mut newcomer = browser(&address).await;
    let creation = format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>");
    assert!(newcomer.post(&creation).await.is_terminal("system-shutdown"));
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n";
    assert_eq!(newcomer.request("GET /ws", headers).await.status, 503);
    // Who asks only now, on the old connection or on a new one.
    let poll = |sid: &str| format!("<body {BODY} rid='2' sid='{sid}'/>");
    assert!(between.post(&poll(&between_sid)).await.is_terminal("system-shutdown"));
    let mut again = browser(&address).await;
    assert!(again.post(&poll(&other_sid)).await.is_terminal("system-shutdown"));

    assert_eq!(child.status().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(50), "no longer than anybody is there");
    let mut streams = streams.await.unwrap();
    let socket = streams.pop().unwrap();
    assert!(!socket.ends_with("</stream:stream>"), "it may be resumed (XEP-0198 7): {socket}");
    for got in streams {
        assert!(got.ends_with("</stream:stream>"), "{got}");
    }
}

#[tokio::test]
async fn row_28_who_never_asks_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", listener.local_addr().unwrap());
    let _streams = server(listener, 2);
    let sets = [&*upstream, NO_TLS, "http.websocket=/ws", "limits.drain=1"];
    let (child, address) = running(&sets);
    let _silent = session(&address).await;
    let mut deaf = Socket::over(browser(&address).await).await;
    deaf.says(OPEN).await;
    deaf.text().await;
    let begun = Instant::now();
    child.terminate();
    assert_eq!(child.status().await, Some(0));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "they had their time: {took:?}");
    // The deadline, the time to close connections, and a slow machine.
    assert!(took < Duration::from_secs(30), "{took:?}");
}
