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

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    alias::{SnapshotMetaOf, SnapshotOf},
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use tokio::sync::{oneshot, watch};

use super::{
    engine::{Entry, EntryPayload, LogId, StoredMembership, Types, log_id},
    log_store::BATCH_BYTES,
    log_tail::Durable,
    machine::{Committed, Machine, Members, Payload, Position, Proposal},
    record,
};

/// How many entries a run of `apply` has at most: its proposers wait for its end.
const RUN_ENTRIES: usize = 256;

/// The data of a snapshot: there is none, and so no code path can make or take one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoSnapshot {}

/// What openraft drives.
pub(crate) struct StateMachine {
    runs: mpsc::Sender<Run>,
    durable: watch::Receiver<Durable>,
    /// Of the last entry handed over and applied.
    position: Option<Position>,
}

/// Some consecutive entries, for the machine's thread.
struct Run {
    items: Vec<(Entry, Option<ApplyResponder<Types>>)>,
    done: oneshot::Sender<io::Result<Position>>,
}

/// The end of the machine's thread.
pub(crate) type MachineThread = thread::JoinHandle<()>;

impl StateMachine {
    /// Gives the machine its thread, which ends when the state machine is dropped. `applied` is told of every run.
    pub(crate) fn start(
        machine: impl Machine,
        durable: watch::Receiver<Durable>,
        applied: watch::Sender<Option<u64>>,
    ) -> io::Result<(Self, MachineThread)> {
        let position = machine.resume();
        applied.send_replace(position.as_ref().map(Position::index));
        let members = position.as_ref().map(|position| Arc::clone(&position.members)).unwrap_or_default();
        let mut applier = Applier { machine, members, applied };
        let (runs, queue) = mpsc::channel::<Run>();
        let thread = thread::Builder::new().name("raft-apply".to_owned()).spawn(move || {
            while let Ok(Run { items, done }) = queue.recv() {
                let outcome = applier.run(items);
                let failed = outcome.is_err();
                // Nobody waits when consensus is being stopped.
                let _ = done.send(outcome);
                if failed {
                    return;
                }
            }
        })?;
        Ok((Self { runs, durable, position }, thread))
    }

    /// Applies a run, once it is on this disk.
    async fn apply_run(&mut self, items: Vec<(Entry, Option<ApplyResponder<Types>>)>) -> io::Result<()> {
        let Some(last) = items.last().map(|(entry, _)| entry.log_id.index) else { return Ok(()) };
        let reached = self.durable.wait_for(|durable| durable.end > last || durable.failure.is_some()).await;
        if reached.map_err(|_| gone("log"))?.end <= last {
            return Err(io::Error::other("the log failed, so what is committed is not applied"));
        }
        let (done, outcome) = oneshot::channel();
        self.runs.send(Run { items, done }).map_err(|_| gone("state"))?;
        self.position = Some(outcome.await.map_err(|_| gone("state"))??);
        Ok(())
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
    fn run(&mut self, items: Vec<(Entry, Option<ApplyResponder<Types>>)>) -> io::Result<Position> {
        let mut position = None;
        let mut answers = Vec::with_capacity(items.len());
        for (entry, responder) in items {
            let (at, response) = self.apply(&entry)?;
            position = Some(at);
            answers.extend(responder.map(|responder| (responder, response)));
        }
        self.machine.batch_applied();
        let position = position.ok_or_else(|| io::Error::other("an empty run"))?;
        self.applied.send_replace(Some(position.index));
        for (responder, response) in answers {
            responder.send(response);
        }
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
    type SnapshotData = NoSnapshot;
    type SnapshotBuilder = NoSnapshotBuilder;

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

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<NoSnapshotBuilder> {
        force.then_some(NoSnapshotBuilder)
    }

    async fn get_snapshot_builder(&mut self) -> NoSnapshotBuilder {
        NoSnapshotBuilder
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        data: NoSnapshot,
    ) -> Result<(), io::Error> {
        match data {}
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, NoSnapshot>>, io::Error> {
        Ok(None)
    }
}

/// Builds no snapshot, and says why.
pub(crate) struct NoSnapshotBuilder;

impl RaftSnapshotBuilder<Types> for NoSnapshotBuilder {
    type SnapshotData = NoSnapshot;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, NoSnapshot>, io::Error> {
        Err(io::Error::new(io::ErrorKind::Unsupported, SNAPSHOTS_ABSENT))
    }
}

/// Why there are none.
pub(crate) const SNAPSHOTS_ABSENT: &str = "snapshots come with the purging of the log; until then a replica whose log lacks entries has to start over, empty";
