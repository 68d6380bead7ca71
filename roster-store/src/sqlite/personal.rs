//! Documents, block lists, archive preferences, last activity, notices and parked streams in the database.

use super::{
    Sqlite,
    rows::{Tx, jid, microseconds, size, time},
};
use crate::{
    ArchivePreferences, BlockLists, BoxFuture, Document, DocumentKey, Documents, LastActivity,
    Left, Motd, Notices, Parked, Policy, Preferences, Result, Sessions, StoreError,
    law::{self, AccountId, BlockRows, DocumentRows, PreferenceRows},
};
use rusqlite::{OptionalExtension, params};
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
    fn park(&self, sessions: Vec<Parked>) -> BoxFuture<Result<()>> {
        let bytes = sessions.iter().map(|session| session.state.len()).sum();
        self.write(bytes, move |tx| tx.park(&sessions))
    }
    fn parked(&self) -> BoxFuture<Result<Vec<Parked>>> {
        self.write(0, |tx| tx.parked())
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
    fn park(&mut self, sessions: &[Parked]) -> Result<()> {
        let mut statement = self.sql(
            "INSERT OR REPLACE INTO parked SELECT ?1, id, ?3, ?4 FROM account WHERE jid = ?2",
        )?;
        for Parked { token, owner, until, state } in sessions {
            statement.execute(params![token, owner.as_str(), microseconds(*until), state])?;
        }
        Ok(())
    }

    fn parked(&mut self) -> Result<Vec<Parked>> {
        let mut sessions = Vec::new();
        let mut statement = self.sql(
            "SELECT token, jid, until, state FROM parked JOIN account ON account.id = parked.account",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            sessions.push(Parked {
                token: row.get(0)?,
                owner: jid(row, 1)?,
                until: time(row.get(2)?),
                state: row.get(3)?,
            });
        }
        self.sql("DELETE FROM parked")?.execute([])?;
        Ok(sessions)
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
