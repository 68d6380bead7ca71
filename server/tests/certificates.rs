//! The certificate: made where there is none, and read again while streams live.

mod common;

use common::{Daemon, FREE, Folder, PATIENCE};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

/// The certificate that a handshake over direct TLS shows now, in PEM, as openssl sees it.
fn shown(server: &Daemon) -> String {
    let address = server.address("c2s-tls").to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", "localhost"];
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let text = String::from_utf8_lossy(&output.expect("openssl is there").stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let end = text.find("-----END CERTIFICATE-----").expect("a certificate");
    text[begin..end].split_whitespace().collect()
}

fn written(file: &Path) -> String {
    let pem = fs::read_to_string(file).expect("a certificate");
    let end = pem.find("-----END CERTIFICATE-----").expect("a certificate");
    pem[..end].split_whitespace().collect()
}

/// Two pairs, made by the server itself.
fn pairs(folder: &Folder) {
    for data in ["one", "two"] {
        drop(folder.serve(&["--set", &format!("data={data}")]));
    }
}

fn put(folder: &Folder, from: &str, what: &str) {
    fs::copy(folder.file(&format!("{from}/self-signed.{what}")), folder.file(what))
        .expect("copied");
}

#[test]
fn a_self_signed_certificate_is_made_once_and_said_so() {
    let folder = Folder::new();
    let mut server = folder.serve(&[]);
    server.wait_for("made a self-signed certificate");
    let first = shown(&server);
    drop(server);
    let server = folder.serve(&[]);
    assert_eq!(shown(&server), first);
    let (_, _, log) = server.stop();
    assert!(!log.contains("self-signed"), "{log}");
}

/// RFC 6120 13.7.1.2: a client checks it against the domain that it asked for, whichever of the server's that is.
#[test]
fn the_self_signed_certificate_is_for_every_domain() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=domains=['a.example', 'b.example']"]);
    let address = server.address("c2s-tls").to_string();
    let shows = |domain: &str| {
        let arguments = ["s_client", "-connect", &address, "-servername", domain];
        let trusted = ["-CAfile", "self-signed.crt", "-verify_hostname", domain];
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder.file("data")).args(arguments).args(trusted);
        let output = openssl.arg("-verify_return_error").stdin(Stdio::null()).output();
        output.expect("openssl is there").status.success()
    };
    assert!(shows("a.example"));
    assert!(shows("b.example"));
    assert!(!shows("c.example"));
}

#[test]
fn a_new_certificate_is_served_on_sighup_and_on_change_and_no_stream_drops() {
    let folder = Folder::new();
    pairs(&folder);
    put(&folder, "one", "crt");
    put(&folder, "one", "key");
    let sets = ["--set=tls.certificate=crt", "--set=tls.key=key"];
    let mut server = folder.start(FREE.iter().chain(&sets));
    assert_eq!(shown(&server), written(&folder.file("one/self-signed.crt")));

    let mut stream = TcpStream::connect(server.address("c2s")).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let mut part = [0; 4096];

    // A certificate without its key: the old pair stays.
    put(&folder, "two", "crt");
    server.wait_for("the certificate in force stays");
    assert_eq!(shown(&server), written(&folder.file("one/self-signed.crt")));
    server.signal("HUP");
    let line = server.wait_for("the certificate in force stays");
    assert!(line.contains("ERROR") && line.contains("does not belong"), "{line}");

    // The key follows, and nobody says so.
    put(&folder, "two", "key");
    server.wait_for("the new certificate is in force");
    assert_eq!(shown(&server), written(&folder.file("two/self-signed.crt")));

    // Or somebody does, maybe before the server looks by itself.
    put(&folder, "one", "key");
    put(&folder, "one", "crt");
    server.signal("HUP");
    server.wait_for("certificate read again");
    assert_eq!(shown(&server), written(&folder.file("one/self-signed.crt")));

    let header = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                   xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    stream.write_all(header).expect("the stream lives");
    assert_ne!(stream.read(&mut part).expect("the stream lives"), 0);
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
}
