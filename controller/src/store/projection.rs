//! The pipelined writer: what `apply` produced goes to Postgres behind it, in order, within a bound in bytes.
//!
//! ```text
//!                 connection broke, server away, disk full
//!        Working ────────────────────────────────────────> Degraded ──┐ back-off,
//!         ^  │   <──────────────────────────────────────────   ^      │ same batch
//!         │  │                  it worked again                └──────┘ again
//!         │  │ stop()                                          │
//!       start └──────────> Stopped                             │ the database is not what it was,
//!                                                              v or refuses what it is given
//!                                                            Failed: the process must exit
//! ```
//!
//! Invariants:
//!
//! - Batches reach the database in the order they were pushed, each once; neighbours may share a transaction.
//! - `flushed` never runs ahead of what a power cut would leave, and never back.
//! - A batch leaves the queue's count of bytes only when it is durable. So memory is bounded by
//!   [`Limits::full_bytes`] plus one batch, whatever Postgres does.
//! - A transient error is never the end, and any other one always is. Nothing is skipped, nothing is "repaired".

mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use rempart_model::planted;

use super::{Batch, Store, StoreError, embedded};
use queue::Queue;

/// How much may wait for Postgres. Measured in [`Batch::bytes`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From here on proposals should slow down.
    pub soft_bytes: usize,
    /// From here on proposals should be refused (503).
    pub hard_bytes: usize,
    /// From here on [`Projection::push`] blocks. Above `hard_bytes`, so that a leader that refuses proposals can still
    /// apply what it accepted before; a follower, whom nobody asks, simply applies later.
    pub full_bytes: usize,
    /// Consecutive batches share a transaction up to this size. A single larger one goes alone.
    pub transaction_bytes: usize,
    /// How long a batch waits for others to share its transaction, unless there are enough. Nobody waits for Postgres but
    /// the purge of the log; each transaction costs it an fsync, and its row with the mark is written anew.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: usize = 1024 * 1024;
        Limits {
            soft_bytes: 16 * MIB,
            hard_bytes: 48 * MIB,
            full_bytes: 64 * MIB,
            transaction_bytes: 4 * MIB,
            linger: Duration::from_millis(100),
        }
    }
}

/// What the queue's length asks of those who propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Go on.
    Low,
    /// Above the soft limit: propose more slowly.
    Soft,
    /// Above the hard limit: refuse with 503 until it falls.
    Hard,
}

/// How the projection is doing.
#[derive(Clone, Debug)]
pub enum Health {
    /// Postgres takes what it is given.
    Working,
    /// Postgres is away or refuses for now; the projection keeps trying and has lost nothing.
    Degraded {
        /// Since when.
        since: Instant,
        /// What it said last.
        why: String,
    },
    /// The projection has ended and cannot go on: this process must exit, and start again from what Postgres holds.
    Failed {
        /// What the database is, or refused.
        why: String,
    },
    /// Stopped because it was asked to.
    Stopped,
}

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It stopped or failed; [`Projection::health`] says which and why.
    #[error("the projection to Postgres has ended; nothing more may be applied by this process")]
    Ended,
    /// The batch does not follow the one before: a bug in the caller.
    #[error(
        "a batch that follows {found:?} was pushed after one that leads to {expected:?}; nothing may be left out"
    )]
    Gap {
        /// Where the batch before led.
        expected: Option<u64>,
        /// What this one follows.
        found: Option<u64>,
    },
}

/// Why [`Projection::stop`] could not finish. Nothing is lost either way: the log has it all.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Postgres did not take the rest in time.
    #[error(
        "{queued_bytes} bytes were not written to Postgres in time; they are applied again from the log at the next start"
    )]
    TooSlow {
        /// What was left, in bytes.
        queued_bytes: usize,
    },
    /// It had failed, or did so while it was writing the rest.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// The writing task panicked: a bug.
    #[error("the task that writes to Postgres panicked; nothing is lost, please report it")]
    Panicked,
}

/// Where batches become durable: a database, or what stands in for one in a simulation. What it promises is what
/// [`Store::commit`] does: each batch whole or not at all, on exactly what it follows, and for good once it returned.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// See [`Store::commit`].
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// See [`Store::applied_index`].
    fn applied_index(&self) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;
    /// See [`Store::ready`].
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(Ok(()))
    }
    /// Whether that was done.
    fn is_ready(&self) -> bool {
        true
    }
    /// See [`Store::server`].
    fn server(&self) -> Option<watch::Receiver<embedded::Status>>;
    /// The error of a database that is not where it should be.
    fn out_of_step(&self, expected: Option<u64>, found: Option<u64>) -> StoreError;
}

impl Keeper for Store {
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        Store::commit(self, batch).await
    }

    async fn applied_index(&self) -> Result<Option<u64>, StoreError> {
        Store::applied_index(self).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Store::ready(self).await
    }

    fn is_ready(&self) -> bool {
        self.opened().is_ok()
    }

    fn server(&self) -> Option<watch::Receiver<embedded::Status>> {
        Store::server(self)
    }

    fn out_of_step(&self, expected: Option<u64>, found: Option<u64>) -> StoreError {
        Store::out_of_step(self, expected, found)
    }
}

/// The pipelined writer of one store. Share it behind an `Arc`.
///
/// Dropping it ends it without flushing, which loses nothing but time at the next start.
pub struct Projection {
    queue: Arc<Queue>,
    flushed: watch::Receiver<Option<u64>>,
    health: watch::Receiver<Health>,
    task: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

/// How often an idle projection looks whether Postgres is still there, and still the same.
const IDLE_PROBE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Projection {
    /// Opens `store` if that was not done (what is pushed waits), and starts writing to it; its applied
    /// index is `applied` (that of [`Loaded::mark`](super::Loaded::mark)).
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(store: Arc<Store>, applied: Option<u64>, limits: Limits) -> Projection {
        Projection::to(store, applied, limits)
    }

    /// As [`Projection::start`], to any keeper.
    pub(crate) fn to<K: Keeper>(store: Arc<K>, applied: Option<u64>, limits: Limits) -> Projection {
        let queue = Arc::new(Queue::new(applied, limits));
        let (flushed_sender, flushed) = watch::channel(applied);
        let health = match store.is_ready() {
            true => Health::Working,
            false => Health::Degraded { since: Instant::now(), why: StoreError::NotOpen.to_string() },
        };
        let (health_sender, health) = watch::channel(health);
        let writer =
            Writer { store, queue: Arc::clone(&queue), flushed: flushed_sender, health: health_sender };
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        Projection { queue, flushed, health, task }
    }

    /// Hands over the effects of one entry. Returns at once unless [`Limits::full_bytes`] are waiting, then blocks the
    /// calling thread until some of them are written: call it from the thread that applies, not from an async task.
    ///
    /// # Errors
    /// When the projection has ended, or the batch does not follow the one before.
    pub fn push(&self, batch: Batch) -> Result<(), PushError> {
        self.queue.push(batch)
    }

    /// The applied index that is durably in Postgres; `None`: nothing yet. What the log may be purged by.
    #[must_use]
    pub fn flushed(&self) -> watch::Receiver<Option<u64>> {
        self.flushed.clone()
    }

    /// What the queue's length asks of those who propose.
    #[must_use]
    pub fn pressure(&self) -> watch::Receiver<Pressure> {
        self.queue.pressure()
    }

    /// How many bytes wait, or are being written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How it is doing. Whoever runs the process watches this for [`Health::Failed`].
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Takes no more batches, writes what is queued, and ends; gives up after `patience`.
    ///
    /// # Errors
    /// When not everything could be written.
    pub async fn stop(&self, patience: Duration) -> Result<(), StopError> {
        self.queue.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return Ok(()) };
        match timeout(patience, &mut task).await {
            Ok(Ok(outcome)) => outcome.map_err(StopError::Failed),
            Ok(Err(_)) => Err(StopError::Panicked),
            Err(_) => {
                task.abort();
                Err(StopError::TooSlow { queued_bytes: self.queue.bytes() })
            }
        }
    }
}

impl Drop for Projection {
    fn drop(&mut self) {
        self.queue.end();
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// The task behind a projection.
struct Writer<K> {
    store: Arc<K>,
    queue: Arc<Queue>,
    flushed: watch::Sender<Option<u64>>,
    health: watch::Sender<Health>,
}

impl<K> Drop for Writer<K> {
    /// However the task ends (a panic, a runtime that shuts down), nobody is left blocked in `push`.
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl<K: Keeper> Writer<K> {
    async fn run(self) -> Result<(), StoreError> {
        let outcome = self.write_all().await;
        // First the queue, so that who sees `Failed` also sees pushes refused.
        self.queue.end();
        self.health.send_replace(match &outcome {
            Ok(()) => Health::Stopped,
            Err(error) => {
                tracing::error!(%error, "the projection to Postgres has ended, and this process must");
                Health::Failed { why: error.to_string() }
            }
        });
        outcome
    }

    async fn write_all(&self) -> Result<(), StoreError> {
        if !self.store.is_ready() {
            tokio::select! {
                biased;
                opened = self.open() => opened?,
                // What was pushed is in the log, and applied again at the next start.
                () = self.queue.closed() => return Ok(()),
            }
        }
        let mut server = self.store.server();
        loop {
            let server_changed = async {
                let changed = match &mut server {
                    Some(status) => status.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending().await
                }
            };
            tokio::select! {
                biased;
                batch = self.queue.next() => match batch {
                    Some(batch) => self.write(&batch).await?,
                    None => return Ok(()),
                },
                () = server_changed => self.probe().await?,
                () = sleep(IDLE_PROBE) => self.probe().await?,
            }
        }
    }

    async fn open(&self) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.store.ready().await {
            self.wait_out(error, &mut pause).await?;
        }
        self.note_working();
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        if planted("flushed-before-the-commit") {
            self.flushed.send_replace(Some(batch.applied_index()));
        }
        while let Err(error) = self.store.commit(batch).await {
            self.wait_out(error, &mut pause).await?;
        }
        self.note_working();
        self.flushed.send_replace(Some(batch.applied_index()));
        self.queue.written(batch.bytes());
        Ok(())
    }

    /// Nothing to write does not mean that all is well: a replica whose Postgres went away must know before it is
    /// asked to keep something.
    async fn probe(&self) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        let found = loop {
            match self.store.applied_index().await {
                Ok(found) => break found,
                Err(error) => self.wait_out(error, &mut pause).await?,
            }
        };
        self.note_working();
        let expected = *self.flushed.borrow();
        if found == expected { Ok(()) } else { Err(self.store.out_of_step(expected, found)) }
    }

    /// Sleeps before the next attempt, longer each time; an error that another attempt cannot cure comes back at once.
    async fn wait_out(&self, error: StoreError, pause: &mut Duration) -> Result<(), StoreError> {
        if !error.is_transient() {
            return Err(error);
        }
        self.note_degraded(&error);
        sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn note_working(&self) {
        let was = self.health.send_if_modified(|health| {
            let degraded = matches!(health, Health::Degraded { .. });
            if degraded {
                *health = Health::Working;
            }
            degraded
        });
        if was {
            tracing::info!("Postgres takes what is applied");
        }
    }

    fn note_degraded(&self, error: &StoreError) {
        let new_why = error.to_string();
        self.health.send_if_modified(|health| match health {
            Health::Degraded { why, .. } if *why == new_why => false,
            Health::Degraded { why, .. } => {
                *why = new_why;
                true
            }
            _ => {
                tracing::warn!(%error, "Postgres is away; what is applied waits");
                *health = Health::Degraded { since: Instant::now(), why: new_why };
                true
            }
        });
    }
}
