//! `stonechat user …` beside a running server, and what a restart must not lose.

mod common;

use common::{Folder, NO_TLS, Ran, client::User};
use std::time::{Duration, Instant};

/// A changed or deleted account has no sessions after this.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

fn user(folder: &Folder, arguments: &[&str], password: &str) -> Ran {
    let arguments = ["user"].iter().chain(arguments).chain(&["--password-stdin"]);
    folder.run_with(arguments, password)
}

#[test]
fn accounts_are_added_and_listed_in_order() {
    let folder = Folder::new();
    for jid in ["romeo@localhost", "Juliet@LOCALHOST", "benvolio@localhost"] {
        let ran = user(&folder, &["add", jid], "secret\n");
        assert_eq!((ran.status, &*ran.out), (0, ""), "{}", ran.err);
        assert!(ran.err.ends_with("@localhost can log in now\n"), "{}", ran.err);
    }
    let list = folder.run(["user", "list"]);
    assert_eq!(list.out, "benvolio@localhost\njuliet@localhost\nromeo@localhost\n");
    assert_eq!((list.status, &*list.err), (0, ""));
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = Folder::new();
    user(&folder, &["add", "localhost"], "x").refused(&["no user name"]);
    user(&folder, &["add", "a b@localhost"], "x")
        .refused(&["\"a b@localhost\"", "juliet@example.org"]);
    user(&folder, &["add", "romeo@localhost/orchard"], "x").refused(&["romeo@localhost/orchard"]);
    user(&folder, &["add", "romeo@elsewhere.example"], "x")
        .refused(&["elsewhere.example", "domains"]);
    user(&folder, &["add", "romeo@localhost"], "").refused(&["password is empty"]);
    user(&folder, &["add", "romeo@localhost"], "\n").refused(&["password is empty"]);
    folder.run(["user", "add", "romeo@localhost"]).refused(&["no terminal", "--password-stdin"]);
    user(&folder, &["passwd", "romeo@localhost"], "x").refused(&["no account romeo@localhost"]);
    folder.run(["user", "del", "romeo@localhost"]).refused(&["no account romeo@localhost"]);
    folder.add("romeo@localhost", "secret");
    user(&folder, &["add", "romeo@localhost"], "x").refused(&["exists already", "user passwd"]);
    user(&folder, &["passwd", "romeo@localhost"], "").refused(&["password is empty"]);
    folder.run(["user", "list", "--set=store.url=memory:"]).refused(&["store.url"]);
}

#[test]
fn a_new_account_can_log_in_at_once() {
    let folder = Folder::new();
    let server = folder.serve(&NO_TLS);
    let c2s = server.address("c2s");
    assert!(User::try_login(c2s, "romeo@localhost", "secret").is_err());
    folder.add("romeo@localhost", "secret");
    assert!(User::login(c2s, "romeo@localhost", "secret").is_alive());
}

#[test]
fn a_changed_password_ends_the_sessions_and_counts_at_the_next_login() {
    let folder = Folder::new();
    folder.add("romeo@localhost", "old");
    folder.add("juliet@localhost", "hers");
    let server = folder.serve(&NO_TLS);
    let c2s = server.address("c2s");
    let romeos = [(); 2].map(|()| User::login(c2s, "romeo@localhost", "old"));
    let mut juliet = User::login(c2s, "juliet@localhost", "hers");
    let ran = user(&folder, &["passwd", "romeo@localhost"], "new");
    let changed = Instant::now();
    assert_eq!(ran.status, 0, "{}", ran.err);
    for romeo in romeos {
        let (condition, text) = romeo.end().expect("a stream error");
        assert_eq!((&*condition, &*text), ("reset", "the password was changed"));
    }
    assert!(changed.elapsed() < REVOKED_WITHIN, "{:?}", changed.elapsed());
    assert!(juliet.is_alive(), "nobody else is disturbed");
    assert!(User::try_login(c2s, "romeo@localhost", "old").is_err());
    assert!(User::login(c2s, "romeo@localhost", "new").is_alive());
}

#[test]
fn a_deleted_account_has_no_sessions_and_no_login() {
    let folder = Folder::new();
    folder.add("romeo@localhost", "secret");
    let server = folder.serve(&NO_TLS);
    let c2s = server.address("c2s");
    let romeo = User::login(c2s, "romeo@localhost", "secret");
    let ran = folder.run(["user", "del", "romeo@localhost"]);
    let deleted = Instant::now();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let (condition, text) = romeo.end().expect("a stream error");
    assert_eq!((&*condition, &*text), ("not-authorized", "the account was deleted"));
    assert!(deleted.elapsed() < REVOKED_WITHIN, "{:?}", deleted.elapsed());
    assert!(User::try_login(c2s, "romeo@localhost", "secret").is_err());
    assert_eq!(folder.run(["user", "list"]).out, "");
}

#[test]
fn accounts_rosters_and_messages_survive_a_stop_and_a_kill() {
    for (durability, signal) in [("disk", "TERM"), ("process", "KILL"), ("disk", "KILL")] {
        let folder = Folder::new();
        let durability = format!("--set=store.durability={durability}");
        let arguments = [NO_TLS[0], &durability];
        let server = folder.serve(&arguments);
        folder.add("romeo@localhost", "secret");
        folder.add("juliet@localhost", "hers");
        let mut romeo = User::login(server.address("c2s"), "romeo@localhost", "secret");
        let item =
            "<query xmlns='jabber:iq:roster'><item jid='nurse@localhost' name='Nurse'/></query>";
        assert_eq!(romeo.iq("set", item).attr("type"), Some("result"));
        romeo.send("<message type='chat' to='juliet@localhost'><body>anon</body></message>");
        assert!(romeo.is_alive(), "what came before the ping is done");
        server.signal(signal);
        { server }.wait();

        let server = folder.serve(&arguments);
        let mut romeo = User::login(server.address("c2s"), "romeo@localhost", "secret");
        let roster = romeo.iq("get", "<query xmlns='jabber:iq:roster'/>");
        let query = roster.child("jabber:iq:roster", "query").expect("a roster");
        let names: Vec<_> = query.children.iter().map(|item| item.attr("name")).collect();
        assert_eq!(names, [Some("Nurse")], "{signal} {durability}");
        let mut juliet = User::login(server.address("c2s"), "juliet@localhost", "hers");
        let message = juliet.receive("message");
        let body = message.child("jabber:client", "body").expect("a body");
        assert_eq!(body.text, "anon", "{signal} {durability}");
    }
}
