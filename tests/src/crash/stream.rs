//! A client's stream through any door, from nothing to where it can be bound or resumed.

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use script::{Character, Connection, Lost, Stage};
use server::script::{Bosh, Certificates, Session, Socket, Tcp, WebSocket, Wire};
use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// For client streams.
    pub tcp: SocketAddr,
    /// For BOSH and WebSocket.
    pub http: SocketAddr,
}

/// The server ended the stream by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// In order.
    Closed,
    /// With an error of this condition (RFC 6120 4.9.3).
    Error(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the stream is closed"),
            Self::Error(condition) => write!(f, "the stream ends with {condition}"),
        }
    }
}

impl std::error::Error for Ended {}

/// Whether a broken network alone explains why a stream ended or did not come about.
pub fn is_lost(error: &anyhow::Error) -> bool {
    if let Some(ended) = error.downcast_ref::<Ended>() {
        let conditions = ["conflict", "connection-timeout", "remote-connection-failed"];
        return match ended {
            Ended::Closed => true,
            Ended::Error(condition) => conditions.contains(&condition.as_str()),
        };
    }
    match error.downcast_ref::<Lost>() {
        Some(Lost::Silence) => true,
        // XEP-0124 17.2: the manager says why.
        Some(Lost::Broken(why)) => match why.strip_prefix("terminated: ") {
            Some(condition) => ["item-not-found", "remote-connection-failed"].contains(&condition),
            None => true,
        },
        None => false,
    }
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
    /// Connects and authenticates; gives the stream and its features, with which it can be bound or resumed. Each step of the
    /// server's may take as long as `patience`.
    ///
    /// # Errors
    /// There is nobody, or the login is refused.
    pub async fn open(
        door: Door,
        places: &Places,
        account: &BareJid,
        password: &str,
        patience: Duration,
    ) -> anyhow::Result<(Self, Node)> {
        let mut stream = Self::connect(door, places, account, patience).await?;
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

    async fn connect(
        door: Door,
        places: &Places,
        account: &BareJid,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let certificates = Certificates::any();
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
                let mut tcp = Tcp { address: places.tcp.to_string(), certificates, patience };
                Self::Tcp(Box::new(tcp.connect(&nobody).await?))
            }
            Door::Bosh => {
                let service =
                    format!("http://{}/http-bind", places.http).parse().map_err(broken)?;
                let mut bosh = Bosh { service, certificates, patience };
                Self::Bosh(Box::new(bosh.connect(&nobody).await?))
            }
            Door::WebSocket => {
                let endpoint =
                    format!("ws://{}/xmpp-websocket", places.http).parse().map_err(broken)?;
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

    /// Binds this resource; gives the address.
    ///
    /// # Errors
    /// The connection is gone, or the server has none.
    pub async fn bind(&mut self, resource: &str) -> anyhow::Result<String> {
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        );
        self.send(bind).await?;
        let bound = self.expect(ns::CLIENT, "iq").await?;
        let jid = bound.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid"));
        Ok(jid.context("no address is bound")?.text.clone())
    }

    /// Ends the stream in order; what comes meanwhile is not looked at.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn leave(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Tcp(stream) => stream.close().await?,
            Self::Bosh(stream) => stream.close().await?,
            Self::WebSocket(stream) => stream.close().await?,
        }
        Ok(())
    }

    /// An element that has arrived and was not received, once nothing more is to come.
    pub fn arrived(&mut self) -> Option<Node> {
        match self {
            Self::Bosh(stream) => stream.arrived(),
            Self::Tcp(_) | Self::WebSocket(_) => None,
        }
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
        let node = node.ok_or(Ended::Closed)?;
        if node.is(ns::STREAMS, "error") {
            let condition = node.children.first().map(|one| one.name.clone());
            return Err(Ended::Error(condition.unwrap_or_default()).into());
        }
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
