//! What operators and strangers do from a client, with the real binary: it must survive a restart, and stand in no log.

mod common;

use common::{FREE, Folder, NO_TLS, client::User};
use xmpp_core::xml::Node;

const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// Calls a command, fills in its form, and gives the `<command/>` that answers, or what came instead.
fn run(operator: &mut User, name: &str, fields: &[(&str, &str)]) -> Node {
    let node = format!("node='http://jabber.org/protocol/admin#{name}'");
    let set = |operator: &mut User, more: &str, content: &str| {
        operator.send(&format!(
            "<iq type='set' id='c' to='localhost'><command xmlns='{COMMANDS}' {node} {more}>{content}\
             </command></iq>"
        ));
        operator.receive("iq")
    };
    let asked = set(operator, "", "");
    let id = asked.child(COMMANDS, "command").and_then(|command| command.attr("sessionid"));
    let more = format!("sessionid='{}'", id.expect("a session"));
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    set(operator, &more, &format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>"))
}

fn completed(answer: &Node) -> bool {
    answer.child(COMMANDS, "command").and_then(|c| c.attr("status")) == Some("completed")
}

#[test]
fn a14_an_operator_s_work_is_done_and_no_password_of_it_logged() {
    let folder = Folder::new();
    folder.add("nurse@localhost", "angelica");
    let admins = ["--set=admins=['nurse@localhost']"];
    let arguments = FREE.iter().copied().chain(NO_TLS).chain(admins);
    let server = folder.start_with(arguments, &[("RUST_LOG", "trace")]);
    let c2s = server.address("c2s");
    let mut nurse = User::login(c2s, "nurse@localhost", "angelica");
    let juliet = [
        ("accountjid", "juliet@localhost"),
        ("password", "canary-first"),
        ("password-verify", "canary-first"),
    ];
    assert!(completed(&run(&mut nurse, "add-user", &juliet)));
    let again = run(&mut nurse, "add-user", &juliet);
    assert_eq!(again.attr("type"), Some("error"));
    assert!(again.child(COMMANDS, "command").is_none(), "the password came back");
    let user = User::login(c2s, "juliet@localhost", "canary-first");
    let change = [("accountjid", "juliet@localhost"), ("password", "canary-second")];
    assert!(completed(&run(&mut nurse, "change-user-password", &change)));
    let ended = ("reset".to_owned(), "the password was changed".to_owned());
    assert_eq!(user.end(), Some(ended));
    assert!(User::try_login(c2s, "juliet@localhost", "canary-first").is_err());
    let mut user = User::login(c2s, "juliet@localhost", "canary-second");
    let change = "<query xmlns='jabber:iq:register'><username>juliet</username>\
        <password>canary-third</password></query>";
    assert_eq!(user.iq("set", change).attr("type"), Some("result"));
    let wrong = change.replace("juliet", "nurse");
    let wrong = user.iq("set", &wrong);
    assert_eq!(wrong.attr("type"), Some("error"));
    assert!(wrong.child("jabber:iq:register", "query").is_none(), "the password came back");
    user.close();
    let mut user = User::login(c2s, "juliet@localhost", "canary-third");
    let gone = user.iq("set", "<query xmlns='jabber:iq:register'><remove/></query>");
    assert_eq!(gone.attr("type"), Some("result"));
    let ended = ("not-authorized".to_owned(), "the account was deleted".to_owned());
    assert_eq!(user.end(), Some(ended));
    nurse.close();
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("command=\"Add User\""), "{log}");
    assert!(!log.contains("canary"), "{log}");
    assert_eq!(folder.run(["user", "list"]).out, "nurse@localhost\n");
}

#[test]
fn xep0133_4_30_a_restart_reads_the_configuration_again_and_keeps_what_there_is() {
    let folder = Folder::new();
    folder.add("nurse@localhost", "angelica");
    let listen = "c2s.require_tls = false\nc2s.listen = ['127.0.0.1:0']\nc2s.direct_tls = []\n\
        http.listen = ['127.0.0.1:0']\n";
    let admins = format!("admins = ['nurse@localhost']\n{listen}");
    folder.write("stonechat.toml", &admins);
    let mut server = folder.start(["run"]);
    let mut nurse = User::login(server.address("c2s"), "nurse@localhost", "angelica");
    folder.write("stonechat.toml", format!("{admins}domains = 7\n"));
    assert!(completed(&run(&mut nurse, "restart", &[("delay", "5")])));
    assert_eq!(nurse.end().map(|(condition, _)| condition), Some("system-shutdown".into()));
    // What cannot be read changes nothing.
    server.wait_for("the configuration in force stays");
    server.ready_again();
    let mut nurse = User::login(server.address("c2s"), "nurse@localhost", "angelica");
    folder.write("stonechat.toml", listen);
    assert!(completed(&run(&mut nurse, "restart", &[("delay", "5")])));
    nurse.end();
    server.ready_again();
    let mut nurse = User::login(server.address("c2s"), "nurse@localhost", "angelica");
    let forbidden = "<command xmlns='http://jabber.org/protocol/commands' \
        node='http://jabber.org/protocol/admin#shutdown'/>";
    nurse.send(&format!("<iq type='set' id='c' to='localhost'>{forbidden}</iq>"));
    assert_eq!(nurse.receive("iq").attr("type"), Some("error"), "no operator any more");
    nurse.close();
    assert!(server.stop().0.success());
}

#[test]
fn xep0133_4_31_a_shutdown_ends_the_process_in_good_order() {
    let folder = Folder::new();
    folder.add("nurse@localhost", "angelica");
    let mut arguments = NO_TLS.to_vec();
    arguments.push("--set=admins=['nurse@localhost']");
    let mut server = folder.serve(&arguments);
    let mut nurse = User::login(server.address("c2s"), "nurse@localhost", "angelica");
    // The later wish counts.
    assert!(completed(&run(&mut nurse, "restart", &[("delay", "300")])));
    assert!(completed(&run(&mut nurse, "shutdown", &[("delay", "5")])));
    assert_eq!(nurse.end().map(|(condition, _)| condition), Some("system-shutdown".into()));
    let (status, more, log) = server.wait();
    assert_eq!((status.code(), &*more), (Some(0), ""), "{log}");
}
