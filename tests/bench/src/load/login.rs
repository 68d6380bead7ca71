//! Logins, one after the other.

use super::{Figures, Latencies, Meter, Times, run, user};
use crate::{
    client::{Client, Door, Target},
    process::Group,
};

/// Clients that log in at the same time.
const AT_ONCE: usize = 16;

/// Has clients log in and leave again and again: connection, STARTTLS where the door has it, SCRAM-SHA-1, bind.
///
/// # Errors
/// One cannot.
pub async fn logins(
    target: &Target,
    server: Group,
    times: Times,
    door: Door,
) -> anyhow::Result<Figures> {
    let all = (0..AT_ONCE).collect();
    run(server, times, all, |number, meter| again(target.clone(), door, number, meter)).await
}

async fn again(target: Target, door: Door, number: usize, meter: Meter) -> Latencies {
    let mut latencies = Vec::new();
    let user = user(number);
    for round in 0_u64.. {
        if meter.is_over() {
            break;
        }
        let begun = meter.now();
        let client = Client::login(&target, door, &user, &format!("bench{round}")).await?;
        meter.done(begun, &mut latencies);
        client.close().await?;
    }
    Ok(latencies)
}
