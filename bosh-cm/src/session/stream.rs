//! One of a session's streams to its servers (XEP-0124 16).

use super::{StreamId, link::Link, management::Management};
use sha1::{Digest, Sha1};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use xmpp_core::ns;

/// How long the server may take none of what is written to it.
const STALL: Duration = Duration::from_secs(60);
/// How long the server may take from a stream header to its features, as long as a client may take to
/// authenticate.
const OPENING: Duration = Duration::from_secs(30);

/// A stream, from the attempt to connect to its end.
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// What the client calls it.
    pub(super) name: Arc<str>,
    pub(super) link: Link,
    /// Stream management in the client's stead.
    pub(super) management: Management,
    /// Attributes for the next answer that is about it.
    pub(super) news: Vec<(&'static str, String)>,
    /// Bytes that the server has not taken yet.
    pub(super) unwritten: usize,
    /// Whether it is closed or being closed.
    pub(super) closed: bool,
    /// Whether the server's header has come.
    greeted: bool,
    /// When the server must have taken more of what is written.
    stall: Option<Instant>,
    /// When the server must have sent its features.
    opening: Option<Instant>,
}

/// The name of a session's stream: unpredictable and unique as the session's identifier is, and without a way
/// back to that (XEP-0124 16.2).
pub(super) fn name(sid: &str, id: StreamId) -> Arc<str> {
    let hash = Sha1::digest(format!("{} {sid}", id.0));
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

impl Stream {
    pub(super) fn new(now: Instant, id: StreamId, name: Arc<str>, link: Link) -> Self {
        Self {
            id,
            name,
            link,
            management: Management::default(),
            news: Vec::new(),
            unwritten: 0,
            closed: false,
            greeted: false,
            stall: None,
            opening: Some(now + OPENING),
        }
    }

    /// The server's first header: what the client learns of it (XEP-0124 7.2, XEP-0206 4).
    pub(super) fn greet(&mut self, from: Option<String>, id: Option<String>) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        if self.news.is_empty() {
            self.news.push(("xmlns:xmpp", ns::XBOSH.into()));
        }
        self.news.push(("from", from.unwrap_or_else(|| self.link.domain().to_owned())));
        self.news.push(("xmpp:version", "1.0".to_owned()));
        self.news.extend(id.map(|id| ("authid", id)));
    }

    /// A new header was sent, and features have to follow.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.opening = Some(now + OPENING);
    }

    /// Something came from the server.
    pub(super) fn heard(&mut self) {
        if self.link.is_open() {
            self.opening = None;
        }
    }

    /// The server took bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.unwritten -= bytes;
        self.stall = None;
    }

    /// Starts to wait for the server where there is something to be taken, and stops where there is not.
    pub(super) fn watch(&mut self, now: Instant) {
        let waits = self.unwritten > 0 && !self.closed;
        self.stall = waits.then(|| self.stall.unwrap_or(now + STALL));
    }

    /// When the server is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let both = [self.opening, self.stall].into_iter().flatten();
        both.min().filter(|_| !self.closed)
    }
}
