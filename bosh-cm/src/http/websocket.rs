//! The endpoint of WebSocket: a handshake, and a connection that changes hands.

use super::{
    Peer, Site, Turn,
    patience::{Impatient, Pushes},
    reply::{Reply, TEXT, reply},
    streams::Held,
    visitor::Contradiction,
};
use crate::{
    upstream::Pipe,
    websocket::{
        driver::Guest,
        http::{Refusal, handshake},
    },
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ORIGIN};
use hyper::{body::Incoming, upgrade};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tracing::debug;

impl Site {
    /// Answers one request to the endpoint, with the headers that all its answers carry.
    pub(super) fn websocket(&self, request: Request<Incoming>, peer: Peer, turn: Turn) -> Reply {
        let (origin, version) = (request.headers().get(ORIGIN).cloned(), request.version());
        let mut reply = self.accept(request, peer, turn).unwrap_or_else(|refusal| {
            let text = format!("{refusal}\n").into();
            let status = refusal.status(version);
            let mut reply = reply(status, HeaderValue::from_static(TEXT), text);
            refusal.dress(version, reply.headers_mut());
            reply
        });
        self.dress(reply.headers_mut(), origin);
        reply
    }

    /// Accepts a WebSocket. What comes over it is served once the connection, or the stream of HTTP/2, has changed hands.
    fn accept(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        turn: Turn,
    ) -> Result<Reply, Refusal> {
        let (status, headers) = handshake(&request, &self.origins)?;
        let visitor = self.visitor(request.headers(), &peer);
        let visitor = visitor.map_err(|Contradiction| Refusal::Visitor)?;
        let guest = Guest::admit(&self.manager, visitor).ok_or(Refusal::Full)?;
        let upgrade = upgrade::on(&mut request);
        let pushes = Pushes::new(Arc::clone(&self.manager));
        let kill = self.manager.kill.clone();
        self.manager.tasks.spawn(async move {
            // It changes hands when the answer is written, for which the end does not wait.
            match kill.run_until_cancelled_owned(upgrade).await {
                Some(Ok(stream)) => guest.serve(pipe(TokioIo::new(stream), &turn, pushes)).await,
                Some(Err(error)) => debug!(%error, "no WebSocket after all"),
                None => debug!("no WebSocket before the end"),
            }
            drop(peer);
        });
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        Ok(reply)
    }
}

/// The connection itself is impatient; its streams have to be each of its own.
fn pipe(stream: TokioIo<upgrade::Upgraded>, turn: &Turn, pushes: Pushes) -> Box<dyn Pipe> {
    match turn.underway() {
        None => Box::new(stream),
        Some(underway) => Box::new(Impatient::new(Held::new(stream, underway.clone()), pushes)),
    }
}
