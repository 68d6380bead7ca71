//! The configuration as an operator writes it.

use super::{Config, EXAMPLE, keys::File};
use program::config::{File as _, example, parse, read, set};
use toml::Table;

fn error(assignment: &str) -> String {
    let mut table = Table::new();
    set(&mut table, assignment)
        .and_then(|()| read::<File>(table))
        .and_then(|file| Config::from_file(file, std::path::Path::new(".")))
        .expect_err(assignment)
        .0
}

#[test]
fn the_example_is_the_default_configuration() {
    let file =
        read::<File>(parse(&example::<File>(EXAMPLE), "example").expect("TOML")).expect("valid");
    assert_eq!(format!("{file:?}"), format!("{:?}", File::default()));
}

#[test]
fn every_key_of_the_example_can_be_uncommented() {
    let all: String = example::<File>(EXAMPLE)
        .lines()
        .map(|line| if line.contains(" = \"/etc") { &line[2..] } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let file = read::<File>(parse(&all, "example").expect("TOML")).expect("valid");
    assert!(file.tls.certificate.is_some() && file.tls.key.is_some());
}

#[test]
fn each_key_is_explained() {
    for entry in File::entries() {
        for key in entry.keys {
            assert!(!key.doc.is_empty(), "{}.{}", entry.name, key.name);
        }
    }
}

#[test]
fn set_takes_toml_and_else_a_string() {
    let mut table = Table::new();
    for assignment in
        ["c2s.listen=[]", "data=/var/lib/x", "auth.iterations = 5000", "domains=['a.example']"]
    {
        set(&mut table, assignment).expect(assignment);
    }
    let file: File = read(table).expect("valid");
    assert!(file.c2s.listen.is_empty());
    assert_eq!(file.top.data, "/var/lib/x");
    assert_eq!(file.auth.iterations, 5000);
    assert_eq!(file.top.domains, ["a.example"]);
}

#[test]
fn wrong_keys_and_values_say_which_and_what() {
    for (assignment, words) in [
        ("c2s.lissten=[]", "did you mean `c2s.listen`"),
        ("colour=1", "unknown key `colour`"),
        ("c2s.require_tls=1", "c2s.require_tls: 1 is not true or false"),
        ("c2s=1", "`c2s` is a table"),
        ("limits.bosh_hold=-1", "limits.bosh_hold: -1 is not a whole number, such as 1"),
        ("limits.bosh_hold=300", "limits.bosh_hold: 300 is too large"),
        ("domains=[]", "domains: "),
        ("domains=x", "domains: \"x\" is not a list of strings, such as [\"localhost\"]"),
        ("data=1", "data: 1 is not a string, such as \"data\""),
        ("domains=['a b']", "domains: "),
        ("c2s.listen=['5222']", "c2s.listen: "),
        ("http.bosh=http-bind", "http.bosh: "),
        ("https.listen=['127.0.0.1']", "https.listen: "),
        ("tls.key=/tmp/key.pem", "tls.certificate"),
        ("admins=['localhost']", "admins: "),
        ("admins=['admin@elsewhere.example']", "admins: "),
        ("limits.registration_timeout=0", "limits.registration_timeout: "),
        ("store.url=postgres://x", "store.url: "),
        ("store.durability=never", "store.durability: "),
        ("auth.mechanisms=['DIGEST-MD5']", "auth.mechanisms: "),
        ("auth.mechanisms=[]", "auth.mechanisms: "),
        ("auth.iterations=1", "auth.iterations: "),
        ("archive.default=sometimes", "archive.default: "),
        ("contact.abuse=['abuse@example.org']", "contact.abuse: "),
        ("contact.status=['https:']", "contact.status: "),
        ("limits.trusted=['here']", "limits.trusted: "),
        ("limits.stanza_bytes=100", "limits.stanza_bytes: "),
    ] {
        let message = error(assignment);
        assert!(message.contains(words), "{assignment}: {message}");
        assert!(!message.contains('\n'), "{assignment}: {message}");
    }
}
