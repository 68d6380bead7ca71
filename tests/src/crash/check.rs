//! What must hold of a history, whatever was killed: nothing lost, nothing twice, in order, both archives or none.
//!
//! The rules have the names under which the promise is known: N1 no loss, N2 archived once, N3 order, N4 atomic,
//! N5 truth, N6 visible failure. `tests/crash.py` judges the same file by the same rules and shares no line with this.

use super::history::Event;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt, mem,
};

/// Milliseconds in which all that was acknowledged must be there, once nothing is wrong any more.
const VISIBLE: u64 = 30_000;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// What there was to check, for the statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// Messages sent.
    pub sent: usize,
    /// Those that the server had acknowledged.
    pub acked: usize,
    /// Those that it gave back.
    pub refused: usize,
    /// Streams that were resumed.
    pub resumed: usize,
    /// Those that were not, though their clients asked.
    pub failed: usize,
    /// Streams that began anew.
    pub anew: usize,
}

/// A message as its sender knows it.
struct Message<'a> {
    device: &'a str,
    to: &'a str,
    /// Its place among all that were sent.
    place: usize,
    acked: bool,
    refused: bool,
    doubt: bool,
    /// It was acknowledged by `<resumed/>`, which errors that were lost on the way come after (XEP-0198 5).
    resumed: bool,
}

/// Checks a whole history: all violations, none where all is well.
pub fn check(events: &[Event]) -> (Vec<Violation>, Covered) {
    let mut checker = Checker::new(events);
    checker.no_loss();
    checker.archived_once();
    checker.order();
    checker.once_on_a_stream(events);
    checker.taken_once(events);
    checker.no_gaps(events);
    checker.truth(events);
    checker.halves(events);
    checker.found.sort();
    (checker.found, checker.covered)
}

struct Checker<'a> {
    /// Whether messages are archived in this run.
    archives_all: bool,
    messages: HashMap<&'a str, Message<'a>>,
    /// By owner: ids, oldest first.
    archives: BTreeMap<&'a str, Vec<&'a str>>,
    /// The archive's id, by owner and message.
    uids: HashMap<(&'a str, &'a str), &'a str>,
    /// By device: copies of what others of its account sent, in order.
    copied: BTreeMap<&'a str, Vec<&'a str>>,
    /// By device: all that came to it as it happened, copies too, in order.
    live: BTreeMap<&'a str, Vec<&'a str>>,
    /// By device: what it received, in order, and whether it was kept for a while.
    received: BTreeMap<&'a str, Vec<(&'a str, bool)>>,
    /// Archive ids that a device has seen: owner, message, id.
    seen: Vec<(&'a str, &'a str, &'a str)>,
    covered: Covered,
    found: Vec<Violation>,
}

/// The account of a device.
fn bare(device: &str) -> &str {
    device.split_once('/').map_or(device, |(bare, _)| bare)
}

impl<'a> Checker<'a> {
    fn new(events: &'a [Event]) -> Self {
        let lasting = events.contains(&Event::Lasting);
        let mut all = Self {
            archives_all: !events.contains(&Event::Unarchived),
            messages: HashMap::new(),
            archives: BTreeMap::new(),
            uids: HashMap::new(),
            copied: BTreeMap::new(),
            live: BTreeMap::new(),
            received: BTreeMap::new(),
            seen: Vec::new(),
            covered: Covered::default(),
            found: Vec::new(),
        };
        // Devices that have just resumed their stream.
        let mut resuming: HashSet<&str> = HashSet::new();
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Stream { device, resumed: true } => {
                    all.covered.resumed += 1;
                    resuming.insert(device);
                }
                Event::Stream { device, resumed: false } => {
                    all.covered.anew += 1;
                    resuming.remove(device.as_str());
                }
                Event::Sent { id, device, to } => {
                    all.covered.sent += 1;
                    resuming.remove(device.as_str());
                    let message = Message {
                        device,
                        to,
                        place,
                        acked: false,
                        refused: false,
                        doubt: false,
                        resumed: false,
                    };
                    if all.messages.insert(id, message).is_some() {
                        all.fails("the test itself", format!("{id} was sent twice as if new"));
                    }
                }
                Event::Acked { id } => match all.messages.get_mut(id.as_str()) {
                    Some(message) => {
                        all.covered.acked += usize::from(!message.acked);
                        message.resumed |= !message.acked && resuming.contains(message.device);
                        message.acked = true;
                    }
                    None => all.fails("N1", format!("{id} was acknowledged and never sent")),
                },
                Event::Refused { id, .. } => match all.messages.get_mut(id.as_str()) {
                    Some(message) => {
                        all.covered.refused += 1;
                        resuming.remove(message.device);
                        // Once is enough: an error may come again on another stream.
                        let first = !mem::replace(&mut message.refused, true);
                        if message.acked && first && !message.resumed {
                            all.fails("N6", format!("{id} came back after it was acknowledged"));
                        }
                    }
                    None => all.fails("N1", format!("{id} came back and was never sent")),
                },
                Event::Doubt { id } => {
                    if let Some(message) = all.messages.get_mut(id.as_str()) {
                        message.doubt = true;
                    }
                }
                Event::Received { id, device, uid, delayed } => {
                    resuming.remove(device.as_str());
                    all.received.entry(device).or_default().push((id, *delayed));
                    if !delayed {
                        all.live.entry(device).or_default().push(id);
                    }
                    if !uid.is_empty() {
                        all.seen.push((bare(device), id, uid));
                    }
                }
                Event::Copied { id, device, uid } => {
                    all.copied.entry(device).or_default().push(id);
                    all.live.entry(device).or_default().push(id);
                    if !uid.is_empty() {
                        all.seen.push((bare(device), id, uid));
                    }
                }
                Event::Archived { owner, id, uid } => {
                    all.archives.entry(owner).or_default().push(id);
                    all.uids.insert((owner, id), uid);
                }
                Event::Settled { after } if *after > VISIBLE => {
                    all.fails("N6", format!("it took {after} ms until all was there"));
                }
                Event::Failed { device } => {
                    all.covered.failed += 1;
                    if lasting {
                        all.fails("XEP-0198", format!("{device} could not resume its stream"));
                    }
                }
                Event::Taken { .. }
                | Event::Asked { .. }
                | Event::Done { .. }
                | Event::Killed { .. }
                | Event::Ready { .. }
                | Event::Healed
                | Event::Settled { .. }
                | Event::Is { .. }
                | Event::Half { .. }
                | Event::Left { .. }
                | Event::Unarchived
                | Event::Lasting => {}
            }
        }
        all
    }

    fn fails(&mut self, rule: &'static str, what: String) {
        self.found.push(Violation { rule, what });
    }

    /// N1: what was acknowledged, or seen with an archive's id, is in both archives and has reached the recipient; what
    /// was given back is not kept as well, and nobody gets what is for somebody else. N4: what was not acknowledged is in both archives or in neither. N6: the sender
    /// of every message has heard of it.
    fn no_loss(&mut self) {
        let kept: HashSet<(&str, &str)> = self.uids.keys().copied().collect();
        let shown: HashSet<&str> = self.copied.values().flatten().copied().collect();
        let reached: HashSet<(&str, &str)> = (self.received.iter())
            .flat_map(|(device, ids)| ids.iter().map(|(id, _)| (bare(device), *id)))
            .collect();
        let mut found = Vec::new();
        for (id, message) in &self.messages {
            let sent = kept.contains(&(bare(message.device), *id));
            let got = kept.contains(&(message.to, *id));
            let reached = reached.contains(&(message.to, *id));
            match (message.acked, message.refused) {
                (_, true) if sent || got || reached || shown.contains(id) => {
                    found.push((
                        "N1",
                        format!("{id} was given back, and kept or delivered as well"),
                    ));
                }
                (true, false) if self.archives_all && !got => {
                    found.push((
                        "N1",
                        format!("{id}, acknowledged, is not in its recipient's archive"),
                    ));
                }
                (true, false) if self.archives_all && !sent => {
                    found.push((
                        "N1",
                        format!("{id}, acknowledged, is not in its sender's archive"),
                    ));
                }
                (true, false) if !reached => {
                    found
                        .push(("N1", format!("{id}, acknowledged, has not reached its recipient")));
                }
                (false, false) if sent != got => {
                    let (has, lacks) =
                        if sent { ("sender", "recipient") } else { ("recipient", "sender") };
                    found.push((
                        "N4",
                        format!("{id} is in its {has}'s archive and not in its {lacks}'s"),
                    ));
                }
                (false, false) if self.archives_all && (reached || shown.contains(id)) && !got => {
                    found.push(("N4", format!("{id} was delivered and is in no archive")));
                }
                (false, false) if !message.doubt => {
                    found.push(("N6", format!("the sender of {id} never heard of it")))
                }
                _ => {}
            }
        }
        for (device, ids) in &self.received {
            for (id, _) in ids {
                if self.messages.get(id).is_none_or(|message| message.to != bare(device)) {
                    found.push(("N1", format!("{device} got {id}, which is not for it")));
                }
            }
        }
        for (device, ids) in &self.copied {
            for id in ids {
                let from = self.messages.get(id).map_or("nobody", |message| message.device);
                if bare(from) != bare(device) || from == *device {
                    found.push(("N1", format!("{device} got a copy of {id}, which is {from}'s")));
                }
            }
        }
        for &(owner, id, uid) in &self.seen {
            if self.uids.get(&(owner, id)) != Some(&uid) {
                found.push((
                    "N1",
                    format!("{owner} has seen {id} as {uid}, and it is not there as that"),
                ));
            }
        }
        found.into_iter().for_each(|(rule, what)| self.fails(rule, what));
    }

    /// N2: one sent stanza makes one row in each archive.
    fn archived_once(&mut self) {
        let mut found = Vec::new();
        for (owner, ids) in &self.archives {
            let mut once = HashSet::new();
            for id in ids {
                if !once.insert(id) {
                    found.push(format!("{id} is in {owner}'s archive more than once"));
                }
                let message = self.messages.get(id);
                if message.is_none_or(|one| one.to != *owner && bare(one.device) != *owner) {
                    found.push(format!("{id} in {owner}'s archive has nothing to do with it"));
                }
            }
        }
        found.into_iter().for_each(|what| self.fails("N2", what));
    }

    /// N3: what one device sends to one account stands in its archive, and comes live to each device, in the order of sending;
    /// and the archive's order is that of all devices, copies (XEP-0280) included. What another device of the account let go of comes later, and says so.
    fn order(&mut self) {
        let mut found = Vec::new();
        for (owner, ids) in &self.archives {
            if let Some(what) = self.out_of_order(ids) {
                found.push(format!("{owner}'s archive: {what}"));
            }
        }
        for (device, ids) in &self.received {
            let mut once = HashSet::new();
            let live = ids.iter().filter(|(id, delayed)| once.insert(*id) && !delayed);
            let first: Vec<&str> = live.map(|(id, _)| *id).collect();
            if let Some(what) = self.out_of_order(&first) {
                found.push(format!("{device}: {what}"));
            }
        }
        for (device, ids) in &self.live {
            let places = self.archives.get(bare(device)).into_iter().flatten().enumerate();
            let places: HashMap<&str, usize> = places.map(|(place, id)| (*id, place)).collect();
            let mut once = HashSet::new();
            let first = ids.iter().filter(|id| places.contains_key(*id) && once.insert(**id));
            let shown: Vec<&str> = first.copied().collect();
            for pair in shown.windows(2).filter(|pair| places[pair[0]] > places[pair[1]]) {
                found.push(format!(
                    "{device} got {} before {}, and the archive has them the other way round",
                    pair[0], pair[1]
                ));
            }
        }
        found.into_iter().for_each(|what| self.fails("N3", what));
    }

    fn out_of_order(&self, ids: &[&str]) -> Option<String> {
        let mut last: HashMap<(&str, &str), (usize, &str)> = HashMap::new();
        for id in ids {
            let Some(message) = self.messages.get(id) else { continue };
            let before = last.insert((message.device, message.to), (message.place, id));
            if let Some((place, earlier)) = before
                && place > message.place
            {
                return Some(format!("{id} stands behind {earlier}, which was sent later"));
            }
        }
        None
    }

    /// XEP-0198 5: on a stream, resumed however often, nothing comes twice.
    fn once_on_a_stream(&mut self, events: &[Event]) {
        let mut streams: HashMap<&str, HashSet<&str>> = HashMap::new();
        for event in events {
            match event {
                Event::Stream { device, resumed: false } => {
                    streams.insert(device, HashSet::new());
                }
                Event::Received { id, device, .. } | Event::Copied { id, device, .. }
                    if !streams.entry(device).or_default().insert(id) =>
                {
                    self.fails("N1", format!("{device} got {id} twice on one stream"));
                }
                _ => {}
            }
        }
    }

    /// Neither lost nor twice, on a new stream too: what a device has taken, and the server knows that, does not come to it
    /// again, nor wait for another, unless the server was killed before it had to have noted that.
    fn taken_once(&mut self, events: &[Event]) {
        let mut taken: HashMap<&str, HashSet<&str>> = HashMap::new();
        for event in events {
            match event {
                Event::Taken { id, device } => drop(taken.entry(id).or_default().insert(device)),
                Event::Killed { what: "server" } | Event::Ready { what: "server", .. } => {
                    taken.clear();
                }
                Event::Received { id, device, .. }
                    if taken.get(id.as_str()).is_some_and(|by| by.contains(device.as_str())) =>
                {
                    self.fails("N1", format!("{device} got {id} again, though it took it"));
                }
                Event::Left { owner, id } => {
                    let mut by = taken.get(id.as_str()).into_iter().flatten();
                    if let Some(device) = by.find(|device| bare(device) == owner) {
                        self.fails("N1", format!("{id} still waits, though {device} took it"));
                    }
                }
                _ => {}
            }
        }
    }

    /// N1 for each device: between the first and the last message that came to it live on a stream, it lacks none that its
    /// account got; and likewise of the copies of what its account sent. A server that was killed does not know any more what
    /// it had for whom: then that begins anew.
    fn no_gaps(&mut self, events: &[Event]) {
        let mut courses: HashMap<&str, [Course<'_>; 2]> = HashMap::new();
        let mut found = Vec::new();
        let mut ends = |device: &str, courses: &mut [Course<'_>; 2]| {
            let archive = self.archives.get(bare(device)).map_or(&[][..], Vec::as_slice);
            let message = |id: &str| self.messages.get(id);
            let came = |id: &str| message(id).is_some_and(|one| one.to == bare(device));
            let went = |id: &str| {
                let from = message(id).map_or(device, |one| one.device);
                bare(from) == bare(device) && from != device
            };
            let [incoming, copies] = courses;
            for lacks in [incoming.lacks(archive, came), copies.lacks(archive, went)] {
                found.extend(lacks.map(|id| format!("{device} got what came around {id}, not it")));
            }
        };
        let (mut killed, mut began) = (None, HashMap::new());
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Stream { device, resumed: false } => {
                    began.insert(device.as_str(), place);
                    if let Some(mut before) = courses.insert(device, Default::default()) {
                        ends(device, &mut before);
                    }
                }
                // What it said last is heard after it was killed.
                Event::Killed { what: "server" } | Event::Ready { what: "server", .. } => {
                    killed = Some(place);
                    courses.iter_mut().for_each(|(device, courses)| ends(device, courses));
                }
                Event::Received { id, device, delayed, .. } => {
                    courses.entry(device).or_default()[0].comes(id, !delayed);
                }
                Event::Copied { id, device, .. } => {
                    // On a stream that goes on: whom it had still to give copies of what was sent before it does not know.
                    let since = began.get(device.as_str()).copied().unwrap_or_default();
                    let sent = self.messages.get(id.as_str()).map_or(place, |one| one.place);
                    let is_new = killed.is_none_or(|killed| since > killed || sent > killed);
                    courses.entry(device).or_default()[1].comes(id, is_new);
                }
                _ => {}
            }
        }
        courses.iter_mut().for_each(|(device, courses)| ends(device, courses));
        found.into_iter().for_each(|what| self.fails("N1", what));
    }

    /// N5: what was said to be done is not undone, and nothing is done that nobody asked for. It may also be as it was asked for
    /// later.
    fn truth(&mut self, events: &[Event]) {
        let mut asked: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        let mut done: HashMap<(&str, &str), usize> = HashMap::new();
        let mut are: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for event in events {
            match event {
                Event::Asked { owner, subject, value } => {
                    // Before anything is asked for there is nothing.
                    asked.entry((owner, subject)).or_insert_with(|| vec![""]).push(value);
                }
                Event::Done { owner, subject, value } => {
                    let values = asked.get(&(owner.as_str(), subject.as_str()));
                    let place = values.and_then(|all| all.iter().rposition(|one| one == value));
                    done.insert((owner, subject), place.unwrap_or(0));
                }
                Event::Is { owner, subject, value } => {
                    are.insert((owner, subject), value);
                }
                _ => {}
            }
        }
        let subjects: BTreeSet<_> = asked.keys().chain(are.keys()).copied().collect();
        for key in subjects {
            let place = done.get(&key).copied().unwrap_or(0);
            let allowed = asked.get(&key).map_or(&[][..], |values| &values[place..]);
            let is = are.get(&key).copied().unwrap_or_default();
            if !allowed.contains(&is) {
                let (owner, subject) = key;
                let said = allowed.first().copied().unwrap_or_default();
                self.fails(
                    "N5",
                    format!("{owner}: {subject} was to be {said:?}, and it is {is:?}"),
                );
            }
        }
    }

    /// N4: the rosters of two accounts agree about the two.
    fn halves(&mut self, events: &[Event]) {
        let mut halves: HashMap<(&str, &str), BTreeSet<&str>> = HashMap::new();
        for event in events {
            if let Event::Half { owner, contact, half } = event {
                halves.entry((owner, contact)).or_default().insert(half);
            }
        }
        for (&(owner, contact), mine) in &halves {
            let theirs = halves.get(&(contact, owner));
            let has = |half| theirs.is_some_and(|theirs| theirs.contains(half));
            for (half, other) in
                [("to", "from"), ("from", "to"), ("ask", "asked"), ("asked", "ask")]
            {
                if mine.contains(half) && !has(other) {
                    let what = format!("{owner} has {half:?} of {contact}, who has {theirs:?}");
                    self.found.push(Violation { rule: "N4", what });
                }
            }
        }
    }
}

/// What came on a stream, and what of it live since the server lives.
#[derive(Default)]
struct Course<'a> {
    got: HashSet<&'a str>,
    live: HashSet<&'a str>,
}

impl<'a> Course<'a> {
    fn comes(&mut self, id: &'a str, live: bool) {
        self.got.insert(id);
        if live {
            self.live.insert(id);
        }
    }

    /// The first that did not come, of those in an archive that were to, between the first and the last that came live.
    fn lacks<'b>(&mut self, archive: &[&'b str], due: impl Fn(&str) -> bool) -> Option<&'b str> {
        let live = mem::take(&mut self.live);
        let first = archive.iter().position(|id| live.contains(id))?;
        let last = archive.iter().rposition(|id| live.contains(id))?;
        archive[first..last].iter().find(|id| due(id) && !self.got.contains(**id)).copied()
    }
}

#[cfg(test)]
mod tests;
