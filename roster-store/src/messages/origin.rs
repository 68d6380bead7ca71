//! What a client sends a second time (XEP-0359 2.2): known by its key, for a day.

use std::collections::HashMap;

/// Stands for a stanza that its sender's client has given an origin id: who sends it, to whom, and all that it says. Of what is
/// said within [`WINDOW`] no two are the same, or else the second is the first, sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(i64);

impl Origin {
    /// By the beginning of a digest of all that.
    pub fn of(digest: [u8; 8]) -> Self {
        Self(i64::from_le_bytes(digest))
    }

    pub(crate) const fn new(key: i64) -> Self {
        Self(key)
    }

    pub(crate) const fn key(self) -> i64 {
        self.0
    }
}

/// How long a stanza is known again, in microseconds: a day. Who comes back later has long given up, or asks the archive.
pub(crate) const WINDOW: i64 = 24 * 60 * 60 * 1_000_000;

/// How many are remembered: a day of 5,000 people who write 40 messages each, or three minutes at 1,000 messages a second; in some
/// 4 MB, which a start reads in some hundredths of a second. Past it the window is shorter: nearly all that comes again comes
/// with the next connection.
pub(crate) const ORIGINS: usize = 200_000;

/// So many are kept without a look at their age.
const SWEEP_MIN: usize = 1_024;

/// Origins of a day, each with when it came, in microseconds since 1970, made unique: its place in the store.
pub(crate) struct Origins {
    known: HashMap<Origin, i64>,
    last: i64,
    /// How many there may be before old ones are forgotten.
    sweep_at: usize,
}

/// What an origin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// New, from now on known by this place.
    New(i64),
    /// Known, by this place.
    Again(i64),
}

impl Origins {
    /// Those that were noted before.
    pub(crate) fn restored(noted: impl IntoIterator<Item = (Origin, i64)>) -> Self {
        let known: HashMap<_, _> = noted.into_iter().collect();
        let last = known.values().copied().max().unwrap_or(0);
        let sweep_at = ORIGINS.min(2 * known.len().max(SWEEP_MIN / 2));
        Self { known, last, sweep_at }
    }

    /// Notes one that comes now.
    pub(crate) fn note(&mut self, origin: Origin, now: i64) -> Noted {
        match self.known.get(&origin) {
            Some(&place) if now - place <= WINDOW => return Noted::Again(place),
            _ => {}
        }
        if self.known.len() >= self.sweep_at {
            self.sweep();
        }
        self.last = now.max(self.last + 1);
        self.known.insert(origin, self.last);
        Noted::New(self.last)
    }

    /// Whether it is known by this place.
    pub(crate) fn knows(&self, origin: Origin, place: i64) -> bool {
        self.known.get(&origin) == Some(&place)
    }

    /// It was not kept: the next one is new.
    pub(crate) fn forget(&mut self, origin: Origin, place: i64) {
        if self.knows(origin, place) {
            self.known.remove(&origin);
        }
    }

    /// Forgets what is too old, and where that is too little the older half of the time that is left, again and again.
    fn sweep(&mut self) {
        let mut window = WINDOW;
        let mut room = ORIGINS;
        loop {
            let since = self.last - window;
            self.known.retain(|_, place| *place >= since);
            if self.known.len() < room {
                break;
            }
            room = ORIGINS / 2;
            window /= 2;
        }
        self.sweep_at = ORIGINS.min(SWEEP_MIN.max(2 * self.known.len()));
        self.known.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = WINDOW / 24;

    fn none() -> Origins {
        Origins::restored([])
    }

    #[test]
    fn n2_the_same_within_a_day_is_known_and_later_new() {
        let mut origins = none();
        let one = Origin::new(1);
        assert_eq!(origins.note(one, 1_000), Noted::New(1_000));
        assert_eq!(origins.note(Origin::new(2), 1_000), Noted::New(1_001), "a place of its own");
        assert_eq!(origins.note(one, 1_000 + WINDOW), Noted::Again(1_000));
        assert_eq!(origins.note(one, 1_001 + WINDOW), Noted::New(1_001 + WINDOW));
        assert_eq!(origins.note(one, 7), Noted::Again(1_001 + WINDOW), "the clock was put back");
    }

    #[test]
    fn n2_what_was_not_kept_is_new_the_next_time() {
        let mut origins = none();
        let one = Origin::new(1);
        assert_eq!(origins.note(one, 10), Noted::New(10));
        origins.forget(one, 9);
        assert_eq!(origins.note(one, 11), Noted::Again(10), "that was another");
        origins.forget(one, 10);
        assert_eq!(origins.note(one, 11), Noted::New(11));
    }

    #[test]
    fn r03_what_is_older_than_a_day_takes_no_room() {
        let mut origins = none();
        for hour in 0..100 {
            for n in 0..100 {
                origins.note(Origin::new(hour * 100 + n), hour * HOUR + n);
            }
            assert!(origins.known.len() <= 2 * 26 * 100, "{}", origins.known.len());
        }
        assert_eq!(origins.note(Origin::new(99 * 100), 99 * HOUR), Noted::Again(99 * HOUR));
    }

    #[test]
    fn r03_of_too_many_the_newest_stay() {
        let mut origins = none();
        let most = i64::try_from(ORIGINS).expect("few");
        for n in 1..=2 * most {
            origins.note(Origin::new(n), n);
            assert!(origins.known.len() <= ORIGINS);
        }
        assert_eq!(origins.note(Origin::new(2 * most), 2 * most), Noted::Again(2 * most));
        assert_eq!(origins.note(Origin::new(2 * most - 1_000), 0), Noted::Again(2 * most - 1_000));
        // All at once, as of one moment.
        let mut origins = Origins::restored((0..most).map(|n| (Origin::new(n), n)));
        assert_eq!(origins.note(Origin::new(-1), most), Noted::New(most));
        assert!(origins.known.len() <= ORIGINS / 2 + 1);
    }
}
