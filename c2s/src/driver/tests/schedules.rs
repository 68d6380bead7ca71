//! Whatever happens to a client's connections, by many seeds: one session, every message once and in order, and what nobody
//! acknowledged back at its sender (threat S04).

use super::{
    managed::{MAX, a, cut, patient},
    world::{Client, Verona},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{task::JoinHandle, time};

/// Dice that fall the same way for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Juliet, who counts.
struct Juliet {
    client: Client,
    task: JoinHandle<()>,
    token: String,
    /// Stanzas that she has on this stream.
    has: u32,
    /// Messages that she has, in all sessions.
    messages: Vec<u32>,
    /// How many of them she had when this stream began.
    before: usize,
    /// Those that she has acknowledged.
    acknowledged: BTreeSet<u32>,
}

/// The numbers of the messages in what was heard, of one kind or the other.
fn numbers(heard: &str, errors: bool) -> Vec<u32> {
    let messages = heard.split("<message ").skip(1);
    let messages = messages.filter(|message| message.starts_with("type='error'") == errors);
    let number = |message: &str| {
        let (_, id) = message.split_once("id='m").expect("all have ids");
        id.split_once('\'').expect("an attribute").0.parse().expect("a number")
    };
    messages.map(number).collect()
}

impl Juliet {
    async fn arrive(verona: &Verona) -> Self {
        let (mut client, task) = verona.visitor("juliet").await;
        client.bind("home").await;
        let token = client.enable().await;
        let (messages, acknowledged) = (Vec::new(), BTreeSet::new());
        Self { client, task, token, has: 0, messages, before: 0, acknowledged }
    }

    /// Takes in all that has come.
    async fn read(&mut self) {
        let heard = self.client.sync().await;
        self.note(&heard);
    }

    fn note(&mut self, heard: &str) {
        let starts = ["<message ", "<presence ", "<iq "];
        let count: usize = starts.iter().map(|start| heard.matches(start).count()).sum();
        self.has += u32::try_from(count).expect("few");
        self.messages.extend(numbers(heard, false));
    }

    async fn acknowledge(&mut self) {
        self.client.say(&a(self.has)).await;
        self.acknowledged.extend(&self.messages[self.before..]);
    }

    /// Goes on by another connection, if she can. Whether she could.
    async fn resume(&mut self, verona: &Verona) -> bool {
        let (mut client, task) = verona.visitor("juliet").await;
        client.ask_for(&self.token, self.has).await;
        let answer = client.hear("/>").await;
        let resumed = answer.starts_with("<resumed ");
        assert!(resumed || answer.contains("<item-not-found "), "{answer}");
        if resumed {
            self.acknowledged.extend(&self.messages[self.before..]);
            (self.client, self.task) = (client, task);
        }
        resumed
    }

    /// She has another session from here on.
    async fn begin_anew(&mut self, verona: &Verona) {
        let new = Self::arrive(verona).await;
        (self.client, self.task, self.token, self.has) = (new.client, new.task, new.token, 0);
        self.before = self.messages.len();
    }
}

#[tokio::test(start_paused = true)]
async fn s04_l05_every_message_once_whatever_the_connections_do() {
    let (mut resumed, mut lost) = (0, 0);
    for seed in 1..=150 {
        let verona = Verona::with(patient()).await;
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (mut romeo, _task) = verona.resident("romeo").await;
        let mut juliet = Juliet::arrive(&verona).await;
        let mut returned = String::new();
        let mut sent = 0;
        for _ in 0..25 {
            match dice.roll(8) {
                0..3 => {
                    let message = format!(
                        "<message type='chat' to='juliet@verona.lit/home' id='m{sent}'><body>x</body></message>"
                    );
                    romeo.say(&message).await;
                    returned.push_str(&romeo.sync().await);
                    sent += 1;
                }
                3 => juliet.read().await,
                4 => {
                    juliet.read().await;
                    juliet.acknowledge().await;
                    juliet.read().await;
                }
                // the connection is lost, for a moment or for too long, with what she did not read
                5 => {
                    let Juliet { client, task, .. } = &mut juliet;
                    let (gone, _) = verona.pipe();
                    cut(
                        std::mem::replace(client, gone),
                        std::mem::replace(task, tokio::spawn(async {})),
                    )
                    .await;
                    time::advance(MAX / 8 * u32::try_from(dice.roll(10)).expect("few")).await;
                    returned.push_str(&romeo.sync().await);
                    if juliet.resume(&verona).await {
                        resumed += 1;
                    } else {
                        lost += 1;
                        juliet.begin_anew(&verona).await;
                    }
                }
                // the connection looks alive
                6 => {
                    assert!(juliet.resume(&verona).await, "{seed}");
                    resumed += 1;
                }
                // she is impatient: of two the later one has it in the end, or neither knows of the other
                _ => {
                    let (mut hasty, _task) = verona.visitor("juliet").await;
                    hasty.ask_for(&juliet.token, juliet.has).await;
                    if juliet.resume(&verona).await {
                        resumed += 1;
                    } else {
                        // the hasty one has it
                        hasty.hear("/>").await;
                        drop(hasty);
                        time::advance(Duration::from_millis(10)).await;
                        assert!(juliet.resume(&verona).await, "{seed}");
                    }
                }
            }
        }
        juliet.read().await;
        juliet.acknowledge().await;
        juliet.read().await;
        returned.push_str(&romeo.sync().await);
        let returned = numbers(&returned, true);
        assert!(returned.is_sorted() && returned.windows(2).all(|two| two[0] < two[1]), "{seed}");
        assert!(
            juliet.messages.windows(2).all(|two| two[0] < two[1]),
            "{seed}: {:?}",
            juliet.messages
        );
        let (had, back): (BTreeSet<u32>, BTreeSet<u32>) =
            (juliet.messages.iter().copied().collect(), returned.into_iter().collect());
        let both: Vec<_> = juliet.acknowledged.intersection(&back).collect();
        assert!(both.is_empty(), "{seed}: acknowledged and returned: {both:?}");
        assert_eq!(had.union(&back).count(), sent, "{seed}: had {had:?}, returned {back:?}");
    }
    assert!(resumed > 300 && lost > 20, "{resumed} {lost}");
}
