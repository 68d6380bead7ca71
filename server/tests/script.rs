//! `stonechat script`: what it says and how it ends.

mod common;

use common::{FREE, Folder};

const HELLO: &str = r#"# Romeo says hello

[Client] Romeo
    jid: romeo@localhost
    password: montague

[Client] Juliet
    jid: juliet@localhost
    password: capulet

-----

Romeo connects

Juliet connects

Romeo sends:
    <message to="${Juliet's full JID}"><body>Hello</body></message>

Juliet receives:
    <message from="${Romeo's full JID}"><body>Hello</body></message>
"#;

/// The blocks of this language on the page about scripts.
fn page(language: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../script/README.md");
    let page = std::fs::read_to_string(path).expect("there is a page about scripts");
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_first_script_of_the_page_passes_and_fails_as_it_says() {
    let [hello, _] = &page("scansion")[..] else { panic!("two scripts") };
    let folder = Folder::new();
    folder.write("hello.scs", hello);
    let ran = folder.run(["script", "--strict", "hello.scs"]);
    assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);

    let at = hello.rfind("Wherefore art thou?").expect("her line");
    folder.write(
        "hello.scs",
        format!("{}{}", &hello[..at], hello[at..].replacen("Wherefore art thou?", "Here I am.", 1)),
    );
    let ran = folder.run(["script", "--strict", "hello.scs"]);
    assert_eq!(ran.status, 1);
    let [_, failing] = &page("text")[..] else { panic!("two outputs") };
    // The resource, the id in the archive and the time are others each time.
    let without = |line: &str, random: &str| {
        let (before, rest) = line.split_once(random)?;
        Some(format!("{before}{}", &rest[rest.find('\'').unwrap_or(0)..]))
    };
    let stable = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            without(line, "romeo@localhost/")
                .or_else(|| without(line, "id='1-"))
                .unwrap_or_else(|| line.split(" in ").next().unwrap_or_default().to_owned())
        });
        lines.collect()
    };
    assert_eq!(stable(&ran.out), stable(failing));
}

#[test]
fn the_script_of_the_page_that_has_everything_passes() {
    let [_, everything] = &page("scansion")[..] else { panic!("two scripts") };
    let folder = Folder::new();
    for text in
        [everything.clone(), everything.replace('\n', "\r\n"), format!("\u{feff}{everything}")]
    {
        folder.write("everything.scs", text);
        let ran = folder.run(["script", "--only-tags", "status: stable", "everything.scs"]);
        assert_eq!(ran.status, 0, "{}", ran.out);
        assert!(ran.out.starts_with("pass everything.scs "), "{}", ran.out);
    }
}

#[test]
fn what_cannot_be_played_here_is_refused() {
    let folder = Folder::new();
    folder.write("room.scs", HELLO.replace("[Client] Juliet", "[Component] Juliet"));
    folder.run(["script", "room.scs"]).refused(&["room.scs:7: [Component] cannot be played here"]);
}

fn with_tag(tag: &str) -> String {
    HELLO.replacen('\n', &format!("\n{tag}\n"), 1)
}

#[test]
fn what_passes_gets_a_line_with_its_time() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO);
    let ran = folder.run(["script", "hello.scs"]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let lines: Vec<_> = ran.out.lines().collect();
    let [passed, summary] = lines[..] else { panic!("{lines:?}") };
    assert!(passed.starts_with("pass hello.scs ") && passed.ends_with(" ms"), "{passed}");
    assert!(summary.starts_with("1 passed in "), "{summary}");
}

#[test]
fn what_fails_shows_the_difference_at_its_line() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO.replacen("<body>Hello</body>", "<body>Away</body>", 1));
    let ran = folder.run(["script", "hello.scs"]);
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(
        lines[0],
        "FAIL hello.scs:20: Juliet: message/body: text: expected \"Hello\", received \"Away\""
    );
    assert!(lines.contains(&"     -   <body>Hello</body>"), "{lines:?}");
    assert!(lines.contains(&"     +   <body>Away</body>"), "{lines:?}");
    assert!(lines[lines.len() - 1].starts_with("0 passed, 1 failed in "), "{lines:?}");
}

#[test]
fn what_never_comes_is_waited_for_as_long_as_was_said() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO.replace("Juliet receives", "Romeo receives"));
    let ran = folder.run(["script", "--timeout", "0.2", "hello.scs"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.starts_with("FAIL hello.scs:20: Romeo: nothing came in time\n"), "{}", ran.out);
    assert!(ran.out.contains("     - <message from='romeo@localhost/"), "{}", ran.out);
    folder.run(["script", "--timeout", "0", "hello.scs"]).refused(&["--timeout"]);
}

#[test]
fn only_strictly_may_nothing_come_that_is_not_mentioned() {
    let folder = Folder::new();
    let silent: String = HELLO.lines().take(18).map(|line| format!("{line}\n")).collect();
    folder.write("hello.scs", silent);
    assert_eq!(folder.run(["script", "hello.scs"]).status, 0);
    let ran = folder.run(["script", "--strict", "hello.scs"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("Juliet: received what nobody asked for:\n     + <message"),
        "{}",
        ran.out
    );
}

#[test]
fn what_is_no_script_is_told_by_file_and_line() {
    let folder = Folder::new();
    folder.write("wrong.scs", HELLO.replace("Juliet connects", "Juliet sighs"));
    folder.run(["script", "wrong.scs"]).refused(&["wrong.scs:15: \"sighs\" is unknown"]);
    folder.run(["script", "absent.scs"]).refused(&["absent.scs: No such file"]);
    folder.run(["script"]).refused(&["FILE"]);
    folder.run(["script", "."]).refused(&["./wrong.scs:15"]);
    // The others are played all the same.
    folder.write("hello.scs", HELLO);
    let ran = folder.run(["script", "wrong.scs", "hello.scs"]);
    assert_eq!(ran.status, 2);
    assert!(ran.out.starts_with("pass hello.scs "), "{}", ran.out);
}

#[test]
fn folders_and_standard_input_are_played() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.file("plays/deeper")).unwrap();
    folder.run(["script", "plays"]).refused(&["plays: there is no .scs file below it"]);
    folder.write("plays/b.scs", HELLO);
    folder.write("plays/deeper/a.scs", HELLO);
    folder.write("plays/notes.txt", "no script");
    let ran = folder.run(["script", "plays"]);
    let names: Vec<_> = ran.out.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(names[..2], ["plays/b.scs", "plays/deeper/a.scs"]);
    let ran = folder.run_with(["script", "-"], HELLO);
    assert!(ran.out.starts_with("pass standard input "), "{}", ran.out);
}

#[test]
fn the_server_in_memory_serves_every_domain_and_takes_settings() {
    let folder = Folder::new();
    folder.write("two.scs", HELLO.replace("juliet@localhost", "juliet@capulet.example/balcony"));
    assert_eq!(folder.run(["script", "two.scs"]).status, 0);
    let ran = folder.run(["script", "--set", "limits.depth=nonsense", "two.scs"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("limits.depth"), "{}", ran.out);
    folder.write("set.scs", with_tag("## set: domains=[\"elsewhere\"]"));
    let ran = folder.run(["script", "set.scs"]);
    assert!(
        ran.out.starts_with("FAIL set.scs:14: Romeo: stream error host-unknown"),
        "{}",
        ran.out
    );
}

#[test]
fn another_server_is_reached_over_tcp_bosh_and_websocket_and_no_secret_is_logged() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO);
    folder.add("romeo@localhost", "montague");
    folder.add("juliet@localhost", "capulet");
    let server = folder.start(FREE.into_iter().chain(["--set=domains=['localhost']"]));
    let tcp = server.address("c2s").to_string();
    let bosh = format!("http://{}/http-bind", server.address("http"));
    let websocket = format!("ws://{}/xmpp-websocket", server.address("http"));
    for there in [["--server", &tcp], ["--bosh", &bosh], ["--websocket", &websocket]] {
        let ran = folder.run(["script", "--log", "hello.scs"].iter().chain(&there));
        assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("Juliet <   <body>Hello</body>\n"), "{}", ran.err);
        assert!(ran.err.contains("mechanism='SCRAM-SHA-512'>(not shown)</auth>"), "{}", ran.err);
        assert!(!ran.err.contains("montague"), "{}", ran.err);
    }
    // Whoever names an authority gets what they asked for, on this machine too. A certificate may vouch for itself.
    let other = Folder::new();
    drop(other.start(FREE));
    for (whose, status) in [(&folder, 0), (&other, 1)] {
        let ca = whose.file("data/self-signed.crt");
        let ran =
            folder.run(["script", "hello.scs", "--server", &tcp, "--ca", ca.to_str().unwrap()]);
        assert_eq!(ran.status, status, "{}", ran.out);
    }
    let ran = folder.run(["script", "hello.scs", "--server", "127.0.0.1:1", "--insecure"]);
    assert!(ran.out.contains("127.0.0.1:1: Connection refused"), "{}", ran.out);
}

#[test]
fn a_websocket_may_be_one_of_https_and_says_what_is_wrong_with_it() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO);
    folder.add("romeo@localhost", "montague");
    folder.add("juliet@localhost", "capulet");
    let https = ["--set=domains=['localhost']", "--set=https.listen=['127.0.0.1:0']"];
    let server = folder.start(FREE.into_iter().chain(https));
    let http = server.address("http");
    // By a name that the certificate has.
    let wss = format!("wss://localhost:{}/xmpp-websocket", server.address("https").port());
    let play = |words: &[&str]| folder.run(["script", "hello.scs"].iter().chain(words));
    let other = Folder::new();
    drop(other.start(FREE));
    let ca = |folder: &Folder| folder.file("data/self-signed.crt").display().to_string();
    for (words, status) in [
        (&["--websocket", &wss][..], 0),
        (&["--websocket", &wss, "--ca", &ca(&folder)], 0),
        (&["--websocket", &wss, "--ca", &ca(&other)], 1),
    ] {
        let ran = play(words);
        assert_eq!(ran.status, status, "{words:?}: {}{}", ran.out, ran.err);
    }
    // The other door; no door; nobody there.
    for (path, said) in [("/http-bind", "200"), ("/", "404")] {
        let ran = play(&["--websocket", &format!("ws://{http}{path}")]);
        assert!(ran.status == 1 && ran.out.contains(said), "{path}: {}", ran.out);
    }
    let ran = play(&["--websocket", "ws://127.0.0.1:1/xmpp-websocket"]);
    assert!(ran.out.contains("127.0.0.1:1: Connection refused"), "{}", ran.out);
    // What this door cannot carry is not played through it, and what follows is.
    folder.write("closed.scs", with_tag("## not over websocket: it needs a socket"));
    let url = format!("ws://{http}/xmpp-websocket");
    let ran = folder.run(["script", "--websocket", &url, "closed.scs", "hello.scs"]);
    assert_eq!(ran.status, 0, "{}", ran.out);
    assert!(ran.out.starts_with("skip closed.scs: not over websocket: it needs a socket\n"));
    assert!(ran.out.contains("\npass hello.scs "), "{}", ran.out);
}

#[test]
fn accounts_are_registered_for_a_script_and_removed_after_it() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO);
    let open = ["--set=domains=['localhost']", "--set=registration.enabled=true"];
    let server = folder.start(FREE.into_iter().chain(open));
    let tcp = server.address("c2s").to_string();
    let bosh = format!("http://{}/http-bind", server.address("http"));
    let websocket = format!("ws://{}/xmpp-websocket", server.address("http"));
    for there in [["--server", &tcp], ["--bosh", &bosh], ["--websocket", &websocket]] {
        let ran = folder.run(["script", "--register", "hello.scs"].iter().chain(&there));
        assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);
        assert_eq!(folder.run(["user", "list"]).out, "", "none is left behind");
    }
}

#[test]
fn options_without_sense_are_refused() {
    let folder = Folder::new();
    folder.write("hello.scs", HELLO);
    for (words, said) in [
        (&["--register"][..], "--server"),
        (&["--insecure"], "--server"),
        (&["--bosh", "127.0.0.1:5280"], "--bosh"),
        (&["--websocket", "127.0.0.1:5280"], "--websocket"),
        (&["--websocket", "http://127.0.0.1:5280/"], "--websocket"),
        (&["--websocket", "ws://h/", "--bosh", "http://h/"], "cannot be used with"),
        (&["--server", "h", "--bosh", "http://h/"], "cannot be used with"),
        (&["--server", "h", "--ca", "hello.scs"], "--ca"),
    ] {
        folder.run(["script", "hello.scs"].iter().chain(words)).refused(&[said]);
    }
}

#[test]
fn tags_choose_scripts() {
    let folder = Folder::new();
    folder.write("plain.scs", HELLO);
    folder.write("slow.scs", with_tag("## slow\n## status: stable"));
    for (option, tag, played) in [
        ("--only-tags", "slow", &["slow.scs"][..]),
        ("--only-tags", "status: stable", &["slow.scs"]),
        ("--only-tags", "status: new", &[]),
        ("--skip-tags", "slow", &["plain.scs"]),
    ] {
        let ran = folder.run(["script", option, tag, "plain.scs", "slow.scs"]);
        let names: Vec<_> = ran.out.lines().filter(|line| line.starts_with("pass")).collect();
        assert_eq!(names.len(), played.len(), "{option} {tag}: {}", ran.out);
        assert!(played.iter().all(|name| ran.out.contains(name)), "{option} {tag}: {}", ran.out);
    }
}

#[test]
fn scripts_say_where_they_cannot_be_played_and_who_differs() {
    let folder = Folder::new();
    folder.write("door.scs", with_tag("## not over memory: it needs a socket"));
    let ran = folder.run(["script", "door.scs"]);
    assert_eq!(ran.status, 0);
    assert!(
        ran.out.starts_with("skip door.scs: not over memory: it needs a socket\n"),
        "{}",
        ran.out
    );

    folder.write("tagged.scs", with_tag("## differs on other: it is rude; see RFC 6121 8"));
    assert_eq!(folder.run(["script", "tagged.scs"]).status, 0, "only --against makes a difference");
    let ran = folder.run(["script", "--against", "other", "tagged.scs"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("it passes, although it says that other differs"), "{}", ran.out);
    let failing =
        with_tag("## differs on other: it is rude").replacen("Hello</body>", "Away</body>", 1);
    folder.write("tagged.scs", failing);
    let ran = folder.run(["script", "--against", "other", "tagged.scs"]);
    assert_eq!(ran.status, 0, "{}", ran.out);
    assert!(
        ran.out.starts_with("diff tagged.scs ") && ran.out.contains("it is rude"),
        "{}",
        ran.out
    );
}
