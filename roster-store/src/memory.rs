//! A store that forgets everything with the process: for tests, and for servers that start empty.
//!
//! Every call is done before it returns; its future is ready.

mod archive;
mod messages;
mod personal;

use crate::{
    Accounts, BoxFuture, Caps, Change, DocumentKey, Health, Item, Left, Motd, Parting, Preferences,
    Profile, REVOCATIONS, Removal, Request, Result, Revocation, Revoked, Roster, Rosters, Store,
    StoreError, SubscriptionOutcome, Verb,
    law::{self, AccountId, Rows},
    messages::{Numbers, Origins},
};
use messages::Inbox;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::ready,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};
use xmpp_core::{BareJid, Jid, sasl::Credentials};

/// What messages are given on their way in, and what was put before.
type Intake = (Numbers, Origins);

/// A store in memory.
pub struct Memory {
    caps: Caps,
    masking_key: [u8; 32],
    /// Locked before the state.
    intake: Mutex<Intake>,
    state: Mutex<State>,
}

impl Memory {
    /// An empty store.
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self {
            caps,
            masking_key: masking_key(),
            intake: Mutex::new((Numbers::after(0), Origins::restored([]))),
            state: Mutex::default(),
        })
    }

    /// Runs an operation and gives its result as a future that is ready.
    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut State) -> Result<T>,
    ) -> BoxFuture<Result<T>> {
        Box::pin(ready(self.now(operation)))
    }

    /// Runs an operation.
    fn now<T>(&self, operation: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        // Operations check before they write, so a panic has left no half of one behind.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(StoreError::Failed("closed".into())) } else { operation(&mut state) }
    }
}

/// Keyed hashes under the process's own random keys: enough for salts that end with the process.
fn masking_key() -> [u8; 32] {
    let secret = RandomState::new();
    let mut key = [0; 32];
    for (n, part) in key.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&secret.hash_one(n).to_le_bytes());
    }
    key
}

#[derive(Default)]
struct State {
    closed: bool,
    names: BTreeMap<BareJid, AccountId>,
    accounts: HashMap<AccountId, Account>,
    /// The number of each, so that only the last of its kind is remembered, as in a table with a unique key.
    revocations: HashMap<(BareJid, Revoked), i64>,
    last_account: AccountId,
    /// Where the roster versions of the next account begin.
    first_version: u64,
    last_revocation: i64,
    motd: Option<Motd>,
    /// Stanzas of streams that were put, with their marks.
    heard: BTreeMap<(u32, u32), u64>,
}

struct Account {
    credentials: Credentials,
    version: u64,
    roster_bytes: usize,
    items: BTreeMap<BareJid, Item>,
    requests: BTreeMap<BareJid, (u64, Vec<u8>)>,
    inbox: Inbox,
    documents: BTreeMap<DocumentKey, Vec<u8>>,
    blocked: BTreeSet<Jid>,
    preferences: Option<Preferences>,
    left: Option<Left>,
}

impl State {
    /// The account, or [`StoreError::NotFound`].
    fn find(&mut self, jid: &BareJid) -> Result<&mut Account> {
        let id = law::account(self, jid)?;
        Ok(self.of_mut(id))
    }
    fn of(&self, id: AccountId) -> &Account {
        self.accounts.get(&id).expect("the law only uses ids it was given under this lock")
    }
    fn of_mut(&mut self, id: AccountId) -> &mut Account {
        self.accounts.get_mut(&id).expect("the law only uses ids it was given under this lock")
    }
}

impl Rows for State {
    fn account(&self, jid: &BareJid) -> Result<Option<AccountId>> {
        Ok(self.names.get(jid).copied())
    }
    fn item(&self, owner: AccountId, contact: &BareJid) -> Result<Option<Item>> {
        Ok(self.of(owner).items.get(contact).cloned())
    }
    fn items(&self, owner: AccountId) -> Result<Vec<Item>> {
        Ok(self.of(owner).items.values().cloned().collect())
    }
    fn count_items(&self, owner: AccountId, listed: bool) -> Result<usize> {
        Ok(self.of(owner).items.values().filter(|item| item.listed == listed).count())
    }
    fn holders(&self, contact: &BareJid) -> Result<Vec<(AccountId, BareJid)>> {
        let holds = |id: &AccountId| self.of(*id).items.contains_key(contact);
        let holders = self.names.iter().filter(|(_, id)| holds(id));
        Ok(holders.map(|(jid, id)| (*id, jid.clone())).collect())
    }
    fn version(&self, owner: AccountId) -> Result<u64> {
        Ok(self.of(owner).version)
    }
    fn roster_bytes(&self, owner: AccountId) -> Result<usize> {
        Ok(self.of(owner).roster_bytes)
    }
    fn next_version(&mut self, owner: AccountId, was: usize, is: usize) -> Result<u64> {
        let account = self.of_mut(owner);
        account.roster_bytes = account.roster_bytes - was + is;
        account.version += 1;
        Ok(account.version)
    }
    fn put_item(&mut self, owner: AccountId, item: &Item) -> Result<()> {
        self.of_mut(owner).items.insert(item.jid.clone(), item.clone());
        Ok(())
    }
    fn drop_item(&mut self, owner: AccountId, contact: &BareJid) -> Result<()> {
        self.of_mut(owner).items.remove(contact);
        Ok(())
    }
    fn put_request(
        &mut self,
        owner: AccountId,
        contact: &BareJid,
        version: u64,
        stanza: &[u8],
    ) -> Result<()> {
        self.of_mut(owner).requests.insert(contact.clone(), (version, stanza.to_vec()));
        Ok(())
    }
    fn drop_request(&mut self, owner: AccountId, contact: &BareJid) -> Result<()> {
        self.of_mut(owner).requests.remove(contact);
        Ok(())
    }
    fn drop_account(&mut self, id: AccountId) -> Result<()> {
        self.names.retain(|_, other| *other != id);
        if let Some(account) = self.accounts.remove(&id) {
            self.first_version = self.first_version.max(account.version + 1);
        }
        Ok(())
    }
    fn revoke(&mut self, account: &BareJid, what: Revoked) -> Result<()> {
        self.last_revocation += 1;
        let oldest = self.last_revocation - REVOCATIONS;
        self.revocations.insert((account.clone(), what), self.last_revocation);
        if self.revocations.len() > usize::try_from(REVOCATIONS).unwrap_or(usize::MAX) {
            self.revocations.retain(|_, number| *number > oldest);
        }
        Ok(())
    }
}

impl Accounts for Memory {
    fn credentials(&self, account: &BareJid) -> BoxFuture<Result<Option<Credentials>>> {
        self.run(|state| match state.find(account) {
            Ok(account) => Ok(Some(account.credentials.clone())),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        })
    }
    fn exists(&self, account: &BareJid) -> BoxFuture<Result<bool>> {
        self.run(|state| Ok(state.names.contains_key(account)))
    }
    fn create(&self, account: &BareJid, credentials: Credentials) -> BoxFuture<Result<()>> {
        self.run(|state| {
            if state.names.contains_key(account) {
                return Err(StoreError::Exists);
            }
            state.last_account += 1;
            state.names.insert(account.clone(), state.last_account);
            let account = Account {
                credentials,
                version: state.first_version,
                roster_bytes: 0,
                items: BTreeMap::new(),
                requests: BTreeMap::new(),
                inbox: Inbox::default(),
                documents: BTreeMap::new(),
                blocked: BTreeSet::new(),
                preferences: None,
                left: None,
            };
            state.accounts.insert(state.last_account, account);
            Ok(())
        })
    }
    fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
    ) -> BoxFuture<Result<()>> {
        self.run(|state| {
            state.find(account)?.credentials = credentials;
            state.revoke(account, Revoked::Password)
        })
    }
    fn delete(&self, account: &BareJid) -> BoxFuture<Result<Vec<Parting>>> {
        self.run(|state| law::delete_account(state, account))
    }
    fn list(&self) -> BoxFuture<Result<Vec<BareJid>>> {
        self.run(|state| Ok(state.names.keys().cloned().collect()))
    }
    fn revoked(&self, since: Option<i64>) -> BoxFuture<Result<(Vec<Revocation>, i64)>> {
        self.run(|state| {
            let since = since.unwrap_or(state.last_revocation);
            let mut after: Vec<_> =
                state.revocations.iter().filter(|(_, number)| **number > since).collect();
            after.sort_unstable_by_key(|(_, number)| **number);
            let revocations = after
                .into_iter()
                .map(|((account, what), _)| Revocation { account: account.clone(), what: *what });
            Ok((revocations.collect(), state.last_revocation.max(since)))
        })
    }
    fn masking_key(&self) -> [u8; 32] {
        self.masking_key
    }
}

impl Rosters for Memory {
    fn roster(&self, owner: &BareJid) -> BoxFuture<Result<Roster>> {
        self.run(|state| law::roster(state, owner))
    }
    fn set_item(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> BoxFuture<Result<Change>> {
        self.run(|state| law::set_item(state, &self.caps, owner, contact, name.as_deref(), &groups))
    }
    fn remove_item(&self, owner: &BareJid, contact: &BareJid) -> BoxFuture<Result<Removal>> {
        self.run(|state| law::remove_item(state, owner, contact))
    }
    fn subscription(
        &self,
        verb: Verb,
        sender: &BareJid,
        recipient: &BareJid,
        stanza: Vec<u8>,
    ) -> BoxFuture<Result<SubscriptionOutcome>> {
        self.run(|state| law::subscription(state, &self.caps, verb, sender, recipient, &stanza))
    }
    fn ask_in_vain(
        &self,
        sender: &BareJid,
        recipient: &BareJid,
    ) -> BoxFuture<Result<Option<Change>>> {
        self.run(|state| law::ask_in_vain(state, &self.caps, sender, recipient))
    }
    fn requests(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Request>>> {
        self.run(|state| {
            let mut requests: Vec<_> = state.find(owner)?.requests.iter().collect();
            requests.sort_unstable_by_key(|(_, (version, _))| *version);
            let requests = requests.into_iter().map(|(jid, (_, s))| (jid.clone(), s.clone()));
            Ok(requests.collect())
        })
    }
}

impl Store for Memory {
    fn profile(&self, owner: &BareJid) -> BoxFuture<Result<Profile>> {
        self.run(|state| law::profile(state, owner))
    }
    fn queued(&self) -> usize {
        0
    }
    fn health(&self) -> Health {
        Health::default()
    }
    fn close(&self) -> BoxFuture<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Box::pin(ready(()))
    }
}
