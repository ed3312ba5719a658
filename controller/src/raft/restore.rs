//! The log directory of a replica that begins with a state from elsewhere, as a cluster of one.
//!
//! It holds a snapshot of that state, and a vote of the snapshot's own term: the entries that follow are of later terms, so
//! their ids are above the snapshot's, and a start finds nothing missing (`node.rs: check_whole`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rempart_wal::Wal;

use super::engine::{LeaderId, Vote};
use super::log_writer::VOTE;
use super::machine::{Frozen, Members, Position};
use super::record;
use super::snapshot::SnapshotDir;

/// The term of the state that a log begins with.
const TERM: u64 = 1;

/// The place in the log of a state with all entries up to `index`, of which `replica_id` at `address` is the only member.
#[must_use]
pub fn position_of_one(replica_id: u64, address: &str, index: u64) -> Position {
    let members = Members {
        entry: Some((TERM, replica_id, index)),
        voters: vec![BTreeSet::from([replica_id])],
        addresses: BTreeMap::from([(replica_id, address.to_owned())]),
    };
    Position { term: TERM, node: replica_id, index, members: Arc::new(members) }
}

/// Makes the log directory of a replica that begins at `position` with `state`.
///
/// # Errors
/// When there is a log already, or it cannot be written.
pub async fn begin_with(log_dir: &Path, position: &Position, state: Arc<dyn Frozen>) -> io::Result<()> {
    let mut wal = Wal::open(log_dir, rempart_wal::Options::default()).map_err(io::Error::other)?;
    if wal.next_index().is_some() || wal.slot(VOTE).map_err(io::Error::other)?.is_some() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a log already"));
    }
    let snapshots = Arc::new(SnapshotDir::open(&log_dir.join("snapshots"))?);
    snapshots.build(position.clone(), &state).await?;
    let vote = Vote { leader_id: LeaderId { term: position.term, node_id: position.node }, committed: false };
    wal.put_slot(VOTE, &record::put_vote(&vote), true).map_err(io::Error::other)
}
