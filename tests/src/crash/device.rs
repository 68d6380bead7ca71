//! A client with stream management (XEP-0198), as one would be written that wants nothing lost: without the connection.
//!
//! It numbers what it sends and counts what it gets, remembers what is not acknowledged, and after a break resumes, or, where
//! the server says how far it came, sends only what is missing. What it cannot know it leaves in doubt.

use super::history::{Event, History};
use std::{collections::VecDeque, fmt::Write, io, sync::Arc};
use xmpp_core::{BareJid, ns, xml::Node};

/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";

/// A client of one account.
pub struct Device {
    account: BareJid,
    /// The full address, once bound.
    jid: String,
    history: Arc<History>,
    /// What the server calls the stream, where it can be resumed.
    stream: Option<String>,
    /// Whether both sides count.
    counting: bool,
    /// Stanzas of the server's handled on this stream.
    received: u32,
    /// Stanzas that the server has handled on this stream.
    acked: u32,
    /// What was sent since then, oldest first.
    unacked: VecDeque<Unacked>,
    /// What a roster is to say, by the id of its request.
    naming: Option<(String, String, String)>,
}

struct Unacked {
    stanza: String,
    /// The message's id.
    message: Option<String>,
}

/// What became of a request to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumption {
    /// The stream goes on.
    Resumed,
    /// It does not: bind a new one.
    Failed,
}

impl Device {
    /// Somebody's client, that has no stream yet.
    pub fn new(account: BareJid, history: Arc<History>) -> Self {
        Self {
            jid: account.to_string(),
            account,
            history,
            stream: None,
            counting: false,
            received: 0,
            acked: 0,
            unacked: VecDeque::new(),
            naming: None,
        }
    }

    /// Whose it is.
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// Messages and other stanzas that the server has not acknowledged.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// Stanzas of the server's that it has handled on this stream.
    pub fn received(&self) -> u32 {
        self.received
    }

    /// What to ask first on a new connection, where there is a stream to resume.
    pub fn resume(&self) -> Option<String> {
        let stream = self.stream.as_ref()?;
        Some(format!("<resume xmlns='{SM}' h='{}' previd='{stream}'/>", self.received))
    }

    /// Takes in what the server says to that. What has to be sent again is given by [`again`](Self::again).
    ///
    /// # Errors
    /// The history cannot be written, or the answer is none.
    pub fn answered(&mut self, answer: &Node) -> anyhow::Result<Resumption> {
        let h = answer.attr("h").map(str::parse).transpose()?;
        if answer.is(SM, "resumed") {
            self.count(h.ok_or_else(|| anyhow::anyhow!("resumed, and h is not told"))?)?;
            self.history.note(Event::Stream { device: self.jid.clone(), resumed: true })?;
            return Ok(Resumption::Resumed);
        }
        anyhow::ensure!(answer.is(SM, "failed"), "{answer:?} in answer to <resume/>");
        match h {
            Some(h) => self.count(h)?,
            // Whether the server has got them is not known: to send them again could double them.
            None => {
                for one in self.unacked.drain(..) {
                    if let Some(id) = one.message {
                        self.history.note(Event::Doubt { id })?;
                    }
                }
            }
        }
        self.stream = None;
        self.counting = false;
        Ok(Resumption::Failed)
    }

    /// A new stream is bound to this address.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn bound(&mut self, jid: &str) -> io::Result<()> {
        jid.clone_into(&mut self.jid);
        self.naming = None;
        // Of what the server did not come to, messages are worth sending again.
        self.unacked.retain(|one| one.message.is_some());
        self.history.note(Event::Stream { device: self.jid.clone(), resumed: false })
    }

    /// The server counts, and so does the client (XEP-0198 3).
    pub fn enabled(&mut self, enabled: &Node) {
        self.stream = enabled.attr("id").map(str::to_owned);
        (self.counting, self.received, self.acked) = (true, 0, 0);
    }

    /// What is to be sent again, in order, on a stream that was resumed or is counted anew.
    pub fn again(&self) -> Vec<String> {
        self.unacked.iter().map(|one| one.stanza.clone()).collect()
    }

    /// A message; gives the bytes to send.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn message(&mut self, id: &str, to: &BareJid) -> io::Result<String> {
        let sent = Event::Sent { id: id.into(), device: self.jid.clone(), to: to.to_string() };
        self.history.note(sent)?;
        let stanza = format!(
            "<message type='chat' to='{to}' id='{id}'><body>{id} says that nothing is lost</body>\
             <origin-id xmlns='{}' id='{id}'/></message>",
            ns::STANZA_IDS
        );
        Ok(self.keep(stanza, Some(id.into())))
    }

    /// Gives a contact a name; `None` while an earlier one is not confirmed.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn name(&mut self, id: &str, contact: &BareJid) -> io::Result<Option<String>> {
        if self.naming.is_some() {
            return Ok(None);
        }
        let (owner, contact) = (self.account.to_string(), contact.to_string());
        self.history.note(Event::Naming { owner, contact: contact.clone(), name: id.into() })?;
        let stanza = format!(
            "<iq type='set' id='{id}'><query xmlns='{}'><item jid='{contact}' name='{id}'/></query></iq>",
            ns::ROSTER
        );
        self.naming = Some((id.into(), contact, id.into()));
        Ok(Some(self.keep(stanza, None)))
    }

    /// Another stanza.
    pub fn stanza(&mut self, stanza: String) -> String {
        self.keep(stanza, None)
    }

    fn keep(&mut self, stanza: String, message: Option<String>) -> String {
        let mut bytes = stanza.clone();
        if self.counting {
            self.unacked.push_back(Unacked { stanza, message });
            write!(bytes, "<r xmlns='{SM}'/>").expect("a text takes all");
        }
        bytes
    }

    /// Takes in what the server sends on a bound stream; gives what to answer.
    ///
    /// # Errors
    /// The history cannot be written, or the server counts wrong.
    pub fn handle(&mut self, node: &Node) -> anyhow::Result<Option<String>> {
        if node.ns == SM {
            return match node.name.as_str() {
                "r" => Ok(Some(format!("<a xmlns='{SM}' h='{}'/>", self.received))),
                "a" => {
                    let h = node.attr("h").unwrap_or_default().parse()?;
                    self.count(h)?;
                    Ok(None)
                }
                other => anyhow::bail!("<{other}/> out of turn"),
            };
        }
        self.received = self.received.wrapping_add(1);
        let id = node.attr("id").unwrap_or_default();
        if node.is(ns::CLIENT, "message") {
            self.receive(node, id)?;
        } else if node.is(ns::CLIENT, "iq")
            && self.naming.as_ref().is_some_and(|(its, ..)| its == id)
        {
            let (_, contact, name) = self.naming.take().expect("there is one");
            if node.attr("type") == Some("result") {
                let owner = self.account.to_string();
                self.history.note(Event::Named { owner, contact, name })?;
            }
        }
        Ok(None)
    }

    fn receive(&mut self, message: &Node, id: &str) -> io::Result<()> {
        if message.attr("type") == Some("error") {
            let error = message.child(ns::CLIENT, "error");
            let condition =
                error.and_then(|error| error.children.first()).map(|one| one.name.clone());
            let condition = condition.unwrap_or_default();
            return self.history.note(Event::Refused { id: id.into(), condition });
        }
        let own = |one: &&Node| {
            one.is(ns::STANZA_IDS, "stanza-id") && one.attr("by") == Some(self.account.as_str())
        };
        let uid = message.children.iter().find(own).and_then(|one| one.attr("id"));
        self.history.note(Event::Received {
            id: id.into(),
            device: self.jid.clone(),
            uid: uid.unwrap_or_default().into(),
            delayed: message.child(ns::DELAY, "delay").is_some(),
        })
    }

    /// The server has handled so many stanzas of this stream (XEP-0198 4).
    fn count(&mut self, h: u32) -> anyhow::Result<()> {
        let more = h.wrapping_sub(self.acked);
        anyhow::ensure!(
            usize::try_from(more).is_ok_and(|more| more <= self.unacked.len()),
            "{}: the server has handled {h} stanzas, and only {} + {} were sent",
            self.jid,
            self.acked,
            self.unacked.len()
        );
        self.acked = h;
        for _ in 0..more {
            let one = self.unacked.pop_front().expect("counted above");
            if let Some(id) = one.message {
                self.history.note(Event::Acked { id })?;
            }
        }
        Ok(())
    }
}
