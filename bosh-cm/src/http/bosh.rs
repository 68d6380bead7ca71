//! The endpoint of BOSH.

use super::{
    Asked, Peer, Site,
    coding::{Coding, Packed, Unannounced, compressed, unannounced},
    reply::{Readers, Reply, TEXT, answered, not_allowed, refusal, reply},
    visitor::Contradiction,
};
use crate::{
    driver::Asking,
    gauges::limit,
    session::{Answer, Condition},
    upstream::Visitor,
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
        TRANSFER_ENCODING,
    },
};

/// For how long a browser remembers that it may post here.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// A request whose head is good: what is left of it while it waits.
pub(super) struct Post {
    visitor: Visitor,
    readers: Readers,
    /// How its body is compressed.
    coding: Option<Coding>,
    /// How its answer may be, where answers are.
    back: Option<Option<Coding>>,
}

impl Site {
    /// Judges the head of a request to the endpoint.
    pub(super) fn bosh<B>(&self, request: &Request<B>, peer: &Peer) -> Asked {
        let readers = self.readers(request.headers());
        let reply = match *request.method() {
            Method::POST => match self.admit(request, peer, readers) {
                Ok(post) => return Asked::Post(post),
                Err(refusal) => *refusal,
            },
            Method::OPTIONS => preflight(self.compresses()),
            Method::GET | Method::HEAD => {
                let text = "This is a BOSH endpoint (XEP-0124): XMPP clients post to it.\n";
                reply(StatusCode::OK, HeaderValue::from_static(TEXT), text.into())
            }
            _ => not_allowed(&HeaderValue::from_static("POST, OPTIONS, GET, HEAD")),
        };
        Asked::Reply(Box::new(self.dress(reply, readers)))
    }

    fn admit<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        readers: Readers,
    ) -> Result<Post, Box<Reply>> {
        let headers = request.headers();
        let visitor = self.visitor(headers, peer);
        let visitor =
            visitor.map_err(|Contradiction| Box::new(refusal(StatusCode::BAD_REQUEST)))?;
        // Whoever is between might read a chunked request with a length otherwise than we do (threat B06).
        if headers.contains_key(TRANSFER_ENCODING) {
            return Err(Box::new(refusal(StatusCode::LENGTH_REQUIRED)));
        }
        let coding = Coding::of_request(headers, self.compresses());
        let coding = coding.map_err(|Unannounced| Box::new(unannounced(self.compresses())))?;
        let back = self.compresses().then(|| Coding::of_answer(headers));
        Ok(Post { visitor, readers, coding, back })
    }

    /// Hands in a request whose body is there. An error is the answer to one that cannot be read.
    pub(super) fn post(&self, post: &Post, body: BytesMut) -> Result<Asking, Box<Reply>> {
        let body = match post.coding.map(|coding| coding.inflate(&body, self.manager.body_bytes()))
        {
            None => body,
            Some(Ok(body)) => body,
            Some(Err(packed)) => {
                let refusal = match packed {
                    Packed::TooLarge => self.refuse(limit::BODY),
                    Packed::Broken => answered(Condition::BadRequest.answer(false)),
                };
                return Err(Box::new(self.dress(refusal, post.readers)));
            }
        };
        Ok(self.manager.request(body, post.visitor))
    }

    /// The answer in which this is delivered.
    pub(super) fn deliver(&self, post: &Post, answer: Answer) -> Reply {
        let reply = match post.back {
            Some(coding) => compressed(answer, coding),
            None => answered(answer),
        };
        self.dress(reply, post.readers)
    }

    /// The answer to a request that broke this limit, and was not read to its end.
    pub(super) fn over(&self, post: &Post, limit: &'static str) -> Reply {
        self.dress(self.refuse(limit), post.readers)
    }

    fn refuse(&self, limit: &'static str) -> Reply {
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
