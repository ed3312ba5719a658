//! The cluster version goes up once every controller knows the next one (`rempart_model::ClusterVersion`).

use std::time::Duration;

use rempart_model::{ClusterVersion, Command, UpgradeCommand};
use tokio::time::sleep;

use super::AskReplicas;
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Raises it one by one up to `limit`, then waits for ever.
pub(super) async fn run(node: &Node, replica: &Replica, ask: &AskReplicas, limit: ClusterVersion) {
    let mut said = None;
    loop {
        let (now, founded) = {
            let state = replica.state();
            (state.core().version, state.core().cluster_id.is_some())
        };
        if now >= limit {
            return std::future::pending().await;
        }
        let next = now.next();
        if founded {
            let behind = behind(next, ask().await);
            if behind.is_empty() {
                let raised =
                    propose_as_system(node, Command::Upgrade(UpgradeCommand { version: next })).await;
                match raised.as_deref() {
                    Ok(Ok(_)) => {
                        tracing::info!(version = %next, "the cluster version went up");
                        continue;
                    }
                    Ok(Err(refusal)) => {
                        tracing::error!(detail = refusal.detail, "raising the cluster version")
                    }
                    Err(error) => tracing::warn!(%error, "raising the cluster version; trying again"),
                }
            } else if said.as_ref() != Some(&behind) {
                // Once for each list, not once for each look.
                tracing::info!(version = %next, waits_for = ?behind, "the cluster version waits for controllers");
                said = Some(behind);
            }
        }
        sleep(LOOK).await;
    }
}

/// The controllers that have not said that they know `version`.
fn behind(
    version: ClusterVersion,
    reports: Vec<(u64, Option<rempart_api::cluster::ReplicaReport>)>,
) -> Vec<u64> {
    let knows = |report: Option<rempart_api::cluster::ReplicaReport>| {
        report.is_some_and(|report| report.newest_cluster_version >= version.0)
    };
    reports.into_iter().filter_map(|(id, report)| (!knows(report)).then_some(id)).collect()
}
