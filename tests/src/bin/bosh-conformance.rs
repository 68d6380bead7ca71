//! The program `bosh-conformance`: runs the conformance suite for BOSH against any connection manager.

use anyhow::Context;
use clap::Parser;
use std::{
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
};
use tests::bosh::{Account, Lab, Report, http, rows, run};
use xmpp_core::Jid;

/// Runs every point of XEP-0124 and XEP-0206 against a BOSH connection manager and prints a table.
///
/// Needs two accounts of one domain that nobody else uses at the same time. Ends with status 1 if a MUST, or a feature
/// that the manager offers, fails.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The endpoint: http://HOST:PORT/PATH or https://…
    url: Url,

    /// An account, as in romeo@example.org:secret; twice.
    #[arg(long = "user", value_name = "JID:PASSWORD", required = true)]
    users: Vec<User>,

    /// Run this row only; may be repeated. A number alone means all its rows.
    #[arg(long = "row", value_name = "NUMBER")]
    rows: Vec<String>,

    /// Print one line a row with tabs between the fields.
    #[arg(long)]
    tabs: bool,

    /// The manager's process: ended with SIGTERM in the last row.
    #[arg(long, value_name = "PID")]
    process: Option<u32>,

    /// The process of the server behind the manager: killed in the last row but one.
    #[arg(long, value_name = "PID")]
    upstream: Option<u32>,
}

#[derive(Clone)]
struct Url {
    address: String,
    host: String,
    path: String,
    https: bool,
}

#[derive(Clone)]
struct User(Account);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let tabs = arguments.tabs;
    let outcome = measure(arguments).and_then(|report| {
        let table = if tabs { report.lines() } else { report.to_string() };
        io::stdout().write_all(table.as_bytes()).context("standard output")?;
        Ok(report.is_conformant())
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed = writeln!(io::stderr(), "bosh-conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn measure(arguments: Arguments) -> anyhow::Result<Report> {
    let users: [User; 2] = arguments
        .users
        .try_into()
        .map_err(|users: Vec<_>| anyhow::anyhow!("two --user are needed, not {}", users.len()))?;
    let accounts = users.map(|User(account)| account);
    anyhow::ensure!(accounts[0].domain == accounts[1].domain, "--user: of one domain, please");
    let wanted = arguments.rows;
    let number = |id: &str| id.trim_end_matches(char::is_alphabetic).to_owned();
    let named =
        |id: &str| wanted.is_empty() || wanted.iter().any(|one| one == id || *one == number(id));
    let chosen: Vec<_> = rows().into_iter().filter(|row| named(row.id)).collect();
    anyhow::ensure!(!chosen.is_empty(), "--row: there is none of this number");
    let Url { address, host, path, https } = arguments.url;
    let lab = Lab {
        dial: http(address, https),
        host,
        path,
        accounts,
        process: arguments.process,
        upstream: arguments.upstream,
    };
    Ok(run(Arc::new(lab), chosen).await)
}

impl FromStr for Url {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("has to be http://… or https://…")?;
        let (https, port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err("has to be http://… or https://…".into()),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if with_port { host.to_owned() } else { format!("{host}:{port}") };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, host: host.to_owned(), path: path.to_owned(), https })
    }
}

impl FromStr for User {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (jid, password) = text.split_once(':').ok_or("has to be JID:PASSWORD")?;
        let jid: Jid = jid.parse().map_err(|error| format!("{error}"))?;
        let user = jid.local().ok_or("has to have a local part")?.to_owned();
        let domain = jid.domain().to_owned();
        Ok(Self(Account { user, domain, password: password.to_owned() }))
    }
}
