//! Key sequences: XEP-0124 15.

use super::*;
use sha1::{Digest, Sha1};

/// The keys of a sequence in the order of their use, the `newkey` first.
pub(super) fn sequence(seed: &str, n: usize) -> Vec<String> {
    let hash = |text: &String| {
        let bytes = Sha1::digest(text).to_vec();
        Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let mut keys: Vec<_> =
        std::iter::successors(Some(seed.to_owned()), hash).skip(1).take(n).collect();
    keys.reverse();
    keys
}

fn keyed(keys: &[String]) -> Talk {
    Talk::with(&format!("hold='2' newkey='{}'", keys[0]))
}

fn key(key: &str) -> String {
    format!("key='{key}'")
}

#[test]
fn row_61_the_example_of_the_specification_fits() {
    let mut talk = Talk::with("newkey='ca393b51b682f61f98e7877d61146407f3d0a770'");
    talk.on(101, 101, &key("bfb06a6f113cd6fd3838ab9d300fdb4fe3da2f7d"), "<a xmlns='x'/>");
    assert_eq!((talk.end.clone(), talk.written()), (None, "<a xmlns='x'/>".into()));
}

#[test]
fn row_61_each_key_is_the_origin_of_the_one_before_in_whatever_case() {
    let keys = sequence("seed", 8);
    let mut talk = keyed(&keys);
    for (rid, one) in (101..).zip(&keys[1..]) {
        talk.on(rid, rid, &key(one), "<a xmlns='x'/>");
    }
    assert_eq!(talk.end, None);
    assert_eq!(talk.written(), "<a xmlns='x'/>".repeat(7));

    let first = keys[0].to_uppercase();
    let mut talk = Talk::with(&format!("newkey='{first}'"));
    talk.on(101, 101, &key(&keys[1]), "<a xmlns='x'/>");
    assert_eq!(talk.written(), "<a xmlns='x'/>");
}

#[test]
fn b11_and_row_62_without_the_right_key_nothing_is_processed() {
    let keys = sequence("seed", 8);
    let wrong =
        [String::new(), key(""), key("x"), key(&keys[0]), key(&keys[2]), key(&sequence("s", 8)[1])];
    for wrong in wrong {
        let mut talk = keyed(&keys);
        talk.on(1, 101, &wrong, &message("injected"));
        assert_eq!(talk.answer(), (1, terminate("item-not-found")), "{wrong}");
        assert_eq!(talk.written(), "</stream:stream>");
    }
    let mut talk = keyed(&keys);
    talk.on(1, 101, &format!("type='terminate' {}", key("00")), "");
    assert_eq!(
        talk.answer(),
        (1, terminate("item-not-found")),
        "it cannot be ended in good order either"
    );
}

#[test]
fn b11_a_request_before_its_turn_is_judged_in_its_turn() {
    let keys = sequence("seed", 8);
    let mut talk = keyed(&keys);
    talk.on(2, 102, &key(&keys[2]), "<b xmlns='x'/>");
    talk.on(1, 101, &key(&keys[1]), "<a xmlns='x'/>");
    assert_eq!((talk.end.clone(), talk.written()), (None, "<a xmlns='x'/><b xmlns='x'/>".into()));

    let mut talk = keyed(&keys);
    talk.on(2, 102, &key(&keys[3]), "<b xmlns='x'/>");
    talk.on(1, 101, &key(&keys[1]), "<a xmlns='x'/>");
    assert_eq!(talk.written(), "<a xmlns='x'/></stream:stream>");
    assert_eq!(talk.answers(), [(1, terminate("other-request")), (2, terminate("item-not-found"))]);
}

#[test]
fn row_63_the_last_key_comes_with_the_next_sequence() {
    let (old, new) = (sequence("old", 3), sequence("new", 3));
    let mut talk = keyed(&old);
    talk.on(101, 101, &key(&old[1]), "");
    let both = format!("{} newkey='{}'", key(&old[2]), new[0]);
    talk.on(102, 102, &both, "<a xmlns='x'/>");
    talk.on(103, 103, &key(&new[1]), "<b xmlns='x'/>");
    assert_eq!((talk.end.clone(), talk.written()), (None, "<a xmlns='x'/><b xmlns='x'/>".into()));

    let mut talk = keyed(&old);
    talk.on(1, 101, &format!("newkey='{}'", new[0]), "");
    assert_eq!(
        talk.answer(),
        (1, terminate("item-not-found")),
        "a new sequence alone proves nothing"
    );
}

#[test]
fn row_63_a_repeat_needs_its_own_key_and_not_the_next() {
    let keys = sequence("seed", 8);
    for answered in [false, true] {
        let story = || {
            let mut talk = keyed(&keys);
            talk.on(1, 101, &key(&keys[1]), "<a xmlns='x'/>");
            if answered {
                talk.server(&inherited("secret"));
            }
            talk
        };
        let mut talk = story();
        talk.on(2, 101, &key(&keys[1]), "<a xmlns='x'/>");
        assert_eq!(talk.end, None);
        talk.on(3, 102, &key(&keys[2]), "<b xmlns='x'/>");
        assert_eq!(
            (talk.end.clone(), talk.written()),
            (None, "<a xmlns='x'/><b xmlns='x'/>".into())
        );

        for wrong in [key(&keys[2]), String::new()] {
            let mut talk = story();
            talk.answers();
            talk.on(2, 101, &wrong, "<a xmlns='x'/>");
            assert_eq!(talk.answers().pop(), Some((2, terminate("item-not-found"))), "{wrong}");
        }
    }
}

#[test]
fn row_63_a_request_that_waits_is_not_repeated_by_a_stranger() {
    let keys = sequence("seed", 8);
    let mut talk = keyed(&keys);
    talk.on(1, 102, &key(&keys[2]), "<b xmlns='x'/>").on(2, 102, &key(&keys[3]), "<c xmlns='x'/>");
    assert_eq!(talk.answers(), [(1, terminate("other-request")), (2, terminate("item-not-found"))]);
}

#[test]
fn row_61_a_sequence_that_is_none_opens_no_session() {
    for bad in [
        "",
        "x",
        "ca393b51b682f61f98e7877d61146407f3d0a77",
        "zz393b51b682f61f98e7877d61146407f3d0a770",
    ] {
        assert_eq!(open(&format!("newkey='{bad}'")).err(), Some(Condition::BadRequest), "{bad}");
    }
}
