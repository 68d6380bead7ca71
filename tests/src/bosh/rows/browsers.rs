//! The other syntaxes (XEP-0252, XEP-0025), and what browsers and the open network need.

use super::row;
use crate::bosh::{
    Lab, Outcome, PATIENCE, Row, Stop,
    wire::{Answer, Connection},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

pub(super) const ROWS: &[Row] = &[
    row!("78", "XEP-0252 3", May, "script syntax: _BOSH_(\"…\") as text/javascript", script),
    row!("79", "XEP-0025 4", May, "HTTP polling: a session id in a cookie", polling),
    row!("80a", "Fetch", Browsers, "OPTIONS is answered for scripts of other origins", preflight),
    row!(
        "80b",
        "Fetch",
        Browsers,
        "Access-Control-Allow-Origin on every response, errors too",
        every_response
    ),
    row!(
        "80c",
        "Fetch",
        Browsers,
        "any origin, or the credentials of one: never both",
        no_credentials
    ),
    row!(
        "81",
        "Fetch",
        Browsers,
        "text/plain requests, which need no leave beforehand",
        plain_text
    ),
    row!("82", "RFC 9111 5.2", Browsers, "Cache-Control: no-store on every response", no_store),
    row!("83", "RFC 9110 9.3", Browsers, "GET is answered with a page", page),
    row!("84a", "RFC 9110 15.5", Browsers, "a body of 64 MiB is refused", huge_body),
    row!(
        "84b",
        "RFC 9110 15.5",
        Browsers,
        "half a request is not waited for longer than 90 s",
        slow_body
    ),
];

const ORIGIN: &str = "Origin: https://chat.example\r\n";

async fn script(lab: Arc<Lab>) -> Outcome {
    let body = lab.ask().body();
    let query: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = plain(&lab, &format!("GET {}?{query}", lab.path), "").await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if !text.contains("_BOSH_") {
        return Err(Stop::not_offered("GET opens no session"));
    }
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("text/javascript"), "Content-Type: {kind}");
    let fine = text.starts_with("_BOSH_(\"") && text.ends_with("\")") && !text.contains('\n');
    ensure!(fine, "{}", answer.show());
    Ok(())
}

async fn polling(lab: Arc<Lab>) -> Outcome {
    let domain = &lab.accounts[0].domain;
    let open = format!(
        "0,<stream:stream to='{domain}' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    );
    let answer = lab.ask_with("Content-Type: application/x-www-form-urlencoded\r\n", &open).await?;
    match answer.header("set-cookie") {
        Some(cookie) if cookie.starts_with("ID=") => {
            ensure!(answer.status == 200, "{}", answer.show());
            Ok(())
        }
        _ => Err(Stop::not_offered("no session id in a cookie")),
    }
}

/// A request without a body.
async fn plain(lab: &Arc<Lab>, line: &str, headers: &str) -> Result<Answer, Stop> {
    let mut connection = lab.connect().await?;
    let host = &lab.host;
    connection.write(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")).await?;
    connection.answer(PATIENCE).await
}

async fn asked(lab: &Arc<Lab>) -> Result<Answer, Stop> {
    let headers =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    plain(lab, &format!("OPTIONS {}", lab.path), &format!("{ORIGIN}{headers}")).await
}

fn allows(answer: &Answer) -> Outcome {
    let allowed = answer.header("access-control-allow-origin").unwrap_or("none");
    ensure!(
        matches!(allowed, "*" | "https://chat.example"),
        "allowed is {allowed}: {}",
        answer.show()
    );
    Ok(())
}

async fn preflight(lab: Arc<Lab>) -> Outcome {
    let answer = asked(&lab).await?;
    ensure!(matches!(answer.status, 200 | 204), "{}", answer.show());
    allows(&answer)?;
    let methods = answer.header("access-control-allow-methods").unwrap_or_default();
    ensure!(methods.contains("POST") || methods == "*", "methods allowed: {methods}");
    let headers = answer.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    ensure!(headers.contains("content-type") || headers == "*", "headers allowed: {headers}");
    Ok(())
}

/// A creation, a response with a payload, an end, an error of a session and one of none.
async fn all_kinds(lab: &Arc<Lab>) -> Result<Vec<Answer>, Stop> {
    let mut answers = vec![lab.ask_with(ORIGIN, &lab.ask().body()).await?];
    let mut session = lab.romeo().await?;
    let payload = session.to_self("header");
    let body = session.next("", &payload);
    answers.push(lab.ask_with(ORIGIN, &body).await?);
    let body = session.next("type='terminate'", "");
    answers.push(lab.ask_with(ORIGIN, &body).await?);
    session.sid = net::random::token();
    let body = session.next("", "");
    answers.push(lab.ask_with(ORIGIN, &body).await?);
    answers.push(lab.ask_with(ORIGIN, "<body").await?);
    Ok(answers)
}

async fn every_response(lab: Arc<Lab>) -> Outcome {
    all_kinds(&lab).await?.iter().try_for_each(allows)
}

async fn no_credentials(lab: Arc<Lab>) -> Outcome {
    for answer in [asked(&lab).await?, lab.ask_with(ORIGIN, &lab.ask().body()).await?] {
        let any = matches!(
            answer.header("access-control-allow-origin"),
            Some("*" | "https://chat.example")
        );
        let credentials = answer.header("access-control-allow-credentials") == Some("true");
        ensure!(!(any && credentials), "any origin, with credentials");
    }
    Ok(())
}

async fn plain_text(lab: Arc<Lab>) -> Outcome {
    let ask = lab.ask();
    let headers = format!("{ORIGIN}Content-Type: text/plain;charset=UTF-8\r\n");
    let created = lab.ask_with(&headers, &ask.body()).await?;
    allows(&created)?;
    ask.opened(created).map(drop)
}

async fn no_store(lab: Arc<Lab>) -> Outcome {
    for answer in all_kinds(&lab).await? {
        let control = answer.header("cache-control").unwrap_or("none");
        ensure!(control.contains("no-store"), "Cache-Control: {control}: {}", answer.show());
    }
    Ok(())
}

async fn page(lab: Arc<Lab>) -> Outcome {
    let answer = plain(&lab, &format!("GET {}", lab.path), "").await?;
    ensure!(answer.status == 200 && !answer.body.is_empty(), "{}", answer.show());
    Ok(())
}

/// The head of a POST that announces this length.
async fn begin(lab: &Arc<Lab>, length: usize) -> Result<Connection, Stop> {
    let mut connection = lab.connect().await?;
    let (path, host) = (&lab.path, &lab.host);
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    connection.write(head).await?;
    Ok(connection)
}

async fn huge_body(lab: Arc<Lab>) -> Outcome {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 64;
    let ask = lab.ask().body();
    let filler = format!("{}<!--", ask.replace("/>", ">"));
    let mut connection = begin(&lab, PIECE * PIECES).await?;
    let piece = vec![b' '; PIECE];
    let sending = async {
        connection.write(&filler).await?;
        connection.write(&piece[filler.len()..]).await?;
        for _ in 1..PIECES {
            connection.write(&piece).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever hangs up, or reads no further, has refused it.
    if !matches!(timeout(PATIENCE, sending).await, Ok(Ok(()))) {
        return Ok(());
    }
    match connection.next(PATIENCE).await {
        Ok(Some(answer)) => {
            let refused = answer.status >= 400 || answer.condition() == Some("policy-violation");
            ensure!(refused, "{}", answer.show());
            Ok(())
        }
        Ok(None) => Err(Stop::fail("64 MiB are taken, and not answered")),
        Err(_) => Ok(()),
    }
}

async fn slow_body(lab: Arc<Lab>) -> Outcome {
    const LIMIT: Duration = Duration::from_secs(90);
    let mut connection = begin(&lab, 1_000).await?;
    connection.write("<body").await?;
    match connection.next(LIMIT).await {
        Ok(Some(answer)) => {
            ensure!(answer.status == 408 || answer.is_terminate(), "{}", answer.show());
            Ok(())
        }
        Ok(None) => Err(Stop::fail("still waiting")),
        Err(_) => Ok(()),
    }
}
