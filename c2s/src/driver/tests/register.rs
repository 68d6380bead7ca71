//! Strangers who register.

use super::world::{Client, PASSWORD, Verona};
use crate::{Origin, Registration, Settings};
use std::time::Duration;
use xmpp_core::{ns, sasl::MechanismName};

fn open_house() -> Settings {
    let mut settings = Settings::new("verona.lit");
    settings.registration = Some(Registration {
        timeout: Duration::from_secs(300),
        per_hour: 3,
        reserved: vec!["prince@verona.lit".parse().unwrap()],
    });
    settings
}

fn stranger(address: &str) -> Origin {
    Origin { address: Some(address.parse().unwrap()), secure: true }
}

impl Client {
    async fn register(&mut self, name: &str, password: &str) -> String {
        self.say(&format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>\
             <password>{password}</password></query></iq>"
        ))
        .await;
        // a result has no content
        let mut answer = self.hear(">").await;
        if !answer.ends_with("/>") {
            answer.push_str(&self.hear("</iq>").await);
        }
        answer
    }
}

const DONE: &str = "<iq type='result' id='r'/>";

#[tokio::test(start_paused = true)]
async fn xep0077_3_1_1_who_registers_over_tls_can_log_in_on_the_same_stream() {
    let verona = Verona::with(open_house()).await;
    let (mut client, task) = verona.connect(Origin { address: None, secure: false });
    assert!(!client.open().await.contains("iq-register"), "not in the clear");
    client.start_tls().await;
    let features = client.open().await;
    assert!(features.contains("<register xmlns='http://jabber.org/features/iq-register'/>"));
    client.say("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>").await;
    assert!(client.hear("</iq>").await.contains("<username/><password/>"));
    assert_eq!(client.register("Benvolio", PASSWORD).await, DONE);
    client.authenticate(MechanismName::ScramSha256, "benvolio", PASSWORD).await.unwrap();
    let features = client.open().await;
    assert!(features.contains(ns::BIND) && !features.contains("iq-register"), "{features}");
    assert!(client.bind("home").await.contains("benvolio@verona.lit/home"));
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a05_taken_names_and_reserved_ones_look_alike_and_keep_their_password() {
    let verona = Verona::with(open_house()).await;
    let (mut client, _task) = verona.pipe();
    client.open().await;
    let taken = client.register("romeo", "mine").await;
    assert!(taken.contains("<conflict "), "{taken}");
    assert_eq!(client.register("prince", "mine").await, taken);
    assert!(client.register("tybalt", "a&#9;b").await.contains("<not-acceptable "));
    client.authenticate(MechanismName::Plain, "romeo", PASSWORD).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r01_an_address_registers_so_many_accounts_in_an_hour() {
    let verona = Verona::with(open_house()).await;
    let (mut client, _task) = verona.connect(stranger("192.0.2.1"));
    client.open().await;
    // what fails counts: it tells which names are taken
    assert!(client.register("romeo", "x").await.contains("<conflict "));
    assert!(client.register("juliet", "x").await.contains("<conflict "));
    assert_eq!(client.register("benvolio", "x").await, DONE);
    for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let (mut again, _task) = verona.connect(stranger(address));
        again.open().await;
        for name in ["mercutio", "romeo"] {
            let refused = again.register(name, "x").await;
            assert!(refused.contains("type='wait'><resource-constraint "), "{refused}");
        }
        // whoever has an account can log in
        again.authenticate(MechanismName::Plain, "romeo", PASSWORD).await.unwrap();
    }
    let (mut elsewhere, _task) = verona.connect(stranger("192.0.2.2"));
    elsewhere.open().await;
    assert_eq!(elsewhere.register("mercutio", "x").await, DONE);
}

#[tokio::test(start_paused = true)]
async fn r01_trusted_addresses_register_as_many_as_they_like() {
    let mut settings = open_house();
    settings.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    let verona = Verona::with(settings).await;
    for number in 0..5 {
        let (mut client, _task) = verona.connect(stranger("192.0.2.1"));
        client.open().await;
        assert_eq!(client.register(&format!("servant{number}"), "x").await, DONE);
    }
}
