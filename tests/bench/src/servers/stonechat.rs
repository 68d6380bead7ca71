//! Stonechat: its defaults, but for rates, which no server here has.

use super::{DOMAIN, Place, Start};
use roster_store::{Accounts, Caps, Durability, Rosters, Store, Verb, sqlite::Sqlite};
use std::{fs, sync::Arc};
use tokio::{process::Command, task::JoinSet};
use xmpp_core::BareJid;

/// Changes that wait for the store at a time.
const AT_ONCE: usize = 1_000;

pub(super) async fn start(place: &Place<'_>) -> anyhow::Result<Start> {
    provide(place).await?;
    let (certificate, key) = (place.certificate.display(), place.key.display());
    let archive = if place.wish.archive { "always" } else { "never" };
    let settings = format!(
        "domains = [\"{DOMAIN}\"]\n\
         data = \"data\"\n\
         c2s.listen = [\"127.0.0.1:{}\"]\n\
         c2s.direct_tls = []\n\
         c2s.require_tls = false\n\
         http.listen = [\"127.0.0.1:{}\"]\n\
         tls.certificate = \"{certificate}\"\n\
         tls.key = \"{key}\"\n\
         archive.default = \"{archive}\"\n\
         limits.rate_bytes = 1000000000\n\
         limits.rate_burst = 1000000000\n\
         limits.rate_stanzas = 1000000\n\
         limits.rate_stanzas_burst = 1000000\n\
         limits.bosh_wait = 600\n\
         {}",
        place.c2s, place.http, place.wish.settings
    );
    let file = place.folder.join("stonechat.toml");
    fs::write(&file, &settings)?;
    let mut command = Command::new(&place.wish.program);
    command.arg("run").arg("--config").arg(file).env("RUST_LOG", "warn");
    Ok(Start { command, settings, sign: None })
}

/// Accounts and rosters, in the database that it will open.
async fn provide(place: &Place<'_>) -> anyhow::Result<()> {
    let data = place.folder.join("data");
    fs::create_dir_all(&data)?;
    let store = Sqlite::open(&data.join("stonechat.db"), Durability::Process, Caps::default())?;
    let mut queue = Queue(JoinSet::new());
    for name in place.wish.people.names() {
        let (store, keys, account) = (Arc::clone(&store), place.keys.clone(), address(&name)?);
        queue.push(async move { store.create(&account, keys).await }).await?;
    }
    queue.all().await?;
    for (name, contacts) in place.wish.people.rosters() {
        let owner = address(&name)?;
        for contact in contacts {
            let (store, owner, contact) = (Arc::clone(&store), owner.clone(), address(&contact)?);
            // Both do this for each other.
            queue
                .push(async move {
                    store.subscription(Verb::Subscribed, &contact, &owner, Vec::new()).await?;
                    let request = b"<presence type='subscribe'/>".to_vec();
                    store.subscription(Verb::Subscribe, &owner, &contact, request).await
                })
                .await?;
        }
    }
    queue.all().await?;
    store.close().await;
    Ok(())
}

fn address(name: &str) -> anyhow::Result<BareJid> {
    Ok(format!("{name}@{DOMAIN}").parse()?)
}

/// Changes on their way.
struct Queue(JoinSet<roster_store::Result<()>>);

impl Queue {
    async fn push<T>(
        &mut self,
        change: impl Future<Output = roster_store::Result<T>> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.0.spawn(async move { change.await.map(drop) });
        if self.0.len() == AT_ONCE
            && let Some(done) = self.0.join_next().await
        {
            done??;
        }
        Ok(())
    }

    async fn all(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.0.join_next().await {
            done??;
        }
        Ok(())
    }
}
