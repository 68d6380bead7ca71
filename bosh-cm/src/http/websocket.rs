//! The endpoint of WebSocket: a handshake, and a connection that changes hands.

use super::{
    Peer, Site,
    reply::{Reply, TEXT, reply},
};
use crate::websocket::{
    driver::Guest,
    http::{Refusal, handshake},
};
use http::{
    HeaderValue, Request, Response,
    header::{ALLOW, ORIGIN},
};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade};
use hyper_util::rt::TokioIo;
use tracing::debug;

impl Site {
    /// Answers one request to the endpoint, with the headers that all its answers carry.
    pub(super) fn websocket(&self, request: Request<Incoming>, peer: Peer) -> Reply {
        let origin = request.headers().get(ORIGIN).cloned();
        let mut reply = self.accept(request, peer).unwrap_or_else(refused);
        self.dress(reply.headers_mut(), origin);
        reply
    }

    /// Accepts a WebSocket. What comes over it is served once the connection has changed hands.
    fn accept(&self, mut request: Request<Incoming>, peer: Peer) -> Result<Reply, Refusal> {
        let (status, headers) = handshake(&request, &self.origins)?;
        let visitor = self.visitor(request.headers(), &peer);
        let guest = Guest::admit(&self.manager, visitor).ok_or(Refusal::Full)?;
        let upgrade = upgrade::on(&mut request);
        self.manager.tasks.spawn(async move {
            match upgrade.await {
                Ok(stream) => guest.serve(Box::new(TokioIo::new(stream))).await,
                Err(error) => debug!(%error, "no WebSocket after all"),
            }
            drop(peer);
        });
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        Ok(reply)
    }
}

/// The answer to a handshake that is none.
fn refused(refusal: Refusal) -> Reply {
    let text = format!("{refusal}\n").into();
    let mut reply = reply(refusal.status(), HeaderValue::from_static(TEXT), text);
    if refusal == Refusal::Method {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    refusal.dress(reply.headers_mut());
    reply
}
