//! The preparation of each part of an address (RFC 7622 3.2 to 3.4).
//!
//! Domains are kept with U-labels, as RFC 7622 3.2.1 wants them on the wire; [`domain_to_ascii`] gives
//! the form for DNS and certificates. Both spellings of a domain are therefore one address:
//! `xn--mnchen-3ya.de` is parsed to `münchen.de`.

use std::{borrow::Cow, net::Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::precis;

/// The most bytes in each part (RFC 7622 3.1), before and after preparation.
pub const MAX_PART_BYTES: usize = 1023;
/// The most bytes in one label of a domain name (RFC 1035 2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// The most bytes in a domain name, as A-labels and without the trailing dot (RFC 1035 2.3.4).
const MAX_DOMAIN_BYTES: usize = 253;

/// Prepares the part before `@`: the UsernameCaseMapped profile (RFC 8265 3.3) without the characters
/// that RFC 7622 3.3.1 forbids. This is also the one form of a user name. `None` where it cannot be.
pub fn prepare_local(text: &str) -> Option<Cow<'_, str>> {
    if is_simple_local(text) {
        return Some(ascii_lower(text));
    }
    let prepared = precis::username_case_mapped(within_limit(text)?)?;
    // The check comes after the mapping, which turns a full-width `＠` into `@`.
    let forbidden = prepared.bytes().any(|b| b.is_ascii() && CLASS[usize::from(b)] & LOCAL == 0);
    if forbidden || prepared.len() > MAX_PART_BYTES { None } else { Some(prepared) }
}

/// Prepares a domain (RFC 7622 3.2): a domain name (lower case, U-labels, without the trailing dot), an
/// IPv4 address or an IPv6 address in brackets. `None` where it cannot be.
///
/// Names are read through UTS #46 (non-transitional) and must then be valid in IDNA2008 (RFC 5892), so
/// symbols and emoji are refused. Labels are letters, digits and inner hyphens.
pub fn prepare_domain(text: &str) -> Option<Cow<'_, str>> {
    if is_simple_domain(text) {
        return Some(ascii_lower(text));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]").into());
    }
    let ascii = to_ascii(within_limit(text)?)?;
    let (unicode, valid) =
        Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    valid.ok()?;
    let idna2008 = unicode.split('.').all(|label| label.is_ascii() || precis::is_identifier(label));
    (idna2008 && unicode.len() <= MAX_PART_BYTES).then(|| Cow::Owned(unicode.into_owned()))
}

/// Prepares the part after `/`: the OpaqueString profile (RFC 8265 4.2), as RFC 7622 3.4.1 says. `None`
/// where it cannot be.
pub fn prepare_resource(text: &str) -> Option<Cow<'_, str>> {
    if is_simple_resource(text) {
        return Some(Cow::Borrowed(text));
    }
    precis::opaque_string(within_limit(text)?).filter(|p| p.len() <= MAX_PART_BYTES)
}

/// A prepared domain with A-labels, for DNS and for the names in certificates. Addresses in brackets
/// stay as they are. `None` where the text is not a prepared domain.
pub fn domain_to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    to_ascii(domain).map(Cow::Owned)
}

/// Whether the text is a local part that needs no more than lower case.
pub(super) fn is_simple_local(text: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&text.len()) && all(text, LOCAL)
}

/// Whether the text is a domain that needs no more than lower case: letters, digits and hyphens without
/// an A-label.
pub(super) fn is_simple_domain(text: &str) -> bool {
    text.len() <= MAX_DOMAIN_BYTES
        && all(text, DOMAIN)
        && text.as_bytes().split(|&b| b == b'.').all(|label| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label[0] != b'-'
                && label[label.len() - 1] != b'-'
                && !label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"))
        })
}

/// Whether the text is a resource that needs no preparation.
pub(super) fn is_simple_resource(text: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&text.len()) && all(text, RESOURCE)
}

/// Class bits: printable ASCII that may stand in a local part.
const LOCAL: u8 = 1;
/// Class bits: letters, digits, hyphen and dot.
const DOMAIN: u8 = 2;
/// Class bits: printable ASCII and space.
const RESOURCE: u8 = 4;

/// What each byte may be part of.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0x20_u8;
    while byte < 0x7f {
        table[byte as usize] |= RESOURCE;
        // RFC 7622 3.3.1, and the space, which is not in the IdentifierClass (RFC 8264 4.2).
        if !matches!(byte, b' ' | b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@') {
            table[byte as usize] |= LOCAL;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') {
            table[byte as usize] |= DOMAIN;
        }
        byte += 1;
    }
    table
};

fn all(text: &str, class: u8) -> bool {
    text.bytes().all(|b| CLASS[usize::from(b)] & class != 0)
}

fn ascii_lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Refuses a part over the limit before any work is done on it.
fn within_limit(text: &str) -> Option<&str> {
    (text.len() <= MAX_PART_BYTES).then_some(text)
}

/// The domain name with A-labels, without the trailing dot.
fn to_ascii(domain: &str) -> Option<String> {
    let ascii = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::VerifyAllowRootDot,
        )
        .ok()?;
    // RFC 7622 3.2: the trailing dot is not part of the address. It may have been written `。`.
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    (!ascii.is_empty()).then(|| ascii.to_owned())
}
