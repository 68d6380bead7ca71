//! Binding the configured addresses, and how they are reported.

use net::{
    address::AddressBook,
    listener::{BindError, Listener},
};
use std::{fmt, net::SocketAddr, sync::Arc};

/// A listener's kind and its real address; printed as `KIND ADDRESS:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// `c2s`, `c2s-tls`, `http`, `https` or `metrics`.
    pub kind: &'static str,
    /// The address, with the port that the system chose where 0 was asked for.
    pub address: SocketAddr,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.address)
    }
}

/// Listens on each address. The error names the `key` to change. With `free_ports`, a port that is taken is replaced
/// by a free one.
pub(crate) fn bind(
    key: &str,
    addresses: &[SocketAddr],
    free_ports: bool,
    book: &Arc<AddressBook>,
) -> anyhow::Result<Vec<Listener>> {
    let bind = |address: &SocketAddr| match Listener::bind(*address, Arc::clone(book)) {
        Err(BindError::InUse(_)) if free_ports => {
            Listener::bind(SocketAddr::new(address.ip(), 0), Arc::clone(book))
        }
        bound => bound,
    };
    addresses
        .iter()
        .map(|address| bind(address).map_err(|error| anyhow::anyhow!("{key}: {error}")))
        .collect()
}
