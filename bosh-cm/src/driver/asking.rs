//! A request on its way: to its session's door, and back with an answer.

use super::{Delivery, Entry, Knock, Manager, now};
use crate::{
    session::{Answer, Condition, Conn, Request},
    upstream::Visitor,
};
use bytes::BytesMut;
use futures_channel::mpsc;
use net::address::{Permit, Refused};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;
use tracing::debug;

/// A request that waits for its answer, which may take as long as the session's `wait`. Dropped, its session takes the
/// connection for lost.
///
/// It completes with `None` where the connection is to be closed without an answer: a secure session was named over one that is
/// not (XEP-0124 19.1), or this address guesses.
///
/// There is one for every request that is held, so it is no `async fn`: that has room for all it ever had.
pub struct Asking {
    manager: Arc<Manager>,
    /// Among the requests that wait.
    _place: Option<Permit>,
    stage: Stage,
}

enum Stage {
    /// There is nothing to wait for.
    Known(Option<Delivery>),
    Waiting(Waiting),
}

struct Waiting {
    conn: Conn,
    door: mpsc::Sender<Knock>,
    /// What is to be left there next.
    knock: Option<Knock>,
    /// The client waits with more, and the session does not know.
    pressed: bool,
    answer: oneshot::Receiver<Delivery>,
    /// Whether the session begins with it.
    first: bool,
    modern: bool,
}

impl Manager {
    /// Takes one HTTP body.
    pub fn request(self: &Arc<Self>, raw: BytesMut, visitor: Visitor) -> Asking {
        let place = visitor.address.map(|address| self.requests.admit(address, now())).transpose();
        let (place, stage) = match place {
            Ok(place) => (place, self.take(raw, visitor)),
            Err(refused) => {
                (None, Stage::Known(Some(Answer::busy(refused == Refused::Total).into())))
            }
        };
        Asking { manager: Arc::clone(self), _place: place, stage }
    }

    fn take(self: &Arc<Self>, raw: BytesMut, visitor: Visitor) -> Stage {
        let request = match Request::parse(raw, &self.settings.body) {
            Ok(request) => request,
            Err(malformed) => return Stage::Known(Some(self.refuse(malformed).into())),
        };
        faults::site!("body-read");
        let Some(sid) = &request.sid else { return self.create(&request, visitor) };
        let entry = self.table().sessions.get(sid).cloned();
        let Some(Entry { door, modern, secure }) = entry else {
            return Stage::Known(self.stray(visitor).map(Delivery::from));
        };
        if secure && !visitor.secure {
            return Stage::Known(None);
        }
        let (reply, answer) = oneshot::channel();
        let (conn, request) = (self.conn(), Box::new(request));
        let knock = Some(Knock::Request { conn, request, reply });
        Stage::Waiting(Waiting { conn, door, knock, pressed: false, answer, first: false, modern })
    }

    fn create(self: &Arc<Self>, request: &Request, visitor: Visitor) -> Stage {
        let (reply, answer) = oneshot::channel();
        let (conn, modern) = (self.conn(), request.has_version());
        match self.begin(request, visitor, conn, reply) {
            Ok(door) => {
                let (knock, pressed, first) = (None, false, true);
                Stage::Waiting(Waiting { conn, door, knock, pressed, answer, first, modern })
            }
            Err(condition) => {
                // As often as a stranger likes, so not for the usual log.
                debug!(%condition, address = visitor.address.map(tracing::field::display), "session refused");
                Stage::Known(Some(condition.answer(modern).into()))
            }
        }
    }
}

impl Asking {
    /// The client waits with more, and cannot say it before it has the answer, which therefore comes at once.
    pub fn press(&mut self) {
        if let Stage::Waiting(waiting) = &mut self.stage {
            waiting.pressed = true;
        }
    }
}

impl Future for Asking {
    type Output = Option<Delivery>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let delivery = match &mut self.stage {
            Stage::Known(delivery) => delivery.take(),
            Stage::Waiting(waiting) => Some(ready!(waiting.poll(cx))),
        };
        if let Some(delivery) = &delivery {
            self.manager.gauges.answered(delivery.answer.gist);
        }
        Poll::Ready(delivery)
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        while self.knock.is_some() || self.pressed {
            let Poll::Ready(room) = self.door.poll_ready(cx) else { break };
            let knock = self.knock.take().or_else(|| {
                self.pressed = false;
                Some(Knock::Pressed(self.conn))
            });
            // Where the session has ended there is an answer, or none: a request is dropped there with what would bring it.
            if let (Ok(()), Some(knock)) = (room, knock) {
                let _ended = self.door.start_send(knock);
            }
        }
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| {
            let condition = match self.first {
                true => Condition::InternalServerError,
                // It ended while this request was at the door.
                false => Condition::ItemNotFound,
            };
            condition.answer(self.modern).into()
        }))
    }
}
