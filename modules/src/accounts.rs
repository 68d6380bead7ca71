//! Accounts made, changed and deleted while the server runs: by their owners (XEP-0077), by operators (XEP-0133), and by
//! other processes over the same store. Whatever changes one, its sessions hear of it here.

use crate::{
    roster::{answered, local},
    stored::refusal,
    subscription::{Presence, tell_parting},
};
use futures_util::lock::{Mutex, MutexGuard};
use roster_store::{Parting, Revocation, Revoked, Store, StoreError};
use router::{Account, BoxFuture, Relation, Router, Session, Turn};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use xmpp_core::{
    BareJid, StanzaError, StreamError,
    error::{StanzaCondition, StreamCondition},
    sasl::{Credentials, PasswordError},
};

/// Hashes passwords off the executor: it takes long, by design.
pub trait Passwords: Send + Sync {
    /// What the store keeps of a new password.
    fn derive(&self, password: String) -> BoxFuture<'static, Result<Credentials, PasswordError>>;
}

/// Makes, changes and deletes accounts while the server runs.
pub struct Registrar {
    store: Arc<dyn Store>,
    passwords: Arc<dyn Passwords>,
    /// The last revocation that sessions have heard of. Held from a change until they have, so that nobody takes it for
    /// another process's.
    seen: Mutex<Option<i64>>,
}

/// A change of this process's own, on its way to the sessions.
struct Own<'a> {
    account: &'a BareJid,
    /// Those set, for a new password.
    credentials: Option<&'a Credentials>,
    /// Who asked for it.
    requester: &'a Session,
}

impl Registrar {
    /// For the accounts in this store.
    pub fn new(store: Arc<dyn Store>, passwords: Arc<dyn Passwords>) -> Arc<Self> {
        Arc::new(Self { store, passwords, seen: Mutex::new(None) })
    }

    /// Ends the sessions of accounts whose password was changed or which were deleted since the last call, by whatever
    /// process. The first call only notes where to begin.
    ///
    /// # Errors
    /// The store could not be read: the next call makes up for it.
    pub async fn catch_up(&self, router: &Router) -> Result<(), StoreError> {
        self.tell(router, &mut *self.seen.lock().await, None).await
    }

    /// A new account.
    ///
    /// # Errors
    /// `conflict`: there is one; `not-acceptable`: that is no password.
    pub(crate) async fn create(
        &self,
        router: &Router,
        account: &BareJid,
        password: String,
    ) -> Result<(), StanzaError> {
        let credentials = self.derive(password).await?;
        self.store.create(account, credentials).await.map_err(|error| refusal(&error))?;
        router.recheck(account);
        Ok(())
    }

    /// Another password. The account's sessions end (threat A12), but for the one that asked for it.
    ///
    /// # Errors
    /// `item-not-found`: there is no such account; `not-acceptable`: that is no password.
    pub(crate) async fn change_password(
        &self,
        router: &Router,
        account: &BareJid,
        password: String,
        requester: &Session,
    ) -> Result<(), StanzaError> {
        let credentials = self.derive(password).await?;
        let mut seen = self.begin(router).await?;
        let set = self.store.set_credentials(account, credentials.clone()).await;
        set.map_err(|error| refusal(&error))?;
        let own = Own { account, credentials: Some(&credentials), requester };
        self.tell_later(router, &mut seen, &own).await;
        Ok(())
    }

    /// Deletes an account. Its sessions end, the one that asked for it after its answer; contacts here are told as if it
    /// had removed them from its roster (RFC 6121 2.5.2).
    ///
    /// # Errors
    /// `item-not-found`: there is no such account.
    pub(crate) async fn delete(
        &self,
        router: &Arc<Router>,
        account: &BareJid,
        requester: &Session,
    ) -> Result<(), StanzaError> {
        let mut seen = self.begin(router).await?;
        let roster = self.store.roster(account).await.map_err(|error| refusal(&error))?;
        let contacts = roster.items.into_iter().map(|item| item.jid);
        let mut turns = turns_in_order(router, contacts.chain([account.clone()]).collect()).await?;
        let deleted = self.store.delete(account).await;
        let mut held: Vec<_> = turns.values_mut().collect();
        let partings = answered(deleted, &mut held)?;
        if let Some(leaving) = local(router, account).await? {
            let (known, others): (Vec<_>, Vec<_>) =
                partings.into_iter().partition(|parting| turns.contains_key(&parting.contact));
            for parting in &known {
                part(router, &leaving, parting, &mut turns).await?;
            }
            // Those only whose own roster named it: a turn taken now, out of order, could wait for one that waits for us.
            drop(turns);
            for parting in &others {
                let contacts = [account, &parting.contact].map(BareJid::clone);
                let mut turns = turns_in_order(router, contacts.into()).await?;
                part(router, &leaving, parting, &mut turns).await?;
            }
        }
        self.tell_later(router, &mut seen, &Own { account, credentials: None, requester }).await;
        Ok(())
    }

    async fn derive(&self, password: String) -> Result<Credentials, StanzaError> {
        self.passwords.derive(password).await.map_err(|_| {
            StanzaError::new(StanzaCondition::NotAcceptable)
                .with_text("the password is empty, too long or has forbidden characters")
        })
    }

    /// Nobody else's changes are mixed up with the one that follows.
    async fn begin(&self, router: &Router) -> Result<MutexGuard<'_, Option<i64>>, StanzaError> {
        let mut seen = self.seen.lock().await;
        self.tell(router, &mut seen, None).await.map_err(|error| refusal(&error))?;
        Ok(seen)
    }

    /// Tells the sessions of a change that is done. Where the store does not say what it was, the next
    /// [`catch_up`](Self::catch_up) does it.
    async fn tell_later(&self, router: &Router, seen: &mut Option<i64>, own: &Own<'_>) {
        if let Err(error) = self.tell(router, seen, Some(own)).await {
            tracing::debug!(account = %own.account, %error, "sessions end later");
        }
    }

    async fn tell(
        &self,
        router: &Router,
        seen: &mut Option<i64>,
        own: Option<&Own<'_>>,
    ) -> Result<(), StoreError> {
        let (revocations, last) = self.store.revoked(*seen).await?;
        for Revocation { account, what, .. } in &revocations {
            let own = own.filter(|own| own.account == account);
            match what {
                Revoked::Subscriptions => router.recheck(account),
                Revoked::Password => {
                    let spared = match own {
                        Some(own) if self.is_in_force(own).await? => Some(own.requester),
                        _ => None,
                    };
                    // RFC 6120 4.9.3.16: what the stream was authenticated by has been revoked
                    let error = StreamError::new(StreamCondition::Reset)
                        .with_text("the password was changed");
                    router.close_sessions(account, &error, |seat| {
                        spared.is_none_or(|session| !seat.is_of(session))
                    });
                }
                Revoked::Account => {
                    // XEP-0077 3.2
                    let error = StreamError::new(StreamCondition::NotAuthorized)
                        .with_text("the account was deleted");
                    router.close_account(account, &error, own.map(|own| own.requester));
                }
            }
        }
        *seen = Some(last);
        Ok(())
    }

    /// Whether the password is still the one that was set, and no other process has set another since.
    async fn is_in_force(&self, own: &Own<'_>) -> Result<bool, StoreError> {
        let Some(set) = own.credentials else { return Ok(false) };
        // Salts are random, so equal credentials are the same ones.
        Ok(self.store.credentials(own.account).await?.as_ref() == Some(set))
    }
}

/// The right to change the rosters of those accounts that are here, taken in the order of their addresses.
async fn turns_in_order(
    router: &Router,
    accounts: BTreeSet<BareJid>,
) -> Result<BTreeMap<BareJid, Turn>, StanzaError> {
    let mut turns = BTreeMap::new();
    for jid in accounts {
        if let Some(account) = local(router, &jid).await? {
            turns.insert(jid, router.turn(&account).await);
        }
    }
    Ok(turns)
}

/// Tells a contact that the account is gone.
async fn part(
    router: &Arc<Router>,
    leaving: &Arc<Account>,
    parting: &Parting,
    turns: &mut BTreeMap<BareJid, Turn>,
) -> Result<(), StanzaError> {
    let contact = &parting.contact;
    let other = local(router, contact).await?;
    let presence = Presence { router, account: leaving, other: other.as_ref(), contact };
    tell_parting(&presence, parting, turns.get_mut(contact)).await;
    if let Some(turn) = turns.get_mut(leaving.jid()) {
        // The contact has heard that its sessions are gone.
        router.update(turn, 0, contact, Relation::default(), |_| {}).await;
    }
    Ok(())
}
