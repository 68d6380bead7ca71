//! Pairs of people who answer each other: one message is on its way in each pair.

use super::{Figures, Latencies, Meter, Times, chat::Message, log_in, run, user};
use crate::{
    client::{Client, Door, Target},
    process::Group,
    scan::Scanner,
};

/// Has so many pairs play. Each message counts; a latency is that of one there and one back.
///
/// # Errors
/// The server says that something is wrong, or messages are missing.
pub async fn ping_pong(
    target: &Target,
    server: Group,
    times: Times,
    door: Door,
    pairs: usize,
) -> anyhow::Result<Figures> {
    let ready = |mut client: Client| async move {
        client.available().await?;
        client.rest().await?;
        Ok(client)
    };
    let clients = log_in(target, door, (0..2 * pairs).map(user), ready).await?;
    let mut clients = clients.into_iter().enumerate();
    let mut all = Vec::new();
    while let (Some((first, a)), Some((second, b))) = (clients.next(), clients.next()) {
        let player = |client, other| Player {
            client,
            message: Message::to(door, &target.domain, &user(other)),
            scanner: Scanner::new(Scanner::BODY),
        };
        all.push((player(a, second), player(b, first)));
    }
    run(server, times, all, |(a, b), meter| play(a, b, meter)).await
}

struct Player {
    client: Client,
    message: Message,
    scanner: Scanner,
}

async fn play(mut a: Player, mut b: Player, meter: Meter) -> Latencies {
    let mut latencies = Vec::new();
    let mut there = Vec::new();
    while !meter.is_over() {
        a.say(meter.now()).await?;
        let stamp = b.hear(&meter).await?;
        meter.done(stamp, &mut there);
        b.say(stamp).await?;
        let stamp = a.hear(&meter).await?;
        meter.done(stamp, &mut latencies);
    }
    a.client.close().await?;
    b.client.close().await?;
    Ok(latencies)
}

impl Player {
    async fn say(&mut self, stamp: u64) -> anyhow::Result<()> {
        self.client.put(self.message.at(stamp));
        Ok(self.client.flush().await?)
    }

    async fn hear(&mut self, meter: &Meter) -> anyhow::Result<u64> {
        let mut heard = None;
        while heard.is_none() {
            self.client.read().await?;
            self.scanner.take(&mut self.client.inbox, |stamp| {
                heard = Some(stamp).filter(|stamp| meter.knows(*stamp)).or(heard);
            });
        }
        Ok(heard.unwrap_or_default())
    }
}
