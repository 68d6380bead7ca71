//! Every play through every door, each in a house of its own.

use server::script::{Bosh, Certificates, Memory, Tcp};
use std::time::Duration;
use tests::{
    house::{BOSH_PATH, House, LOOPBACK, MEMORY},
    plays::{self, Play},
};

/// How long a connection waits for an element before the play fails. Long, since other tests share the machine; only
/// plays that fail ever wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clock stands still but for when all wait: what the server times costs no time.
#[tokio::test(start_paused = true)]
async fn in_memory() {
    let mut failures = Vec::new();
    for play in plays_over("memory") {
        let house = house(&play, MEMORY).await;
        let mut door = Memory { pipe: || house.pipe(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.close().await;
    }
    report(&failures);
}

#[tokio::test]
async fn over_tcp_with_starttls() {
    let mut failures = Vec::new();
    for play in plays_over("tcp") {
        let house = house(&play, LOOPBACK).await;
        let address = house.address("c2s").expect("it listens").to_string();
        let mut door = Tcp { address, certificates: Certificates::any(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.close().await;
    }
    report(&failures);
}

#[tokio::test]
async fn over_bosh() {
    let mut failures = Vec::new();
    for play in plays_over("bosh") {
        let house = house(&play, LOOPBACK).await;
        let address = house.address("http").expect("it listens");
        let service = format!("http://{address}{BOSH_PATH}").parse().expect("a URL");
        let mut door = Bosh { service, certificates: Certificates::any(), patience: PATIENCE };
        failures.extend(plays::perform(&play, &mut door).await.err());
        house.close().await;
    }
    report(&failures);
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

/// A server with the accounts of the play's characters.
async fn house(play: &Play, settings: &[&str]) -> House {
    let settings = [settings, &play.settings()].concat();
    let house = House::open(&settings).await.expect("the server starts");
    let mut accounts: Vec<_> =
        play.script.characters.iter().map(|c| (&c.jid, &c.password)).collect();
    accounts.sort();
    accounts.dedup();
    for (account, password) in accounts {
        house.add(account, password).await.expect("the account is new");
    }
    house
}

#[track_caller]
fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n\n"));
}
