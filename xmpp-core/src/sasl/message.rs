//! The messages of SCRAM (RFC 5802 7) and PLAIN (RFC 4616 2), parsed strictly.

use super::Failure;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::borrow::Cow;

/// The longest message of a client, before base64: PLAIN's longest, a bare JID, a user name and a password with parts of
/// 1,023 bytes each, fits; what is longer is an attack on memory.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// PLAIN's only message.
pub(super) struct Plain<'a> {
    /// Empty where the client asks for no other identity than its own.
    pub(super) authzid: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

impl<'a> Plain<'a> {
    /// RFC 4616 2: `[authzid] NUL authcid NUL passwd`, and nothing after.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Failure> {
        let mut fields = text(message)?.split('\0');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(authzid), Some(user), Some(password), None)
                if !user.is_empty() && !password.is_empty() =>
            {
                Ok(Self { authzid, user, password })
            }
            _ => Err(Failure::MalformedRequest),
        }
    }
}

/// SCRAM's client-first-message.
pub(super) struct ClientFirst<'a> {
    /// What the final message must repeat in `c=`.
    pub(super) gs2_header: &'a str,
    /// Decoded; empty where the client asks for no other identity than its own.
    pub(super) authzid: Cow<'a, str>,
    /// Decoded, not yet prepared.
    pub(super) user: Cow<'a, str>,
    /// The client's part, never empty.
    pub(super) nonce: &'a str,
    /// client-first-message-bare, which is signed as it came.
    pub(super) bare: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Refuses channel binding and mandatory extensions, which are valid but not to be had, as not-authorized.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Failure> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(Failure::MalformedRequest)?;
        check_binding_flag(flag)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Failure::MalformedRequest)?;
        let authzid = match authzid {
            "" => "",
            // The grammar wants a name after `a=`; clients that send none mean themselves.
            _ => authzid.strip_prefix("a=").ok_or(Failure::MalformedRequest)?,
        };
        let mut attributes = bare.split(',');
        let user = named(attributes.next(), "n=")?;
        let nonce = nonce(attributes.next())?;
        attributes.try_for_each(ignore_extension)?;
        if user.is_empty() {
            return Err(Failure::MalformedRequest);
        }
        Ok(Self {
            gs2_header: &message[..message.len() - bare.len()],
            authzid: decode_name(authzid)?,
            user: decode_name(user)?,
            nonce,
            bare,
        })
    }
}

/// SCRAM's client-final-message.
pub(super) struct ClientFinal<'a> {
    /// What is signed of this message.
    pub(super) without_proof: &'a str,
    /// Decoded `c=`: the GS2 header again.
    pub(super) channel_binding: Vec<u8>,
    /// Both parts.
    pub(super) nonce: &'a str,
    /// Decoded, of any length.
    pub(super) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Failure> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(',').ok_or(Failure::MalformedRequest)?;
        let proof = named(Some(proof), "p=")?;
        let mut attributes = without_proof.split(',');
        let channel_binding = named(attributes.next(), "c=")?;
        let nonce = nonce(attributes.next())?;
        attributes.try_for_each(ignore_extension)?;
        Ok(Self {
            without_proof,
            channel_binding: decode_base64(channel_binding)?,
            nonce,
            proof: decode_base64(proof)?,
        })
    }
}

/// SCRAM's server-first-message, as a client reads it. No attribute has a second reading, so the failures are the same.
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Failure> {
        let mut attributes = text(message)?.split(',');
        let nonce = nonce(attributes.next())?;
        let salt = decode_base64(named(attributes.next(), "s=")?)?;
        let iterations = named(attributes.next(), "i=")?;
        attributes.try_for_each(ignore_extension)?;
        // posit-number: digits only, no leading zero.
        if !iterations.bytes().all(|b| b.is_ascii_digit()) || iterations.starts_with('0') {
            return Err(Failure::MalformedRequest);
        }
        let iterations = iterations.parse().map_err(|_| Failure::MalformedRequest)?;
        Ok(Self { nonce, salt, iterations })
    }
}

/// saslname: `,` and `=` as `=2C` and `=3D` (RFC 5802 5.1).
pub(super) fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Strict: with padding, without spaces, no stray bits (RFC 4648 3.5), never empty.
pub(super) fn decode_base64(text: &str) -> Result<Vec<u8>, Failure> {
    if text.is_empty() {
        return Err(Failure::MalformedRequest);
    }
    BASE64.decode(text).map_err(|_| Failure::IncorrectEncoding)
}

/// `printable` of RFC 5802 7, at least one.
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// The length before all else, so that nothing long is looked at.
fn text(message: &[u8]) -> Result<&str, Failure> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(Failure::MalformedRequest);
    }
    str::from_utf8(message).map_err(|_| Failure::IncorrectEncoding)
}

/// gs2-cbind-flag (RFC 5802 6). `y` says "you seem to offer no channel binding", which is true as long as no mechanism
/// of ours ends in -PLUS; once one does, `y` must fail here as a sign of a downgrade.
fn check_binding_flag(flag: &str) -> Result<(), Failure> {
    match flag {
        "n" | "y" => Ok(()),
        _ => {
            let name = flag.strip_prefix("p=").ok_or(Failure::MalformedRequest)?;
            let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            let known = !name.is_empty() && name.bytes().all(valid);
            Err(if known { Failure::NotAuthorized } else { Failure::MalformedRequest })
        }
    }
}

/// The value of the attribute that must stand here. A mandatory extension in its place is refused for what it is.
fn named<'a>(attribute: Option<&'a str>, name: &str) -> Result<&'a str, Failure> {
    let attribute = attribute.ok_or(Failure::MalformedRequest)?;
    match attribute.strip_prefix(name) {
        Some(value) => Ok(value),
        None => {
            ignore_extension(attribute)?;
            Err(Failure::MalformedRequest)
        }
    }
}

fn nonce(attribute: Option<&str>) -> Result<&str, Failure> {
    let nonce = named(attribute, "r=")?;
    if is_nonce(nonce) { Ok(nonce) } else { Err(Failure::MalformedRequest) }
}

/// RFC 5802 5.1: unknown optional extensions are ignored, `m=` fails the exchange, and the attributes of SCRAM itself have
/// their fixed places.
fn ignore_extension(attribute: &str) -> Result<(), Failure> {
    match attribute.as_bytes() {
        [name, b'=', value @ ..] if !value.is_empty() && !value.contains(&0) => match name {
            b'm' => Err(Failure::NotAuthorized),
            b'a' | b'n' | b'r' | b'c' | b's' | b'i' | b'p' | b'v' | b'e' => {
                Err(Failure::MalformedRequest)
            }
            _ if name.is_ascii_alphabetic() => Ok(()),
            _ => Err(Failure::MalformedRequest),
        },
        _ => Err(Failure::MalformedRequest),
    }
}

/// RFC 5802 5.1: a `=` that begins neither `=2C` nor `=3D` fails the exchange.
fn decode_name(name: &str) -> Result<Cow<'_, str>, Failure> {
    if name.contains('\0') {
        return Err(Failure::MalformedRequest);
    }
    let mut parts = name.split('=');
    let first = parts.next().expect("splitting gives at least one part");
    let mut decoded = Cow::Borrowed(first);
    for part in parts {
        let (character, rest) = match part.as_bytes() {
            [b'2', b'C', ..] => (',', &part[2..]),
            [b'3', b'D', ..] => ('=', &part[2..]),
            _ => return Err(Failure::MalformedRequest),
        };
        let decoded = decoded.to_mut();
        decoded.push(character);
        decoded.push_str(rest);
    }
    Ok(decoded)
}
