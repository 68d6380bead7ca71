//! A client as one would be written that wants nothing lost: without the connection.
//!
//! It manages its stream (XEP-0198): numbers what it sends and counts what it gets, remembers what is not acknowledged, and
//! after a break resumes, or, where the server says how far it came, sends only what is missing. What it cannot know it
//! leaves in doubt. A plain one does nothing of that.

use super::history::{Event, History};
use std::{collections::VecDeque, fmt::Write, io, mem, sync::Arc};
use xmpp_core::{BareJid, ns, xml::Node};

/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";

/// A client of one account.
pub struct Device {
    account: BareJid,
    /// The full address, once bound.
    jid: String,
    history: Arc<History>,
    /// Whether it does without stream management.
    plain: bool,
    /// Whether it sends again whatever may have been lost.
    resends: bool,
    /// Whether it lets everybody who asks see its presence.
    pub(super) grants: bool,
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
    /// Messages that it has got, and the server does not know.
    untold: Vec<String>,
    /// Those that it has told the server of, each time after how many stanzas of its own.
    told: VecDeque<(u32, Vec<String>)>,
    /// How often the server had been killed when the connection began.
    kills: u32,
    /// What it has asked for, by the id of the request.
    asking: Option<(String, String, String)>,
}

struct Unacked {
    stanza: String,
    what: What,
}

/// What it means that a stanza is acknowledged.
enum What {
    /// A message of this id is safe.
    Message(String),
    /// This is so.
    Done { subject: String, value: String },
    /// Nothing that is looked at.
    Other,
}

/// What a message says.
fn body(id: &str) -> String {
    format!("{id} says that nothing is lost")
}

/// Whether a message says what it said when it was sent.
pub(super) fn is_whole(message: &Node) -> bool {
    let said = message.child(ns::CLIENT, "body").map(|body| body.text.as_str());
    said.is_some() && said == message.attr("id").map(body).as_deref()
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
    pub fn new(account: BareJid, plain: bool, resends: bool, history: Arc<History>) -> Self {
        Self {
            jid: account.to_string(),
            account,
            history,
            plain,
            resends,
            grants: false,
            stream: None,
            counting: false,
            received: 0,
            acked: 0,
            unacked: VecDeque::new(),
            untold: Vec::new(),
            told: VecDeque::new(),
            kills: 0,
            asking: None,
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

    /// A connection begins.
    pub fn connects(&mut self) {
        self.kills = self.history.kills();
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
            self.history.note(Event::Stream { device: self.jid.clone(), resumed: true })?;
            // What was refused may be told only now, behind this.
            for one in &mut self.unacked {
                if matches!(one.what, What::Done { .. }) {
                    one.what = What::Other;
                }
            }
            self.count(h.ok_or_else(|| anyhow::anyhow!("resumed, and h is not told"))?)?;
            // XEP-0198 5: it was told with the request.
            for (_, ids) in mem::take(&mut self.told) {
                self.taken(ids)?;
            }
            let untold = mem::take(&mut self.untold);
            self.taken(untold)?;
            return Ok(Resumption::Resumed);
        }
        anyhow::ensure!(answer.is(SM, "failed"), "{answer:?} in answer to <resume/>");
        self.history.note(Event::Failed { device: self.jid.clone() })?;
        if let Some(h) = h {
            self.count(h)?;
            self.stream = None;
        } else {
            self.forget()?;
        }
        Ok(Resumption::Failed)
    }

    /// Gives the stream up. Whether the server has got what it did not acknowledge is not known: to send it again could
    /// double it, unless the server knows messages again by what their client calls them (XEP-0359 2.2).
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn forget(&mut self) -> io::Result<()> {
        self.stream = None;
        if self.resends {
            return Ok(());
        }
        for one in self.unacked.drain(..) {
            if let What::Message(id) = one.what {
                self.history.note(Event::Doubt { id })?;
            }
        }
        Ok(())
    }

    /// A new stream is bound to this address.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn bound(&mut self, jid: &str) -> io::Result<()> {
        jid.clone_into(&mut self.jid);
        self.asking = None;
        self.counting = false;
        self.untold.clear();
        self.told.clear();
        // Of what the server may not have come to, messages are worth sending again.
        self.unacked.retain(|one| matches!(one.what, What::Message(_)));
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
        if self.plain {
            // Nobody will ever say what became of it.
            self.history.note(Event::Doubt { id: id.into() })?;
        }
        let stanza = format!(
            "<message type='chat' to='{to}' id='{id}'><body>{}</body><origin-id xmlns='{}' id='{id}'/></message>",
            body(id),
            ns::STANZA_IDS
        );
        Ok(self.keep(stanza, What::Message(id.into())))
    }

    /// Gives a contact a name, or takes it out of the roster; `None` while an earlier request is not answered.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn name(
        &mut self,
        id: &str,
        contact: &BareJid,
        listed: bool,
    ) -> io::Result<Option<String>> {
        let (item, value) = match listed {
            true => (format!("name='{id}'"), id),
            false => ("subscription='remove'".into(), ""),
        };
        let query = format!("<query xmlns='{}'><item jid='{contact}' {item}/></query>", ns::ROSTER);
        self.ask(id, &query, format!("name of {contact}"), value)
    }

    /// Blocks an address, or does not any more (XEP-0191); `None` while an earlier request is not answered.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn block(&mut self, id: &str, whom: &BareJid, blocked: bool) -> io::Result<Option<String>> {
        let name = if blocked { "block" } else { "unblock" };
        let request = format!("<{name} xmlns='{}'><item jid='{whom}'/></{name}>", ns::BLOCKING);
        self.ask(id, &request, format!("block of {whom}"), if blocked { "yes" } else { "" })
    }

    fn ask(
        &mut self,
        id: &str,
        request: &str,
        subject: String,
        value: &str,
    ) -> io::Result<Option<String>> {
        if self.asking.is_some() {
            return Ok(None);
        }
        self.note_asked(&subject, value)?;
        self.asking = Some((id.into(), subject, value.into()));
        let stanza = format!("<iq type='set' id='{id}'>{request}</iq>");
        Ok(Some(self.keep(stanza, What::Other)))
    }

    /// Asks for a contact's presence, or does not want it any more (RFC 6121 3).
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn subscribe(&mut self, contact: &BareJid, wanted: bool) -> io::Result<String> {
        let (kind, value) = if wanted { ("subscribe", "yes") } else { ("unsubscribe", "") };
        let subject = format!("subscription to {contact}");
        self.note_asked(&subject, value)?;
        let stanza = format!("<presence type='{kind}' to='{contact}'/>");
        Ok(self.keep(stanza, What::Done { subject, value: value.into() }))
    }

    fn note_asked(&self, subject: &str, value: &str) -> io::Result<()> {
        let owner = self.account.to_string();
        self.history.note(Event::Asked { owner, subject: subject.into(), value: value.into() })
    }

    /// Another stanza.
    pub fn stanza(&mut self, stanza: String) -> String {
        self.keep(stanza, What::Other)
    }

    /// Asks whether the server is there; gives nothing where it would have been asked anyway.
    pub fn ping(&mut self) -> String {
        match self.counting {
            true => format!("<r xmlns='{SM}'/>"),
            false => format!("<iq type='get' id='there?'><ping xmlns='{}'/></iq>", ns::PING),
        }
    }

    fn keep(&mut self, stanza: String, what: What) -> String {
        let mut bytes = stanza.clone();
        if self.counting {
            self.unacked.push_back(Unacked { stanza, what });
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
                "r" => {
                    let untold = mem::take(&mut self.untold);
                    if !untold.is_empty() {
                        self.told.push_back((self.sent(), untold));
                    }
                    Ok(Some(format!("<a xmlns='{SM}' h='{}'/>", self.received)))
                }
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
            && self.asking.as_ref().is_some_and(|(its, ..)| its == id)
        {
            let (_, subject, value) = self.asking.take().expect("there is one");
            if node.attr("type") == Some("result") {
                let owner = self.account.to_string();
                self.history.note(Event::Done { owner, subject, value })?;
            }
        } else if node.is(ns::CLIENT, "presence") && node.attr("type") == Some("error") {
            // Its request is handled with that, and it is as it was.
            let from = node.attr("from").unwrap_or_default();
            let refused = format!("subscription to {from}");
            for one in &mut self.unacked {
                if matches!(&one.what, What::Done { subject, .. } if *subject == refused) {
                    one.what = What::Other;
                }
            }
        } else if self.grants
            && node.is(ns::CLIENT, "presence")
            && node.attr("type") == Some("subscribe")
        {
            let from = node.attr("from").unwrap_or_default();
            let granted = format!("<presence type='subscribed' to='{from}'/>");
            return Ok(Some(self.keep(granted, What::Other)));
        }
        Ok(None)
    }

    fn receive(&mut self, message: &Node, id: &str) -> anyhow::Result<()> {
        if message.attr("type") == Some("error") {
            let error = message.child(ns::CLIENT, "error");
            let condition =
                error.and_then(|error| error.children.first()).map(|one| one.name.clone());
            let condition = condition.unwrap_or_default();
            return Ok(self.history.note(Event::Refused { id: id.into(), condition })?);
        }
        let copy = message.children.iter().find(|child| child.ns == ns::CARBONS);
        let Some(copy) = copy else {
            let delayed = message.child(ns::DELAY, "delay").is_some();
            return self.got(message, delayed);
        };
        // XEP-0280 11: only the account itself has copies to give.
        let from = message.attr("from");
        anyhow::ensure!(from == Some(self.account.as_str()), "a copy from {from:?}");
        let copied = copy.child(ns::FORWARD, "forwarded");
        let copied = copied.and_then(|forwarded| forwarded.child(ns::CLIENT, "message"));
        let copied = copied.ok_or_else(|| anyhow::anyhow!("a copy of nothing: {message:?}"))?;
        if copy.name == "received" {
            // It wanted copies a moment before it was counted among those to whom messages come.
            return self.got(copied, false);
        }
        anyhow::ensure!(is_whole(copied), "it is not what was sent: {message:?}");
        let id = copied.attr("id").unwrap_or_default().into();
        let (device, uid) = (self.jid.clone(), self.archive_id(copied));
        Ok(self.history.note(Event::Copied { id, device, uid })?)
    }

    fn got(&mut self, message: &Node, delayed: bool) -> anyhow::Result<()> {
        anyhow::ensure!(is_whole(message), "it is not what was sent: {message:?}");
        let id = message.attr("id").unwrap_or_default();
        self.history.note(Event::Received {
            id: id.into(),
            device: self.jid.clone(),
            uid: self.archive_id(message),
            delayed,
        })?;
        if self.counting {
            self.untold.push(id.into());
        }
        Ok(())
    }

    /// What its account's archive calls a message (XEP-0359), where it says.
    fn archive_id(&self, message: &Node) -> String {
        let own = |one: &&Node| {
            one.is(ns::STANZA_IDS, "stanza-id") && one.attr("by") == Some(self.account.as_str())
        };
        let uid = message.children.iter().find(own).and_then(|one| one.attr("id"));
        uid.unwrap_or_default().into()
    }

    /// How many stanzas were sent on this stream, modulo 2^32.
    fn sent(&self) -> u32 {
        let unacked = u32::try_from(self.unacked.len()).expect("a window of them");
        self.acked.wrapping_add(unacked)
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
            match self.unacked.pop_front().expect("counted above").what {
                What::Message(id) => self.history.note(Event::Acked { id })?,
                What::Done { subject, value } => {
                    let owner = self.account.to_string();
                    self.history.note(Event::Done { owner, subject, value })?;
                }
                What::Other => {}
            }
        }
        // What was said before a stanza that it has handled, it has handled, too.
        let outstanding = self.unacked.len();
        while let Some((sent, _)) = self.told.front() {
            let since = usize::try_from(self.sent().wrapping_sub(*sent)).unwrap_or(usize::MAX);
            if since <= outstanding {
                break;
            }
            let (_, ids) = self.told.pop_front().expect("it is there");
            self.taken(ids)?;
        }
        Ok(())
    }

    fn taken(&self, ids: Vec<String>) -> io::Result<()> {
        if self.history.kills() != self.kills {
            // What a server knew that is gone by now, its successor need not.
            return Ok(());
        }
        for id in ids {
            self.history.note(Event::Taken { id, device: self.jid.clone() })?;
        }
        Ok(())
    }
}
