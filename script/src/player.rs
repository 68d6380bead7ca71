//! Plays scripts over connections of any kind.

use crate::{
    Action, Block, Captures, Character, Client, ClientError, Login, Mismatch, Request, Script,
    Verb, matches, pretty,
    template::{Unfilled, Values},
    wire,
};
use bytes::Bytes;
use std::{collections::VecDeque, fmt, future::Future};
use xmpp_core::{Jid, ns, xml::Node};

/// Where a script is played: gives the connections.
pub trait Stage: Send {
    /// What it gives.
    type Connection: Connection;
    /// A fresh connection for this character, no stream opened yet.
    fn connect(
        &mut self,
        character: &Character,
    ) -> impl Future<Output = Result<Self::Connection, Lost>> + Send;
    /// A nonce for one login: random printable text without a comma.
    fn nonce(&mut self) -> String;
}

/// Moves elements between one client and the server.
pub trait Connection: Send {
    /// Whether it is protected without STARTTLS.
    fn is_secure(&self) -> bool;
    /// Opens the stream, or opens it again.
    fn open(&mut self, domain: &str) -> impl Future<Output = Result<(), Lost>> + Send;
    /// Sends elements in one piece, as they stand on a stream whose default namespace is `jabber:client`.
    fn send(&mut self, elements: Bytes) -> impl Future<Output = Result<(), Lost>> + Send;
    /// The next element from the server, `None` where it closed the stream. Stream headers are not given.
    /// [`Lost::Silence`] when none comes within the patience of the stage.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Node>, Lost>> + Send;
    /// Starts TLS.
    fn start_tls(&mut self, domain: &str) -> impl Future<Output = Result<(), Lost>> + Send;
    /// Closes the stream and waits until the server has, too.
    fn close(&mut self) -> impl Future<Output = Result<(), Lost>> + Send;
}

/// Why a connection gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nothing came in time.
    #[error("nothing came in time")]
    Silence,
    /// The connection failed, or what came over it is not what it should be.
    #[error("the connection failed: {0}")]
    Broken(String),
}

/// A stanza that nobody asked for until its client disconnected or the script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Who received it.
    pub character: String,
    /// The stanza.
    pub stanza: Node,
}

/// The action at which a script failed. Displayed, it is a report for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the action, counted from 1.
    pub line: usize,
    /// Who acted.
    pub character: String,
    /// Why it failed.
    pub cause: Cause,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The character must connect first.
    NotConnected,
    /// The character must disconnect first.
    Connected,
    /// The server has closed the stream.
    Ended,
    /// The connection gives nothing.
    Lost(Lost),
    /// There is no session.
    Login(ClientError),
    /// The address of a character that has not connected yet.
    NoFullJid(String),
    /// A value that was never captured.
    NotCaptured(String),
    /// With the addresses in it, the element is not XML.
    NotXml(String),
    /// Another stanza was expected.
    Mismatch {
        /// The first difference; none where several stanzas were expected and it is none of them.
        mismatch: Option<Mismatch>,
        /// What was expected; one of these.
        expected: Vec<Node>,
        /// What came.
        received: Box<Node>,
    },
    /// Nothing was expected, and this came.
    Unexpected(Vec<Node>),
}

/// Plays a script to its end.
///
/// `receives: nothing` and the end of a script must know that no more is on its way. No time is waited for that:
/// every connected client sends a ping to its server and takes in what comes until the answer, twice around. After
/// the first round all that was sent is processed, after the second all that follows from it has arrived. Any answer
/// will do, so the server need not know pings.
pub async fn play<S: Stage>(script: &Script, stage: &mut S) -> Result<Vec<Leftover>, Failure> {
    let cast = script.characters.iter().map(|character| Actor {
        character,
        link: None,
        jid: None,
        inbox: VecDeque::new(),
    });
    let mut player = Player {
        stage,
        cast: cast.collect(),
        captures: Captures::default(),
        barriers: 0,
        leftovers: Vec::new(),
    };
    let failed = |action: &Action, cause| Failure {
        line: action.line,
        character: script.characters[action.character].name.clone(),
        cause,
    };
    for action in &script.actions {
        player.perform(action).await.map_err(|cause| failed(action, cause))?;
    }
    if let Some(last) = script.actions.last() {
        player.curtain().await.map_err(|cause| failed(last, cause))?;
    }
    Ok(player.leftovers)
}

struct Player<'a, S: Stage> {
    stage: &'a mut S,
    cast: Vec<Actor<'a, S::Connection>>,
    captures: Captures,
    /// How many barriers were sent: makes their ids unique.
    barriers: u64,
    leftovers: Vec<Leftover>,
}

struct Actor<'a, C> {
    character: &'a Character,
    /// The connection, from `connects` to `disconnects`.
    link: Option<Link<C>>,
    /// The address of the present session, or of the last one.
    jid: Option<Jid>,
    /// Received and not asked for yet.
    inbox: VecDeque<Node>,
}

struct Link<C> {
    connection: C,
    /// The server has closed its stream.
    ended: bool,
}

impl<C> Values for [Actor<'_, C>] {
    fn jid(&self, character: usize) -> &str {
        self[character].character.jid.as_str()
    }
    fn full_jid(&self, character: usize) -> Option<&str> {
        self[character].jid.as_ref().map(Jid::as_str)
    }
}

impl<S: Stage> Player<'_, S> {
    async fn perform(&mut self, action: &Action) -> Result<(), Cause> {
        let actor = action.character;
        match &action.verb {
            Verb::Connects => self.connect(actor).await,
            Verb::Disconnects => self.disconnect(actor).await,
            Verb::Sends(block) => {
                let text = self.fill(block)?;
                let link = self.cast[actor].link()?;
                Ok(link.connection.send(text.into()).await?)
            }
            Verb::Receives(block) => {
                let expected = self.expected(block)?;
                self.expect(actor, expected).await
            }
            Verb::ReceivesNothing => {
                self.cast[actor].link()?;
                self.settle().await?;
                let inbox = std::mem::take(&mut self.cast[actor].inbox);
                if inbox.is_empty() { Ok(()) } else { Err(Cause::Unexpected(inbox.into())) }
            }
        }
    }

    async fn connect(&mut self, actor: usize) -> Result<(), Cause> {
        let character = self.cast[actor].character;
        if self.cast[actor].link.is_some() {
            return Err(Cause::Connected);
        }
        let login = Login {
            account: character.jid.clone(),
            password: character.password.clone(),
            resource: character.resource.clone(),
            nonce: self.stage.nonce(),
        };
        let mut connection = self.stage.connect(character).await?;
        let mut client = Client::new(login, connection.is_secure());
        let jid = loop {
            while let Some(request) = client.poll() {
                match request {
                    Request::Open => connection.open(character.jid.domain()).await?,
                    Request::StartTls => connection.start_tls(character.jid.domain()).await?,
                    Request::Send(elements) => connection.send(elements).await?,
                }
            }
            if let Some(jid) = client.bound() {
                break jid.clone();
            }
            let node = connection.receive().await?.ok_or(Cause::Ended)?;
            client.handle(&node).map_err(Cause::Login)?;
        };
        let actor = &mut self.cast[actor];
        actor.jid = Some(jid);
        actor.link = Some(Link { connection, ended: false });
        Ok(())
    }

    async fn disconnect(&mut self, actor: usize) -> Result<(), Cause> {
        if self.cast[actor].link.is_none() {
            return Ok(()); // scripts say it at their end for everyone, to be sure
        }
        self.settle().await?;
        self.leave(actor).await
    }

    /// The end of the script: whoever is still there leaves.
    async fn curtain(&mut self) -> Result<(), Cause> {
        self.settle().await?;
        for actor in 0..self.cast.len() {
            self.leave(actor).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, actor: usize) -> Result<(), Cause> {
        let actor = &mut self.cast[actor];
        let left = actor
            .inbox
            .drain(..)
            .map(|stanza| Leftover { character: actor.character.name.clone(), stanza });
        self.leftovers.extend(left);
        if let Some(mut link) = actor.link.take().filter(|link| !link.ended) {
            link.connection.close().await?;
        }
        Ok(())
    }

    /// Takes as many stanzas as are expected, in any order.
    async fn expect(&mut self, actor: usize, mut expected: Vec<Node>) -> Result<(), Cause> {
        while !expected.is_empty() {
            let received = self.cast[actor].next().await?;
            let mut first = None;
            let found = expected.iter().position(|expected| {
                matches(expected, &received, &mut self.captures)
                    .map_err(|mismatch| first = Some(mismatch))
                    .is_ok()
            });
            let Some(found) = found else {
                let mismatch = first.filter(|_| expected.len() == 1);
                return Err(Cause::Mismatch { mismatch, expected, received: Box::new(received) });
            };
            expected.remove(found);
        }
        Ok(())
    }

    fn fill(&self, block: &Block) -> Result<String, Cause> {
        block.0.fill(&self.cast[..], &self.captures).map_err(|unfilled| match unfilled {
            Unfilled::NoFullJid(actor) => Cause::NoFullJid(self.cast[actor].character.name.clone()),
            Unfilled::NotCaptured(name) => Cause::NotCaptured(name),
        })
    }

    fn expected(&self, block: &Block) -> Result<Vec<Node>, Cause> {
        let text = self.fill(block)?;
        let not_xml = |e: xmpp_core::xml::XmlError| Cause::NotXml(e.to_string());
        wire::standalone(text.as_bytes())
            .map_err(not_xml)?
            .iter()
            .map(|element| Node::parse(element, "").map_err(not_xml))
            .collect()
    }

    /// See [`play`].
    async fn settle(&mut self) -> Result<(), Cause> {
        for _round in 0..2 {
            for actor in &mut self.cast {
                self.barriers += 1;
                actor.barrier(self.barriers).await?;
            }
        }
        Ok(())
    }
}

impl<C: Connection> Actor<'_, C> {
    /// The connection, if it still works.
    fn link(&mut self) -> Result<&mut Link<C>, Cause> {
        match &mut self.link {
            None => Err(Cause::NotConnected),
            Some(link) if link.ended => Err(Cause::Ended),
            Some(link) => Ok(link),
        }
    }

    async fn next(&mut self) -> Result<Node, Cause> {
        if let Some(node) = self.inbox.pop_front() {
            return Ok(node);
        }
        let link = self.link()?;
        let node = link.connection.receive().await?;
        link.ended = node.is_none();
        node.ok_or(Cause::Ended)
    }

    /// Takes in what comes until the server answers a ping, or closes the stream.
    async fn barrier(&mut self, number: u64) -> Result<(), Cause> {
        let Some(link) = self.link.as_mut().filter(|link| !link.ended) else { return Ok(()) };
        let id = format!("scansion-barrier-{number}");
        let (domain, ping) = (self.character.jid.domain(), ns::PING);
        let iq = format!("<iq type='get' id='{id}' to='{domain}'><ping xmlns='{ping}'/></iq>");
        // Where the server has closed the stream, sending fails, but what it said before is still to be read.
        let sent = link.connection.send(iq.into()).await;
        loop {
            match link.connection.receive().await {
                Ok(Some(node)) if is_answer(&node, &id) => return Ok(()),
                Ok(Some(node)) => self.inbox.push_back(node),
                Ok(None) => {
                    link.ended = true;
                    return Ok(());
                }
                Err(lost) => return Err(Cause::Lost(sent.err().unwrap_or(lost))),
            }
        }
    }
}

fn is_answer(node: &Node, id: &str) -> bool {
    node.is(ns::CLIENT, "iq") && node.attr("id") == Some(id)
}

impl From<Lost> for Cause {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: ", self.line, self.character)?;
        match &self.cause {
            Cause::NotConnected => write!(f, "is not connected"),
            Cause::Connected => write!(f, "is connected already"),
            Cause::Ended => write!(f, "the server has closed the stream"),
            Cause::Lost(lost) => write!(f, "{lost}"),
            Cause::Login(error) => write!(f, "{error}"),
            Cause::NoFullJid(name) => write!(f, "{name} was never connected: no full JID"),
            Cause::NotCaptured(name) => write!(f, "nothing was captured as {name:?}"),
            Cause::NotXml(error) => write!(f, "{error}"),
            Cause::Mismatch { mismatch, expected, received } => {
                match mismatch {
                    Some(mismatch) => writeln!(f, "{mismatch}")?,
                    None => writeln!(f, "this is none of what was expected")?,
                }
                writeln!(f, "  expected:")?;
                for node in expected {
                    f.write_str(&pretty(node, 4))?;
                }
                write!(f, "  received:\n{}", pretty(received, 4).trim_end())
            }
            Cause::Unexpected(nodes) => {
                write!(f, "expected nothing, received:")?;
                nodes.iter().try_for_each(|node| write!(f, "\n{}", pretty(node, 4).trim_end()))
            }
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} received what nobody asked for:\n{}",
            self.character,
            pretty(&self.stanza, 4).trim_end()
        )
    }
}

#[cfg(test)]
mod tests;
