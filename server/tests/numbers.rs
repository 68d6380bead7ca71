//! What operators see of the whole server.

mod common;

use common::{Folder, NO_TLS, PATIENCE, client::User};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn u04_numbers_are_right_and_name_nobody() {
    let folder = Folder::new();
    folder.add("romeo@localhost", "montague");
    let metrics = ["--set", "metrics.listen=['127.0.0.1:0']"];
    let server = folder.serve(&[&metrics[..], &NO_TLS].concat());
    let mut romeo = User::login(server.address("c2s"), "romeo@localhost", "montague");
    assert!(User::try_login(server.address("c2s"), "romeo@localhost", "capulet").is_err());
    romeo.send("<message to='romeo@localhost' id='m'/>");
    romeo.receive("message");

    let text = get(server.address("metrics"), "/metrics");
    for line in [
        "stonechat_sessions 1",
        "stonechat_stanzas_total{kind=\"message\"} 1",
        "stonechat_stanzas_total{kind=\"presence\"} 1",
        "stonechat_stanzas_total{kind=\"iq\"} 0",
        "stonechat_logins_total{outcome=\"succeeded\"} 1",
        "stonechat_logins_total{outcome=\"failed\"} 1",
        "stonechat_store_queue 0",
        "bosh_cm_sessions{over=\"bosh\"} 0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
    }
    let page = get(server.address("metrics"), "/");
    assert!(page.contains("<title>Stonechat</title>"), "{page}");
    for private in ["romeo", "localhost", "montague", "127.0.0.1"] {
        assert!(!text.contains(private) && !page.contains(private), "{private} in {text}{page}");
    }
    for path in ["/metrics", "/"] {
        assert!(get(server.address("http"), path).starts_with("HTTP/1.1 404 "), "for everybody");
    }
}
