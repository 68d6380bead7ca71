//! Token buckets: how much a stream may send before it is not read for a while.

use crate::Rate;
use std::time::Duration;

/// One token bucket, kept as the time at which it would be full again.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What one token takes to come back.
    interval: Duration,
    /// What an empty bucket takes to fill.
    burst: Duration,
    full_at: Duration,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self { interval, burst: interval * rate.burst, full_at: Duration::ZERO }
    }

    /// Takes tokens, more than there are if need be: the debt is waited for, see [`Bucket::ready_at`].
    pub(super) fn take(&mut self, now: Duration, tokens: usize) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now).saturating_add(self.interval.saturating_mul(tokens));
    }

    /// From when on there is no debt.
    pub(super) fn ready_at(&self) -> Duration {
        self.full_at.saturating_sub(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_at_once_and_more_must_wait() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 20 });
        let now = 100 * SECOND;
        bucket.take(now, 20);
        assert_eq!(bucket.ready_at(), now);
        bucket.take(now, 5);
        assert_eq!(bucket.ready_at(), now + SECOND / 2);
    }

    #[test]
    fn silence_saves_no_more_than_one_burst() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 20 });
        bucket.take(SECOND, 20);
        let later = 1_000 * SECOND;
        bucket.take(later, 21);
        assert_eq!(bucket.ready_at(), later + SECOND / 10);
    }

    #[test]
    fn absurd_rates_neither_overflow_nor_divide_by_zero() {
        let mut bucket = Bucket::new(Rate { per_second: 0, burst: u32::MAX });
        bucket.take(SECOND, usize::MAX);
        bucket.take(SECOND, usize::MAX);
        assert!(bucket.ready_at() > SECOND);
    }
}
