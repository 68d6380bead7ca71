//! What is noted of each 64 numbers of an account: when their messages came, and which of them are with whom.
//!
//! A block is described when the account has begun a later one. So a message that is put writes its own row and nothing else,
//! and every 64th some more; what is not described yet is the end of the archive, which searches read as it is.
//! Should a description fail with its transaction, the next one makes up for it.

use super::{messages::row_id, rows::Tx};
use crate::{MessageId, Result, archive::bare, law::AccountId, messages::BLOCK};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeMap;

/// How far the id of a block is shifted in those of its messages.
const SHIFT: u32 = BLOCK.ilog2();

/// How many messages one transaction describes at most: what is left has its turn with the next.
const STEP: usize = 1_024;

/// The id of a message's block.
pub(super) fn block_of(message: i64) -> i64 {
    message >> SHIFT
}

/// The first message that a block can have.
pub(super) fn first_of(block: i64) -> i64 {
    block << SHIFT
}

/// The members of a block that are between these two messages, inclusive, as the bits of their numbers.
pub(super) fn members_between(block: i64, members: i64, first: i64, last: i64) -> u64 {
    let mut members = members.cast_unsigned();
    if first > first_of(block) {
        members &= u64::MAX.checked_shl(bits(first - first_of(block))).unwrap_or(0);
    }
    if last < first_of(block + 1) - 1 {
        let beyond = first_of(block + 1) - 1 - last;
        members &= u64::MAX.checked_shr(bits(beyond)).unwrap_or(0);
    }
    members
}

fn bits(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What is told of some of a block's members.
#[derive(Default)]
struct Described {
    first_at: i64,
    last_at: i64,
    members: i64,
    peers: BTreeMap<String, i64>,
}

impl Tx<'_> {
    /// The first message of an account that may be in no block yet.
    pub(super) fn undescribed(&self, account: AccountId) -> Result<i64> {
        let last: Option<i64> = self
            .sql("SELECT max(id) FROM block WHERE id BETWEEN ?1 AND ?2")?
            .query_row(account_blocks(account), |row| row.get(0))?;
        Ok(last.map_or_else(|| row_id(account, 0), |last| first_of(last + 1)))
    }

    /// Describes the blocks before that of this number.
    pub(super) fn describe_blocks(&mut self, account: AccountId, number: i64) -> Result<()> {
        let begin = self.undescribed(account)?;
        let end = first_of(block_of(row_id(account, number)));
        let mut blocks: BTreeMap<i64, Described> = BTreeMap::new();
        let mut messages = 0;
        {
            let mut statement = self.sql(
                "SELECT id, received, peer FROM message
                 WHERE id >= ?1 AND id < ?2 AND peer IS NOT NULL ORDER BY id",
            )?;
            let mut rows = statement.query([begin, end])?;
            while let Some(row) = rows.next()? {
                let (id, at) = (row.get(0)?, row.get(1)?);
                let peer = bare(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
                if messages >= STEP && !blocks.contains_key(&block_of(id)) {
                    break;
                }
                messages += 1;
                let new = Described { first_at: at, last_at: at, ..Described::default() };
                let block = blocks.entry(block_of(id)).or_insert(new);
                let member = 1 << (id % BLOCK);
                block.first_at = block.first_at.min(at);
                block.last_at = block.last_at.max(at);
                block.members |= member;
                match block.peers.get_mut(peer) {
                    Some(members) => *members |= member,
                    None => _ = block.peers.insert(peer.to_owned(), member),
                }
            }
        }
        let mut block = self.sql("INSERT OR REPLACE INTO block VALUES (?1, ?2, ?3, ?4)")?;
        let mut correspondence =
            self.sql("INSERT OR REPLACE INTO correspondence VALUES (?1, ?2, ?3, ?4)")?;
        for (id, Described { first_at, last_at, members, peers }) in blocks {
            block.execute([id, first_at, last_at, members])?;
            for (peer, members) in peers {
                correspondence.execute(params![account, peer, id, members])?;
            }
        }
        Ok(())
    }

    /// A message is in the archive no more: its block no longer counts it.
    pub(super) fn undescribe(
        &mut self,
        account: AccountId,
        message: i64,
        peer: &str,
    ) -> Result<()> {
        let (block, member) = (block_of(message), 1_i64 << (message % BLOCK));
        let left: Option<i64> = self
            .sql("UPDATE block SET members = members & ~?2 WHERE id = ?1 RETURNING members")?
            .query_row([block, member], |row| row.get(0))
            .optional()?;
        if left == Some(0) {
            self.sql("DELETE FROM block WHERE id = ?1")?.execute([block])?;
        }
        let key = params![account, bare(peer), block, member];
        let left: Option<i64> = self
            .sql(
                "UPDATE correspondence SET members = members & ~?4
                 WHERE account = ?1 AND peer = ?2 AND block = ?3 RETURNING members",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        if left == Some(0) {
            self.sql("DELETE FROM correspondence WHERE account = ?1 AND peer = ?2 AND block = ?3")?
                .execute(params![account, bare(peer), block])?;
        }
        Ok(())
    }
}

/// The ids that the blocks of an account can have.
fn account_blocks(account: AccountId) -> [i64; 2] {
    [0, MessageId::LAST].map(|number| block_of(row_id(account, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_between_two_messages() {
        let all = -1;
        let first = first_of(5);
        assert_eq!(members_between(5, all, first, first + 63), u64::MAX);
        assert_eq!(members_between(5, all, i64::MIN, i64::MAX), u64::MAX);
        assert_eq!(members_between(5, all, first + 1, first + 2), 0b110);
        assert_eq!(members_between(5, all, first + 63, first + 63), 1 << 63);
        assert_eq!(members_between(5, all, first + 64, i64::MAX), 0);
        assert_eq!(members_between(5, all, i64::MIN, first - 1), 0);
        assert_eq!(members_between(5, 0b1011, first + 1, first + 3), 0b1010);
    }
}
