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
    /// The server was killed.
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
    inner: Mutex<(Vec<Event>, File)>,
}

impl History {
    /// Writes to this file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(file: &Path) -> io::Result<Self> {
        let inner = Mutex::new((Vec::new(), File::create(file)?));
        Ok(Self { began: Instant::now(), count: watch::Sender::new(0), inner })
    }

    /// Notes an event.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, event: Event) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, or the times in the file would not rise.
        let line = format!("{}\t{event}\n", self.began.elapsed().as_micros());
        inner.1.write_all(line.as_bytes())?;
        inner.0.push(event);
        self.count.send_replace(inner.0.len());
        Ok(())
    }

    /// Says how many events there are, now and with each more.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// How many messages the server has acknowledged, and their recipients have not got.
    pub fn undelivered(&self) -> usize {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut to = HashMap::new();
        let mut open = HashSet::new();
        for event in &inner.0 {
            match event {
                Event::Sent { id, to: account, .. } => drop(to.insert(id, account)),
                Event::Acked { id } => drop(open.insert(id)),
                Event::Refused { id, .. } => drop(to.remove(id)),
                _ => {}
            }
        }
        open.retain(|id| to.contains_key(id));
        for event in &inner.0 {
            if let Event::Received { id, device, .. } = event
                && to.get(id).is_some_and(|account| device.starts_with(&format!("{account}/")))
            {
                open.remove(id);
            }
        }
        open.len()
    }

    /// What was noted, once the file is safe.
    ///
    /// # Errors
    /// The file cannot be flushed.
    pub fn events(&self) -> io::Result<Vec<Event>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1.sync_all()?;
        Ok(inner.0.clone())
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
