//! `stonechat run --ephemeral`: what the CI of client authors relies on.

mod common;

use common::{Daemon, Folder, NO_TLS, client::User};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

const RUN: [&str; 2] = ["run", "--ephemeral"];

fn start(folder: &Folder, arguments: &[&str]) -> Daemon {
    folder.start(RUN.iter().chain(arguments))
}

#[test]
fn free_ports_are_printed_and_the_users_can_log_in_once_it_is_ready() {
    let folder = Folder::new();
    let users = ["--user=romeo@localhost:secret", "--user", "juliet@localhost:a:b c"];
    let server = start(&folder, &[&users[..], &NO_TLS].concat());
    let kinds: Vec<_> = server.out.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(kinds, ["c2s", "c2s-tls", "http"], "{:?}", server.out);
    for kind in kinds {
        let address = server.address(kind);
        assert!(address.ip().is_loopback() && address.port() != 0, "{kind} {address}");
        TcpStream::connect(address).expect("it accepts once it is ready");
    }
    let mut romeo = User::login(server.address("c2s"), "romeo@localhost", "secret");
    // A password may have colons: the address ends at the first.
    let mut juliet = User::login(server.address("c2s"), "juliet@localhost", "a:b c");
    let to = &juliet.jid;
    romeo.send(&format!("<message to='{to}'><body>Hello</body></message>"));
    assert_eq!(juliet.receive("message").attr("from"), Some(romeo.jid.as_str()));
    let (status, more, log) = server.stop();
    assert_eq!((status.code(), &*more), (Some(0), ""), "{log}");
    assert!(!log.contains("secret") && !log.contains("a:b c"), "{log}");
}

#[test]
fn nothing_is_read_or_written_here() {
    let folder = Folder::new();
    folder.write("stonechat.toml", "this is not read");
    let server = start(&folder, &["--user=romeo@localhost:secret"]);
    assert!(server.stop_by("INT").0.success());
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 1);
}

#[test]
fn the_domains_are_those_of_the_users_unless_they_are_set() {
    let folder = Folder::new();
    let of = |arguments: &[&str], domain: &str| {
        let server = start(&folder, &[arguments, &NO_TLS].concat());
        User::try_login(server.address("c2s"), &format!("romeo@{domain}"), "secret").is_ok()
    };
    let users = ["--user=romeo@a.example:secret", "--user=romeo@bücher.example:secret"];
    assert!(of(&users, "a.example"));
    assert!(of(&users, "bücher.example"));
    assert!(of(&["--user=romeo@[::1]:secret"], "[::1]"));
    let set = ["--set=domains=['a.example']", users[0], users[1]];
    assert!(of(&set, "a.example"));
}

#[test]
fn any_setting_can_be_changed_but_for_the_store() {
    let folder = Folder::new();
    let settings = ["--set=http.listen=[]", "--set", "c2s.direct_tls=[]"];
    let server = start(&folder, &[&settings[..], &["--set=registration.enabled=true"]].concat());
    assert_eq!(server.out.len(), 2, "{:?}", server.out);
    let refused = |arguments: &[&str], words: &[&str]| {
        folder.run(RUN.iter().chain(arguments)).refused(words);
    };
    refused(&["--set=store.url=sqlite:a.db"], &["store.url", "memory"]);
    refused(&["--config=a.toml"], &["--config", "--ephemeral"]);
    folder.run(["--config=a.toml", "run", "--ephemeral"]).refused(&["--config", "--ephemeral"]);
    folder.run(["run", "--user=romeo@localhost:secret"]).refused(&["--ephemeral"]);
    refused(&["--set=frobnicate=1"], &["frobnicate"]);
}

#[test]
fn users_that_cannot_be_are_named_without_their_passwords() {
    let refused = |arguments: &[&str], words: &[&str]| {
        let ran = Folder::new().run(RUN.iter().chain(arguments));
        assert!(!ran.err.contains("hidden"), "{}", ran.err);
        ran.refused(words);
    };
    refused(&["--user", "romeo@localhost"], &["--user", "JID:PASSWORD"]);
    refused(&["--user=@localhost:hidden"], &["@localhost"]);
    refused(&["--user=localhost:hidden"], &["localhost", "user name"]);
    refused(&["--user=romeo@localhost:"], &["romeo@localhost", "password"]);
    refused(
        &["--user=romeo@localhost:hidden", "--user=Romeo@localhost:hidden"],
        &["romeo@localhost", "twice"],
    );
}

/// More than any limit per address: loopback is trusted.
#[test]
fn a_test_suite_may_log_in_as_often_as_it_likes() {
    let folder = Folder::new();
    let server = start(&folder, &[&["--user=romeo@localhost:secret"][..], &NO_TLS].concat());
    let c2s = server.address("c2s");
    for _ in 0..120 {
        User::login(c2s, "romeo@localhost", "secret").close();
    }
    for _ in 0..30 {
        assert!(User::try_login(c2s, "romeo@localhost", "wrong").is_err());
    }
    User::login(c2s, "romeo@localhost", "secret").close();
}

/// An optimised build takes some 25 ms on a machine at rest, nearly all of it for the entropy that the TLS library gathers once
/// per process. The bound is for a machine that is not at rest, and for a build without optimisation.
#[test]
fn it_is_ready_at_once() {
    let users = ["--user=romeo@localhost:secret", "--user=juliet@localhost:secret"];
    let once = || {
        let folder = Folder::new();
        let begin = Instant::now();
        let server = start(&folder, &users);
        let took = begin.elapsed();
        drop(server);
        took
    };
    let best = (0..5).map(|_| once()).min().expect("five");
    assert!(best < Duration::from_secs(1), "{best:?}");
}
