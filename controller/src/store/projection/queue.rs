//! The queue between the thread that applies and the task that writes.
//!
//! One side may block and the other must not: pushers wait on a condition variable, the writer on a notification.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

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
    /// Since when the first of them has been waiting, or did when it became the first.
    since: Instant,
    waiting_bytes: usize,
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
                since: Instant::now(),
                waiting_bytes: 0,
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
        state.tail = Some(batch.applied_index());
        state.bytes += batch.bytes();
        let was_enough = state.is_enough(&self.limits);
        if state.waiting.is_empty() {
            state.since = Instant::now();
            self.work.notify_one();
        }
        state.waiting_bytes += batch.bytes();
        state.waiting.push_back(batch);
        if !was_enough && state.is_enough(&self.limits) {
            self.work.notify_one();
        }
        self.announce(&state);
        Ok(())
    }

    /// The next batches, merged up to the size of a transaction, once they are that many or the first has waited long
    /// enough; `None` once it is over and nothing is left. Its bytes stay counted until [`Queue::written`]. Cancelling it
    /// takes nothing.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            let due = {
                let mut state = self.lock();
                if state.phase == Phase::Ended {
                    return None;
                }
                let due = (!state.waiting.is_empty()).then(|| state.since + self.limits.linger);
                let now = state.phase == Phase::Closed || state.is_enough(&self.limits);
                if now || due.is_some_and(|due| due <= Instant::now()) {
                    return state.take(self.limits.transaction_bytes);
                }
                due
            };
            // A notification that comes between the look and the wait is kept for us.
            match due {
                Some(due) => drop(timeout_at(due, self.work.notified()).await),
                None => self.work.notified().await,
            }
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
    /// Whether what waits fills a transaction.
    fn is_enough(&self, limits: &Limits) -> bool {
        self.waiting_bytes >= limits.transaction_bytes
    }

    fn take(&mut self, transaction_bytes: usize) -> Option<Batch> {
        let mut merged = self.waiting.pop_front()?;
        while let Some(next) = self.waiting.front()
            && merged.bytes() + next.bytes() <= transaction_bytes
            && let Some(next) = self.waiting.pop_front()
        {
            merged.append(next);
        }
        self.waiting_bytes -= merged.bytes();
        Some(merged)
    }
}
