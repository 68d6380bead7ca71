//! The journal of the streams that may be resumed (XEP-0198 5): what each needs to go on in another process, written as it
//! happens, before its client sees it.
//!
//! A file beside the database, that is never flushed while the server runs: what a process has written outlives its kill in the
//! memory of the kernel. It does not outlive that, so a journal from before the machine was started is believed only where it
//! was [closed](Journal::close), and flushed, in good order. Messages do not depend on it: the store has them.
//!
//! A stream has a slot, to which it appends; once that is full, it begins another with all that is still true
//! ([`replace`](Journal::replace)). So the file is as long as what is true needs, a few times over. What the words mean only
//! their writer knows.

mod format;
#[cfg(test)]
mod tests;

use crate::{Result, StoreError, course::Course};
use bytes::BytesMut;
use format::{
    FILE_HEAD, FileHead, Key, LARGEST, Owner, PAGE, PAGE_BYTES, Place, RECORD_HEAD, SLOT_HEAD,
    read_records, read_slot_head, seal, slot_head,
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

/// Bytes that the file may have: a quarter of a million streams that talk, or three thousand whose clients acknowledge nothing. One that
/// finds no room lasts as long as the process.
const FILE_MAX: u64 = 4 << 30;

/// A slot that a stream moves to is at least this long: an idle one never moves out of its first page.
const ROOMY: usize = 16 * 1_024;

/// The journal of one process.
pub struct Journal {
    file: File,
    /// Where it stands, and until it is [published](Self::publish) where it is written.
    paths: [PathBuf; 2],
    boot: u64,
    key: Key,
    slots: Mutex<Slots>,
    state: AtomicU8,
    course: Course,
    /// The former one was closed in good order: whoever reads it after a power cut would believe it.
    was_closed: bool,
}

/// What the process before has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftStreams {
    /// The words of each stream, by its number, in the order of the numbers.
    pub streams: Vec<(u32, Vec<u8>)>,
    /// It ended in good order.
    pub closed: bool,
}

/// Where a stream's words stand.
#[derive(Debug)]
pub struct Slot {
    place: Place,
    owner: Owner,
    /// Where the next record begins.
    end: usize,
}

/// Words on their way into the journal, behind room for what it puts before them. To be used again and again.
#[derive(Debug)]
pub struct Record(BytesMut);

/// Which slots there are that nobody has.
#[derive(Default)]
struct Slots {
    free: [Vec<u64>; LARGEST as usize + 1],
    /// Where the file ends.
    end: u64,
}

/// What the log calls what is done here.
const WRITES: &str = "writes to the journal of streams";

/// It is written to.
const OPEN: u8 = 0;
/// It ended in good order.
const CLOSED: u8 = 1;
/// It cannot be written: nobody may believe it.
const BROKEN: u8 = 2;

impl Journal {
    /// Reads what the process before has left here, and begins a journal aside, which takes the other's place once it is
    /// [published](Self::publish): killed before that, the next process reads the former once more. `boot`: what tells one start of the
    /// machine from another.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: it cannot be made, and the former is gone; [`StoreError::Unusable`]: not even that.
    pub fn open(path: &Path, boot: Option<&str>) -> Result<(Self, LeftStreams)> {
        let cannot = |error: io::Error| {
            StoreError::Unusable(format!("{} cannot be opened: {error}", path.display()).into())
        };
        let left = read(path, boot).map_err(cannot)?;
        let mut aside = path.as_os_str().to_owned();
        aside.push("-new");
        let aside = PathBuf::from(aside);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        // Under keys that the system has given the process, and nobody else has.
        let secret = RandomState::new();
        let key = Key([secret.hash_one(1_u8), secret.hash_one(2_u8)]);
        let head = FileHead { key, boot: key.boot(boot), closed: false };
        let made = options.open(&aside).and_then(|file| {
            file.write_all_at(&head.write(), 0)?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // What goes on from here on must not be taken for what was before.
                remove(path).map_err(cannot)?;
                return Err(failed(&error));
            }
        };
        let journal = Self {
            file,
            paths: [path.to_owned(), aside],
            boot: head.boot,
            key,
            slots: Mutex::new(Slots { end: PAGE, ..Slots::default() }),
            state: AtomicU8::new(OPEN),
            course: Course::default(),
            was_closed: left.closed,
        };
        Ok((journal, left))
    }

    /// From here on this one is read by the next process, and the former no more.
    ///
    /// # Errors
    /// It cannot be put there: none is read then.
    pub fn publish(&self) -> Result<()> {
        let [path, aside] = &self.paths;
        let publish = || {
            if self.was_closed {
                // The former must be gone for good before anything happens that it does not know of.
                self.file.sync_all()?;
            }
            fs::rename(aside, path)?;
            if self.was_closed
                && let Some(folder) = path.parent()
            {
                let here = folder.as_os_str().is_empty();
                File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
            }
            Ok(())
        };
        publish().map_err(|error| {
            self.give_up(&error);
            failed(&error)
        })
    }

    /// Begins a stream with these words. Its number nobody else has in this journal.
    ///
    /// # Errors
    /// There is no room, or the file cannot be written.
    pub fn begin(&self, stream: u32, words: &[u8]) -> Result<Slot> {
        // Most streams are idle, and their words fit into half of the first page.
        let room = if words.len() < PAGE_BYTES / 2 { PAGE_BYTES } else { roomy(words) };
        self.write_slot(Owner { stream, turn: 0 }, room, words)
    }

    /// Appends a record, in one write. `false`: there is no room for it in the slot.
    ///
    /// # Errors
    /// The file cannot be written: the slot is to be [ended](Self::end).
    pub fn append(&self, slot: &mut Slot, Record(record): &mut Record) -> Result<bool> {
        let Slot { place, owner, end } = *slot;
        if end as u64 + record.len() as u64 > place.bytes() {
            return Ok(false);
        }
        seal(self.key, place, owner, end, record);
        self.write(record, place.at + end as u64)?;
        slot.end += record.len();
        Ok(true)
    }

    /// All words of a stream, one record's behind the other's.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, slot: &Slot) -> Result<Vec<u8>> {
        let mut bytes = vec![0; slot.end];
        let read = self.file.read_exact_at(&mut bytes, slot.place.at);
        read.map_err(|error| failed(&error))?;
        let (words, end) = read_records(self.key, slot.place, slot.owner, &bytes);
        if end == slot.end {
            Ok(words)
        } else {
            Err(StoreError::Failed("the journal is not as it was written".into()))
        }
    }

    /// Puts these words in the place of all that a stream has.
    ///
    /// # Errors
    /// There is no room, or the file cannot be written: the slot is to be [ended](Self::end).
    pub fn replace(&self, slot: &mut Slot, words: &[u8]) -> Result<()> {
        let owner = Owner { turn: slot.owner.turn.wrapping_add(1), ..slot.owner };
        let former = std::mem::replace(slot, self.write_slot(owner, roomy(words), words)?);
        // Until here there are two, and the later one counts.
        faults::site!("stream-in-two-places");
        self.end(former);
        Ok(())
    }

    /// The stream is over, or cannot be continued: what its slot holds is not to be believed. Where not even that can be
    /// written, nothing of the journal is.
    pub fn end(&self, slot: Slot) {
        if self.state.load(Ordering::Relaxed) != OPEN {
            return;
        }
        let head = slot_head(self.key, slot.place, None);
        match self.file.write_all_at(&head, slot.place.at) {
            Ok(()) => self.slots().free[usize::from(slot.place.class)].push(slot.place.at),
            Err(error) => self.give_up(&error),
        }
    }

    /// Nothing is written any more: flushes all of it, so that it is believed even after a power cut.
    ///
    /// # Errors
    /// It cannot be flushed: nobody will believe it.
    pub fn close(&self) -> Result<()> {
        self.state
            .compare_exchange(OPEN, CLOSED, Ordering::Relaxed, Ordering::Relaxed)
            .map_err(|_| StoreError::Failed("the journal is closed, or broken".into()))?;
        let closed = (self.file.sync_data())
            .and_then(|()| self.write_head(true))
            .and_then(|()| self.file.sync_data());
        closed.map_err(|error| {
            self.give_up(&error);
            failed(&error)
        })
    }

    fn write_head(&self, closed: bool) -> io::Result<()> {
        let head = FileHead { key: self.key, boot: self.boot, closed };
        self.file.write_all_at(&head.write(), 0)
    }

    fn write_slot(&self, owner: Owner, room: usize, words: &[u8]) -> Result<Slot> {
        let place = self.slots().take(room);
        self.course.note(WRITES, &place);
        let place = place?;
        let mut bytes = Vec::with_capacity(SLOT_HEAD + RECORD_HEAD + words.len());
        bytes.extend_from_slice(&slot_head(self.key, place, Some(owner)));
        bytes.extend_from_slice(&[0; RECORD_HEAD]);
        bytes.extend_from_slice(words);
        seal(self.key, place, owner, SLOT_HEAD, &mut bytes[SLOT_HEAD..]);
        if let Err(error) = self.write(&bytes, place.at) {
            // A record that is not whole is none: nobody takes what stands there for a stream's words.
            self.slots().free[usize::from(place.class)].push(place.at);
            return Err(error);
        }
        Ok(Slot { place, owner, end: bytes.len() })
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Err(StoreError::Failed("the journal is closed, or broken".into()));
        }
        let written = self.file.write_all_at(bytes, at).map_err(|error| failed(&error));
        self.course.note(WRITES, &written);
        written
    }

    fn give_up(&self, error: &io::Error) {
        if self.state.swap(BROKEN, Ordering::Relaxed) == BROKEN {
            return;
        }
        let left: Vec<_> = self.paths.iter().filter(|path| remove(path).is_err()).collect();
        if left.is_empty() {
            tracing::error!(%error, "the journal cannot be written: no stream outlives this process");
        } else {
            tracing::error!(
                %error, remove = ?left,
                "the journal cannot be written: no stream outlives this process; remove it before the next start"
            );
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The number of its stream.
    pub fn stream(&self) -> u32 {
        self.owner.stream
    }
}

impl Record {
    /// An empty one.
    pub fn new() -> Self {
        Self(BytesMut::zeroed(RECORD_HEAD))
    }

    /// Empties it, and lets go of more memory than most need.
    pub fn clear(&mut self) {
        if self.0.capacity() > ROOMY {
            *self = Self::new();
        }
        self.0.truncate(RECORD_HEAD);
    }

    /// Its words, to be added to.
    pub fn words(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// Its words so far.
    pub fn as_words(&self) -> &[u8] {
        &self.0[RECORD_HEAD..]
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl Slots {
    /// A slot for so many bytes.
    fn take(&mut self, room: usize) -> Result<Place> {
        let class = (0..=LARGEST).find(|class| (PAGE << class) >= room as u64);
        let class = class.ok_or(StoreError::Full("bytes of one stream"))?;
        if let Some(at) = self.free[usize::from(class)].pop() {
            return Ok(Place { at, class });
        }
        let place = Place { at: self.end, class };
        if place.at + place.bytes() > FILE_MAX {
            return Err(StoreError::Full("bytes of all streams"));
        }
        self.end += place.bytes();
        Ok(place)
    }
}

/// Room for these words and three times as much behind them, so that a stream moves seldom.
fn roomy(words: &[u8]) -> usize {
    let needed = SLOT_HEAD + RECORD_HEAD + words.len();
    let wished = (4 * needed).max(ROOMY);
    let largest = PAGE_BYTES << LARGEST;
    if wished > largest { needed } else { wished }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Failed(format!("the journal: {error}").into())
}

/// What stands in a journal, where it is to be believed.
fn read(path: &Path, boot: Option<&str>) -> io::Result<LeftStreams> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LeftStreams::default()),
        file => file?,
    };
    let length = file.metadata()?.len();
    let mut head = [0; FILE_HEAD];
    let head = if length < PAGE.min(FILE_HEAD as u64) {
        None
    } else {
        file.read_exact_at(&mut head, 0)?;
        FileHead::read(&head)
    };
    let Some(FileHead { key, boot: its_boot, closed }) = head else {
        tracing::warn!(path = %path.display(), "that is no journal of streams");
        return Ok(LeftStreams::default());
    };
    // What was not flushed is gone with the kernel's memory.
    if !closed && (boot.is_none() || its_boot != key.boot(boot)) {
        tracing::warn!("the machine was started anew: streams of before do not go on");
        return Ok(LeftStreams::default());
    }
    let mut streams: HashMap<u32, (u32, Vec<u8>)> = HashMap::new();
    let mut at = PAGE;
    while at + SLOT_HEAD as u64 <= length {
        let mut head = [0; SLOT_HEAD];
        file.read_exact_at(&mut head, at)?;
        // One that was never written: the next process begins on any page.
        let Some((place, owner)) = read_slot_head(key, at, &head) else {
            at += PAGE;
            continue;
        };
        at += place.bytes();
        let Some(owner) = owner else { continue };
        let is_later = streams.get(&owner.stream).is_none_or(|(turn, _)| *turn < owner.turn);
        if is_later {
            let bytes = usize::try_from(place.bytes().min(length - place.at));
            let mut slot = vec![0; bytes.unwrap_or(usize::MAX)];
            file.read_exact_at(&mut slot, place.at)?;
            let (words, _) = read_records(key, place, owner, &slot);
            // The first record is in the same write as the head: without it the stream had not moved yet.
            if !words.is_empty() {
                streams.insert(owner.stream, (owner.turn, words));
            }
        }
    }
    let mut streams: Vec<_> =
        streams.into_iter().map(|(stream, (_, words))| (stream, words)).collect();
    streams.sort_unstable_by_key(|(stream, _)| *stream);
    Ok(LeftStreams { streams, closed })
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.paths[0].display())
    }
}
