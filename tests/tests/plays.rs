//! Every play through every door, each in a house of its own.

use server::{
    Ephemeral, Server,
    script::{Bosh, Certificates, Memory, Tcp, WebSocket},
};
use std::time::Duration;
use tests::plays::{self, Play};

/// How long a connection waits for an element before the play fails. Long, since other tests share the machine; only
/// plays that fail ever wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clock stands still but for when all wait: what the server times costs no time.
#[tokio::test(start_paused = true)]
async fn in_memory() {
    let mut failures = Vec::new();
    let base = Ephemeral::new().without_listeners();
    for play in plays_over("memory") {
        let house = house(&base, &play).await;
        let mut door = Memory { pipe: || house.pipe(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.stop().await;
    }
    report(&failures);
}

#[tokio::test]
async fn over_tcp_with_starttls() {
    let mut failures = Vec::new();
    let base = Ephemeral::new();
    for play in plays_over("tcp") {
        let house = house(&base, &play).await;
        let address = house.address("c2s").expect("it listens").to_string();
        let mut door = Tcp { address, certificates: Certificates::any(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.stop().await;
    }
    report(&failures);
}

#[tokio::test]
async fn over_bosh() {
    let mut failures = Vec::new();
    let base = Ephemeral::new();
    for play in plays_over("bosh") {
        let house = house(&base, &play).await;
        let address = house.address("http").expect("it listens");
        let service = format!("http://{address}/http-bind").parse().expect("a URL");
        let mut door = Bosh { service, certificates: Certificates::any(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.stop().await;
    }
    report(&failures);
}

#[tokio::test]
async fn over_websocket() {
    let mut failures = Vec::new();
    let base = Ephemeral::new();
    for play in plays_over("websocket") {
        let house = house(&base, &play).await;
        let address = house.address("http").expect("it listens");
        let endpoint = format!("ws://{address}/xmpp-websocket").parse().expect("a URL");
        let certificates = Certificates::any();
        let mut door = WebSocket { endpoint, certificates, patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.stop().await;
    }
    report(&failures);
}

/// What goes over HTTP goes over HTTPS: one play is enough to know it.
#[tokio::test]
async fn one_play_over_https() {
    let all = plays::all();
    let both = |play: &&Play| play.goes_over("bosh") && play.goes_over("websocket");
    let Some(play) = all.iter().find(both) else { return };
    // A house for each: what is said in a play stays in it.
    let base = Ephemeral::new().set("https.listen=['127.0.0.1:0']");
    let (one, other) = (house(&base, play).await, house(&base, play).await);
    let address = |house: &Server| house.address("https").expect("it listens");
    let service = format!("https://{}/http-bind", address(&one)).parse().expect("a URL");
    let mut bosh = Bosh { service, certificates: Certificates::any(), patience: PATIENCE };
    let endpoint = format!("wss://{}/xmpp-websocket", address(&other)).parse().expect("a URL");
    let mut socket = WebSocket { endpoint, certificates: Certificates::any(), patience: PATIENCE };
    let failures = [
        plays::perform(play, &mut bosh).await.err(),
        plays::perform(play, &mut socket).await.err(),
    ];
    one.stop().await;
    other.stop().await;
    report(&failures.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn every_play_has_a_heading_that_says_where_its_rules_stand() {
    let faults = plays::all().into_iter().filter_map(|play| Some((play.fault()?, play.name)));
    let faults: Vec<_> = faults.map(|(fault, name)| format!("{name}: {fault}")).collect();
    report(&faults);
}

fn plays_over(door: &str) -> impl Iterator<Item = Play> {
    plays::all().into_iter().filter(move |play| play.goes_over(door))
}

/// A server with the settings and the accounts that the play needs.
async fn house(base: &Ephemeral, play: &Play) -> Server {
    let server = play.settings().into_iter().fold(base.clone(), Ephemeral::set);
    let server = play
        .script
        .accounts()
        .fold(server, |server, one| server.user(one.jid.as_str(), &one.password));
    server.start().await.expect("the server starts")
}

#[track_caller]
fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n\n"));
}
