//! The rows of one transaction.

use crate::{
    Item, REVOCATIONS, Request, Result, Revocation, Revoked, StoreError, Subscription,
    law::{self, AccountId, Rows},
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use std::{
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use xmpp_core::{
    BareJid,
    sasl::{Credentials, ScramKeys},
};

pub(super) use crate::messages::microseconds;

/// A connection inside a transaction. Values are only ever bound, never pasted into SQL.
pub(super) struct Tx<'a>(pub(super) &'a Connection);

/// How many messages go with an account when it is deleted.
const MESSAGES_DROPPED: usize = 1_000;

/// The columns that [`item`] reads.
macro_rules! item_columns {
    () => {
        "SELECT contact, name, listed, sub_to, sub_from, pending_out, pending_in, approved FROM roster"
    };
}
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string().into())
    }
}

impl Tx<'_> {
    pub(super) fn sql(&self, sql: &str) -> Result<CachedStatement<'_>> {
        Ok(self.0.prepare_cached(sql)?)
    }

    pub(super) fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        let mut statement = self.sql(
            "SELECT mechanism, salt, iterations, stored_key, server_key FROM credential
             JOIN account ON account.id = credential.account WHERE jid = ?1",
        )?;
        let mut rows = statement.query([account.as_str()])?;
        let (mut sha1, mut sha256, mut sha512) = (None, None, None);
        while let Some(row) = rows.next()? {
            let keys = ScramKeys {
                salt: row.get(1)?,
                iterations: row.get(2)?,
                stored_key: row.get(3)?,
                server_key: row.get(4)?,
            };
            match row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)? {
                SHA1 => sha1 = Some(keys),
                SHA256 => sha256 = Some(keys),
                SHA512 => sha512 = Some(keys),
                _ => {} // written for a mechanism that this version does not know
            }
        }
        Ok(match (sha1, sha256, sha512) {
            (Some(sha1), Some(sha256), Some(sha512)) => Some(Credentials { sha1, sha256, sha512 }),
            _ => None,
        })
    }

    pub(super) fn create(&mut self, account: &BareJid, credentials: &Credentials) -> Result<()> {
        let id = self
            .sql(
                "INSERT INTO account (jid, roster_version)
                 SELECT ?1, value FROM counter WHERE name = 'first_roster_version'
                 ON CONFLICT DO NOTHING RETURNING id",
            )?
            .query_row([account.as_str()], |row| row.get(0))
            .optional()?
            .ok_or(StoreError::Exists)?;
        self.put_credentials(id, credentials)
    }

    pub(super) fn set_credentials(
        &mut self,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<()> {
        let id = law::account(self, account)?;
        self.put_credentials(id, credentials)?;
        self.revoke(account, Revoked::Password)
    }

    fn put_credentials(&self, id: AccountId, credentials: &Credentials) -> Result<()> {
        let mut statement =
            self.sql("INSERT OR REPLACE INTO credential VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let Credentials { sha1, sha256, sha512 } = credentials;
        for (mechanism, keys) in [(SHA1, sha1), (SHA256, sha256), (SHA512, sha512)] {
            let ScramKeys { salt, iterations, stored_key, server_key } = keys;
            statement.execute(params![id, mechanism, salt, iterations, stored_key, server_key])?;
        }
        Ok(())
    }

    pub(super) fn list(&self) -> Result<Vec<BareJid>> {
        let mut statement = self.sql("SELECT jid FROM account ORDER BY jid")?;
        let mut rows = statement.query([])?;
        let mut accounts = Vec::new();
        while let Some(row) = rows.next()? {
            accounts.push(jid(row, 0)?);
        }
        Ok(accounts)
    }

    pub(super) fn revoked(&self, since: Option<i64>) -> Result<(Vec<Revocation>, i64)> {
        let mut revocations = Vec::new();
        let Some(since) = since else {
            let last = self
                .sql("SELECT coalesce(max(id), 0) FROM revocation")?
                .query_row([], |row| row.get(0))?;
            return Ok((revocations, last));
        };
        let mut statement =
            self.sql("SELECT id, account, what FROM revocation WHERE id > ?1 ORDER BY id")?;
        let mut rows = statement.query([since])?;
        let mut last = since;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let what = match row.get(2)? {
                0 => Revoked::Password,
                1 => Revoked::Account,
                2 => Revoked::Subscriptions,
                _ => continue, // noted by a version that knows more
            };
            revocations.push(Revocation { account: jid(row, 1)?, what });
        }
        Ok((revocations, last))
    }

    pub(super) fn requests(&self, owner: &BareJid) -> Result<Vec<Request>> {
        let id = law::account(self, owner)?;
        let mut statement =
            self.sql("SELECT contact, stanza FROM request WHERE account = ?1 ORDER BY version")?;
        let mut rows = statement.query([id])?;
        let mut requests = Vec::new();
        while let Some(row) = rows.next()? {
            requests.push((jid(row, 0)?, row.get(1)?));
        }
        Ok(requests)
    }
}

impl Rows for Tx<'_> {
    fn account(&self, jid: &BareJid) -> Result<Option<AccountId>> {
        let mut statement = self.sql("SELECT id FROM account WHERE jid = ?1")?;
        Ok(statement.query_row([jid.as_str()], |row| row.get(0)).optional()?)
    }
    fn item(&self, owner: AccountId, contact: &BareJid) -> Result<Option<Item>> {
        let mut statement =
            self.sql(concat!(item_columns!(), " WHERE account = ?1 AND contact = ?2"))?;
        let mut rows = statement.query(params![owner, contact.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut item = item(row)?;
        item.groups = self
            .sql("SELECT name FROM roster_group WHERE account = ?1 AND contact = ?2 ORDER BY name")?
            .query_map(params![owner, contact.as_str()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(Some(item))
    }
    fn items(&self, owner: AccountId) -> Result<Vec<Item>> {
        let mut statement =
            self.sql(concat!(item_columns!(), " WHERE account = ?1 ORDER BY contact"))?;
        let mut rows = statement.query([owner])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(item(row)?);
        }
        let mut statement = self.sql(
            "SELECT contact, name FROM roster_group WHERE account = ?1 ORDER BY contact, name",
        )?;
        let mut rows = statement.query([owner])?;
        let mut unmatched = items.iter_mut().peekable(); // both sides are in order
        while let Some(row) = rows.next()? {
            let contact = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            while unmatched.next_if(|item| item.jid.as_str() < contact).is_some() {}
            if let Some(item) = unmatched.peek_mut() {
                item.groups.push(row.get(1)?);
            }
        }
        drop(unmatched);
        Ok(items)
    }
    fn count_items(&self, owner: AccountId, listed: bool) -> Result<usize> {
        let count = self
            .sql("SELECT count(*) FROM roster WHERE account = ?1 AND listed = ?2")?
            .query_row(params![owner, listed], |row| size(row, 0))?;
        Ok(count)
    }
    fn holders(&self, contact: &BareJid) -> Result<Vec<(AccountId, BareJid)>> {
        let mut statement = self.sql(
            "SELECT id, jid FROM roster JOIN account ON account.id = roster.account
             WHERE contact = ?1 ORDER BY jid",
        )?;
        let mut rows = statement.query([contact.as_str()])?;
        let mut holders = Vec::new();
        while let Some(row) = rows.next()? {
            holders.push((row.get(0)?, jid(row, 1)?));
        }
        Ok(holders)
    }
    fn version(&self, owner: AccountId) -> Result<u64> {
        let version = self
            .sql("SELECT roster_version FROM account WHERE id = ?1")?
            .query_row([owner], |row| row.get(0).map(i64::cast_unsigned))?;
        Ok(version)
    }
    fn roster_bytes(&self, owner: AccountId) -> Result<usize> {
        let bytes = self
            .sql("SELECT roster_bytes FROM account WHERE id = ?1")?
            .query_row([owner], |row| size(row, 0))?;
        Ok(bytes)
    }
    fn next_version(&mut self, owner: AccountId, was: usize, is: usize) -> Result<u64> {
        let next = "UPDATE account
            SET roster_version = roster_version + 1, roster_bytes = roster_bytes - ?2 + ?3
            WHERE id = ?1 RETURNING roster_version";
        let version =
            self.sql(next)?.query_row(params![owner, number(was), number(is)], |row| {
                row.get(0).map(i64::cast_unsigned)
            })?;
        Ok(version)
    }
    fn put_item(&mut self, owner: AccountId, item: &Item) -> Result<()> {
        let contact = item.jid.as_str();
        let s = item.subscription;
        self.sql(
            "INSERT INTO roster (account, contact, name, listed, sub_to, sub_from, pending_out, pending_in, approved)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (account, contact) DO UPDATE SET (name, listed, sub_to, sub_from, pending_out, pending_in, approved)
             = (excluded.name, excluded.listed, excluded.sub_to, excluded.sub_from, excluded.pending_out,
                excluded.pending_in, excluded.approved)",
        )?
        .execute(params![
            owner, contact, item.name, item.listed, s.to, s.from, s.pending_out, s.pending_in, s.approved
        ])?;
        self.sql("DELETE FROM roster_group WHERE account = ?1 AND contact = ?2")?
            .execute(params![owner, contact])?;
        let mut statement = self.sql("INSERT INTO roster_group VALUES (?1, ?2, ?3)")?;
        for group in &item.groups {
            statement.execute(params![owner, contact, group])?;
        }
        Ok(())
    }
    fn drop_item(&mut self, owner: AccountId, contact: &BareJid) -> Result<()> {
        self.sql("DELETE FROM roster WHERE account = ?1 AND contact = ?2")?
            .execute(params![owner, contact.as_str()])?;
        Ok(())
    }
    fn put_request(
        &mut self,
        owner: AccountId,
        contact: &BareJid,
        version: u64,
        stanza: &[u8],
    ) -> Result<()> {
        self.sql("INSERT OR REPLACE INTO request VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            owner,
            contact.as_str(),
            version.cast_signed(),
            stanza
        ])?;
        Ok(())
    }
    fn drop_request(&mut self, owner: AccountId, contact: &BareJid) -> Result<()> {
        self.sql("DELETE FROM request WHERE account = ?1 AND contact = ?2")?
            .execute(params![owner, contact.as_str()])?;
        Ok(())
    }
    fn drop_account(&mut self, id: AccountId) -> Result<()> {
        self.sql(
            "UPDATE counter SET value = max(value, (SELECT roster_version + 1 FROM account WHERE id = ?1))
             WHERE name = 'first_roster_version'",
        )?
        .execute([id])?;
        // What is left where there are more is cleared away by and by: the id is never another account's.
        self.drop_messages(id, MESSAGES_DROPPED)?;
        self.sql("DELETE FROM account WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
    fn revoke(&mut self, account: &BareJid, what: Revoked) -> Result<()> {
        let what = match what {
            Revoked::Password => 0,
            Revoked::Account => 1,
            Revoked::Subscriptions => 2,
        };
        self.sql("INSERT INTO revocation (account, what) VALUES (?1, ?2)")?
            .execute(params![account.as_str(), what])?;
        self.sql("DELETE FROM revocation WHERE id <= ?1")?
            .execute([self.0.last_insert_rowid() - REVOCATIONS])?;
        Ok(())
    }
}

// Names in the database, whatever the code calls them.
const SHA1: &str = "SCRAM-SHA-1";
const SHA256: &str = "SCRAM-SHA-256";
const SHA512: &str = "SCRAM-SHA-512";

/// An item without its groups.
fn item(row: &Row<'_>) -> Result<Item> {
    Ok(Item {
        jid: jid(row, 0)?,
        name: row.get(1)?,
        groups: Vec::new(),
        listed: row.get(2)?,
        subscription: Subscription {
            to: row.get(3)?,
            from: row.get(4)?,
            pending_out: row.get(5)?,
            pending_in: row.get(6)?,
            approved: row.get(7)?,
        },
    })
}

pub(super) fn jid<J: FromStr>(row: &Row<'_>, column: usize) -> Result<J> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    let broken = |_| StoreError::Failed("a stored address is not an address".into());
    text.parse().map_err(broken)
}

/// A count of rows or of bytes.
pub(super) fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    row.get(column).map(|count: u32| count as usize)
}

pub(super) fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(super) fn time(microseconds: i64) -> SystemTime {
    let span = Duration::from_micros(microseconds.unsigned_abs());
    let at =
        if microseconds < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    at.unwrap_or(UNIX_EPOCH)
}
