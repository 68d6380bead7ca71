//! A client's stream through any door, from nothing to where it can be bound or resumed.

use anyhow::{Context, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use script::{Character, Connection, Stage};
use server::script::{Bosh, Certificates, Session, Socket, Tcp, WebSocket, Wire};
use std::{str::FromStr, time::Duration};
use xmpp_core::{
    BareJid, ns,
    sasl::{MechanismName, client::Client},
    xml::Node,
};

/// How long any step of the server's may take before it counts as failed. A client that hears nothing for so long gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A way into the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// TCP.
    Tcp,
    /// BOSH (XEP-0124).
    Bosh,
    /// WebSocket (RFC 7395).
    WebSocket,
}

impl FromStr for Door {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "tcp" => Ok(Self::Tcp),
            "bosh" => Ok(Self::Bosh),
            "websocket" => Ok(Self::WebSocket),
            _ => Err("is not tcp, bosh or websocket"),
        }
    }
}

/// Where a server's doors are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `HOST:PORT` of client streams.
    pub tcp: String,
    /// The URL of BOSH.
    pub bosh: String,
    /// The URL of WebSocket.
    pub websocket: String,
}

/// A stream.
pub enum Stream {
    /// Over TCP.
    Tcp(Box<Wire>),
    /// In a BOSH session.
    Bosh(Box<Session>),
    /// Over WebSocket.
    WebSocket(Box<Socket>),
}

impl Stream {
    /// Connects and authenticates; gives the stream and its features, with which it can be bound or resumed.
    ///
    /// # Errors
    /// There is nobody, or the login is refused.
    pub async fn open(
        door: Door,
        places: &Places,
        account: &BareJid,
        password: &str,
    ) -> anyhow::Result<(Self, Node)> {
        let mut stream = Self::connect(door, places, account).await?;
        let domain = account.domain();
        stream.header(domain).await?;
        stream.expect(ns::STREAMS, "features").await?;
        let local = account.local().context("the server's own address has no password")?;
        let nonce = net::random::token();
        let mut sasl = Client::new(MechanismName::ScramSha1, local, password, &nonce)?;
        let first = BASE64_STANDARD.encode(sasl.first());
        stream
            .send(format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'>{first}</auth>", ns::SASL))
            .await?;
        let challenge = stream.expect(ns::SASL, "challenge").await?;
        let response =
            BASE64_STANDARD.encode(sasl.respond(&BASE64_STANDARD.decode(challenge.text)?)?);
        stream.send(format!("<response xmlns='{}'>{response}</response>", ns::SASL)).await?;
        let success = stream.expect(ns::SASL, "success").await?;
        sasl.verify(&BASE64_STANDARD.decode(success.text)?)?;
        stream.header(domain).await?;
        let features = stream.expect(ns::STREAMS, "features").await?;
        Ok((stream, features))
    }

    async fn connect(door: Door, places: &Places, account: &BareJid) -> anyhow::Result<Self> {
        let (certificates, patience) = (Certificates::any(), PATIENCE);
        let nobody = Character {
            name: String::new(),
            jid: account.clone(),
            password: String::new(),
            resource: None,
            connect_host: None,
            connect_port: None,
        };
        let broken = |error: String| anyhow::anyhow!(error);
        Ok(match door {
            Door::Tcp => {
                let mut tcp = Tcp { address: places.tcp.clone(), certificates, patience };
                Self::Tcp(Box::new(tcp.connect(&nobody).await?))
            }
            Door::Bosh => {
                let service = places.bosh.parse().map_err(broken)?;
                let mut bosh = Bosh { service, certificates, patience };
                Self::Bosh(Box::new(bosh.connect(&nobody).await?))
            }
            Door::WebSocket => {
                let endpoint = places.websocket.parse().map_err(broken)?;
                let mut websocket = WebSocket { endpoint, certificates, patience };
                Self::WebSocket(Box::new(websocket.connect(&nobody).await?))
            }
        })
    }

    async fn header(&mut self, domain: &str) -> anyhow::Result<()> {
        match self {
            Self::Tcp(stream) => stream.open(domain).await?,
            Self::Bosh(stream) => stream.open(domain).await?,
            Self::WebSocket(stream) => stream.open(domain).await?,
        }
        Ok(())
    }

    /// Sends elements, in one piece.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, elements: impl Into<Bytes>) -> anyhow::Result<()> {
        let elements = elements.into();
        match self {
            Self::Tcp(stream) => stream.send(elements).await?,
            Self::Bosh(stream) => stream.send(elements).await?,
            Self::WebSocket(stream) => stream.send(elements).await?,
        }
        Ok(())
    }

    /// The next element. Dropped before its end it has taken nothing.
    ///
    /// # Errors
    /// The connection is gone, or the server has closed the stream.
    pub async fn receive(&mut self) -> anyhow::Result<Node> {
        let node = match self {
            Self::Tcp(stream) => stream.receive().await?,
            Self::Bosh(stream) => stream.receive().await?,
            Self::WebSocket(stream) => stream.receive().await?,
        };
        let node = node.context("the stream is closed")?;
        ensure!(!node.is(ns::STREAMS, "error"), "the stream ends with an error: {node:?}");
        Ok(node)
    }

    /// The next element, which must be this one.
    ///
    /// # Errors
    /// The connection is gone, or it is another one.
    pub async fn expect(&mut self, ns: &str, name: &str) -> anyhow::Result<Node> {
        let node = self.receive().await?;
        if !node.is(ns, name) {
            bail!("<{}> instead of <{name}>: {node:?}", node.name);
        }
        Ok(node)
    }
}
