//! The endpoint of BOSH.

use super::{
    Peer, Site, Turn, Unanswered,
    coding::{Coding, Packed, Unannounced, compressed, unannounced},
    reply::{Reply, TEXT, answered, not_allowed, refusal, reply},
    streams::SMALL,
};
use crate::{gauges::limit, session::Condition};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
        TRANSFER_ENCODING,
    },
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

/// Bytes of a body read and dropped once it is too large.
const DROPPED: usize = 16_777_216;
/// For how long a browser remembers that it may post here.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");

impl Site {
    /// Answers one request to the endpoint, with the headers that all its answers carry.
    pub(super) async fn bosh(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        turn: Turn,
    ) -> Result<Reply, Unanswered> {
        let origin = request.headers().get(ORIGIN).cloned();
        let mut reply = match *request.method() {
            Method::POST => self.post(request, peer, turn).await?,
            Method::OPTIONS => preflight(self.compresses()),
            Method::GET | Method::HEAD => {
                let text = "This is a BOSH endpoint (XEP-0124): XMPP clients post to it.\n";
                reply(StatusCode::OK, HeaderValue::from_static(TEXT), text.into())
            }
            _ => not_allowed(&HeaderValue::from_static("POST, OPTIONS, GET, HEAD")),
        };
        self.dress(reply.headers_mut(), origin);
        Ok(reply)
    }

    async fn post(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        turn: Turn,
    ) -> Result<Reply, Unanswered> {
        let Ok(visitor) = self.visitor(request.headers(), peer) else {
            return Ok(refusal(StatusCode::BAD_REQUEST));
        };
        // Whoever is between might read a chunked request with a length otherwise than we do (threat B06).
        if request.headers().contains_key(TRANSFER_ENCODING) {
            return Ok(refusal(StatusCode::LENGTH_REQUIRED));
        }
        let coding = match Coding::of_request(request.headers(), self.compresses()) {
            Ok(coding) => coding,
            Err(Unannounced) => return Ok(unannounced(self.compresses())),
        };
        let back = self.compresses().then(|| Coding::of_answer(request.headers()));
        let body = read(request.into_body(), self.manager.body_bytes(), &turn);
        let body = match timeout(self.patience, body).await {
            Ok(Ok(Some(body))) => body,
            Ok(Ok(None)) => return Ok(self.over(limit::BODY)),
            Ok(Err(broken_off)) => return Err(broken_off),
            Err(_) => return Ok(self.over(limit::TIME)),
        };
        let body = match coding.map(|coding| coding.inflate(&body, self.manager.body_bytes())) {
            None => body,
            Some(Ok(body)) => body,
            Some(Err(Packed::TooLarge)) => return Ok(self.over(limit::BODY)),
            Some(Err(Packed::Broken)) => return Ok(answered(Condition::BadRequest.answer(false))),
        };
        let pushes = turn.pushes.clone();
        let delivery = self.manager.request(body, visitor, turn.pressed()).await;
        let delivery = delivery.ok_or(Unanswered::HangUp)?;
        if let Some(since) = delivery.pushed {
            pushes.begin(since);
        }
        Ok(match back {
            Some(coding) => compressed(delivery.answer, coding),
            None => answered(delivery.answer),
        })
    }

    /// The answer to a request that broke this limit, and was not read to its end.
    fn over(&self, limit: &'static str) -> Reply {
        self.manager.gauges.limits.add(limit);
        refusal(match limit {
            limit::TIME => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::PAYLOAD_TOO_LARGE,
        })
    }

    /// Whether bodies may be compressed.
    fn compresses(&self) -> bool {
        self.manager.settings.terms.compression
    }
}

/// The leave for scripts to post, and to say how a body is compressed.
fn preflight(compresses: bool) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    let methods = HeaderValue::from_static("POST, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = if compresses { "Content-Type, Content-Encoding" } else { "Content-Type" };
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    reply
}

/// Reads a body of at most so many bytes; `None` if it is larger. Some of the rest is read and dropped in HTTP/1, since
/// the answer to a client that still sends gets lost when the connection closes.
async fn read(mut body: Incoming, max: usize, turn: &Turn) -> Result<Option<BytesMut>, Unanswered> {
    // It grows with what comes, not with what is announced.
    let mut bytes = BytesMut::new();
    let (mut dropped, mut place) = (0, None);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unanswered::BrokenOff)?.into_data() else { continue };
        if dropped == 0 && bytes.len() + data.len() <= max {
            if let Some(underway) = turn.underway()
                && bytes.len() + data.len() > SMALL
                && place.is_none()
            {
                place = Some(underway.room().await);
            }
            bytes.extend_from_slice(&data);
            continue;
        }
        bytes = BytesMut::new();
        dropped += data.len();
        if dropped > DROPPED || turn.underway().is_some() {
            break;
        }
    }
    Ok((dropped == 0).then_some(bytes))
}
