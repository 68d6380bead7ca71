use super::*;
use std::os::unix::fs::PermissionsExt;

const BOOT: &str = "7f0a2f9c-1111-2222-3333-444455556666";

struct Shelf {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db-streams");
        Self { _folder: folder, path }
    }

    /// The next process.
    fn open(&self) -> (Journal, Vec<(u32, String)>) {
        let (journal, left) = self.open_in(BOOT);
        journal.publish().expect("published");
        (journal, left)
    }

    fn open_in(&self, boot: &str) -> (Journal, Vec<(u32, String)>) {
        let (journal, left) = Journal::open(&self.path, Some(boot)).expect("opened");
        let text = |words| String::from_utf8(words).expect("texts");
        (journal, left.streams.into_iter().map(|(stream, words)| (stream, text(words))).collect())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("it is there")
    }
}

fn append(journal: &Journal, slot: &mut Slot, words: &str) -> bool {
    let mut record = Record::new();
    record.words().extend_from_slice(words.as_bytes());
    journal.append(slot, &mut record).expect("written")
}

fn is(left: &[(u32, String)], expected: &[(u32, &str)]) {
    let left: Vec<_> = left.iter().map(|(stream, words)| (*stream, words.as_str())).collect();
    assert_eq!(left, expected);
}

#[test]
fn xep0198_5_the_next_process_reads_what_was_written() {
    let shelf = Shelf::new();
    let (journal, left) = shelf.open();
    is(&left, &[]);
    let mut one = journal.begin(1, b"one").expect("begun");
    let two = journal.begin(2, b"two").expect("begun");
    assert!(append(&journal, &mut one, " and more"));
    assert_eq!(journal.read(&one).expect("read"), b"one and more");
    journal.end(two);
    let mut three = journal.begin(3, b"three").expect("begun");
    assert!(append(&journal, &mut three, "!"));
    let (_, left) = shelf.open();
    is(&left, &[(1, "one and more"), (3, "three!")]);
    let mode = fs::metadata(&shelf.path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "stanzas are in it");
}

#[test]
fn a_stream_that_moves_leaves_nothing_behind() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let mut slot = journal.begin(7, b"0").expect("begun");
    let long = "x".repeat(1_000);
    let mut moved = 0;
    for _ in 0..200 {
        if !append(&journal, &mut slot, &long) {
            moved += 1;
            journal.replace(&mut slot, format!("after {moved}").as_bytes()).expect("moved");
        }
    }
    assert!(moved > 3);
    assert!(fs::metadata(&shelf.path).expect("there").len() < 64 * 1_024, "places are used again");
    let expected = String::from_utf8(journal.read(&slot).expect("read")).expect("texts");
    assert!(expected.starts_with(&format!("after {moved}")));
    let (next, left) = shelf.open_in(BOOT);
    is(&left, &[(7, &expected)]);
    drop(next);
    journal.end(slot);
    is(&shelf.open().1, &[]);
}

/// A kill between the two writes of a move.
#[test]
fn of_two_places_of_a_stream_the_later_one_counts() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let mut slot = journal.begin(7, b"before").expect("begun");
    let head = slot_head(journal.key, slot.place, Some(slot.owner));
    let place = slot.place;
    journal.replace(&mut slot, b"after").expect("moved");
    journal.file.write_all_at(&head, place.at).expect("written");
    is(&shelf.open().1, &[(7, "after")]);
}

#[test]
fn a_record_that_was_not_written_to_its_end_is_none() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let mut slot = journal.begin(7, b"whole").expect("begun");
    let before = slot.end as u64 + slot.place.at;
    assert!(append(&journal, &mut slot, " and torn"));
    let whole = shelf.bytes();
    let end = usize::try_from(slot.place.at).expect("small") + slot.end;
    let first = usize::try_from(before).expect("small");
    for cut in first..end {
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        fs::write(&shelf.path, &torn).expect("written");
        is(&shelf.open_in(BOOT).1, &[(7, "whole")]);
        fs::write(&shelf.path, &whole[..cut]).expect("written");
        is(&shelf.open_in(BOOT).1, &[(7, "whole")]);
    }
    // and the first one of a slot, which is then as if it had not been begun
    for cut in [0, 10, SLOT_HEAD, SLOT_HEAD + 5, SLOT_HEAD + RECORD_HEAD + 1] {
        fs::write(&shelf.path, &whole[..4_096 + cut]).expect("written");
        is(&shelf.open_in(BOOT).1, &[]);
    }
}

#[test]
fn r08_any_change_of_a_byte_is_noticed() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let mut slot = journal.begin(7, b"first").expect("begun");
    assert!(append(&journal, &mut slot, "second"));
    let whole = shelf.bytes();
    let (second, end) = (SLOT_HEAD + RECORD_HEAD + 5, SLOT_HEAD + 2 * RECORD_HEAD + 11);
    for (from, to, left) in [
        (0, FILE_HEAD, &[][..]),
        (4_096, 4_096 + second, &[][..]),
        (4_096 + second, 4_096 + end, &[(7, "first")][..]),
    ] {
        for byte in from..to {
            let mut changed = whole.clone();
            changed[byte] ^= 0x10;
            fs::write(&shelf.path, &changed).expect("written");
            is(&shelf.open_in(BOOT).1, left);
        }
    }
}

/// Clients write what stands in the file, and could write what looks like a part of it.
#[test]
fn s02_what_a_client_writes_is_never_taken_for_a_record() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let mut mine = journal.begin(1, b"mine").expect("begun");
    assert!(append(&journal, &mut mine, "more"));
    let all = shelf.bytes();
    let page = &all[4_096..8_192.min(all.len())];
    // a copy of a whole slot, on a page of its own
    let mut words = vec![b'.'; 4_096 - SLOT_HEAD - RECORD_HEAD];
    words.extend_from_slice(page);
    words.extend_from_slice(&[b'.'; 9_000]);
    let mut theirs = journal.begin(2, &words).expect("begun");
    let left = Journal::open(&shelf.path, Some(BOOT)).expect("opened").1;
    assert_eq!(left.streams.len(), 2);
    assert_eq!(left.streams[0].1, b"minemore");
    // which is still there when the place is another's, even the same stream's
    let place = theirs.place;
    journal.replace(&mut theirs, b"short").expect("moved");
    let dots = ".".repeat(usize::try_from(place.bytes() / 5).expect("small"));
    let other = journal.begin(3, dots.as_bytes()).expect("begun");
    assert_eq!(other.place, place, "a place that was used");
    is(&shelf.open_in(BOOT).1, &[(1, "minemore"), (2, "short"), (3, &dots)]);
}

#[test]
fn what_an_earlier_use_of_a_place_has_left_is_nobodys() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    // Records of the same length at the same places.
    for stream in 1..10 {
        let mut slot = journal.begin(stream, b"begin").expect("begun");
        for _ in 0..10 - stream {
            assert!(append(&journal, &mut slot, "again"));
        }
        let expected = format!("begin{}", "again".repeat(10 - stream as usize));
        is(&shelf.open_in(BOOT).1, &[(stream, &expected)]);
        journal.end(slot);
    }
}

#[test]
fn l05_after_a_power_cut_only_what_ended_in_good_order_is_believed() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let slot = journal.begin(1, b"one").expect("begun");
    is(&shelf.open_in("another-boot-1111-2222-3333-44445555").1, &[]);
    assert_eq!(Journal::open(&shelf.path, None).expect("opened").1, LeftStreams::default());
    is(&shelf.open_in(BOOT).1, &[(1, "one")]);
    journal.close().expect("closed");
    journal.end(slot);
    let (next, left) = Journal::open(&shelf.path, None).expect("opened");
    assert!(left.closed);
    assert_eq!(left.streams, [(1, b"one".to_vec())]);
    // and only once
    next.publish().expect("published");
    assert_eq!(Journal::open(&shelf.path, None).expect("opened").1, LeftStreams::default());
}

#[test]
fn a_kill_while_the_journal_is_taken_over_changes_nothing() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    journal.begin(1, b"one").expect("begun");
    for _ in 0..2 {
        let (next, left) = shelf.open_in(BOOT);
        is(&left, &[(1, "one")]);
        next.begin(1, b"one, taken up").expect("begun");
    }
    let (next, _) = shelf.open_in(BOOT);
    next.begin(1, b"one, taken up").expect("begun");
    next.publish().expect("published");
    is(&shelf.open_in(BOOT).1, &[(1, "one, taken up")]);
}

#[test]
fn what_is_no_journal_is_none() {
    let shelf = Shelf::new();
    for bytes in [&b""[..], b"x", &[0; 10_000], &[0xff; 10_000]] {
        fs::write(&shelf.path, bytes).expect("written");
        is(&shelf.open_in(BOOT).1, &[]);
    }
}

#[test]
fn r03_the_file_is_bounded() {
    let shelf = Shelf::new();
    let (journal, _) = shelf.open();
    let largest = vec![1; (PAGE_BYTES << LARGEST) - SLOT_HEAD - RECORD_HEAD];
    let slot = journal.begin(1, &largest).expect("as large as can be");
    assert_eq!(journal.read(&slot).expect("read"), largest);
    let too_large = [&largest[..], &[1]].concat();
    assert_eq!(
        journal.begin(2, &too_large).expect_err("too large"),
        StoreError::Full("bytes of one stream")
    );
    journal.slots().end = FILE_MAX - PAGE;
    journal.begin(3, b"the last").expect("there is a page");
    assert_eq!(journal.begin(4, b"x").expect_err("full"), StoreError::Full("bytes of all streams"));
    journal.end(slot);
    assert!(journal.begin(4, &largest).is_ok());
}

/// What cannot be continued is not believed.
#[test]
fn l15_a_journal_that_cannot_be_written_is_gone() {
    let shelf = Shelf::new();
    let (mut journal, _) = shelf.open();
    let mut slot = journal.begin(1, b"one").expect("begun");
    journal.file = File::open(&shelf.path).expect("for reading");
    let mut record = Record::new();
    record.words().extend_from_slice(b"x");
    assert!(journal.append(&mut slot, &mut record).is_err());
    journal.end(slot);
    assert!(!shelf.path.exists());
    assert!(journal.begin(2, b"two").is_err() && journal.close().is_err());
}
