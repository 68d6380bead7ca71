//! What goes over the wire, for people to read.

use crate::{Channel, Character, Connection, Lost, Stage, client::REGISTER, pretty, wire};
use bytes::Bytes;
use xmpp_core::{ns, xml::Node};

/// A stage whose connections tell what they carry. Passwords and what SASL makes of them are left out.
pub struct Logged<S, F> {
    stage: S,
    tell: F,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Sent,
    /// The server.
    Received,
}

/// What stands where a secret was.
const SECRET: &str = "(not shown)";

impl<S, F> Logged<S, F> {
    /// Tells through `tell`: the character's name, who speaks, and the element in lines, or what happened.
    pub fn new(stage: S, tell: F) -> Self {
        Self { stage, tell }
    }
}

impl<S, F> Stage for Logged<S, F>
where
    S: Stage,
    F: FnMut(&str, Direction, &str) + Clone + Send,
{
    type Connection = Told<S::Connection, F>;
    async fn connect(&mut self, character: &Character) -> Result<Self::Connection, Lost> {
        let connection = self.stage.connect(character).await?;
        Ok(Told { connection, name: character.name.clone(), tell: self.tell.clone() })
    }
    fn nonce(&mut self) -> String {
        self.stage.nonce()
    }
}

/// A connection of [`Logged`].
pub struct Told<C, F> {
    connection: C,
    name: String,
    tell: F,
}

impl<C, F: FnMut(&str, Direction, &str)> Told<C, F> {
    fn sent(&mut self, text: &str) {
        (self.tell)(&self.name, Direction::Sent, text);
    }
    fn received(&mut self, text: &str) {
        (self.tell)(&self.name, Direction::Received, text);
    }
}

impl<C, F> Connection for Told<C, F>
where
    C: Connection,
    F: FnMut(&str, Direction, &str) + Send,
{
    fn channel(&self) -> Channel {
        self.connection.channel()
    }
    async fn open(&mut self, domain: &str) -> Result<(), Lost> {
        self.sent(&format!("<stream:stream to='{domain}'>"));
        self.connection.open(domain).await
    }
    async fn send(&mut self, elements: Bytes) -> Result<(), Lost> {
        let parts = wire::standalone(&elements).unwrap_or_default();
        for node in parts.iter().filter_map(|part| Node::parse(part, "").ok()) {
            self.sent(&shown(node));
        }
        self.connection.send(elements).await
    }
    async fn receive(&mut self) -> Result<Option<Node>, Lost> {
        let received = self.connection.receive().await;
        match &received {
            Ok(Some(node)) => self.received(&shown(node.clone())),
            Ok(None) => self.received("</stream:stream>"),
            Err(lost) => self.received(&format!("({lost})")),
        }
        received
    }
    async fn start_tls(&mut self, domain: &str) -> Result<(), Lost> {
        self.sent("(TLS)");
        self.connection.start_tls(domain).await
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.sent("</stream:stream>");
        self.connection.close().await
    }
}

fn shown(mut node: Node) -> String {
    mask(&mut node);
    pretty(&node, 0).trim_end().to_owned()
}

/// The data of SASL, and passwords of XEP-0077.
fn mask(node: &mut Node) {
    let is_secret = match node.ns.as_str() {
        ns::SASL => matches!(node.name.as_str(), "auth" | "challenge" | "response" | "success"),
        REGISTER => node.name == "password",
        _ => false,
    };
    if is_secret && !node.text.is_empty() {
        SECRET.clone_into(&mut node.text);
    }
    node.children.iter_mut().for_each(mask);
}
