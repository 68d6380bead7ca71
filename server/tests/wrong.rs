//! Whatever is wrong ends in one line on standard error that names what to change, and in status 2.

mod common;

use common::{FREE, Folder};
use std::net::TcpListener;

/// No certificate is made, which would be told.
const IN_MEMORY: &str = "--set=store.url=memory:";

#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    Folder::new().run(arguments).refused(words);
}

#[test]
fn command_lines() {
    refused(&["frobnicate"], &["frobnicate", "stonechat --help"]);
    refused(&["scrpt"], &["'scrpt'", "similar", "'script'", "`stonechat --help`"]);
    refused(&["--frobnicate"], &["--frobnicate", "`stonechat --help`"]);
    refused(&["run", "--epemeral"], &["'--ephemeral'", "`stonechat run --help`"]);
    refused(&["run", "--user", "a@b:c"], &["--ephemeral", "`stonechat run --help`"]);
    refused(&["--set"], &["--set"]);
    refused(&["--set", "domains"], &["--set domains", "KEY=VALUE"]);
    refused(&["--set", "=1"], &["KEY=VALUE"]);
    refused(&["user"], &["add, passwd, del or list"]);
    refused(&["user", "add"], &["<JID>", "`stonechat user add --help`"]);
    refused(&["demo", "--set", "data=x"], &["--set"]);
    refused(&["--set", "data=x", "demo"], &["--set"]);
    refused(&["--config", "a", "run", "--config", "b"], &["--config"]);
}

/// One for each kind of key, in `run` and in `check` alike.
#[test]
fn keys_and_values() {
    for (assignment, words) in [
        ("colour=red", &["unknown key `colour`"][..]),
        ("c2s.lisen=[]", &["unknown key `c2s.lisen`", "`c2s.listen`"]),
        ("c2s=1", &["`c2s` is a table"]),
        ("domains=example.org", &["domains: \"example.org\"", "[\"localhost\"]"]),
        ("domains=[]", &["domains: "]),
        ("domains=['a b']", &["domains: \"a b\""]),
        ("domains=['a.example','A.example']", &["domains: ", "twice"]),
        ("data=1", &["data: 1 is not a string"]),
        ("c2s.listen=['5222']", &["c2s.listen: \"5222\" is not ADDRESS:PORT"]),
        ("c2s.direct_tls=['localhost:1']", &["c2s.direct_tls: \"localhost:1\""]),
        ("c2s.proxies=['cm']", &["c2s.proxies: \"cm\""]),
        ("c2s.require_tls=yes", &["c2s.require_tls: \"yes\" is not true or false"]),
        ("http.listen=['127.0.0.1']", &["http.listen: \"127.0.0.1\""]),
        ("http.bosh=bosh", &["http.bosh: \"bosh\" is not a path"]),
        ("http.websocket=/a b", &["http.websocket: \"/a b\""]),
        ("http.websocket=/http-bind", &["http.websocket", "http.bosh"]),
        ("https.listen=['127.0.0.1']", &["https.listen: \"127.0.0.1\""]),
        ("http.origins=['chat.example']", &["http.origins: \"chat.example\" is not an origin"]),
        ("admins=['admin']", &["admins: ", "\"admin\""]),
        ("admins=['admin@elsewhere.example']", &["admins: ", "elsewhere.example"]),
        ("limits.registrations_per_hour=0", &["limits.registrations_per_hour: "]),
        ("store.url=postgres://x", &["store.url: \"postgres://x\""]),
        ("store.durability=never", &["store.durability: \"never\"", "\"disk\" or \"process\""]),
        ("auth.mechanisms=['CRAM-MD5']", &["auth.mechanisms: \"CRAM-MD5\""]),
        ("auth.iterations=100", &["auth.iterations: 100"]),
        ("archive.default=some", &["archive.default: \"some\""]),
        ("limits.trusted=['me']", &["limits.trusted: \"me\""]),
        ("limits.stanza_bytes=big", &["limits.stanza_bytes: \"big\" is not a whole number"]),
        ("limits.stanza_bytes=10", &["limits.stanza_bytes: 10 is less than 10000"]),
        ("limits.bosh_hold=1000", &["limits.bosh_hold: 1000 is too large"]),
    ] {
        refused(&["run", "--set", assignment], words);
        refused(&["check", "--set", assignment], words);
    }
}

#[test]
fn configuration_files() {
    let folder = Folder::new();
    folder.run(["--config", "none.toml"]).refused(&["--config", "none.toml", "No such file"]);
    folder.run(["check", "--config", "."]).refused(&["--config"]);
    folder.write("broken.toml", "domains = ['a.example']\n\ndata = = 1\n");
    folder.run(["--config", "broken.toml"]).refused(&["broken.toml, line 3"]);
    folder.write("stonechat.toml", "[c2s]\nlisten = 5222\n");
    folder.run(["run"]).refused(&["c2s.listen: 5222"]);
    folder.write("stonechat.toml", [0x64, 0x61, 0xff, 0xfe]);
    folder.run(["check"]).refused(&["stonechat.toml", "UTF-8"]);
}

#[test]
fn a_port_in_use_names_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    for key in ["c2s.listen", "c2s.direct_tls", "http.listen"] {
        let set = format!("--set={key}=['{address}']");
        let arguments = FREE.iter().copied().chain([&*set, IN_MEMORY]);
        Folder::new().run(arguments).refused(&[key, &address.to_string(), "in use"]);
    }
}

#[test]
fn an_address_of_another_machine_names_its_key() {
    let arguments = FREE.iter().copied().chain(["--set=c2s.listen=['192.0.2.1:0']", IN_MEMORY]);
    Folder::new().run(arguments).refused(&["c2s.listen", "192.0.2.1:0"]);
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    folder.write("file", "");
    let run = |data: &str| {
        folder
            .run(FREE.into_iter().chain(["--set", &format!("data={data}")]))
            .refused(&["data: ", data]);
    };
    run("file");
    run("file/below");
    folder.run(["user", "list", "--set=data=file"]).refused(&["data: "]);
}

#[test]
fn only_a_new_account_makes_a_database() {
    let folder = Folder::new();
    let list = folder.run(["user", "list"]);
    assert_eq!((list.status, &*list.out), (0, ""), "{}", list.err);
    folder.run(["user", "del", "romeo@localhost"]).refused(&["no account", "no database"]);
    let passwd = ["user", "passwd", "romeo@localhost", "--password-stdin"];
    folder.run(passwd).refused(&["no account", "no database"]);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn databases_that_are_not_ours_stay_untouched() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file("data")).expect("a folder");
    let database =
        folder.write("data/stonechat.db", "Dear diary, today I was no database. ".repeat(40));
    let before = std::fs::read(&database).expect("it is there");
    for arguments in [&["run"][..], &["check"], &["user", "list"]] {
        let arguments = arguments.iter().copied().chain(FREE);
        folder.run(arguments).refused(&["store.url", "stonechat.db", "not a Stonechat database"]);
    }
    assert_eq!(std::fs::read(&database).expect("it is there"), before);
}

#[test]
fn a_database_in_a_folder_s_place_is_named() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.file("data/stonechat.db")).expect("a folder");
    folder.run(FREE).refused(&["store.url", "stonechat.db"]);
}

#[test]
fn a_database_that_is_being_served_is_not_served_twice() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    folder.run(FREE).refused(&["store.url", "stonechat.db", "served by another process"]);
    folder.add("romeo@localhost", "secret"); // works beside it
    assert!(server.stop().0.success());
    assert!(folder.serve(&[]).stop().0.success());
}

#[test]
fn certificates_that_cannot_be_used_name_file_and_key() {
    let folder = Folder::new();
    // Two pairs of the server's own making.
    for data in ["one", "two"] {
        drop(folder.serve(&["--set", &format!("data={data}")]));
    }
    folder.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("empty.pem", "");
    for (certificate, key, words) in [
        ("none.crt", "one/self-signed.key", &["none.crt", "No such file"][..]),
        ("one/self-signed.crt", "none.key", &["none.key", "No such file"]),
        ("one", "one/self-signed.key", &["cannot read", "one"]),
        ("empty.pem", "one/self-signed.key", &["empty.pem", "PEM"]),
        ("garbage.pem", "one/self-signed.key", &["garbage.pem"]),
        ("one/self-signed.crt", "empty.pem", &["empty.pem", "key"]),
        ("one/self-signed.crt", "one/self-signed.crt", &["self-signed.crt", "key"]),
        ("one/self-signed.crt", "two/self-signed.key", &["two/self-signed.key", "does not belong"]),
    ] {
        let sets = [format!("--set=tls.certificate={certificate}"), format!("--set=tls.key={key}")];
        for command in ["run", "check"] {
            let arguments = [command].into_iter().chain(FREE).chain(sets.iter().map(|s| &**s));
            let ran = folder.run(arguments);
            ran.refused(words);
            ran.refused(&["tls.certificate, tls.key"]);
        }
    }
    for alone in ["--set=tls.certificate=one/self-signed.crt", "--set=tls.key=one/self-signed.key"]
    {
        folder.run(["check", alone]).refused(&["tls.certificate", "tls.key", "both"]);
    }
}

#[test]
fn a_wrong_filter_of_the_log_is_named() {
    let ran = Folder::new().command(FREE).env("RUST_LOG", "a=b=c").output().expect("it starts");
    common::Ran::from(ran).refused(&["RUST_LOG"]);
}
