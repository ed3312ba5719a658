//! The queue between the thread that applies and the task that writes.
//!
//! One side may block and the other must not: pushers wait on a condition variable, the writer on a notification.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::{Limits, Pressure, PushError};
use crate::store::Batch;

pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Somebody may push: there is room, or it is over.
    room: Condvar,
    /// The writer may look again: there is a batch, or it is over.
    work: Notify,
    pressure: watch::Sender<Pressure>,
}

struct State {
    waiting: VecDeque<Batch>,
    /// Of all that is waiting or being written.
    bytes: usize,
    /// Where the last batch pushed leads.
    tail: Option<u64>,
    phase: Phase,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Open,
    /// No more pushes; what is there is still written.
    Closed,
    /// Nothing is written any more.
    Ended,
}

impl Queue {
    pub(super) fn new(applied: Option<u64>, limits: Limits) -> Queue {
        Queue {
            limits,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                tail: applied,
                phase: Phase::Open,
            }),
            room: Condvar::new(),
            work: Notify::new(),
            pressure: watch::channel(Pressure::Low).0,
        }
    }

    pub(super) fn push(&self, batch: Batch) -> Result<(), PushError> {
        let mut state = self
            .room
            .wait_while(self.lock(), |state| {
                state.phase == Phase::Open && state.bytes >= self.limits.full_bytes
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.phase != Phase::Open {
            return Err(PushError::Ended);
        }
        if batch.after() != state.tail {
            return Err(PushError::Gap { expected: state.tail, found: batch.after() });
        }
        state.tail = Some(batch.mark().applied_index);
        state.bytes += batch.bytes();
        state.waiting.push_back(batch);
        self.announce(&state);
        self.work.notify_one();
        Ok(())
    }

    /// The next batches, merged up to the size of a transaction; `None` once it is over and nothing is left. Its bytes
    /// stay counted until [`Queue::written`]. Cancelling it takes nothing.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if state.phase == Phase::Ended {
                    return None;
                }
                if let Some(batch) = state.take(self.limits.transaction_bytes) {
                    return Some(batch);
                }
                if state.phase == Phase::Closed {
                    return None;
                }
            }
            // A notification that comes between the look and the wait is kept for us.
            self.work.notified().await;
        }
    }

    /// Resolves when no more is pushed. Cancelling it is harmless; not to be waited for beside [`Queue::next`].
    pub(super) async fn closed(&self) {
        while self.lock().phase == Phase::Open {
            self.work.notified().await;
        }
    }

    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes -= bytes;
        self.announce(&state);
        self.room.notify_all();
    }

    /// No more pushes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        self.room.notify_all();
        self.work.notify_one();
    }

    /// No more writes either.
    pub(super) fn end(&self) {
        self.lock().phase = Phase::Ended;
        self.room.notify_all();
        self.work.notify_one();
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn pressure(&self) -> watch::Receiver<Pressure> {
        self.pressure.subscribe()
    }

    fn announce(&self, state: &State) {
        let now = match state.bytes {
            bytes if bytes >= self.limits.hard_bytes => Pressure::Hard,
            bytes if bytes >= self.limits.soft_bytes => Pressure::Soft,
            _ => Pressure::Low,
        };
        self.pressure.send_if_modified(|pressure| std::mem::replace(pressure, now) != now);
    }

    /// Nothing that holds the lock can panic half-way through a change, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, transaction_bytes: usize) -> Option<Batch> {
        let mut merged = self.waiting.pop_front()?;
        while let Some(next) = self.waiting.front()
            && merged.bytes() + next.bytes() <= transaction_bytes
            && let Some(next) = self.waiting.pop_front()
        {
            merged.append(next);
        }
        Some(merged)
    }
}
