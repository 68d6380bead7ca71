//! The task that moves a WebSocket's session between its client and its server.

use super::{Admission, Effect, End, Event, session::Session};
use crate::{
    driver::{Insecure, Manager, now},
    upstream::{Destination, Did, Line, Pipe, Visitor},
};
use bytes::BytesMut;
use net::address::Permit;
use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::info;

/// A visitor whose handshake was accepted.
pub(crate) struct Guest {
    manager: Arc<Manager>,
    visitor: Visitor,
    /// Its place among the sessions.
    permit: Option<Permit>,
    /// For as long as it is here the end waits for it.
    _token: TaskTrackerToken,
}

impl Guest {
    /// A place for this visitor; `None` where there is none, or the manager stops.
    pub(crate) fn admit(manager: &Arc<Manager>, visitor: Visitor) -> Option<Self> {
        if manager.stop.is_cancelled() {
            return None;
        }
        let permit = visitor.address.map(|address| manager.book.admit(address, now()));
        let permit = permit.transpose().ok()?;
        let token = manager.tasks.token();
        Some(Self { manager: Arc::clone(manager), visitor, permit, _token: token })
    }

    /// Waits for something, unless all are cut off before.
    pub(crate) async fn unless_killed<T>(&self, something: impl Future<Output = T>) -> Option<T> {
        self.manager.kill.run_until_cancelled(something).await
    }

    /// Serves the visitor until one side ends it. What was read already stands in `stream` again.
    pub(crate) async fn serve(mut self, stream: Box<dyn Pipe>) {
        let manager = &self.manager;
        let number = manager.number();
        let address = self.visitor.address.map(tracing::field::display);
        info!(session = number, address, "session begins over WebSocket");
        let admission = match (&manager.settings.insecure, self.visitor.secure) {
            (Insecure::Accept, _) | (_, true) => Admission::Granted,
            (Insecure::Refuse { bosh, websocket }, false) => {
                let uri = websocket.clone().or(bosh.clone());
                uri.map_or(Admission::Refused, Admission::Elsewhere)
            }
        };
        let terms = Arc::clone(&manager.settings.websocket);
        let mut session = Session::new(now(), net::random::token(), admission, terms);
        let (mut client, mut heard) = (Line::over(stream), BytesMut::new());
        let (mut server, mut received): (Option<Line>, _) = (None, BytesMut::new());
        let _open = manager.gauges.websocket.begin();
        let mut told = false;
        // When the server said what the session has just heard, and what is not written yet.
        let (mut heard_at, mut pushed): (Option<std::time::Instant>, _) = (None, None);
        let mut alarm = pin!(sleep_until(Instant::now()));
        let end = 'session: loop {
            while let Some(effect) = session.poll() {
                match effect {
                    Effect::Connect(domain) => {
                        let upstream = Arc::clone(&manager.upstream);
                        let destination = Destination { domain, route: None };
                        server = Some(Line::open(upstream, destination, self.visitor));
                    }
                    Effect::Write(bytes) => {
                        faults::site!("websocket-heard");
                        if let Some(server) = &mut server {
                            server.write(bytes);
                        }
                    }
                    Effect::Send(bytes) => {
                        faults::site!("websocket-told");
                        client.write(bytes);
                        pushed = pushed.or(heard_at);
                    }
                    Effect::Authenticated => {
                        if let Some(permit) = &mut self.permit {
                            permit.authenticated();
                        }
                    }
                    Effect::Close => {
                        if let Some(server) = server.take() {
                            manager.tasks.spawn(server.close());
                        }
                    }
                    Effect::End(end) => break 'session Some(end),
                }
            }
            heard_at = None;
            let deadline = session.deadline().map(Instant::from);
            // Most deadlines move away with every message, so the alarm is put off only when it rings.
            if let Some(deadline) = deadline
                && (deadline < alarm.deadline() || alarm.is_elapsed())
            {
                alarm.as_mut().reset(deadline);
            }
            let (reads_client, reads_server) = (session.reads_client(), session.reads_server());
            tokio::select! {
                did = poll_fn(|cx| client.poll(cx, reads_client, &mut heard)) => session.handle(now(), match did {
                    Did::Read => Event::Heard(&mut heard),
                    Did::Wrote(bytes) => {
                        if let Some(pushed) = pushed.take() {
                            manager.gauges.websocket.pushes.record(now() - pushed);
                        }
                        Event::Sent(bytes)
                    }
                    Did::Close | Did::Fail(_) => Event::Lost,
                }),
                did = poll_fn(|cx| poll(&mut server, cx, reads_server, &mut received)) => session.handle(now(), match did {
                    Did::Read => {
                        heard_at = Some(now());
                        Event::Received(&mut received)
                    }
                    Did::Wrote(bytes) => Event::Written(bytes),
                    Did::Fail(condition) => Event::Failed(condition),
                    Did::Close => Event::Closed,
                }),
                () = &mut alarm, if deadline.is_some() => session.handle(now(), Event::Tick),
                () = manager.stop.cancelled(), if !told => {
                    told = true;
                    session.handle(now(), Event::Shutdown);
                }
                () = manager.kill.cancelled() => break None,
            }
        };
        manager.gauges.websocket.end(end.as_ref().map(End::name));
        match end {
            Some(end) => info!(session = number, ?end, "session ends"),
            None => info!(session = number, "session cut off"),
        }
        // Boxed, or the session would have room for it all its life.
        Box::pin(client.close()).await;
    }
}

/// What the server's line does, once there is one.
fn poll(
    line: &mut Option<Line>,
    cx: &mut Context<'_>,
    reads: bool,
    input: &mut BytesMut,
) -> Poll<Did> {
    line.as_mut().map_or(Poll::Pending, |line| line.poll(cx, reads, input))
}
