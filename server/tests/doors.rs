//! The HTTP listener as configured: what counts as secure, whose address counts, what is beside BOSH.

mod common;

use common::{Daemon, FREE, Folder, PATIENCE};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// One request over a connection of its own, and the whole answer.
fn ask(server: &Daemon, request: &str, headers: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(server.address("http")).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(text.as_bytes()).expect("written");
    let mut answer = String::new();
    // Where it is not answered the connection is closed or reset.
    let _ = socket.read_to_string(&mut answer);
    answer
}

/// Asks for a session, as somebody whom a proxy describes by these headers.
fn begin(server: &Daemon, headers: &str) -> String {
    let body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' wait='5' \
                hold='1' ver='1.6' xml:lang='en' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'/>";
    ask(server, "POST /http-bind", headers, body)
}

/// XEP-0478 3.1, XEP-0115 6.3
#[test]
fn x16_limits_and_capabilities_are_on_offer_over_bosh() {
    let folder = Folder::new();
    folder.add("romeo@localhost", "montague");
    let limits = ["limits.preauth_bytes=4321", "limits.stanza_bytes=54321", "limits.idle_check=77"];
    let server = folder.serve(&limits.map(|limit| ["--set", limit]).concat());
    let limits = |bytes: u32, seconds: u32| {
        format!("<max-bytes>{bytes}</max-bytes><idle-seconds>{seconds}</idle-seconds></limits>")
    };
    let answer = begin(&server, "");
    assert!(answer.contains(&limits(4_321, 30)) && !answer.contains("/protocol/caps"), "{answer}");
    let (_, rest) = answer.split_once(" sid='").or(answer.split_once(" sid=\"")).expect("a sid");
    let sid = &rest[..rest.find(['\'', '"']).expect("its end")];
    let mut rid = 1;
    let mut say = |more: &str, inner: &str| {
        rid += 1;
        let body = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' sid='{sid}'{more}>{inner}</body>"
        );
        ask(&server, "POST /http-bind", "", &body)
    };
    let plain = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
                 AHJvbWVvAG1vbnRhZ3Vl</auth>";
    let success = say("", plain);
    assert!(success.contains("<success "), "{success}");
    let features = say(" xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true' to='localhost'", "");
    assert!(features.contains(&limits(54_321, 77)), "{features}");
    assert!(
        features.contains("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1'"),
        "{features}"
    );
}

#[test]
fn bosh_is_secure_from_loopback_and_where_a_trusted_proxy_says_https() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    for headers in [
        "",
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https\r\n",
    ] {
        let answer = begin(&server, headers);
        assert!(answer.contains(" sid="), "{headers}: {answer}");
        assert!(answer.contains("<mechanism>") || answer.contains("mechanisms"), "{answer}");
    }
    for headers in [
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n",
        "X-Forwarded-For: 192.0.2.7\r\n",
    ] {
        let answer = begin(&server, headers);
        assert!(
            answer.contains("condition=\"policy-violation\"")
                || answer.contains("condition='policy-violation'"),
            "{headers}: {answer}"
        );
        assert!(!answer.contains("mechanism") && !answer.contains(" sid="), "{headers}: {answer}");
    }
}

#[test]
fn row_27_who_comes_without_https_is_told_where_it_is() {
    let server = Folder::new().serve(&["--set=http.public_bosh=https://chat.example/bosh"]);
    let answer = begin(&server, "Forwarded: for=192.0.2.7;proto=http\r\n");
    assert!(answer.contains("<uri>https://chat.example/bosh</uri>"), "{answer}");
    let answer = begin(&server, "Forwarded: for=192.0.2.7;proto=https\r\n");
    assert!(answer.contains(" sid="), "{answer}");
}

#[test]
fn nobody_is_believed_who_is_no_trusted_proxy() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=limits.trusted=[]"]);
    // From loopback it is secure whatever the headers say.
    let answer = begin(&server, "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n");
    assert!(answer.contains(" sid="), "{answer}");
}

#[test]
fn without_require_tls_everybody_is_welcome() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=c2s.require_tls=false"]);
    let answer = begin(&server, "X-Forwarded-For: 192.0.2.7\r\n");
    assert!(answer.contains(" sid="), "{answer}");
}

#[test]
fn the_address_that_a_trusted_proxy_forwards_is_the_one_that_counts() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=limits.connections_per_address=2"]);
    let from = |address: &str| {
        let headers = format!("X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n");
        begin(&server, &headers).contains(" sid=")
    };
    assert_eq!([(); 3].map(|()| from("192.0.2.7")), [true, true, false]);
    assert!(from("192.0.2.8"), "another visitor behind the same proxy");
    // The visitor's own claim stands before what the proxy appends.
    assert!(!from("198.51.100.1, 192.0.2.7"));
    // The proxy itself is trusted, and not counted.
    assert!([(); 4].iter().all(|()| begin(&server, "").contains(" sid=")));
}

#[test]
fn paths_are_configured() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=http.bosh=/bosh", "--set=http.websocket=/ws"]);
    for (path, status) in [("/ws", 426), ("/bosh", 200), ("/xmpp-websocket", 404), ("/", 404)] {
        let answer = ask(&server, &format!("GET {path}"), "", "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
}

#[test]
fn limits_of_http_are_those_of_the_configuration() {
    let limits = ["--set=limits.stanza_bytes=10000", "--set=limits.http_body=12000"];
    let folder = Folder::new();
    let server = folder.serve(&[&limits[..], &["--set=limits.http_timeout=1"]].concat());
    let long = |bytes| format!("<body>{}</body>", " ".repeat(bytes));
    for (bytes, status) in [(11_000, 400), (13_000, 413)] {
        let answer = ask(&server, "POST /http-bind", "", &long(bytes));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
    }
    // A body that does not come.
    let mut socket = TcpStream::connect(server.address("http")).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let head = b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n<body";
    socket.write_all(head).expect("written");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).expect("an answer in time");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a14_no_session_identifier_and_no_body_is_logged_at_any_level() {
    let folder = Folder::new();
    let server = folder.start_with(FREE, &[("RUST_LOG", "trace")]);
    let answer = begin(&server, "");
    let sid = answer.split(" sid=").nth(1).expect("a session");
    let sid = sid.split(['\'', '"']).nth(1).expect("a quoted value");
    assert!(sid.len() >= 16, "{sid}");
    let body = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='2' sid='{sid}'>\
         <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGNhbmFyeQBjYW5hcnk=</auth>\
         </body>"
    );
    let answer = ask(&server, "POST /http-bind", "", &body);
    assert!(answer.contains("not-authorized"), "{answer}");
    let (_, _, log) = server.stop();
    assert!(log.contains("login failed"), "{log}");
    for secret in [sid, "AGNhbmFyeQBjYW5hcnk=", "canary"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn row_28_who_asks_only_while_it_ends_is_told() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let sids = [(); 2].map(|()| {
        let answer = begin(&server, "");
        let (_, rest) = answer.split_once(" sid='").expect("a session");
        rest.split('\'').next().expect("a quoted value").to_owned()
    });
    let [held, late] = sids.map(|sid| {
        format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='2' sid='{sid}'/>")
    });
    let mut socket = TcpStream::connect(server.address("http")).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let head = format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: {}", held.len());
    let head = format!("{head}\r\nConnection: close\r\n\r\n");
    socket.write_all((head + &held).as_bytes()).expect("written");
    server.signal("TERM");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("system-shutdown"), "{answer}");
    // It is ending now, as soon as the other session has heard of it too.
    assert!(begin(&server, "").contains("system-shutdown"), "nobody new");
    let answer = ask(&server, "POST /http-bind", "", &late);
    assert!(answer.contains("system-shutdown"), "{answer}");
}
