//! HTTP beneath it all (XEP-0124 5, 18.1).

use super::row;
use crate::bosh::{
    AT_ONCE_TIME, Lab, Outcome, PATIENCE, Row, Stop,
    client::{Session, is_message},
    wire::{Answer, Connection},
};
use flate2::{
    Compression,
    read::{DeflateDecoder, GzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use std::{
    io::{self, Read, Write},
    sync::Arc,
};

pub(super) const ROWS: &[Row] = &[
    row!("1a", "XEP-0124 5", Must, "HTTP/1.0, a new connection for each request", http_1_0),
    row!(
        "1b",
        "XEP-0124 5",
        Must,
        "several requests on one connection, or a Connection: close",
        one_connection
    ),
    row!(
        "2a",
        "XEP-0124 5",
        Should,
        "Content-Length on every response, never chunked",
        content_length
    ),
    row!("2b", "XEP-0124 18.1", Should, "pipelined requests are answered in order", pipelined),
    row!(
        "2c",
        "XEP-0124 18.1",
        Browsers,
        "a pipelined request gives the held one before it back",
        pipelined_at_once
    ),
    row!("3a", "XEP-0124 5", Should, "the Content-Type of requests is ignored", any_content_type),
    row!("3b", "XEP-0124 5", Should, "unknown headers are ignored", unknown_headers),
    row!(
        "4a",
        "XEP-0124 5",
        Must,
        "Content-Type text/xml; charset=utf-8 unless asked otherwise",
        default_content
    ),
    row!(
        "4b",
        "XEP-0124 7.1",
        Must,
        "Content-Type as 'content' asks, on every response",
        asked_content
    ),
    row!("4c", "XEP-0124 7.1", Must, "'content' puts no header into the response", no_injection),
    row!("4d", "XEP-0124 7.1", Browsers, "nosniff, and a policy that runs nothing", nothing_runs),
    row!(
        "5a",
        "XEP-0124 5",
        Must,
        "no compressed response without Accept-Encoding",
        never_compressed
    ),
    row!("5b", "XEP-0124 5", May, "compressed responses where Accept-Encoding asks", compressed),
    row!(
        "6",
        "XEP-0124 7.2",
        May,
        "compressed requests in the encodings of 'accept'",
        compressed_requests
    ),
];

/// Longer than what is not worth compressing.
const LONG: usize = 8_192;

async fn http_1_0(lab: Arc<Lab>) -> Outcome {
    let request = |body: &str| {
        format!(
            "POST {} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
            lab.path,
            lab.host,
            body.len()
        )
    };
    let ask = lab.ask();
    let mut first = lab.connect().await?;
    first.write(request(&ask.body())).await?;
    let created = first.answer(PATIENCE).await?;
    ensure!(!created.chunked, "chunks, which HTTP/1.0 does not know");
    let mut session = ask.opened(created)?;
    let mut second = lab.connect().await?;
    second.write(request(&session.next("type='terminate'", ""))).await?;
    let ended = second.answer(PATIENCE).await?;
    ensure!(ended.status == 200, "{}", ended.show());
    ensure!(
        second.closes(PATIENCE).await,
        "the connection stays open, which HTTP/1.0 does not expect"
    );
    Ok(())
}

async fn one_connection(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let mut connection = lab.connect().await?;
    for id in ["one", "two", "three"] {
        let payload = session.to_self(id);
        let body = session.next("", &payload);
        connection.write(lab.request("", &body)).await?;
        let answer = connection.answer(PATIENCE).await?;
        answer.alive()?;
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
    }
    Ok(())
}

async fn content_length(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.echo("length").await?;
    let mut answers: Vec<Answer> = session.log.iter().map(|(_, answer)| answer.clone()).collect();
    answers.push(session.turn("type='terminate'", "").await?);
    answers.push(lab.ask().set("rid", "none").answer().await?);
    for answer in answers {
        ensure!(!answer.chunked, "chunked: {}", answer.show());
        ensure!(answer.header("content-length").is_some(), "no Content-Length: {}", answer.show());
    }
    Ok(())
}

/// An empty request and one with a message to oneself, written at once on one connection.
async fn pipeline(lab: &Arc<Lab>, wait: u64) -> Result<(Session, Connection), Stop> {
    let mut session = lab.ask().set("wait", wait).login(0).await?;
    let message = session.to_self("pipelined");
    let (first, second) = (session.next("", ""), session.next("", &message));
    let mut connection = lab.connect().await?;
    let both = lab.request("", &first) + &lab.request("", &second);
    connection.write(both).await?;
    Ok((session, connection))
}

async fn pipelined(lab: Arc<Lab>) -> Outcome {
    let (_session, mut connection) = pipeline(&lab, 5).await?;
    connection.answer(PATIENCE).await?.alive()?;
    let second = connection.answer(PATIENCE).await?;
    let arrived = second.alive()?.payloads().iter().any(|node| is_message(node, "pipelined"));
    ensure!(arrived, "the second request's message is not in its response: {}", second.show());
    Ok(())
}

async fn pipelined_at_once(lab: Arc<Lab>) -> Outcome {
    let (_session, mut connection) = pipeline(&lab, 12).await?;
    connection.answer(AT_ONCE_TIME).await?.alive()?;
    Ok(())
}

async fn any_content_type(lab: Arc<Lab>) -> Outcome {
    for kind in ["text/plain", "application/x-www-form-urlencoded", "image/gif", ""] {
        let ask = lab.ask();
        let header =
            if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let created = lab.ask_with(&header, &ask.body()).await?;
        ask.opened(created)
            .map_err(|_| Stop::Fail(format!("refused with Content-Type: {kind}")))?;
    }
    Ok(())
}

async fn unknown_headers(lab: Arc<Lab>) -> Outcome {
    let ask = lab.ask();
    let headers = "X-Anything: at all\r\nDNT: 1\r\nCookie: ID=0:0\r\n";
    let created = lab.ask_with(headers, &ask.body()).await?;
    ask.opened(created).map(drop)
}

async fn default_content(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.echo("type").await?;
    for (_, answer) in &session.log {
        let kind = answer.header("content-type").unwrap_or("none").to_ascii_lowercase();
        let usual = kind.replace([' ', '"'], "") == "text/xml;charset=utf-8";
        ensure!(usual, "Content-Type: {kind}");
    }
    Ok(())
}

async fn asked_content(lab: Arc<Lab>) -> Outcome {
    let wanted = "text/html; charset=utf-8";
    let mut session = lab.ask().set("content", wanted).login(0).await?;
    session.echo("type").await?;
    for (_, answer) in &session.log {
        let kind = answer.header("content-type").unwrap_or("none");
        ensure!(kind == wanted, "Content-Type: {kind}");
    }
    Ok(())
}

async fn no_injection(lab: Arc<Lab>) -> Outcome {
    for value in ["text/xml&#13;&#10;X-Injected: yes", "text/xml&#10;X-Injected: yes"] {
        let answer = lab.ask().set("content", value).answer().await?;
        ensure!(answer.header("x-injected").is_none(), "a header was injected");
    }
    Ok(())
}

async fn nothing_runs(lab: Arc<Lab>) -> Outcome {
    let answer = lab.ask().set("content", "text/html; charset=utf-8").answer().await?;
    let sniff = answer.header("x-content-type-options").unwrap_or_default();
    ensure!(sniff.eq_ignore_ascii_case("nosniff"), "no X-Content-Type-Options: nosniff");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    ensure!(
        policy.contains("default-src 'none'"),
        "no Content-Security-Policy: default-src 'none'"
    );
    Ok(())
}

/// The answer to a long message to oneself, with these header lines in the request.
async fn long_echo(lab: &Arc<Lab>, headers: &str) -> Result<Answer, Stop> {
    let mut session = lab.romeo().await?;
    let message =
        session.to_self("long").replace("<body>", &format!("<body>{}", "la ".repeat(LONG / 3)));
    let body = session.next("", &message);
    let mut answer = lab.ask_with(headers, &body).await?;
    // Some managers answer at once and deliver with the next request.
    if answer.body.len() < LONG && answer.header("content-encoding").is_none() {
        let body = session.next("", "");
        answer = lab.ask_with(headers, &body).await?;
    }
    Ok(answer)
}

async fn never_compressed(lab: Arc<Lab>) -> Outcome {
    let answer = long_echo(&lab, "").await?;
    let coding = answer.header("content-encoding").unwrap_or("identity");
    ensure!(coding == "identity", "Content-Encoding: {coding}");
    Ok(())
}

async fn compressed(lab: Arc<Lab>) -> Outcome {
    let answer = long_echo(&lab, "Accept-Encoding: gzip, deflate\r\n").await?;
    let inflated = match answer.header("content-encoding") {
        None | Some("identity") => {
            return Err(Stop::not_offered("a long response is not compressed"));
        }
        Some("gzip") => read_all(GzDecoder::new(&answer.body[..])),
        Some("deflate") => read_all(ZlibDecoder::new(&answer.body[..]))
            .or_else(|_| read_all(DeflateDecoder::new(&answer.body[..]))),
        Some(other) => {
            return Err(Stop::Fail(format!("Content-Encoding: {other} was not asked for")));
        }
    };
    let inflated =
        inflated.map_err(|error| Stop::Fail(format!("it cannot be inflated: {error}")))?;
    let plain = answer.with_body(inflated);
    let arrived = plain.alive()?.payloads().iter().any(|node| is_message(node, "long"));
    ensure!(arrived, "the message is not in it: {}", plain.show());
    Ok(())
}

fn read_all(mut source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn compressed_requests(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let Some(accept) = session.created.attr("accept").map(str::to_owned) else {
        return Err(Stop::not_offered("no 'accept' in the creation response"));
    };
    for (place, coding) in accept.split([',', ' ']).filter(|coding| !coding.is_empty()).enumerate()
    {
        let id = format!("compressed-{place}");
        let body = session.to_self(&id);
        let body = session.next("", &body).into_bytes();
        let packed = match coding {
            "gzip" => {
                pack(GzEncoder::new(Vec::new(), Compression::default()), &body, GzEncoder::finish)
            }
            "deflate" => pack(
                ZlibEncoder::new(Vec::new(), Compression::default()),
                &body,
                ZlibEncoder::finish,
            ),
            other => {
                return Err(Stop::Fail(format!("the suite does not know the encoding {other}")));
            }
        }?;
        let mut connection = lab.connect().await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            lab.path,
            lab.host,
            packed.len()
        );
        connection.write([head.as_bytes(), &packed].concat()).await?;
        session.ids_until([connection], &id).await?;
    }
    Ok(())
}

fn pack<W: Write>(
    mut into: W,
    bytes: &[u8],
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    into.write_all(bytes)?;
    finish(into)
}
