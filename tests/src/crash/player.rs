//! A device with somebody at it, who chats, changes things, loses the connection and comes back.

use super::{
    device::{Device, Resumption, SM},
    stream::{Door, Places, Stream, is_lost},
    subject::PASSWORD,
    world::{Stage, World},
};
use crate::faults::Dice;
use anyhow::ensure;
use script::Lost;
use std::{mem, net::SocketAddr, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use xmpp_core::{BareJid, ns};

/// Messages that a device has on their way at most.
const WINDOW: usize = 8;
/// How long a visitor stays, and stays away, at most: about as long as the server lives between two kills.
const VISIT: Duration = Duration::from_millis(600);
/// How long it takes until everybody knows of what was done, at most.
const NEWS: Duration = Duration::from_secs(5);
/// How long somebody takes to come back over a broken network, at most.
const AGAIN: Duration = Duration::from_millis(100);

/// When somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Always, and chats.
    Present,
    /// Comes and goes; listens.
    Visitor,
    /// Comes only after all is over.
    Late,
}

/// How long a device waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For each step of the server's, and for a word of it once it was asked for one.
    pub(super) answer: Duration,
    /// Until it asks a silent server whether it is there.
    pub(super) silence: Duration,
    /// In microseconds, how long somebody says nothing, at most.
    pub(super) pause: u64,
    /// In microseconds, how long somebody stays away who lost the connection, at most.
    pub(super) away: u64,
}

/// Whom people know.
#[derive(Debug, Clone)]
pub(super) struct People {
    /// Those who are there.
    pub(super) present: Vec<BareJid>,
    /// Those who are not, or not always.
    pub(super) absent: Vec<BareJid>,
    /// People elsewhere, whom nobody else at the account names or blocks.
    pub(super) strangers: Vec<BareJid>,
}

/// A device with somebody at it.
pub(super) struct Player {
    /// The device.
    pub(super) device: Device,
    /// The door that it uses.
    pub(super) door: Door,
    /// The way there, where it is one of its own.
    pub(super) way: Option<SocketAddr>,
    /// Its resource.
    pub(super) resource: String,
    /// When somebody is there.
    pub(super) habit: Habit,
    /// Whether the device does without stream management.
    pub(super) plain: bool,
    /// Whether it resumes its stream when it comes back; then it also wants copies of what the account's other device sends.
    pub(super) resumes: bool,
    /// What is left to chance.
    pub(super) dice: Dice,
    /// How long it waits.
    pub(super) patience: Patience,
    /// Whom they know.
    pub(super) people: People,
    /// Messages and requests so far.
    pub(super) said: u64,
    /// Counts the acknowledged stanzas of all.
    pub(super) acked: watch::Sender<usize>,
    /// Where those who do not come late say that all they sent is acknowledged.
    pub(super) reports: mpsc::Sender<()>,
    /// Whether it has.
    pub(super) reported: bool,
    /// It has begun to say that it leaves.
    pub(super) closes: bool,
    /// What everybody knows.
    pub(super) world: watch::Receiver<World>,
}

/// Why somebody leaves.
enum End {
    /// The cable was pulled.
    Cut,
    /// A visit is over; the cable is pulled, too.
    Visit,
    /// All is said; the stream ends in order.
    Leave,
    /// The play is over.
    Over,
}

/// What comes to somebody's mind.
enum Whim {
    Say(String),
    End(End),
}

impl Player {
    /// Plays until all is over.
    ///
    /// # Errors
    /// Something went wrong that nothing done to the server or the network explains.
    pub(super) async fn play(mut self) -> anyhow::Result<()> {
        loop {
            let (habit, door) = (self.habit, self.door);
            let there = |now: &World| match now.stage {
                Stage::Over => true,
                Stage::Chat | Stage::Drain => habit != Habit::Late && now.behind(door).open,
                Stage::Late => now.behind(door).open,
            };
            let now = *self.world.wait_for(there).await?;
            if now.stage == Stage::Over {
                return Ok(());
            }
            let away = match self.connected(&now).await {
                Ok(End::Over) => return Ok(()),
                Ok(End::Cut | End::Leave) => self.patience.away,
                Ok(End::Visit) => u64::try_from(VISIT.as_micros())?,
                Err(error) if self.may_break(&now, &error).await => {
                    u64::try_from(AGAIN.as_micros())?
                }
                Err(error) => {
                    return Err(error.context(format!(
                        "{} at {}",
                        self.resource,
                        self.device.account()
                    )));
                }
            };
            let away = Duration::from_micros(self.dice.among(0..away.max(1)));
            let called = self.world.wait_for(|now| now.stage > Stage::Chat);
            // Back in time, or when everybody is to be there.
            if let Ok(called) = timeout_at(Instant::now() + away, called).await {
                called?;
            }
        }
    }

    /// Whether what is done to server and network explains that a connection ended which was begun when the world was so. That
    /// a server has died by itself is known a moment later.
    async fn may_break(&mut self, then: &World, error: &anyhow::Error) -> bool {
        let (door, is_lost) = (self.door, is_lost(error));
        let was = then.behind(door);
        let explains = |now: &World| {
            let is = now.behind(door);
            was.starts != is.starts
                || !is.open
                || now.stage == Stage::Over
                || (now.rough && is_lost)
        };
        matches!(timeout(NEWS, self.world.wait_for(explains)).await, Ok(Ok(_)))
    }

    /// From a connection to its end.
    async fn connected(&mut self, then: &World) -> anyhow::Result<End> {
        let places = match self.way {
            Some(way) => Places { tcp: way, http: way },
            None => then.places,
        };
        let mut stream = self.enter(&places).await?;
        let end = self.talk(then, &mut stream).await;
        // A client looks at all that it has read, whatever happens to it then.
        while let Some(node) = stream.arrived().filter(|node| node.ns != ns::STREAMS) {
            self.device.handle(&node)?;
        }
        // Whether the server has heard of it or not.
        if mem::take(&mut self.closes) {
            self.device.forget()?;
        }
        end
    }

    async fn talk(&mut self, then: &World, stream: &mut Stream) -> anyhow::Result<End> {
        let starts = then.behind(self.door).starts;
        let mut next = Instant::now();
        let (mut heard, mut asked) = (next, false);
        let gone = match self.habit {
            Habit::Visitor => Some(self.visit()),
            Habit::Present | Habit::Late => None,
        };
        loop {
            let now = *self.world.borrow_and_update();
            let mine = now.behind(self.door);
            if now.stage == Stage::Over {
                return Ok(End::Over);
            }
            if now.stage == Stage::Drain && !self.reported && self.device.unacked() == 0 {
                self.reported = true;
                self.reports.send(()).await?;
            }
            // What it says to its last byte is heard.
            if mine.open && mine.starts != starts {
                anyhow::bail!("the server is another");
            }
            let chats = now.stage == Stage::Chat;
            // What it grants has to be known before rosters are compared, and nobody would tell a plain one.
            self.device.grants = chats && !self.plain;
            let may_speak = chats && self.habit == Habit::Present && self.device.unacked() < WINDOW;
            let wait = if asked { self.patience.answer } else { self.patience.silence };
            tokio::select! {
                node = stream.receive() => {
                    let node = node?;
                    (heard, asked) = (Instant::now(), false);
                    let before = self.device.unacked();
                    let answer = self.device.handle(&node)?;
                    let more = before.saturating_sub(self.device.unacked());
                    if let Some(answer) = answer {
                        stream.send(answer).await?;
                    }
                    self.acked.send_modify(|acked| *acked += more);
                }
                changed = self.world.changed() => changed?,
                () = sleep_until(next), if may_speak => {
                    next = Instant::now() + Duration::from_micros(self.dice.among(0..self.patience.pause));
                    match self.whim()? {
                        Whim::Say(words) => stream.send(words).await?,
                        Whim::End(End::Leave) => {
                            self.closes = true;
                            stream.leave().await?;
                            return Ok(End::Leave);
                        }
                        Whim::End(end) => return Ok(end),
                    }
                }
                () = sleep_until(gone.unwrap_or(next)), if chats && gone.is_some() => return Ok(End::Visit),
                () = sleep_until(heard + wait) => {
                    if asked {
                        return Err(Lost::Silence.into());
                    }
                    (heard, asked) = (Instant::now(), true);
                    stream.send(self.device.ping()).await?;
                }
            }
        }
    }

    /// When a visit is over.
    fn visit(&mut self) -> Instant {
        let longest = u64::try_from(VISIT.as_micros()).expect("less than a second");
        Instant::now() + Duration::from_micros(self.dice.among(0..longest))
    }

    /// Resumes the stream there was, or begins a new one.
    async fn enter(&mut self, places: &Places) -> anyhow::Result<Stream> {
        self.device.connects();
        let answer = self.patience.answer;
        let account = self.device.account();
        let (mut stream, features) =
            Stream::open(self.door, places, account, PASSWORD, answer).await?;
        if self.plain {
            let jid = stream.bind(&self.resource).await?;
            self.device.forget()?;
            self.device.bound(&jid)?;
            stream.send("<presence/>").await?;
            return Ok(stream);
        }
        ensure!(features.child(SM, "sm").is_some(), "no stream management is offered");
        match self.device.resume() {
            Some(resume) if self.resumes => {
                stream.send(resume).await?;
                if self.device.answered(&stream.receive().await?)? == Resumption::Resumed {
                    self.say_again(&mut stream).await?;
                    return Ok(stream);
                }
            }
            Some(_) => self.device.forget()?,
            None => {}
        }
        let jid = stream.bind(&self.resource).await?;
        self.device.bound(&jid)?;
        stream.send(format!("<enable xmlns='{SM}' resume='true'/>")).await?;
        loop {
            let node = stream.receive().await?;
            if node.is(SM, "enabled") {
                self.device.enabled(&node);
                break;
            }
            // Bound, it may be sent stanzas, and be it what its last stream had asked for.
            ensure!(node.ns == ns::CLIENT, "<{}> instead of <enabled>: {node:?}", node.name);
            self.device.handle(&node)?;
        }
        // Behind what the server did not come to.
        self.device.stanza("<presence/>".into());
        if self.resumes {
            let copies = format!("<enable xmlns='{}'/>", ns::CARBONS);
            self.device.stanza(format!("<iq type='set' id='copies'>{copies}</iq>"));
        }
        self.say_again(&mut stream).await?;
        Ok(stream)
    }

    async fn say_again(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        let again = self.device.again();
        if !again.is_empty() {
            stream.send(format!("{}<r xmlns='{SM}'/>", again.concat())).await?;
        }
        Ok(())
    }

    /// What comes to somebody's mind: of a hundred times, 60 to chat with those who are there, 15 to leave a message for those
    /// who are not.
    fn whim(&mut self) -> anyhow::Result<Whim> {
        self.said += 1;
        let id = format!("{}-{}", self.resource, self.said);
        let People { present, absent, strangers } = &self.people;
        let (dice, device) = (&mut self.dice, &mut self.device);
        let whim = dice.among(0..100);
        let yes = dice.among(0..3) > 0;
        // Not themselves: whether that is archived once or twice is a matter of taste.
        let own = present.iter().position(|one| one == device.account());
        let other = Some(dice.place(0..present.len())).filter(|one| Some(*one) != own);
        let other = other.map_or(&absent[0], |one| &present[one]);
        let away = &absent[dice.place(0..absent.len())];
        let stranger = &strangers[dice.place(0..strangers.len())];
        let words = match whim {
            60..75 => Some(device.message(&id, away)?),
            75..82 => device.name(&id, stranger, yes)?,
            82..88 if !self.plain => {
                // The other device at the account has the others of them.
                let odd = usize::from(self.resource.ends_with(['1', '3', '5', '7', '9']));
                let half: Vec<_> = absent.iter().skip(odd).step_by(2).collect();
                Some(device.subscribe(half[dice.place(0..half.len())], yes)?)
            }
            88..94 => device.block(&id, stranger, yes)?,
            94..98 => return Ok(Whim::End(End::Cut)),
            98 => return Ok(Whim::End(End::Leave)),
            _ => None,
        };
        Ok(Whim::Say(match words {
            Some(words) => words,
            None => device.message(&id, other)?,
        }))
    }
}
