//! Whose request it is, and whether the way to it was secure: as the connection shows, or as a trusted proxy tells.

use super::{Peer, Site, list};
use crate::upstream::Visitor;
use http::HeaderMap;
use net::address::is_within;
use std::net::{IpAddr, SocketAddr};

impl Site {
    /// Whether the other end brings requests of several visitors.
    pub(super) fn is_proxy(&self, peer: &Peer) -> bool {
        peer.address.is_some_and(|address| is_within(&self.proxies, address))
    }

    /// The address that counts and whether the way to it is secure: of the connection, or as a trusted
    /// proxy tells it (threat B08).
    pub(super) fn visitor(&self, headers: &HeaderMap, peer: &Peer) -> Visitor {
        let trusted = |address: &IpAddr| is_within(&self.proxies, *address);
        let direct = Visitor {
            address: peer.address,
            secure: peer.tls || peer.address.is_some_and(|address| address.is_loopback()),
        };
        if !self.is_proxy(peer) {
            return direct;
        }
        // Every proxy appends the address it sees, so the last one that is no proxy of ours is the visitor's.
        let forwarded = list(headers, "x-forwarded-for");
        let proto = list(headers, "x-forwarded-proto").pop();
        if forwarded.is_empty() && proto.is_none() {
            return direct;
        }
        let mut addresses = forwarded.iter().rev().map_while(|text| address(text));
        let visitor = addresses.find(|address| !trusted(address));
        Visitor {
            address: visitor.or(peer.address),
            secure: proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")),
        }
    }
}

/// An address as proxies write it, some of them with the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}
