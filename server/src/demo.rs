//! `stonechat demo`: something to try within a minute, on loopback only.

use crate::{
    Config, Server,
    serve::{self, Signals},
    users,
};
use anyhow::Context;
use roster_store::{Store, Verb};
use std::{io::Write, path::Path, sync::Arc};
use xmpp_core::BareJid;

const FOLDER: &str = "stonechat-demo";
const SETTINGS: &[&str] = &[
    "domains=['localhost']",
    "data=stonechat-demo",
    "c2s.listen=['127.0.0.1:5222']",
    "c2s.direct_tls=['127.0.0.1:5223']",
    "http.listen=['127.0.0.1:5280']",
];

/// Serves the two accounts and the page until a signal says stop.
pub(crate) async fn run() -> anyhow::Result<()> {
    let config = Config { free_ports: true, chat_page: true, ..Config::with(SETTINGS)? };
    let iterations = config.iterations;
    let mut signals = Signals::new()?;
    let server = Server::start(config).await?;
    let romeo = account(&server, "romeo@localhost", iterations).await?;
    let juliet = account(&server, "juliet@localhost", iterations).await?;
    acquaint(&**server.store(), &romeo.jid, &juliet.jid).await?;
    explain(&server, &[&romeo, &juliet])?;
    serve::announce(&server);
    signals.wait(&server).await;
    server.stop().await;
    Ok(())
}

struct Account {
    jid: BareJid,
    password: String,
}

/// The account, made with a password of its own at the first start. The password is kept beside the database, readable
/// by its owner only: it protects nothing but the demonstration.
async fn account(server: &Server, jid: &str, iterations: u32) -> anyhow::Result<Account> {
    let jid: BareJid = jid.parse().expect("it is written here");
    let file = Path::new(FOLDER).join(format!("{}.password", jid.local().unwrap_or_default()));
    let store: &Arc<dyn Store> = server.store();
    let password = match std::fs::read_to_string(&file) {
        Ok(password) => password.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let password =
                net::random::token().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
            keep(&file, &password).with_context(|| file.display().to_string())?;
            password
        }
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    if !store.exists(&jid).await? {
        users::create(store, &jid, &password, iterations).await?;
    }
    Ok(Account { jid, password })
}

fn keep(file: &Path, password: &String) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{password}")
}

/// The two have each other in their rosters, as if both had asked and agreed.
async fn acquaint(store: &dyn Store, one: &BareJid, other: &BareJid) -> anyhow::Result<()> {
    if !store.roster(one).await?.items.is_empty() {
        return Ok(());
    }
    for (asks, agrees) in [(one, other), (other, one)] {
        let request = format!("<presence type='subscribe' from='{asks}' to='{agrees}'/>");
        store.subscription(Verb::Subscribe, asks, agrees, request.into_bytes()).await?;
        store.subscription(Verb::Subscribed, agrees, asks, Vec::new()).await?;
    }
    Ok(())
}

/// Says what to do next, on standard error: standard output is for programs.
fn explain(server: &Server, accounts: &[&Account]) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "\nStonechat serves on this machine only. Two accounts:\n")?;
    for account in accounts {
        writeln!(out, "    {:<18} {}", account.jid, account.password)?;
    }
    if let Some(http) = server.address("http") {
        writeln!(out, "\nIn a browser, one tab each:  http://{http}/")?;
    }
    if let Some(c2s) = server.address("c2s") {
        writeln!(
            out,
            "With a desktop client:       host {}, port {} (accept its certificate)",
            c2s.ip(),
            c2s.port()
        )?;
    }
    writeln!(out, "Ctrl-C ends it. Everything is kept in ./{FOLDER}\n")
}
