//! openraft's state machine over a [`Machine`], which has a thread of its own.
//!
//! ```text
//!   committed entries --> wait until they are on this disk --> "raft-apply": apply, apply, ..., batch_applied
//!                                                                            then: note the index, answer proposers
//! ```
//!
//! # Invariants
//!
//! - The machine never sees an entry that a power cut could still take from this replica's own disk.
//! - A proposer is answered only after `batch_applied` has returned and the index is noted.
//! - A machine that failed or panicked is never called again.
//! - A snapshot is frozen between two runs, on the machine's thread, and written elsewhere.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    alias::{SnapshotMetaOf, SnapshotOf},
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use rempart_model::planted;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

use super::{
    engine::{Entry, EntryPayload, LogId, StoredMembership, Types, log_id},
    log_store::BATCH_BYTES,
    log_tail::Durable,
    machine::{Committed, Frozen, Machine, Members, Payload, Position, Proposal},
    record,
    snapshot::{SnapshotDir, SnapshotFile},
    workers::{Worker, off_thread},
};

/// How many entries a run of `apply` has at most: its proposers wait for its end.
const RUN_ENTRIES: usize = 256;

/// How long to wait after a snapshot could not be made.
const BUILD_AGAIN: Duration = Duration::from_secs(5);

/// What openraft drives.
pub(crate) struct StateMachine {
    work: mpsc::UnboundedSender<Work>,
    durable: watch::Receiver<Durable>,
    snapshots: Arc<SnapshotDir>,
    /// Whether there was a snapshot when it was last asked for.
    had_snapshot: bool,
    /// Of the last entry handed over and applied.
    position: Option<Position>,
}

/// For the machine's thread.
enum Work {
    /// Apply some consecutive entries.
    Run { items: Vec<(Entry, Option<ApplyResponder<Types>>)>, done: oneshot::Sender<io::Result<Position>> },
    /// Hold still for a moment.
    Freeze { done: oneshot::Sender<Box<dyn Frozen>> },
    /// Become another state.
    Install { snapshot: SnapshotFile, done: oneshot::Sender<io::Result<Position>> },
}

impl StateMachine {
    /// Gives the machine its thread, which ends when the state machine is dropped. `applied` is told of every run.
    pub(crate) fn start(
        machine: impl Machine,
        durable: watch::Receiver<Durable>,
        applied: watch::Sender<Option<u64>>,
        snapshots: Arc<SnapshotDir>,
    ) -> io::Result<(Self, Worker)> {
        let position = machine.resume();
        applied.send_replace(position.as_ref().map(Position::index));
        let members = position.as_ref().map(|position| Arc::clone(&position.members)).unwrap_or_default();
        let applier = Applier { machine, members, applied };
        let (work, queue) = mpsc::unbounded_channel();
        let state_machine = Self { work, durable, snapshots, had_snapshot: false, position };
        #[cfg(test)]
        if super::simulated::is_on() {
            let task = tokio::spawn(applier.serve(queue));
            return Ok((state_machine, Worker::Task(task)));
        }
        let runtime = Handle::current();
        let worker = Worker::thread("raft-apply", move || runtime.block_on(applier.serve(queue)))?;
        Ok((state_machine, worker))
    }

    /// Has the machine's thread do something, and waits until it is done.
    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> io::Result<T> {
        let (done, outcome) = oneshot::channel();
        self.work.send(work(done)).map_err(|_| gone("state"))?;
        outcome.await.map_err(|_| gone("state"))
    }

    /// Applies a run, once it is on this disk.
    async fn apply_run(&mut self, items: Vec<(Entry, Option<ApplyResponder<Types>>)>) -> io::Result<()> {
        let Some(last) = items.last().map(|(entry, _)| entry.log_id.index) else { return Ok(()) };
        let reached = self.durable.wait_for(|durable| durable.end > last || durable.failure.is_some()).await;
        if reached.map_err(|_| gone("log"))?.end <= last {
            return Err(io::Error::other("the log failed, so what is committed is not applied"));
        }
        self.position = Some(self.ask(|done| Work::Run { items, done }).await??);
        Ok(())
    }

    /// What a snapshot of this moment is made of; none before anything was applied.
    async fn builder(&self) -> SnapshotBuilder {
        let frozen = match self.position.clone() {
            Some(position) => {
                self.ask(|done| Work::Freeze { done }).await.map(|frozen| Some((position, frozen)))
            }
            None => Ok(None),
        };
        SnapshotBuilder { snapshots: Arc::clone(&self.snapshots), frozen }
    }
}

fn gone(what: &str) -> io::Error {
    io::Error::other(format!("the thread that keeps the {what} died"))
}

/// The machine's thread's own.
struct Applier<M> {
    machine: M,
    members: Arc<Members>,
    applied: watch::Sender<Option<u64>>,
}

impl<M: Machine> Applier<M> {
    /// Does what is asked for until nobody is left who could ask, or something fails.
    async fn serve(mut self, mut queue: mpsc::UnboundedReceiver<Work>) {
        while let Some(work) = queue.recv().await {
            #[cfg(test)]
            super::simulated::pause(super::simulated::Pause::Apply).await;
            let (outcome, done) = match work {
                Work::Run { items, done } => (self.run(items), done),
                Work::Install { snapshot, done } => (self.install(&snapshot).await, done),
                Work::Freeze { done } => {
                    let _ = done.send(self.machine.freeze());
                    continue;
                }
            };
            let failed = outcome.is_err();
            // Nobody waits when consensus is being stopped.
            let _ = done.send(outcome);
            if failed {
                return;
            }
        }
    }

    fn run(&mut self, items: Vec<(Entry, Option<ApplyResponder<Types>>)>) -> io::Result<Position> {
        let mut position = None;
        let mut answers = Vec::with_capacity(items.len());
        let count = items.len();
        for (number, (entry, responder)) in items.into_iter().enumerate() {
            if planted("apply-skips-one") && number > 0 && number + 1 < count {
                continue;
            }
            let (at, response) = self.apply(&entry)?;
            position = Some(at);
            answers.extend(responder.map(|responder| (responder, response)));
        }
        let position = position.ok_or_else(|| io::Error::other("an empty run"))?;
        if !planted("answers-before-the-state-is-published") || position.index.is_multiple_of(2) {
            self.machine.batch_applied();
        }
        self.applied.send_replace(Some(position.index));
        for (responder, response) in answers {
            responder.send(response);
        }
        Ok(position)
    }

    async fn install(&mut self, snapshot: &SnapshotFile) -> io::Result<Position> {
        let position = snapshot.position().clone();
        self.machine.install(&position, &mut snapshot.content()?).await?;
        self.members = Arc::clone(&position.members);
        self.applied.send_replace(Some(position.index));
        Ok(position)
    }

    fn apply(&mut self, entry: &Entry) -> io::Result<(Position, super::Response)> {
        let LogId { leader_id, index } = entry.log_id;
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.members = Arc::new(record::members(Some(entry.log_id), membership));
        }
        let (term, node, members) = (leader_id.term, leader_id.node_id, Arc::clone(&self.members));
        let position = Position { term, node, index, members };
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(Proposal(bytes)) => Payload::Proposal(bytes),
            EntryPayload::Membership(_) => Payload::Membership(&self.members),
        };
        let response = self.machine.apply(Committed { index, term, position: &position, payload })?;
        Ok((position, response))
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let Some(position) = &self.position else { return Ok((None, StoredMembership::default())) };
        let Position { term, node, index, members } = position;
        Ok((Some(log_id(*term, *node, *index)), record::stored_membership(members)?))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(item) = entries.next().await {
            let item = item?;
            bytes += record::entry_bytes(&item.0);
            items.push(item);
            if items.len() == RUN_ENTRIES || bytes >= BATCH_BYTES {
                self.apply_run(std::mem::take(&mut items)).await?;
                bytes = 0;
            }
        }
        self.apply_run(items).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.builder().await
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let dir = Arc::clone(&self.snapshots);
        // First it is what a restart would take up, then it is taken up: a crash in between repeats the second step.
        let snapshot = off_thread(move || dir.adopt(&snapshot)).await??;
        tracing::info!(index = snapshot.position().index(), "installing a snapshot");
        self.position = Some(self.ask(|done| Work::Install { snapshot, done }).await??);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, SnapshotFile>>, io::Error> {
        if self.had_snapshot && self.snapshots.current().is_none() {
            // It turned out to be damaged. Whoever asks needs one: of the log before it nothing is left.
            self.builder().await.build_snapshot().await.map(Some)
        } else {
            let current = self.snapshots.current();
            self.had_snapshot |= current.is_some();
            current.map(to_openraft).transpose()
        }
    }
}

/// A snapshot to be built.
pub(crate) struct SnapshotBuilder {
    snapshots: Arc<SnapshotDir>,
    frozen: io::Result<Option<(Position, Box<dyn Frozen>)>>,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotFile>, io::Error> {
        let Some((position, frozen)) = std::mem::replace(&mut self.frozen, Ok(None))? else {
            return Err(io::Error::other("there is nothing to make a snapshot of"));
        };
        let begun = Instant::now();
        let frozen: Arc<dyn Frozen> = frozen.into();
        let snapshot = loop {
            match self.snapshots.build(position.clone(), &frozen).await {
                Ok(snapshot) => break snapshot,
                // What is in memory is wrong, and stays so.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                // The disk is full, perhaps. An error would stop this replica, and all it lacks is a shorter log.
                Err(error) => tracing::error!(%error, "a snapshot could not be made; trying again"),
            }
            tokio::time::sleep(BUILD_AGAIN).await;
        };
        let (index, bytes) = (snapshot.position().index(), snapshot.bytes());
        tracing::info!(index, bytes, ms = begun.elapsed().as_millis(), "made a snapshot");
        to_openraft(snapshot)
    }
}

fn to_openraft(snapshot: SnapshotFile) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
    Ok(SnapshotOf::<Types, SnapshotFile> { meta: meta(snapshot.position())?, snapshot })
}

/// What openraft has to know of a snapshot of the state at `position`.
pub(crate) fn meta(position: &Position) -> io::Result<SnapshotMetaOf<Types>> {
    let Position { term, node, index, members } = position;
    let last_membership = record::stored_membership(members)?;
    Ok(SnapshotMetaOf::<Types> { last_log_id: Some(log_id(*term, *node, *index)), last_membership })
}
