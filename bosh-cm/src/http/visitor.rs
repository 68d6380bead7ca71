//! Whose request it is, and whether the way to it was secure: as the connection shows, or as a trusted proxy tells in
//! `Forwarded` (RFC 7239) or in `X-Forwarded-For` and `X-Forwarded-Proto` (threat B08).
//!
//! Every proxy appends what it sees, so these headers are read from the right: what the nearest proxy wrote comes first, and the
//! next is believed only if that names another trusted proxy. Nothing further to the left is even looked at, whatever
//! stands there: it may be the visitor's own invention.
//!
//! A proxy usually writes one kind and lets the other pass, which is then the visitor's invention too. So where both are
//! there they have to tell the same, or the request is refused.

use super::{Peer, Site};
use crate::upstream::Visitor;
use http::{HeaderMap, HeaderValue};
use net::address::is_within;
use std::net::IpAddr;

/// `Forwarded` and `X-Forwarded-*` contradict each other: the proxy has to write both, or to remove one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Site {
    /// Whether the other end brings requests of several visitors.
    pub(super) fn is_proxy(&self, peer: &Peer) -> bool {
        peer.address.is_some_and(|address| is_within(&self.proxies, address))
    }

    /// The address that counts and whether the way to it is secure.
    pub(super) fn visitor(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Visitor, Contradiction> {
        let direct = Visitor {
            address: peer.address,
            secure: peer.tls || peer.address.is_some_and(|address| address.is_loopback()),
        };
        if !self.is_proxy(peer) {
            return Ok(direct);
        }
        let told = told(headers, |address| is_within(&self.proxies, address));
        Ok(match told? {
            Some(Told { address, secure }) => {
                Visitor { address: address.or(peer.address), secure: secure.unwrap_or(false) }
            }
            None => direct,
        })
    }
}

/// What the headers of a trusted proxy tell of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Told {
    /// Its address, if the proxy knows it, says so, and it is no proxy's.
    address: Option<IpAddr>,
    /// Whether it came by HTTPS, if that is said.
    secure: Option<bool>,
}

/// What a trusted proxy tells; `None`: nothing.
fn told(
    headers: &HeaderMap,
    trusted: impl Fn(IpAddr) -> bool,
) -> Result<Option<Told>, Contradiction> {
    let of_both = (forwarded(headers, &trusted), x_forwarded(headers, &trusted));
    let (forwarded, x_forwarded) = match of_both {
        (Some(forwarded), Some(x_forwarded)) => (forwarded, x_forwarded),
        (one, other) => return Ok(one.or(other)),
    };
    // Who says X-Forwarded-Proto only, may leave the address to the other.
    let addresses = headers.contains_key(X_FORWARDED_FOR);
    let agree = (!addresses || forwarded.address == x_forwarded.address)
        && forwarded.secure.zip(x_forwarded.secure).is_none_or(|(one, other)| one == other);
    let secure = forwarded.secure.or(x_forwarded.secure);
    if agree { Ok(Some(Told { secure, ..forwarded })) } else { Err(Contradiction) }
}

const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// RFC 7239 4: an element for each proxy, with the node that it was asked by, and how.
fn forwarded(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<Told> {
    headers.get(FORWARDED)?;
    let mut told = Told::default();
    for line in lines(headers, FORWARDED) {
        for element in from_the_right(line.as_bytes(), b',') {
            let Element { node, secure } = Element::parse(element).unwrap_or_default();
            told.secure = secure;
            match node {
                Some(address) if trusted(address) => {}
                visitor => return Some(Told { address: visitor, secure }),
            }
        }
    }
    Some(told)
}

/// An address for each proxy, and the last scheme.
fn x_forwarded(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<Told> {
    let scheme = lines(headers, X_FORWARDED_PROTO).next();
    if scheme.is_none() && !headers.contains_key(X_FORWARDED_FOR) {
        return None;
    }
    let scheme = scheme.and_then(|line| line.as_bytes().rsplit(|byte| *byte == b',').next());
    let secure = scheme.map(|scheme| is_secure(scheme.trim_ascii()));
    let nodes = lines(headers, X_FORWARDED_FOR)
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|text| !text.is_empty()); // RFC 9110 5.6.1.2
    let mut known = nodes.map_while(|text| address(str::from_utf8(text).ok()?));
    Some(Told { address: known.find(|address| !trusted(*address)), secure })
}

/// The lines of a header, the last first.
fn lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a HeaderValue> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines.into_iter().rev()
}

fn is_secure(scheme: &[u8]) -> bool {
    // Some proxies tell the scheme of a WebSocket.
    scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss")
}

/// One element of `Forwarded`.
#[derive(Default)]
struct Element {
    /// `for`, unless it is unknown or hidden (RFC 7239 6).
    node: Option<IpAddr>,
    /// Whether `proto` is a secure one.
    secure: Option<bool>,
}

impl Element {
    /// `None`: it is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let (mut node, mut proto) = (None, None);
        for pair in from_the_right(text, b';') {
            let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
            let value = unquoted(value)?;
            let place = match () {
                () if name.eq_ignore_ascii_case("for") => &mut node,
                () if name.eq_ignore_ascii_case("proto") => &mut proto,
                () => continue,
            };
            // RFC 7239 4: each but once.
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(Self {
            node: node.and_then(|node| address(&node)),
            secure: proto.map(|proto| is_secure(proto.as_bytes())),
        })
    }
}

/// The parts between separators that stand outside of quotes, the last first and none of them empty. As far as the text is
/// well-formed from the right, whatever stands left of that changes nothing.
fn from_the_right(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let found = (0..text.len()).rev().find(|at| {
            if text[*at] == b'"' && !is_escaped(text, *at) {
                quoted = !quoted;
            }
            text[*at] == separator && !quoted
        });
        rest = found.map(|at| &text[..at]);
        Some(text[found.map_or(0, |at| at + 1)..].trim_ascii())
    })
    .filter(|part| !part.is_empty())
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// A token, or what is in a quoted string (RFC 9110 5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains(['"', ' ', '\t'])).then(|| value.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let (mut text, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return None,
            c => {
                escaped = false;
                text.push(c);
            }
        }
    }
    (!escaped).then_some(text)
}

/// An address as proxies write it (RFC 7239 6): in brackets where it is IPv6 and somebody minds, with a port or something that
/// stands for one.
fn address(node: &str) -> Option<IpAddr> {
    let is_port = |port: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !port.is_empty() && port.bytes().all(fits)
    };
    let (host, port) = match node.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match node.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (node, None),
        },
    };
    let address: IpAddr = host.parse().ok()?;
    port.is_none_or(is_port).then(|| address.to_canonical())
}

#[cfg(test)]
mod tests;
