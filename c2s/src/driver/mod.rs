//! One task per connection: it moves the bytes of a session, keeps its time, and carries out what it asks for.

mod door;
mod login;
mod register;
#[cfg(test)]
mod tests;
mod wire;

pub use door::Door;

use crate::{
    Origin,
    session::{Closed, Effect, Event, Session},
};
use net::{
    address::{Permit, is_within},
    tls::{Mode, TlsError},
};
use router::{Claim, Mail, Mailbox};
use std::{future::poll_fn, net::IpAddr, pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use wire::{Clock, Io, Wire};
use xmpp_core::sasl::Credentials;

/// How long a client may take to hear why it is over, and to say its last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
async fn run(
    door: Arc<Door>,
    io: Box<dyn Io>,
    origin: Origin,
    permit: Option<Permit>,
    number: u64,
) {
    let clock = Clock::start();
    let trusted = origin.address.is_some_and(|address| is_within(&door.settings.trusted, address));
    let mut driver = Driver {
        session: Session::new(Arc::clone(&door) as _, clock.now(), origin.secure, trusted),
        wire: Wire::new(io),
        credentials: None,
        seat: None,
        stop: door.stop(),
        address: origin.address,
        permit,
        door,
        clock,
        number,
    };
    let closed = driver.run().await;
    Box::pin(driver.end(closed)).await;
}

struct Driver {
    door: Arc<Door>,
    session: Session,
    wire: Wire,
    /// Those of the last exchange, until an address is claimed by them.
    credentials: Option<Box<Credentials>>,
    /// The claimed address, once bound.
    seat: Option<(Claim, Mailbox)>,
    stop: CancellationToken,
    /// Whose failed logins count.
    address: Option<IpAddr>,
    /// The place among the connections of a listener.
    permit: Option<Permit>,
    clock: Clock,
    /// The stream's number in the log.
    number: u64,
}

impl Driver {
    /// Turns until the session is over.
    async fn run(&mut self) -> Closed {
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut alarm_at = self.session.deadline().unwrap_or_default();
        let mut alarm = pin!(time::sleep_until(self.clock.at(alarm_at)));
        loop {
            self.take_mail();
            match self.session.poll() {
                Some(Effect::Close(closed)) => return closed,
                Some(effect) => {
                    self.perform(effect).await;
                    continue;
                }
                None => {}
            }
            // Most deadlines move away with every byte, so the alarm is put off only when it rings.
            let deadline = self.session.deadline().unwrap_or_default();
            if deadline < alarm_at || alarm.is_elapsed() {
                alarm_at = deadline;
                alarm.as_mut().reset(self.clock.at(alarm_at));
            }
            let has_room = self.session.has_room();
            let Self { session, wire, seat, clock, .. } = self;
            tokio::select! {
                () = wire.turn(session, *clock) => {}
                mail = next_mail(seat, has_room) => {
                    session.handle(clock.now(), Event::Mail(mail));
                }
                () = &mut alarm => session.handle(clock.now(), Event::Tick),
                () = &mut stopped => session.handle(clock.now(), Event::Shutdown),
            }
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        self.session.handle(self.clock.now(), event);
    }

    /// Takes all the mail there is room for, so that it leaves in one piece.
    fn take_mail(&mut self) {
        while let Some((_, mailbox)) = &mut self.seat
            && self.session.has_room()
            && let Some(mail) = mailbox.try_next()
        {
            self.session.handle(self.clock.now(), Event::Mail(mail));
        }
        if let Some((claim, _)) = &self.seat {
            self.door.router.took(claim, self.session.take_letters());
        }
    }

    /// Carries out an effect and hands its outcome in. Each is boxed: a future in place is memory that every connection
    /// holds for as long as it lasts, and most are idle.
    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dispatch(stanza) => {
                let (claim, _) = self.seat.as_ref().expect("only a bound session has stanzas");
                let routed = Box::pin(self.door.router.dispatch(claim, stanza));
                routed.await.await;
            }
            Effect::Active(active) => {
                let (_, mailbox) = self.seat.as_mut().expect("only a bound session has a state");
                mailbox.set_active(active);
            }
            Effect::StartTls => Box::pin(self.start_tls()).await,
            Effect::Authenticate(ask) => Box::pin(self.authenticate(ask)).await,
            Effect::Register(account, password) => {
                Box::pin(self.register(&account, password)).await;
            }
            Effect::Claim(account, resource) => {
                let outcome = Box::pin(self.claim(&account, resource.as_deref())).await;
                self.handle(Event::Claimed(outcome));
            }
            Effect::Close(_) => unreachable!("the loop ends with it"),
        }
    }

    async fn start_tls(&mut self) {
        let deadline = self.clock.at(self.session.deadline().unwrap_or_default());
        let Self { wire, session, door, stop, clock, .. } = self;
        let handshake = async {
            let io = wire.take_written(session, *clock).await.map_err(TlsError::Handshake)?;
            door.tls.accept(io, Mode::StartTls, door.settings.tls_timeout).await
        };
        let secured = tokio::select! {
            secured = handshake => secured,
            // a client that does not even read `<proceed/>`
            () = time::sleep_until(deadline) => return self.handle(Event::Lost),
            () = stop.cancelled() => return self.handle(Event::Lost),
        };
        match secured {
            Ok(io) => {
                self.wire = Wire::new(Box::new(io));
                self.handle(Event::Secured);
            }
            Err(error) => {
                // RFC 6120 5.4.3.2: nothing more is said
                debug!(stream = self.number, %error, "no TLS");
                self.handle(Event::Lost);
            }
        }
    }

    /// The session is over: the client hears why, the router knows it is gone, whichever takes longer.
    async fn end(&mut self, closed: Closed) {
        let Closed { by, why, text } = closed;
        info!(stream = self.number, ?by, why, text, "closed");
        let router = Arc::clone(&self.door.router);
        let seat = self.seat.take();
        let release = async {
            if let Some((claim, mailbox)) = seat {
                router.release(claim, mailbox, Vec::new()).await;
            }
        };
        let farewell = self.wire.farewell(&mut self.session, self.clock, FAREWELL);
        tokio::join!(release, farewell);
    }
}

/// The next mail; without room the end only, and never any before an address is claimed.
async fn next_mail(seat: &mut Option<(Claim, Mailbox)>, room: bool) -> Mail {
    poll_fn(|cx| match seat {
        Some((_, mailbox)) => mailbox.poll_next(cx, room),
        None => Poll::Pending,
    })
    .await
}
