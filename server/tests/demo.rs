//! `stonechat demo`: one folder, two accounts, loopback only.

mod common;

use common::{Daemon, Folder};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

/// The account's line in what the demonstration prints.
fn password(server: &mut Daemon, jid: &str) -> String {
    let line = server.wait_for(jid);
    line.split_whitespace().nth(1).expect("a password").to_owned()
}

#[test]
fn the_demonstration_finds_ports_keeps_its_passwords_and_stays_on_loopback() {
    // Whoever holds the usual ports, this test or somebody else: they are taken.
    let _taken: Vec<_> =
        [5222, 5223, 5280].map(|port| TcpListener::bind(("127.0.0.1", port))).into_iter().collect();
    let folder = Folder::new();
    folder.write("stonechat.toml", "this is not read");
    let mut server = folder.start(["demo"]);
    for kind in ["c2s", "c2s-tls", "http"] {
        let address = server.address(kind);
        assert!(address.ip().is_loopback(), "{kind} {address}");
        assert!(![5222, 5223, 5280].contains(&address.port()), "{kind} {address}");
    }
    let passwords = ["romeo@localhost", "juliet@localhost"].map(|jid| password(&mut server, jid));
    assert!(passwords.iter().all(|password| password.len() == 12), "{passwords:?}");
    let http = server.address("http");
    server.wait_for(&format!("http://{http}/"));
    let mut socket = TcpStream::connect(http).expect("somebody listens");
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("written");
    let mut page = String::new();
    socket.read_to_string(&mut page).expect("read");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<script>"), "{page}");
    let (status, more, log) = server.stop();
    assert_eq!((status.code(), &*more), (Some(0), ""), "{log}");

    let mut again = folder.start(["demo"]);
    let kept = ["romeo@localhost", "juliet@localhost"].map(|jid| password(&mut again, jid));
    assert_eq!(kept, passwords);
    let mut names: Vec<_> = folder
        .path()
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["stonechat-demo", "stonechat.toml"], "nothing else is touched");
}
