//! Rules of documents, block lists and last activity.

use crate::{
    messages::waiting,
    stage::{Stage, block_on, jid},
};
use roster_store::{DocumentKey, Left, Motd, Policy, Preferences, Put, Result, Source, StoreError};
use std::time::{Duration, UNIX_EPOCH};
use xmpp_core::Jid;

const JULIET: &str = "juliet@capulet.example";
const ROMEO: &str = "romeo@montague.example";

fn private(name: &str) -> DocumentKey {
    DocumentKey::Private { ns: "storage:bookmarks".into(), name: name.into() }
}

fn put(stage: &mut Stage, owner: &str, documents: &[(DocumentKey, &str)]) -> Result<()> {
    let documents = documents.iter().map(|(key, text)| (key.clone(), text.as_bytes().to_vec()));
    let documents = documents.collect();
    stage.run(|s| s.put_documents(&jid(owner), documents))
}

fn document(stage: &mut Stage, owner: &str, key: &DocumentKey) -> Option<String> {
    let document = stage.run(|s| s.document(&jid(owner), key)).expect("there is the account");
    document.map(|data| String::from_utf8(data).expect("what was put in"))
}

pub(crate) fn xep0049_a_document_is_kept_as_it_was_put(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    assert_eq!(document(stage, JULIET, &private("a")), None);
    put(stage, JULIET, &[(private("a"), "<a xmlns='x'/>"), (private("b"), "<b/>")]).expect("put");
    assert_eq!(document(stage, JULIET, &private("a")).as_deref(), Some("<a xmlns='x'/>"));
    assert_eq!(document(stage, JULIET, &private("b")).as_deref(), Some("<b/>"));
    put(stage, JULIET, &[(private("a"), "<a>new</a>")]).expect("put");
    assert_eq!(document(stage, JULIET, &private("a")).as_deref(), Some("<a>new</a>"));
    assert_eq!(document(stage, JULIET, &private("b")).as_deref(), Some("<b/>"));
    assert_eq!(document(stage, ROMEO, &private("a")), None, "it is Juliet's");
    put(stage, JULIET, &[(private("c"), "1"), (private("c"), "2")]).expect("put");
    assert_eq!(document(stage, JULIET, &private("c")).as_deref(), Some("2"));
}

pub(crate) fn a_document_is_known_by_namespace_name_and_kind(stage: &mut Stage) {
    stage.create(JULIET);
    let key = |ns: &str, name: &str| DocumentKey::Private { ns: ns.into(), name: name.into() };
    put(stage, JULIET, &[(key("ab", "c"), "1"), (DocumentKey::VCard, "2")]).expect("put");
    for other in [key("a", "bc"), key("AB", "c"), key("ab", "C"), key("", "")] {
        assert_eq!(document(stage, JULIET, &other), None);
    }
    put(stage, JULIET, &[(key("", ""), "3")]).expect("put");
    assert_eq!(document(stage, JULIET, &DocumentKey::VCard).as_deref(), Some("2"));
}

pub(crate) fn a_document_without_bytes_takes_away_what_was_there(stage: &mut Stage) {
    stage.create(JULIET);
    put(stage, JULIET, &[(private("a"), "1"), (private("b"), "2"), (private("c"), "3")])
        .expect("put");
    put(stage, JULIET, &[(private("b"), ""), (private("never"), "")]).expect("put");
    assert_eq!(document(stage, JULIET, &private("b")), None);
    put(stage, JULIET, &[(private("d"), "4")]).expect("there is room again");
}

pub(crate) fn r03_caps_of_documents(stage: &mut Stage) {
    let full = Err(StoreError::Full("documents"));
    stage.create(JULIET);
    stage.create(ROMEO);
    put(stage, JULIET, &[(private("a"), "1"), (private("b"), "2")]).expect("put");
    let two_more = [(private("a"), "new"), (private("c"), "3"), (private("d"), "4")];
    assert_eq!(put(stage, JULIET, &two_more), full, "three documents are the cap");
    assert_eq!(document(stage, JULIET, &private("a")).as_deref(), Some("1"), "all or none");
    assert_eq!(document(stage, JULIET, &private("c")), None);
    let one_for_another = [(private("c"), "3"), (private("a"), ""), (DocumentKey::VCard, "4")];
    put(stage, JULIET, &one_for_another).expect("three");

    let of = |bytes| "x".repeat(bytes);
    assert_eq!(put(stage, ROMEO, &[(private("a"), &of(101))]), full, "a hundred bytes are the cap");
    put(stage, ROMEO, &[(private("a"), &of(60)), (private("b"), &of(40))]).expect("a hundred");
    assert_eq!(put(stage, ROMEO, &[(private("a"), &of(61))]), full);
    put(stage, ROMEO, &[(private("b"), &of(1)), (private("a"), &of(99))]).expect("a hundred");
}

fn addresses(texts: &[&str]) -> Vec<Jid> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn block(stage: &mut Stage, owner: &str, jids: &[&str]) -> Result<Vec<Jid>> {
    stage.run(|s| s.block(&jid(owner), addresses(jids)))
}

fn unblock(stage: &mut Stage, owner: &str, jids: &[&str]) -> Result<Vec<Jid>> {
    stage.run(|s| s.unblock(&jid(owner), addresses(jids)))
}

fn blocked(stage: &mut Stage, owner: &str) -> Vec<Jid> {
    stage.run(|s| s.blocked(&jid(owner))).expect("there is the account")
}

pub(crate) fn xep0191_a_block_list_is_a_sorted_set(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    assert_eq!(block(stage, JULIET, &["d@x", "b@x/r", "d@x"]), Ok(addresses(&["b@x/r", "d@x"])));
    assert_eq!(block(stage, JULIET, &["d@x", "x", "b@x"]), Ok(addresses(&["b@x", "x"])));
    assert_eq!(blocked(stage, JULIET), addresses(&["b@x", "b@x/r", "d@x", "x"]));
    assert_eq!(blocked(stage, ROMEO), []);
}

pub(crate) fn xep0191_unblocking_takes_those_named_or_all(stage: &mut Stage) {
    stage.create(JULIET);
    block(stage, JULIET, &["a@x", "b@x", "c@x"]).expect("blocked");
    assert_eq!(unblock(stage, JULIET, &["c@x", "never@x", "a@x"]), Ok(addresses(&["a@x", "c@x"])));
    assert_eq!(blocked(stage, JULIET), addresses(&["b@x"]));
    block(stage, JULIET, &["a@x"]).expect("blocked");
    assert_eq!(unblock(stage, JULIET, &[]), Ok(addresses(&["a@x", "b@x"])));
    assert_eq!(unblock(stage, JULIET, &[]), Ok(vec![]));
    assert_eq!(blocked(stage, JULIET), []);
}

pub(crate) fn r03_caps_of_block_lists(stage: &mut Stage) {
    let full = Err(StoreError::Full("blocked addresses"));
    stage.create(JULIET);
    stage.create(ROMEO);
    block(stage, JULIET, &["a@x", "b@x", "c@x"]).expect("blocked");
    assert_eq!(block(stage, JULIET, &["d@x", "e@x"]), full, "four addresses are the cap");
    assert_eq!(blocked(stage, JULIET), addresses(&["a@x", "b@x", "c@x"]), "all or none");
    assert_eq!(block(stage, JULIET, &["a@x", "b@x", "c@x", "d@x"]), Ok(addresses(&["d@x"])));
    assert_eq!(block(stage, JULIET, &["d@x"]), Ok(vec![]), "nothing is added");
    let long = format!("{}@x", "l".repeat(95));
    assert_eq!(block(stage, ROMEO, &[&long, "ab@x"]), full, "a hundred bytes are the cap");
    block(stage, ROMEO, &[&long, "a@x"]).expect("a hundred");
}

pub(crate) fn a_profile_is_roster_and_block_list(stage: &mut Stage) {
    stage.create(JULIET);
    stage.befriend(JULIET, ROMEO);
    block(stage, JULIET, &["tybalt@x"]).expect("blocked");
    let profile = stage.run(|s| s.profile(&jid(JULIET))).expect("a profile");
    assert_eq!(profile.roster, stage.roster(JULIET));
    assert_eq!(profile.roster.items.len(), 1);
    assert_eq!(profile.blocked, addresses(&["tybalt@x"]));
}

pub(crate) fn xep0012_the_last_leave_counts(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    assert_eq!(stage.run(|s| s.last_left(&jid(JULIET))), Ok(None));
    let at = UNIX_EPOCH + Duration::from_micros(1_765_432_109_876_543);
    for (span, status) in [(0, Some("Good night")), (1, None), (2, Some("")), (3, Some("é"))] {
        let left = Left { at: at + Duration::from_secs(span), status: status.map(str::to_owned) };
        stage.run(|s| s.left(&jid(JULIET), left.clone())).expect("noted");
        assert_eq!(stage.run(|s| s.last_left(&jid(JULIET))), Ok(Some(left)));
    }
    assert_eq!(stage.run(|s| s.last_left(&jid(ROMEO))), Ok(None));
}

pub(crate) fn r03_a_long_status_is_cut_at_a_character(stage: &mut Stage) {
    stage.create(JULIET);
    for (status, kept) in [("0123456789a", "0123456789"), ("éééééé", "ééééé"), ("aéééééé", "aéééé")]
    {
        let left = Left { at: UNIX_EPOCH, status: Some(status.into()) };
        stage.run(|s| s.left(&jid(JULIET), left)).expect("noted");
        let left = stage.run(|s| s.last_left(&jid(JULIET))).expect("read").expect("noted");
        assert_eq!(left.status.as_deref(), Some(kept));
    }
}

pub(crate) fn what_is_personal_is_not_found_without_the_account(stage: &mut Stage) {
    let nobody = &jid("nobody@capulet.example");
    let not_found = StoreError::NotFound;
    let left = Left { at: UNIX_EPOCH, status: None };
    assert_eq!(stage.run(|s| s.document(nobody, &DocumentKey::VCard)), Err(not_found.clone()));
    assert_eq!(put(stage, nobody.as_str(), &[(DocumentKey::VCard, "1")]), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.blocked(nobody)), Err(not_found.clone()));
    assert_eq!(block(stage, nobody.as_str(), &["a@x"]), Err(not_found.clone()));
    assert_eq!(prefer(stage, nobody.as_str(), &[], &[]), Err(not_found.clone()));
    assert_eq!(unblock(stage, nobody.as_str(), &[]), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.profile(nobody)), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.left(nobody, left)), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.last_left(nobody)), Err(not_found));
}

pub(crate) fn p08_what_was_personal_goes_with_the_account(stage: &mut Stage) {
    stage.create(JULIET);
    put(stage, JULIET, &[(private("a"), "1"), (DocumentKey::VCard, "2")]).expect("put");
    block(stage, JULIET, &["a@x"]).expect("blocked");
    let left = Left { at: UNIX_EPOCH, status: None };
    stage.run(|s| s.left(&jid(JULIET), left)).expect("noted");
    prefer(stage, JULIET, &["a@x"], &[]).expect("set");
    stage.delete(JULIET);
    stage.create(JULIET);
    assert_eq!(document(stage, JULIET, &private("a")), None);
    assert_eq!(document(stage, JULIET, &DocumentKey::VCard), None);
    assert_eq!(blocked(stage, JULIET), []);
    assert_eq!(stage.run(|s| s.last_left(&jid(JULIET))), Ok(None));
    assert_eq!(preferences(stage, JULIET), None);
}

fn prefer(stage: &mut Stage, owner: &str, always: &[&str], never: &[&str]) -> Result<Preferences> {
    let (always, never) = (addresses(always), addresses(never));
    let preferences = Preferences { default: Policy::Roster, always, never };
    stage.run(|s| s.set_preferences(&jid(owner), preferences))
}

fn preferences(stage: &mut Stage, owner: &str) -> Option<Preferences> {
    stage.run(|s| s.profile(&jid(owner))).expect("a profile").archive
}

pub(crate) fn xep0441_preferences_are_kept_as_a_default_and_two_sorted_lists(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    assert_eq!(preferences(stage, JULIET), None);
    let set = prefer(stage, JULIET, &["b@x", "a@x/r", "b@x"], &["c@x"]);
    let expected = Preferences {
        default: Policy::Roster,
        always: addresses(&["a@x/r", "b@x"]),
        never: addresses(&["c@x"]),
    };
    assert_eq!(set, Ok(expected.clone()));
    assert_eq!(preferences(stage, JULIET), Some(expected));
    for default in [Policy::Always, Policy::Never, Policy::Roster] {
        let wanted = Preferences { default, always: vec![], never: addresses(&["a@x"]) };
        let set = stage.run(|s| s.set_preferences(&jid(JULIET), wanted.clone()));
        assert_eq!(set, Ok(wanted.clone()));
        assert_eq!(preferences(stage, JULIET), Some(wanted), "in the place of what was there");
    }
    let both = prefer(stage, JULIET, &["a@x", "b@x"], &["b@x"]).expect("set");
    assert_eq!((both.always, both.never), (addresses(&["a@x"]), addresses(&["b@x"])));
    assert_eq!(preferences(stage, ROMEO), None, "they are Juliet's");
}

pub(crate) fn r03_caps_of_archive_preferences(stage: &mut Stage) {
    let full = Err(StoreError::Full("archive preferences"));
    stage.create(JULIET);
    let three = prefer(stage, JULIET, &["a@x", "b@x", "a@x"], &["c@x"]).expect("three");
    assert_eq!(prefer(stage, JULIET, &["a@x", "b@x"], &["c@x", "d@x"]), full);
    let long = format!("{}@x", "l".repeat(58));
    assert_eq!(prefer(stage, JULIET, &[&long], &["y"]), full, "sixty bytes are the cap");
    assert_eq!(preferences(stage, JULIET), Some(three));
    prefer(stage, JULIET, &[&long], &[]).expect("sixty");
}

fn hear(stage: &mut Stage, stream: u32, number: u32, handled: Option<u32>) {
    let juliet = jid(JULIET);
    let kept = stage.run(|s| s.pending(&juliet, 0, 10, usize::MAX)).expect("read").0;
    let numbers = kept.into_iter().map(|kept| kept.id.number()).collect();
    stage.run(|s| s.settle(&juliet, numbers)).expect("room for more");
    let source = Some(Source { stream, number, mark: u64::MAX - u64::from(number), handled });
    let messages = vec![waiting(JULIET, b"x")];
    stage.run(|s| s.put(Put { messages, source, origin: None }).1).expect("kept");
}

fn heard(stage: &mut Stage, streams: &[u32]) -> Vec<(u32, u32)> {
    let heard = stage.run(|s| s.heard(streams.into())).expect("read");
    assert!(heard.iter().all(|(_, (number, mark))| *mark == u64::MAX - u64::from(*number)));
    heard.into_iter().map(|(stream, (number, _))| (stream, number)).collect()
}

pub(crate) fn n2_what_was_heard_on_a_stream_is_put_with_the_message(stage: &mut Stage) {
    stage.create(JULIET);
    hear(stage, 1, 7, None);
    hear(stage, 2, 7, None);
    let refused = Some(Source { stream: 1, number: 8, mark: 0, handled: None });
    let messages = vec![waiting(JULIET, b"x"), waiting("nobody@capulet.example", b"x")];
    stage.run(|s| s.put(Put { messages, source: refused, origin: None }).1).expect_err("nobody");
    assert_eq!(heard(stage, &[1, 2, 3]), [(1, 7), (2, 7)]);
    assert_eq!(heard(stage, &[2]), [(2, 7)]);
    assert_eq!(heard(stage, &[1, 2]), [(2, 7)], "of those that did not go on it is forgotten");
    stage.run(|s| s.forget(2)).expect("forgotten");
    assert!(heard(stage, &[1, 2]).is_empty());
}

pub(crate) fn xep0198_4_what_was_heard_is_forgotten_once_it_is_handled(stage: &mut Stage) {
    stage.create(JULIET);
    let last = u32::MAX;
    hear(stage, 2, 5, None);
    hear(stage, 1, last - 1, None);
    hear(stage, 1, last, Some(last - 2));
    assert_eq!(heard(stage, &[1, 2]), [(1, last - 1), (1, last), (2, 5)]);
    // counts are on a circle
    hear(stage, 1, 1, Some(last));
    assert_eq!(heard(stage, &[1, 2]), [(1, 1), (2, 5)]);
    hear(stage, 1, 2, Some(0));
    assert_eq!(heard(stage, &[1, 2]), [(1, 1), (1, 2), (2, 5)]);
    hear(stage, 1, 3, Some(1));
    assert_eq!(heard(stage, &[1, 2]), [(1, 2), (1, 3), (2, 5)]);
}

pub(crate) fn a_block_takes_its_place_when_it_is_called(stage: &mut Stage) {
    stage.create(JULIET);
    let (store, juliet) = (stage.next(), jid(JULIET));
    drop(store.block(&juliet, addresses(&["a@x"])));
    let before = store.blocked(&juliet);
    let unblock = store.unblock(&juliet, vec![]);
    let profile = store.profile(&juliet);
    assert_eq!(block_on(profile).expect("a profile").blocked, []);
    assert_eq!(block_on(before), Ok(addresses(&["a@x"])));
    assert_eq!(block_on(unblock), Ok(addresses(&["a@x"])));
}

pub(crate) fn xep0133_there_is_one_message_of_the_day_at_most(stage: &mut Stage) {
    assert_eq!(stage.run(|s| s.motd()), Ok(None));
    for (text, micros) in [("tea at five", 1), ("tea at six\nand 'cake'", 2)] {
        let motd = Motd { text: text.into(), at: UNIX_EPOCH + Duration::from_micros(micros) };
        let set = Some(motd.clone());
        stage.run(|s| s.set_motd(set)).expect("set");
        assert_eq!(stage.run(|s| s.motd()), Ok(Some(motd)));
    }
    stage.run(|s| s.set_motd(None)).expect("deleted");
    assert_eq!(stage.run(|s| s.motd()), Ok(None));
}
