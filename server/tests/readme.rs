//! What README.md and the DOAP file say is true.

mod common;

use common::Folder;
use std::{fs, path::Path};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(path).expect("there is a README")
}

#[test]
fn the_list_of_xeps_is_the_one_that_the_server_prints() {
    let readme = readme();
    let (_, rest) = readme.split_once("<!-- xeps -->\n").expect("the list begins");
    let (list, _) = rest.split_once("<!-- /xeps -->").expect("the list ends");
    let printed = Folder::new().run(["xeps"]).out;
    let expected: String = printed.lines().map(|line| format!("- {line}\n")).collect();
    assert_eq!(list, expected);
}

#[test]
fn the_description_for_machines_is_the_one_that_the_server_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../doc/stonechat.doap");
    let committed = fs::read_to_string(path).expect("there is a DOAP file");
    let printed = Folder::new().run(["xeps", "--doap"]).out;
    assert_eq!(committed, printed, "write it anew: stonechat xeps --doap > doc/stonechat.doap");
}

#[test]
fn every_command_line_can_be_read() {
    let readme = readme();
    let ours = readme.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?;
        let line = line.split(['#', '>']).next().unwrap_or_default().trim();
        line.strip_prefix("cargo run --release -- ").or_else(|| {
            let rest = line.strip_prefix("stonechat")?;
            (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
        })
    });
    let mut count = 0;
    for line in ours {
        let words = ["stonechat"].into_iter().chain(line.split_whitespace());
        let read = server::cli::Cli::read(words).and_then(server::cli::Cli::command);
        assert!(read.is_ok(), "stonechat {line}: {read:?}");
        count += 1;
    }
    assert!(count >= 5, "{count} command lines found");
}
