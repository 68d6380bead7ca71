//! Answers, and the headers that all of an endpoint's carry.

use super::Site;
use crate::session::{Answer, CONTENT, Condition};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

/// Nothing in an answer is to be run or shown (threat U03).
pub(super) const NO_CONTENT_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'");
pub(super) const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(super) type Reply = Response<Bytes>;

impl Site {
    /// Whose scripts may read the answer to a request with these headers.
    pub(super) fn readers(&self, headers: &HeaderMap) -> Readers {
        if self.origins.is_empty() {
            return Readers::All;
        }
        let origin = headers.get(ORIGIN);
        let known = self.origins.iter().position(|one| origin.is_some_and(|origin| origin == one));
        known.map_or(Readers::None, Readers::Origin)
    }

    /// What every answer of an endpoint carries, errors too: the leave for scripts of other origins to read
    /// it, and the warning not to keep it or to make anything else of it.
    pub(super) fn dress(&self, mut reply: Reply, readers: Readers) -> Reply {
        let headers = reply.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(CONTENT_SECURITY_POLICY, NO_CONTENT_POLICY);
        let leave = match readers {
            Readers::All => Some(HeaderValue::from_static("*")),
            Readers::Origin(known) => HeaderValue::from_str(&self.origins[known]).ok(),
            Readers::None => None,
        };
        if let Some(leave) = leave {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, leave);
        }
        if !matches!(readers, Readers::All) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        reply
    }
}

/// Whose scripts may read an answer (Fetch, CORS protocol).
#[derive(Clone, Copy)]
pub(super) enum Readers {
    /// Anybody's.
    All,
    /// Those of this origin, by its place among [`Site::origins`].
    Origin(usize),
    /// Nobody's, of those that ask.
    None,
}

pub(super) fn answered(answer: Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).expect("one of a few codes");
    let content = match &*answer.content {
        CONTENT => HeaderValue::from_static(CONTENT),
        other => HeaderValue::from_str(other).expect("one of a few types"),
    };
    reply(status, content, answer.body)
}

pub(super) fn reply(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// The answer to a body that is not read.
pub(super) fn refusal(status: StatusCode) -> Reply {
    let mut reply = answered(Condition::PolicyViolation.answer(true));
    *reply.status_mut() = status;
    reply
}

pub(super) fn not_allowed(allow: &HeaderValue) -> Reply {
    let text = Bytes::from_static(b"This method is not for here.\n");
    let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, HeaderValue::from_static(TEXT), text);
    reply.headers_mut().insert(ALLOW, allow.clone());
    reply
}
