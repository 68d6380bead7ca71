//! What archives forget, and when (XEP-0313 3.2).

use crate::config::keys;
use roster_store::{Retention, Store};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{self, Instant, MissedTickBehavior};

/// How often every archive has its turn: what is too old by some minutes does no harm.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// When the first round begins: not while everybody logs in.
const FIRST: Duration = Duration::from_millis(if faults::ARMED { 100 } else { 60_000 });

/// Between two steps of a round, so that a long one leaves the store to others.
const PAUSE: Duration = Duration::from_millis(2);

/// Lets archives forget what they need not remember any more, and clears away what deleted accounts have left.
pub(crate) async fn watch(store: Arc<dyn Store>, archive: keys::Archive) {
    let mut turn = time::interval_at(Instant::now() + FIRST, EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        round(&*store, retention(&archive, SystemTime::now())).await;
    }
}

/// What is remembered, as of now.
fn retention(archive: &keys::Archive, now: SystemTime) -> Retention {
    let age = Duration::from_secs(u64::from(archive.days) * 24 * 60 * 60);
    Retention {
        since: (archive.days > 0).then(|| now.checked_sub(age)).flatten(),
        messages: (archive.messages > 0).then_some(archive.messages),
    }
}

async fn round(store: &dyn Store, retention: Retention) {
    let mut after = None;
    loop {
        match store.purge(after, retention).await {
            Ok(None) => return,
            Ok(next) => {
                faults::site!("archive-pruned");
                after = next;
            }
            Err(error) => {
                tracing::debug!(%error, "old messages could not be removed");
                return;
            }
        }
        time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roster_store::{Caps, NewMessage, Query, memory::Memory};
    use xmpp_core::{BareJid, sasl::Credentials};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    async fn house(days: u64) -> (Arc<dyn Store>, BareJid) {
        let store: Arc<dyn Store> = Memory::new(Caps::default());
        let owner: BareJid = "juliet@localhost".parse().expect("an address");
        let credentials = Credentials::derive("secret", 1, &[[0; 16]; 3]).expect("a password");
        store.create(&owner, credentials).await.expect("created");
        let now = SystemTime::now();
        for age in (0..days).rev() {
            let message = NewMessage {
                owner: owner.clone(),
                with: "romeo@localhost".parse().expect("an address"),
                at: now - DAY * u32::try_from(age).expect("few") - DAY / 2,
                stanza: "<message/>".into(),
                archived: true,
                pending: false,
                delivered: true,
            };
            store.put(vec![message].into()).1.await.expect("kept");
        }
        (store, owner)
    }

    async fn left(store: &Arc<dyn Store>, owner: &BareJid) -> usize {
        let all = Query { limit: 100, bytes: usize::MAX, ..Query::default() };
        store.page(owner, all).await.expect("a page").messages.len()
    }

    #[tokio::test(start_paused = true)]
    async fn xep0313_3_2_every_archive_has_its_turn_every_hour() {
        for (days, messages, expected) in
            [(0, 0, 10), (3, 0, 3), (0, 4, 4), (3, 4, 3), (30, 40, 10)]
        {
            let (store, owner) = house(10).await;
            let archive = keys::Archive { days, messages, ..keys::Archive::default() };
            let watch = tokio::spawn(watch(store.clone(), archive));
            time::sleep(FIRST - Duration::from_secs(1)).await;
            assert_eq!(left(&store, &owner).await, 10, "not yet");
            time::sleep(Duration::from_secs(2)).await;
            assert_eq!(left(&store, &owner).await, expected, "{days} days, {messages} messages");
            watch.abort();
        }
    }
}
