//! The loss test: two people talk through a network that fails in every way that HTTP can, and nothing that they say may
//! be lost, doubled or out of order.
//!
//! Both have a session of the manager under test and a correct client ([`client`]): it keeps within the window of
//! `requests`, reads answers in the order of `rid`, and repeats what was not answered, unchanged. Between each client
//! and the manager is a [`Meddler`] that spoils requests and responses; below it the network may spoil bytes
//! ([`FaultProxy`](crate::faults::FaultProxy)). All of it follows from one seed.

mod client;

use super::{Dial, Lab, Stop};
use crate::faults::{Dice, http::Meddler};
use client::{Client, Ear, Voice};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// How long nothing may arrive: many times what the worst luck takes.
const STUCK: Duration = Duration::from_secs(60);
/// Seconds that a request is held at most. Few, since nothing else tells a client that its response was swallowed.
const WAIT: u64 = 2;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Messages that arrived from the first account, and from the second.
    pub arrived: [u64; 2],
    /// Requests by what became of them.
    pub requests: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub time: Duration,
    /// What was wrong, if anything.
    pub wrong: Option<String>,
}

/// Has the two accounts say so many messages to each other, over this network. The logins before it are not disturbed.
pub async fn run(lab: &Arc<Lab>, network: Dial, seed: u64, messages: u64) -> Outcome {
    let start = Instant::now();
    let meddlers = [1, 2].map(|side| Meddler::new(Dice::of(&[seed, side]).number()));
    let (heard, progress): (Vec<_>, Vec<_>) =
        [(); 2].map(|()| watch::channel(0)).into_iter().unzip();
    let dials = [0, 1].map(|side| meddlers[side].between(Arc::clone(&network)));
    let outcome = tokio::select! {
        outcome = talk(lab, dials, seed, messages, heard, progress.clone()) => outcome,
        () = stuck(progress.clone()) => {
            Err(Stop::Fail(format!("nothing more arrives within {} s", STUCK.as_secs())))
        }
    };
    let mut wrong = match outcome {
        Ok(()) => None,
        Err(Stop::Fail(why) | Stop::NotOffered(why) | Stop::NotMeasured(why)) => Some(why),
    };
    let mut requests = BTreeMap::new();
    for meddler in &meddlers {
        for (word, count) in meddler.counts() {
            *requests.entry(word).or_default() += count;
        }
        if let Some(number) = meddler.differing() {
            wrong.get_or_insert(format!("request {number} got other bytes when it was repeated"));
        }
    }
    let arrived = [0, 1].map(|side| *progress[side].borrow());
    Outcome { seed, arrived, requests, time: start.elapsed(), wrong }
}

async fn talk(
    lab: &Arc<Lab>,
    dials: [Dial; 2],
    seed: u64,
    messages: u64,
    heard: Vec<watch::Sender<u64>>,
    progress: Vec<watch::Receiver<u64>>,
) -> Result<(), Stop> {
    // Half of the seeds acknowledge (XEP-0124 9); one request is held, or two.
    let mut dice = Dice::of(&[seed]);
    let ask = lab.ask().set("wait", WAIT).set("hold", dice.among(1..3));
    let acknowledges = dice.among(0..2) == 0;
    let ask = if acknowledges { ask.set("ack", 1) } else { ask };
    let (first, second) = tokio::try_join!(ask.clone().login(0), ask.login(1))?;
    let names = ["first", "second"].map(|who| format!("loss-{seed}-{who}"));
    let mut voices = [(&second, 0), (&first, 1)].map(|(other, side)| {
        let heard = progress[side].clone();
        Some(Voice::new(names[side].clone(), other.jid.clone(), messages, heard, dice.number()))
    });
    let mut heard: Vec<_> = heard.into_iter().map(Some).collect();
    let mut clients = Vec::new();
    for (side, (session, dial)) in [first, second].into_iter().zip(dials).enumerate() {
        let other = 1 - side;
        let voice = voices[side].take().expect("each speaks once");
        let heard = heard[other].take().expect("each hears once");
        let ear = Ear::new(names[other].clone(), messages, heard);
        clients.push(Client::new(session, dial, acknowledges, voice, ear)?);
    }
    let [first, second] = &mut clients[..] else { unreachable!("there are two") };
    tokio::try_join!(first.run(), second.run())?;
    Ok(())
}

/// Completes when neither hears anything for too long.
async fn stuck(progress: Vec<watch::Receiver<u64>>) {
    let [mut first, mut second] = <[_; 2]>::try_from(progress).expect("there are two");
    loop {
        let heard = async {
            tokio::select! {
                changed = first.changed() => changed,
                changed = second.changed() => changed,
            }
        };
        match timeout(STUCK, heard).await {
            Ok(Ok(())) => {}
            // The conversation is over, which is told elsewhere.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

impl Outcome {
    /// Requests in all.
    pub fn sent(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Those that did not just pass.
    pub fn spoiled(&self) -> u64 {
        self.sent() - self.requests.get("passed").copied().unwrap_or_default()
    }
}

/// In one line.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, arrived: [there, back], time, wrong, .. } = self;
        let word = if wrong.is_none() { "pass" } else { "FAIL" };
        write!(f, "{word}  seed {seed}: {there} messages there, {back} back, ")?;
        let (sent, spoiled) = (self.sent(), self.spoiled());
        write!(f, "{sent} requests, {spoiled} of them spoiled, {:.1} s", time.as_secs_f32())?;
        wrong.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}
