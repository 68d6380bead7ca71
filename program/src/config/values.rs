//! What is written under a key, raised to what it means; or one line that says what is wrong with it.

use super::ConfigError;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// `Err` with this message unless it holds.
///
/// # Errors
/// It does not hold.
pub fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError(message())) }
}

/// The addresses that are listed under this key, each as `ADDRESS:PORT`.
///
/// # Errors
/// One of them is something else.
pub fn addresses(key: &str, written: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            ConfigError(format!("{key}: {text:?} is not ADDRESS:PORT, such as \"[::]:5222\""))
        })
    };
    written.iter().map(parse).collect()
}

/// The networks that are listed under this key; an address is a network of one. `N` parses `ADDRESS/BITS`.
///
/// # Errors
/// One of them is something else.
pub fn networks<N>(key: &str, written: &[String]) -> Result<Vec<N>, ConfigError>
where
    N: std::str::FromStr + From<IpAddr>,
{
    let parse = |text: &String| {
        let address = || text.parse::<IpAddr>().map(N::from);
        text.parse::<N>()
            .or_else(|_| address())
            .map_err(|_| ConfigError(format!("{key}: {text:?} is not an address or a network")))
    };
    written.iter().map(parse).collect()
}

/// What is written under this key, if it can be the path of a web page.
///
/// # Errors
/// It cannot.
pub fn http_path(key: &str, written: &str) -> Result<String, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    check(written.len() > 1 && written.starts_with('/') && written.bytes().all(plain), || {
        format!("{key}: {written:?} is not a path, such as \"/http-bind\"")
    })?;
    Ok(written.to_owned())
}

/// The address on the web that is written under this key, if it begins with this scheme, such as `https://`.
///
/// # Errors
/// It is something else.
pub fn web_address(
    key: &str,
    scheme: &str,
    written: Option<String>,
) -> Result<Option<String>, ConfigError> {
    let is_good =
        |url: &String| is_uri(url) && url.strip_prefix(scheme).is_some_and(|r| !r.is_empty());
    match written {
        Some(url) if !is_good(&url) => {
            Err(ConfigError(format!("{key}: {url:?} is not an address that begins with {scheme}")))
        }
        written => Ok(written),
    }
}

/// A scheme, and something behind it that can stand in a URI or an IRI (RFC 3986 3.1; XEP-0157 3).
pub fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && !rest.contains(|c: char| {
                c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c)
            })
    })
}

/// A certificate of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM.
    pub certificate: PathBuf,
    /// The key in PEM.
    pub key: PathBuf,
}

/// What `tls.certificate` and `tls.key` say, relative to this folder.
///
/// # Errors
/// There is only one of them.
pub fn certificate(
    certificate: Option<String>,
    key: Option<String>,
    base: &Path,
) -> Result<Option<CertificateFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(CertificateFiles { certificate: base.join(certificate), key: base.join(key) }))
        }
        _ => {
            Err(ConfigError("tls.certificate and tls.key go together: set both or neither".into()))
        }
    }
}

/// The web origins that are listed under this key, as browsers write them (RFC 6454 6.2): they are compared byte by
/// byte.
///
/// # Errors
/// One of them is something else.
pub fn origins(key: &str, written: &[String]) -> Result<Vec<String>, ConfigError> {
    for origin in written {
        let rest = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        let plain =
            |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'/';
        check(rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain)), || {
            format!("{key}: {origin:?} is not an origin, such as \"https://chat.example.org\"")
        })?;
    }
    Ok(written.to_vec())
}
