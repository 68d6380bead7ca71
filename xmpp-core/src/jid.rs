//! XMPP addresses (RFC 7622), prepared once when parsed and cheap to clone.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// An address with or without a resource. Cloning bumps a counter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// Why a text is not an address (RFC 7622).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum JidError {
    #[error("the local part is empty, too long or has a forbidden character")]
    Local,
    #[error("the domain is empty, too long or not a domain name")]
    Domain,
    #[error("the resource is empty, too long or has a forbidden character")]
    Resource,
}

impl Jid {
    /// Prepares the parts and joins them (RFC 7622 3.2 to 3.4).
    pub fn new(
        _local: Option<&str>,
        _domain: &str,
        _resource: Option<&str>,
    ) -> Result<Self, JidError> {
        todo!()
    }
    /// The part before `@`, if any.
    pub fn local(&self) -> Option<&str> {
        todo!()
    }
    /// The domain.
    pub fn domain(&self) -> &str {
        todo!()
    }
    /// The part after the first `/`, if any.
    pub fn resource(&self) -> Option<&str> {
        todo!()
    }
    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.resource().is_none()
    }
    /// The address without its resource, as text; no allocation.
    pub fn bare_str(&self) -> &str {
        todo!()
    }
    /// The address without its resource; a counter bump where it has none.
    pub fn to_bare(&self) -> BareJid {
        todo!()
    }
    /// The whole address as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl BareJid {
    /// The same account with this resource, prepared (RFC 7622 3.4).
    pub fn with_resource(&self, _resource: &str) -> Result<Jid, JidError> {
        todo!()
    }
    /// As an address.
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
    /// The part before `@`, if any.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }
    /// The domain.
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
    fn from_str(_text: &str) -> Result<Self, JidError> {
        todo!()
    }
}

impl FromStr for BareJid {
    type Err = JidError;
    /// An address with a resource is refused.
    fn from_str(_text: &str) -> Result<Self, JidError> {
        todo!()
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        bare.0
    }
}

impl Borrow<str> for BareJid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
