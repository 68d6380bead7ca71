//! One task per connection: it moves the bytes of a session, keeps its time, and carries out what it asks for.

mod door;
mod journal;
mod login;
mod parked;
mod register;
mod restart;
mod resumptions;
mod seat;
#[cfg(test)]
mod tests;
mod wire;

pub use door::Door;

use crate::{
    Origin,
    session::{Closed, Effect, Event, Session},
};
use journal::Entry;
use net::{
    address::{Permit, is_within},
    tls::{Mode, TlsError},
};
use parked::Parked;
use router::BoxFuture;
use seat::{News, Seat};
use std::{
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use wire::{Clock, Io, Wire};
use xmpp_core::sasl::Credentials;

/// How long a client may take to hear why it is over, and to say its last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// A stream and its connection. In a box of its own, so that the task that owns it is small: of what a task holds nothing can
/// be given back, and most of them are idle.
struct Driver {
    door: Arc<Door>,
    session: Session,
    wire: Wire,
    /// Those of the last exchange, until an address is claimed by them.
    credentials: Option<Box<Credentials>>,
    /// The claimed address, once bound.
    seat: Option<Box<Seat>>,
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
    /// For a connection that begins now.
    fn new(
        door: Arc<Door>,
        io: Box<dyn Io>,
        origin: Origin,
        permit: Option<Permit>,
        number: u64,
    ) -> Box<Self> {
        let clock = Clock::start();
        let trusted =
            origin.address.is_some_and(|address| is_within(&door.settings.trusted, address));
        Box::new(Self {
            session: Session::new(Arc::clone(&door) as _, clock.now(), origin.secure, trusted),
            wire: Wire::new(io),
            credentials: None,
            seat: None,
            stop: if permit.is_some() { door.closing() } else { door.shutting() },
            address: origin.address,
            permit,
            door,
            clock,
            number,
        })
    }

    /// Serves the connection to its end.
    async fn serve(mut self: Box<Self>) {
        let closed = self.run().await;
        Box::pin(self.end(closed)).await;
    }

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
                    if let Some(waiting) = self.perform(effect) {
                        waiting.await;
                    }
                    continue;
                }
                None => {}
            }
            self.note();
            // Most deadlines move away with every byte, so the alarm is put off only when it rings.
            let deadline = self.session.deadline().unwrap_or_default();
            if deadline < alarm_at || alarm.is_elapsed() {
                alarm_at = deadline;
                alarm.as_mut().reset(self.clock.at(alarm_at));
            }
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.poll_turn(cx)) => {}
                // Nothing moves: these are asked once in a turn, for all connections share the one, and everything else looks at
                // the time, too.
                () = &mut stopped => self.handle(Event::Shutdown),
                () = &mut alarm => self.handle(Event::Tick),
            }
        }
    }

    /// Ready once something has moved.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.clock.look();
        let Self { session, wire, seat, clock, .. } = self;
        // Before bytes are written: what comes of the stanza leaves with them.
        if let Some(seat) = seat
            && seat.poll_routing(cx).is_ready()
        {
            session.handle(clock.now(), Event::Routed);
            return Poll::Ready(());
        }
        if wire.poll_write(cx, session, *clock).is_ready() {
            return Poll::Ready(());
        }
        if let Some(seat) = seat
            && let Poll::Ready(news) = seat.poll_news(cx, session.has_room())
        {
            match news {
                News::Mail(mail) => session.handle(clock.now(), Event::Mail(mail)),
                News::Settled => {} // counted once its mail is taken
                News::Wanted => session.handle(clock.now(), Event::Replaced),
            }
            return Poll::Ready(());
        }
        let read = wire.poll_read(cx, session, *clock);
        if read.is_pending() {
            session.release_output();
        }
        read
    }

    fn handle(&mut self, event: Event<'_>) {
        self.session.handle(self.clock.look(), event);
    }

    /// Takes all the mail there is room for, so that it leaves in one piece.
    fn take_mail(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        let now = self.clock.now();
        let mut is_empty = false;
        while self.session.has_room() && !is_empty {
            match seat.mailbox.try_next() {
                Some(mail) => self.session.handle(now, Event::Mail(mail)),
                None => is_empty = true,
            }
        }
        // What a stanza caused for the client is written before it is told that the stanza was handled.
        if is_empty && let settled @ 1.. = seat.settled() {
            faults::site!("stanzas-settled");
            self.session.handle(now, Event::Settled(settled));
        }
        let proven = self.session.take_proven();
        if !proven.is_empty() {
            faults::site!("letters-proven");
            self.door.router.took(&seat.claim, proven);
        }
    }

    /// What is said next is written down before it leaves, where the stream is to go on after a kill.
    fn note(&mut self) {
        let Some(Seat { claim, entry: Some(entry), routing, .. }) = self.seat.as_deref_mut() else {
            return;
        };
        let speaks = !self.session.output().is_empty();
        entry.fall_behind(!self.session.keeps_up());
        if let Some(ledger) = self.session.books()
            && (speaks || entry.lags(ledger))
        {
            entry.note(ledger, claim, true, routing.is_none());
        }
    }

    /// Carries out an effect. Where its outcome has to be waited for and handed in before anything else happens, that is what
    /// is left to be done.
    fn perform(&mut self, effect: Effect) -> Option<BoxFuture<'_, ()>> {
        const BOUND: &str = "only a bound session has stanzas, a state, and books";
        match effect {
            Effect::Dispatch(stanza) => {
                let seat = self.seat.as_mut().expect(BOUND);
                let routing = seat.dispatch(&self.door.router, &mut self.session, stanza);
                seat.route(routing);
                None
            }
            Effect::Active(active) => {
                self.seat.as_mut().expect(BOUND).mailbox.set_active(active);
                None
            }
            Effect::Manage(token) => {
                let seat = self.seat.as_mut().expect(BOUND);
                let account = seat.claim.jid().to_bare();
                if let Some(token) = token {
                    seat.entry = (self.session.books()).and_then(|ledger| {
                        Entry::begin(&self.door, &seat.claim, ledger, seat.mark)
                    });
                    seat.ticket = Some(self.door.resumptions.enter(&token, &account));
                }
                seat.claim.manage(seat.entry.is_some());
                None
            }
            Effect::StartTls => Some(Box::pin(self.start_tls())),
            Effect::Authenticate(ask) => Some(Box::pin(self.authenticate(ask))),
            Effect::Register(account, password) => Some(Box::pin(async move {
                self.register(&account, password).await;
            })),
            Effect::Claim(account, resource) => Some(Box::pin(async move {
                let outcome = self.claim(&account, resource.as_deref()).await;
                self.handle(Event::Claimed(outcome));
            })),
            Effect::Resume(account, token) => Some(Box::pin(async move {
                let outcome = self.resume(&account, &token).await;
                self.handle(match outcome {
                    // The session is left to the next process: it is there, only not here any more.
                    Err(_) if self.door.is_closed() => Event::Shutdown,
                    outcome => Event::Resumed(outcome),
                });
            })),
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

    /// The session is over, or at least its connection is: the client hears why, the router knows it is gone, whichever
    /// takes longer.
    async fn end(mut self: Box<Self>, closed: Closed) {
        let Closed { by, why, text, finished } = closed;
        info!(stream = self.number, ?by, why, text, "closed");
        self.note();
        let Some(mut seat) = self.seat.take() else { return self.say_goodbye().await };
        let parks = !finished && self.session.is_resumable();
        let settled = if parks {
            seat.settle().await
        } else {
            // The next process must not find it, perhaps beside one that has taken its place; farewells take their time.
            seat.entry = None;
            // What can still be written is the client's.
            let last_words = self.wire.last_words(&mut self.session, self.clock, FAREWELL);
            tokio::join!(seat.settle(), last_words).0
        };
        self.handle(Event::Settled(settled));
        let router = Arc::clone(&self.door.router);
        router.took(&seat.claim, self.session.take_proven());
        let Seat { claim, mailbox, ticket, heir, entry, .. } = *seat;
        if !parks {
            let release = router.release(claim, mailbox, self.session.take_unproven());
            tokio::join!(release, self.wire.farewell(FAREWELL));
            return;
        }
        faults::site!("connection-lost");
        let ledger = self.session.take_ledger().expect("a resumable stream is managed");
        let parked = Parked { claim, mailbox, ledger, entry, stale: false };
        match (heir, ticket) {
            (Some(heir), _) => self.door.hand_over(parked, heir),
            (None, Some(ticket)) => self.door.park(parked, ticket),
            (None, None) => unreachable!("a resumable stream can be found"),
        }
        self.say_goodbye().await;
    }

    async fn say_goodbye(&mut self) {
        self.wire.last_words(&mut self.session, self.clock, FAREWELL).await;
        self.wire.farewell(FAREWELL).await;
    }
}
