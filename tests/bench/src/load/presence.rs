//! People in a ring, each with as many contacts, who change their presence.

use super::{Figures, Latencies, Meter, Times, log_in, run, user};
use crate::{
    client::{Client, Door, Target, complaint},
    process::Group,
    scan::{self, Scanner},
};

/// Changes of one person that are on their way at once.
const IN_FLIGHT: u64 = 2;

/// Has everybody of a ring change their presence again and again: each once for as many changes of contacts as there are
/// contacts. What is done is a change that one contact sees; a server that shows people their own is not credited for that.
///
/// # Errors
/// The server says that something is wrong, or changes are missing.
pub async fn presence(
    target: &Target,
    server: Group,
    times: Times,
    ring: &Ring,
) -> anyhow::Result<Figures> {
    change(server, times, ring, enter(target, ring).await?).await
}

/// Logs in everybody; each has seen all others come.
///
/// # Errors
/// One cannot.
pub async fn enter(target: &Target, ring: &Ring) -> anyhow::Result<Vec<Client>> {
    let ready = |mut client: Client| async move {
        client.available().await?;
        Ok(client)
    };
    let users = (0..ring.people).map(|number| ring.user(number));
    let mut all = log_in(target, Door::Tcp, users, ready).await?;
    for client in &mut all {
        client.synchronise().await?;
        client.rest().await?;
    }
    Ok(all)
}

/// Has those who have logged in change their presence, and leave.
///
/// # Errors
/// The server says that something is wrong, or changes are missing.
pub async fn change(
    server: Group,
    times: Times,
    ring: &Ring,
    people: Vec<Client>,
) -> anyhow::Result<Figures> {
    let contacts = ring.contacts as u64;
    let all = (0..).zip(people).collect();
    run(server, times, all, move |(own, client), meter| again(client, own, contacts, meter)).await
}

/// People who are all subscribed to each other's presence, as far as they stand near each other in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// What their names begin with.
    pub prefix: char,
    /// How many there are.
    pub people: usize,
    /// How many contacts each has, half of them on either side.
    pub contacts: usize,
    /// How many more each has who are never there: the first of all [users](user).
    pub away: usize,
}

impl Ring {
    /// The name of one.
    #[must_use]
    pub fn user(&self, number: usize) -> String {
        format!("{}{:05}", self.prefix, number % self.people)
    }

    /// All contacts of one.
    pub fn roster_of(&self, number: usize) -> impl Iterator<Item = String> + use<> {
        self.contacts_of(number).chain((0..self.away).map(user))
    }

    /// The contacts of one who are there.
    pub fn contacts_of(&self, number: usize) -> impl Iterator<Item = String> + use<> {
        let this = *self;
        let half = self.contacts / 2;
        (1..=half).flat_map(move |step| {
            [this.user(number + step), this.user(number + this.people - step)]
        })
    }
}

async fn again(mut client: Client, own: u64, contacts: u64, meter: Meter) -> Latencies {
    let scanner = Scanner::new(Scanner::STATUS);
    let mut nothing = Vec::new();
    let mut stanza = b"<presence><status>@".to_vec();
    scan::put(&mut stanza, own);
    stanza.extend_from_slice(b" is here</status></presence>");
    let (mut seen, mut due) = (0, IN_FLIGHT);
    while !meter.is_over() {
        for _ in 0..due {
            client.put(&stanza);
        }
        client.flush().await?;
        client.read().await?;
        let before = seen / contacts;
        scanner.take(&mut client.inbox, |whose| {
            if whose != own {
                seen += 1;
                meter.done(0, &mut nothing);
            }
        });
        if let Some(error) = complaint(&client.inbox) {
            anyhow::bail!("{error}");
        }
        due = seen / contacts - before;
        nothing.clear();
    }
    client.close().await?;
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_mutual() {
        let ring = Ring { prefix: 'p', people: 50, contacts: 20, away: 0 };
        for number in 0..50 {
            let contacts: Vec<_> = ring.contacts_of(number).collect();
            assert_eq!(contacts.len(), 20);
            assert!(!contacts.contains(&ring.user(number)));
            for contact in contacts {
                let contact: usize = contact[1..].parse().unwrap();
                assert!(ring.contacts_of(contact).any(|back| back == ring.user(number)));
            }
        }
    }
}
