//! What stands in the file: a header, then slots, each with a header of its own and records behind it.
//!
//! ```text
//!  0                4 KiB                         8 KiB
//!  ├ file's header ─┼ slot's header, record, record, …, what an earlier use has left ─┼ slot's header, …
//! ```
//!
//! Everything carries a checksum under a key that is made with the file and never leaves it, over the place where it stands,
//! the stream, and how often that has moved. So neither what clients write nor what an earlier use of the place has left is
//! ever taken for a record, and a record that was not written to its end is none.

/// Slots begin at multiples of it, and the first behind the file's header.
pub(super) const PAGE: u64 = PAGE_BYTES as u64;
/// The same where it is counted in memory.
pub(super) const PAGE_BYTES: usize = 4_096;
/// There are slots of `PAGE << 0` to `PAGE << LARGEST` bytes: a stream's books hold what its client has not acknowledged
/// (a MiB), one mailbox, and its seat.
pub(super) const LARGEST: u8 = 12;
/// Bytes of a slot's header.
pub(super) const SLOT_HEAD: usize = 24;
/// Bytes of a record before its words.
pub(super) const RECORD_HEAD: usize = 12;
/// Bytes of the file's header.
pub(super) const FILE_HEAD: usize = 48;

/// Says what the file is, in which format.
const MAGIC: &[u8; 8] = b"Stncstr1";
/// Where the checksum stands in the file's header.
const FILE_SUM: usize = FILE_HEAD - 8;

/// What the checksums of one file are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) [u64; 2]);

/// Where a slot is and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) class: u8,
}

/// Whose a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) stream: u32,
    /// How often the stream has moved to another slot.
    pub(super) turn: u32,
}

/// The file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) key: Key,
    /// The boot in which it is written, [in short](Key::boot); 0 where that is not known.
    pub(super) boot: u64,
    /// All of it was flushed, and nothing was written after that.
    pub(super) closed: bool,
}

impl Key {
    /// What tells one start of the machine from another.
    pub(super) fn boot(self, boot: Option<&str>) -> u64 {
        boot.map_or(0, |boot| self.digest([2; 3], boot.as_bytes()) | 1)
    }

    /// A checksum over bytes in their context.
    fn digest(self, context: [u64; 3], bytes: &[u8]) -> u64 {
        let Self([first, second]) = self;
        let step = |sum: u64, word: u64| mix(sum ^ word, second);
        let mut sum = context.into_iter().fold(first, step);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            sum = step(sum, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = step(sum, u64::from_le_bytes(last));
        step(sum, bytes.len() as u64)
    }
}

/// Both halves of the product: every bit of it depends on all of both.
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other | 1);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = (product as u64) ^ ((product >> 64) as u64);
    halves.rotate_left(23) ^ one
}

impl Place {
    pub(super) fn bytes(self) -> u64 {
        PAGE << self.class
    }
}

impl FileHead {
    pub(super) fn write(&self) -> [u8; FILE_HEAD] {
        let mut head = [0; FILE_HEAD];
        head[..8].copy_from_slice(MAGIC);
        for (bytes, word) in head[8..24].chunks_exact_mut(8).zip(self.key.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        head[24..32].copy_from_slice(&self.boot.to_le_bytes());
        head[32] = u8::from(self.closed);
        let sum = self.key.digest([0; 3], &head[..FILE_SUM]);
        head[FILE_SUM..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// `None`: it is not ours, or not whole.
    pub(super) fn read(head: &[u8; FILE_HEAD]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = head[at..at + 8].try_into().expect("eight of them");
            u64::from_le_bytes(bytes)
        };
        let key = Key([word(8), word(16)]);
        let is_ours =
            head[..8] == *MAGIC && word(FILE_SUM) == key.digest([0; 3], &head[..FILE_SUM]);
        is_ours.then(|| Self { key, boot: word(24), closed: head[32] == 1 })
    }
}

/// A slot's header; without an owner nobody has it.
pub(super) fn slot_head(key: Key, place: Place, owner: Option<Owner>) -> [u8; SLOT_HEAD] {
    let Owner { stream, turn } = owner.unwrap_or(Owner { stream: 0, turn: 0 });
    let mut head = [0; SLOT_HEAD];
    head[8..12].copy_from_slice(&stream.to_le_bytes());
    head[12..16].copy_from_slice(&turn.to_le_bytes());
    head[16] = place.class;
    head[17] = u8::from(owner.is_some());
    let sum = key.digest([place.at, 0, 0], &head[8..]);
    head[..8].copy_from_slice(&sum.to_le_bytes());
    head
}

/// What stands at the beginning of a slot; `None`: there is none.
pub(super) fn read_slot_head(
    key: Key,
    at: u64,
    head: &[u8; SLOT_HEAD],
) -> Option<(Place, Option<Owner>)> {
    let number = |at: usize| {
        let bytes = head[at..at + 4].try_into().expect("four of them");
        u32::from_le_bytes(bytes)
    };
    let place = Place { at, class: head[16] };
    let owner = (head[17] == 1).then(|| Owner { stream: number(8), turn: number(12) });
    let is_one = place.class <= LARGEST && *head == slot_head(key, place, owner);
    is_one.then_some((place, owner))
}

/// Completes a record whose words stand behind room for its head: it is written `offset` bytes into the slot.
pub(super) fn seal(key: Key, place: Place, owner: Owner, offset: usize, record: &mut [u8]) {
    let (head, words) = record.split_at_mut(RECORD_HEAD);
    let length = u32::try_from(words.len()).expect("shorter than a slot");
    head[..4].copy_from_slice(&length.to_le_bytes());
    let sum = key.digest(context(place, owner, offset), words);
    head[4..].copy_from_slice(&sum.to_le_bytes());
}

/// The words of all records in a slot, one after the other, and where the last one ends.
pub(super) fn read_records(key: Key, place: Place, owner: Owner, slot: &[u8]) -> (Vec<u8>, usize) {
    let mut words = Vec::new();
    let mut offset = SLOT_HEAD;
    while let Some(record) = read_record(key, place, owner, offset, slot) {
        words.extend_from_slice(record);
        offset += RECORD_HEAD + record.len();
    }
    (words, offset)
}

fn read_record(key: Key, place: Place, owner: Owner, offset: usize, slot: &[u8]) -> Option<&[u8]> {
    let (head, rest) = slot.get(offset..)?.split_at_checked(RECORD_HEAD)?;
    let (length, sum) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("four of them"));
    let words = rest.get(..usize::try_from(length).ok()?)?;
    let sum = u64::from_le_bytes(sum.try_into().expect("eight of them"));
    let is_one = !words.is_empty() && sum == key.digest(context(place, owner, offset), words);
    is_one.then_some(words)
}

fn context(place: Place, Owner { stream, turn }: Owner, offset: usize) -> [u64; 3] {
    [place.at + offset as u64, u64::from(stream) << 32 | u64::from(turn), 1]
}
