//! Documents, block lists, last activity and notices in the database.

use super::{
    Sqlite,
    rows::{Tx, jid, microseconds, size, time},
};
use crate::{
    BlockLists, BoxFuture, Document, DocumentKey, Documents, LastActivity, Left, Motd, Notices,
    Result, StoreError,
    law::{self, AccountId, BlockRows, DocumentRows},
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
