//! Limits per address: how many connections are open, how many are new, how many logins failed.
//!
//! An address is an IPv4 address or an IPv6 /64, since whoever has one IPv6 address has its whole /64.
//! IPv4 in IPv6 (`::ffff:192.0.2.1`) counts as IPv4.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ipnet::IpNet;

/// Addresses remembered at least before those without an open connection are forgotten: about 4 MiB.
/// Whoever has so many addresses gains nothing by being forgotten.
const REMEMBERED: usize = 65_536;
/// Attempts beyond the limit are paid back later, by at most so many times the limit's own time: those that were under
/// way together must not lock an address out for good.
const MOST_DEBT: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Whether one of the networks holds the address.
pub fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// What one address, and all together, may do.
#[derive(Debug, Clone)]
pub struct AddressLimits {
    /// Connections open at the same time, from all addresses. Trusted ones count but are not refused.
    pub total: usize,
    /// Connections open at the same time from one address.
    pub per_address: u32,
    /// New connections per minute from one address; those that authenticate are given back
    /// ([`Permit::authenticated`]).
    pub new_per_minute: u32,
    /// Networks that are not limited.
    pub trusted: Vec<IpNet>,
}

impl AddressLimits {
    fn new_connections(&self) -> Quota {
        Quota { count: self.new_per_minute, per: MINUTE }
    }
}

/// Counts the connections of listeners that share it.
pub struct AddressBook {
    limits: AddressLimits,
    pages: Mutex<Pages>,
}

/// The right to one connection. Dropping it gives the place back: keep it as long as the socket.
#[must_use = "dropping the permit ends the counting of its connection"]
pub struct Permit {
    book: Arc<AddressBook>,
    /// What is counted; nothing for trusted addresses.
    network: Option<IpAddr>,
    authenticated: bool,
}

/// Which limit a connection would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// [`AddressLimits::total`].
    #[error("there are too many connections")]
    Total,
    /// [`AddressLimits::per_address`].
    #[error("there are too many connections from this address")]
    PerAddress,
    /// [`AddressLimits::new_per_minute`].
    #[error("this address connects too often")]
    TooOften,
}

impl AddressBook {
    /// An empty book.
    pub fn new(limits: AddressLimits) -> Arc<Self> {
        Arc::new(Self { limits, pages: Mutex::default() })
    }

    /// Counts one more connection from this address, or tells which limit it would break.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Permit, Refused> {
        let mut pages = self.pages();
        let admitted = pages.admit(&self.limits, address, now);
        match admitted {
            Ok(_) => pages.open += 1,
            Err(refused) => pages.refused[refused as usize] += 1,
        }
        drop(pages);
        Ok(Permit { book: self.clone(), network: admitted?, authenticated: false })
    }

    /// Whether this address is not limited.
    pub fn trusts(&self, address: IpAddr) -> bool {
        is_within(&self.limits.trusted, address)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.pages().open
    }

    /// How many connections each limit has refused so far.
    pub fn refused(&self) -> [(Refused, u64); 3] {
        let counts = self.pages().refused;
        [Refused::Total, Refused::PerAddress, Refused::TooOften]
            .map(|limit| (limit, counts[limit as usize]))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing inside can be left half done by a panic.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Tells that the connection has authenticated: it no longer counts as a new one. Again does nothing.
    pub fn authenticated(&mut self) {
        if std::mem::replace(&mut self.authenticated, true) {
            return;
        }
        if let Some(network) = self.network
            && let Some(page) = self.book.pages().of.get_mut(&network)
        {
            page.new.give_back(self.book.limits.new_connections());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut pages = self.book.pages();
        pages.open -= 1;
        if let Some(network) = self.network
            && let Some(page) = pages.of.get_mut(&network)
        {
            page.open -= 1;
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Attempts per address, such as failed logins: slows down guessing without locking an account (XEP-0205 warns of that).
pub struct Attempts {
    quota: Quota,
    trusted: Vec<IpNet>,
    counted: Mutex<HashMap<IpAddr, Allowance>>,
}

impl Attempts {
    /// Allows so many per minute from each address that is not in a trusted network.
    pub fn per_minute(count: u32, trusted: Vec<IpNet>) -> Self {
        Self { quota: Quota { count, per: MINUTE }, trusted, counted: Mutex::default() }
    }

    /// Allows so many per hour from each address that is not in a trusted network.
    pub fn per_hour(count: u32, trusted: Vec<IpNet>) -> Self {
        Self { quota: Quota { count, per: HOUR }, trusted, counted: Mutex::default() }
    }

    /// Whether this address may try now. Ask before anything is looked at.
    pub fn allowed(&self, address: IpAddr, now: Instant) -> bool {
        is_within(&self.trusted, address)
            || match self.table().get(&network_of(address)) {
                Some(allowance) => allowance.has(self.quota, now),
                None => self.quota.count > 0,
            }
    }

    /// Counts an attempt.
    pub fn count(&self, address: IpAddr, now: Instant) {
        if is_within(&self.trusted, address) {
            return;
        }
        let mut counted = self.table();
        if counted.len() >= REMEMBERED {
            counted.retain(|_, allowance| !allowance.is_whole(now));
            if counted.len() >= REMEMBERED / 2 {
                counted.clear();
            }
        }
        let allowance = counted.entry(network_of(address)).or_insert(Allowance(now));
        allowance.spend(self.quota, now);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<IpAddr, Allowance>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Pages {
    /// Connections open, trusted ones included.
    open: usize,
    of: HashMap<IpAddr, Page>,
    /// How many were not admitted, by limit.
    refused: [u64; 3],
}

struct Page {
    open: u32,
    new: Allowance,
}

impl Pages {
    /// What one more connection from this address is counted by, nothing where it is trusted.
    fn admit(
        &mut self,
        limits: &AddressLimits,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<IpAddr>, Refused> {
        if is_within(&limits.trusted, address) {
            return Ok(None);
        }
        if self.open >= limits.total {
            return Err(Refused::Total);
        }
        let network = network_of(address);
        self.make_room(limits.total, now);
        let page = self.of.entry(network).or_insert(Page { open: 0, new: Allowance(now) });
        if page.open >= limits.per_address {
            return Err(Refused::PerAddress);
        }
        if !page.new.has(limits.new_connections(), now) {
            return Err(Refused::TooOften);
        }
        page.new.spend(limits.new_connections(), now);
        page.open += 1;
        Ok(Some(network))
    }

    /// Keeps the book bounded. Twice the total, so that what must stay is at most half of it and this
    /// walk is rare.
    fn make_room(&mut self, total: usize, now: Instant) {
        let most = REMEMBERED.max(total.saturating_mul(2));
        if self.of.len() >= most {
            self.of.retain(|_, page| page.open > 0 || !page.new.is_whole(now));
            if self.of.len() >= most / 2 {
                self.of.retain(|_, page| page.open > 0);
            }
        }
    }
}

/// So many of something in a time, all at once or spread.
#[derive(Clone, Copy)]
struct Quota {
    count: u32,
    per: Duration,
}

/// What is left of a quota: the time at which all that was spent will have come back.
struct Allowance(Instant);

impl Allowance {
    /// Whether one more may be spent.
    fn has(&self, Quota { count, per }: Quota, now: Instant) -> bool {
        count > 0 && self.0.max(now) + per / count <= now + per
    }

    /// Spends one, into debt if need be.
    fn spend(&mut self, Quota { count, per }: Quota, now: Instant) {
        let until = self.0.max(now) + per / count.max(1);
        self.0 = until.min(now + per * MOST_DEBT);
    }

    fn give_back(&mut self, Quota { count, per }: Quota) {
        if let Some(earlier) = self.0.checked_sub(per / count.max(1)) {
            self.0 = earlier;
        }
    }

    fn is_whole(&self, now: Instant) -> bool {
        self.0 <= now
    }
}

/// What counts as one address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
