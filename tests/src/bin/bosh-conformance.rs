//! The program `bosh-conformance`: runs the conformance suite for BOSH against any connection manager.

use anyhow::Context;
use clap::Parser;
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};
use tests::bosh::{Account, Lab, Report, Url, rows, run};

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
    users: Vec<Account>,

    /// Run this row only; may be repeated. A number alone means all its rows.
    #[arg(long = "row", value_name = "NUMBER")]
    rows: Vec<String>,

    /// The same manager over http, at a place that does not count as secure, where the endpoint is https://…: for rows 27 and 70.
    #[arg(long, value_name = "URL")]
    plain: Option<Url>,

    /// Print one line a row with tabs between the fields.
    #[arg(long)]
    tabs: bool,

    /// The manager's process: ended with SIGTERM in the last row.
    #[arg(long, value_name = "PID")]
    process: Option<u32>,

    /// The process of the server behind the manager: killed in the last row but one.
    #[arg(long, value_name = "PID")]
    upstream: Option<u32>,

    /// A domain that the manager has served, and serves no more.
    #[arg(long, value_name = "DOMAIN")]
    gone: Option<String>,
}

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
    let wanted = arguments.rows;
    let number = |id: &str| id.trim_end_matches(char::is_alphabetic).to_owned();
    let named =
        |id: &str| wanted.is_empty() || wanted.iter().any(|one| one == id || *one == number(id));
    let chosen: Vec<_> = rows().into_iter().filter(|row| named(row.id)).collect();
    anyhow::ensure!(!chosen.is_empty(), "--row: there is none of this number");
    let lab = arguments.url.lab(arguments.users).map_err(anyhow::Error::msg)?;
    let (process, upstream, gone) = (arguments.process, arguments.upstream, arguments.gone);
    let plain = arguments.plain.map(Url::dial);
    let lab = Lab { plain, process, upstream, gone, ..lab };
    Ok(run(Arc::new(lab), chosen).await)
}
