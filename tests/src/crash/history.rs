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
    /// A device asked for its stream to be resumed, and the server has it no more.
    Failed {
        /// Whose.
        device: String,
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
    /// A device has received a copy of what another device of its account sent (XEP-0280).
    Copied {
        /// The message.
        id: String,
        /// Who received it.
        device: String,
        /// The archive's id for it, where it brought one.
        uid: String,
    },
    /// The server is certain that a device has a message: it has said so on a stream, and the server has acknowledged what it
    /// said later. It must not come to it again.
    Taken {
        /// The message.
        id: String,
        /// Who has it.
        device: String,
    },
    /// Something of an account's is to be so: `name of CONTACT` in its roster, `subscription to CONTACT`, `block of ADDRESS`.
    Asked {
        /// Whose.
        owner: String,
        /// What.
        subject: String,
        /// How; nothing: it is not to be.
        value: String,
    },
    /// The server said that it is.
    Done {
        /// Whose.
        owner: String,
        /// What.
        subject: String,
        /// How.
        value: String,
    },
    /// This is being killed, or asked to end: what comes after that was on its way already, or is its farewell.
    Killed {
        /// `server` or `manager`.
        what: &'static str,
    },
    /// It serves again, after so many milliseconds.
    Ready {
        /// Milliseconds from its start to its being ready.
        after: u64,
        /// `server` or `manager`.
        what: &'static str,
    },
    /// The network is well again.
    Healed,
    /// All that was acknowledged is there, or nothing more comes; what follows is what is there.
    Settled {
        /// Milliseconds since the last fault was over.
        after: u64,
    },
    /// A message in an archive, oldest first.
    Archived {
        /// Whose archive.
        owner: String,
        /// The message.
        id: String,
        /// The archive's id for it.
        uid: String,
    },
    /// Something of an account's is so.
    Is {
        /// Whose.
        owner: String,
        /// What.
        subject: String,
        /// How.
        value: String,
    },
    /// One side's half of what two accounts of the server are to each other: `to` or `ask`, and on the other side `from` or
    /// `asked`.
    Half {
        /// Whose roster.
        owner: String,
        /// The other.
        contact: String,
        /// Which half.
        half: &'static str,
    },
    /// A message still waits for somebody to come, though somebody was there.
    Left {
        /// Whose.
        owner: String,
        /// The message.
        id: String,
    },
    /// Nothing is archived in this run: messages are kept until they have reached their recipients.
    Unarchived,
    /// Streams last longer in this run than anybody is away, and only processes fail: whoever asks resumes.
    Lasting,
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
    /// How often the server was killed.
    kills: u32,
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
            kills: 0,
            to: HashMap::new(),
            got: HashSet::new(),
            undelivered: HashSet::new(),
        };
        Ok(Self { began: Instant::now(), count: watch::Sender::new(0), inner: Mutex::new(notes) })
    }

    /// Notes an event. It has left this process when this returns, so that it outlives it; nobody acts on what is not noted. It
    /// is flushed once, at the end of the run: neither the harness nor the machine under it is killed, only the server is (and
    /// what a power cut would take is replayed on copies), while a flush for each event would have all clients of a run wait
    /// for the disk in turn, and keep them from being a load.
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

    /// How often the server was killed.
    pub fn kills(&self) -> u32 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).kills
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
            Event::Killed { what: "server" } => self.kills += 1,
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
            Self::Failed { device } => write!(f, "failed\t{device}"),
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
            Self::Copied { id, device, uid } => write!(f, "copied\t{id}\t{device}\t{uid}"),
            Self::Taken { id, device } => write!(f, "taken\t{id}\t{device}"),
            Self::Asked { owner, subject, value } => {
                write!(f, "asked\t{owner}\t{subject}\t{value}")
            }
            Self::Done { owner, subject, value } => write!(f, "done\t{owner}\t{subject}\t{value}"),
            Self::Killed { what } => write!(f, "killed\t{what}"),
            Self::Ready { after, what } => write!(f, "ready\t{after}\t{what}"),
            Self::Healed => f.write_str("healed"),
            Self::Settled { after } => write!(f, "settled\t{after}"),
            Self::Archived { owner, id, uid } => write!(f, "archived\t{owner}\t{id}\t{uid}"),
            Self::Is { owner, subject, value } => write!(f, "is\t{owner}\t{subject}\t{value}"),
            Self::Half { owner, contact, half } => write!(f, "half\t{owner}\t{contact}\t{half}"),
            Self::Left { owner, id } => write!(f, "left\t{owner}\t{id}"),
            Self::Unarchived => f.write_str("unarchived"),
            Self::Lasting => f.write_str("lasting"),
        }
    }
}
