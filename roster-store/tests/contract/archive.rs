//! Rules of archives.

use crate::{
    agreement::Dice,
    messages::{ALL, put, waiting},
    stage::{Stage, jid},
};
use roster_store::{Kept, MessageId, NewMessage, Page, Query, Result, Retention, StoreError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use xmpp_core::Jid;

const JULIET: &str = "juliet@capulet.example";
const ROMEO: &str = "romeo@montague.example";
const ORCHARD: &str = "romeo@montague.example/orchard";
const NURSE: &str = "nurse@capulet.example";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn address(text: &str) -> Jid {
    text.parse().expect("an address")
}

/// A message in an archive, which has been delivered.
fn said(owner: &str, with: &str, seconds: u64, text: &str) -> NewMessage {
    let stanza = format!("<message><body>{text}</body></message>");
    NewMessage {
        with: address(with),
        at: at(seconds),
        archived: true,
        pending: false,
        ..waiting(owner, stanza.as_bytes())
    }
}

/// All of an archive.
fn everything() -> Query {
    Query { limit: 10_000, bytes: usize::MAX, ..Query::default() }
}

fn page(stage: &mut Stage, query: &Query) -> Result<Page> {
    stage.run(|s| s.page(&jid(JULIET), query.clone()))
}

/// The bodies on a page, and whether it is complete.
fn read(stage: &mut Stage, query: &Query) -> (Vec<String>, bool) {
    let Page { messages, complete } = page(stage, query).expect("a page");
    let body = |kept: Kept| {
        let text = String::from_utf8(kept.stanza.to_vec()).expect("what was put in");
        text.replace("<message><body>", "").replace("</body></message>", "")
    };
    (messages.into_iter().map(body).collect(), complete)
}

/// Juliet's archive of these: whom with, when, what. Gives the ids.
fn remember(stage: &mut Stage, messages: &[(&str, u64, &str)]) -> Vec<MessageId> {
    let messages = messages.iter().map(|(with, at, text)| said(JULIET, with, *at, text));
    put(stage, messages.collect()).expect("kept")
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn four(stage: &mut Stage) -> Vec<MessageId> {
    stage.create(JULIET);
    let messages = [(ORCHARD, 10, "1"), (NURSE, 20, "2"), (ROMEO, 30, "3"), (ORCHARD, 40, "4")];
    remember(stage, &messages)
}

pub(crate) fn xep0313_3_what_is_archived_is_read_in_order(stage: &mut Stage) {
    let ids = four(stage);
    let got = page(stage, &everything()).expect("a page");
    assert!(got.complete);
    assert_eq!(got.messages.iter().map(|kept| kept.id).collect::<Vec<_>>(), ids);
    assert!(got.messages.iter().all(|kept| kept.archived && !kept.pending));
    assert_eq!(got.messages[1].at, at(20));
    assert_eq!(read(stage, &everything()).0, ["1", "2", "3", "4"]);
    stage.create(ROMEO);
    let other = stage.run(|s| s.page(&jid(ROMEO), everything())).expect("a page");
    assert_eq!(other, Page { messages: vec![], complete: true }, "it is Juliet's");
    assert_eq!(stage.run(|s| s.page(&jid(NURSE), everything())), Err(StoreError::NotFound));
}

pub(crate) fn what_only_waits_is_not_in_the_archive(stage: &mut Stage) {
    stage.create(JULIET);
    let archived = NewMessage { pending: true, ..said(JULIET, ROMEO, 1, "both") };
    let ids = put(stage, vec![waiting(JULIET, b"waits"), archived]).expect("kept");
    let got = page(stage, &everything()).expect("a page");
    assert_eq!(
        got.messages.iter().map(|kept| (kept.id, kept.pending)).collect::<Vec<_>>(),
        [(ids[1], true)]
    );
    let query = Query { after: vec![ids[0]], ..everything() };
    assert_eq!(page(stage, &query), Err(StoreError::NotFound));
    let numbers = ids.iter().map(MessageId::number).collect();
    stage.run(|s| s.settle(&jid(JULIET), numbers)).expect("settled");
    let got = page(stage, &everything()).expect("a page");
    assert_eq!(
        got.messages.iter().map(|kept| (kept.id, kept.pending)).collect::<Vec<_>>(),
        [(ids[1], false)]
    );
}

pub(crate) fn xep0313_4_1_1_a_bare_address_stands_for_all_its_resources(stage: &mut Stage) {
    four(stage);
    remember(stage, &[(JULIET, 50, "to herself"), ("romeo@montague.example/Orchard", 60, "R")]);
    let with = |with| Query { with: Some(address(with)), ..everything() };
    for (whom, expected) in [
        (ROMEO, &["1", "3", "4", "R"][..]),
        (ORCHARD, &["1", "4"]),
        (NURSE, &["2"]),
        (JULIET, &["to herself"]),
        ("nurse@capulet.example/home", &[]),
        ("romeo@montague.exampl", &[]),
        ("montague.example", &[]),
    ] {
        assert_eq!(read(stage, &with(whom)).0, expected, "{whom}");
    }
}

pub(crate) fn xep0313_4_1_2_times_are_inclusive(stage: &mut Stage) {
    four(stage);
    let between = |start: Option<u64>, end: Option<u64>| Query {
        start: start.map(at),
        end: end.map(at),
        ..everything()
    };
    for (start, end, expected) in [
        (Some(20), None, &["2", "3", "4"][..]),
        (Some(21), None, &["3", "4"]),
        (None, Some(20), &["1", "2"]),
        (None, Some(19), &["1"]),
        (Some(20), Some(30), &["2", "3"]),
        (Some(31), Some(39), &[]),
        (Some(30), Some(20), &[]),
    ] {
        let (bodies, complete) = read(stage, &between(start, end));
        assert_eq!((bodies, complete), (owned(expected), true), "{start:?} {end:?}");
    }
}

pub(crate) fn xep0313_3_1_a_clock_that_was_set_back_changes_no_order(stage: &mut Stage) {
    stage.create(JULIET);
    remember(stage, &[(ROMEO, 100, "1"), (ROMEO, 50, "2"), (ROMEO, 50, "3"), (ROMEO, 110, "4")]);
    assert_eq!(read(stage, &everything()).0, ["1", "2", "3", "4"]);
    let since = Query { start: Some(at(100)), ..everything() };
    assert_eq!(read(stage, &since).0, ["1", "4"]);
}

pub(crate) fn xep0313_4_1_3_a_range_and_a_list_of_ids(stage: &mut Stage) {
    let ids = four(stage);
    let all = everything;
    for (query, expected) in [
        (Query { after: vec![ids[1]], ..all() }, &["3", "4"][..]),
        (Query { before: vec![ids[1]], ..all() }, &["1"]),
        (Query { after: vec![ids[0]], before: vec![ids[3]], ..all() }, &["2", "3"]),
        (Query { after: vec![ids[0], ids[2]], ..all() }, &["4"]),
        (Query { before: vec![ids[3], ids[2]], ..all() }, &["1", "2"]),
        (Query { after: vec![ids[3]], before: vec![ids[0]], ..all() }, &[]),
        (Query { after: vec![ids[3]], ..all() }, &[]),
        (Query { ids: Some(vec![ids[3], ids[1], ids[3]]), ..all() }, &["2", "4"]),
        (Query { ids: Some(vec![]), ..all() }, &[]),
        (Query { ids: Some(ids.clone()), after: vec![ids[1]], ..all() }, &["3", "4"]),
        (Query { ids: Some(ids.clone()), with: Some(address(NURSE)), ..all() }, &["2"]),
    ] {
        assert_eq!(read(stage, &query), (owned(expected), true), "{query:?}");
    }
}

pub(crate) fn xep0313_4_3_2_an_id_that_is_not_in_the_archive_is_not_found(stage: &mut Stage) {
    let ids = four(stage);
    stage.create(ROMEO);
    let romeos = put(stage, vec![said(ROMEO, JULIET, 1, "1")]).expect("kept")[0];
    let (number, salt) = ids[0]
        .to_string()
        .split_once('-')
        .map(|(n, s)| (n.to_owned(), s.to_owned()))
        .expect("an id");
    let guess = |salt: String| format!("{number}-{salt}").parse::<MessageId>().expect("an id");
    let forged = guess(format!("{:016x}", u64::from_str_radix(&salt, 16).expect("digits") ^ 1));
    let later = format!("ffff-{salt}").parse().expect("an id");
    for wrong in [romeos, forged, later] {
        for query in [
            Query { after: vec![ids[0], wrong], ..everything() },
            Query { before: vec![wrong], ..everything() },
            Query { ids: Some(vec![ids[0], wrong]), ..everything() },
        ] {
            assert_eq!(page(stage, &query), Err(StoreError::NotFound), "{query:?}");
            let counted = stage.run(|s| s.matching(&jid(JULIET), query.clone()));
            assert_eq!(counted, Err(StoreError::NotFound));
        }
    }
    assert_eq!(guess(salt), ids[0]);
}

pub(crate) fn xep0313_4_3_pages_from_either_end(stage: &mut Stage) {
    let ids = four(stage);
    let two = || Query { limit: 2, ..everything() };
    let back = || Query { from_end: true, ..two() };
    for (query, expected, complete) in [
        (two(), &["1", "2"][..], false),
        (Query { after: vec![ids[1]], ..two() }, &["3", "4"], true),
        (Query { after: vec![ids[2]], ..two() }, &["4"], true),
        (back(), &["3", "4"], false),
        (Query { before: vec![ids[2]], ..back() }, &["1", "2"], true),
        (Query { before: vec![ids[1]], ..back() }, &["1"], true),
        (Query { with: Some(address(ROMEO)), ..back() }, &["3", "4"], false),
        (Query { with: Some(address(ROMEO)), ..two() }, &["1", "3"], false),
        (Query { ids: Some(ids[1..].to_vec()), ..back() }, &["3", "4"], false),
        (Query { limit: 0, ..two() }, &[], false),
        (Query { limit: 0, after: vec![ids[3]], ..two() }, &[], true),
    ] {
        assert_eq!(read(stage, &query), (owned(expected), complete), "{query:?}");
    }
}

pub(crate) fn r03_a_page_is_bounded_in_bytes_and_never_empty_for_that(stage: &mut Stage) {
    four(stage);
    let stanza = "<message><body>1</body></message>".len();
    for (bytes, from_end, expected) in [
        (stanza * 2, false, &["1", "2"][..]),
        (stanza * 3 - 1, false, &["1", "2"]),
        (stanza * 3 - 1, true, &["3", "4"]),
        (1, false, &["1"]),
        (1, true, &["4"]),
    ] {
        let query = Query { bytes, from_end, ..everything() };
        assert_eq!(read(stage, &query), (owned(expected), false), "{bytes}");
    }
}

pub(crate) fn xep0431_words_of_the_body(stage: &mut Stage) {
    stage.create(JULIET);
    remember(
        stage,
        &[
            (ROMEO, 1, "What's in a name? That which we call a rose"),
            (NURSE, 2, "Rosemary &amp; Romeo"),
            (ROMEO, 3, "\u{c9}toile"),
        ],
    );
    let search = |text: &str| Query { words: Query::words(text), ..everything() };
    for (text, found) in [
        ("rose", 2),
        ("ROSE name", 1),
        ("\u{e9}toile", 1),
        ("&", 1),
        ("amp", 0),
        ("body", 0),
        ("", 3),
    ] {
        assert_eq!(read(stage, &search(text)).0.len(), found, "{text}");
    }
    let both = Query { with: Some(address(NURSE)), ..search("rose") };
    assert_eq!(read(stage, &both).0, ["Rosemary &amp; Romeo"]);
}

pub(crate) fn xep0313_5_the_edges_of_an_archive(stage: &mut Stage) {
    stage.create(JULIET);
    let edges = |stage: &mut Stage| {
        let edges = stage.run(|s| s.edges(&jid(JULIET))).expect("read");
        edges.map(|(first, last)| (first.id, first.at, last.id, last.at))
    };
    assert_eq!(edges(stage), None);
    put(stage, vec![waiting(JULIET, b"?")]).expect("kept");
    assert_eq!(edges(stage), None);
    let one = remember(stage, &[(ROMEO, 9, "1")])[0];
    assert_eq!(edges(stage), Some((one, at(9), one, at(9))));
    let last = remember(stage, &[(ROMEO, 5, "2"), (NURSE, 7, "3")])[1];
    put(stage, vec![waiting(JULIET, b"?")]).expect("kept");
    assert_eq!(edges(stage), Some((one, at(9), last, at(7))));
    assert_eq!(stage.run(|s| s.edges(&jid(NURSE))), Err(StoreError::NotFound));
}

pub(crate) fn xep0059_2_7_messages_are_counted_where_that_is_cheap(stage: &mut Stage) {
    let ids = four(stage);
    let mut count =
        |query: Query| stage.run(|s| s.matching(&jid(JULIET), query.clone())).expect("counted");
    assert_eq!(count(Query { limit: 0, ..everything() }), Some(4));
    assert_eq!(count(Query { with: Some(address(ROMEO)), ..everything() }), Some(3));
    assert_eq!(count(Query { after: vec![ids[0]], ..everything() }), Some(3));
    assert_eq!(count(Query { with: Some(address(ORCHARD)), ..everything() }), None);
    assert_eq!(count(Query { words: Query::words("1"), ..everything() }), None);
    assert_eq!(count(Query { start: Some(at(1)), ..everything() }), None);
}

/// Rounds of retention until all have had their turn.
fn purge(stage: &mut Stage, retention: Retention) {
    let mut after = None;
    for _ in 0..100 {
        after = stage.run(|s| s.purge(after, retention)).expect("purged");
        if after.is_none() {
            return;
        }
    }
    panic!("a round of retention does not end");
}

pub(crate) fn xep0313_3_2_the_oldest_go_by_age_and_by_number(stage: &mut Stage) {
    let ids = four(stage);
    stage.create(ROMEO);
    put(stage, vec![said(ROMEO, JULIET, 5, "old"), said(ROMEO, JULIET, 40, "new")]).expect("kept");
    purge(stage, Retention::default());
    assert_eq!(read(stage, &everything()).0.len(), 4, "nothing is purged unless asked for");
    purge(stage, Retention { since: Some(at(20)), messages: None });
    assert_eq!(read(stage, &everything()).0, ["2", "3", "4"]);
    let romeos = stage.run(|s| s.page(&jid(ROMEO), everything())).expect("a page");
    assert_eq!(romeos.messages.len(), 1);
    purge(stage, Retention { since: None, messages: Some(2) });
    assert_eq!(read(stage, &everything()).0, ["3", "4"]);
    let query = Query { after: vec![ids[1]], ..everything() };
    assert_eq!(page(stage, &query), Err(StoreError::NotFound), "it is gone");
    purge(stage, Retention { since: Some(at(99)), messages: Some(0) });
    assert_eq!(read(stage, &everything()), (vec![], true));
    let new = remember(stage, &[(ROMEO, 50, "5")])[0];
    assert!(new.number() > ids[3].number());
}

pub(crate) fn xep0313_3_2_a_purge_leaves_no_hole(stage: &mut Stage) {
    stage.create(JULIET);
    remember(stage, &[(ROMEO, 10, "1"), (ROMEO, 90, "2"), (ROMEO, 20, "3")]);
    purge(stage, Retention { since: Some(at(50)), messages: None });
    assert_eq!(
        read(stage, &everything()).0,
        ["2", "3"],
        "the clock was wrong, and nothing before it is left"
    );
}

pub(crate) fn retention_does_not_touch_what_only_waits(stage: &mut Stage) {
    stage.create(JULIET);
    put(stage, vec![waiting(JULIET, b"waits")]).expect("kept");
    let both = NewMessage { pending: true, ..said(JULIET, ROMEO, 1, "both") };
    put(stage, vec![both]).expect("kept");
    assert_eq!(stage.run(|s| s.count(&jid(JULIET))), Ok(2));
    purge(stage, Retention { since: Some(at(50)), messages: Some(0) });
    let left = stage.run(|s| s.pending(&jid(JULIET), 0, 9, ALL)).expect("read").0;
    assert_eq!(left.iter().map(|kept| &*kept.stanza).collect::<Vec<_>>(), [b"waits"]);
}

pub(crate) fn p08_a_large_archive_goes_with_its_account(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    for _ in 0..6 {
        let many = (0..500).map(|n| said(JULIET, ROMEO, n, "x")).collect();
        put(stage, many).expect("kept");
    }
    put(stage, vec![said(ROMEO, JULIET, 1, "his")]).expect("kept");
    stage.delete(JULIET);
    stage.create(JULIET);
    assert_eq!(read(stage, &everything()), (vec![], true));
    purge(stage, Retention::default());
    let romeos = stage.run(|s| s.page(&jid(ROMEO), everything())).expect("a page");
    assert_eq!(romeos.messages.len(), 1);
}

/// What an archive is, said as simply as can be: whom with, when, what, and its id.
type Model = Vec<(&'static str, u64, String, MessageId)>;

fn expected(model: &Model, query: &Query) -> (Vec<MessageId>, bool) {
    let place = |id: &MessageId| model.iter().position(|entry| entry.3 == *id).expect("known");
    let after = query.after.iter().map(place).max();
    let before = query.before.iter().map(place).min();
    let with = |jid: &str| match &query.with {
        Some(with) if with.is_bare() => jid.split('/').next() == Some(with.as_str()),
        Some(with) => jid == with.as_str(),
        None => true,
    };
    let matching = model.iter().enumerate().filter(|(place, (jid, seconds, text, id))| {
        after.is_none_or(|after| *place > after)
            && before.is_none_or(|before| *place < before)
            && with(jid)
            && query.start.is_none_or(|start| at(*seconds) >= start)
            && query.end.is_none_or(|end| at(*seconds) <= end)
            && query.words.iter().all(|word| text.contains(word))
            && query.ids.as_ref().is_none_or(|ids| ids.contains(id))
    });
    let mut ids: Vec<MessageId> = matching.map(|(_, entry)| entry.3).collect();
    let complete = ids.len() <= query.limit;
    if query.from_end {
        ids.drain(..ids.len().saturating_sub(query.limit));
    } else {
        ids.truncate(query.limit);
    }
    (ids, complete)
}

pub(crate) fn pages_of_a_thousand_messages_are_those_of_a_simple_model(stage: &mut Stage) {
    const PEERS: [&str; 6] =
        [ROMEO, ORCHARD, NURSE, "nurse@capulet.example/home", "rare@x", "rare@x/r"];
    let mut dice = Dice(7);
    let mut model: Model = Vec::new();
    stage.create(JULIET);
    let mut clock = 10_000;
    for round in 0..30 {
        let mut messages = Vec::new();
        for _ in 0..dice.below(70) {
            clock += dice.below(10) as u64;
            if dice.below(100) == 0 {
                clock -= 500;
            }
            let with = if dice.below(40) == 0 { dice.of(&PEERS) } else { dice.of(&PEERS[..4]) };
            let mut message = said(JULIET, with, clock, &format!("word{}", dice.below(30)));
            message.archived = dice.below(10) != 0;
            messages.push((with, clock, message));
        }
        let ids = put(stage, messages.iter().map(|(.., m)| m.clone()).collect()).expect("kept");
        for ((with, clock, message), id) in messages.into_iter().zip(ids) {
            if message.archived {
                let text = String::from_utf8(message.stanza.to_vec()).expect("text");
                model.push((with, clock, text, id));
            }
        }
        if round % 7 == 3 {
            let most = model.len() - dice.below(50).min(model.len());
            purge(stage, Retention { since: None, messages: Some(most) });
            model.drain(..model.len() - most);
        }
        for _ in 0..10 {
            let id = |dice: &mut Dice| model[dice.below(model.len())].3;
            let some = |dice: &mut Dice, query: bool| query && dice.below(3) == 0;
            let rich = !model.is_empty();
            let start = some(&mut dice, true).then(|| at(10_000 + dice.below(5_000) as u64));
            let query = Query {
                with: (dice.below(2) == 0).then(|| address(dice.of(&PEERS))),
                start,
                end: some(&mut dice, true).then(|| at(10_000 + dice.below(5_000) as u64)),
                after: some(&mut dice, rich).then(|| id(&mut dice)).into_iter().collect(),
                before: some(&mut dice, rich).then(|| id(&mut dice)).into_iter().collect(),
                ids: (rich && dice.below(8) == 0)
                    .then(|| (0..dice.below(20)).map(|_| id(&mut dice)).collect()),
                words: if dice.below(5) == 0 { Query::words("word7") } else { vec![] },
                limit: dice.of(&[1, 3, 10, 50, 10_000]),
                bytes: usize::MAX,
                from_end: dice.below(2) == 0,
            };
            let got = page(stage, &query).expect("a page");
            let ids: Vec<_> = got.messages.iter().map(|kept| kept.id).collect();
            assert_eq!((ids, got.complete), expected(&model, &query), "round {round}: {query:?}");
            let counted = stage.run(|s| s.matching(&jid(JULIET), query.clone())).expect("counted");
            if let Some(count) = counted {
                let all = Query { limit: usize::MAX, ..query.clone() };
                assert_eq!(count, expected(&model, &all).0.len() as u64, "{query:?}");
            }
        }
    }
    assert!(model.len() > 500, "{}", model.len());
}
