//! Messages in the database.

use super::{
    Sqlite,
    rows::{Tx, microseconds, number, size, time},
    worker::Job,
};
use crate::{
    BoxFuture, Kept, MessageId, Messages, NewMessage, Origin, Put, Result, StoreError, Taken,
    Unkept,
    law::{self, AccountId, MessageRows},
    messages::{Noted, ORIGINS, STRIDE, WINDOW},
};
use rusqlite::{OptionalExtension, Row, params};
use std::{
    future::{pending, ready},
    sync::PoisonError,
};
use xmpp_core::BareJid;

/// Bits of a number in the id of a row; the account's stand above.
const NUMBER_BITS: u32 = 32;

/// Origins stay for so many microseconds longer than they are known again: who has just been told so finds them.
const GRACE: i64 = 60 * 60 * 1_000_000;

/// How many origins are taken away at a time: some milliseconds.
const ORIGINS_DROPPED: i64 = 4_096;

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
    fn put(&self, put: Put) -> (Taken, BoxFuture<Result<(), Unkept>>) {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, origins) = &mut *intake;
        let noted = put.noted(origins).filter(|_| !faults::planted!("resend_is_new"));
        if let Some((origin, Noted::Again(place))) = noted {
            // In its order: if the first is not kept, this one is not either.
            let first = self.read_in_order(move |tx| tx.has_origin(origin, place));
            let shared = self.intake.clone();
            let kept = async move {
                let result = first.await;
                let intake = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match result {
                    // What has failed for certain is forgotten: the first is in doubt, and this one for good.
                    Err(StoreError::NotFound) if intake.1.knows(origin, place) => {
                        Err(Unkept::InDoubt(Box::pin(pending())))
                    }
                    Err(StoreError::NotFound) => {
                        Err(StoreError::Failed("what came first could not be kept".into()).into())
                    }
                    result => Ok(result?),
                }
            };
            return (Taken::Again, Box::pin(kept));
        }
        let caps = self.caps;
        let bytes = put.messages.iter().map(|message| message.stanza.len()).sum();
        let mut begun = Vec::new();
        let mut number = |message: NewMessage| {
            let (id, begins) = numbers.next(&message.owner);
            if begins {
                begun.push((message.owner.clone(), id.number()));
            }
            (id, message)
        };
        let numbered: Vec<_> = put.messages.into_iter().map(&mut number).collect();
        let ids = numbered.iter().map(|(id, _)| *id).collect();
        let operation = move |tx: &mut Tx<'_>| {
            law::put_messages(tx, &caps, &numbered)?;
            for (owner, number) in &begun {
                tx.describe_blocks(law::account(tx, owner)?, *number)?;
            }
            if let Some((origin, Noted::New(place))) = noted {
                tx.note_origin(origin, place)?;
            }
            if let Some(source) = put.source {
                tx.note_heard(source)?;
            }
            tx.note_used(numbered.iter().map(|(id, _)| id.number()).max().unwrap_or(0))
        };
        let shared = self.intake.clone();
        let (job, kept) = Job::put(operation, move |kept: &Result<()>| {
            if let (Err(_), Some((origin, Noted::New(place)))) = (kept, noted) {
                let mut intake = shared.lock().unwrap_or_else(PoisonError::into_inner);
                intake.1.forget(origin, place);
            }
        });
        let kept = match self.writes.push(job, bytes) {
            Ok(()) => kept,
            Err(error) => {
                if let Some((origin, Noted::New(place))) = noted {
                    origins.forget(origin, place);
                }
                Box::pin(ready(Err(error.into())))
            }
        };
        (Taken::New(ids), kept)
    }
    fn pending(
        &self,
        owner: &BareJid,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<Result<(Vec<Kept>, bool)>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| tx.pending(&owner, after, limit, bytes))
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

    fn note_origin(&self, origin: Origin, place: i64) -> Result<()> {
        self.sql("INSERT INTO origin VALUES (?1, ?2)")?.execute([place, origin.key()])?;
        Ok(())
    }

    /// Nothing, where what has this origin is in the store; else [`StoreError::NotFound`].
    fn has_origin(&self, origin: Origin, place: i64) -> Result<()> {
        let mut statement = self.sql("SELECT 1 FROM origin WHERE id = ?1 AND key = ?2")?;
        match statement.exists([place, origin.key()])? {
            true => Ok(()),
            false => Err(StoreError::NotFound),
        }
    }

    /// The origins that may still come again, as many as are remembered.
    pub(super) fn origins(&self) -> Result<Vec<(Origin, i64)>> {
        let mut statement = self.sql("SELECT key, id FROM origin ORDER BY id DESC LIMIT ?1")?;
        let origin = |row: &Row<'_>| Ok((Origin::new(row.get(0)?), row.get(1)?));
        Ok(statement.query_map([number(ORIGINS)], origin)?.collect::<Result<_, _>>()?)
    }

    /// Takes away some of the origins that are too old to come again, if there are any.
    pub(super) fn drop_origins(&self) -> Result<()> {
        self.sql(
            "DELETE FROM origin WHERE id IN (
                 SELECT id FROM origin WHERE id < (SELECT max(id) FROM origin) - ?1 ORDER BY id LIMIT ?2
             )",
        )?
        .execute([WINDOW + GRACE, ORIGINS_DROPPED])?;
        Ok(())
    }

    fn pending(
        &self,
        owner: &BareJid,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<Kept>, bool)> {
        let account = law::account(self, owner)?;
        let mut statement = self.sql(
            "SELECT message.id, salt, received, stanza, peer IS NOT NULL, TRUE
             FROM pending JOIN message ON message.id = pending.id
             WHERE pending.id > ?1 AND pending.id <= ?2 ORDER BY pending.id LIMIT ?3",
        )?;
        let range =
            params![row_id(account, after), row_id(account, MessageId::LAST), number(limit)];
        let mut rows = statement.query(range)?;
        let (mut messages, mut weight) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            weight += row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?.len();
            if weight > bytes && !messages.is_empty() {
                return Ok((messages, true));
            }
            messages.push(kept(row)?);
        }
        let is_full = messages.len() == limit;
        Ok((messages, is_full))
    }

    fn settle(&mut self, owner: &BareJid, numbers: &[i64]) -> Result<()> {
        let account = law::account(self, owner)?;
        // Not `RETURNING`, for which SQLite would make a table each time.
        let mut weigh = self.sql("SELECT bytes FROM pending WHERE id = ?1")?;
        let mut arrived = self.sql("DELETE FROM pending WHERE id = ?1")?;
        let mut forget = self.sql("DELETE FROM message WHERE id = ?1")?;
        let (mut count, mut bytes) = (0, 0);
        for &number in numbers.iter().filter(|number| (1..=MessageId::LAST).contains(*number)) {
            let id = row_id(account, number);
            let only: Option<Option<i64>> = weigh.query_row([id], |row| row.get(0)).optional()?;
            let Some(only) = only else { continue };
            arrived.execute([id])?;
            faults::site!("pending-row-gone");
            if let Some(weight) = only {
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
