//! The history of a run: what clients did and saw, in the order in which they saw it.
//!
//! It is kept in memory for [`check`](super::check) and written to a file for the second checker,
//! `tests/crash.py`: one line an event, its fields with tabs between them, in the order of [`Event`].

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// Something that a client did or saw. Devices are full addresses, owners are bare ones, messages are known by their ids,
/// which nobody uses twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device has a stream: from now on it counts stanzas anew, unless it is resumed.
    Stream {
        /// Whose.
        device: String,
        /// Whether XEP-0198 has resumed the one before.
        resumed: bool,
    },
    /// A device writes a message for the first time.
    Sent {
        /// The message.
        id: String,
        /// Whose.
        device: String,
        /// For whom.
        to: String,
    },
    /// The server has acknowledged it (XEP-0198 4): the promise holds from here on.
    Acked {
        /// The message.
        id: String,
    },
    /// The server gave it back with an error.
    Refused {
        /// The message.
        id: String,
        /// The error's condition.
        condition: String,
    },
    /// Its stream ended before it was acknowledged and was not resumed: nobody can know.
    Doubt {
        /// The message.
        id: String,
    },
    /// A device has received a message.
    Received {
        /// The message.
        id: String,
        /// Who received it.
        device: String,
        /// The archive's id for it, where it brought one (XEP-0359).
        uid: String,
        /// Whether it was kept for a while (XEP-0203).
        delayed: bool,
    },
    /// An account's roster is to name a contact so.
    Naming {
        /// Whose roster.
        owner: String,
        /// The contact.
        contact: String,
        /// The name.
        name: String,
    },
    /// The server said that it does.
    Named {
        /// Whose roster.
        owner: String,
        /// The contact.
        contact: String,
        /// The name.
        name: String,
    },
    /// The server is being killed, or asked to end: what comes after that was on its way already, or is its farewell.
    Killed,
    /// The server serves again, after so many milliseconds.
    Ready {
        /// Milliseconds from its start to its being ready.
        after: u64,
    },
    /// All is quiet; what follows is what is there.
    Settled,
    /// A message in an archive, oldest first.
    Archived {
        /// Whose archive.
        owner: String,
        /// The message.
        id: String,
        /// The archive's id for it.
        uid: String,
    },
    /// A roster's item.
    Item {
        /// Whose roster.
        owner: String,
        /// The contact.
        contact: String,
        /// The name.
        name: String,
    },
}

/// Collects events, from all clients of a run at once.
#[derive(Debug)]
pub struct History {
    began: Instant,
    /// How many events there are.
    count: watch::Sender<usize>,
    inner: Mutex<Notes>,
}

#[derive(Debug)]
struct Notes {
    file: File,
    events: Vec<Event>,
    /// For whom messages are, but for those that came back.
    to: HashMap<String, String>,
    /// Those that they have got.
    got: HashSet<String>,
    /// Those that they have not, and the server has acknowledged.
    undelivered: HashSet<String>,
}

impl History {
    /// Writes to this file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(file: &Path) -> io::Result<Self> {
        let notes = Notes {
            file: File::create(file)?,
            events: Vec::new(),
            to: HashMap::new(),
            got: HashSet::new(),
            undelivered: HashSet::new(),
        };
        Ok(Self { began: Instant::now(), count: watch::Sender::new(0), inner: Mutex::new(notes) })
    }

    /// Notes an event.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, event: Event) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, or the times in the file would not rise.
        let line = format!("{}\t{event}\n", self.began.elapsed().as_micros());
        inner.file.write_all(line.as_bytes())?;
        inner.follow(&event);
        inner.events.push(event);
        self.count.send_replace(inner.events.len());
        Ok(())
    }

    /// Says how many events there are, now and with each more.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// How many messages the server has acknowledged, and their recipients have not got.
    pub fn undelivered(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).undelivered.len()
    }

    /// What was noted, once the file is safe.
    ///
    /// # Errors
    /// The file cannot be flushed.
    pub fn events(&self) -> io::Result<Vec<Event>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.file.sync_all()?;
        Ok(inner.events.clone())
    }
}

impl Notes {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Sent { id, to, .. } => drop(self.to.insert(id.clone(), to.clone())),
            Event::Acked { id } if self.to.contains_key(id) && !self.got.contains(id) => {
                self.undelivered.insert(id.clone());
            }
            Event::Refused { id, .. } => {
                self.to.remove(id);
                self.undelivered.remove(id);
            }
            Event::Received { id, device, .. }
                if device.split_once('/').map(|(bare, _)| bare)
                    == self.to.get(id).map(String::as_str) =>
            {
                self.undelivered.remove(id);
                self.got.insert(id.clone());
            }
            _ => {}
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { device, resumed } => {
                write!(f, "stream\t{device}\t{}", if *resumed { "resumed" } else { "new" })
            }
            Self::Sent { id, device, to } => write!(f, "sent\t{id}\t{device}\t{to}"),
            Self::Acked { id } => write!(f, "acked\t{id}"),
            Self::Refused { id, condition } => write!(f, "refused\t{id}\t{condition}"),
            Self::Doubt { id } => write!(f, "doubt\t{id}"),
            Self::Received { id, device, uid, delayed } => {
                write!(
                    f,
                    "received\t{id}\t{device}\t{uid}\t{}",
                    if *delayed { "delayed" } else { "live" }
                )
            }
            Self::Naming { owner, contact, name } => {
                write!(f, "naming\t{owner}\t{contact}\t{name}")
            }
            Self::Named { owner, contact, name } => write!(f, "named\t{owner}\t{contact}\t{name}"),
            Self::Killed => f.write_str("killed"),
            Self::Ready { after } => write!(f, "ready\t{after}"),
            Self::Settled => f.write_str("settled"),
            Self::Archived { owner, id, uid } => write!(f, "archived\t{owner}\t{id}\t{uid}"),
            Self::Item { owner, contact, name } => write!(f, "item\t{owner}\t{contact}\t{name}"),
        }
    }
}
