//! The server under attack, and the bystander.

use crate::{
    case::{MALLORY, NURSE, PASSWORD, Stage},
    stream::Attacker,
};
use script::Incoming;
use server::{Ephemeral, Server};
use std::{net::SocketAddr, time::Duration};
use xmpp_core::{BareJid, Jid, sasl::Credentials};

/// How long anything may take before it counts as not happening. Long, since other tests share the machine; only what
/// fails ever waits for it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server with two accounts, on ports of its own.
pub struct Target {
    pub server: Server,
}

impl Target {
    /// With the defaults, but for these settings.
    pub async fn start(settings: &[&str]) -> Self {
        let base = Ephemeral::new().set("domains=[\"capulet.lit\", \"montague.lit\"]");
        let server = settings.iter().copied().fold(base, Ephemeral::set).start().await.unwrap();
        for jid in [MALLORY, NURSE] {
            let account: BareJid = jid.parse::<Jid>().unwrap().to_bare();
            // One round: a thousand logins are no test of patience.
            let keys = Credentials::derive(PASSWORD, 1, &[[7; 16], [8; 16], [9; 16]]).unwrap();
            server.store().create(&account, keys).await.unwrap();
        }
        Self { server }
    }

    /// Where this kind of listener is.
    pub fn address(&self, kind: &str) -> SocketAddr {
        self.server.address(kind).expect("a listener")
    }
}

/// Somebody with a session of their own, who must not notice anything.
pub struct Bystander {
    attacker: Attacker,
    pings: u32,
}

impl Bystander {
    /// Logs in and is available, so that messages to the account would come here.
    pub async fn enter(target: &Target) -> Self {
        let mut attacker = Attacker::over_tcp(target).await;
        attacker.advance_as(Stage::Bound, NURSE).await.unwrap();
        attacker.write(b"<presence/>").await;
        match attacker.next().await {
            Ok(Some(Incoming::Element(own))) if own.name == "presence" => {}
            other => panic!("no presence of one's own: {other:?}"),
        }
        Self { attacker, pings: 0 }
    }

    /// Pings the server, and reads nothing else than the answer.
    pub async fn ping(&mut self) -> Result<(), String> {
        self.pings += 1;
        let id = format!("well-{}", self.pings);
        let ping = format!("<iq type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.attacker.write(ping.as_bytes()).await;
        match self.attacker.next().await {
            Ok(Some(Incoming::Element(pong)))
                if pong.attr("id") == Some(&id) && pong.attr("type") == Some("result") =>
            {
                Ok(())
            }
            other => Err(format!("the bystander received {other:?}")),
        }
    }
}
