//! Many at once, over a store that takes its time: everything comes, once, in order, and nobody waits for ever.
#![allow(clippy::unwrap_used, reason = "a test")]

mod house;

use house::{House, stanza};
use roster_store::{Caps, Durability, Store, memory::Memory, sqlite::Sqlite};
use router::{BoxFuture, Mail};
use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// More than the slowest machine takes; only a deadlock reaches it.
const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const MESSAGES: usize = 150;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; `None` where it was given up after so many polls.
fn run<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let started = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        thread::park_timeout(PATIENCE);
        assert!(started.elapsed() < PATIENCE, "it waits for ever");
    }
    None
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    run(future, usize::MAX).unwrap()
}

fn caps() -> Caps {
    Caps { offline_messages: 100_000, ..Caps::default() }
}

fn populate(store: &Arc<dyn Store>) -> House {
    let house = House::over(store.clone(), caps());
    let spawner: fn(BoxFuture<'static, ()>) = |task| drop(thread::spawn(|| wait(task)));
    house.clock.spawner.set(spawner).unwrap();
    for name in 0..SENDERS {
        let credentials = xmpp_core::sasl::Credentials::derive("x", 1, &[[0; 16]; 3]).unwrap();
        wait(store.create(&format!("sender{name}@localhost").parse().unwrap(), credentials))
            .unwrap();
    }
    let credentials = xmpp_core::sasl::Credentials::derive("x", 1, &[[0; 16]; 3]).unwrap();
    wait(store.create(&"juliet@localhost".parse().unwrap(), credentials)).unwrap();
    house
}

/// Messages go to somebody who comes and goes, reads a little, sees more than she acknowledges, and is cut off in the middle of
/// logging in. Half of the senders hear what is safe.
fn everything_comes_once_and_in_order(store: &Arc<dyn Store>) {
    let house = populate(store);
    let router = &house.router;
    let busy = AtomicUsize::new(SENDERS);
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    thread::scope(|scope| {
        for name in 0..SENDERS {
            let busy = &busy;
            scope.spawn(move || {
                let account = format!("sender{name}@localhost").parse().unwrap();
                let (claim, mut mailbox) = wait(router.claim(&account, Some("x"))).unwrap();
                if name % 2 == 0 {
                    claim.manage(false);
                }
                for number in 0..MESSAGES {
                    let xml = format!(
                        "<message to='juliet@localhost' type='chat' id='{number}'><body>x</body></message>"
                    );
                    wait(async { router.dispatch(&claim, stanza(&xml), None).await.await.tell() });
                }
                assert!(mailbox.try_next().is_none(), "nothing came back");
                wait(router.release(claim, mailbox, Vec::new()));
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let account = "juliet@localhost".parse().unwrap();
        for round in 0.. {
            let last = busy.load(Ordering::SeqCst) == 0;
            let (claim, mut mailbox) = wait(router.claim(&account, Some("x"))).unwrap();
            let polls = if round % 3 == 0 && !last { 1 } else { usize::MAX };
            let login = run(
                async { router.dispatch(&claim, stanza("<presence/>"), None).await.await.tell() },
                polls,
            );
            let take = match login {
                None => 0, // cut off: nobody reads any more
                Some(()) if last => SENDERS * MESSAGES - seen.values().map(Vec::len).sum::<usize>(),
                Some(()) => 5 + round % 7,
            };
            let (mut taken, mut unproven) = (0, Vec::new());
            while taken < take {
                let mail = match last {
                    true => Some(wait(poll_fn(|cx| mailbox.poll_next(cx, true)))),
                    false => mailbox.try_next(),
                };
                let Some(Mail::Letter(letter)) = mail else { break };
                if !last && (taken > 3 + round % 3 || !unproven.is_empty()) {
                    // She says no more what she has.
                    unproven.push(letter);
                    continue;
                }
                let head = &letter.stanza().head;
                if let (Some(from), Some(id)) = (&head.from, &head.id) {
                    seen.entry(from.to_string()).or_default().push(id.parse().unwrap());
                    taken += 1;
                }
                router.took(&claim, [letter]);
            }
            wait(router.release(claim, mailbox, unproven));
            if last {
                break;
            }
        }
    });
    assert_eq!(seen.len(), SENDERS);
    for (sender, numbers) in seen {
        assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "from {sender}");
    }
    assert_eq!(wait(store.count(&"juliet@localhost".parse().unwrap())).unwrap(), 0);
}

/// All subscribe to all, and back out again, while presence flies; then all see each other.
fn subscriptions_settle(store: &Arc<dyn Store>) {
    let house = populate(store);
    let router = &house.router;
    let name = |number: usize| format!("sender{number}@localhost");
    thread::scope(|scope| {
        for own in 0..SENDERS {
            scope.spawn(move || {
                let (claim, mailbox) =
                    wait(router.claim(&name(own).parse().unwrap(), Some("x"))).unwrap();
                let send = |xml: &str| {
                    wait(async { router.dispatch(&claim, stanza(xml), None).await.await.tell() })
                };
                send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
                send("<presence/>");
                for round in 0..6 {
                    for other in (0..SENDERS).filter(|other| *other != own) {
                        let to = name(other);
                        let verbs = if round == 5 {
                            ["subscribed", "subscribe"]
                        } else {
                            [
                                ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
                                    [(round + own) % 4],
                                "subscribe",
                            ]
                        };
                        for verb in verbs {
                            send(&format!("<presence to='{to}' type='{verb}'/>"));
                        }
                        send(&format!("<presence><status>{round}</status></presence>"));
                    }
                }
                wait(router.release(claim, mailbox, Vec::new()));
            });
        }
    });
    for own in 0..SENDERS {
        let roster = wait(store.roster(&name(own).parse().unwrap())).unwrap();
        for item in roster.items {
            let theirs = wait(store.roster(&item.jid)).unwrap().items;
            let mine = theirs.iter().find(|their| their.jid.as_str() == name(own)).unwrap();
            assert_eq!(item.subscription.to, mine.subscription.from, "{own} and {}", item.jid);
            // What the router believes is what the store says.
            let account = wait(router.account(&name(own).parse().unwrap())).unwrap();
            let relation = account.relation(&item.jid);
            assert_eq!(
                (relation.to, relation.from),
                (item.subscription.to, item.subscription.from)
            );
        }
    }
}

fn database() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storm.db");
    let store = Sqlite::open(&path, Durability::Process, caps()).unwrap();
    (folder, store)
}

#[test]
fn l06_nothing_is_lost_over_a_store_in_memory() {
    let store: Arc<dyn Store> = Memory::new(caps());
    everything_comes_once_and_in_order(&store);
}

#[test]
fn l06_nothing_is_lost_over_a_database() {
    let (_folder, store) = database();
    everything_comes_once_and_in_order(&store);
}

#[test]
fn rosters_and_views_agree_over_a_store_in_memory() {
    let store: Arc<dyn Store> = Memory::new(caps());
    subscriptions_settle(&store);
}

#[test]
fn rosters_and_views_agree_over_a_database() {
    let (_folder, store) = database();
    subscriptions_settle(&store);
}
