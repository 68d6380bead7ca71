//! Rules of messages that wait for a client, and of their ids.

use crate::stage::{Stage, block_on, jid, written};
use roster_store::{Kept, MessageId, NewMessage, Origin, Put, Query, StoreError, Taken};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const JULIET: &str = "juliet@capulet.example";
const ROMEO: &str = "romeo@montague.example";

/// Bytes of a page: as many as there are.
pub(crate) const ALL: usize = usize::MAX;

/// A message that only waits.
pub(crate) fn waiting(owner: &str, stanza: &[u8]) -> NewMessage {
    NewMessage {
        owner: jid(owner),
        with: "nurse@capulet.example/home".parse().expect("an address"),
        at: UNIX_EPOCH,
        stanza: stanza.to_vec().into(),
        archived: false,
        pending: true,
        delivered: false,
    }
}

/// A message for the archive, which has been delivered.
fn archived(owner: &str, stanza: &[u8]) -> NewMessage {
    NewMessage { archived: true, pending: false, ..waiting(owner, stanza) }
}

pub(crate) fn put(
    stage: &mut Stage,
    messages: Vec<NewMessage>,
) -> Result<Vec<MessageId>, StoreError> {
    let (taken, put) = stage.next().put(messages.into());
    written(put).map(|()| taken.ids())
}

fn keep(stage: &mut Stage, owner: &str, stanza: &[u8]) -> Result<i64, StoreError> {
    put(stage, vec![waiting(owner, stanza)]).map(|ids| ids[0].number())
}

fn settle(stage: &mut Stage, owner: &str, numbers: &[i64]) {
    stage.run(|s| s.settle(&jid(owner), numbers.to_vec())).expect("settled");
}

fn all(stage: &mut Stage, owner: &str) -> Vec<Kept> {
    let kept = stage.run(|s| s.pending(&jid(owner), 0, 100, ALL)).expect("messages").0;
    assert_eq!(stage.run(|s| s.count(&jid(owner))), Ok(kept.len()));
    assert!(kept.is_sorted_by(|a, b| a.id.number() < b.id.number()));
    assert!(kept.iter().all(|kept| kept.pending));
    kept
}

fn pending(stage: &mut Stage, owner: &str) -> Vec<String> {
    let text = |kept: Kept| String::from_utf8(kept.stanza.to_vec()).expect("what was put in");
    all(stage, owner).into_iter().map(text).collect()
}

pub(crate) fn xep0160_messages_wait_in_order_until_they_are_settled(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let first = keep(stage, JULIET, b"first").expect("kept");
    keep(stage, ROMEO, b"other").expect("kept");
    let second = keep(stage, JULIET, b"second").expect("kept");
    let third = keep(stage, JULIET, b"third").expect("kept");
    assert!(first < second && second < third);
    assert_eq!(pending(stage, JULIET), ["first", "second", "third"]);
    settle(stage, JULIET, &[second]);
    assert_eq!(pending(stage, JULIET), ["first", "third"]);
    settle(stage, JULIET, &[second, first, third, third, i64::MAX, i64::MIN, 0, -1, 1 << 32]);
    assert_eq!(pending(stage, JULIET), Vec::<String>::new());
    assert_eq!(pending(stage, ROMEO), ["other"]);
}

pub(crate) fn pending_messages_are_read_in_parts(stage: &mut Stage) {
    stage.create(JULIET);
    let numbers = ["1", "2", "3"].map(|n| keep(stage, JULIET, n.as_bytes()).expect("kept"));
    let mut read = |after, limit| -> Vec<i64> {
        let (kept, _) =
            stage.run(|s| s.pending(&jid(JULIET), after, limit, ALL)).expect("messages");
        kept.iter().map(|kept| kept.id.number()).collect()
    };
    assert_eq!(read(0, 2), numbers[..2]);
    assert_eq!(read(numbers[1], 2), numbers[2..]);
    assert_eq!(read(numbers[2], 2), []);
    assert_eq!(read(i64::MIN, 9), numbers);
    assert_eq!(read(i64::MAX, 9), []);
    assert_eq!(read(0, 0), []);
}

pub(crate) fn r03_pending_messages_are_read_in_parts_that_are_bounded_in_bytes(stage: &mut Stage) {
    stage.create(JULIET);
    for n in 0..4 {
        let message = NewMessage { archived: true, ..waiting(JULIET, &[b'a' + n; 99]) };
        put(stage, vec![message]).expect("kept");
    }
    let mut read = |limit, bytes| {
        let (kept, more) = stage.run(|s| s.pending(&jid(JULIET), 0, limit, bytes)).expect("read");
        (kept.len(), more)
    };
    assert_eq!(read(9, 0), (1, true), "one in any case");
    assert_eq!(read(9, 2 * 99), (2, true));
    assert_eq!(read(9, 3 * 99 - 1), (2, true));
    assert_eq!(read(3, ALL), (3, true));
    assert_eq!(read(9, 4 * 99), (4, false));
}

pub(crate) fn n4_what_one_stanza_puts_is_kept_whole_or_not_at_all(stage: &mut Stage) {
    stage.create(JULIET);
    let sent = archived(ROMEO, b"hello");
    let received = NewMessage { archived: true, ..waiting(JULIET, b"hello") };
    let both = vec![sent, received];
    assert_eq!(put(stage, both.clone()), Err(StoreError::NotFound), "there is no Romeo");
    assert_eq!(pending(stage, JULIET), Vec::<String>::new());
    stage.create(ROMEO);
    let ids = put(stage, both).expect("kept");
    assert_eq!(ids.len(), 2);
    let kept = all(stage, JULIET);
    assert_eq!((kept[0].id, &*kept[0].stanza, kept[0].archived), (ids[1], &b"hello"[..], true));
    assert_eq!(pending(stage, ROMEO), Vec::<String>::new(), "he sent it");
    assert_eq!(put(stage, vec![]), Ok(vec![]));
    let nobodys = NewMessage { pending: false, ..waiting(JULIET, b"?") };
    put(stage, vec![nobodys]).expect("not kept, and not refused");
    assert_eq!(pending(stage, JULIET), ["hello"]);
}

pub(crate) fn n4_a_message_to_oneself_is_two_in_one_transaction(stage: &mut Stage) {
    stage.create(JULIET);
    let two = vec![waiting(JULIET, &[b'1'; 60]), waiting(JULIET, &[b'2'; 41])];
    assert_eq!(put(stage, two), Err(StoreError::Full("offline messages")), "together too long");
    assert_eq!(pending(stage, JULIET), Vec::<String>::new());
    let ids = put(stage, vec![waiting(JULIET, b"1"), waiting(JULIET, b"2")]).expect("kept");
    assert!(ids[0].number() < ids[1].number());
    assert_eq!(pending(stage, JULIET), ["1", "2"]);
}

pub(crate) fn xep0313_6_2_ids_are_never_used_again(stage: &mut Stage) {
    stage.create(JULIET);
    let mut numbers = vec![keep(stage, JULIET, b"first").expect("kept")];
    settle(stage, JULIET, &numbers);
    numbers.push(keep(stage, JULIET, b"second").expect("kept"));
    stage.delete(JULIET);
    assert_eq!(keep(stage, JULIET, b"nobody's"), Err(StoreError::NotFound));
    stage.create(JULIET);
    numbers.push(keep(stage, JULIET, b"third").expect("kept"));
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(pending(stage, JULIET), ["third"]);
}

pub(crate) fn r03_caps_of_offline_messages(stage: &mut Stage) {
    let full = Err(StoreError::Full("offline messages"));
    stage.create(JULIET);
    stage.create(ROMEO);
    let first = keep(stage, JULIET, b"1").expect("kept");
    keep(stage, JULIET, b"2").expect("kept");
    keep(stage, JULIET, b"3").expect("kept");
    assert_eq!(keep(stage, JULIET, b"4"), full, "three messages are the cap");
    settle(stage, JULIET, &[first, first]);
    keep(stage, JULIET, &[b'5'; 98]).expect("kept");
    assert_eq!(pending(stage, JULIET).len(), 3);

    assert_eq!(keep(stage, ROMEO, &[b'1'; 101]), full, "a hundred bytes are the cap");
    let first = keep(stage, ROMEO, &[b'1'; 60]).expect("kept");
    assert_eq!(keep(stage, ROMEO, &[b'2'; 41]), full);
    keep(stage, ROMEO, &[b'2'; 40]).expect("kept");
    settle(stage, ROMEO, &[first]);
    keep(stage, ROMEO, &[b'3'; 60]).expect("kept");
    assert_eq!(pending(stage, ROMEO).len(), 2);
}

pub(crate) fn l16_what_is_archived_needs_no_room_among_what_waits(stage: &mut Stage) {
    stage.create(JULIET);
    for n in 0..5 {
        let message = NewMessage { archived: true, ..waiting(JULIET, &[b'a' + n; 99]) };
        put(stage, vec![message]).expect("kept");
    }
    let numbers: Vec<i64> = all(stage, JULIET).iter().map(|kept| kept.id.number()).collect();
    assert_eq!(numbers.len(), 5);
    for n in [b"1", b"2", b"3"] {
        keep(stage, JULIET, n).expect("kept");
    }
    settle(stage, JULIET, &numbers);
    assert_eq!(keep(stage, JULIET, b"4"), Err(StoreError::Full("offline messages")));
}

pub(crate) fn l16_what_a_session_gets_at_once_is_not_refused_for_want_of_room(stage: &mut Stage) {
    stage.create(JULIET);
    let now = || NewMessage { delivered: true, ..waiting(JULIET, b"now") };
    let numbers: Vec<i64> =
        (0..5).map(|_| put(stage, vec![now()]).expect("kept")[0].number()).collect();
    assert_eq!(pending(stage, JULIET).len(), 5, "her client is slow");
    // She has gone, and they wait like any other.
    assert_eq!(keep(stage, JULIET, b"later"), Err(StoreError::Full("offline messages")));
    settle(stage, JULIET, &numbers[..3]);
    keep(stage, JULIET, b"later").expect("kept");
    settle(stage, JULIET, &numbers);
    assert_eq!(pending(stage, JULIET), ["later"]);
}

/// Puts one and the same stanza of Romeo's, for both archives or to wait only.
fn say(stage: &mut Stage, origin: u8, at: SystemTime, archived: bool) -> (Taken, bool) {
    let received = NewMessage { archived, at, ..waiting(JULIET, b"hello") };
    let sent = NewMessage { owner: jid(ROMEO), pending: false, ..received.clone() };
    let messages = vec![sent, received];
    let (taken, put) =
        stage.next().put(Put { messages, origin: Some(Origin::of([origin; 8])), source: None });
    (taken, block_on(put).is_ok())
}

fn archive(stage: &mut Stage, owner: &str) -> usize {
    let all = Query { limit: 100, bytes: usize::MAX, ..Query::default() };
    stage.run(|s| s.page(&jid(owner), all.clone())).expect("a page").messages.len()
}

pub(crate) fn n2_what_is_sent_again_within_a_day_is_kept_once(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let begin = UNIX_EPOCH + 20_000 * DAY;
    let (taken, kept) = say(stage, 1, begin, true);
    assert!(kept && matches!(&taken, Taken::New(ids) if ids.len() == 2));
    for at in [begin, begin + DAY, begin - DAY] {
        assert_eq!(say(stage, 1, at, true), (Taken::Again, true), "and it is safe");
    }
    assert_eq!((archive(stage, ROMEO), archive(stage, JULIET)), (1, 1));
    assert_eq!(pending(stage, JULIET), ["hello"]);
    let (taken, kept) = say(stage, 2, begin, true);
    assert!(kept && taken != Taken::Again, "another one");
    let (taken, kept) = say(stage, 1, begin + DAY + Duration::from_secs(1), true);
    assert!(kept && taken != Taken::Again, "it is too late for the same");
    assert_eq!((archive(stage, ROMEO), archive(stage, JULIET)), (3, 3));
}

pub(crate) fn n2_what_only_waits_is_kept_once_even_after_it_has_come(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    say(stage, 1, UNIX_EPOCH, false);
    assert_eq!(say(stage, 1, UNIX_EPOCH, false), (Taken::Again, true));
    let numbers: Vec<i64> = all(stage, JULIET).iter().map(|kept| kept.id.number()).collect();
    assert_eq!(numbers.len(), 1);
    settle(stage, JULIET, &numbers);
    assert_eq!(say(stage, 1, UNIX_EPOCH, false), (Taken::Again, true));
    assert_eq!(pending(stage, JULIET), Vec::<String>::new());
}

pub(crate) fn n2_what_could_not_be_kept_is_new_the_next_time(stage: &mut Stage) {
    stage.create(JULIET);
    let (taken, kept) = say(stage, 1, UNIX_EPOCH, true);
    assert!(!kept && taken != Taken::Again, "there is no Romeo");
    stage.create(ROMEO);
    let (taken, kept) = say(stage, 1, UNIX_EPOCH, true);
    assert!(kept && taken != Taken::Again);
    assert_eq!((archive(stage, ROMEO), archive(stage, JULIET)), (1, 1));
    let empty = Put { messages: vec![], origin: Some(Origin::of([9; 8])), source: None };
    assert_eq!(written(stage.next().put(empty).1), Ok(()));
    assert_ne!(say(stage, 9, UNIX_EPOCH, true).0, Taken::Again, "nothing was kept of that one");
}

pub(crate) fn times_are_kept_to_the_microsecond(stage: &mut Stage) {
    stage.create(JULIET);
    let span = Duration::from_micros(1_765_432_109_876_543);
    for at in [UNIX_EPOCH + span, UNIX_EPOCH - span, SystemTime::UNIX_EPOCH] {
        put(stage, vec![NewMessage { at, ..waiting(JULIET, b"then") }]).expect("kept");
        assert_eq!(all(stage, JULIET).last().expect("one").at, at);
    }
}

pub(crate) fn a_call_takes_its_place_when_it_is_made(stage: &mut Stage) {
    stage.create(JULIET);
    let (store, juliet) = (stage.next(), jid(JULIET));
    let put = |stanza: &[u8]| store.put(vec![waiting(JULIET, stanza)].into());
    drop(put(b"its future was dropped"));
    let (second, written) = put(b"not awaited yet");
    let before = store.pending(&juliet, 0, 9, ALL);
    let settled = store.settle(&juliet, vec![second.ids()[0].number()]);
    let (_, third) = put(b"after the read");
    let after = store.pending(&juliet, 0, 9, ALL);
    block_on(third).expect("kept"); // in another order than they were called
    assert_eq!(block_on(after).expect("messages").0.len(), 2);
    assert_eq!(block_on(before).expect("messages").0.len(), 2);
    block_on(settled).expect("settled");
    block_on(written).expect("kept");
}

pub(crate) fn r08_any_bytes_are_kept(stage: &mut Stage) {
    stage.create(JULIET);
    let bytes: Vec<u8> = (0..=99).chain(*b"'").map(|b: u8| b.wrapping_mul(7)).take(90).collect();
    keep(stage, JULIET, &bytes).expect("kept");
    assert_eq!(all(stage, JULIET)[0].stanza, bytes);
}
