//! Measures an archive of a million messages: what putting them costs, and how long pages take.
//!
//! `cargo run --release -p roster-store --example archive [MESSAGES] [memory]`

use bytes::Bytes;
use futures_util::future::join_all;
use roster_store::{
    BoxFuture, Caps, Durability, MessageId, NewMessage, Origin, Put, Query, Result, Store,
    memory::Memory, sqlite::Sqlite,
};
use std::{
    error::Error,
    fs,
    future::Future,
    io::Write,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use xmpp_core::{
    BareJid,
    sasl::{Credentials, ScramKeys},
};

/// Correspondents: some write every minute, some once a year.
const PEERS: usize = 200;
/// Messages that wait for one commit.
const TOGETHER: usize = 512;
/// Accounts that take part in the second measurement.
const ACCOUNTS: usize = 1_000;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let messages =
        arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000_usize);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let caps = Caps::default();
    let store: Arc<dyn Store> = match arguments.iter().any(|argument| argument == "memory") {
        true => Memory::new(caps),
        false => Sqlite::open(&path, Durability::Disk, caps)?,
    };
    let juliet: BareJid = "juliet@capulet.example".parse()?;
    block_on(store.create(&juliet, credentials()))?;
    let mut out = std::io::stdout().lock();

    // One archive, of one account.
    let mut samples: Vec<MessageId> = Vec::new();
    let begin = Instant::now();
    for first in (0..messages).step_by(TOGETHER) {
        let puts = (first..messages.min(first + TOGETHER)).map(|n| {
            let (taken, put) = store.put(as_sent(vec![message(&juliet, n)], n));
            if n % (messages / 1_000).max(1) == 0 {
                samples.extend(taken.ids());
            }
            put
        });
        all(puts.collect())?;
    }
    let each = begin.elapsed() / u32::try_from(messages)?;
    writeln!(out, "{messages} messages into one archive: {each:?} each, {TOGETHER} a commit")?;
    if let Ok(file) = fs::metadata(&path) {
        writeln!(out, "{} bytes of database a message", file.len() / messages as u64)?;
    }

    let base = || Query { limit: 50, bytes: 1 << 20, ..Query::default() };
    let mut measure =
        |name: &str, queries: Vec<Query>| -> std::result::Result<(), Box<dyn Error>> {
            let mut times = Vec::new();
            let mut found = 0;
            for query in queries {
                let begin = Instant::now();
                found += block_on(store.page(&juliet, query))?.messages.len();
                times.push(begin.elapsed());
            }
            times.sort_unstable();
            let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
            let each = found / times.len();
            writeln!(out, "{name:34} median {median:>9.2?}  worst {worst:>9.2?}  {each} messages")?;
            Ok(())
        };
    let each = |query: &dyn Fn(MessageId) -> Query| samples.iter().map(|id| query(*id)).collect();
    let at = |id: MessageId| Some(time(usize::try_from(id.number()).unwrap_or(0)));
    let back = || Query { from_end: true, ..base() };
    let with = |n: usize| peer(n).parse().ok();
    measure("the last page", vec![back(); 100])?;
    measure("the first page", vec![base(); 100])?;
    measure("a page after an id", each(&|id| Query { after: vec![id], ..base() }))?;
    measure("a page before an id", each(&|id| Query { before: vec![id], ..back() }))?;
    measure("one message by its id", each(&|id| Query { ids: Some(vec![id]), ..base() }))?;
    measure("a page since a time", each(&|id| Query { start: at(id), ..base() }))?;
    measure("a page until a time, from the end", each(&|id| Query { end: at(id), ..back() }))?;
    for (name, n) in [("a busy contact", 0), ("a usual contact", 50), ("a rare contact", 125)] {
        measure(
            &format!("the last page with {name}"),
            vec![Query { with: with(n), ..back() }; 20],
        )?;
    }
    measure(
        "a contact's page before an id",
        each(&|id| Query { with: with(50), before: vec![id], ..back() }),
    )?;
    measure(
        "a contact's page since a time",
        each(&|id| Query { with: with(50), start: at(id), ..base() }),
    )?;
    let search = |text: &str| Query { words: Query::words(text), ..back() };
    measure("a word that is everywhere", vec![search("hello"); 20])?;
    measure("a word that is nowhere", vec![search("nowhere"); 3])?;
    let begin = Instant::now();
    let count = block_on(store.matching(&juliet, base()))?;
    writeln!(out, "counted {count:?} in {:?}", begin.elapsed())?;

    // Two archives a message, of many accounts in turn.
    let accounts: Vec<BareJid> =
        (0..ACCOUNTS).filter_map(|n| format!("user{n}@capulet.example").parse().ok()).collect();
    all(accounts.iter().map(|account| store.create(account, credentials())).collect())?;
    let (begin, cpu) = (Instant::now(), cpu_time());
    let count = messages.min(200_000);
    for first in (0..count).step_by(TOGETHER) {
        let puts = (first..count.min(first + TOGETHER)).map(|n| {
            let sender = message(&accounts[n * 7 % ACCOUNTS], n);
            let recipient = &accounts[n * 13 % ACCOUNTS];
            let received = NewMessage { owner: recipient.clone(), pending: true, ..sender.clone() };
            let (taken, put) = store.put(as_sent(vec![sender, received], messages + n));
            let settled = store.settle(recipient, vec![taken.ids()[1].number()]);
            (put, settled)
        });
        let (puts, settled): (Vec<_>, Vec<_>) = puts.unzip();
        all(puts)?;
        all(settled)?;
    }
    let n = u32::try_from(count)?;
    writeln!(
        out,
        "{count} messages into two archives each, and settled: {:?} each",
        begin.elapsed() / n
    )?;
    if let (Some(before), Some(after)) = (cpu, cpu_time()) {
        writeln!(out, "of which {:?} of all threads' time", (after - before) / n)?;
    }
    block_on(store.close());
    Ok(())
}

/// What a client sends that gives every message an id.
fn as_sent(messages: Vec<NewMessage>, n: usize) -> Put {
    Put {
        messages,
        origin: Some(Origin::of((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())),
        source: None,
    }
}

/// A message of about 350 bytes.
fn message(owner: &BareJid, n: usize) -> NewMessage {
    // A contact with half the rank is written to twice as often.
    let rank = (n.wrapping_mul(2_654_435_761) >> 7) % 10_007;
    let with = peer((10_007 / (rank + 1)).min(PEERS) % PEERS);
    let stanza = format!(
        "<message from='{with}' to='{owner}/home' type='chat' id='{n:032x}'><body>Hello, this is number {n}: \
         what a good day for a walk in the orchard</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
         <request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='{n:032x}'/></message>"
    );
    NewMessage {
        owner: owner.clone(),
        with: with.parse().expect("an address"),
        at: time(n),
        stanza: Bytes::from(stanza),
        archived: true,
        pending: false,
        delivered: true,
    }
}

fn peer(n: usize) -> String {
    format!("contact{n}@montague.example")
}

/// A message every ten seconds.
fn time(n: usize) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 10 * n as u64)
}

fn credentials() -> Credentials {
    let keys = |bytes| ScramKeys {
        salt: vec![0; 16],
        iterations: 4_096,
        stored_key: vec![0; bytes],
        server_key: vec![0; bytes],
    };
    Credentials { sha1: keys(20), sha256: keys(32), sha512: keys(64) }
}

/// What this process has used of the processors, on Linux.
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 10)) // a hundred a second
}

fn all<E>(futures: Vec<BoxFuture<Result<(), E>>>) -> Result<(), E> {
    block_on(join_all(futures)).into_iter().collect()
}

/// Waits for a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
