//! Keeping the log short.
//!
//! ```text
//!   bytes behind the snapshot > max(snapshot_after_bytes, bytes of the snapshot)  --> a snapshot is built
//!   the snapshot covers more than was purged                                      --> purge, but for the newest keep_bytes
//! ```
//!
//! So what snapshots cost stays in proportion to what is written, however large the state is; and the log takes, beside what
//! is written while a snapshot is built, at most the larger of the two, `keep_bytes` and a segment. Every replica does this
//! for itself. One that is away meanwhile finds its entries for as long as they are among the newest `keep_bytes`; later it
//! gets the leader's snapshot.

use std::time::Duration;

use crate::raft::Node;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);

/// Goes on until consensus stops.
pub(in crate::raft) async fn run(node: &Node) {
    let (limits, mut purged_for) = (node.limits().clone(), None);
    loop {
        tokio::time::sleep(LOOK).await;
        let snapshot = node.snapshot();
        let covered = snapshot.as_ref().map(|snapshot| snapshot.position().index());
        let behind = node.log_bytes(covered.map_or(0, |index| index + 1)..u64::MAX);
        let size = snapshot.as_ref().map_or(0, super::SnapshotFile::bytes);
        let mut asked = Ok(());
        if behind > limits.snapshot_after_bytes.max(size) {
            // One that is being built already is not begun again.
            asked = node.raft().trigger().snapshot().await;
        }
        if let Some(covered) = covered
            && purged_for != Some(covered)
        {
            purged_for = Some(covered);
            if let Some(upto) = node.first_of_last_log_bytes(limits.keep_bytes, covered + 1).checked_sub(1) {
                tracing::info!(replica = node.replica_id(), covered, upto, "purging the log");
                asked = asked.and(node.raft().trigger().purge_log(upto).await);
            }
        }
        // Asked nothing, it would not hear of the end.
        if asked.is_err() || node.status().failure.is_some() {
            return;
        }
    }
}
