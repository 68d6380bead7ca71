//! The endpoint of WebSocket: a handshake, and a connection that changes hands.

use super::{
    Asked, Peer, Site,
    reply::{Reply, TEXT, reply},
    visitor::Contradiction,
};
use crate::websocket::{
    driver::Guest,
    http::{Refusal, handshake},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};

impl Site {
    /// Answers a request to the endpoint. What comes over a WebSocket is served once the connection, or the stream of HTTP/2,
    /// has changed hands.
    pub(super) fn websocket<B>(&self, request: &Request<B>, peer: &Peer) -> Asked {
        let readers = self.readers(request.headers());
        match self.accept(request, peer) {
            Ok((reply, guest)) => Asked::WebSocket(Box::new(self.dress(reply, readers)), guest),
            Err(refusal) => {
                let version = request.version();
                let text = format!("{refusal}\n").into();
                let status = refusal.status(version);
                let mut reply = reply(status, HeaderValue::from_static(TEXT), text);
                refusal.dress(version, reply.headers_mut());
                Asked::Reply(Box::new(self.dress(reply, readers)))
            }
        }
    }

    fn accept<B>(&self, request: &Request<B>, peer: &Peer) -> Result<(Reply, Guest), Refusal> {
        let (status, headers) = handshake(request, &self.origins)?;
        let visitor = self.visitor(request.headers(), peer);
        let visitor = visitor.map_err(|Contradiction| Refusal::Visitor)?;
        let guest = Guest::admit(&self.manager, visitor).ok_or(Refusal::Full)?;
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        Ok((reply, guest))
    }
}
