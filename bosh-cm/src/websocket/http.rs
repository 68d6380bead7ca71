//! The opening handshake (RFC 6455 4.2; over HTTP/2 RFC 8441).

use crate::http::list;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Version,
    header::{
        ALLOW, CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use hyper::ext::Protocol;
use sha1::{Digest, Sha1};

/// The subprotocol (RFC 7395 3.1).
pub const SUBPROTOCOL: &str = "xmpp";
/// The version of the protocol (RFC 6455 4.1).
pub const VERSION: &str = "13";
/// What the answer to a key is made with (RFC 6455 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client may expect in `Sec-WebSocket-Accept` for its `Sec-WebSocket-Key` (RFC 6455 4.2.2).
pub fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::new_with_prefix(key).chain_update(GUID).finalize())
}

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("This method is not for here.")]
    Method,
    #[error("This is a WebSocket endpoint (RFC 7395): XMPP clients connect to it.")]
    NoUpgrade,
    #[error("Nothing but websocket may be connected to here.")]
    Protocol,
    #[error("Version 13 of WebSocket is spoken here.")]
    Version,
    #[error("Sec-WebSocket-Key is not 16 bytes in base64.")]
    Key,
    #[error("Sec-WebSocket-Protocol has to offer xmpp.")]
    Subprotocol,
    #[error("Pages of this origin may not connect here.")]
    Origin,
    #[error(
        "Forwarded and X-Forwarded-For or -Proto contradict each other: the proxy has to write both, or to remove one."
    )]
    Visitor,
    #[error("There is no room for another session.")]
    Full,
}

impl Refusal {
    pub(crate) fn status(self, version: Version) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            // In HTTP/2 there is nothing to upgrade (RFC 9113 8.6).
            Self::NoUpgrade | Self::Version if version < Version::HTTP_2 => {
                StatusCode::UPGRADE_REQUIRED
            }
            Self::NoUpgrade | Self::Version => StatusCode::BAD_REQUEST,
            Self::Protocol => StatusCode::NOT_IMPLEMENTED,
            Self::Key | Self::Subprotocol | Self::Visitor => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The headers that such an answer has to have.
    pub(crate) fn dress(self, version: Version, headers: &mut HeaderMap) {
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static(method(version)));
            }
            Self::NoUpgrade | Self::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            _ => {}
        }
    }
}

/// How a WebSocket is asked for.
fn method(version: Version) -> &'static str {
    if version < Version::HTTP_2 { "GET" } else { "CONNECT" }
}

/// What a good handshake is answered with: the status, and headers.
pub(crate) fn handshake<B>(
    request: &Request<B>,
    origins: &[String],
) -> Result<(StatusCode, HeaderMap), Refusal> {
    let headers = request.headers();
    let upgrades = request.version() < Version::HTTP_2;
    if request.method() != method(request.version()) {
        return Err(Refusal::Method);
    }
    if upgrades && !(has(headers, "upgrade", "websocket") && has(headers, "connection", "upgrade"))
    {
        return Err(Refusal::NoUpgrade);
    }
    // RFC 8441 5: `:protocol` stands for what upgrades a connection, and there is no key.
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    if !upgrades && protocol != Some("websocket") {
        return Err(Refusal::Protocol);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(Refusal::Version); // RFC 6455 4.4
    }
    let accepted = if upgrades { Some(accepted(headers)?) } else { None };
    // RFC 7395 3.1
    if !has(headers, "sec-websocket-protocol", SUBPROTOCOL) {
        return Err(Refusal::Subprotocol);
    }
    // Threat W01. Whoever sends no origin is no page in a browser.
    let known = |origin: &HeaderValue| origins.iter().any(|one| origin == one.as_str());
    if !origins.is_empty() && headers.get(ORIGIN).is_some_and(|origin| !known(origin)) {
        return Err(Refusal::Origin);
    }
    let mut answer = HeaderMap::new();
    answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let Some(accepted) = accepted else { return Ok((StatusCode::OK, answer)) };
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    Ok((StatusCode::SWITCHING_PROTOCOLS, answer))
}

fn has(headers: &HeaderMap, name: &str, token: &str) -> bool {
    list(headers, name).iter().any(|one| one.eq_ignore_ascii_case(token))
}

/// The answer to the key.
fn accepted(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let is_key = |key: &&str| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    let key = key.filter(is_key).ok_or(Refusal::Key)?;
    Ok(HeaderValue::try_from(accept(key)).expect("base64 is text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 1.3.
    #[test]
    fn the_key_of_the_rfc_is_answered_as_there() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
