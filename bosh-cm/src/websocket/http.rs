//! The opening handshake (RFC 6455 4.2; over HTTP/2 RFC 8441).

use crate::http::list;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{
        CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
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
    #[error("Version 13 of WebSocket is spoken here.")]
    Version,
    #[error("Sec-WebSocket-Key is not 16 bytes in base64.")]
    Key,
    #[error("Sec-WebSocket-Protocol has to offer xmpp.")]
    Subprotocol,
    #[error("Pages of this origin may not connect here.")]
    Origin,
    #[error("There is no room for another session.")]
    Full,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Subprotocol => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The headers that such an answer has to have.
    pub(crate) fn dress(self, headers: &mut HeaderMap) {
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
    }
}

/// What a good handshake is answered with: the status, and headers.
pub(crate) fn handshake<B>(
    request: &Request<B>,
    origins: &[String],
) -> Result<(StatusCode, HeaderMap), Refusal> {
    let headers = request.headers();
    let has =
        |name, token: &str| list(headers, name).iter().any(|one| one.eq_ignore_ascii_case(token));
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(Refusal::Version); // RFC 6455 4.4
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let is_key = |key: &&str| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    let key = key.filter(is_key).ok_or(Refusal::Key)?;
    // RFC 7395 3.1
    if !has("sec-websocket-protocol", SUBPROTOCOL) {
        return Err(Refusal::Subprotocol);
    }
    // Threat W01. Whoever sends no origin is no page in a browser.
    let known = |origin: &HeaderValue| origins.iter().any(|one| origin == one.as_str());
    if !origins.is_empty() && headers.get(ORIGIN).is_some_and(|origin| !known(origin)) {
        return Err(Refusal::Origin);
    }
    let accepted = HeaderValue::try_from(accept(key)).expect("base64 is text");
    let answer = [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accepted),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, answer.into_iter().collect()))
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
