//! Rows in flight: messages that the store keeps for an account and that are on their way to a client of it.
//!
//! A row is in flight as long as somebody holds it: a parcel in the lane, a letter in a mailbox, or one in the hands of a
//! session that waits for its client's word. So whatever becomes of those, whoever reads what waits for the account
//! next finds it; and while one of them is there nobody delivers it a second time.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

/// A message of the store on its way.
#[derive(Debug)]
pub(crate) struct Row {
    number: i64,
    taken: AtomicBool,
}

/// The rows of one account that are on their way. Lives under the account's guard.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    rows: Vec<(i64, Weak<Row>)>,
    /// How many there may be before those that have arrived are forgotten.
    sweep_at: usize,
    /// What waits is being read: until that is done none is forgotten, since the store may be read as it was before.
    reading: bool,
}

impl Row {
    /// Its number in the store.
    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    /// A client has it. Whether it is the first.
    pub(crate) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Lets go of it. Whether nobody else holds it and no client has it.
    pub(crate) fn is_orphaned(self: Arc<Self>) -> bool {
        Arc::into_inner(self).is_some_and(|row| !row.taken.into_inner())
    }
}

impl InFlight {
    /// A row is on its way.
    pub(crate) fn add(&mut self, number: i64) -> Arc<Row> {
        if self.rows.len() >= self.sweep_at {
            self.sweep();
            self.sweep_at = SWEEP_MIN.max(2 * self.rows.len());
        }
        let row = Arc::new(Row { number, taken: AtomicBool::new(false) });
        self.rows.push((number, Arc::downgrade(&row)));
        row
    }

    /// A row is on its way once more, perhaps.
    pub(crate) fn add_again(&mut self, number: i64) -> Arc<Row> {
        let rows = self.rows.iter().filter(|(its, _)| *its == number);
        let held = rows.filter_map(|(_, row)| row.upgrade()).next();
        held.unwrap_or_else(|| self.add(number))
    }

    /// Whether somebody holds it.
    pub(crate) fn is_held(&self, number: i64) -> bool {
        let mut rows = self.rows.iter().filter(|(its, _)| *its == number);
        rows.any(|(_, row)| row.strong_count() > 0)
    }

    /// What waits is being read from now on.
    pub(crate) fn begin_read(&mut self) {
        self.reading = false;
        self.sweep();
        self.reading = true;
    }

    /// What was read is in flight, or of no use any more.
    pub(crate) fn end_read(&mut self) {
        self.reading = false;
    }

    /// Whether it is on its way, or was since the reading began.
    pub(crate) fn has(&self, number: i64) -> bool {
        self.rows.iter().any(|(its, _)| *its == number)
    }

    /// Forgets those that have arrived.
    pub(crate) fn sweep(&mut self) {
        if !self.reading {
            self.rows.retain(|(_, row)| row.strong_count() > 0);
            if self.rows.is_empty() {
                self.rows = Vec::new();
            }
        }
    }
}

/// So many are kept without a look at them: an ordinary conversation looks seldom.
const SWEEP_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_in_flight_while_somebody_holds_it() {
        let mut rows = InFlight::default();
        let one = rows.add(1);
        let again = rows.add_again(1);
        drop(one);
        rows.begin_read();
        assert!(rows.has(1));
        assert!(again.is_orphaned());
        (2..100).for_each(|number| drop(rows.add(number)));
        assert!(rows.has(1), "the reading may have begun before it was settled");
        rows.begin_read();
        assert!(!rows.has(1));
    }

    #[test]
    fn a_row_that_a_client_has_is_nobody_s_orphan() {
        let mut rows = InFlight::default();
        let (one, other) = (rows.add(1), rows.add_again(1));
        assert!(one.take() && !other.take());
        assert!(!one.is_orphaned() && !other.is_orphaned());
    }

    #[test]
    fn r03_those_that_have_arrived_are_forgotten() {
        let mut rows = InFlight::default();
        let held: Vec<_> = (0..10).map(|number| rows.add(number)).collect();
        for number in 10..10_000 {
            rows.add(number);
            assert!(rows.rows.len() <= 2 * SWEEP_MIN);
        }
        assert!(held.iter().all(|row| rows.has(row.number())));
    }
}
