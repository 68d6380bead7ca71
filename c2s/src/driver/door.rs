//! The door: what all client streams share, and how they begin and end together.

use super::{Driver, parked::Parked, resumptions::Resumptions, wire::Io};
use crate::{Counts, Origin, Settings, session::Host};
use bytes::Bytes;
use net::{
    address::{Attempts, Permit},
    hashing::Hashing,
    listener::Listener,
    random,
    tls::{Mode, Tls},
};
use roster_store::{Accounts, Journal, Sessions};
use router::{Offer, Router};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use xmpp_core::sasl::Masking;

/// Serves client streams; shared by all listeners.
pub struct Door {
    pub(super) settings: Settings,
    pub(super) router: Arc<Router>,
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) tls: Arc<Tls>,
    pub(super) masking: Masking,
    /// Failed logins per address.
    pub(super) attempts: Attempts,
    /// Registrations per address, tried or done.
    pub(super) registrations: Attempts,
    pub(super) hashing: Arc<Hashing>,
    /// What is kept of sessions for the next process.
    pub(super) sessions: Arc<dyn Sessions>,
    /// Where they are written down, once those of the process before are taken up.
    pub(super) journal: OnceLock<Journal>,
    /// The last number of a stream there.
    pub(super) last_stream: AtomicU32,
    pub(super) resumptions: Arc<Resumptions>,
    /// The sessions that may be resumed once the door is closed, and for how long.
    pub(super) left: Mutex<Vec<(Parked, Duration)>>,
    /// It is closed.
    stop: CancellationToken,
    /// It is shut.
    end: CancellationToken,
    streams: TaskTracker,
    /// Sessions without a connection.
    pub(super) waiting: TaskTracker,
    /// Streams so far: their numbers in the log.
    count: AtomicU64,
    /// Logins that succeeded, and those that failed.
    logins: [AtomicU64; 2],
}

impl Door {
    /// A door onto this router.
    pub fn new(
        settings: Settings,
        router: Arc<Router>,
        accounts: Arc<dyn Accounts>,
        sessions: Arc<dyn Sessions>,
        tls: Arc<Tls>,
        hashing: Arc<Hashing>,
    ) -> Arc<Self> {
        let registrations = settings.registration.as_ref().map_or(0, |terms| terms.per_hour);
        Arc::new(Self {
            masking: Masking::new(accounts.masking_key(), settings.iterations),
            attempts: Attempts::per_minute(
                settings.failed_logins_per_minute,
                settings.trusted.clone(),
            ),
            registrations: Attempts::per_hour(registrations, settings.trusted.clone()),
            hashing,
            sessions,
            journal: OnceLock::new(),
            last_stream: AtomicU32::new(0),
            left: Mutex::default(),
            resumptions: Resumptions::new(settings.parked_per_account, settings.parked),
            settings,
            router,
            accounts,
            tls,
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
            streams: TaskTracker::new(),
            waiting: TaskTracker::new(),
            count: AtomicU64::new(0),
            logins: Default::default(),
        })
    }

    /// Serves one connection until it ends. Ends by itself soon after [`Door::shut`].
    pub fn serve<S>(
        self: Arc<Self>,
        stream: S,
        origin: Origin,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.enter(Box::new(stream), origin, None)
    }

    /// Accepts the connections of a listener and serves each in a task of its own, until [`Door::close`].
    /// `direct_tls`: TLS comes before the stream (XEP-0368).
    pub async fn listen(self: Arc<Self>, listener: Listener, direct_tls: bool) {
        loop {
            let (stream, address, permit) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let origin = Origin { address: Some(address.ip()), secure: direct_tls };
            let door = Arc::clone(&self);
            tokio::spawn(async move {
                let io: Box<dyn Io> = match direct_tls {
                    false => Box::new(stream),
                    // Boxed: a handshake is large and short, a session small and long.
                    true => {
                        let deadline = door.settings.tls_timeout;
                        match Box::pin(door.tls.accept(stream, Mode::Direct, deadline)).await {
                            Ok(stream) => Box::new(stream),
                            Err(error) => return debug!(%address, %error, "no TLS"),
                        }
                    }
                };
                door.enter(io, origin, Some(permit)).await;
            });
        }
    }

    /// Numbers for operators, as they are now.
    pub fn counts(&self) -> Counts {
        let [logins, failed_logins] =
            self.logins.each_ref().map(|count| count.load(Ordering::Relaxed));
        Counts { streams: self.streams.len(), logins, failed_logins }
    }

    /// One more login, that succeeded or failed.
    pub(super) fn count_login(&self, succeeded: bool) {
        self.logins[usize::from(!succeeded)].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes no more connections, and tells clients of the listeners `system-shutdown` (RFC 6120 4.9.3.20). From here on no
    /// session's time to be resumed runs out. Streams handed to [`Self::serve`] go on: who brought them has to end them, and may
    /// have a client of its own to tell why.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Whether it takes no more connections.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The same for all streams; waits until they are gone, or for [`Settings::shutdown_timeout`]. Streams that are not done by then end
    /// with the runtime. Sessions that may be resumed are left to the next process, which [takes them up](Self::take_up).
    pub async fn shut(&self) {
        self.close();
        self.end.cancel();
        self.streams.close();
        self.waiting.close();
        let all = async {
            self.streams.wait().await;
            self.waiting.wait().await;
        };
        if time::timeout(self.settings.shutdown_timeout, all).await.is_err() {
            warn!(streams = self.streams.len(), "clients did not go in time");
        }
        self.leave_behind().await;
    }

    /// Where sessions are written down, so that they go on after a kill; `None`: nowhere.
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.get()
    }

    /// The number there of a stream that begins.
    pub(super) fn next_stream(&self) -> u32 {
        self.last_stream.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The door closes: this session is left to the next process, to be resumed within so much time.
    pub(super) fn leave(&self, parked: Parked, rest: Duration) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push((parked, rest));
    }

    fn enter(
        self: Arc<Self>,
        io: Box<dyn Io>,
        origin: Origin,
        permit: Option<Permit>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        info!(stream = number, address = origin.address.map(tracing::field::display), "connected");
        let streams = self.streams.clone();
        streams.track_future(Driver::new(self, io, origin, permit, number).serve())
    }

    /// Done once the door closes. One for each session: a shared one would make them wait for each other.
    pub(super) fn closing(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// The same once it shuts.
    pub(super) fn shutting(&self) -> CancellationToken {
        self.end.child_token()
    }
}

impl Host for Door {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn serves(&self, domain: &str) -> bool {
        self.router.serves(domain)
    }

    fn features(&self, offer: Offer, domain: &str) -> Bytes {
        self.router.stream_features(offer, domain)
    }

    fn token(&self) -> String {
        random::token()
    }
}
