//! What clients see.

use super::world::{Client, PASSWORD, Verona, connect_tls};
use crate::{Origin, Settings};
use net::{
    address::{AddressBook, AddressLimits},
    listener::Listener,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use xmpp_core::{
    ns,
    sasl::{Credentials, MechanismName},
};

const CLEAR: Origin = Origin { address: None, secure: false };

fn from(address: &str) -> Origin {
    Origin { address: Some(address.parse().unwrap()), secure: true }
}

fn message(to: &str, body: &str) -> String {
    format!("<message type='chat' to='{to}'><body>{body}</body></message>")
}

#[tokio::test(start_paused = true)]
async fn rfc6120_6_every_mechanism_logs_in() {
    let verona = Verona::new().await;
    for mechanism in [
        MechanismName::ScramSha512,
        MechanismName::ScramSha256,
        MechanismName::ScramSha1,
        MechanismName::Plain,
    ] {
        let (mut client, task) = verona.pipe();
        client.log_in(mechanism, "juliet").await;
        let bound = client.bind("balcony").await;
        assert!(bound.contains("<jid>juliet@verona.lit/balcony</jid>"), "{bound}");
        client.say("</stream:stream>").await;
        assert_eq!(client.rest().await, "</stream:stream>");
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_and_unknown_users_fail_alike() {
    let verona = Verona::new().await;
    for mechanism in [MechanismName::ScramSha256, MechanismName::Plain] {
        let (mut client, _task) = verona.pipe();
        client.open().await;
        let wrong = client.authenticate(mechanism, "juliet", "wrong").await.unwrap_err();
        let unknown = client.authenticate(mechanism, "tybalt", PASSWORD).await.unwrap_err();
        assert!(wrong.contains("<not-authorized/>"), "{wrong}");
        assert_eq!(wrong, unknown);
        client.authenticate(mechanism, "juliet", PASSWORD).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn two_people_chat() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, _task) = verona.resident("juliet").await;
    for number in 0..20 {
        romeo.say(&message("juliet@verona.lit/home", &format!("ask {number}"))).await;
        let heard = juliet.hear("</message>").await;
        assert!(heard.contains("from='romeo@verona.lit/home'"), "{heard}");
        assert!(heard.contains(&format!("<body>ask {number}</body>")), "{heard}");
        juliet.say(&message("romeo@verona.lit/home", &format!("reply {number}"))).await;
        let heard = romeo.hear("</message>").await;
        assert!(heard.contains(&format!("<body>reply {number}</body>")), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_may_come_one_at_a_time() {
    let verona = Verona::new().await;
    let (mut juliet, _task) = verona.resident("juliet").await;
    let (mut romeo, _task) = verona.pipe();
    let login = format!(
        "{}<auth xmlns='{}' mechanism='PLAIN'>AHJvbWVvAHIwbTMwbXlyMG0zMA==</auth>{}\
         <iq type='set' id='b'><bind xmlns='{}'/></iq>{}",
        Client::header(),
        ns::SASL,
        Client::header(),
        ns::BIND,
        message("juliet@verona.lit/home", "hi")
    );
    for byte in login.as_bytes() {
        romeo.say(std::str::from_utf8(&[*byte]).unwrap()).await;
        tokio::task::yield_now().await;
    }
    assert!(juliet.hear("</message>").await.contains("<body>hi</body>"));
    assert!(romeo.hear("</iq>").await.contains("<jid>romeo@verona.lit/"));
}

#[tokio::test(start_paused = true)]
async fn starttls_and_on() {
    let verona = Verona::new().await;
    let (mut client, task) = verona.connect(CLEAR);
    let features = client.open().await;
    assert!(features.contains("<required/>") && !features.contains("mechanism"), "{features}");
    client.start_tls().await;
    client.log_in(MechanismName::ScramSha512, "juliet").await;
    client.bind("balcony").await;
    client.say("</stream:stream>").await;
    assert_eq!(client.rest().await, "</stream:stream>");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn t01_what_is_sent_ahead_of_tls_is_never_read() {
    let verona = Verona::new().await;
    let injected = format!(
        "<starttls xmlns='{}'/><auth xmlns='{}' mechanism='PLAIN'>AGEAYg==</auth>",
        ns::TLS,
        ns::SASL
    );
    for split in (injected.find("/>").unwrap() + 2)..=injected.len() {
        let (mut client, task) = verona.connect(CLEAR);
        client.open().await;
        client.say(&injected[..split]).await;
        // the server may have seen the first part alone: the rest then stands where TLS must be
        tokio::task::yield_now().await;
        if split < injected.len() {
            client.say(&injected[split..]).await;
        }
        let answer = client.rest().await;
        assert!(!answer.contains(ns::SASL), "{answer}");
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn t05_a_slow_handshake_ends() {
    let verona = Verona::new().await;
    let (mut client, task) = verona.connect(CLEAR);
    client.open().await;
    client.say(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
    client.hear("/>").await;
    let start = Instant::now();
    task.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn t05_a_client_that_does_not_read_on_is_gone_in_time() {
    let verona = Verona::new().await;
    let (near, far) = tokio::io::duplex(8);
    let task = tokio::spawn(Arc::clone(&verona.door).serve(far, CLEAR));
    let start = Instant::now();
    let mut client = Client::new(near);
    client.open().await;
    client.say(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
    task.await.unwrap(); // 8 bytes of `<proceed/>` are under way
    assert_eq!(start.elapsed().as_secs(), 31); // the time to log in, and the time to say goodbye
}

#[tokio::test(start_paused = true)]
async fn x17_who_does_not_log_in_is_gone_after_thirty_seconds() {
    let verona = Verona::new().await;
    let (mut client, task) = verona.connect(CLEAR);
    let start = Instant::now();
    client.open().await;
    assert!(client.rest().await.contains("<policy-violation "));
    assert_eq!(start.elapsed().as_secs(), 30);
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a08_an_address_that_guesses_is_held_off_and_the_owner_is_not() {
    let mut settings = Settings::new("verona.lit");
    settings.failed_logins_per_minute = 4;
    let verona = Verona::with(settings).await;
    let (mut guesser, _task) = verona.connect(from("192.0.2.1"));
    guesser.open().await;
    for _ in 0..4 {
        let failure = guesser.authenticate(MechanismName::Plain, "juliet", "guess").await;
        assert!(failure.unwrap_err().contains("<not-authorized/>"));
    }
    let (mut again, _task) = verona.connect(from("192.0.2.1"));
    again.open().await;
    let failure = again.authenticate(MechanismName::Plain, "juliet", PASSWORD).await;
    assert!(failure.unwrap_err().contains("<temporary-auth-failure/>"));
    let (mut juliet, _task) = verona.connect(from("192.0.2.2"));
    juliet.log_in(MechanismName::Plain, "juliet").await;
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_during_the_login_binds_nothing() {
    let verona = Verona::new().await;
    let (mut romeo, task) = verona.pipe();
    romeo.log_in(MechanismName::ScramSha256, "romeo").await;
    let other = Credentials::derive("another", 2, &[[8; 16]; 3]).unwrap();
    let account = "romeo@verona.lit".parse().unwrap();
    verona.door.accounts.set_credentials(&account, other).await.unwrap();
    romeo.say(&format!("<iq id='b' type='set'><bind xmlns='{}'/></iq>", ns::BIND)).await;
    let rest = romeo.rest().await;
    assert!(rest.contains("<not-authorized"), "{rest}");
    task.await.unwrap();
}

#[tokio::test]
async fn rfc6120_7_7_2_2_the_newer_of_two_sessions_with_one_resource_wins() {
    let verona = Verona::new().await;
    let (mut old, task) = verona.resident("juliet").await;
    let (mut new, _task) = verona.resident("juliet").await;
    assert!(old.rest().await.contains("<conflict "));
    drop(old);
    task.await.unwrap();
    new.say(&message("juliet@verona.lit/home", "me")).await;
    assert!(new.hear("</message>").await.contains("<body>me</body>"));
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_is_gone_for_the_router() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (juliet, task) = verona.resident("juliet").await;
    drop(juliet);
    task.await.unwrap();
    romeo.say("<iq type='get' id='1' to='juliet@verona.lit/home'><q xmlns='u:x'/></iq>").await;
    let error = romeo.hear("</iq>").await;
    assert!(error.contains("<service-unavailable "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_aborted_leaves_nobody_behind() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (_juliet, task) = verona.resident("juliet").await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    romeo.say("<iq type='get' id='1' to='juliet@verona.lit/home'><q xmlns='u:x'/></iq>").await;
    let error = romeo.hear("</iq>").await;
    assert!(error.contains("<service-unavailable "), "{error}");
}

/// What an idle connection costs besides its socket: the session, and the task that moves it.
#[tokio::test]
async fn a_connection_is_small() {
    let verona = Verona::new().await;
    let (_near, far) = tokio::io::duplex(1);
    let task = Arc::clone(&verona.door).serve(far, CLEAR);
    assert!(size_of_val(&task) <= 512, "{} bytes", size_of_val(&task));
    let session = size_of::<crate::driver::Driver>();
    assert!(session <= 1_408, "{session} bytes");
}

#[tokio::test(start_paused = true)]
async fn r05_a_slow_reader_is_closed_and_the_sender_does_not_wait() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (juliet, task) = verona.resident("juliet").await;
    let body = "x".repeat(10_000);
    for _ in 0..60 {
        romeo.say(&message("juliet@verona.lit/home", &body)).await;
    }
    // all of them are dealt with although nobody reads them
    romeo.say(&message("romeo@verona.lit/home", "done")).await;
    romeo.hear("<body>done</body>").await;
    let start = Instant::now();
    task.await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    drop(juliet);
}

#[tokio::test(start_paused = true)]
async fn r05_who_does_not_read_is_replaced_as_soon_as_who_does() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (deaf, task) = verona.resident("juliet").await;
    let body = "x".repeat(10_000);
    for _ in 0..12 {
        romeo.say(&message("juliet@verona.lit/home", &body)).await;
    }
    romeo.say(&message("romeo@verona.lit/home", "done")).await;
    romeo.hear("<body>done</body>").await;
    let start = Instant::now();
    let (_juliet, _task) = verona.resident("juliet").await;
    task.await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    drop(deaf);
}

/// RFC 6120 4.3.3, 4.7.3: each stream has its own identifier, and nobody can guess it.
#[tokio::test(start_paused = true)]
async fn rfc6120_4_7_3_every_restart_has_a_new_stream_id() {
    let verona = Verona::new().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..2 {
        let (mut client, _task) = verona.connect(CLEAR);
        let mut heads = vec![client.open().await];
        client.start_tls().await;
        heads.push(client.open().await);
        client.authenticate(MechanismName::Plain, "juliet", PASSWORD).await.unwrap();
        heads.push(client.open().await);
        for head in heads {
            let (_, id) = head.split_once(" id='").unwrap();
            let (id, _) = id.split_once('\'').unwrap();
            assert!(id.len() >= 22, "128 bits in base64: {id}");
            assert!(ids.insert(id.to_owned()), "{id} comes again");
        }
    }
    assert_eq!(ids.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_everybody_is_told_and_the_door_waits_for_them() {
    let verona = Verona::new().await;
    let (mut bound, bound_task) = verona.resident("juliet").await;
    let (mut opened, opened_task) = verona.connect(CLEAR);
    opened.open().await;
    let (mut silent, silent_task) = verona.connect(CLEAR);
    let (mut in_tls, in_tls_task) = verona.connect(CLEAR);
    in_tls.open().await;
    in_tls.say(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
    in_tls.hear("/>").await;

    let start = Instant::now();
    verona.door.shut().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for client in [&mut bound, &mut opened, &mut silent] {
        let goodbye = client.rest().await;
        assert!(goodbye.contains("<system-shutdown "), "{goodbye}");
        assert!(goodbye.ends_with("</stream:stream>"), "{goodbye}");
    }
    assert_eq!(in_tls.rest().await, "");
    for task in [bound_task, opened_task, silent_task, in_tls_task] {
        task.await.unwrap();
    }
    // and who comes late is told so too
    let (mut late, task) = verona.pipe();
    assert!(late.rest().await.contains("<system-shutdown "));
    drop(late);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_door_waits_no_longer_than_it_was_told() {
    let mut settings = Settings::new("verona.lit");
    settings.shutdown_timeout = Duration::from_millis(500);
    let verona = Verona::with(settings).await;
    let (client, task) = verona.resident("juliet").await;
    let start = Instant::now();
    verona.door.shut().await; // the client does not end its side
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    drop(client);
    task.await.unwrap();
}

/// A listener on loopback, and where it is.
fn listener() -> (Listener, SocketAddr) {
    let limits = AddressLimits { total: 10, per_address: 10, new_per_minute: 10, trusted: vec![] };
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), AddressBook::new(limits));
    let listener = listener.unwrap();
    let address = listener.local_addr();
    (listener, address)
}

#[tokio::test]
async fn over_tcp_the_error_reaches_a_client_that_keeps_talking() {
    let verona = Verona::new().await;
    let (listener, address) = listener();
    let listening = tokio::spawn(Arc::clone(&verona.door).listen(listener, false));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    socket.write_all(&[b'x'; 100_000]).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("<not-well-formed "), "{answer}");
    verona.door.shut().await;
    listening.await.unwrap();
}

#[tokio::test]
async fn over_direct_tls_a_stream_is_secure_from_the_start() {
    let verona = Verona::new().await;
    let (listener, address) = listener();
    tokio::spawn(Arc::clone(&verona.door).listen(listener, true));
    let socket = TcpStream::connect(address).await.unwrap();
    let mut client = Client::new(connect_tls(socket, &["xmpp-client"]).await.unwrap());
    client.log_in(MechanismName::Plain, "juliet").await;
    let socket = TcpStream::connect(address).await.unwrap();
    assert!(connect_tls(socket, &["h2"]).await.is_err(), "T06: another protocol");
}
