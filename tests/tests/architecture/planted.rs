//! The test can fail: it finds what is planted for it, and lets pass what is allowed.

use super::*;

#[track_caller]
fn planted(krate: &str, path: &str, text: &str) -> Vec<String> {
    let source = Source { krate: krate.to_owned(), path: path.into(), text: text.to_owned() };
    findings(&source, &mut BTreeSet::new())
}

#[test]
fn finds_what_is_planted() {
    for (krate, path, text) in [
        ("xmpp-core", "src/jid.rs", "use tokio::io;"),
        ("xmpp-core", "src/jid.rs", "let now = Instant::now();"),
        ("router", "src/lib.rs", "use std::net::TcpStream;"),
        ("router", "src/lib.rs", "let x: u8 = rand::random();"),
        ("modules", "src/time.rs", "SystemTime::now()"),
        ("modules", "src/roster.rs", "use roster_store::sqlite::Sqlite;"),
        ("script", "src/lib.rs", "std::fs::read(x)"),
        ("c2s", "src/session/mod.rs", "async fn f() {}"),
        ("c2s", "src/session/mod.rs", "use roster_store::Accounts;"),
        ("c2s", "src/session/mod.rs", "net::random::token()"),
        ("bosh-cm", "src/session/window.rs", "started.elapsed()"),
        ("bosh-cm", "src/config.rs", "use hyper::Request;"),
        ("c2s", "src/lib.rs", "use roster_store::Store;"),
        ("server", "src/config/mod.rs", "tokio::spawn(x)"),
        ("server", "src/main.rs", "use rusqlite::Connection;"),
        ("roster-store", "src/sqlite.rs", "use tokio::sync;"),
    ] {
        assert!(!planted(krate, path, text).is_empty(), "{krate}/{path}: {text}");
    }
}

#[test]
fn lets_the_allowed_pass() {
    for (krate, path, text) in [
        ("xmpp-core", "src/jid.rs", "// tokio is not here\nlet x = \"tokio\";"),
        ("xmpp-core", "src/jid.rs", "#[cfg(test)]\nmod tests { fn f() { rand::random() } }"),
        ("net", "src/tls.rs", "use tokio_rustls::rustls;"),
        ("server", "src/wiring.rs", "tokio::spawn(x)"),
        ("net", "src/random.rs", "rand::fill(x); Instant::now()"),
        ("c2s", "src/driver.rs", "use tokio::time; Instant::now()"),
        ("bosh-cm", "src/http/cors.rs", "use hyper::header;"),
        ("c2s", "src/lib.rs", "use roster_store::Accounts; use std::time::{Duration, Instant};"),
        ("roster-store", "src/sqlite.rs", "use rusqlite::Connection;"),
        ("modules", "src/roster.rs", "use roster_store::Rosters; x.await"),
    ] {
        assert_eq!(planted(krate, path, text), Vec::<String>::new(), "{krate}/{path}");
    }
}

#[test]
fn a_finding_names_file_line_and_rule() {
    let found = planted("router", "src/lib.rs", "fn f() {}\nuse tokio::io;");
    assert_eq!(
        found,
        [
            "router/src/lib.rs:2: `tokio` in `use tokio::io;`: the words, the law, the features and the scripts know no \
          socket, clock, dice or file"
        ]
    );
}

#[test]
fn arrows_that_point_upwards_are_found() {
    let packages = [
        ("modules", vec!["router".to_owned(), "c2s".to_owned()]),
        ("bosh-cm", vec!["net".to_owned()]),
        ("attic", vec![]),
    ];
    assert_eq!(
        wrong_arrows(packages.into_iter()),
        ["modules may not use c2s", "attic has no row in the table of arrows"]
    );
}

#[test]
fn the_table_of_arrows_has_no_circle() {
    // Every row takes from rows above it only.
    for (at, (name, uses)) in ARROWS.iter().enumerate() {
        for used in *uses {
            let below = ARROWS.iter().position(|(other, _)| other == used);
            assert!(below.is_some_and(|below| below < at), "{name} uses {used}");
        }
    }
}

#[test]
fn long_files_need_a_reason() {
    let file = |head: &str, lines: usize| Source {
        krate: "router".to_owned(),
        path: "src/lib.rs".into(),
        text: format!("{head}\n{}", "x\n".repeat(lines - 1)),
    };
    assert_eq!(too_long(&file("//! A table.", 600)), None);
    assert!(too_long(&file("//! A table.", 601)).is_some());
    assert_eq!(too_long(&file("//! Long because it is one table.", 1000)), None);
    assert!(too_long(&file("//! Long because it is one table.", 1001)).is_some());
}

#[test]
fn places_on_a_machine_are_found() {
    assert!(place(concat!("see /wo", "rk/main")).is_some());
    assert!(place(concat!("'/ro", "ot/x'")).is_some());
    assert_eq!(place(concat!("https://example.org/wo", "rk/x")), None);
    assert_eq!(place("/var/lib/stonechat"), None);
}
