//! What waits for the client: payloads of one stream or several, and the ends of streams.

use super::{End, answer::Payload};
use std::{collections::VecDeque, sync::Arc};

/// What waits, in bytes, before servers are no longer read: what one response may carry, twice.
const FULL: usize = 262_144;
/// Bytes of payload after which a response takes no further payload. It bounds the buffer of answers, too.
const RESPONSE: usize = 131_072;

/// What waits for the client, in the order in which it came.
#[derive(Default)]
pub(super) struct Outbox {
    parcels: VecDeque<(Arc<str>, Parcel)>,
    bytes: usize,
}

enum Parcel {
    Payload(Payload),
    /// The stream is over while others go on; with the server's stream error, if there is one.
    End(End, Option<Payload>),
}

/// What one response says: all of it of one stream (XEP-0124 16.4).
#[derive(Default)]
pub(super) struct Batch {
    /// Which stream; `None` where nothing is said of any.
    pub(super) stream: Option<Arc<str>>,
    pub(super) payloads: Vec<Payload>,
    /// Why the stream is over.
    pub(super) end: Option<End>,
}

impl Batch {
    /// Nothing but the name of a stream, or that it is over at once.
    pub(super) fn of(stream: Arc<str>, end: Option<End>) -> Self {
        Self { stream: Some(stream), payloads: Vec::new(), end }
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Whether the client is so far behind that its servers have to wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    pub(super) fn push(&mut self, stream: Arc<str>, payload: Payload) {
        self.bytes += payload.bytes.len();
        self.parcels.push_back((stream, Parcel::Payload(payload)));
    }

    /// The end of a stream, after all that came on it.
    pub(super) fn push_end(&mut self, stream: Arc<str>, end: End, error: Option<Payload>) {
        self.parcels.push_back((stream, Parcel::End(end, error)));
    }

    /// What the next response says.
    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some((stream, parcel)) = self.parcels.front() {
            if batch.stream.as_ref().is_some_and(|of| of != stream) {
                break;
            }
            if let (Parcel::Payload(payload), Some(first)) = (parcel, batch.payloads.first()) {
                // XEP-0206 2
                let alone = [first, payload].iter().any(|one| one.kind.is_alone());
                if alone || bytes >= RESPONSE {
                    break;
                }
            }
            if matches!(parcel, Parcel::End(..)) && !batch.payloads.is_empty() {
                break;
            }
            let (stream, parcel) = self.parcels.pop_front().expect("just seen");
            batch.stream = Some(stream);
            match parcel {
                Parcel::Payload(payload) => {
                    bytes += payload.bytes.len();
                    batch.payloads.push(payload);
                }
                Parcel::End(end, error) => {
                    batch.payloads.extend(error);
                    batch.end = Some(end);
                    break;
                }
            }
        }
        if self.parcels.is_empty() {
            self.parcels = VecDeque::new(); // an idle session holds no memory for what came
        }
        self.bytes -= bytes;
        batch
    }

    /// All payloads at once, whatever they are, each with its stream: the session is over.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Arc<str>, Payload)> + use<> {
        self.bytes = 0;
        let payload = |(stream, parcel)| match parcel {
            Parcel::Payload(payload) => Some((stream, payload)),
            Parcel::End(..) => None,
        };
        std::mem::take(&mut self.parcels).into_iter().filter_map(payload)
    }
}
