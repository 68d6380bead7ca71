//! The table of accounts in memory, sharded so that a lock is held for one look-up by few.

use crate::{account::Account, lock};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, atomic::Ordering},
};
use xmpp_core::{BareJid, Jid};

/// Locks of the table: many more than threads, so that two rarely meet.
const SHARDS: usize = 64;

/// How many accounts one look for one that can be forgotten takes in; the table outgrows its limit by a sixteenth at most
/// before all have been looked at.
const SEARCH: usize = 16;

/// Accounts by bare address, bounded: those without sessions are forgotten first, the least recently asked for
/// before others (the clock algorithm). Those with sessions are bounded by what connects.
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    shard_limit: usize,
}

#[derive(Default)]
struct Shard {
    accounts: HashMap<BareJid, Arc<Account>>,
    clock: VecDeque<BareJid>,
}

impl Table {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_limit: (limit / SHARDS).max(1),
        }
    }

    /// The account if it is in memory.
    pub(crate) fn get(&self, bare: &str) -> Option<Arc<Account>> {
        lock(self.shard(bare)).accounts.get(bare).cloned()
    }

    /// All accounts in memory.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(lock(shard).accounts.values().cloned());
        }
        all
    }

    /// The account of this address, in memory from now on.
    pub(crate) fn get_or_insert(&self, address: &Jid) -> Arc<Account> {
        let mut shard = lock(self.shard(address.bare_str()));
        if let Some(account) = shard.accounts.get(address.bare_str()) {
            return account.clone();
        }
        while shard.accounts.len() >= self.shard_limit && shard.forget_one() {}
        let bare = address.to_bare();
        let account = Arc::new(Account::new(bare.clone()));
        shard.clock.push_back(bare.clone());
        shard.accounts.insert(bare, account.clone());
        account
    }

    fn shard(&self, bare: &str) -> &Mutex<Shard> {
        // Peers choose the addresses: they can have many in one shard, and would find its map keyed with randomness.
        let mix = |hash: usize, byte: u8| (hash ^ usize::from(byte)).wrapping_mul(0x0100_0193);
        let hash = bare.bytes().fold(0, mix);
        &self.shards[(hash ^ (hash >> 16)) % SHARDS]
    }
}

impl Shard {
    fn forget_one(&mut self) -> bool {
        for _ in 0..SEARCH {
            let Some(candidate) = self.clock.pop_front() else { return false };
            let Some(account) = self.accounts.get(&candidate) else { continue };
            // Owned by the table alone: no session, no stanza on its way, nobody who is asking.
            let unused = Arc::strong_count(account) == 1 && account.is_idle();
            if unused && !account.recent.swap(false, Ordering::Relaxed) {
                self.accounts.remove(&candidate);
                return true;
            }
            self.clock.push_back(candidate);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_accounts_nobody_uses_are_forgotten() {
        let table = Table::new(SHARDS * 10);
        let used = table.get_or_insert(&"used@localhost".parse().unwrap());
        for number in 0..5_000 {
            table.get_or_insert(&format!("user{number}@localhost").parse().unwrap());
        }
        let kept: usize = table.shards.iter().map(|shard| lock(shard).accounts.len()).sum();
        let clocks: usize = table.shards.iter().map(|shard| lock(shard).clock.len()).sum();
        assert!(kept <= SHARDS * 10, "{kept} accounts kept");
        assert_eq!(kept, clocks);
        let again = table.get("used@localhost").expect("what is in use stays");
        assert!(Arc::ptr_eq(&used, &again));
    }
}
