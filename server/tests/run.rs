//! `stonechat run`: where its configuration comes from, what it prints, how it ends.

mod common;

use common::{FREE, Folder, NO_TLS, client::User};
use std::{net::TcpStream, os::unix::fs::PermissionsExt};

#[test]
fn standard_output_names_the_listeners_then_says_ready_and_no_more() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=c2s.listen=['127.0.0.1:0', '127.0.0.1:0']"]);
    let kinds: Vec<_> = server.out.iter().map(|line| line.rsplit_once(' ')).collect();
    let [Some((a, _)), Some((b, _)), Some((c, _)), Some((d, _)), None] = kinds[..] else {
        panic!("{:?}", server.out);
    };
    assert_eq!(
        [a, b, c, d],
        ["listening c2s", "listening c2s", "listening c2s-tls", "listening http"]
    );
    for line in &server.out[..4] {
        let (_, port) = line.rsplit_once(':').expect("ADDRESS:PORT");
        assert_ne!(port.parse(), Ok(0u16), "{line}");
    }
    for kind in ["c2s", "c2s-tls", "http"] {
        TcpStream::connect(server.address(kind)).expect("it accepts once it is ready");
    }
    let (status, more, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(more, "");
}

#[test]
fn both_signals_end_it_cleanly_and_tell_the_clients() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        folder.add("romeo@localhost", "secret");
        let server = folder.serve(&NO_TLS);
        let romeo = User::login(server.address("c2s"), "romeo@localhost", "secret");
        server.signal(signal);
        assert_eq!(romeo.end().map(|(condition, _)| condition), Some("system-shutdown".into()));
        let (status, more, log) = { server }.wait();
        assert_eq!((status.code(), &*more), (Some(0), ""), "SIG{signal}: {log}");
    }
}

#[test]
fn what_users_keep_and_when_they_left_survives_a_restart() {
    const NOTES: &str = "<notes xmlns='urn:example'>the nurse talks</notes>";
    let folder = Folder::new();
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let server = folder.serve(&NO_TLS);
    let login = |server: &common::Daemon, who| User::login(server.address("c2s"), who, "secret");
    let mut romeo = login(&server, "romeo@localhost");
    let mut juliet = login(&server, "juliet@localhost");
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>");
    juliet.receive("presence");
    juliet.send("<presence to='romeo@localhost' type='subscribed'/>");
    juliet.iq("set", &format!("<query xmlns='jabber:iq:private'>{NOTES}</query>"));
    juliet.iq("set", "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>");
    server.stop();

    let server = folder.serve(&NO_TLS);
    let mut romeo = login(&server, "romeo@localhost");
    let mut ask = |payload: &str| {
        romeo.send(&format!("<iq type='get' id='q' to='juliet@localhost'>{payload}</iq>"));
        let answer = romeo.receive("iq");
        assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
        answer.children.into_iter().next().expect("a payload")
    };
    assert_eq!(ask("<vCard xmlns='vcard-temp'/>").children[0].text, "Juliet");
    // She was here when the server stopped: it noted that she left.
    let last = ask("<query xmlns='jabber:iq:last'/>");
    assert!(last.attr("seconds").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    let mut juliet = login(&server, "juliet@localhost");
    let kept = "<query xmlns='jabber:iq:private'><notes xmlns='urn:example'/></query>";
    assert_eq!(juliet.iq("get", kept).children[0].children[0].text, "the nurse talks");
}

#[test]
fn no_subcommand_is_run_and_options_count_before_and_after_it() {
    let listen = |address: &str| format!("c2s.listen=['{address}:0']");
    let (first, second) = (listen("127.0.0.1"), listen("127.0.0.2"));
    let rest = &FREE[2..];
    for (before, run, after, expected) in [
        (Some(&first), None, None, "127.0.0.1"),
        (None, Some("run"), Some(&first), "127.0.0.1"),
        (Some(&first), Some("run"), None, "127.0.0.1"),
        // The later one counts.
        (Some(&first), Some("run"), Some(&second), "127.0.0.2"),
    ] {
        let folder = Folder::new();
        let mut arguments: Vec<&str> = rest.to_vec();
        arguments.extend(before.into_iter().flat_map(|set| ["--set", set]));
        arguments.extend(run);
        let after = after.map(|set| format!("--set={set}"));
        arguments.extend(after.as_deref());
        let server = folder.start(&arguments);
        assert_eq!(server.address("c2s").ip().to_string(), expected, "{arguments:?}");
    }
}

#[test]
fn an_empty_list_switches_a_listener_off() {
    let folder = Folder::new();
    let server = folder.serve(&["--set", "c2s.direct_tls=[]", "--set", "http.listen=[]"]);
    assert_eq!(server.out.len(), 2, "{:?}", server.out);
    assert!(server.out[0].starts_with("listening c2s 127.0.0.1:"));
}

#[test]
fn any_address_takes_ipv4() {
    let folder = Folder::new();
    let server = folder.serve(&["--set", "c2s.listen=['[::]:0']"]);
    let address = server.address("c2s");
    // 0.0.0.0 on a machine without IPv6
    assert!(address.ip().is_unspecified(), "{address}");
    TcpStream::connect(("127.0.0.1", address.port())).expect("IPv4 is accepted");
}

#[test]
fn stonechat_toml_is_read_where_it_is_there_and_set_overrides_it() {
    let folder = Folder::new();
    let text = "domains = ['a.example']\ndata = 'kept'\nhttp.listen = ['127.0.0.1:0']\n\
                [c2s]\nlisten = ['127.0.0.1:0']\ndirect_tls = []\n";
    folder.write("stonechat.toml", text);
    let server = folder.start(["--set=http.listen=[]"]);
    assert_eq!(server.out.len(), 2, "{:?}", server.out);
    assert!(folder.file("kept/stonechat.db").exists());
    assert!(!folder.file("data").exists());
}

#[test]
fn data_is_relative_to_the_configuration_file() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file("etc")).expect("a folder");
    folder.write("etc/chat.toml", "data = 'kept'\n");
    let mut arguments = vec!["--config", "etc/chat.toml"];
    arguments.extend(FREE);
    let server = folder.start(&arguments);
    let database = folder.file("etc/kept/stonechat.db");
    assert!(database.exists());
    drop(server);
    // Relative to the working folder where there is no file.
    drop(folder.serve(&["--set", "data=elsewhere"]));
    assert!(folder.file("elsewhere/stonechat.db").exists());
    for (path, mode) in [
        ("elsewhere", 0o700),
        ("elsewhere/stonechat.db", 0o600),
        ("elsewhere/self-signed.key", 0o600),
    ] {
        let permissions = folder.file(path).metadata().expect("it is there").permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{path}");
    }
}

#[test]
fn a_value_that_is_no_toml_is_a_string() {
    let folder = Folder::new();
    drop(folder.serve(&["--set", "data=kept/here", "--set=store.url=sqlite:chat.db"]));
    assert!(folder.file("kept/here/chat.db").exists());
}

#[test]
fn a_store_in_memory_leaves_nothing_behind() {
    let folder = Folder::new();
    let server = folder.serve(&["--set=store.url=memory:"]);
    TcpStream::connect(server.address("c2s")).expect("it accepts");
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);
}

#[test]
fn the_log_is_one_plain_line_per_event() {
    let folder = Folder::new();
    let mut server = folder.serve(&NO_TLS);
    TcpStream::connect(server.address("c2s")).expect("it accepts");
    let line = server.wait_for("connected");
    assert!(line.contains("address=127.0.0.1"), "{line}");
    let (_, _, log) = server.stop();
    assert!(!log.contains('\u{1b}'), "colours without a terminal: {log}");
    for line in log.lines() {
        let rest = line.split_once("Z ").map_or("", |(_, rest)| rest.trim_start());
        let level = rest.split(' ').next().unwrap_or_default();
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line}");
    }
}

#[test]
fn the_example_is_a_good_configuration_and_check_is_silent_on_standard_output() {
    let folder = Folder::new();
    let example = folder.run(["example-config"]);
    assert_eq!((example.status, &*example.err), (0, ""));
    folder.write("stonechat.toml", &example.out);
    let check = folder.run(["check"]);
    assert_eq!((check.status, &*check.out, &*check.err), (0, "", "the configuration is good\n"));
    // It makes nothing.
    assert!(!folder.file("data").exists());
    let with_file =
        folder.run(["check", "--config", "stonechat.toml", "--set", "domains=['x.example']"]);
    assert_eq!(with_file.status, 0, "{}", with_file.err);
}

#[test]
fn xeps_are_listed_by_number() {
    let xeps = Folder::new().run(["xeps"]);
    assert_eq!((xeps.status, &*xeps.err), (0, ""));
    let numbers: Vec<_> =
        xeps.out.lines().map(|line| line.split(' ').next().expect("a word")).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    for number in ["XEP-0030", "XEP-0124", "XEP-0199", "XEP-0206"] {
        assert!(numbers.contains(&number), "{numbers:?}");
    }
}
