//! The same calls have the same results in both backends.

use crate::{
    messages::waiting,
    stage::{Stage, block_on, credentials, jid},
};
use bytes::Bytes;
use roster_store::{
    DocumentKey, Kept, Left, MessageId, NewMessage, Origin, Put, Store, Taken, Verb,
};
use std::time::{SystemTime, UNIX_EPOCH};
use xmpp_core::BareJid;

/// Few enough to meet often, more than the caps.
const ADDRESSES: [&str; 6] = [
    "a@capulet.example",
    "b@capulet.example",
    "c@capulet.example",
    "d@capulet.example",
    "e@montague.example",
    "f@montague.example",
];

/// A fixed sequence of numbers that look random (Lehmer).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        usize::try_from(self.0).expect("31 bits") % sides
    }
    pub(crate) fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

/// A call and all that it tells, as text.
fn call(store: &mut Stage, dice: &mut Dice) -> String {
    let (one, other) = (&jid(dice.of(&ADDRESSES)), &jid(dice.of(&ADDRESSES)));
    let text = "x".repeat(dice.below(50));
    let bytes = text.clone().into_bytes();
    let number = dice.below(60);
    let verb = dice.of(&[Verb::Subscribe, Verb::Subscribed, Verb::Unsubscribe, Verb::Unsubscribed]);
    macro_rules! said {
        ($call:expr) => {{
            let call: &dyn Fn(&dyn Store) -> _ = &$call;
            format!("{} {:?}", stringify!($call), store.run(call))
        }};
    }
    let kind = dice.of(&["", "a", "b", "c", "d"]);
    let key = &match kind {
        "" => DocumentKey::VCard,
        name => DocumentKey::Private { ns: "ns".into(), name: name.into() },
    };
    let jids = || ADDRESSES[..number % 4].iter().map(|a| jid(a).as_jid().clone()).collect();
    match dice.below(35) {
        0..3 => said!(|s| s.create(one, credentials(1))),
        3 => said!(|s| s.delete(one)),
        4 => said!(|s| s.set_credentials(one, credentials(2))),
        5 => said!(|s| s.list()),
        6 => said!(|s| s.revoked(Some(number as i64))),
        7 => said!(|s| s.requests(one)),
        8..11 => said!(|s| s.set_item(one, other, Some(text.clone()), vec![text.clone()])),
        11 => said!(|s| s.remove_item(one, other)),
        12 => put(store, &[(one, number & 1 == 0), (other, number & 2 == 0)], &bytes),
        13 => {
            let kept = store.run(|s| s.pending(one, 0, number, 8 * number));
            let page =
                kept.map(|(kept, more)| (kept.into_iter().map(shown).collect::<Vec<_>>(), more));
            format!("{page:?}")
        }
        14 => said!(|s| s.settle(one, vec![number as i64, number as i64 + 1])),
        15 => said!(|s| s.count(one)),
        16..19 => said!(|s| s.put_documents(one, vec![(key.clone(), bytes.clone())])),
        19 => said!(|s| s.document(one, key)),
        20..22 => said!(|s| s.block(one, jids())),
        22 => said!(|s| s.unblock(one, jids())),
        23 => said!(|s| s.profile(one)),
        24 => {
            let left = Left { at: UNIX_EPOCH, status: Some(text.clone()) };
            said!(|s| s.left(one, left.clone()))
        }
        25 => said!(|s| s.last_left(one)),
        26 => said!(|s| s.ask_in_vain(one, other)),
        _ => {
            format!("{one} {other} {}", said!(|s| s.subscription(verb, one, other, bytes.clone())))
        }
    }
}

/// Puts a message that waits for two owners, in the archive of each or not.
fn put(store: &mut Stage, owners: &[(&BareJid, bool)], stanza: &[u8]) -> String {
    let new = |&(owner, archived): &(&BareJid, bool)| NewMessage {
        archived,
        owner: owner.clone(),
        ..waiting("a@x", stanza)
    };
    let messages = owners.iter().map(new).collect();
    // Some are the same as others.
    let origin =
        stanza.len().is_multiple_of(4).then(|| Origin::of((stanza.len() as u64).to_le_bytes()));
    let (taken, put) = store.next().put(Put { messages, origin, source: None });
    let again = taken == Taken::Again;
    let numbers: Vec<_> = taken.ids().iter().map(MessageId::number).collect();
    format!("put {owners:?} {again} {numbers:?} {:?}", block_on(put))
}

/// All that is the same in both: salts are not.
fn shown(kept: Kept) -> (i64, SystemTime, Bytes, bool, bool) {
    (kept.id.number(), kept.at, kept.stanza, kept.archived, kept.pending)
}

#[test]
fn both_backends_say_the_same_about_four_thousand_calls() {
    let (mut memory, mut sqlite) = (Stage::memory(), Stage::sqlite());
    let (mut dice, mut same_dice) = (Dice(1), Dice(1));
    for n in 0..4_000 {
        let (expected, got) = (call(&mut memory, &mut dice), call(&mut sqlite, &mut same_dice));
        assert_eq!(got, expected, "call {n}");
        let owner = &jid(ADDRESSES[n % ADDRESSES.len()]);
        let (expected, got) = (memory.run(|s| s.roster(owner)), sqlite.run(|s| s.roster(owner)));
        assert_eq!(got, expected, "{owner} after call {n}");
    }
}
