//! Sessions that do nothing.

use super::{log_in, user};
use crate::{
    client::{Client, Door, Target},
    process::Group,
};
use std::{ops::Range, time::Duration};

/// Sessions that are there before anything is measured, so that what a server has once does not count. There must be so many more
/// users.
pub const WARM: usize = 100;

/// What sessions take.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Bytes of memory of the server before.
    pub before: u64,
    /// Bytes with all of them there.
    pub after: u64,
    /// How many there are.
    pub sessions: usize,
}

impl Taken {
    /// Bytes for one session.
    #[must_use]
    pub fn per_session(&self) -> f64 {
        (self.after as f64 - self.before as f64) / self.sessions as f64
    }
}

/// Opens so many sessions; over BOSH each has its request held. They stay as long as what is given.
///
/// # Errors
/// One cannot log in.
pub async fn idle(
    target: &Target,
    server: Group,
    door: Door,
    sessions: usize,
) -> anyhow::Result<(Taken, Vec<Client>)> {
    let _others = warm(target, server, door, sessions).await?;
    let before = server.memory()?;
    let clients = enter(target, door, 0..sessions).await?;
    settle(server).await?;
    Ok((Taken { before, after: server.memory()?, sessions }, clients))
}

/// Opens the sessions that are there before anything is measured, of the users after so many. They stay as long as what is given.
///
/// # Errors
/// One cannot log in.
pub async fn warm(
    target: &Target,
    server: Group,
    door: Door,
    after: usize,
) -> anyhow::Result<Vec<Client>> {
    let clients = enter(target, door, after..after + WARM).await?;
    settle(server).await?;
    Ok(clients)
}

async fn enter(target: &Target, door: Door, users: Range<usize>) -> anyhow::Result<Vec<Client>> {
    let is_floor = target.is_floor;
    let quiet = move |mut client: Client| async move {
        if !is_floor {
            client.available().await?;
        }
        client.rest().await?;
        Ok(client)
    };
    log_in(target, door, users.map(user), quiet).await
}

/// Waits until the server has nothing more to do, half a minute at most.
///
/// # Errors
/// It has ended.
pub async fn settle(server: Group) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(250);
    let mut quiet = 0;
    for _ in 0..120 {
        let before = server.cpu()?;
        tokio::time::sleep(LOOK).await;
        // Less than a tenth of one processor: garbage is collected, files are written.
        quiet = if server.cpu()? - before < LOOK / 10 { quiet + 1 } else { 0 };
        if quiet == 4 {
            break;
        }
    }
    Ok(())
}
