//! XMPP addresses (RFC 7622), prepared once when parsed and cheap to clone.
//!
//! An address is kept in its prepared form only, so comparing two addresses is comparing two texts. An
//! ASCII address costs one pass and one allocation; anything else is prepared part by part.

mod prepare;
#[cfg(test)]
mod tests;

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

pub use prepare::{
    MAX_PART_BYTES, domain_to_ascii, prepare_domain, prepare_local, prepare_resource,
};

/// An address with or without a resource. Cloning bumps a counter.
///
/// Equality, order and hash are those of the prepared text, so two addresses are equal when RFC 7622
/// says that they are.
#[derive(Clone)]
pub struct Jid {
    /// The prepared form `local@domain/resource`.
    text: Arc<str>,
    /// Bytes of the local part, 0 where there is none.
    local: u16,
    /// Bytes of the domain part.
    domain: u16,
}

/// An address without a resource: the key of an account.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid(Jid);

/// Why a text is not an address (RFC 7622). A peer that sends one gets `jid-malformed` (RFC 6120 8.3.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// The part before `@` (RFC 7622 3.3).
    #[error("the local part is empty, too long or has a forbidden character")]
    Local,
    /// The domain (RFC 7622 3.2).
    #[error("the domain is empty, too long or not a domain name")]
    Domain,
    /// The part after the first `/` (RFC 7622 3.4), or one where none is allowed.
    #[error("the resource is empty, too long, has a forbidden character or is out of place")]
    Resource,
}

impl Jid {
    /// Prepares the parts and joins them (RFC 7622 3.2 to 3.4).
    pub fn new(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(|l| prepare_local(l).ok_or(JidError::Local)).transpose()?;
        let domain = prepare_domain(domain).ok_or(JidError::Domain)?;
        let resource =
            resource.map(|r| prepare_resource(r).ok_or(JidError::Resource)).transpose()?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// The part before `@`, if any.
    pub fn local(&self) -> Option<&str> {
        (self.local > 0).then(|| &self.text[..usize::from(self.local)])
    }

    /// The domain, its internationalised labels as U-labels.
    pub fn domain(&self) -> &str {
        let start = self.domain_start();
        &self.text[start..start + usize::from(self.domain)]
    }

    /// The part after the first `/`, if any.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.bare_len() + 1..)
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.bare_len() == self.text.len()
    }

    /// The address without its resource, as text; no allocation.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.bare_len()]
    }

    /// The address without its resource; a counter bump where it has none.
    pub fn to_bare(&self) -> BareJid {
        let text = if self.is_bare() { self.text.clone() } else { self.bare_str().into() };
        BareJid(Self { text, ..*self })
    }

    /// The whole address as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn domain_start(&self) -> usize {
        // The `@` is there only with a local part.
        usize::from(self.local) + usize::from(self.local > 0)
    }

    fn bare_len(&self) -> usize {
        self.domain_start() + usize::from(self.domain)
    }

    /// Joins parts that are prepared already.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let local_len = local.map_or(0, |l| l.len() + 1);
        let resource_len = resource.map_or(0, |r| r.len() + 1);
        let mut text = String::with_capacity(local_len + domain.len() + resource_len);
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self { text: text.into(), local: part_len(local.unwrap_or("")), domain: part_len(domain) }
    }
}

impl BareJid {
    /// The same account with this resource, prepared (RFC 7622 3.4).
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = prepare_resource(resource).ok_or(JidError::Resource)?;
        Ok(Jid::join(self.local(), self.domain(), Some(&resource)))
    }

    /// As an address.
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }

    /// The part before `@`, if any.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    /// The domain, its internationalised labels as U-labels.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        // RFC 7622 3.2: first the resource goes from the first `/` on, then the local part up to the
        // first `@`.
        let (bare, resource) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (local, domain) = match memchr::memchr(b'@', bare.as_bytes()) {
            Some(at) => (Some(&bare[..at]), &bare[at + 1..]),
            None => (None, bare),
        };
        let simple = local.is_none_or(prepare::is_simple_local)
            && prepare::is_simple_domain(domain)
            && resource.is_none_or(prepare::is_simple_resource);
        if !simple {
            return Self::new(local, domain, resource);
        }
        let mut prepared: Arc<str> = text.into();
        if bare.bytes().any(|b| b.is_ascii_uppercase()) {
            Arc::get_mut(&mut prepared).expect("nobody else has it yet")[..bare.len()]
                .make_ascii_lowercase();
        }
        Ok(Self { text: prepared, local: part_len(local.unwrap_or("")), domain: part_len(domain) })
    }
}

impl FromStr for BareJid {
    type Err = JidError;

    /// An address with a resource is refused.
    fn from_str(text: &str) -> Result<Self, JidError> {
        let jid: Jid = text.parse()?;
        if jid.is_bare() { Ok(Self(jid)) } else { Err(JidError::Resource) }
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        // The text decides alone: neither local part nor domain can hold a separator.
        Arc::ptr_eq(&self.text, &other.text) || self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Jid {
    /// As the text does, so that a table of addresses can be asked with a `&str` (see [`Borrow`]).
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Jid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for BareJid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        bare.0
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The length of a prepared part.
fn part_len(part: &str) -> u16 {
    u16::try_from(part.len()).expect("a prepared part has at most MAX_PART_BYTES")
}
