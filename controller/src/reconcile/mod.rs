//! Driving what is towards what should be. One file per concern.
//!
//! Each concern is a task that runs while this replica leads. It takes no input: it wakes when State has changed (or
//! time has passed), reads State, and proposes what is missing. So it does not matter what woke it, how often, or what
//! happened before.

mod compare;
mod deadlines;
mod founding;
mod hosts;
mod placement;
mod replicas;
mod restored;
mod tenants;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rempart_api::cluster::ReplicaReport;
use rempart_model::ClusterVersion;

use crate::fleet::Fleet;
use crate::raft::Node;
use crate::replica::Replica;

pub use founding::Founding;

/// Asks all members, and those that are to be members, how they are doing; none from who does not answer.
pub type AskReplicas = Arc<dyn Fn() -> BoxFuture<'static, Vec<(u64, Option<ReplicaReport>)>> + Send + Sync>;

/// What the installation decides.
pub struct Settings {
    /// How long what is on its way may take, in percent.
    pub deadline_percent: u64,
    /// How often replicas compare what they have.
    pub compare_every: Duration,
    /// How far the cluster version may go up.
    pub cluster_version_limit: ClusterVersion,
}

/// Runs every concern whenever this replica leads, until the task is dropped.
pub async fn run(
    node: Node,
    replica: Replica,
    fleet: Fleet,
    founding: Founding,
    ask: AskReplicas,
    settings: Settings,
) {
    let mut leadership = node.leadership();
    loop {
        if leadership.wait_for(|leadership| leadership.is_me).await.is_err() {
            return;
        }
        let term = leadership.borrow().term;
        tracing::info!(term, "leading");
        tokio::select! {
            biased;
            _ = leadership.wait_for(|now| !now.is_me || now.term != term) => {}
            () = founding::run(&node, &replica, &founding) => {}
            // It ends when State is published no more: this replica is stopping.
            // In a cluster that was restored, what changes things by itself waits until it is open.
            () = restored::run(&node, &replica) => {}
            () = restored::then(&replica, placement::run(&node, &replica)) => return,
            () = hosts::run(&node, &replica, &fleet) => {}
            () = restored::then(&replica, tenants::run(&node, &replica)) => return,
            () = replicas::run(&node, &replica) => return,
            () = restored::then(&replica, deadlines::run(&node, &replica, settings.deadline_percent)) => {}
            () = compare::run(&node, &replica, &ask, settings.compare_every) => {}
            () = upgrade::run(&node, &replica, &ask, settings.cluster_version_limit) => {}
        }
        tracing::info!(term, "not leading any more");
    }
}

/// As [`run`], but for the hosts that fell silent: who simulates the hosts says so.
#[cfg(test)]
pub(crate) async fn run_without_sessions(
    node: Node,
    replica: Replica,
    founding: Founding,
    deadline_percent: u64,
) {
    let mut leadership = node.leadership();
    while leadership.wait_for(|leadership| leadership.is_me).await.is_ok() {
        let term = leadership.borrow().term;
        tokio::select! {
            biased;
            _ = leadership.wait_for(|now| !now.is_me || now.term != term) => {}
            () = founding::run(&node, &replica, &founding) => {}
            () = placement::run(&node, &replica) => return,
            () = tenants::run(&node, &replica) => return,
            () = replicas::run(&node, &replica) => return,
            () = deadlines::run(&node, &replica, deadline_percent) => {}
        }
    }
}

/// Pause after a proposal that failed: the leader is changing, or the log is full.
const PAUSE: Duration = Duration::from_millis(500);
