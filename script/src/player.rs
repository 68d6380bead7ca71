//! Plays scripts over connections of any kind.

use crate::{
    Action, Block, Captures, Cause, Character, Connection, Failure, Line, Lost, Mark, Script,
    Stage, Verb, account, diff,
    failure::Fault,
    matches,
    template::{Unfilled, Values},
    wire,
};
use std::collections::VecDeque;
use xmpp_core::{Jid, ns, xml::Node};

/// What a script may leave unsaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// As Scansion has it: stanzas that do not match what is expected are passed over. They may match what is expected
    /// later, and are no matter for `receives: nothing`.
    Scansion,
    /// Every stanza is expected, in the order in which they come to each client: one that does not match fails at
    /// once, and so does one that is still unread when its client leaves.
    Strict,
}

/// Plays a script to its end.
///
/// What one character sends is processed before another acts: its server has answered a ping by then. `receives:
/// nothing` and the end of a script must know that no more is on its way. No time is waited for that: every connected
/// client sends a ping to its server and takes in what comes until the answer, twice around. After the first round all
/// that was sent is processed, after the second all that follows from it has arrived. Any answer will do, so the
/// server need not know pings.
///
/// # Errors
/// The action that failed, and why.
pub async fn play<S: Stage>(script: &Script, stage: &mut S, rules: Rules) -> Result<(), Failure> {
    let cast = script.characters.iter().map(|character| Actor {
        character,
        link: None,
        jid: None,
        inbox: VecDeque::new(),
    });
    let mut player = Player {
        stage,
        rules,
        cast: cast.collect(),
        captures: Captures::default(),
        barriers: 0,
        spoke: None,
    };
    let failed = |line: usize, character: usize, Fault { cause, diff }: Fault| Failure {
        line,
        character: script.characters[character].name.clone(),
        cause,
        diff,
    };
    for action in &script.actions {
        let performed = player.perform(action).await;
        performed.map_err(|fault| failed(action.line, action.character, fault))?;
    }
    if let Some(last) = script.actions.last() {
        // Whoever is still there leaves.
        player.settle().await.map_err(|cause| failed(last.line, last.character, cause.into()))?;
        for actor in 0..script.characters.len() {
            player.leave(actor).await.map_err(|fault| failed(last.line, actor, fault))?;
        }
    }
    Ok(())
}

struct Player<'a, S: Stage> {
    stage: &'a mut S,
    rules: Rules,
    cast: Vec<Actor<'a, S::Connection>>,
    captures: Captures,
    /// How many barriers were sent: makes their ids unique.
    barriers: u64,
    /// Who has sent something last that may not have been processed yet.
    spoke: Option<usize>,
}

struct Actor<'a, C> {
    character: &'a Character,
    /// The connection, from `connects` to `disconnects`.
    link: Option<Link<C>>,
    /// The address of the present session, or of the last one.
    jid: Option<Jid>,
    /// Received and not asked for yet, in order.
    inbox: VecDeque<Unread>,
}

struct Unread {
    stanza: Node,
    /// Something else was expected when it was looked at.
    passed_over: bool,
}

/// How many stanzas may wait for a client to ask for them: no script asks for so many, and a server that sends more
/// would fill the memory.
const UNREAD_MAX: usize = 10_000;

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
    async fn perform(&mut self, action: &Action) -> Result<(), Fault> {
        let actor = action.character;
        match &action.verb {
            Verb::Connects => {
                self.hear_out(actor).await?;
                Ok(self.connect(actor).await?)
            }
            Verb::Disconnects => self.disconnect(actor).await,
            Verb::Sends(block) => {
                let text = self.fill(block)?;
                self.hear_out(actor).await?;
                self.spoke = Some(actor);
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
                let inbox = self.cast[actor].inbox.iter();
                let mut new = inbox.filter(|unread| !unread.passed_over).peekable();
                if new.peek().is_none() {
                    return Ok(());
                }
                let new = new.map(|unread| &unread.stanza);
                Err(Fault::with(Cause::Unexpected, Mark::Unexpected, new))
            }
        }
    }

    async fn connect(&mut self, actor: usize) -> Result<(), Cause> {
        let character = self.cast[actor].character;
        if self.cast[actor].link.is_some() {
            return Err(Cause::Connected);
        }
        let (connection, jid) = account::login(character, self.stage).await?;
        let actor = &mut self.cast[actor];
        actor.jid = Some(jid);
        actor.link = Some(Link { connection, ended: false });
        Ok(())
    }

    async fn disconnect(&mut self, actor: usize) -> Result<(), Fault> {
        if self.cast[actor].link.is_none() {
            return Ok(()); // scripts say it at their end for everyone, to be sure
        }
        self.settle().await?;
        self.leave(actor).await
    }

    async fn leave(&mut self, actor: usize) -> Result<(), Fault> {
        let actor = &mut self.cast[actor];
        let unread = std::mem::take(&mut actor.inbox);
        if let Some(mut link) = actor.link.take().filter(|link| !link.ended) {
            link.connection.close().await?;
        }
        match self.rules {
            Rules::Strict if !unread.is_empty() => {
                let unread = unread.iter().map(|unread| &unread.stanza);
                Err(Fault::with(Cause::Unasked, Mark::Unexpected, unread))
            }
            _ => Ok(()),
        }
    }

    /// Before somebody else acts: what was sent last is processed.
    async fn hear_out(&mut self, actor: usize) -> Result<(), Cause> {
        if let Some(other) = self.spoke.take_if(|other| *other != actor) {
            self.barriers += 1;
            self.cast[other].barrier(self.barriers).await?;
        }
        Ok(())
    }

    /// Takes as many stanzas as are expected, in any order.
    async fn expect(&mut self, actor: usize, mut expected: Vec<Node>) -> Result<(), Fault> {
        let mut at = 0;
        while !expected.is_empty() {
            if self.cast[actor].inbox.len() == at
                && let Err(cause) = self.cast[actor].receive().await
            {
                return Err(self.missing(actor, cause, &expected));
            }
            let received = &mut self.cast[actor].inbox[at];
            let found = expected
                .iter()
                .position(|wanted| matches(wanted, &received.stanza, &mut self.captures).is_ok());
            match (found, self.rules) {
                (Some(found), _) => {
                    expected.remove(found);
                    self.cast[actor].inbox.remove(at);
                }
                (None, Rules::Scansion) => {
                    received.passed_over = true;
                    at += 1;
                }
                (None, Rules::Strict) => {
                    let stanza = received.stanza.clone();
                    return Err(self.mismatch(Cause::NoneOfThem, &expected, &[&stanza]));
                }
            }
        }
        Ok(())
    }

    /// What was expected did not come.
    fn missing(&self, actor: usize, cause: Cause, expected: &[Node]) -> Fault {
        let instead: Vec<_> = self.cast[actor].inbox.iter().map(|unread| &unread.stanza).collect();
        match cause {
            cause if instead.is_empty() => Fault::with(cause, Mark::Missing, expected),
            Cause::Lost(Lost::Silence) => self.mismatch(Cause::NothingLikeIt, expected, &instead),
            cause => Fault { cause, diff: self.nearest(expected, &instead) },
        }
    }

    /// What came is not what was expected: where there is one of each, it is said how.
    fn mismatch(&self, cause: Cause, expected: &[Node], received: &[&Node]) -> Fault {
        let diff = self.nearest(expected, received);
        let mismatch = match (expected, received) {
            ([wanted], [got]) => matches(wanted, got, &mut self.captures.clone()).err(),
            _ => None,
        };
        Fault { cause: mismatch.map_or(cause, Cause::Mismatch), diff }
    }

    /// The comparison of the two that are most alike.
    fn nearest(&self, expected: &[Node], received: &[&Node]) -> Vec<Line> {
        let pairs =
            expected.iter().flat_map(|wanted| received.iter().map(move |got| (wanted, got)));
        let diffs = pairs.map(|(wanted, got)| diff(wanted, got, &self.captures));
        let marked = |diff: &Vec<Line>| diff.iter().filter(|line| line.mark != Mark::Same).count();
        diffs.min_by_key(marked).unwrap_or_default()
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
        self.spoke = None;
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

    /// Takes in one stanza.
    async fn receive(&mut self) -> Result<(), Cause> {
        let link = self.link()?;
        let node = link.connection.receive().await?;
        link.ended = node.is_none();
        keep(&mut self.inbox, node.ok_or(Cause::Ended)?)
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
                Ok(Some(node)) => keep(&mut self.inbox, node)?,
                Ok(None) => {
                    link.ended = true;
                    return Ok(());
                }
                Err(lost) => return Err(Cause::Lost(sent.err().unwrap_or(lost))),
            }
        }
    }
}

fn keep(inbox: &mut VecDeque<Unread>, stanza: Node) -> Result<(), Cause> {
    if inbox.len() == UNREAD_MAX {
        return Err(Cause::Flooded);
    }
    inbox.push_back(Unread { stanza, passed_over: false });
    Ok(())
}

fn is_answer(node: &Node, id: &str) -> bool {
    node.is(ns::CLIENT, "iq") && node.attr("id") == Some(id)
}

#[cfg(test)]
mod tests;
