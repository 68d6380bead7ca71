//! A bounded queue between the callers, who never wait, and a thread, which does.

use crate::{Result, StoreError};
use std::{
    collections::VecDeque,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many jobs may wait: some 100 ms of work. Past it the store is too slow for its load, and saying so at once is
/// better than a longer line.
const MAX_JOBS: usize = 8_192;
/// How many bytes of stanzas may wait with them.
const MAX_BYTES: usize = 32 * 1024 * 1024;

pub(super) struct Queue<J> {
    inner: Mutex<Inner<J>>,
    ready: Condvar,
}

struct Inner<J> {
    jobs: VecDeque<(J, usize)>,
    bytes: usize,
    open: bool,
    /// So many threads wait for jobs.
    idle: usize,
    /// So many of them have been told that there are some: each is told once, since that is a system call.
    called: usize,
    /// It has refused some since it was last empty.
    refuses: bool,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Self {
        let inner = Inner {
            jobs: VecDeque::new(),
            bytes: 0,
            open: true,
            idle: 0,
            called: 0,
            refuses: false,
        };
        Self { inner: Mutex::new(inner), ready: Condvar::new() }
    }

    /// Queues a job that holds this many bytes, or fails with [`StoreError::Busy`].
    pub(super) fn push(&self, job: J, bytes: usize) -> Result<()> {
        let mut inner = self.lock();
        if !inner.open {
            return Err(StoreError::Failed("closed".into()));
        }
        if inner.jobs.len() >= MAX_JOBS || inner.bytes + bytes > MAX_BYTES {
            if !mem::replace(&mut inner.refuses, true) {
                tracing::warn!("operations are refused: too many wait for the store");
            }
            return Err(StoreError::Busy);
        }
        inner.bytes += bytes;
        inner.jobs.push_back((job, bytes));
        let call = inner.called < inner.idle;
        inner.called += usize::from(call);
        drop(inner);
        if call {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs, so long at most where that is said, and takes up to `max` of them, oldest first. `None` once the queue is
    /// closed and empty.
    pub(super) fn take(&self, max: usize, patience: Option<Duration>) -> Option<Vec<J>> {
        let mut inner = self.lock();
        while inner.jobs.is_empty() {
            if !inner.open {
                return None;
            }
            inner.idle += 1;
            let timed_out;
            (inner, timed_out) = match patience {
                None => (self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner), false),
                Some(patience) => {
                    let woken = self.ready.wait_timeout(inner, patience);
                    let (inner, waited) = woken.unwrap_or_else(PoisonError::into_inner);
                    (inner, waited.timed_out())
                }
            };
            inner.idle -= 1;
            inner.called = inner.called.saturating_sub(1);
            if timed_out && inner.jobs.is_empty() && inner.open {
                return Some(Vec::new());
            }
        }
        let count = inner.jobs.len().min(max);
        let mut freed = 0;
        let taken = inner.jobs.drain(..count).map(|(job, bytes)| {
            freed += bytes;
            job
        });
        let taken = taken.collect();
        inner.bytes -= freed;
        if inner.jobs.is_empty() && mem::take(&mut inner.refuses) {
            tracing::info!("operations are taken again");
        }
        Some(taken)
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes no more jobs; those that wait are still given out.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.ready.notify_all();
    }

    /// Takes no more jobs and drops those that wait.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        inner.open = false;
        let jobs = mem::take(&mut inner.jobs);
        drop(inner);
        drop(jobs); // wakes their callers: not under the lock
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        // Nothing under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_a_full_queue_refuses_at_once() {
        let queue = Queue::new();
        for job in 0..MAX_JOBS {
            queue.push(job, 1).expect("there is room");
        }
        assert_eq!(queue.push(0, 1), Err(StoreError::Busy));
        assert_eq!(queue.take(10, None), Some((0..10).collect()));
        assert_eq!(queue.len(), MAX_JOBS - 10);
        queue.push(0, 1).expect("there is room again");
    }

    #[test]
    fn r05_a_queue_full_of_bytes_refuses_at_once() {
        let queue = Queue::new();
        queue.push(0, MAX_BYTES).expect("there is room");
        assert_eq!(queue.push(1, 1), Err(StoreError::Busy));
        assert_eq!(queue.take(2, None), Some(vec![0]));
        queue.push(1, MAX_BYTES).expect("there is room again");
    }

    #[test]
    fn a_closed_queue_gives_out_what_waits_and_an_abandoned_one_does_not() {
        for (close, left) in
            [(Queue::close as fn(&Queue<i32>), Some(vec![1])), (Queue::abandon, None)]
        {
            let queue = Queue::new();
            queue.push(1, 0).expect("there is room");
            close(&queue);
            assert_eq!(queue.push(2, 0), Err(StoreError::Failed("closed".into())));
            assert_eq!(queue.take(8, None), left);
            assert_eq!(queue.take(8, None), None);
        }
    }

    #[test]
    fn whoever_has_no_patience_goes_without() {
        let queue = Queue::<i32>::new();
        let patience = Some(Duration::from_millis(1));
        assert_eq!(queue.take(8, patience), Some(vec![]));
        queue.push(1, 0).expect("there is room");
        assert_eq!(queue.take(8, patience), Some(vec![1]));
        queue.close();
        assert_eq!(queue.take(8, patience), None);
    }
}
