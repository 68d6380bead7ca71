//! One run: people chat, server, connection manager and network fail in the middle of it, they come back, and then it is
//! asked what is there.

mod disk;

pub use disk::{Ailment, Disk};

use super::{
    check::{Covered, Violation, check},
    device::Device,
    doom::{Doom, deaths},
    history::{Event, History},
    manager::Manager,
    network::Network,
    player::{Habit, Patience, People, Player},
    stock,
    stream::{Door, PATIENCE},
    subject::{Running, Signal, Subject, copy},
    world::{Opening, Stage, World},
};
use crate::faults::Dice;
use anyhow::{Context, bail};
use disk::Ailing;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use xmpp_core::{BareJid, Jid};

/// Accounts whose people are there, each with two devices.
const PRESENT: usize = 8;
/// Accounts whose people come and go, each with one device.
const VISITORS: usize = 2;
/// Accounts whose people come only after all is over, each with one device.
const LATE: usize = 2;
/// The doors that devices use in turn.
const DOORS: [Door; 4] = [Door::Tcp, Door::Tcp, Door::WebSocket, Door::Bosh];
/// Those in front of a connection manager of its own.
const MANAGED: [Door; 4] = [Door::Bosh, Door::WebSocket, Door::Tcp, Door::Bosh];
/// Strangers that a device names and blocks.
const STRANGERS: usize = 4;
/// When nothing more is expected to come.
const SILENCE: Duration = Duration::from_secs(5);
/// The same, after the network was broken: first who is in a black hole has to find that out.
const LONG_SILENCE: Duration = Duration::from_secs(30);
/// What is ended again is ended within so many microseconds.
const SOON: u64 = 200_000;
/// How long a client waits that knows of nothing wrong.
const CALM: Patience =
    Patience { answer: PATIENCE, silence: Duration::from_secs(10), pause: 0, away: 10_000 };
/// The same, over a network that swallows what it likes.
const ROUGH: Patience = Patience {
    answer: Duration::from_secs(2),
    silence: Duration::from_secs(1),
    pause: 0,
    away: 10_000,
};

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
    /// How many times of a hundred it is killed again while it starts or its clients come back.
    pub again: u64,
    /// A device says nothing for so long at most.
    pub pause: Duration,
    /// The only door that is used, if not all are.
    pub door: Option<Door>,
    /// Whether the network fails, too, until the last kill is over and so many messages more are acknowledged.
    pub network: bool,
    /// The connection manager that stands in front of the server and is killed as well, or instead.
    pub manager: Option<PathBuf>,
    /// The places of which it dies at one each time, where it can; it is killed from outside where it does not come by there.
    pub sites: Option<Arc<[String]>>,
    /// The disk that fails under the server, as often as it would be killed otherwise.
    pub disk: Option<Disk>,
    /// Whether the server is Stonechat, which promises something to BOSH clients without stream management, and has settings
    /// that vary from run to run.
    pub ours: bool,
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
    /// How often the connection manager was killed.
    pub managers: usize,
    /// Where the server has died by itself, each time.
    pub deaths: Vec<String>,
    /// How long it took until messages were kept again, each time the disk was well again.
    pub recoveries: Vec<Duration>,
    /// How long it took from the end of the last fault until everybody had all that was acknowledged.
    pub settled: Duration,
}

/// All accounts: those who are there, those who come and go, those who come late.
pub fn accounts() -> Vec<BareJid> {
    let name = |i| if i < PRESENT { format!("p{i}@localhost") } else { format!("a{i}@localhost") };
    (0..PRESENT + VISITORS + LATE).map(|i| bare(&name(i))).collect()
}

fn bare(text: &str) -> BareJid {
    text.parse::<Jid>().expect("an address").to_bare()
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
    let mut subject = subject.clone();
    let mut patience = if plan.network { ROUGH } else { CALM };
    patience.pause = u64::try_from(plan.pause.as_micros())?.max(1);
    // What no archive wants, and is being written when the disk begins to fail, comes back although somebody has it.
    let never = plan.ours && dice.among(0..4) == 0 && plan.disk.is_none();
    if never && !subject.settings.iter().any(|set| set.starts_with("archive.default")) {
        subject.settings.push("archive.default=\"never\"".into());
        history.note(Event::Unarchived)?;
    }
    if plan.ours && dice.among(0..4) == 0 {
        // Some come back in time, some too late, some at that moment.
        subject.settings.push("limits.sm_resume=1".into());
        patience.away = 1_500_000;
    } else if plan.ours && !plan.network && plan.disk.is_none() {
        history.note(Event::Lasting)?;
    }
    // Others leave in doubt what they cannot know.
    let resends = plan.ours && dice.among(0..4) > 0;
    // A refusal that was lost comes to the next stream, where nobody could tell it from that of what was sent again.
    let resends = resends && plan.disk.is_none();
    if let Some(disk) = &plan.disk {
        disk.prepare(template)?;
        subject.settings.extend([disk.setting(), "metrics.listen=['127.0.0.1:0']".into()]);
    }
    let mut stand = Stand::start(subject, data, plan, history.clone()).await?;
    let (reports, mut reported) = mpsc::channel(PRESENT * 4);
    let (acked, mut so_far) = watch::channel(0);
    let mut players = JoinSet::new();
    for (number, (account, habit)) in cast().into_iter().enumerate() {
        let doors = if plan.manager.is_some() { MANAGED } else { DOORS };
        let door = plan.door.unwrap_or(doors[number % doors.len()]);
        // Each account has one of either sort.
        let resumes = number % 2 == (number / 2) % 2;
        let plain = plan.ours && door == Door::Bosh && !resumes;
        let player = Player {
            device: Device::new(account.clone(), plain, resends, history.clone()),
            door,
            way: stand.way(door, number).await?,
            resource: format!("d{number}"),
            habit,
            plain,
            resumes,
            dice: Dice::of(&[plan.seed, number as u64]),
            patience,
            people: people(number),
            said: 0,
            acked: acked.clone(),
            reports: reports.clone(),
            reported: false,
            closes: false,
            world: stand.world.subscribe(),
        };
        players.spawn(player.play());
    }
    // Where nobody is killed, or only before anything was said, or the network still has to be broken for a while, there is a
    // time without.
    let alone = u32::from(plan.network || plan.kills == 0 || plan.sites.is_some());
    for kill in 0..plan.kills + alone {
        let enough = *so_far.borrow() + plan.acked;
        // At any moment, not only where something has just been acknowledged.
        let moment = plan.load + Duration::from_micros(dice.among(0..100_000));
        let under_load = async {
            while *so_far.borrow() < enough {
                timeout(PATIENCE * 4, so_far.changed()).await.context("nobody gets on")??;
            }
            sleep(moment).await;
            anyhow::Ok(())
        };
        tokio::select! {
            reached = under_load => reached?,
            fallen = stand.server.fallen() => fallen?,
            ended = players.join_next() => {
                ended.context("nobody plays")???;
                bail!("a player has left");
            }
        }
        if kill < plan.kills {
            match &plan.disk {
                Some(disk) => stand.ail(disk, &mut dice).await?,
                None => stand.kill(&mut dice, plan, kill + 1 < plan.kills).await?,
            }
        }
    }
    stand.heal()?;
    let well = Instant::now();
    stand.enter(Stage::Drain);
    all_report(&mut players, &mut reported, PRESENT * 2 + VISITORS).await?;
    stand.enter(Stage::Late);
    all_come(&history, if plan.network { LONG_SILENCE } else { SILENCE }).await;
    let settled = well.elapsed();
    // Where nothing was wrong, it is the load itself that took so long.
    if plan.kills > 0 || plan.network {
        history.note(Event::Settled { after: u64::try_from(settled.as_millis())? })?;
    }
    for account in &accounts() {
        stock::take(account, &stand.server.places, &history).await?;
    }
    stand.enter(Stage::Over);
    while let Some(player) = players.join_next().await {
        player??;
    }
    if let Some(disk) = &plan.disk {
        stand.calm(disk).await?;
    }
    let (after, managers, deaths) = (stand.after.clone(), stand.managers, deaths(&stand.data)?);
    let recoveries = stand.recoveries.clone();
    stand.end().await?;
    let (violations, covered) = check(&history.events()?);
    Ok(Outcome { violations, covered, after, managers, deaths, recoveries, settled })
}

/// Who plays: by device.
fn cast() -> Vec<(BareJid, Habit)> {
    let accounts = accounts();
    let (present, absent) = accounts.split_at(PRESENT);
    let twice = present.iter().flat_map(|account| [account; 2]).map(|one| (one, Habit::Present));
    let absent = absent
        .iter()
        .enumerate()
        .map(|(number, one)| (one, if number < VISITORS { Habit::Visitor } else { Habit::Late }));
    twice.chain(absent).map(|(account, habit)| (account.clone(), habit)).collect()
}

fn people(number: usize) -> People {
    let mut present = accounts();
    let absent = present.split_off(PRESENT);
    let strangers = (0..STRANGERS).map(|i| bare(&format!("s{i}-{number}@example.org"))).collect();
    People { present, absent, strangers }
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
async fn all_come(history: &History, silence: Duration) {
    let mut events = history.count();
    loop {
        events.mark_unchanged();
        if history.undelivered() == 0 || timeout(silence, events.changed()).await.is_err() {
            return;
        }
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Server,
    Manager,
    Both,
}

/// The server, what stands in front of it, and what people know of both.
struct Stand {
    subject: Subject,
    data: PathBuf,
    history: Arc<History>,
    server: Running,
    /// The program, the way to the server that it was told, and it.
    manager: Option<(PathBuf, SocketAddr, Manager)>,
    seed: u64,
    /// Where there is a way to anywhere that is not direct.
    network: Option<Network>,
    world: watch::Sender<World>,
    after: Vec<Duration>,
    managers: usize,
    /// Where the server is to die by itself, after the next starts.
    dooms: VecDeque<Doom>,
    /// What is the matter with the disk until the server has ended.
    ailing: Option<Ailing>,
    /// How often the disk has failed.
    troubles: u32,
    recoveries: Vec<Duration>,
}

impl Stand {
    async fn start(
        subject: Subject,
        data: PathBuf,
        plan: &Plan,
        history: Arc<History>,
    ) -> anyhow::Result<Self> {
        let mut dice = Dice::of(&[plan.seed, u64::MAX]);
        let dooms = plan.sites.iter().flat_map(|sites| {
            let turns =
                (0..plan.kills).map(|kill| plan.seed * u64::from(plan.kills) + u64::from(kill));
            turns.map(|turn| Doom::of(sites, turn, &mut dice)).collect::<Vec<_>>()
        });
        let mut dooms: VecDeque<_> = dooms.collect();
        let server = subject.start(&data, dooms.pop_front()).await?;
        let mut places = server.places;
        let indirect = plan.network || plan.manager.is_some();
        let mut network = indirect.then(|| Network::new(places, plan.network));
        let manager = match (&plan.manager, &mut network) {
            (Some(program), Some(network)) => {
                let way = network.way(Door::Tcp, &[plan.seed, u64::MAX]).await?;
                let manager = Manager::start(program, way, &data).await?;
                places.http = manager.http;
                network.lead_to(places);
                Some((program.clone(), way, manager))
            }
            _ => None,
        };
        let open = Opening { starts: 0, open: true };
        let (stage, rough) = (Stage::Chat, plan.network);
        let world = World { stage, places, server: open, web: open, rough };
        Ok(Self {
            subject,
            data,
            history,
            server,
            manager,
            seed: plan.seed,
            network,
            world: watch::Sender::new(world),
            after: Vec::new(),
            managers: 0,
            dooms,
            ailing: None,
            troubles: 0,
            recoveries: Vec::new(),
        })
    }

    /// The way of this device, where it is one of its own.
    async fn way(&mut self, door: Door, number: usize) -> anyhow::Result<Option<SocketAddr>> {
        let rough = self.world.borrow().rough;
        Ok(match &mut self.network {
            Some(network) if rough => Some(network.way(door, &[self.seed, number as u64]).await?),
            _ => None,
        })
    }

    /// Ends something in the middle of its work, and has it serve again, doomed where there is `more` to come.
    async fn kill(&mut self, dice: &mut Dice, plan: &Plan, more: bool) -> anyhow::Result<()> {
        loop {
            let target = match (&self.manager, dice.among(0..4)) {
                (None, _) | (_, 0) => Target::Server,
                (_, 1) => Target::Both,
                _ => Target::Manager,
            };
            let stops = self.server.doom.as_ref().is_some_and(Doom::comes_at_the_end);
            let signal =
                if dice.among(0..100) < plan.term || stops { Signal::Term } else { Signal::Kill };
            let again = dice.among(0..100) < plan.again;
            let soon = Duration::from_micros(dice.among(0..SOON));
            // Either before it serves or while its clients come back.
            let early = again && dice.among(0..2) == 0;
            let is_last = !again || early;
            let doomed = is_last && more;
            self.end_and_start(target, signal, early.then_some(soon), doomed).await?;
            if is_last {
                return Ok(());
            }
            sleep(soon).await;
        }
    }

    async fn end_and_start(
        &mut self,
        target: Target,
        signal: Signal,
        again: Option<Duration>,
        doomed: bool,
    ) -> anyhow::Result<()> {
        let (server, manager) = (target != Target::Manager, target != Target::Server);
        // Without its server a manager ends all its sessions.
        self.world.send_modify(|world| {
            world.web.close();
            if server {
                world.server.close();
            }
        });
        if manager && let Some((_, _, manager)) = &mut self.manager {
            self.history.note(Event::Killed { what: "manager" })?;
            manager.end(signal).await?;
            self.managers += 1;
        }
        if server {
            self.history.note(Event::Killed { what: "server" })?;
            self.server.end(signal).await?;
            // Where it did not come by its successor may.
            if let Some(doom) = self.server.doom.take().filter(|doom| !doom.has_come(&self.data)) {
                self.dooms.push_front(doom);
            }
        }
        if let Some(ailing) = self.ailing.take() {
            ailing.end().await?;
        }
        if manager && let Some((program, way, manager)) = &mut self.manager {
            // Perhaps before there is a server again.
            *manager = Manager::start(program, *way, &self.data).await?;
            let after = u64::try_from(manager.after.as_millis())?;
            self.history.note(Event::Ready { after, what: "manager" })?;
        }
        if server {
            if let Some(time) = again {
                let mut starting = self.subject.begin(&self.data, None)?;
                // Whether it was ready by then is all the same.
                let _ready = timeout(time, starting.ready()).await;
                starting.end(Signal::Kill).await?;
            }
            let doom = if doomed { self.dooms.pop_front() } else { None };
            self.server = self.subject.start(&self.data, doom).await?;
            let after = u64::try_from(self.server.after.as_millis())?;
            self.history.note(Event::Ready { after, what: "server" })?;
            self.after.push(self.server.after);
        }
        let mut places = self.server.places;
        if let Some((_, _, manager)) = &self.manager {
            places.http = manager.http;
        }
        if let Some(network) = &self.network {
            network.lead_to(places);
        }
        self.world.send_modify(|world| {
            world.places = places;
            world.web.reopen();
            if server {
                world.server.reopen();
            }
        });
        Ok(())
    }

    /// The network is well from now on.
    fn heal(&mut self) -> anyhow::Result<()> {
        if self.world.borrow().rough
            && let Some(network) = &self.network
        {
            network.heal();
            self.history.note(Event::Healed)?;
        }
        Ok(())
    }

    fn enter(&self, stage: Stage) {
        self.world.send_modify(|world| world.stage = stage);
    }

    async fn end(mut self) -> anyhow::Result<()> {
        if let Some((_, _, manager)) = &mut self.manager {
            manager.end(Signal::Kill).await?;
        }
        self.server.end(Signal::Kill).await
    }
}
