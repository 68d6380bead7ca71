//! `stonechat user …`: accounts, over the same database that a running server uses.

use crate::{
    cli::{Account, UserAction},
    config::{Config, StoreUrl},
    tell, wiring,
};
use anyhow::{Context, bail};
use net::hashing::Hashing;
use roster_store::{Store, StoreError, sqlite::Sqlite};
use std::{
    io::{BufRead, ErrorKind},
    path::Path,
    sync::Arc,
};
use xmpp_core::{BareJid, sasl::Credentials};

/// Runs one of the commands; what `list` finds goes through `print`.
pub(crate) async fn run(mut action: UserAction, print: impl Fn(&str)) -> anyhow::Result<()> {
    let source = std::mem::take(action.source());
    let config = Config::load(&source)?;
    match &config.store {
        StoreUrl::Memory => {
            bail!("store.url: accounts in \"memory:\" exist only inside a running server")
        }
        // Only a new account is a reason to make a database.
        StoreUrl::Sqlite(path) if is_absent(path) => match &action {
            UserAction::Add(_) => {}
            UserAction::List(_) => return Ok(()),
            UserAction::Passwd(Account { jid, .. }) | UserAction::Del { jid, .. } => {
                bail!("there is no account {jid}: there is no database {}", path.display())
            }
        },
        StoreUrl::Sqlite(_) => {}
    }
    let store = wiring::open_store(&config, Sqlite::open)?;
    let done = perform(&*store, &config, action, print).await;
    store.close().await;
    done
}

/// Whether there is no such file; one that cannot be looked at is for the store to complain of.
fn is_absent(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

async fn perform(
    store: &dyn Store,
    config: &Config,
    action: UserAction,
    print: impl Fn(&str),
) -> anyhow::Result<()> {
    match action {
        UserAction::Add(account) => {
            let jid = local(config, &account.jid)?;
            if store.exists(&jid).await? {
                bail!("{jid} exists already: `stonechat user passwd {jid}` changes its password");
            }
            let credentials = credentials(config, &account, &jid).await?;
            store.create(&jid, credentials).await.map_err(|error| said(error, &jid))?;
            tell(&format!("{jid} can log in now"));
        }
        UserAction::Passwd(account) => {
            let jid = local(config, &account.jid)?;
            if !store.exists(&jid).await? {
                return Err(said(StoreError::NotFound, &jid));
            }
            let credentials = credentials(config, &account, &jid).await?;
            store.set_credentials(&jid, credentials).await.map_err(|error| said(error, &jid))?;
            tell(&format!("{jid} has another password; its sessions end"));
        }
        UserAction::Del { jid, .. } => {
            let jid = address(&jid)?;
            // A running server sees what was revoked, and tells whoever is there.
            store.delete(&jid).await.map_err(|error| said(error, &jid))?;
            tell(&format!("{jid} is deleted; its sessions end"));
        }
        UserAction::List(_) => {
            for jid in store.list().await? {
                print(jid.as_str());
            }
        }
    }
    Ok(())
}

/// The address of an account.
pub(crate) fn address(text: &str) -> anyhow::Result<BareJid> {
    let jid: BareJid = text
        .parse()
        .with_context(|| format!("{text:?} is not an address such as juliet@example.org"))?;
    if jid.local().is_none() {
        bail!("{text:?} has no user name: write it like juliet@example.org");
    }
    Ok(jid)
}

fn local(config: &Config, text: &str) -> anyhow::Result<BareJid> {
    let jid = address(text)?;
    if !config.domains.iter().any(|domain| domain == jid.domain()) {
        bail!("{} is not served here: `domains` has {}", jid.domain(), config.domains.join(", "));
    }
    Ok(jid)
}

fn said(error: StoreError, jid: &BareJid) -> anyhow::Error {
    match error {
        StoreError::NotFound => anyhow::anyhow!("there is no account {jid}"),
        StoreError::Exists => anyhow::anyhow!("{jid} exists already"),
        other => other.into(),
    }
}

async fn credentials(
    config: &Config,
    account: &Account,
    jid: &BareJid,
) -> anyhow::Result<Credentials> {
    let password = if account.password_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        let password =
            rpassword::prompt_password(format!("Password for {jid}: ")).map_err(|_| {
                anyhow::anyhow!("no terminal to ask for the password on: use --password-stdin")
            })?;
        if rpassword::prompt_password("Once more: ").context("the password")? != password {
            bail!("the two passwords differ");
        }
        password
    };
    derive(password, config.iterations).await
}

/// Derives what the store keeps from a password, off the reactor.
pub(crate) async fn derive(password: String, iterations: u32) -> anyhow::Result<Credentials> {
    Ok(Hashing::new(1, iterations).derive(password).await?)
}

/// Creates an account with this password.
pub(crate) async fn create(
    store: &Arc<dyn Store>,
    jid: &BareJid,
    password: &str,
    iterations: u32,
) -> anyhow::Result<()> {
    let credentials = derive(password.to_owned(), iterations).await?;
    store.create(jid, credentials).await.map_err(|error| said(error, jid))
}
