//! Hostile input, over TCP and BOSH alike: a table of what is sent, when, and what must come of it.
//!
//! Each case is sent whole, byte by byte and cut at many places, in memory, over TCP (with STARTTLS where its stage is
//! past it) and as the payload or the whole of an HTTP body, and must come to the same everywhere; a bystander's ping is
//! answered all the while, and nothing else reaches the bystander. The names begin with the row of the threat.

#![allow(unreachable_pub, clippy::unwrap_used)] // all of it is a test, and no crate to anybody

mod case;
mod cases;
mod handshake;
mod http;
mod load;
mod runner;
mod sliced;
mod stream;
mod target;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

macro_rules! families {
    ($($family:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $family() {
            runner::run(cases::$family::cases(), &[]).await;
        }
    )*};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register() {
    runner::run(cases::register::cases(), &["registration.enabled=true"]).await;
}

families! { xml names utf8 stream login scram stanza bosh numbers clauses }

/// Rows whose tests are no cases but files of their own.
const ELSEWHERE: [&str; 5] = ["x05", "x17", "t03", "t04", "t05"];

#[test]
fn the_table_is_whole() {
    let cases = cases::all();
    assert!(cases.len() >= 240, "{}", cases.len());
    let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each name once");
    let rows: HashSet<_> = cases.iter().map(|case| case.row()).chain(ELSEWHERE).collect();
    let x = (1..=18).map(|n| format!("x{n:02}"));
    let t = (1..=6).map(|n| format!("t{n:02}"));
    let a = [1, 2, 3, 9].map(|n| format!("a{n:02}"));
    for row in x.chain(t).chain(a) {
        assert!(rows.contains(&*row), "{row}");
    }
}

/// The rows of HTTP have their tests where what they try is, and so named that they are found.
#[test]
fn the_rows_of_bosh_and_websocket_have_tests_of_their_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text: String = ["bosh-cm", "net/src", "tests/tests", "tests/clients"]
        .iter()
        .flat_map(|folder| files_below(&root.join(folder)))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let b = (1..=13).map(|n| format!("b{n:02}_"));
    let w = (1..=3).map(|n| format!("w{n:02}_"));
    let missing: Vec<_> = b
        .chain(w)
        .filter(|row| !text.contains(&format!("fn {row}")) && !text.contains(&format!("\"{row}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The sources of tests.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.ends_with("node_modules") && !path.ends_with(".venv"))
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs" || kind == "py"))
        .collect()
}
