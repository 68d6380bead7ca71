//! Random schedules of everything that can happen to messages, against what was promised: nothing lost, nothing twice, in
//! order, nothing seen before it is safe, nothing both kept and sent back.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bytes::Bytes;
use common::{Actor, Task, World, go, stanza, xml};
use futures_util::FutureExt;
use router::{Backlog, Declare, Keeping, Kept, Letter, Mail, Module, Side};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};
use xmpp_core::{Kind, Stanza, StanzaError, error::StanzaCondition, stanza::MessageType};

const ACCOUNTS: [&str; 3] = ["juliet@localhost", "nurse@localhost", "romeo@localhost"];
const RESOURCES: [&str; 3] = ["balcony", "copy", "phone"];
/// Archives both ways.
const ARCHIVES: &str = "juliet@localhost";
const SEEDS: u64 = 60;
const STEPS: usize = 400;

/// A store that does one thing after the other, when the test says so.
#[derive(Default)]
struct Shelf(Mutex<Shelves>);

#[derive(Default)]
struct Shelves {
    jobs: VecDeque<Job>,
    /// What no client has yet, by owner and number.
    rows: BTreeMap<(String, i64), String>,
    last: i64,
    /// Ids of messages that nobody may see before they are safe, that have a number, that are safe, that could not be kept.
    fenced: HashSet<String>,
    numbered: HashSet<String>,
    safe: HashSet<String>,
    failed: HashSet<String>,
}

type Slot<T> = Arc<Mutex<Option<T>>>;

enum Job {
    Put { id: String, row: Option<((String, i64), String)>, done: Slot<bool> },
    Settle { owner: String, numbers: Vec<i64>, done: Slot<bool> },
    Read { owner: String, after: i64, done: Slot<Backlog> },
}

async fn filled<T>(slot: Slot<T>) -> T {
    poll_fn(|_| slot.lock().unwrap().take().map_or(Poll::Pending, Poll::Ready)).await
}

impl Shelf {
    /// Does the next thing. Whether there was one.
    fn work(&self, fails: bool) -> bool {
        let mut shelves = self.0.lock().unwrap();
        let Shelves { jobs, rows, safe, failed, .. } = &mut *shelves;
        match jobs.pop_front() {
            None => return false,
            Some(Job::Put { id, row, done }) => {
                if fails {
                    failed.insert(id);
                } else {
                    safe.insert(id);
                    rows.extend(row);
                }
                *done.lock().unwrap() = Some(!fails);
            }
            Some(Job::Settle { owner, numbers, done }) => {
                rows.retain(|(its, number), _| fails || *its != owner || !numbers.contains(number));
                *done.lock().unwrap() = Some(!fails);
            }
            Some(Job::Read { owner, after, done }) => {
                let old = |xml: &String| stanza(xml).with_child(b"<old xmlns='urn:example'/>");
                let mine = rows.range((owner.clone(), after + 1)..=(owner, i64::MAX));
                let mut mine = mine.map(|((_, number), xml)| (*number, old(xml)));
                let messages: Vec<_> = mine.by_ref().take(2).collect();
                let next = mine.next().and(messages.last()).map(|(number, _)| *number);
                *done.lock().unwrap() = Some(Backlog { messages, next });
            }
        }
        true
    }

    fn keep(&self, keeping: &Keeping<'_>) -> Option<Kept> {
        if keeping.message.kind() != Kind::Message(MessageType::Chat) {
            return None;
        }
        let mut shelves = self.0.lock().unwrap();
        let id = keeping.message.head.id.clone().unwrap().to_string();
        let sender = keeping.sender.as_ref().map(|sender| sender.account().as_str());
        let owner = keeping.recipient.account().as_str();
        let fenced = sender == Some(ARCHIVES) || owner == ARCHIVES;
        if keeping.delivered && !keeping.promised && !fenced {
            return None;
        }
        shelves.last += 1;
        let (number, done) = (shelves.last, Slot::default());
        if fenced {
            shelves.fenced.insert(id.clone());
        }
        shelves.numbered.insert(id.clone());
        let row = Some(((owner.to_owned(), number), xml(keeping.message)));
        shelves.jobs.push_back(Job::Put { id, row, done: done.clone() });
        let receipt = filled(done).map(|kept| {
            let error = StanzaError::new(StanzaCondition::ResourceConstraint);
            if kept { Ok(()) } else { Err(error.into()) }
        });
        Some(Kept {
            receipt: receipt.boxed(),
            fenced,
            again: false,
            row: Some(number),
            sender_id: None,
            recipient_id: None,
        })
    }
}

impl Module for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let this = self.clone();
        declare.keep(move |keeping| this.keep(keeping));
        let this = self.clone();
        declare.taken(move |owner, numbers| {
            let (owner, done) = (owner.to_string(), Slot::default());
            let job = Job::Settle { owner, numbers, done: done.clone() };
            this.0.lock().unwrap().jobs.push_back(job);
            filled(done).boxed()
        });
        declare.backlog(move |owner, after| {
            let (owner, done) = (owner.to_string(), Slot::default());
            let job = Job::Read { owner, after, done: done.clone() };
            self.0.lock().unwrap().jobs.push_back(job);
            filled(done).map(Some).boxed()
        });
        declare.copy(
            |seat| seat.jid().resource() == Some("copy"),
            |copying| {
                let side = if copying.side == Side::Sender { "sent" } else { "received" };
                let id = copying.message.head.id.clone().unwrap();
                let copy = Stanza::new(copying.message.kind(), Bytes::new());
                Some(copy.id(&format!("{side}-{id}")).from(copying.account.as_jid().clone()))
            },
        );
    }
}

/// Dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A session and what its client has seen.
struct Live {
    actor: Actor,
    number: usize,
    born: usize,
    unproven: VecDeque<Letter>,
    seen: HashSet<String>,
    /// The latest of each sender's messages that came at once.
    latest: HashMap<usize, usize>,
    errors: HashSet<String>,
    /// Another has its address; it is not released yet.
    replaced: bool,
}

/// A message on its way into the store: whose session, its id, until when.
type Sending = (usize, String, Task<()>);

struct Model {
    world: World,
    shelf: Arc<Shelf>,
    dice: Dice,
    now: usize,
    sessions: Vec<Live>,
    born: usize,
    sent: Vec<String>,
    sending: Vec<Sending>,
    /// When a client first said that it has a message, and which messages are known in copy.
    proven: HashMap<String, usize>,
    copied: HashSet<String>,
    errors: HashSet<String>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let shelf = Arc::new(Shelf::default());
        let module: Arc<dyn Module> = shelf.clone();
        let world = World::new(&[module]);
        world.people.add("nurse@localhost");
        Self {
            world,
            shelf,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: 0,
            sessions: Vec::new(),
            born: 0,
            sent: Vec::new(),
            sending: Vec::new(),
            proven: HashMap::new(),
            copied: HashSet::new(),
            errors: HashSet::new(),
        }
    }

    fn step(&mut self) {
        self.now += 1;
        match self.dice.below(20) {
            0 | 1 => self.connect(),
            2 => self.end(),
            3 | 4 => self.present(),
            5..=9 => self.send(),
            10..=12 => {
                let fails = self.dice.one_in(12);
                self.shelf.work(fails);
            }
            13 => while self.shelf.work(false) {},
            14..=16 => self.read(),
            17 | 18 => self.prove(),
            _ if self.dice.one_in(3) && !self.sending.is_empty() => {
                // The task that sent it is cut off.
                let cut = self.dice.below(self.sending.len());
                self.sending.swap_remove(cut);
            }
            _ => {}
        }
        self.settle();
    }

    fn connect(&mut self) {
        let account = ACCOUNTS[self.dice.below(ACCOUNTS.len())];
        let jid = format!("{account}/{}", RESOURCES[self.dice.below(RESOURCES.len())]);
        let managed = self.dice.one_in(2);
        self.connect_as(&jid, managed);
    }

    fn connect_as(&mut self, jid: &str, managed: bool) {
        for other in self.sessions.iter_mut().filter(|other| other.actor.jid() == jid) {
            other.replaced = true;
        }
        let actor = self.world.connect(jid);
        if managed {
            actor.claim.manage(false);
        }
        self.born += 1;
        self.sessions.push(Live {
            actor,
            number: self.born,
            born: self.now,
            unproven: VecDeque::new(),
            seen: HashSet::new(),
            latest: HashMap::new(),
            errors: HashSet::new(),
            replaced: false,
        });
    }

    fn end(&mut self) {
        if !self.sessions.is_empty() {
            let which = self.dice.below(self.sessions.len());
            self.end_this(which);
        }
    }

    fn end_this(&mut self, which: usize) {
        let Live { actor, unproven, .. } = self.sessions.swap_remove(which);
        let claim = Arc::into_inner(actor.claim).unwrap();
        let (router, mailbox) = (actor.router, actor.mailbox);
        let release = async move { router.release(claim, mailbox, unproven.into()).await };
        self.sending.push((0, String::new(), Task::new(release)));
    }

    fn present(&mut self) {
        let presences = [
            "<presence/>",
            "<presence/>",
            "<presence><priority>-1</priority></presence>",
            "<presence type='unavailable'/>",
        ];
        let presence = presences[self.dice.below(presences.len())];
        if let Some(session) = self.pick() {
            let sender = &self.sessions[session].actor;
            let routed = sender.router.dispatch(&sender.claim, stanza(presence), None);
            self.sending.push((0, String::new(), Task::new(async { routed.await.await.tell() })));
        }
    }

    fn send(&mut self) {
        let Some(session) = self.pick() else { return };
        let to = ACCOUNTS[self.dice.below(ACCOUNTS.len())];
        let to = match self.dice.below(RESOURCES.len() + 2) {
            resource if resource < RESOURCES.len() => format!("{to}/{}", RESOURCES[resource]),
            _ => to.to_owned(),
        };
        let Live { actor, number, .. } = &self.sessions[session];
        let id = format!("{number}.{}", self.now);
        let message = stanza(&format!("<message to='{to}' type='chat' id='{id}'/>"));
        let routed = actor.router.dispatch(&actor.claim, message, None);
        self.sent.push(id.clone());
        self.sending.push((*number, id, Task::new(async { routed.await.await.tell() })));
    }

    /// A session that is in the table.
    fn pick(&mut self) -> Option<usize> {
        let there = |(_, session): &(usize, &Live)| !session.replaced;
        let count = self.sessions.iter().filter(|session| !session.replaced).count();
        let which = (count > 0).then(|| self.dice.below(count))?;
        self.sessions.iter().enumerate().filter(there).nth(which).map(|(place, _)| place)
    }

    fn read(&mut self) {
        let count = 1 + self.dice.below(4);
        if let Some(session) = self.pick() {
            for _ in 0..count {
                self.read_one(session);
            }
        }
    }

    /// The client sees the next thing. Whether there was one.
    fn read_one(&mut self, session: usize) -> bool {
        go();
        let live = &mut self.sessions[session];
        let Some(Mail::Letter(letter)) = live.actor.mailbox.try_next() else { return false };
        self.look_at(session, &letter);
        self.sessions[session].unproven.push_back(letter);
        true
    }

    fn look_at(&mut self, session: usize, letter: &Letter) {
        let live = &mut self.sessions[session];
        let shelves = self.shelf.0.lock().unwrap();
        let stanza = letter.stanza();
        let Kind::Message(kind) = stanza.kind() else { return };
        let full = stanza.head.id.as_ref().unwrap().as_str();
        let (side, id) = full.split_once('-').unwrap_or(("", full));
        if kind == MessageType::Error {
            if side.is_empty() {
                live.errors.insert(id.to_owned());
                self.errors.insert(id.to_owned());
            }
            return;
        }
        assert!(
            !shelves.fenced.contains(id) || shelves.safe.contains(id),
            "{full} is seen before it is safe"
        );
        assert!(live.seen.insert(full.to_owned()), "{full} comes twice");
        if side.is_empty() {
            let proven = self.proven.get(id);
            assert!(proven.is_none_or(|proven| *proven >= live.born), "{id} comes again");
            let is_old = stanza.child("urn:example", "old").is_some();
            if !is_old && shelves.numbered.contains(id) {
                let (sender, number) = id.split_once('.').unwrap();
                let number: usize = number.parse().unwrap();
                let latest = live.latest.entry(sender.parse().unwrap()).or_default();
                assert!(*latest < number, "{id} comes after {latest}");
                *latest = number;
            }
        }
    }

    fn prove(&mut self) {
        let Some(session) = self.pick() else { return };
        let count = self.dice.below(self.sessions[session].unproven.len() + 1);
        self.prove_some(session, count);
    }

    fn prove_some(&mut self, session: usize, count: usize) {
        let live = &mut self.sessions[session];
        let letters: Vec<_> = live.unproven.drain(..count).collect();
        for letter in &letters {
            let stanza = letter.stanza();
            if stanza.kind() != Kind::Message(MessageType::Chat) {
                continue;
            }
            let full = stanza.head.id.as_ref().unwrap().as_str();
            match full.split_once('-') {
                None => {
                    self.proven.entry(full.to_owned()).or_insert(self.now);
                }
                Some(("received", id)) if letter.is_owed() => {
                    self.copied.insert(id.to_owned());
                }
                Some(_) => {}
            }
        }
        live.actor.router.took(&live.actor.claim, letters);
    }

    /// What can be complete is, and whoever's message could not be kept has heard of it by then.
    fn settle(&mut self) {
        go();
        let mut done = Vec::new();
        self.sending.retain_mut(|(sender, id, task)| {
            let is_done = task.go();
            if is_done && *sender > 0 {
                done.push((*sender, id.clone()));
            }
            !is_done
        });
        for (sender, id) in done {
            let failed = self.shelf.0.lock().unwrap().failed.contains(&id);
            let session =
                self.sessions.iter().position(|live| live.number == sender && !live.replaced);
            if let Some(session) = session.filter(|_| failed) {
                while self.read_one(session) {}
                assert!(self.sessions[session].errors.contains(&id), "{id} failed silently");
            }
        }
    }

    /// Everybody goes, and comes back to read what is left.
    fn end_all(mut self) {
        while !self.sessions.is_empty() {
            self.end_this(0);
            self.settle();
        }
        self.work_off();
        assert!(self.sending.is_empty(), "{} never settled", self.sending.len());
        for account in ACCOUNTS {
            self.now += 1;
            self.connect_as(&format!("{account}/last"), false);
            let session = self.sessions.len() - 1;
            self.sessions[session].actor.send("<presence/>");
            loop {
                self.work_off();
                let before = self.sessions[session].unproven.len();
                while self.read_one(session) {}
                if self.sessions[session].unproven.len() == before {
                    break;
                }
            }
            let all = self.sessions[session].unproven.len();
            self.prove_some(session, all);
            self.work_off();
        }
        let shelves = self.shelf.0.lock().unwrap();
        assert_eq!(shelves.rows.len(), 0, "all of it is taken: {:?}", shelves.rows);
        for id in &self.sent {
            let has_arrived = self.proven.contains_key(id) || self.copied.contains(id);
            assert!(has_arrived || shelves.failed.contains(id), "{id} is lost");
        }
        for id in &self.errors {
            assert!(shelves.failed.contains(id), "{id} came back for nothing");
            let is_kept = shelves.fenced.contains(id) && self.proven.contains_key(id);
            assert!(!is_kept, "{id} came back and arrived");
        }
    }

    fn work_off(&mut self) {
        loop {
            self.settle();
            if !self.shelf.work(false) {
                break;
            }
        }
    }
}

#[test]
fn n01_whatever_happens_nothing_is_lost_or_doubled_or_seen_too_early() {
    for seed in 1..=SEEDS {
        let seen = std::panic::catch_unwind(|| {
            let mut model = Model::new(seed);
            for _ in 0..STEPS {
                model.step();
            }
            model.end_all();
        });
        assert!(seen.is_ok(), "with the seed {seed}");
    }
}
