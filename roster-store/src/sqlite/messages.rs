//! Messages in the database.

use super::{
    Sqlite,
    rows::{Tx, microseconds, number, size, time},
};
use crate::{
    BoxFuture, Kept, MessageId, Messages, NewMessage, Result,
    law::{self, AccountId, MessageRows},
    messages::STRIDE,
};
use rusqlite::{OptionalExtension, Row, params};
use std::sync::PoisonError;
use xmpp_core::BareJid;

/// Bits of a number in the id of a row; the account's stand above.
const NUMBER_BITS: u32 = 32;

/// The id of a message's row. Numbers below the first and above the last there are become those.
pub(super) fn row_id(account: AccountId, number: i64) -> i64 {
    account << NUMBER_BITS | number.clamp(0, MessageId::LAST)
}

/// The account of a message's row.
pub(super) fn account_of(row: i64) -> AccountId {
    row >> NUMBER_BITS
}

/// The id of a message, of its row.
pub(super) fn message_id(row: i64, salt: i64) -> MessageId {
    MessageId::new(row & MessageId::LAST, salt.cast_unsigned())
}

impl Messages for Sqlite {
    fn put(&self, messages: Vec<NewMessage>) -> (Vec<MessageId>, BoxFuture<Result<()>>) {
        let caps = self.caps;
        let bytes = messages.iter().map(|message| message.stanza.len()).sum();
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begun = Vec::new();
        let mut number = |message: NewMessage| {
            let (id, begins) = numbers.next(&message.owner);
            if begins {
                begun.push((message.owner.clone(), id.number()));
            }
            (id, message)
        };
        let numbered: Vec<_> = messages.into_iter().map(&mut number).collect();
        let ids = numbered.iter().map(|(id, _)| *id).collect();
        let put = self.write(bytes, move |tx| {
            law::put_messages(tx, &caps, &numbered)?;
            for (owner, number) in &begun {
                tx.describe_blocks(law::account(tx, owner)?, *number)?;
            }
            tx.note_used(numbered.iter().map(|(id, _)| id.number()).max().unwrap_or(0))
        });
        (ids, put)
    }
    fn pending(&self, owner: &BareJid, after: i64, limit: usize) -> BoxFuture<Result<Vec<Kept>>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| tx.pending(&owner, after, limit))
    }
    fn settle(&self, owner: &BareJid, numbers: Vec<i64>) -> BoxFuture<Result<()>> {
        let owner = owner.clone();
        self.write(0, move |tx| tx.settle(&owner, &numbers))
    }
    fn count(&self, owner: &BareJid) -> BoxFuture<Result<usize>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| tx.count_pending(&owner))
    }
}

impl Tx<'_> {
    /// No message has a number above this one.
    pub(super) fn last_message(&self) -> Result<i64> {
        let last = self
            .sql("SELECT value FROM counter WHERE name = 'last_message'")?
            .query_row([], |row| row.get(0))?;
        Ok(last)
    }

    /// Notes that numbers up to this one are used, and some more, so that it need not be noted each time.
    fn note_used(&self, number: i64) -> Result<()> {
        self.sql("UPDATE counter SET value = ?2 WHERE name = 'last_message' AND value < ?1")?
            .execute([number, (number + STRIDE).min(MessageId::LAST)])?;
        Ok(())
    }

    fn pending(&self, owner: &BareJid, after: i64, limit: usize) -> Result<Vec<Kept>> {
        let account = law::account(self, owner)?;
        let mut statement = self.sql(
            "SELECT message.id, salt, received, stanza, peer IS NOT NULL, TRUE
             FROM pending JOIN message ON message.id = pending.id
             WHERE pending.id > ?1 AND pending.id <= ?2 ORDER BY pending.id LIMIT ?3",
        )?;
        let range =
            params![row_id(account, after), row_id(account, MessageId::LAST), number(limit)];
        let kept = statement.query_map(range, kept)?;
        Ok(kept.collect::<Result<_, _>>()?)
    }

    fn settle(&mut self, owner: &BareJid, numbers: &[i64]) -> Result<()> {
        let account = law::account(self, owner)?;
        let mut arrived = self.sql("DELETE FROM pending WHERE id = ?1 RETURNING bytes")?;
        let mut forget = self.sql("DELETE FROM message WHERE id = ?1")?;
        let (mut count, mut bytes) = (0, 0);
        for &number in numbers.iter().filter(|number| (1..=MessageId::LAST).contains(*number)) {
            let id = row_id(account, number);
            let only: Option<Option<i64>> = arrived.query_row([id], |row| row.get(0)).optional()?;
            faults::site!("pending-row-gone");
            if let Some(Some(weight)) = only {
                forget.execute([id])?;
                count += 1;
                bytes += weight;
            }
        }
        if count > 0 {
            self.sql(
                "UPDATE account
                 SET offline_count = offline_count - ?2, offline_bytes = offline_bytes - ?3
                 WHERE id = ?1",
            )?
            .execute([account, count, bytes])?;
        }
        Ok(())
    }

    fn count_pending(&self, owner: &BareJid) -> Result<usize> {
        let account = law::account(self, owner)?;
        let count = self
            .sql("SELECT count(*) FROM pending WHERE id BETWEEN ?1 AND ?2")?
            .query_row([row_id(account, 0), row_id(account, MessageId::LAST)], |row| {
                size(row, 0)
            })?;
        Ok(count)
    }

    /// Takes away the first messages of an account that is deleted, so many at most; gives how many they were.
    pub(super) fn drop_messages(&mut self, account: AccountId, limit: usize) -> Result<usize> {
        let mut first: Vec<(i64, Option<String>)> = Vec::new();
        {
            let mut statement = self.sql(
                "SELECT id, peer FROM message WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
            )?;
            let range = [row_id(account, 0), row_id(account, MessageId::LAST), number(limit)];
            let mut rows = statement.query(range)?;
            while let Some(row) = rows.next()? {
                first.push((row.get(0)?, row.get(1)?));
            }
        }
        for (id, peer) in &first {
            self.forget(account, *id, peer.as_deref())?;
        }
        Ok(first.len())
    }

    /// Takes a message away with all that is noted of it, but for its part in the account's counts.
    pub(super) fn forget(
        &mut self,
        account: AccountId,
        message: i64,
        peer: Option<&str>,
    ) -> Result<()> {
        self.sql("DELETE FROM pending WHERE id = ?1")?.execute([message])?;
        self.sql("DELETE FROM message WHERE id = ?1")?.execute([message])?;
        match peer {
            Some(peer) => self.undescribe(account, message, peer),
            None => Ok(()),
        }
    }
}

impl MessageRows for Tx<'_> {
    fn waiting(&self, owner: AccountId) -> Result<(usize, usize)> {
        let waiting = self
            .sql("SELECT offline_count, offline_bytes FROM account WHERE id = ?1")?
            .query_row([owner], |row| Ok((size(row, 0)?, size(row, 1)?)))?;
        Ok(waiting)
    }
    fn put_message(&mut self, owner: AccountId, id: MessageId, message: &NewMessage) -> Result<()> {
        let row = row_id(owner, id.number());
        let peer = message.archived.then(|| message.with.as_str());
        self.sql("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            row,
            id.salt().cast_signed(),
            microseconds(message.at),
            peer,
            &message.stanza[..]
        ])?;
        if faults::planted!("torn_pair") {
            self.0.execute_batch("COMMIT; BEGIN IMMEDIATE; SAVEPOINT operation")?;
        }
        if !message.pending {
            return Ok(());
        }
        let bytes = (!message.archived).then_some(number(message.stanza.len()));
        self.sql("INSERT INTO pending VALUES (?1, ?2)")?.execute(params![row, bytes])?;
        if bytes.is_some() {
            self.sql(
                "UPDATE account
                 SET offline_count = offline_count + 1, offline_bytes = offline_bytes + ?2
                 WHERE id = ?1",
            )?
            .execute(params![owner, bytes])?;
        }
        Ok(())
    }
}

/// A message: id, salt, time, stanza, whether it is archived, whether it is pending.
fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        id: message_id(row.get(0)?, row.get(1)?),
        at: time(row.get(2)?),
        stanza: row.get::<_, Vec<u8>>(3)?.into(),
        archived: row.get(4)?,
        pending: row.get(5)?,
    })
}
