//! openraft's own tests of a log.
//!
//! They want a state machine with snapshots beside it, which ours has not yet: here is one that keeps nothing but where
//! it is.

use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    alias::{SnapshotMetaOf, SnapshotOf},
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use super::{LogId, LogStore, Types};
use crate::raft::{Response, engine::StoredMembership};

#[derive(Clone, Default)]
struct Place {
    applied: Option<LogId>,
    members: StoredMembership,
    snapshot: Option<SnapshotMetaOf<Types>>,
}

/// A state machine without a state.
#[derive(Clone, Default)]
struct Stateless(Arc<Mutex<Place>>);

impl RaftStateMachine<Types> for Stateless {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), std::io::Error> {
        let place = self.0.lock().unwrap();
        Ok((place.applied, place.members.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), std::io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, std::io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let mut place = self.0.lock().unwrap();
            place.applied = Some(entry.log_id);
            if let Some(members) = entry.get_membership() {
                place.members = StoredMembership::new(Some(entry.log_id), members);
            }
            if let Some(responder) = responder {
                responder.send(Response(None));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMetaOf<Types>, (): ()) -> Result<(), std::io::Error> {
        let mut place = self.0.lock().unwrap();
        place.applied = meta.last_log_id;
        place.members = meta.last_membership.clone();
        place.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, ()>>, std::io::Error> {
        Ok(self.0.lock().unwrap().snapshot.clone().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<Types> for Stateless {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, ()>, std::io::Error> {
        let mut place = self.0.lock().unwrap();
        let meta = SnapshotMeta { last_log_id: place.applied, last_membership: place.members.clone() };
        place.snapshot = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}

struct Builder {
    tail_bytes: usize,
}

impl StoreBuilder<Types, LogStore, Stateless, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Stateless), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = LogStore::open(dir.path(), &super::with_tail(self.tail_bytes)).unwrap();
        Ok((dir, log, Stateless::default()))
    }
}

#[track_caller]
fn check(tail_bytes: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Suite::test_all(Builder { tail_bytes })).unwrap();
}

#[test]
fn openraft_accepts_it() {
    check(1 << 20);
}

#[test]
fn openraft_accepts_it_when_everything_is_read_from_disk() {
    check(0);
}
