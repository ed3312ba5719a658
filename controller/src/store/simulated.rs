//! What stands in for Postgres in a simulation: tables in memory that outlive their replica, changed by one transaction at a
//! time, with the meaning that `commit` gives a batch. It takes its time, is away at times, and its connection may break
//! between COMMIT and the answer. Tests only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rempart_model::planted;
use tokio::sync::watch;
use uuid::Uuid;

use super::coalesce::Coalesced;
use super::projection::Keeper;
use super::rows::{AuditRow, Batch, Loaded, Mark, ResourceKey, ResourceRow};
use super::{StoreError, embedded};

/// What a database holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    /// How far along the log.
    pub(crate) mark: Option<Mark>,
    /// Rows of objects.
    pub(crate) resources: BTreeMap<ResourceKey, ResourceRow>,
    /// Remembered answers, each with the index of its entry.
    pub(crate) answers: BTreeMap<Uuid, (u64, String)>,
    /// History.
    pub(crate) audit: BTreeMap<(i64, i32), AuditRow>,
    /// Whether it can be reached.
    pub(crate) is_away: bool,
    /// Transactions so far.
    pub(crate) commits: u64,
}

/// What takes time, and what may go wrong.
pub(crate) trait Pace: Send + Sync + 'static {
    /// Waits as long as half a transaction takes.
    fn half(&self) -> impl Future<Output = ()> + Send;
    /// Whether the connection breaks before the answer.
    fn breaks(&self) -> bool;
}

/// A replica's database. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Tables>>);

/// A connection to it.
pub(crate) struct Connection<P> {
    pub(crate) memory: Memory,
    pub(crate) pace: P,
}

impl Memory {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Store::load`](super::Store::load).
    pub(crate) fn load(&self) -> Loaded {
        let tables = self.tables();
        let mut answers: Vec<_> =
            tables.answers.iter().map(|(id, (index, text))| (*id, *index, text.clone())).collect();
        answers.sort_by_key(|(_, index, _)| *index);
        Loaded { mark: tables.mark.clone(), resources: tables.resources.values().cloned().collect(), answers }
    }
}

impl Tables {
    fn applied_index(&self) -> Option<u64> {
        self.mark.as_ref().map(|mark| mark.applied_index)
    }

    /// The rows of a batch, without its mark.
    fn put(&mut self, batch: &Batch) {
        let writes = Coalesced::of(batch.writes());
        if let Some(whole) = writes.replace {
            self.resources = whole.0.resources().map(|row| (row.key.clone(), row)).collect();
            self.answers = whole.0.answers().map(|(id, index, text)| (id, (index, text))).collect();
        }
        if let Some(upto) = writes.drop_answers_up_to {
            self.answers.retain(|_, (index, _)| *index > upto);
        }
        for (key, row) in &writes.resources {
            match row {
                Some(row) => _ = self.resources.insert((*key).clone(), (*row).clone()),
                None => _ = self.resources.remove(*key),
            }
        }
        for (id, (index, text)) in &writes.answers {
            self.answers.insert(*id, (*index, (*text).to_owned()));
        }
        for row in &writes.audit {
            self.audit.insert((row.log_index, row.ordinal), (*row).clone());
        }
    }
}

fn too_slow(doing: &'static str) -> StoreError {
    StoreError::TooSlow { place: "memory".to_owned(), doing, waited_s: 0 }
}

impl<P: Pace> Connection<P> {
    async fn ask<T>(&self, doing: &'static str, ask: impl FnOnce(&mut Tables) -> T) -> Result<T, StoreError> {
        self.pace.half().await;
        let answer = {
            let mut tables = self.memory.tables();
            if tables.is_away {
                return Err(too_slow(doing));
            }
            ask(&mut tables)
        };
        self.pace.half().await;
        if self.pace.breaks() { Err(too_slow(doing)) } else { Ok(answer) }
    }
}

impl<P: Pace> Keeper for Connection<P> {
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if planted("mark-in-a-second-transaction") {
            self.ask("commit", |tables| tables.put(batch)).await?;
        }
        let committed = self.ask("commit", |tables| {
            let (found, leads) = (tables.applied_index(), Some(batch.applied_index()));
            if found == leads {
                return Ok(());
            }
            if found != batch.after() {
                return Err(found);
            }
            tables.put(batch);
            tables.mark = Some(batch.mark());
            tables.commits += 1;
            Ok(())
        });
        committed.await?.map_err(|found| self.out_of_step(batch.after(), found))
    }

    async fn applied_index(&self) -> Result<Option<u64>, StoreError> {
        self.ask("answer", |tables| tables.applied_index()).await
    }

    fn server(&self) -> Option<watch::Receiver<embedded::Status>> {
        None
    }

    fn out_of_step(&self, expected: Option<u64>, found: Option<u64>) -> StoreError {
        StoreError::OutOfStep { place: "memory".to_owned(), expected, found }
    }
}
