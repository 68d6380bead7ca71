//! The ids of messages: a number that orders, and a salt that nobody can guess.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
};
use xmpp_core::BareJid;

/// A message's id in its owner's archive (XEP-0313 6.2, XEP-0359). Its text is what clients see.
///
/// Ids of one owner are ordered as their messages. The salt makes them unpredictable (XEP-0313 3), and keeps a database that
/// was restored from a backup from giving an id a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    number: i64,
    salt: u64,
}

impl MessageId {
    pub(crate) const fn new(number: i64, salt: u64) -> Self {
        Self { number, salt }
    }

    /// Its number: from 1 to [`LAST`](Self::LAST), rising in commit order for each owner and never used again.
    pub const fn number(&self) -> i64 {
        self.number
    }

    pub(crate) const fn salt(&self) -> u64 {
        self.salt
    }

    /// The greatest number there can be. One account would have to take in a thousand messages a second for 49 days.
    pub const LAST: i64 = u32::MAX as i64;
}

/// The number in hexadecimal digits, a hyphen, the salt in sixteen of them.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:016x}", self.number, self.salt)
    }
}

/// This text is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message's id")]
pub struct MessageIdError;

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let (number, salt) = text.split_once('-').ok_or(MessageIdError)?;
        // Both parsers take a sign and leading zeros: one id has one text.
        let digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if number.starts_with('0') || salt.len() != 16 || !digits(number) || !digits(salt) {
            return Err(MessageIdError);
        }
        let number = u32::from_str_radix(number, 16).map_err(|_| MessageIdError)?;
        let salt = u64::from_str_radix(salt, 16).map_err(|_| MessageIdError)?;
        Ok(Self { number: number.into(), salt })
    }
}

/// How many owners' last numbers are remembered. Past it all go on above the highest of them: numbers need not be dense.
const OWNERS: usize = 65_536;

/// So many numbers of an owner, from a multiple of it, are described together.
pub(crate) const BLOCK: i64 = 64;

/// How many numbers the store notes beforehand as used, so that it need not note each.
pub(crate) const STRIDE: i64 = 1_024;

/// Gives ids. Whoever asks must queue the messages before another can ask, so that they are written in the order of their
/// numbers.
pub(crate) struct Numbers {
    last: HashMap<BareJid, i64>,
    /// No owner that is not in the table has a number above this one.
    floor: i64,
    /// A keyed hash whose key ends with the process.
    salts: RandomState,
}

impl Numbers {
    /// No number up to the floor is given.
    pub(crate) fn after(floor: i64) -> Self {
        Self { last: HashMap::new(), floor, salts: RandomState::new() }
    }

    /// The next id of an owner, and whether it is the first of its [`BLOCK`] that this process gives. Past
    /// [`MessageId::LAST`] the same is given again and again: the store refuses it.
    pub(crate) fn next(&mut self, owner: &BareJid) -> (MessageId, bool) {
        let (number, begins) = match self.last.get_mut(owner) {
            Some(last) => {
                *last = (*last + 1).min(MessageId::LAST);
                (*last, *last % BLOCK == 0)
            }
            None => {
                if self.last.len() >= OWNERS {
                    self.floor = self.last.drain().map(|(_, last)| last).fold(self.floor, i64::max);
                }
                let number = (self.floor + 1).min(MessageId::LAST);
                self.last.insert(owner.clone(), number);
                (number, true)
            }
        };
        let salt = self.salts.hash_one((owner.as_str(), number));
        (MessageId { number, salt }, begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(n: usize) -> BareJid {
        format!("{n}@x").parse().expect("an address")
    }

    #[test]
    fn an_id_has_one_text() {
        let id = MessageId::new(0x1f, 0xab);
        assert_eq!(id.to_string(), "1f-00000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        let last = MessageId::new(MessageId::LAST, u64::MAX);
        assert_eq!(last.to_string().parse(), Ok(last));
        for text in [
            "",
            "-",
            "1f",
            "1f-ab",
            "01f-00000000000000ab",
            "0-00000000000000ab",
            "+1-00000000000000ab",
            "1F-00000000000000ab",
            "1f-00000000000000AB",
            "1f-+0000000000000ab",
            "1f-00000000000000ab ",
            "1f-00000000000000ab0",
            "100000000-00000000000000ab",
            "1é-00000000000000ab",
        ] {
            assert_eq!(text.parse::<MessageId>(), Err(MessageIdError), "{text}");
        }
    }

    #[test]
    fn numbers_of_an_owner_rise_and_do_not_tell_of_others() {
        let mut numbers = Numbers::after(7);
        let given = [1, 2, 1].map(|n| numbers.next(&owner(n)).0.number());
        assert_eq!(given, [8, 8, 9]);
    }

    #[test]
    fn the_first_of_each_block_is_told() {
        let mut numbers = Numbers::after(61);
        let given = [1, 1, 1, 1, 2, 1].map(|n| numbers.next(&owner(n)));
        let given = given.map(|(id, begins)| (id.number(), begins));
        let expected = [(62, true), (63, false), (64, true), (65, false), (62, true), (66, false)];
        assert_eq!(given, expected);
    }

    #[test]
    fn l21_another_process_gives_other_ids_for_the_same_numbers() {
        let (mut one, mut other) = (Numbers::after(0), Numbers::after(0));
        let ((a, _), (b, _)) = (one.next(&owner(1)), other.next(&owner(1)));
        assert_eq!(a.number(), b.number());
        assert_ne!(a, b);
        assert_ne!(one.next(&owner(2)).0.salt(), a.salt(), "salts are not shared either");
    }

    #[test]
    fn r03_the_table_of_owners_is_bounded_and_no_number_repeats() {
        let mut numbers = Numbers::after(0);
        for _ in 0..5 {
            numbers.next(&owner(0));
        }
        for n in 1..OWNERS {
            numbers.next(&owner(n));
        }
        let (id, _) = numbers.next(&owner(OWNERS));
        assert_eq!(id.number(), 6, "above all that were forgotten");
        assert_eq!(numbers.next(&owner(0)).0.number(), 6);
        assert!(numbers.last.len() <= OWNERS);
    }

    #[test]
    fn numbers_end_and_do_not_begin_anew() {
        let mut numbers = Numbers::after(MessageId::LAST - 1);
        for _ in 0..3 {
            assert_eq!(numbers.next(&owner(1)).0.number(), MessageId::LAST);
        }
    }
}
