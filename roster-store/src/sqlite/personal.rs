//! Documents, block lists, archive preferences, last activity, notices, and what was heard on streams, in the database.

use super::{
    Sqlite,
    open::beside,
    rows::{Tx, jid, microseconds, size, time},
};
use crate::{
    ArchivePreferences, BlockLists, BoxFuture, Document, DocumentKey, Documents, Heard, Journal,
    LastActivity, Left, LeftStreams, Motd, Notices, Policy, Preferences, Result, Sessions, Source,
    StoreError,
    law::{self, AccountId, BlockRows, DocumentRows, PreferenceRows},
};
use rusqlite::{OptionalExtension, params};
use std::{collections::BTreeSet, fs, ops::RangeInclusive};
use xmpp_core::{BareJid, Jid};

impl Documents for Sqlite {
    fn document(&self, owner: &BareJid, key: &DocumentKey) -> BoxFuture<Result<Option<Vec<u8>>>> {
        let (owner, key) = (owner.clone(), key.clone());
        self.read(move |tx| tx.document(&owner, &key))
    }
    fn put_documents(&self, owner: &BareJid, documents: Vec<Document>) -> BoxFuture<Result<()>> {
        let (caps, owner) = (self.caps, owner.clone());
        let bytes = documents.iter().map(|(_, data)| data.len()).sum();
        self.write(bytes, move |tx| law::put_documents(tx, &caps, &owner, &documents))
    }
}

impl BlockLists for Sqlite {
    fn blocked(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Jid>>> {
        let owner = owner.clone();
        self.read_in_order(move |tx| tx.blocked(law::account(tx, &owner)?))
    }
    fn block(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>> {
        let (caps, owner) = (self.caps, owner.clone());
        let bytes = jids.iter().map(|jid| jid.as_str().len()).sum();
        self.write(bytes, move |tx| law::block(tx, &caps, &owner, &jids))
    }
    fn unblock(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>> {
        let owner = owner.clone();
        let bytes = jids.iter().map(|jid| jid.as_str().len()).sum();
        self.write(bytes, move |tx| law::unblock(tx, &owner, &jids))
    }
}

impl ArchivePreferences for Sqlite {
    fn set_preferences(
        &self,
        owner: &BareJid,
        preferences: Preferences,
    ) -> BoxFuture<Result<Preferences>> {
        let (caps, owner) = (self.caps, owner.clone());
        let all = preferences.always.iter().chain(&preferences.never);
        let bytes = all.map(|jid| jid.as_str().len()).sum();
        self.write(bytes, move |tx| law::set_preferences(tx, &caps, &owner, &preferences))
    }
}

impl Sessions for Sqlite {
    fn journal(&self) -> Result<Option<(Journal, LeftStreams)>> {
        // What a boot is called; where nothing tells, only what ended in good order is believed.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Journal::open(&beside(&self.path, "-streams"), boot.as_deref().map(str::trim)).map(Some)
    }
    fn heard(&self, streams: Vec<u32>) -> BoxFuture<Result<Vec<(u32, Heard)>>> {
        let streams = streams.into_iter().collect();
        self.write(0, move |tx| tx.heard(&streams))
    }
    fn forget(&self, stream: u32) -> BoxFuture<Result<()>> {
        self.write(0, move |tx| tx.forget_heard(heard_id(stream, 0)..=heard_id(stream, u32::MAX)))
    }
}

impl LastActivity for Sqlite {
    fn left(&self, owner: &BareJid, left: Left) -> BoxFuture<Result<()>> {
        let (owner, left) = (owner.clone(), law::left(&self.caps, left));
        let bytes = left.status.as_ref().map_or(0, String::len);
        self.write(bytes, move |tx| tx.left(&owner, &left))
    }
    fn last_left(&self, owner: &BareJid) -> BoxFuture<Result<Option<Left>>> {
        let owner = owner.clone();
        self.read(move |tx| tx.last_left(&owner))
    }
}

impl Notices for Sqlite {
    fn motd(&self) -> BoxFuture<Result<Option<Motd>>> {
        self.read(|tx| tx.motd())
    }
    fn set_motd(&self, motd: Option<Motd>) -> BoxFuture<Result<()>> {
        let bytes = motd.as_ref().map_or(0, |motd| motd.text.len());
        self.write(bytes, move |tx| tx.set_motd(motd.as_ref()))
    }
}

impl Tx<'_> {
    /// A stanza was put.
    pub(super) fn note_heard(&mut self, source: Source) -> Result<()> {
        let Source { stream, number, mark, handled } = source;
        if let Some(handled) = handled {
            // The half of the circle that ends there.
            let first = handled.wrapping_sub((1 << 31) - 1);
            let id = |number| heard_id(stream, number);
            if first <= handled {
                self.forget_heard(id(first)..=id(handled))?;
            } else {
                self.forget_heard(id(0)..=id(handled))?;
                self.forget_heard(id(first)..=id(u32::MAX))?;
            }
        }
        self.sql("INSERT OR REPLACE INTO heard VALUES (?1, ?2)")?
            .execute([heard_id(stream, number), mark.cast_signed()])?;
        Ok(())
    }

    fn heard(&mut self, streams: &BTreeSet<u32>) -> Result<Vec<(u32, Heard)>> {
        let mut heard: Vec<(u32, Heard)> = Vec::new();
        let mut over = BTreeSet::new();
        {
            let mut statement = self.sql("SELECT id >> 32, id & 0xffffffff, mark FROM heard")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let stream = row.get(0)?;
                if streams.contains(&stream) {
                    let mark: i64 = row.get(2)?;
                    heard.push((stream, (row.get(1)?, mark.cast_unsigned())));
                } else {
                    over.insert(stream);
                }
            }
        }
        for stream in over {
            self.forget_heard(heard_id(stream, 0)..=heard_id(stream, u32::MAX))?;
        }
        Ok(heard)
    }

    fn forget_heard(&mut self, ids: RangeInclusive<i64>) -> Result<()> {
        self.sql("DELETE FROM heard WHERE id BETWEEN ?1 AND ?2")?
            .execute([ids.start(), ids.end()])?;
        Ok(())
    }

    fn motd(&self) -> Result<Option<Motd>> {
        let motd = self
            .sql("SELECT text, set_at FROM motd")?
            .query_row([], |row| Ok(Motd { text: row.get(0)?, at: time(row.get(1)?) }));
        Ok(motd.optional()?)
    }

    fn set_motd(&mut self, motd: Option<&Motd>) -> Result<()> {
        match motd {
            Some(Motd { text, at }) => self
                .sql("INSERT OR REPLACE INTO motd VALUES (1, ?1, ?2)")?
                .execute(params![text, microseconds(*at)])?,
            None => self.sql("DELETE FROM motd")?.execute([])?,
        };
        Ok(())
    }

    fn document(&self, owner: &BareJid, key: &DocumentKey) -> Result<Option<Vec<u8>>> {
        let (kind, ns, name) = columns(key);
        self.sql(
            "SELECT data FROM account LEFT JOIN document
             ON document.account = account.id AND kind = ?2 AND ns = ?3 AND name = ?4 WHERE jid = ?1",
        )?
        .query_row(params![owner.as_str(), kind, ns, name], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound)
    }

    fn left(&mut self, owner: &BareJid, left: &Left) -> Result<()> {
        let id = law::account(self, owner)?;
        self.sql("INSERT OR REPLACE INTO activity VALUES (?1, ?2, ?3)")?.execute(params![
            id,
            microseconds(left.at),
            left.status
        ])?;
        Ok(())
    }

    fn last_left(&self, owner: &BareJid) -> Result<Option<Left>> {
        self.sql(
            "SELECT left_at, status FROM account LEFT JOIN activity
             ON activity.account = account.id WHERE jid = ?1",
        )?
        .query_row([owner.as_str()], |row| {
            let at: Option<i64> = row.get(0)?;
            at.map(|at| Ok(Left { at: time(at), status: row.get(1)? })).transpose()
        })
        .optional()?
        .ok_or(StoreError::NotFound)
    }
}

impl DocumentRows for Tx<'_> {
    fn documents(&self, owner: AccountId) -> Result<(usize, usize)> {
        let used = self
            .sql(
                "SELECT count(*), coalesce(sum(length(data)), 0) FROM document WHERE account = ?1",
            )?
            .query_row([owner], |row| Ok((size(row, 0)?, size(row, 1)?)))?;
        Ok(used)
    }
    fn document_bytes(&self, owner: AccountId, key: &DocumentKey) -> Result<Option<usize>> {
        let (kind, ns, name) = columns(key);
        let bytes = self
            .sql(
                "SELECT length(data) FROM document
                 WHERE account = ?1 AND kind = ?2 AND ns = ?3 AND name = ?4",
            )?
            .query_row(params![owner, kind, ns, name], |row| size(row, 0))
            .optional()?;
        Ok(bytes)
    }
    fn put_document(&mut self, owner: AccountId, key: &DocumentKey, data: &[u8]) -> Result<()> {
        let (kind, ns, name) = columns(key);
        self.sql("INSERT OR REPLACE INTO document VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![owner, kind, ns, name, data])?;
        Ok(())
    }
    fn drop_document(&mut self, owner: AccountId, key: &DocumentKey) -> Result<()> {
        let (kind, ns, name) = columns(key);
        self.sql(
            "DELETE FROM document WHERE account = ?1 AND kind = ?2 AND ns = ?3 AND name = ?4",
        )?
        .execute(params![owner, kind, ns, name])?;
        Ok(())
    }
}

impl BlockRows for Tx<'_> {
    fn blocked(&self, owner: AccountId) -> Result<Vec<Jid>> {
        let mut statement = self.sql("SELECT jid FROM blocked WHERE account = ?1 ORDER BY jid")?;
        let mut rows = statement.query([owner])?;
        let mut blocked = Vec::new();
        while let Some(row) = rows.next()? {
            blocked.push(jid(row, 0)?);
        }
        Ok(blocked)
    }
    fn put_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()> {
        self.sql("INSERT INTO blocked VALUES (?1, ?2)")?.execute(params![owner, jid.as_str()])?;
        Ok(())
    }
    fn drop_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()> {
        self.sql("DELETE FROM blocked WHERE account = ?1 AND jid = ?2")?
            .execute(params![owner, jid.as_str()])?;
        Ok(())
    }
}

/// A document's kind, namespace and name.
fn columns(key: &DocumentKey) -> (i64, &str, &str) {
    match key {
        DocumentKey::Private { ns, name } => (0, ns, name),
        DocumentKey::VCard => (1, "", ""),
    }
}

/// How a policy is stored.
const POLICIES: [(Policy, i64); 3] = [(Policy::Always, 0), (Policy::Roster, 1), (Policy::Never, 2)];

impl PreferenceRows for Tx<'_> {
    fn preferences(&self, owner: AccountId) -> Result<Option<Preferences>> {
        let policy: Option<i64> = self
            .sql("SELECT policy FROM archive_default WHERE account = ?1")?
            .query_row([owner], |row| row.get(0))
            .optional()?;
        let known = POLICIES.iter().find(|(_, number)| Some(*number) == policy);
        let Some((default, _)) = known else { return Ok(None) };
        let (mut always, mut never) = (Vec::new(), Vec::new());
        let mut statement =
            self.sql("SELECT jid, archive FROM archive_rule WHERE account = ?1 ORDER BY jid")?;
        let mut rows = statement.query([owner])?;
        while let Some(row) = rows.next()? {
            if row.get(1)? { &mut always } else { &mut never }.push(jid(row, 0)?);
        }
        Ok(Some(Preferences { default: *default, always, never }))
    }
    fn put_preferences(&mut self, owner: AccountId, preferences: &Preferences) -> Result<()> {
        let Preferences { default, always, never } = preferences;
        let known = POLICIES.iter().find(|(policy, _)| policy == default);
        let (_, number) = known.expect("every policy has its number");
        self.sql("INSERT OR REPLACE INTO archive_default VALUES (?1, ?2)")?
            .execute([owner, *number])?;
        self.sql("DELETE FROM archive_rule WHERE account = ?1")?.execute([owner])?;
        let mut statement = self.sql("INSERT INTO archive_rule VALUES (?1, ?2, ?3)")?;
        for (list, archive) in [(always, true), (never, false)] {
            for jid in list {
                statement.execute(params![owner, jid.as_str(), archive])?;
            }
        }
        Ok(())
    }
}

/// The id of a stanza's row.
fn heard_id(stream: u32, number: u32) -> i64 {
    i64::from(stream) << 32 | i64::from(number)
}
