//! What must hold of a history, whatever was killed: nothing lost, nothing twice, in order, both archives or none.
//!
//! The rules have the names under which the promise is known: N1 no loss, N2 archived once, N3 order, N4 atomic,
//! N5 truth, N6 visible failure. `tests/crash.py` judges the same file by the same rules and shares no line with this.

use super::history::Event;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

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
}

/// Checks a whole history: all violations, none where all is well.
pub fn check(events: &[Event]) -> (Vec<Violation>, Covered) {
    let mut checker = Checker::new(events);
    checker.no_loss();
    checker.archived_once();
    checker.order();
    checker.once_on_a_stream(events);
    checker.truth(events);
    checker.found.sort();
    (checker.found, checker.covered)
}

struct Checker<'a> {
    messages: HashMap<&'a str, Message<'a>>,
    /// By owner: ids, oldest first.
    archives: BTreeMap<&'a str, Vec<&'a str>>,
    /// The archive's id, by owner and message.
    uids: HashMap<(&'a str, &'a str), &'a str>,
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
        let mut all = Self {
            messages: HashMap::new(),
            archives: BTreeMap::new(),
            uids: HashMap::new(),
            received: BTreeMap::new(),
            seen: Vec::new(),
            covered: Covered::default(),
            found: Vec::new(),
        };
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Stream { resumed: true, .. } => all.covered.resumed += 1,
                Event::Stream { resumed: false, .. } => all.covered.anew += 1,
                Event::Sent { id, device, to } => {
                    all.covered.sent += 1;
                    let message =
                        Message { device, to, place, acked: false, refused: false, doubt: false };
                    if all.messages.insert(id, message).is_some() {
                        all.fails("the test itself", format!("{id} was sent twice as if new"));
                    }
                }
                Event::Acked { id } => match all.messages.get_mut(id.as_str()) {
                    Some(message) => {
                        all.covered.acked += usize::from(!message.acked);
                        message.acked = true;
                    }
                    None => all.fails("N1", format!("{id} was acknowledged and never sent")),
                },
                Event::Refused { id, .. } => match all.messages.get_mut(id.as_str()) {
                    Some(message) => {
                        all.covered.refused += 1;
                        message.refused = true;
                    }
                    None => all.fails("N1", format!("{id} came back and was never sent")),
                },
                Event::Doubt { id } => {
                    if let Some(message) = all.messages.get_mut(id.as_str()) {
                        message.doubt = true;
                    }
                }
                Event::Received { id, device, uid, delayed } => {
                    all.received.entry(device).or_default().push((id, *delayed));
                    if !uid.is_empty() {
                        all.seen.push((bare(device), id, uid));
                    }
                }
                Event::Archived { owner, id, uid } => {
                    all.archives.entry(owner).or_default().push(id);
                    all.uids.insert((owner, id), uid);
                }
                Event::Naming { .. }
                | Event::Named { .. }
                | Event::Killed
                | Event::Ready { .. }
                | Event::Settled
                | Event::Item { .. } => {}
            }
        }
        all
    }

    fn fails(&mut self, rule: &'static str, what: String) {
        self.found.push(Violation { rule, what });
    }

    /// N1: what was acknowledged, or seen with an archive's id, is in both archives and has reached the recipient; what
    /// was given back is not kept as well. N4: what was not acknowledged is in both archives or in neither. N6: the sender
    /// of every message has heard of it.
    fn no_loss(&mut self) {
        let kept: HashSet<(&str, &str)> = self.uids.keys().copied().collect();
        let reached: HashSet<(&str, &str)> = (self.received.iter())
            .flat_map(|(device, ids)| ids.iter().map(|(id, _)| (bare(device), *id)))
            .collect();
        let mut found = Vec::new();
        for (id, message) in &self.messages {
            let sent = kept.contains(&(bare(message.device), *id));
            let got = kept.contains(&(message.to, *id));
            let reached = reached.contains(&(message.to, *id));
            match (message.acked, message.refused) {
                (_, true) if sent || got || reached => {
                    found.push((
                        "N1",
                        format!("{id} was given back, and kept or delivered as well"),
                    ));
                }
                (true, false) if !got => {
                    found.push((
                        "N1",
                        format!("{id}, acknowledged, is not in its recipient's archive"),
                    ));
                }
                (true, false) if !sent => {
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
                (false, false) if reached && !got => {
                    found.push(("N4", format!("{id} was delivered and is in no archive")));
                }
                (false, false) if !message.doubt => {
                    found.push(("N6", format!("the sender of {id} never heard of it")))
                }
                _ => {}
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
                if !self.messages.contains_key(id) {
                    found.push(format!("{id} in {owner}'s archive was never sent"));
                }
            }
        }
        found.into_iter().for_each(|what| self.fails("N2", what));
    }

    /// N3: what one device sends to one account stands in its archive, and comes live to each device, in the order of sending.
    /// What another device of the account let go of comes later, and says so.
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
                Event::Received { id, device, .. }
                    if !streams.entry(device).or_default().insert(id) =>
                {
                    self.fails("N1", format!("{device} got {id} twice on one stream"));
                }
                _ => {}
            }
        }
    }

    /// N5: what was said to be done is not undone. A name may also be one that was asked for later.
    fn truth(&mut self, events: &[Event]) {
        let mut asked: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
        let mut done: HashMap<(&str, &str), usize> = HashMap::new();
        let mut items: HashMap<(&str, &str), &str> = HashMap::new();
        for event in events {
            match event {
                Event::Naming { owner, contact, name } => {
                    asked.entry((owner, contact)).or_default().push(name);
                }
                Event::Named { owner, contact, name } => {
                    let names = asked.get(&(owner.as_str(), contact.as_str()));
                    let place = names.and_then(|names| names.iter().rposition(|one| one == name));
                    done.insert((owner, contact), place.unwrap_or(0));
                }
                Event::Item { owner, contact, name } => {
                    items.insert((owner, contact), name);
                }
                _ => {}
            }
        }
        for (key, place) in done {
            let allowed = &asked[&key][place..];
            let is = items.get(&key).copied();
            if !is.is_some_and(|is| allowed.contains(&is)) {
                let (owner, contact) = key;
                let said = allowed.first().copied().unwrap_or_default();
                self.fails(
                    "N5",
                    format!("{owner} was told that {contact} is {said:?}, and it is {is:?}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
