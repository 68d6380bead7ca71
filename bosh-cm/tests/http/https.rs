//! The program `bosh-cm` with a certificate of its own.

use crate::{
    program::{NO_TLS, Running, listening, program},
    stage::{Answer, BODY, Browser},
};
use net::tls::{Tls, client};
use std::{collections::HashMap, fs, io, path::Path, time::Duration};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::client::TlsStream;

const PUBLIC: [&str; 2] = [
    "http.public_bosh=https://chat.example/http-bind",
    "http.public_websocket=wss://chat.example/xmpp-websocket",
];

/// A certificate and its key in this folder.
fn made(folder: &Path) -> [String; 2] {
    Tls::self_signed(folder, &["chat.example"]).unwrap();
    let file = |key: &str, name: &str| format!("tls.{key}={}", folder.join(name).display());
    [file("certificate", "self-signed.crt"), file("key", "self-signed.key")]
}

fn secured(folder: &Path, more: &[&str]) -> (Running, HashMap<String, String>) {
    let [certificate, key] = made(folder);
    let all = ["https.listen=['127.0.0.1:0']", &certificate, &key, "upstream.server=127.0.0.1:1"];
    listening(&[&all[..], &[NO_TLS], more].concat())
}

/// A visitor over HTTPS who trusts the certificate in this folder only.
async fn visit(address: &str, trusted: &Path) -> io::Result<Browser<TlsStream<TcpStream>>> {
    let authority = trusted.join("self-signed.crt");
    let config = client::trusting(Some(&authority), &["http/1.1"]).unwrap();
    let stream = TcpStream::connect(address).await?;
    Ok(Browser::new(client::connect(stream, "chat.example", config).await?))
}

#[tokio::test]
async fn t08_a_new_certificate_is_read_when_it_changes_and_on_sighup() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (child, listening) = secured(folder.path(), &[]);
    let https = &listening["https"];
    let mut first = visit(https, folder.path()).await.unwrap();
    assert_eq!(first.request("GET /http-bind", "").await.status, 200);
    made(other.path());
    let put = |name: &str| fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
    fs::copy(folder.path().join("self-signed.crt"), folder.path().join("before.crt")).unwrap();
    // A certificate without its key: the old pair stays in force.
    put("self-signed.crt");
    child.signal("HUP");
    assert!(visit(https, other.path()).await.is_err());
    put("self-signed.key");
    child.signal("HUP");
    // The signal, or its own look at the files: within a second.
    let mut looks = 0;
    while visit(https, other.path()).await.is_err() {
        looks += 1;
        assert!(looks < 600, "the new certificate never comes into force");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(first.request("GET /http-bind", "").await.status, 200, "no connection is dropped");
}

#[tokio::test]
async fn row_27_without_https_sessions_are_sent_to_the_public_address() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, listening) = secured(folder.path(), &PUBLIC);
    let creation = format!("<body {BODY} rid='1' to='a.example' ver='1.6'/>");
    let from = |proto| format!("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: {proto}\r\n");
    let mut browser = Browser::new(TcpStream::connect(&listening["http"]).await.unwrap());
    browser.send_with(&from("http"), &creation).await;
    let answer = browser.answer().await;
    assert!(answer.is_terminal("see-other-uri"), "{answer:?}");
    assert!(answer.body.contains("<uri>https://chat.example/http-bind</uri>"), "{answer:?}");
    // By HTTPS, by a proxy's, or on this machine they come through, to a server that is not there.
    browser.send_with(&from("https"), &creation).await;
    assert!(browser.answer().await.is_terminal("remote-connection-failed"));
    assert!(browser.post(&creation).await.is_terminal("remote-connection-failed"));
    let mut secure = visit(&listening["https"], folder.path()).await.unwrap();
    assert!(secure.post(&creation).await.is_terminal("remote-connection-failed"));
    // Or from anywhere, where the operator does not mind.
    let (_child, listening) = secured(folder.path(), &["http.require_https=false"]);
    let mut browser = Browser::new(TcpStream::connect(&listening["http"]).await.unwrap());
    browser.send_with(&from("http"), &creation).await;
    assert!(browser.answer().await.is_terminal("remote-connection-failed"));
}

/// XEP-0156 3, RFC 6415 2
#[tokio::test]
async fn host_meta_tells_where_both_endpoints_are() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, listening) = secured(folder.path(), &PUBLIC);
    let mut plain = Browser::new(TcpStream::connect(&listening["http"]).await.unwrap());
    let mut secure = visit(&listening["https"], folder.path()).await.unwrap();
    let is_whole = |answer: &Answer, content: &str| {
        assert_eq!((answer.status, answer.header("content-type")), (200, content));
        assert_eq!(answer.header("access-control-allow-origin"), "*", "for pages of any origin");
        for part in [
            "urn:xmpp:alt-connections:xbosh",
            "https://chat.example/http-bind",
            "urn:xmpp:alt-connections:websocket",
            "wss://chat.example/xmpp-websocket",
        ] {
            assert!(answer.body.contains(part), "{part}: {answer:?}");
        }
    };
    for (path, content) in [
        ("/.well-known/host-meta", "application/xrd+xml; charset=utf-8"),
        ("/.well-known/host-meta.json", "application/json"),
    ] {
        let request = format!("GET {path}");
        let (http, https) = (plain.request(&request, "").await, secure.request(&request, "").await);
        is_whole(&http, content);
        is_whole(&https, content);
        assert_eq!(http.body, https.body);
    }
}

#[test]
fn mistakes_about_certificates_are_told_in_one_line() {
    const LISTEN: [&str; 2] = ["--set", "https.listen=['127.0.0.1:0']"];
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = made(folder.path());
    let other = tempfile::tempdir().unwrap();
    let [_, other_key] = made(other.path());
    let missing = "tls.certificate=/nowhere/a.pem";
    for (sets, words) in [
        (&[][..], "https.listen: HTTPS needs a certificate"),
        (&[missing], "tls.certificate and tls.key go together"),
        (&[missing, &key], "tls.certificate, tls.key: cannot read /nowhere/a.pem"),
        (&[&certificate, &other_key], "tls.certificate, tls.key: the key "),
        (&[&key.replace("key=", "certificate="), &key], "does not hold certificates in PEM form"),
    ] {
        let sets = ["domains=['a.example']"].iter().chain(sets).flat_map(|set| ["--set", set]);
        let sets: Vec<_> = LISTEN.into_iter().chain(sets).collect();
        for command in ["run", "check"] {
            let output = program(&[&[command][..], &sets].concat()).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.starts_with("bosh-cm: ") && text.contains(words), "{words}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}
