//! A small connection manager, made for one purpose: to have one fault at a time.
//!
//! It answers a request at once, or holds it; timers are tasks on the paused clock. It offers acknowledgements, keys,
//! pauses and gzip, but not several streams.

use crate::{
    fault::Fault,
    reply::{Reply, TEXT_XML, body, messages},
    server,
};
use bytes::Bytes;
use sha1::{Digest, Sha1};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use xmpp_core::{
    ns,
    xml::{Element, Limits, Node, Scope},
};

const WAIT: u64 = 60;
const HOLD: u64 = 2;
const POLLING: u64 = 5;
const INACTIVITY: u64 = 30;
const MAXPAUSE: u64 = 120;

/// A response to come, and who waits for it.
pub type Pending = (oneshot::Receiver<Reply>, Option<(String, u64)>);

pub struct Manager {
    fault: Option<Fault>,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
pub struct Table {
    pub sessions: HashMap<String, Session>,
    /// User and message, for the user's next presence.
    pub offline: Vec<(String, String)>,
    opened: u64,
}

/// A request that waits for its turn or for an answer.
struct Waiting {
    node: Node,
    payloads: Vec<String>,
    answer: oneshot::Sender<Reply>,
}

pub struct Session {
    pub user: Option<&'static str>,
    pub jid: String,
    /// What the server has said and no response has taken.
    pub outbox: Vec<String>,
    /// The server's last words.
    pub error: Option<String>,
    content: String,
    versioned: bool,
    wait: u64,
    hold: u64,
    requests: u64,
    inactivity: u64,
    silent_after: u64,
    /// The highest rid that was processed.
    last: u64,
    early: BTreeMap<u64, Waiting>,
    held: VecDeque<(u64, oneshot::Sender<Reply>, Instant)>,
    sent: VecDeque<(u64, Reply, Instant)>,
    acknowledging: bool,
    acknowledged: u64,
    report: Option<(u64, Instant)>,
    key: Option<String>,
    /// The answer to which request had a payload, for polling.
    last_poll: Option<Instant>,
    /// Changes with every sign of life.
    life: u64,
}

/// Checked before.
fn rid(node: &Node) -> u64 {
    node.attr("rid").unwrap().parse().unwrap()
}

impl Manager {
    pub fn new(fault: Option<Fault>) -> Self {
        Self { fault, table: Arc::default() }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    /// Takes the body of one POST.
    pub fn request(self: &Arc<Self>, bytes: &[u8]) -> Pending {
        let (answer, pending) = oneshot::channel();
        let mut ticket = None;
        match self.parse(bytes) {
            Err(reply) => drop(answer.send(reply)),
            Ok((node, payloads)) => {
                let waiting = Waiting { node, payloads, answer };
                ticket = self.enter(waiting);
            }
        }
        (pending, ticket)
    }

    /// Answers a held request, since its connection brings more.
    pub fn give_back(self: &Arc<Self>, ticket: &Option<(String, u64)>) {
        let Some((sid, rid)) = ticket else { return };
        let mut table = self.table();
        if let Some(session) = table.sessions.get_mut(sid)
            && session.held.front().is_some_and(|(held, ..)| held == rid)
        {
            self.answer_oldest(session, String::new());
        }
        self.watch(&table, sid);
    }

    fn parse(&self, bytes: &[u8]) -> Result<(Node, Vec<String>), Reply> {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if self.has(Fault::CommentsAccepted)
            && let Some((before, rest)) = text.split_once("<!--")
            && let Some((_, after)) = rest.split_once("-->")
        {
            text = format!("{before}{after}");
        }
        let bad = |_| Reply::condition("bad-request", true);
        let limits = Limits { depth: 50, ..Limits::AFTER_AUTH };
        let element = Element::check(Bytes::from(text), &Scope::default(), &limits).map_err(bad)?;
        let node = Node::parse(element.raw(), "").map_err(bad)?;
        let versioned = node.attr("sid").is_some() || node.attr("ver").is_some();
        let rid = node.attr("rid").and_then(|rid| rid.parse().ok()).unwrap_or(0_u64);
        let text = element.has_text() && !self.has(Fault::TextAccepted);
        let bits = if self.has(Fault::RidsOf48Bits) { 48 } else { 53 };
        if !element.is(ns::HTTPBIND, "body") || text || rid == 0 || rid >= 1 << bits {
            return Err(Reply::condition("bad-request", versioned));
        }
        let payloads = element.children().map(|child| element.child_within(&child, ns::HTTPBIND));
        let payloads = payloads.map(|raw| String::from_utf8(raw.to_vec()).unwrap()).collect();
        Ok((node, payloads))
    }

    fn enter(self: &Arc<Self>, waiting: Waiting) -> Option<(String, u64)> {
        let mut table = self.table();
        let Some(sid) = waiting.node.attr("sid").map(str::to_owned) else {
            self.create(&mut table, waiting);
            return None;
        };
        let rid = rid(&waiting.node);
        let Some(session) = table.sessions.get_mut(&sid) else {
            drop(waiting.answer.send(Reply::condition("item-not-found", true)));
            return None;
        };
        session.life += 1;
        if rid <= session.last || session.early.contains_key(&rid) {
            self.again(&mut table, &sid, rid, waiting);
        } else if rid > session.last + session.requests && !self.has(Fault::NoWindow) {
            self.end(&mut table, &sid, waiting.answer, "item-not-found");
        } else {
            session.early.insert(rid, waiting);
            self.advance(&mut table, &sid);
        }
        self.watch(&table, &sid);
        Some((sid, rid))
    }

    fn create(self: &Arc<Self>, table: &mut Table, Waiting { node, answer, .. }: Waiting) {
        let versioned = node.attr("ver").is_some();
        let refuse = |condition| Reply::condition(condition, versioned);
        let content = node.attr("content").unwrap_or(TEXT_XML).to_owned();
        if content.contains(['\r', '\n']) {
            return drop(answer.send(refuse("bad-request")));
        }
        match node.attr("to") {
            None | Some("") => return drop(answer.send(refuse("improper-addressing"))),
            Some("localhost") => {}
            Some(_) => return drop(answer.send(refuse("host-unknown"))),
        }
        let number = |name: &str| node.attr(name).and_then(|text| text.parse::<u64>().ok());
        let wait = number("wait").unwrap_or(WAIT).min(WAIT);
        let hold = number("hold").unwrap_or(1).min(HOLD);
        let room = if self.has(Fault::NoRoomAboveHold) { 0 } else { 1 };
        let requests = hold + 1;
        let polls = wait == 0 || hold == 0;
        let inactivity = if polls { INACTIVITY + 3 * POLLING } else { INACTIVITY };
        table.opened += 1;
        let sid = match self.has(Fault::GuessableSids) {
            true => table.opened.to_string(),
            false => net::random::token(),
        };
        let last = rid(&node);
        let minor = |text: &str| text.strip_prefix("1.")?.parse::<u64>().ok();
        let ver = node.attr("ver").and_then(minor).unwrap_or(11).min(11);
        let content = if self.has(Fault::FixedContentType) { TEXT_XML.into() } else { content };
        let attributes = format!(
            "sid='{sid}' wait='{wait}' hold='{hold}' requests='{}' ver='1.{ver}' polling='{POLLING}' \
             inactivity='{inactivity}' maxpause='{MAXPAUSE}' accept='gzip' from='localhost' ack='{last}' \
             xmpp:version='1.0' xmpp:restartlogic='true'",
            hold + room
        );
        let created = Reply {
            status: 200,
            content: content.clone(),
            body: body(&attributes, &server::features(false)),
        };
        let session = Session {
            user: None,
            jid: String::new(),
            outbox: Vec::new(),
            error: None,
            content,
            versioned,
            wait,
            hold,
            requests,
            inactivity,
            silent_after: inactivity,
            last,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            sent: VecDeque::from([(last, created.clone(), Instant::now())]),
            acknowledging: node.attr("ack").is_some(),
            acknowledged: last,
            report: None,
            key: node.attr("newkey").map(str::to_lowercase),
            last_poll: None,
            life: 0,
        };
        table.sessions.insert(sid.clone(), session);
        drop(answer.send(created));
        self.watch(table, &sid);
    }

    /// A rid that was there before.
    fn again(self: &Arc<Self>, table: &mut Table, sid: &str, rid: u64, waiting: Waiting) {
        let session = table.sessions.get_mut(sid).unwrap();
        let held = session.held.iter_mut().find(|(held, ..)| *held == rid);
        let early = session.early.get_mut(&rid).map(|early| &mut early.answer);
        if let Some(old) = held.map(|(_, answer, _)| answer).or(early) {
            let content = session.content.clone();
            let error = Reply { status: 200, content, body: body("type='error'", "") };
            drop(std::mem::replace(old, waiting.answer).send(error));
            return;
        }
        let Some((_, reply, _)) = session.sent.iter().find(|(sent, ..)| *sent == rid) else {
            let condition = if self.has(Fault::Oracle) { "bad-request" } else { "item-not-found" };
            return self.end(table, sid, waiting.answer, condition);
        };
        let mut reply = reply.clone();
        if self.has(Fault::ReplayDiffers) {
            reply.body = reply.body.replacen("<body ", "<body again='yes' ", 1);
        }
        drop(waiting.answer.send(reply));
        if self.has(Fault::RepeatsAreProcessed) {
            for raw in waiting.payloads {
                let node = Node::parse(raw.as_bytes(), "").unwrap();
                server::take(self, table, sid, &node, &raw);
            }
        }
    }

    /// Processes what has its turn.
    fn advance(self: &Arc<Self>, table: &mut Table, sid: &str) {
        if self.has(Fault::OrderOfArrival) {
            let session = table.sessions.get_mut(sid).unwrap();
            let next = session.last + 1;
            let ahead = session.early.iter_mut().filter(|(rid, _)| **rid != next);
            let payloads: Vec<_> =
                ahead.flat_map(|(_, one)| std::mem::take(&mut one.payloads)).collect();
            self.pass_on(table, sid, payloads);
        }
        while let Some(session) = table.sessions.get_mut(sid) {
            let next = session.last + 1;
            let Some(waiting) = session.early.remove(&next) else { break };
            session.last = next;
            self.process(table, sid, next, waiting);
        }
        self.flush(table);
    }

    fn pass_on(&self, table: &mut Table, sid: &str, payloads: Vec<String>) {
        for raw in payloads {
            let raw = raw.replacen(" xmlns='http://jabber.org/protocol/httpbind'", "", 1);
            let node = Node::parse(raw.as_bytes(), ns::CLIENT).unwrap();
            let declared = format!("<{} xmlns='{}'", node.name, ns::CLIENT);
            let bare = node.ns == ns::CLIENT && !raw.contains("xmlns='jabber:client'");
            let raw =
                if bare { raw.replacen(&format!("<{}", node.name), &declared, 1) } else { raw };
            server::take(self, table, sid, &node, &raw);
        }
    }

    fn process(self: &Arc<Self>, table: &mut Table, sid: &str, rid: u64, waiting: Waiting) {
        let Waiting { node, payloads, answer } = waiting;
        let session = table.sessions.get_mut(sid).unwrap();
        if !self.key_fits(session, &node) {
            return self.end(table, sid, answer, "item-not-found");
        }
        let now = Instant::now();
        let kind = node.attr("type");
        let pause = node.attr("pause").and_then(|seconds| seconds.parse::<u64>().ok());
        let restart =
            node.attributes.iter().any(|(ns, name, _)| ns == ns::XBOSH && name == "restart");
        let empty = payloads.is_empty() && kind.is_none() && pause.is_none() && !restart;
        let soon = session.last_poll.is_some_and(|last| now - last < Duration::from_secs(POLLING));
        let full = session.held.len() as u64 + 1 >= session.requests;
        session.last_poll = Some(now);
        if empty
            && soon
            && (full
                || (session.hold == 0
                    && session.sent.back().is_some_and(|(_, r, _)| r.body.contains("></body>"))))
        {
            return self.end(table, sid, answer, "policy-violation");
        }
        session.silent_after = session.inactivity;
        self.acknowledge(session, &node);
        if kind == Some("terminate") {
            if !self.has(Fault::LastWordsDropped) {
                self.pass_on(table, sid, payloads);
            }
            return self.terminate(table, sid, rid, answer);
        }
        if let Some(seconds) = pause {
            if seconds > MAXPAUSE {
                return self.end(table, sid, answer, "policy-violation");
            }
            session.silent_after = seconds;
            while !session.held.is_empty() {
                self.answer_oldest(session, String::new());
            }
            let payload = if self.has(Fault::PauseWithPayload) {
                session.outbox.drain(..).collect()
            } else {
                String::new()
            };
            session.held.push_back((rid, answer, now));
            return self.answer_oldest(session, payload);
        }
        session.held.push_back((rid, answer, now));
        if restart {
            session.outbox.push(server::features(true));
            if self.has(Fault::RestartTakesStanzas) {
                self.pass_on(table, sid, payloads);
            }
        } else {
            self.pass_on(table, sid, payloads);
        }
        self.settle(table, sid);
    }

    /// Responds to what need not be held.
    fn settle(self: &Arc<Self>, table: &mut Table, sid: &str) {
        let Some(session) = table.sessions.get_mut(sid) else { return };
        if let Some(error) = session.error.take() {
            let stanzas: String = session.outbox.drain(..).collect();
            if let Some((_, answer, _)) = session.held.pop_front() {
                let body =
                    body("type='terminate' condition='remote-stream-error'", &(stanzas + &error));
                drop(answer.send(Reply { status: 200, content: session.content.clone(), body }));
            }
            table.sessions.remove(sid);
            return;
        }
        if (!session.outbox.is_empty() || session.report.is_some()) && !session.held.is_empty() {
            let payload = session.outbox.drain(..).collect();
            self.answer_oldest(session, payload);
        }
        let more = u64::from(self.has(Fault::HoldsOneTooMany) && session.hold == 1);
        while session.held.len() as u64 > session.hold + more {
            self.answer_oldest(session, String::new());
        }
        if let Some((rid, _, since)) = session.held.back() {
            self.time(sid, *rid, *since, session.wait);
        }
    }

    /// Every session that has something to say and somebody to say it to.
    fn flush(self: &Arc<Self>, table: &mut Table) {
        let sids: Vec<String> = table.sessions.keys().cloned().collect();
        for sid in sids {
            self.settle(table, &sid);
            self.watch(table, &sid);
        }
    }

    fn answer_oldest(&self, session: &mut Session, payload: String) {
        let Some((rid, answer, _)) = session.held.pop_front() else { return };
        let highest = match self.fault {
            Some(Fault::AckOverGaps) => {
                session.early.keys().last().copied().unwrap_or(session.last)
            }
            Some(Fault::AckOffByOne) if session.last > rid => session.last + 1,
            _ => session.last,
        };
        let mut attributes = String::new();
        if highest > rid {
            attributes += &format!("ack='{highest}' ");
        }
        if let Some((report, sent)) = session.report.take() {
            attributes += &format!("report='{report}' time='{}' ", sent.elapsed().as_millis());
        }
        if self.has(Fault::TermsRepeated) {
            attributes += &format!("wait='{}' hold='{}' ", session.wait, session.hold);
        }
        let reply = Reply {
            status: 200,
            content: session.content.clone(),
            body: body(&attributes, &payload),
        };
        session.sent.push_back((rid, reply.clone(), Instant::now()));
        let acknowledged = session.acknowledged;
        let kept = session
            .sent
            .iter()
            .filter(|(rid, ..)| !session.acknowledging || *rid <= acknowledged)
            .count();
        if kept as u64 > session.requests {
            session.sent.pop_front();
        }
        if self.has(Fault::CutLosesResponses)
            && (payload.contains("unread") || payload.contains("loss-"))
        {
            session.sent.pop_back();
            let empty = Reply { body: body("", ""), ..reply.clone() };
            session.sent.push_back((rid, empty, Instant::now()));
        }
        session.life += u64::from(!self.has(Fault::SilenceFromRequest));
        drop(answer.send(reply));
    }

    fn acknowledge(&self, session: &mut Session, node: &Node) {
        if !session.acknowledging {
            return;
        }
        let answered = session.sent.back().map_or(0, |(rid, ..)| *rid);
        match node.attr("ack").and_then(|ack| ack.parse::<u64>().ok()) {
            None => session.acknowledged = answered,
            Some(ack) => {
                session.acknowledged = ack;
                let missing = session.sent.iter().find(|(rid, ..)| *rid == ack + 1);
                session.report = missing.map(|(rid, _, sent)| (*rid, *sent));
            }
        }
    }

    fn key_fits(&self, session: &mut Session, node: &Node) -> bool {
        let Some(expected) = &session.key else { return true };
        let Some(key) = node.attr("key") else { return self.has(Fault::MissingKeysAccepted) };
        let hash: String =
            Sha1::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let fits = hash == *expected;
        let newkey = node.attr("newkey").filter(|_| !self.has(Fault::NewKeysIgnored));
        session.key = Some(newkey.unwrap_or(key).to_lowercase());
        fits
    }

    /// The client ends the session.
    fn terminate(
        self: &Arc<Self>,
        table: &mut Table,
        sid: &str,
        rid: u64,
        answer: oneshot::Sender<Reply>,
    ) {
        if self.has(Fault::SidsOutliveTheirEnd) {
            let session = table.sessions.get_mut(sid).unwrap();
            session.held.push_back((rid, answer, Instant::now()));
            let content = session.content.clone();
            let mut kind = "type='terminate'";
            while let Some((_, answer, _)) = session.held.pop_front() {
                drop(answer.send(Reply {
                    status: 200,
                    content: content.clone(),
                    body: body(kind, ""),
                }));
                kind = "";
            }
            return;
        }
        let mut session = table.sessions.remove(sid).unwrap();
        session.held.push_back((rid, answer, Instant::now()));
        let mut kind = "type='terminate'";
        for (_, answer, _) in session.held.drain(..) {
            let body = body(kind, "");
            drop(answer.send(Reply { status: 200, content: session.content.clone(), body }));
            kind = "";
        }
        self.bury(table, session);
    }

    /// A request ends the session by what is wrong with it.
    fn end(&self, table: &mut Table, sid: &str, answer: oneshot::Sender<Reply>, condition: &str) {
        let mut session = table.sessions.remove(sid).unwrap();
        drop(answer.send(Reply::condition(condition, session.versioned)));
        for (_, answer, _) in session.held.drain(..) {
            drop(answer.send(Reply::condition("other-request", session.versioned)));
        }
        self.bury(table, session);
    }

    fn bury(&self, table: &mut Table, session: Session) {
        for raw in session.outbox {
            server::undelivered(self, table, session.user.unwrap_or_default(), raw);
        }
    }

    /// Answers a held request when it has waited long enough.
    fn time(self: &Arc<Self>, sid: &str, rid: u64, since: Instant, wait: u64) {
        if self.has(Fault::WaitsForEver) {
            return;
        }
        let (manager, sid) = (Arc::clone(self), sid.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep_until(since + Duration::from_secs(wait)).await;
            let mut table = manager.table();
            let Some(session) = table.sessions.get_mut(&sid) else { return };
            if session.held.front().is_some_and(|(held, ..)| *held == rid) {
                manager.answer_oldest(session, String::new());
            }
            manager.watch(&table, &sid);
        });
    }

    /// Ends the session when it has been silent for too long from now on.
    fn watch(self: &Arc<Self>, table: &Table, sid: &str) {
        let Some(session) = table.sessions.get(sid) else { return };
        let ignores_holding = self.has(Fault::SilenceFromRequest);
        if self.has(Fault::NeverSilent) || (!session.held.is_empty() && !ignores_holding) {
            return;
        }
        let (manager, sid, life) = (Arc::clone(self), sid.to_owned(), session.life);
        let silence = Duration::from_secs(session.silent_after);
        tokio::spawn(async move {
            sleep(silence).await;
            let mut table = manager.table();
            let silent = table
                .sessions
                .get(&sid)
                .is_some_and(|one| one.life == life && (one.held.is_empty() || ignores_holding));
            if silent {
                let mut session = table.sessions.remove(&sid).unwrap();
                if !manager.has(Fault::UnreadForgotten) {
                    let unread = session.sent.iter().flat_map(|(_, reply, _)| messages(reply));
                    session.outbox.splice(..0, unread.collect::<Vec<_>>());
                }
                manager.bury(&mut table, session);
                manager.flush(&mut table);
            }
        });
    }
}
