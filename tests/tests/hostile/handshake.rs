//! TLS that is abused: T01, T03 to T06. What is sent here is not a stream's, so these are no cases of the table.

use crate::{
    case::Stage,
    stream::{Attacker, DOMAIN, auth},
    target::{Bystander, PATIENCE, Target},
};
use net::tls::client;
use script::Incoming;
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::rustls::{
    AlertDescription, ClientConnection, Error as TlsError, pki_types::ServerName,
};
use xmpp_core::ns;

/// The types of TLS records (RFC 8446 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// All that the server still says.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    match reading.expect("the connection is closed") {
        // Closed in anger is closed.
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => said,
    }
}

/// The first flight of a client.
fn hello(protocols: &[&str]) -> Vec<u8> {
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut client = ClientConnection::new(client::trusting_anyone(protocols), name).unwrap();
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello).unwrap();
    }
    hello
}

/// CVE-2011-0411: what is sent ahead in the clear is never read as if it had been encrypted. Cut at every place, since in
/// one piece it is refused, and in two the rest may only be found by TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t01_data_after_starttls_is_never_read_as_encrypted() {
    let target = Target::start(&[]).await;
    let mut bystander = Bystander::enter(&target).await;
    let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
    let plain = auth("PLAIN", "AG1hbGxvcnkAd2hlcmVmb3Jl");
    let injected =
        format!("{starttls}{plain}<message to='nurse@capulet.lit'><body>x</body></message>");
    for cut in 1..=injected.len() {
        let mut attacker = Attacker::in_memory(&target, false);
        attacker.advance(Stage::Clear).await.unwrap();
        attacker.write_cut(injected.as_bytes(), cut).await;
        match attacker.next().await.unwrap() {
            // Cut right behind the element the server cannot know yet; TLS then finds no ClientHello.
            Some(Incoming::Element(proceed)) if proceed.is(ns::TLS, "proceed") => {
                assert_eq!(cut, starttls.len());
                let mut rest = Vec::new();
                timeout(PATIENCE, attacker.io.read_to_end(&mut rest)).await.unwrap().unwrap();
                assert!(!rest.contains(&b'<'), "nothing but an alert: {rest:?}");
            }
            Some(Incoming::Element(error)) if error.is(ns::STREAMS, "error") => {
                assert!(error.child(ns::STREAM_ERRORS, "policy-violation").is_some(), "{error:?}");
                assert_eq!(attacker.next().await.unwrap(), Some(Incoming::End));
                assert_eq!(attacker.next().await.unwrap(), None);
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    bystander.ping().await.unwrap();
}

/// CVE-2021-32920 in its newest form: nothing but new keys, each of which costs the server a derivation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t03_a_flood_of_new_keys_is_cut_off_or_cheap() {
    let target = Target::start(&[]).await;
    let mut bystander = Bystander::enter(&target).await;
    let stream = connect(target.address("c2s-tls")).await;
    let mut stream = client::connect(stream, DOMAIN, client::trusting_anyone(&[])).await.unwrap();
    let start = Instant::now();
    for _ in 0..10_000 {
        stream.get_mut().1.refresh_traffic_keys().unwrap();
        if stream.flush().await.is_err() {
            break;
        }
    }
    bystander.ping().await.unwrap();
    assert!(start.elapsed() < PATIENCE);
}

/// RUSTSEC-2024-0399.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_hello_in_records_of_one_byte_is_answered() {
    let target = Target::start(&[]).await;
    let mut bystander = Bystander::enter(&target).await;
    let mut stream = connect(target.address("c2s-tls")).await;
    let hello = hello(&[]);
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    assert_eq!((hello[0], length), (HANDSHAKE, hello.len() - 5), "one record");
    for byte in &hello[5..] {
        let record = [HANDSHAKE, hello[1], hello[2], 0, 1, *byte];
        if stream.write_all(&record).await.is_err() {
            break;
        }
    }
    let mut answer = [0];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    // Put together again, or refused; never a panic.
    assert!([HANDSHAKE, ALERT].contains(&answer[0]), "{answer:?}");
    bystander.ping().await.unwrap();
}

/// RUSTSEC-2024-0336, and other ways to leave a handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_handshake_that_goes_wrong_ends() {
    // What might still become a handshake, such as a goodbye before any hello, ends when its time is over.
    let target = Target::start(&["limits.tls_timeout=1"]).await;
    let mut bystander = Bystander::enter(&target).await;
    let hello = hello(&[]);
    let close_notify: &[u8] = &[ALERT, 3, 3, 0, 2, 1, 0];
    let oversize: &[u8] = &[HANDSHAKE, 3, 1, 0xFF, 0xFF];
    let unknown: &[u8] = &[99, 3, 1, 0, 1, 0];
    let ssl_2: &[u8] = &[0x80, 0x2E, 1, 0, 2, 0, 0x15, 0, 0];
    for what in [
        [&*hello, close_notify].concat(),
        close_notify.to_vec(),
        [&*hello, &hello].concat(),
        oversize.to_vec(),
        unknown.to_vec(),
        ssl_2.to_vec(),
        b"<stream:stream xmlns='jabber:client'>".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        for kind in ["c2s", "c2s-tls"] {
            let mut stream = connect(target.address(kind)).await;
            if kind == "c2s" {
                let mut attacker = Attacker::on(Box::new(stream));
                attacker.advance(Stage::Clear).await.unwrap();
                attacker.write(format!("<starttls xmlns='{}'/>", ns::TLS).as_bytes()).await;
                let proceed = attacker.next().await.unwrap();
                assert!(matches!(proceed, Some(Incoming::Element(_))), "{proceed:?}");
                attacker.write(&what).await;
                let mut said = Vec::new();
                // Closed in anger is closed.
                let ended = timeout(PATIENCE, attacker.io.read_to_end(&mut said)).await;
                assert!(ended.is_ok(), "it goes on after {what:?}");
                assert!(!said.starts_with(b"<"), "nothing more is said (RFC 6120 5.4.3.2)");
            } else {
                stream.write_all(&what).await.unwrap();
                let said = read_to_end(&mut stream).await;
                assert!(!said.starts_with(b"<") && !said.starts_with(b"HTTP"));
            }
        }
    }
    bystander.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_a_slow_handshake_is_cut_off() {
    let target = Target::start(&["limits.tls_timeout=1"]).await;
    let mut bystander = Bystander::enter(&target).await;
    let (mut from, mut to) = connect(target.address("c2s-tls")).await.into_split();
    let start = Instant::now();
    // A byte now and then puts nothing off.
    let drip = tokio::spawn(async move {
        let mut turn = tokio::time::interval(Duration::from_millis(100));
        for byte in hello(&[]) {
            turn.tick().await;
            if to.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, from.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "it goes on");
    let taken = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&taken), "{taken:?}");
    drip.abort();
    bystander.ping().await.unwrap();
}

/// XEP-0368, RFC 7301 3.2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_only_who_speaks_xmpp_gets_through_alpn() {
    let target = Target::start(&[]).await;
    for (protocols, let_in) in [
        (&["h2"][..], false),
        (&["http/1.1"], false),
        (&["xmpp-server"], false),
        (&["h2", "xmpp-client"], true),
        (&[], true),
    ] {
        let stream = connect(target.address("c2s-tls")).await;
        let outcome = client::connect(stream, DOMAIN, client::trusting_anyone(protocols)).await;
        match outcome {
            Ok(_) => assert!(let_in, "{protocols:?}"),
            Err(error) => {
                assert!(!let_in, "{protocols:?}: {error}");
                let error = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>());
                let expected = TlsError::AlertReceived(AlertDescription::NoApplicationProtocol);
                assert_eq!(error, Some(&expected), "{protocols:?}");
            }
        }
    }
}

/// What a browser can be made to send is not reflected, and XMPP is nothing to the HTTP port (ALPACA).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_nothing_is_echoed_to_who_speaks_something_else() {
    let target = Target::start(&[]).await;
    let canary = "canary7";
    for (kind, said) in [
        ("c2s", format!("GET /{canary} HTTP/1.1\r\nHost: {canary}\r\n\r\n")),
        ("c2s", format!("POST / HTTP/1.1\r\n\r\n<script>{canary}</script>")),
        ("c2s", format!("<{canary}>")),
        (
            "c2s",
            format!(
                "<stream:stream to='{canary}' xmlns='jabber:client' version='1.0' xmlns:stream='http://etherx.jabber.org/streams'>"
            ),
        ),
        ("c2s-tls", format!("GET /{canary} HTTP/1.1\r\n\r\n")),
        ("http", format!("<stream:stream to='{canary}'>\r\n\r\n")),
        ("http", format!("EHLO {canary}\r\n\r\n")),
    ] {
        let mut stream = connect(target.address(kind)).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&read_to_end(&mut stream).await).into_owned();
        assert!(!answer.contains(canary), "{said}: {answer}");
    }
}
