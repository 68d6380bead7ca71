//! XMPP over BOSH (XEP-0206), and secrets (XEP-0124 19).

use super::row;
use crate::bosh::{
    Lab, Outcome, PATIENCE, Row, Stop,
    client::{Session, is_message, message, settle},
    wire::Connection,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use xmpp_core::ns;

pub(super) const ROWS: &[Row] = &[
    row!("69", "XEP-0124 19.3", Must, "sids are long, and none comes twice", sids),
    row!(
        "70",
        "XEP-0124 19.1",
        Should,
        "a session begun over https is not served over http",
        secure_session
    ),
    row!("71a", "XEP-0206 4", Should, "xmpp:version in an answer", version),
    row!("71b", "XEP-0206 4", Should, "<stream:features/> as soon as they are there", features),
    row!("72", "XEP-0206 4", Must, "xmpp:restartlogic='true'", restart_logic),
    row!(
        "73a",
        "XEP-0206 5",
        Must,
        "xmpp:restart='true' begins a new stream, its features are forwarded",
        restart_true
    ),
    row!("73b", "XEP-0206 5", Must, "xmpp:restart='1' is the same boolean", restart_1),
    row!("73c", "XEP-0206 5", Should, "a stanza in a restart is ignored", restart_payload),
    row!(
        "74a",
        "XEP-0206 4",
        Browsers,
        "no STARTTLS, no stream compression, no channel binding offered",
        no_tls
    ),
    row!(
        "74b",
        "XEP-0206 2",
        Should,
        "stanzas in the namespace of the <body/> are taken for jabber:client",
        inherited
    ),
    row!(
        "75",
        "XEP-0206 6",
        Must,
        "a stream error: remote-stream-error and the whole <stream:error/>",
        stream_error
    ),
    row!(
        "76a",
        "XEP-0124 10",
        Should,
        "a dead session's iq is answered with service-unavailable",
        dead_iq
    ),
    row!(
        "76b",
        "XEP-0124 10",
        Should,
        "a dead session's message is kept for the next one, or comes back",
        dead_message
    ),
    row!(
        "76c",
        "XEP-0206 7",
        Browsers,
        "so is one in a response that was sent, and never read",
        unread_answer
    ),
    row!(
        "77",
        "XEP-0206 5",
        Must,
        "SASL EXTERNAL: 'from' of the restart against the certificate",
        external
    ),
];

async fn sids(lab: Arc<Lab>) -> Outcome {
    let mut sids = HashSet::new();
    for _ in 0..8 {
        sids.insert(lab.ask().open().await?.sid.clone());
    }
    ensure!(sids.len() == 8, "a sid came twice");
    let short = sids.iter().find(|sid| sid.len() < 16);
    ensure!(short.is_none(), "sid='{}' can be guessed", short.map_or("", |sid| sid));
    Ok(())
}

async fn secure_session(lab: Arc<Lab>) -> Outcome {
    let Some(plain) = &lab.plain else {
        return Err(Stop::not_measured("needs the same manager over http and https"));
    };
    let mut session = lab.romeo().await?;
    let (over_http, over_https) = (session.to_self("over-http"), session.to_self("over-https"));
    let mut connection = Connection::new(plain().await?);
    // What somebody would send who has heard the sid, or a page that takes the wrong address.
    let body = session.body(session.rid + 1, "", &over_http);
    connection.write(lab.request("", &body)).await?;
    match connection.next(PATIENCE).await {
        Err(Stop::Fail(_)) => {}
        Err(stop) => return Err(stop),
        Ok(None) => return Err(Stop::fail("neither answered nor closed")),
        Ok(Some(answer)) => return Err(Stop::Fail(format!("answered: {}", answer.show()))),
    }
    let body = session.next("", &over_https);
    let connection = lab.post(&body).await?;
    let ids = session.ids_until([connection], "over-https").await?;
    ensure!(!ids.iter().any(|id| id == "over-http"), "what came over http was passed on");
    Ok(())
}

async fn version(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().open().await?;
    session.features().await?;
    let version = session.log.iter().find_map(|(_, answer)| answer.xmpp_attr("version"));
    ensure!(version == Some("1.0"), "xmpp:version is {version:?}");
    Ok(())
}

async fn features(lab: Arc<Lab>) -> Outcome {
    let features = lab.ask().open().await?.features().await?;
    ensure!(features.child(ns::SASL, "mechanisms").is_some(), "{features:?}");
    Ok(())
}

async fn restart_logic(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.ask().open().await?;
    session.features().await?;
    let logic = session.log.iter().find_map(|(_, answer)| answer.xmpp_attr("restartlogic"));
    ensure!(logic == Some("true"), "xmpp:restartlogic is {logic:?}");
    Ok(())
}

async fn restart(lab: &Arc<Lab>, value: &str) -> Outcome {
    let mut session = lab.ask().open().await?;
    let features = session.features().await?;
    session.authenticate(0, &features).await?;
    let features = session.restart(value, "").await?;
    ensure!(features.child(ns::BIND, "bind").is_some(), "{features:?}");
    Ok(())
}

async fn restart_true(lab: Arc<Lab>) -> Outcome {
    restart(&lab, "true").await
}

async fn restart_1(lab: Arc<Lab>) -> Outcome {
    restart(&lab, "1").await
}

async fn restart_payload(lab: Arc<Lab>) -> Outcome {
    let mut juliet = lab.juliet().await?;
    let mut session = lab.ask().open().await?;
    let features = session.features().await?;
    session.authenticate(0, &features).await?;
    session.restart("true", &message(&juliet.jid, "stowaway")).await?;
    session.bind().await?;
    let told = session.send("", &message(&juliet.jid, "mark")).await?;
    let ids = juliet.ids_until([], "mark").await?;
    drop(told);
    ensure!(ids == ["mark"], "the server got {ids:?}");
    Ok(())
}

async fn no_tls(lab: Arc<Lab>) -> Outcome {
    let features = lab.ask().open().await?.features().await?;
    let useless =
        features.children.iter().find(|one| matches!(&*one.name, "starttls" | "compression"));
    ensure!(useless.is_none(), "{useless:?}");
    let mechanisms = features.child(ns::SASL, "mechanisms").map(|list| &list.children[..]);
    let plus = mechanisms.unwrap_or_default().iter().find(|one| one.text.ends_with("-PLUS"));
    ensure!(plus.is_none(), "{plus:?}");
    Ok(())
}

async fn inherited(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    let payload = session.to_self("inherited").replace(" xmlns='jabber:client'", "");
    session.exchange("", &payload, |node| is_message(node, "inherited")).await.map(drop)
}

async fn stream_error(lab: Arc<Lab>) -> Outcome {
    let mut session = lab.romeo().await?;
    // RFC 6120 4.9.3.24: a first-level child that is no stanza.
    let mut pending = session.send("", "<neither xmlns='urn:example:no-stanza'/>").await?;
    let mut answer = pending.next(PATIENCE / 3).await?;
    if answer.is_none() {
        // RFC 6120 7.7.2.2: some servers ignore that, but tell whoever loses the resource to another.
        let mut other = lab.ask().open().await?;
        let features = other.features().await?;
        other.authenticate(0, &features).await?;
        other.restart("true", "").await?;
        let resource = session.jid.rsplit_once('/').map_or("", |(_, resource)| resource);
        other.bind_as(resource).await?;
        answer = pending.next(PATIENCE / 3).await?;
    }
    let answer = answer.ok_or_else(|| Stop::not_measured("the server makes no stream error"))?;
    answer.expect("remote-stream-error")?;
    let error = answer.payload(ns::STREAMS, "error");
    let error =
        error.ok_or_else(|| Stop::Fail(format!("no <stream:error/>: {}", answer.show())))?;
    let condition = error.children.iter().any(|one| one.ns == ns::STREAM_ERRORS);
    ensure!(condition, "no condition in it: {}", answer.show());
    Ok(())
}

/// How long it takes until a session that says nothing any more is dead for certain.
fn dies(session: &Session) -> Result<Duration, Stop> {
    Ok(Duration::from_secs(session.inactivity()? + 8))
}

async fn dead_iq(lab: Arc<Lab>) -> Outcome {
    let (romeo, mut juliet) = (lab.romeo().await?, lab.juliet().await?);
    let time = dies(&romeo)?;
    let iq = format!(
        "<iq xmlns='{}' type='get' id='dead' to='{}'><ping xmlns='{}'/></iq>",
        ns::CLIENT,
        romeo.jid,
        ns::PING
    );
    let end = Instant::now() + time + PATIENCE;
    let mut held = juliet.send("", &iq).await?;
    while let Some(answer) = held.next(end.saturating_duration_since(Instant::now())).await? {
        let found = answer.alive()?.payloads().iter().find(|node| node.attr("id") == Some("dead"));
        if let Some(iq) = found {
            let error = iq.children.iter().find(|one| one.name == "error");
            let condition =
                error.and_then(|one| one.child(ns::STANZA_ERRORS, "service-unavailable"));
            ensure!(iq.attr("type") == Some("error") && condition.is_some(), "{iq:?}");
            return Ok(());
        }
        held = juliet.send("", "").await?;
    }
    Err(Stop::fail("the iq is never answered"))
}

const PRESENCE: &str = "<presence xmlns='jabber:client'/>";

/// A session of this account that gets what is sent to the account. Rows that need one have an account each, or one
/// would take what another waits for.
async fn available(lab: &Arc<Lab>, account: usize) -> Result<Session, Stop> {
    let mut session = lab.ask().login(account).await?;
    session.exchange("", PRESENCE, |node| node.name == "presence").await?;
    // What comes by itself after the first presence is taken first.
    session.echo("online").await?;
    Ok(session)
}

/// Once a session of this account is dead, a message that it did not get has to be there for the next one, or the
/// sender has to know.
async fn survives(
    (mut dead, account): (Session, usize),
    (mut sender, told): (Session, Connection),
    id: &str,
) -> Outcome {
    sleep(dies(&dead)?).await;
    dead.gone().await?;
    let mut next = dead.lab.ask().login(account).await?;
    let back = next.exchange("", PRESENCE, |node| is_message(node, id)).await;
    // So that the next story of this account begins without it.
    next.turn("type='terminate'", "<presence xmlns='jabber:client' type='unavailable'/>").await?;
    if back.is_ok() {
        return Ok(());
    }
    // As good: its sender knows, by the answer to the message itself if that was still held.
    let error = sender.error_to(told, id).await;
    error.map_err(|_| Stop::fail("the message is lost, and nobody told"))
}

async fn dead_message(lab: Arc<Lab>) -> Outcome {
    let id = net::random::token();
    let (romeo, mut juliet) = (available(&lab, 0).await?, lab.juliet().await?);
    let told = juliet.send("", &message(&romeo.jid, &id)).await?;
    survives((romeo, 0), (juliet, told), &id).await
}

async fn unread_answer(lab: Arc<Lab>) -> Outcome {
    let id = net::random::token();
    let (mut juliet, mut romeo) = (available(&lab, 1).await?, lab.romeo().await?);
    let held = juliet.hold("").await?;
    let told = romeo.send("", &message(&juliet.jid, &id)).await?;
    settle().await;
    drop(held);
    survives((juliet, 1), (romeo, told), &id).await
}

async fn external(lab: Arc<Lab>) -> Outcome {
    let features = lab.ask().open().await?.features().await?;
    let mechanisms = features.child(ns::SASL, "mechanisms").map(|list| &list.children[..]);
    match mechanisms.unwrap_or_default().iter().any(|one| one.text == "EXTERNAL") {
        true => Err(Stop::not_measured("needs a certificate that the manager takes")),
        false => Err(Stop::not_offered("no EXTERNAL")),
    }
}
