//! Archives in the database.
//!
//! A page is looked for among the blocks that may have something of it (`blocks.rs`), and among what is described by none
//! yet; long searches in steps, each a job of its own for the threads that read.

use super::{
    Sqlite, Tx,
    blocks::{block_of, first_of, members_between},
    messages::{account_of, message_id, row_id},
    queue::Queue,
    rows::{microseconds, number, time},
    submit,
    worker::{Access, Job},
};
use crate::{
    Archives, BoxFuture, Edge, Kept, MessageId, Page, Query, Result, Retention, StoreError,
    archive::bare,
    law::{self, AccountId},
};
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};
use std::{sync::Arc, time::SystemTime};
use xmpp_core::BareJid;

/// How many messages one step of a search looks at: some milliseconds.
const STEP: usize = 4_096;

/// How many messages one step of retention takes away at most: as long.
const PURGED_AT_ONCE: usize = 512;

/// A page that is being looked for.
struct Search {
    owner: BareJid,
    query: Query,
    /// What is left to look through, what comes next last. None before the first step.
    spans: Option<Vec<Span>>,
    found: Vec<Kept>,
    bytes: usize,
}

/// Messages to look through: those with ids from the first to the last.
struct Span {
    first: i64,
    last: i64,
    way: Way,
}

/// How to find them.
enum Way {
    /// One after the other.
    Rows,
    /// Those with this contact, by the blocks.
    Correspondence(AccountId, String),
    /// These.
    Listed(Vec<i64>),
}

/// How a step ended.
enum Step {
    /// There is more to look through.
    More,
    /// The page is full, and there would be more.
    Full,
    /// All was looked through.
    Complete,
}

/// Messages of archives.
macro_rules! archived {
    () => {
        "SELECT id, salt, received, stanza, peer FROM message WHERE peer IS NOT NULL"
    };
}

/// Blocks that have messages with a contact.
macro_rules! correspondence {
    () => {
        "SELECT block, members FROM correspondence WHERE account = ?1 AND peer = ?2 AND block BETWEEN ?3 AND ?4"
    };
}

impl Archives for Sqlite {
    fn page(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Page>> {
        let (owner, found, reads) = (owner.clone(), Vec::new(), self.reads.clone());
        let search = Search { owner, query, spans: None, found, bytes: 0 };
        // The first step takes its place now.
        let first = step(&reads, search);
        Box::pin(async move {
            let (mut search, mut end) = first.await?;
            while let Step::More = end {
                (search, end) = step(&reads, search).await?;
            }
            let mut messages = search.found;
            if search.query.from_end {
                messages.reverse();
            }
            Ok(Page { messages, complete: matches!(end, Step::Complete) })
        })
    }
    fn matching(&self, owner: &BareJid, query: Query) -> BoxFuture<Result<Option<u64>>> {
        let owner = owner.clone();
        self.read(move |tx| tx.snapshot(|tx| tx.matching(&owner, &query)))
    }
    fn edges(&self, owner: &BareJid) -> BoxFuture<Result<Option<(Edge, Edge)>>> {
        let owner = owner.clone();
        self.read(move |tx| tx.snapshot(|tx| tx.edges(&owner)))
    }
    fn purge(&self, after: Option<i64>, retention: Retention) -> BoxFuture<Result<Option<i64>>> {
        self.write(0, move |tx| tx.purge(after, retention))
    }
}

/// One step of a search.
fn step(reads: &Arc<Queue<Job>>, search: Search) -> BoxFuture<Result<(Search, Step)>> {
    let mut search = Some(search);
    submit(reads, Access::Read, 0, move |tx| {
        let mut search = search.take().expect("what reads by itself is run once");
        let end = tx.snapshot(|tx| search.step(tx))?;
        Ok((search, end))
    })
}

impl Search {
    fn step(&mut self, tx: &Tx<'_>) -> Result<Step> {
        let mut spans = match self.spans.take() {
            Some(spans) => spans,
            None => tx.spans(&self.owner, &self.query)?,
        };
        let mut budget = STEP;
        while let Some(span) = spans.last_mut() {
            let end = match &mut span.way {
                Way::Rows => self.walk(tx, span, &mut budget)?,
                Way::Correspondence(..) => self.walk_blocks(tx, span, &mut budget)?,
                Way::Listed(ids) => {
                    let ids = std::mem::take(ids);
                    self.walk_ids(tx, ids.into_iter())?
                }
            };
            match end {
                Step::Complete => _ = spans.pop(),
                Step::Full => return Ok(Step::Full),
                Step::More => {
                    self.spans = Some(spans);
                    return Ok(Step::More);
                }
            }
        }
        Ok(Step::Complete)
    }

    /// One row after the other.
    fn walk(&mut self, tx: &Tx<'_>, span: &mut Span, budget: &mut usize) -> Result<Step> {
        let mut statement = tx.sql(match self.query.from_end {
            false => concat!(archived!(), " AND id BETWEEN ?1 AND ?2 ORDER BY id"),
            true => concat!(archived!(), " AND id BETWEEN ?1 AND ?2 ORDER BY id DESC"),
        })?;
        let mut rows = statement.query([span.first, span.last])?;
        while let Some(row) = rows.next()? {
            if *budget == 0 {
                let next = row.get(0)?;
                match self.query.from_end {
                    false => span.first = next,
                    true => span.last = next,
                }
                return Ok(Step::More);
            }
            *budget -= 1;
            if !self.consider(tx, row)? {
                return Ok(Step::Full);
            }
        }
        Ok(Step::Complete)
    }

    /// The messages that the blocks say are with the contact.
    fn walk_blocks(&mut self, tx: &Tx<'_>, span: &mut Span, budget: &mut usize) -> Result<Step> {
        let Way::Correspondence(account, peer) = &span.way else { return Ok(Step::Complete) };
        let mut statement = tx.sql(match self.query.from_end {
            false => concat!(correspondence!(), " ORDER BY block"),
            true => concat!(correspondence!(), " ORDER BY block DESC"),
        })?;
        let range = params![account, peer, block_of(span.first), block_of(span.last)];
        let mut rows = statement.query(range)?;
        while let Some(row) = rows.next()? {
            let (block, members) = (row.get(0)?, row.get(1)?);
            let members = members_between(block, members, span.first, span.last);
            if *budget == 0 {
                match self.query.from_end {
                    false => span.first = span.first.max(first_of(block)),
                    true => span.last = span.last.min(first_of(block + 1) - 1),
                }
                return Ok(Step::More);
            }
            // A whole block at a time.
            let count = usize::try_from(members.count_ones()).unwrap_or(usize::MAX);
            *budget = budget.saturating_sub(count.max(1));
            let ids =
                (0..64).filter(|bit| members >> bit & 1 == 1).map(|bit| first_of(block) + bit);
            let end = match self.query.from_end {
                false => self.walk_ids(tx, ids)?,
                true => self.walk_ids(tx, ids.rev())?,
            };
            if let Step::Full = end {
                return Ok(Step::Full);
            }
        }
        Ok(Step::Complete)
    }

    /// The messages with these ids, where they are there.
    fn walk_ids(&mut self, tx: &Tx<'_>, ids: impl Iterator<Item = i64>) -> Result<Step> {
        let mut statement = tx.sql(concat!(archived!(), " AND id = ?1"))?;
        for id in ids {
            let mut rows = statement.query([id])?;
            if let Some(row) = rows.next()?
                && !self.consider(tx, row)?
            {
                return Ok(Step::Full);
            }
        }
        Ok(Step::Complete)
    }

    /// Takes a message in where it matches; false where the page has no room for it.
    fn consider(&mut self, tx: &Tx<'_>, row: &Row<'_>) -> Result<bool> {
        let at = time(row.get(2)?);
        let stanza = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        let with = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
        if !self.query.matches(with, at, stanza) {
            return Ok(true);
        }
        self.bytes += stanza.len();
        if !self.query.fits(self.found.len(), self.bytes) {
            return Ok(false);
        }
        let id = row.get(0)?;
        self.found.push(Kept {
            id: message_id(id, row.get(1)?),
            at,
            stanza: Bytes::copy_from_slice(stanza),
            archived: true,
            pending: tx.sql("SELECT 1 FROM pending WHERE id = ?1")?.exists([id])?,
        });
        Ok(true)
    }
}

impl Tx<'_> {
    /// Reads as of one moment, on a connection that is not in a transaction.
    fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let transaction = self.0.unchecked_transaction()?;
        let result = read(self)?;
        transaction.commit()?;
        Ok(result)
    }

    /// What a query has to look through, what comes first last.
    fn spans(&self, owner: &BareJid, query: &Query) -> Result<Vec<Span>> {
        let account = law::account(self, owner)?;
        self.check_ids(account, query.named())?;
        let (after, before) = query.bounds();
        let (first, last) = (row_id(account, after + 1), row_id(account, before - 1));
        if let Some(ids) = &query.ids {
            let mut ids: Vec<i64> = ids.iter().map(|id| row_id(account, id.number())).collect();
            ids.retain(|id| (first..=last).contains(id));
            ids.sort_unstable();
            ids.dedup();
            if query.from_end {
                ids.reverse();
            }
            return Ok(vec![Span { first, last, way: Way::Listed(ids) }]);
        }
        let undescribed = self.undescribed(account)?;
        let new = Span { first: first.max(undescribed), last, way: Way::Rows };
        let way = match &query.with {
            Some(jid) => Way::Correspondence(account, bare(jid.as_str()).to_owned()),
            None => Way::Rows,
        };
        let mut old = Span { first, last: last.min(undescribed - 1), way };
        self.narrow(&mut old, query)?;
        let mut spans = vec![new, old];
        if query.from_end {
            spans.reverse();
        }
        spans.retain(|span| span.first <= span.last);
        Ok(spans)
    }

    /// Whether all these are in the archive (XEP-0313 4.1.3).
    fn check_ids<'a>(
        &self,
        account: AccountId,
        ids: impl Iterator<Item = &'a MessageId>,
    ) -> Result<()> {
        let mut statement =
            self.sql("SELECT 1 FROM message WHERE id = ?1 AND salt = ?2 AND peer IS NOT NULL")?;
        for id in ids {
            if !statement.exists([row_id(account, id.number()), id.salt().cast_signed()])? {
                return Err(StoreError::NotFound);
            }
        }
        Ok(())
    }

    /// Leaves out the blocks at either end that are too old or too new. What is between them is looked at one by one: clocks
    /// have been set back before.
    fn narrow(&self, span: &mut Span, query: &Query) -> Result<()> {
        let block = |sql, span: &Span, at| -> Result<Option<i64>> {
            let range = [block_of(span.first), block_of(span.last), microseconds(at)];
            Ok(self.sql(sql)?.query_row(range, |row| row.get(0)).optional()?)
        };
        if let Some(start) = query.start {
            let since = "SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 AND last_at >= ?3
                         ORDER BY id LIMIT 1";
            let first = block(since, span, start)?;
            span.first = first.map_or(i64::MAX, |block| span.first.max(first_of(block)));
        }
        if let Some(end) = query.end {
            let until = "SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 AND first_at <= ?3
                         ORDER BY id DESC LIMIT 1";
            let last = block(until, span, end)?;
            span.last = last.map_or(i64::MIN, |block| span.last.min(first_of(block + 1) - 1));
        }
        Ok(())
    }

    fn matching(&self, owner: &BareJid, query: &Query) -> Result<Option<u64>> {
        let account = law::account(self, owner)?;
        self.check_ids(account, query.named())?;
        if !query.is_countable() {
            return Ok(None);
        }
        let mut count = 0;
        for Span { first, last, way } in self.spans(owner, query)? {
            let blocks = [block_of(first), block_of(last)];
            match &way {
                Way::Rows if first < self.undescribed(account)? => {
                    let sql = "SELECT id, members FROM block WHERE id BETWEEN ?1 AND ?2";
                    count += self.count(sql, params![blocks[0], blocks[1]], first, last)?;
                }
                Way::Correspondence(account, peer) => {
                    let range = params![account, peer, blocks[0], blocks[1]];
                    count += self.count(correspondence!(), range, first, last)?;
                }
                Way::Rows | Way::Listed(_) => {
                    let mut statement = self.sql(
                        "SELECT peer FROM message WHERE id BETWEEN ?1 AND ?2 AND peer IS NOT NULL",
                    )?;
                    let mut rows = statement.query([first, last])?;
                    while let Some(row) = rows.next()? {
                        let peer = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                        let matches = query.matches(peer, SystemTime::UNIX_EPOCH, b"");
                        count += u64::from(matches);
                    }
                }
            }
        }
        Ok(Some(count))
    }

    /// The members between two messages of the blocks that a statement gives.
    fn count(
        &self,
        sql: &str,
        blocks: impl rusqlite::Params,
        first: i64,
        last: i64,
    ) -> Result<u64> {
        let mut statement = self.sql(sql)?;
        let mut rows = statement.query(blocks)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let members = members_between(row.get(0)?, row.get(1)?, first, last);
            count += u64::from(members.count_ones());
        }
        Ok(count)
    }

    fn edges(&self, owner: &BareJid) -> Result<Option<(Edge, Edge)>> {
        let account = law::account(self, owner)?;
        let range = [row_id(account, 0), row_id(account, MessageId::LAST)];
        let edge = |sql: &str| -> Result<Option<Edge>> {
            let edge = self.sql(sql)?.query_row(range, |row| {
                Ok(Edge { id: message_id(row.get(0)?, row.get(1)?), at: time(row.get(2)?) })
            });
            Ok(edge.optional()?)
        };
        let first = edge(
            "SELECT id, salt, received FROM message
             WHERE id BETWEEN ?1 AND ?2 AND peer IS NOT NULL ORDER BY id LIMIT 1",
        )?;
        let last = edge(
            "SELECT id, salt, received FROM message
             WHERE id BETWEEN ?1 AND ?2 AND peer IS NOT NULL ORDER BY id DESC LIMIT 1",
        )?;
        Ok(first.zip(last))
    }

    fn purge(&mut self, after: Option<i64>, retention: Retention) -> Result<Option<i64>> {
        self.drop_origins()?;
        let from = after.map_or(0, |account| row_id(account + 1, 0));
        let next: Option<i64> = self
            .sql("SELECT id FROM message WHERE id >= ?1 ORDER BY id LIMIT 1")?
            .query_row([from], |row| row.get(0))
            .optional()?;
        let Some(account) = next.map(account_of) else { return Ok(None) };
        let lives = self.sql("SELECT 1 FROM account WHERE id = ?1")?.exists([account])?;
        let gone = if lives {
            self.purge_archive(account, retention)?
        } else {
            self.drop_messages(account, PURGED_AT_ONCE)?
        };
        Ok(Some(if gone < PURGED_AT_ONCE { account } else { account - 1 }))
    }

    /// Takes away the oldest of an archive; gives how many they were.
    fn purge_archive(&mut self, account: AccountId, retention: Retention) -> Result<usize> {
        let excess = match retention.messages {
            Some(most) => self.archived(account)?.saturating_sub(most),
            None => 0,
        };
        let since = retention.since.map_or(i64::MIN, microseconds);
        let mut oldest: Vec<(i64, String)> = Vec::new();
        {
            let mut statement = self.sql(
                "SELECT id, received, peer FROM message
                 WHERE id BETWEEN ?1 AND ?2 AND peer IS NOT NULL ORDER BY id LIMIT ?3",
            )?;
            let range =
                [row_id(account, 0), row_id(account, MessageId::LAST), number(PURGED_AT_ONCE)];
            let mut rows = statement.query(range)?;
            while let Some(row) = rows.next()? {
                if oldest.len() >= excess && row.get::<_, i64>(1)? >= since {
                    break;
                }
                oldest.push((row.get(0)?, row.get(2)?));
            }
        }
        for (id, peer) in &oldest {
            self.forget(account, *id, Some(peer))?;
        }
        Ok(oldest.len())
    }

    /// How many messages an archive has.
    fn archived(&self, account: AccountId) -> Result<usize> {
        let owner = [row_id(account, 0), row_id(account, MessageId::LAST)];
        let sql = "SELECT id, members FROM block WHERE id BETWEEN ?1 AND ?2";
        let described = self.count(sql, owner.map(block_of), i64::MIN, i64::MAX)?;
        let rest: u64 = self
            .sql("SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2 AND peer IS NOT NULL")?
            .query_row([self.undescribed(account)?, owner[1]], |row| row.get::<_, i64>(0))?
            .cast_unsigned();
        Ok(usize::try_from(described + rest).unwrap_or(usize::MAX))
    }
}
