//! One run: people chat, the server is killed in the middle of it and started again, they come back, and then it is asked
//! what is there.

use super::{
    check::{Covered, Violation, check},
    device::{Device, Resumption, SM},
    history::{Event, History},
    stream::{Door, PATIENCE, Places, Stream},
    subject::{PASSWORD, Running, Signal, Subject, copy},
};
use crate::faults::Dice;
use anyhow::{Context, bail, ensure};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use xmpp_core::{BareJid, Jid, ns, xml::Node};

/// Accounts whose people are there, each with two devices.
const PRESENT: usize = 8;
/// Accounts whose people come only after all is over.
const ABSENT: usize = 3;
/// The doors that devices use in turn.
const DOORS: [Door; 4] = [Door::Tcp, Door::Tcp, Door::WebSocket, Door::Bosh];
/// Contacts that a device names.
const CONTACTS: usize = 4;
/// When nothing more is expected to come.
const SILENCE: Duration = Duration::from_secs(5);
/// Messages that a device has on their way at most.
const WINDOW: usize = 8;

/// What is done to the server.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// It is killed once so many messages are acknowledged.
    pub acked: usize,
    /// And so long after that, and a tenth of a second more or less.
    pub load: Duration,
    /// How often it is killed; where never, it is only watched.
    pub kills: u32,
    /// How many kills of a hundred are by SIGTERM, which lets it end in good order.
    pub term: u64,
    /// A device says nothing for so long at most.
    pub pause: Duration,
    /// The only door that is used, if not all are.
    pub door: Option<Door>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rules that did not hold.
    pub violations: Vec<Violation>,
    /// What there was to check.
    pub covered: Covered,
    /// How long the server took to serve again, each time.
    pub after: Vec<Duration>,
}

/// All accounts: those who are there, then those who are not.
pub fn accounts() -> Vec<BareJid> {
    let name = |i| if i < PRESENT { format!("p{i}@localhost") } else { format!("a{i}@localhost") };
    (0..PRESENT + ABSENT).map(|i| bare(&name(i))).collect()
}

fn bare(text: &str) -> BareJid {
    text.parse::<Jid>().expect("an address").to_bare()
}

/// What everybody is to do.
#[derive(Debug, Clone)]
enum Phase {
    /// Chat; at this start of the server.
    Chat(u32, Places),
    /// The server is being killed: what breaks breaks.
    Down(u32),
    /// Say nothing new, until all is acknowledged.
    Drain(u32, Places),
    /// Those who were away come, too.
    Late(u32, Places),
    /// Go.
    Over,
}

impl Phase {
    fn places(&self) -> Option<(u32, &Places)> {
        match self {
            Self::Chat(start, places) | Self::Drain(start, places) | Self::Late(start, places) => {
                Some((*start, places))
            }
            Self::Down(_) | Self::Over => None,
        }
    }

    /// Whether a connection to this start of the server may break.
    fn breaks(&self, start: u32) -> bool {
        match self {
            Self::Down(now) => *now >= start,
            Self::Over => true,
            Self::Chat(now, _) | Self::Drain(now, _) | Self::Late(now, _) => *now > start,
        }
    }
}

/// Plays one run in this folder, from a copy of `template`; leaves the history in it.
///
/// # Errors
/// Something else went wrong than a rule: the server did not start, or ended a stream by itself.
pub async fn run(
    subject: &Subject,
    template: &Path,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Outcome> {
    let data = folder.join("data");
    copy(template, &data)?;
    let history = Arc::new(History::new(&folder.join("history.tsv"))?);
    let mut dice = Dice::of(&[plan.seed]);
    let mut server = subject.start(&data, &[]).await?;
    let mut after = Vec::new();
    let mut start = 0;
    let (phase, _) = watch::channel(Phase::Chat(start, server.places.clone()));
    let (reports, mut reported) = mpsc::channel(PRESENT * 4);
    let (acked, mut so_far) = watch::channel(0);
    let accounts = accounts();
    let (present, absent) = accounts.split_at(PRESENT);
    let mut players = JoinSet::new();
    let twice = present.iter().flat_map(|account| [account; 2]).map(|account| (account, false));
    let all = twice.chain(absent.iter().map(|account| (account, true)));
    for (number, (account, late)) in all.enumerate() {
        let player = Player {
            device: Device::new(account.clone(), history.clone()),
            door: plan.door.unwrap_or(DOORS[number % DOORS.len()]),
            resource: format!("d{number}"),
            late,
            dice: Dice::of(&[plan.seed, number as u64]),
            accounts: accounts.clone(),
            contacts: (0..CONTACTS).map(|i| bare(&format!("c{i}-{number}@example.org"))).collect(),
            messages: 0,
            pause: u64::try_from(plan.pause.as_micros())?.max(1),
            acked: acked.clone(),
            reports: reports.clone(),
            phase: phase.subscribe(),
        };
        players.spawn(player.play());
    }
    for kill in 0..plan.kills.max(1) {
        let enough = *so_far.borrow() + plan.acked;
        // At any moment, not only where something has just been acknowledged.
        let moment = plan.load + Duration::from_micros(dice.among(0..100_000));
        let under_load = async {
            so_far.wait_for(|acked| *acked >= enough).await?;
            tokio::time::sleep(moment).await;
            anyhow::Ok(())
        };
        tokio::select! {
            reached = under_load => reached?,
            ended = players.join_next() => {
                ended.context("nobody plays")???;
                bail!("a player has left");
            }
        }
        if kill == plan.kills {
            break; // the server is left alone
        }
        let signal = if dice.among(0..100) < plan.term { Signal::Term } else { Signal::Kill };
        phase.send_replace(Phase::Down(start));
        history.note(Event::Killed)?;
        server.end(signal).await?;
        server = subject.start(&data, &[]).await?;
        history.note(Event::Ready { after: u64::try_from(server.after.as_millis())? })?;
        after.push(server.after);
        start += 1;
        phase.send_replace(Phase::Chat(start, server.places.clone()));
    }
    phase.send_replace(Phase::Drain(start, server.places.clone()));
    all_report(&mut players, &mut reported, present.len() * 2).await?;
    phase.send_replace(Phase::Late(start, server.places.clone()));
    all_come(&history).await;
    history.note(Event::Settled)?;
    for account in &accounts {
        take_stock(account, &server, &history).await?;
    }
    phase.send_replace(Phase::Over);
    while let Some(player) = players.join_next().await {
        player??;
    }
    server.end(Signal::Kill).await?;
    let (violations, covered) = check(&history.events()?);
    Ok(Outcome { violations, covered, after })
}

/// Waits until so many have said that all they sent is acknowledged.
async fn all_report(
    players: &mut JoinSet<anyhow::Result<()>>,
    reported: &mut mpsc::Receiver<()>,
    mut missing: usize,
) -> anyhow::Result<()> {
    while missing > 0 {
        tokio::select! {
            report = timeout(PATIENCE, reported.recv()) => {
                let report = report.with_context(|| format!("{missing} players wait in vain for acknowledgements"))?;
                missing -= usize::from(report.is_some());
            }
            ended = players.join_next() => {
                ended.context("nobody plays")???;
                bail!("a player has left");
            }
        }
    }
    Ok(())
}

/// Waits until all that was acknowledged has come, as long as something comes.
async fn all_come(history: &History) {
    let mut events = history.count();
    loop {
        events.mark_unchanged();
        if history.undelivered() == 0 || timeout(SILENCE, events.changed()).await.is_err() {
            return;
        }
    }
}

/// A device with somebody at it.
struct Player {
    device: Device,
    door: Door,
    resource: String,
    /// Comes only after all is over.
    late: bool,
    dice: Dice,
    accounts: Vec<BareJid>,
    /// Whom nobody else at the account gives names.
    contacts: Vec<BareJid>,
    messages: u64,
    /// In microseconds, how long it says nothing, at most.
    pause: u64,
    acked: watch::Sender<usize>,
    reports: mpsc::Sender<()>,
    phase: watch::Receiver<Phase>,
}

/// Why a connection ended.
enum End {
    /// The player cut it.
    Cut,
    /// The play is over.
    Over,
}

impl Player {
    async fn play(mut self) -> anyhow::Result<()> {
        loop {
            let late = self.late;
            let now = self.phase.wait_for(|now| match now {
                Phase::Chat(..) | Phase::Drain(..) => !late,
                Phase::Late(..) | Phase::Over => true,
                Phase::Down(_) => false,
            });
            let now = now.await?.clone();
            let Some((start, places)) = now.places() else { return Ok(()) };
            match self.connected(start, places).await {
                Ok(End::Cut) => {}
                Ok(End::Over) => return Ok(()),
                Err(_) if self.phase.borrow().breaks(start) => {
                    let next = |now: &Phase| now.places().is_some_and(|(its, _)| its > start);
                    self.phase.wait_for(|now| next(now) || matches!(now, Phase::Over)).await?;
                }
                Err(error) => {
                    return Err(error.context(format!(
                        "{} at {}",
                        self.resource,
                        self.device.account()
                    )));
                }
            }
        }
    }

    /// From a connection to its end.
    async fn connected(&mut self, start: u32, places: &Places) -> anyhow::Result<End> {
        let mut stream = self.enter(places).await?;
        let mut done = false;
        let mut next = Instant::now();
        loop {
            let now = self.phase.borrow_and_update().clone();
            match now {
                Phase::Over => return Ok(End::Over),
                Phase::Drain(..) if !done && self.device.unacked() == 0 => {
                    done = true;
                    self.reports.send(()).await?;
                }
                _ => {}
            }
            // What it says to its last byte is heard.
            if now.breaks(start) && !matches!(now, Phase::Down(_)) {
                bail!("the server is gone");
            }
            let may_speak = matches!(now, Phase::Chat(..)) && self.device.unacked() < WINDOW;
            tokio::select! {
                node = stream.receive() => {
                    let node = node?;
                    let before = self.device.unacked();
                    if let Some(answer) = self.device.handle(&node)? {
                        stream.send(answer).await?;
                    }
                    let more = before.saturating_sub(self.device.unacked());
                    self.acked.send_modify(|acked| *acked += more);
                }
                changed = self.phase.changed() => changed?,
                () = sleep_until(next), if may_speak => {
                    next = Instant::now() + Duration::from_micros(self.dice.among(0..self.pause));
                    match self.speak()? {
                        Some(words) => stream.send(words).await?,
                        None => return Ok(End::Cut),
                    }
                }
            }
        }
    }

    /// Resumes the stream there was, or begins a new one.
    async fn enter(&mut self, places: &Places) -> anyhow::Result<Stream> {
        let (mut stream, features) =
            Stream::open(self.door, places, self.device.account(), PASSWORD).await?;
        ensure!(features.child(SM, "sm").is_some(), "no stream management is offered");
        if let Some(resume) = self.device.resume() {
            stream.send(resume).await?;
            if self.device.answered(&stream.receive().await?)? == Resumption::Resumed {
                self.say_again(&mut stream).await?;
                return Ok(stream);
            }
        }
        let jid = bind(&mut stream, &self.resource).await?;
        self.device.bound(&jid)?;
        stream.send(format!("<enable xmlns='{SM}' resume='true'/>")).await?;
        self.device.enabled(&stream.expect(SM, "enabled").await?);
        // Behind what the server did not come to.
        self.device.stanza("<presence/>".into());
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

    /// What comes to somebody's mind; nothing: to pull the cable.
    fn speak(&mut self) -> anyhow::Result<Option<String>> {
        self.messages += 1;
        let id = format!("{}-{}", self.resource, self.messages);
        let whim = self.dice.among(0..100);
        let whom = match whim {
            0..60 => 0..PRESENT,
            60..80 => PRESENT..PRESENT + ABSENT,
            _ => 0..self.accounts.len(),
        };
        // Not themselves: whether that is archived once or twice is a matter of taste.
        let own = self.accounts.iter().position(|one| one == self.device.account());
        let whom = Some(self.dice.place(whom)).filter(|one| Some(*one) != own).unwrap_or(PRESENT);
        let whom = self.accounts[whom].clone();
        Ok(Some(match whim {
            0..80 => self.device.message(&id, &whom)?,
            80..98 => match self.device.name(&id, &self.contacts[self.dice.place(0..CONTACTS)])? {
                Some(words) => words,
                None => self.device.message(&id, &whom)?,
            },
            _ => return Ok(None),
        }))
    }
}

async fn bind(stream: &mut Stream, resource: &str) -> anyhow::Result<String> {
    let bind = format!(
        "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
        ns::BIND
    );
    stream.send(bind).await?;
    let bound = stream.expect(ns::CLIENT, "iq").await?;
    let jid = bound.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid"));
    Ok(jid.context("no address is bound")?.text.clone())
}

/// Asks for an account's whole archive and roster.
async fn take_stock(account: &BareJid, server: &Running, history: &History) -> anyhow::Result<()> {
    let (mut stream, _) = Stream::open(Door::Tcp, &server.places, account, PASSWORD).await?;
    bind(&mut stream, "stock").await?;
    let owner = account.to_string();
    let mut after = String::new();
    loop {
        let query = format!(
            "<iq type='set' id='page'><query xmlns='{MAM}' queryid='q'><set xmlns='{RSM}'><max>100</max>{after}</set></query></iq>"
        );
        stream.send(query).await?;
        let fin = loop {
            let node = stream.receive().await?;
            if node.is(ns::CLIENT, "iq") && node.attr("id") == Some("page") {
                break node.child(MAM, "fin").cloned().with_context(|| format!("{node:?}"))?;
            }
            if let Some((id, uid)) = archived(&node) {
                history.note(Event::Archived { owner: owner.clone(), id, uid })?;
            }
        };
        if fin.attr("complete") == Some("true") {
            break;
        }
        let last = fin.child(RSM, "set").and_then(|set| set.child(RSM, "last"));
        after = format!("<after>{}</after>", last.context("a page without its last")?.text);
    }
    stream.send(format!("<iq type='get' id='roster'><query xmlns='{}'/></iq>", ns::ROSTER)).await?;
    loop {
        let node = stream.receive().await?;
        if node.attr("id") == Some("roster") {
            let query = node.child(ns::ROSTER, "query").context("a roster")?;
            for item in &query.children {
                let attr = |name| item.attr(name).unwrap_or_default().to_owned();
                history.note(Event::Item {
                    owner: owner.clone(),
                    contact: attr("jid"),
                    name: attr("name"),
                })?;
            }
            return Ok(());
        }
    }
}

/// XEP-0313.
const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0059.
const RSM: &str = "http://jabber.org/protocol/rsm";

/// The message's id and the archive's, of a result.
fn archived(node: &Node) -> Option<(String, String)> {
    let result = node.child(MAM, "result")?;
    let message = result.child(ns::FORWARD, "forwarded")?.child(ns::CLIENT, "message")?;
    Some((message.attr("id")?.to_owned(), result.attr("id")?.to_owned()))
}
