//! The creation of a session (XEP-0124 7).

use super::row;
use crate::bosh::{AT_ONCE_TIME, Lab, Outcome, Row, Stop};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use xmpp_core::ns;

pub(super) const ROWS: &[Row] = &[
    row!(
        "12",
        "XEP-0124 7.1",
        Must,
        "a request without sid asks for a session of its own",
        without_sid
    ),
    row!("13a", "XEP-0124 7.2", Must, "'wait' in the answer, not longer than asked", wait),
    row!("13b", "XEP-0124 7.2", Must, "'requests' in the answer, more than 'hold'", requests),
    row!("13c", "XEP-0124 7.2", Must, "'hold' not more than asked", hold),
    row!(
        "14a",
        "XEP-0124 7.2",
        Should,
        "'ver': the lower of both versions, 1.10 above 1.9",
        version
    ),
    row!(
        "14b",
        "XEP-0124 7.2",
        Should,
        "'polling', 'inactivity' and 'hold' in the answer",
        other_terms
    ),
    row!("15", "XEP-0124 7.2", Should, "none of these attributes in a later response", never_again),
    row!("17a", "XEP-0124 7.2", Should, "'maxpause' where pauses are supported", maxpause),
    row!("17b", "XEP-0124 7.2", May, "'charsets': a list of names", charsets),
    row!("17c", "XEP-0124 7.2", May, "'accept': a list of encodings", accept),
    row!("18", "XEP-0124 7.2", Should, "'from': the server's identity, here or later", from),
    row!("19a", "XEP-0124 17.2", Should, "no 'to': improper-addressing", no_to),
    row!("19b", "XEP-0124 17.2", Should, "a domain not served here: host-unknown", unknown_domain),
    row!("19c", "XEP-0124 17.2", Should, "a domain no longer served: host-gone", host_gone),
    row!("20", "XEP-0124 7.1", May, "'route' leads nowhere that is not allowed", route),
    row!(
        "21",
        "XEP-0124 7.1",
        May,
        "'from' and xml:lang reach the server's stream header",
        stream_header
    ),
];

/// What belongs to the creation response alone (XEP-0124 7.2).
pub(super) const TERMS: [&str; 11] = [
    "sid",
    "wait",
    "requests",
    "ver",
    "polling",
    "inactivity",
    "hold",
    "maxpause",
    "accept",
    "charsets",
    "content",
];

async fn without_sid(lab: Arc<Lab>) -> Outcome {
    let ask = lab.ask();
    let (first, second) = (ask.answer().await?, ask.answer().await?);
    let sid = second.alive()?.attr("sid").ok_or_else(|| Stop::fail("no sid"))?;
    ensure!(first.alive()?.attr("sid") != Some(sid), "the same session, asked for twice");
    Ok(())
}

async fn wait(lab: Arc<Lab>) -> Outcome {
    for asked in [7, 60, 100_000] {
        let session = lab.ask().set("wait", asked).open().await?;
        let wait = session.created.number("wait")?.ok_or_else(|| Stop::fail("no wait"))?;
        ensure!(wait <= asked, "wait='{wait}' where {asked} was asked");
    }
    Ok(())
}

async fn requests(lab: Arc<Lab>) -> Outcome {
    for asked in [0, 1, 2] {
        let session = lab.ask().set("hold", asked).open().await?;
        let hold = session.created.number("hold")?.unwrap_or(asked);
        let requests = session.requests(0)?;
        ensure!(requests > hold, "requests='{requests}' with hold='{hold}'");
    }
    Ok(())
}

async fn hold(lab: Arc<Lab>) -> Outcome {
    for asked in [0, 1, 2, 100] {
        let session = lab.ask().set("hold", asked).open().await?;
        let hold = session.created.number("hold")?.unwrap_or(asked);
        ensure!(hold <= asked, "hold='{hold}' where {asked} was asked");
    }
    Ok(())
}

async fn version(lab: Arc<Lab>) -> Outcome {
    let answered = async |asked: &str| -> Result<(u64, u64), Stop> {
        let session = lab.ask().set("ver", asked).open().await?;
        let ver = session.created.attr("ver").ok_or_else(|| Stop::fail("no ver"))?;
        let parts = ver.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parts.ok_or_else(|| Stop::Fail(format!("ver='{ver}' is no version")))
    };
    let own = answered("1.99").await?;
    for asked in [(1, 5), (1, 6), (1, 9), (1, 10), (1, 11)] {
        let lower = own.min(asked);
        let got = answered(&format!("{}.{}", asked.0, asked.1)).await?;
        ensure!(got == lower, "{got:?} to {asked:?}, with {own:?} of its own");
    }
    Ok(())
}

async fn other_terms(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().open().await?;
    for name in ["polling", "inactivity", "hold"] {
        ensure!(session.created.number(name)?.is_some(), "no {name}");
    }
    Ok(())
}

async fn never_again(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    session.echo("terms").await?;
    for (_, answer) in &session.log[1..] {
        let again = TERMS.iter().find(|name| answer.attr(name).is_some());
        ensure!(again.is_none(), "{} again: {}", again.unwrap_or(&""), answer.show());
    }
    Ok(())
}

async fn maxpause(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().open().await?;
    ensure!(session.maxpause()? > 0, "maxpause='0'");
    Ok(())
}

async fn charsets(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().open().await?;
    let list = session.created.attr("charsets").ok_or_else(|| Stop::not_offered("no charsets"))?;
    let fine =
        list.split(' ').all(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
    ensure!(fine, "charsets='{list}'");
    Ok(())
}

async fn accept(lab: Arc<Lab>) -> Outcome {
    let session = lab.ask().open().await?;
    let list = session.created.attr("accept").ok_or_else(|| Stop::not_offered("no accept"))?;
    let token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    ensure!(list.split(',').all(|name| token(name.trim())), "accept='{list}'");
    Ok(())
}

async fn from(lab: Arc<Lab>) -> Outcome {
    let session = lab.romeo().await?;
    let domain = lab.accounts[0].domain.as_str();
    let from = session.log.iter().find_map(|(_, answer)| answer.attr("from"));
    ensure!(from == Some(domain), "from is {from:?}");
    Ok(())
}

async fn no_to(lab: Arc<Lab>) -> Outcome {
    for ask in [lab.ask().without("to"), lab.ask().set("to", "")] {
        let answer = ask.answer().await?;
        if answer.attr("sid").is_some() {
            return Err(Stop::not_offered("a session opens without 'to'"));
        }
        answer.expect("improper-addressing")?;
    }
    Ok(())
}

/// A manager that leaves it to the server forwards what that says (XEP-0124 17.2).
async fn unknown_domain(lab: Arc<Lab>) -> Outcome {
    let answer = lab.ask().set("to", "unknown.invalid").answer().await?;
    let error = answer.payload(ns::STREAMS, "error");
    if error.is_some_and(|error| error.child(ns::STREAM_ERRORS, "host-unknown").is_some()) {
        return answer.expect("remote-stream-error");
    }
    answer.expect("host-unknown")
}

async fn host_gone(lab: Arc<Lab>) -> Outcome {
    let Some(gone) = &lab.gone else {
        return Err(Stop::not_measured("needs a domain that was served once"));
    };
    lab.ask().set("to", gone).answer().await?.expect("host-gone")
}

/// Whoever follows any 'route' can be sent anywhere, for the visitor, from inside the network. A listener of the
/// suite's own sees whether the manager comes.
async fn route(lab: Arc<Lab>) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let asked = lab.ask().set("route", format!("xmpp:127.0.0.1:{port}"));
    let visit = async { timeout(AT_ONCE_TIME, listener.accept()).await.is_ok() };
    let mut answer = lab.post(&asked.body()).await?;
    let visited = visit.await;
    ensure!(!visited, "it connects to wherever the client says");
    let answer = answer.answer(Duration::from_secs(30)).await?;
    let plain = answer.attr("sid").is_some();
    let refused = matches!(
        answer.condition(),
        Some("host-unknown" | "host-gone" | "remote-connection-failed" | "policy-violation")
    );
    ensure!(plain || refused, "{}", answer.show());
    Ok(())
}

async fn stream_header(_: Arc<Lab>) -> Outcome {
    Err(Stop::not_measured("only the server sees its stream header"))
}
