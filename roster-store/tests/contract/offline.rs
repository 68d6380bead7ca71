//! Rules of offline messages.

use crate::stage::{Stage, block_on, jid};
use roster_store::StoreError;
use std::time::{Duration, UNIX_EPOCH};

const JULIET: &str = "juliet@capulet.example";
const ROMEO: &str = "romeo@montague.example";

fn keep(stage: &mut Stage, owner: &str, stanza: &[u8]) -> Result<i64, StoreError> {
    stage.run(|s| s.keep(&jid(owner), UNIX_EPOCH, stanza.into()))
}

fn kept(stage: &mut Stage, owner: &str) -> Vec<String> {
    let kept = stage.run(|s| s.kept(&jid(owner))).expect("messages");
    assert_eq!(stage.run(|s| s.count(&jid(owner))), Ok(kept.len()));
    assert!(kept.is_sorted_by(|a, b| a.id < b.id));
    kept.into_iter().map(|k| String::from_utf8(k.stanza).expect("what was put in")).collect()
}

pub(crate) fn xep0160_messages_are_kept_in_order_until_forgotten(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let first = keep(stage, JULIET, b"first").expect("kept");
    let other = keep(stage, ROMEO, b"other").expect("kept");
    let second = keep(stage, JULIET, b"second").expect("kept");
    let third = keep(stage, JULIET, b"third").expect("kept");
    assert!(first < other && other < second && second < third);
    assert_eq!(kept(stage, JULIET), ["first", "second", "third"]);
    stage.run(|s| s.forget(&jid(JULIET), second)).expect("forgotten");
    assert_eq!(kept(stage, JULIET), ["third"]);
    assert_eq!(kept(stage, ROMEO), ["other"]);
    stage.run(|s| s.forget(&jid(JULIET), i64::MAX)).expect("forgotten");
    assert_eq!(kept(stage, JULIET), Vec::<String>::new());
}

pub(crate) fn ids_are_never_used_again(stage: &mut Stage) {
    stage.create(JULIET);
    let first = keep(stage, JULIET, b"first").expect("kept");
    stage.run(|s| s.forget(&jid(JULIET), first)).expect("forgotten");
    let second = keep(stage, JULIET, b"second").expect("kept");
    stage.delete(JULIET);
    stage.create(JULIET);
    let third = keep(stage, JULIET, b"third").expect("kept");
    assert!(first < second && second < third, "{first} {second} {third}");
}

pub(crate) fn r03_caps_of_offline_messages(stage: &mut Stage) {
    let full = Err(StoreError::Full("offline messages"));
    stage.create(JULIET);
    stage.create(ROMEO);
    let first = keep(stage, JULIET, b"1").expect("kept");
    keep(stage, JULIET, b"2").expect("kept");
    keep(stage, JULIET, b"3").expect("kept");
    assert_eq!(keep(stage, JULIET, b"4"), full, "three messages are the cap");
    stage.run(|s| s.forget(&jid(JULIET), first)).expect("forgotten");
    keep(stage, JULIET, &[b'5'; 98]).expect("kept");
    assert_eq!(kept(stage, JULIET).len(), 3);

    assert_eq!(keep(stage, ROMEO, &[b'1'; 101]), full, "a hundred bytes are the cap");
    let first = keep(stage, ROMEO, &[b'1'; 60]).expect("kept");
    assert_eq!(keep(stage, ROMEO, &[b'2'; 41]), full);
    keep(stage, ROMEO, &[b'2'; 40]).expect("kept");
    stage.run(|s| s.forget(&jid(ROMEO), first)).expect("forgotten");
    keep(stage, ROMEO, &[b'3'; 60]).expect("kept");
    assert_eq!(kept(stage, ROMEO).len(), 2);
}

pub(crate) fn times_are_kept_to_the_microsecond(stage: &mut Stage) {
    stage.create(JULIET);
    let span = Duration::from_micros(1_765_432_109_876_543);
    for at in [UNIX_EPOCH + span, UNIX_EPOCH - span] {
        stage.run(|s| s.keep(&jid(JULIET), at, b"then".into())).expect("kept");
        assert_eq!(stage.run(|s| s.kept(&jid(JULIET))).expect("kept").last().expect("one").at, at);
    }
}

pub(crate) fn a_call_takes_its_place_when_it_is_made(stage: &mut Stage) {
    stage.create(JULIET);
    let (store, juliet) = (stage.next(), jid(JULIET));
    drop(store.keep(&juliet, UNIX_EPOCH, b"its future was dropped".into()));
    let second = store.keep(&juliet, UNIX_EPOCH, b"not awaited yet".into());
    let before = store.kept(&juliet);
    let third = store.keep(&juliet, UNIX_EPOCH, b"after the read".into());
    let after = store.kept(&juliet);
    let third = block_on(third).expect("kept"); // in another order than they were called
    assert_eq!(block_on(after).expect("messages").len(), 3);
    assert_eq!(block_on(before).expect("messages").len(), 2);
    assert!(block_on(second).expect("kept") < third);
}

pub(crate) fn r08_any_bytes_are_kept(stage: &mut Stage) {
    stage.create(JULIET);
    let bytes: Vec<u8> = (0..=99).chain(*b"'").map(|b: u8| b.wrapping_mul(7)).take(90).collect();
    keep(stage, JULIET, &bytes).expect("kept");
    assert_eq!(stage.run(|s| s.kept(&jid(JULIET))).expect("messages")[0].stanza, bytes);
}
