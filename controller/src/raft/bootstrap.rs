//! Founding a cluster out of a static list of replicas, exactly once.
//!
//! ```text
//!   empty --(all others say: empty too)--> {lowest} --learn, catch up--> {lowest} + {all} --> {all}   done
//!     |                                        every step is an entry in the log of the lowest id
//!     '--(someone is not empty)--> waits to be added: this replica lost its log, the cluster goes on without it
//! ```
//!
//! The lowest id makes a cluster of itself alone, and then takes the others in like any replica that joins later. So
//! there is one first entry, written by one replica, whatever crashes: each step starts from the members in the log.
//!
//! # Invariants
//!
//! - Only the lowest id founds, only while it has neither an entry nor a vote, and only after every other replica of
//!   the list has answered, by its id, that it has none either and takes it for the founder. One that is away delays
//!   the founding.
//! - Voters are added when they have the log, so that a quorum of the old and of the new voters is at hand.
//! - Members that are not a step of this path were chosen by an operator, and are left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{BasicNode, ServerState, async_runtime::watch::WatchReceiver};

use tokio::time::Instant;

use super::node::Node;

/// How long a replica may take to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one change of members may take before the state is looked at again.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before the next look, at first; it doubles, up to a heartbeat, until something has changed.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// How long an obstacle has to be in the way before it is worth a line in the log.
const NEWS: Duration = Duration::from_secs(3);

/// Where a replica stands on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing in the log.
    Empty,
    /// The members are those of a step, and this replica leads.
    Growing,
    /// Someone else has to act.
    Waiting,
    /// The members are as they should be, or not of our making.
    Done,
}

/// Walks the path to its end, whatever it takes: true. False if consensus stops before.
pub(super) async fn run(
    node: &Node,
    members: &BTreeMap<u64, String>,
    over: &(dyn Fn() -> bool + Send + Sync),
) -> bool {
    let Some((&founder, _)) = members.first_key_value() else { return false };
    let me = node.replica_id();
    let (mut last, mut since, mut said) = (String::new(), Instant::now(), false);
    let (mut pause, mut before) = (PAUSE_MIN, None);
    loop {
        let stage = stage(node, members).await;
        if before != stage.as_ref().ok().copied() {
            (pause, before) = (PAUSE_MIN, stage.as_ref().ok().copied());
        }
        let outcome = match stage {
            Ok(Stage::Done) => return true,
            Ok(Stage::Waiting) => Ok(()),
            Ok(Stage::Empty) if me == founder => found(node, members).await,
            Ok(Stage::Empty) => Ok(()),
            Ok(Stage::Growing) => match node.see_everything(Instant::now() + CHANGE_TIMEOUT).await {
                // Founded long ago: three became one because an operator said so.
                Ok(()) if over() => return true,
                Ok(()) => grow(node, members).await,
                Err(error) => Err(error.to_string()),
            },
            Err(stopped) => {
                tracing::debug!(replica = me, stopped, "bootstrap ends with consensus");
                return false;
            }
        };
        match outcome {
            Err(obstacle) if obstacle != last => (last, since, said) = (obstacle, Instant::now(), false),
            // Once per obstacle, not once per attempt; and replicas that are started together are no news.
            Err(_) if !said && since.elapsed() >= NEWS => {
                tracing::warn!(replica = me, obstacle = last, "the cluster is not complete yet");
                said = true;
            }
            _ => {}
        }
        // Whatever is waited for is there within moments, or takes somebody's coming.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(node.heartbeat());
    }
}

async fn stage(node: &Node, members: &BTreeMap<u64, String>) -> Result<Stage, String> {
    if !node.raft().is_initialized().await.map_err(|fatal| fatal.to_string())? {
        return Ok(Stage::Empty);
    }
    let reports = node.raft().server_metrics();
    let report = reports.borrow_watched();
    let voters = report.membership_config.get_joint_config();
    if voters.is_empty() {
        // A vote, or entries before the first with members: a leader is about to say more.
        return Ok(Stage::Waiting);
    }
    let committed = report.membership_config.log_id() == report.committed_membership_config.log_id();
    Ok(match (on_path(voters, members), report.state) {
        (false, _) if committed => Stage::Done,
        (true, ServerState::Leader) => Stage::Growing,
        _ => Stage::Waiting,
    })
}

/// Whether these voters are a step between the founder alone and all.
fn on_path(voters: &[BTreeSet<u64>], members: &BTreeMap<u64, String>) -> bool {
    let all: BTreeSet<u64> = members.keys().copied().collect();
    let founder: BTreeSet<u64> = members.keys().take(1).copied().collect();
    match voters {
        [only] => *only == founder && founder != all,
        [old, new] => *old == founder && *new == all,
        _ => false,
    }
}

/// Makes a cluster of this replica alone, if nobody has anything.
async fn found(node: &Node, members: &BTreeMap<u64, String>) -> Result<(), String> {
    let me = node.replica_id();
    for (&id, address) in members.iter().filter(|(id, _)| **id != me) {
        let found = node.network().peer(id, address).describe(DESCRIBE_TIMEOUT).await;
        let found = found.map_err(|why| format!("replica {id} at {address}: {why}"))?;
        if found.replica_id != id {
            return Err(format!("{address} should be replica {id} and is {}", found.replica_id));
        }
        if found.founder != Some(me) {
            return Err(format!(
                "replica {id} at {address} takes {:?} for the founder, not {me}",
                found.founder
            ));
        }
        if !found.empty {
            return Err(format!(
                "replica {id} at {address} has a log and this one, {me}, has none: it lost its own and waits to be \
                 taken back in"
            ));
        }
    }
    let Some(address) = members.get(&me) else { return Err(format!("replica {me} is not in the list")) };
    tracing::info!(replica = me, "founding a cluster");
    let founder = BTreeMap::from([(me, BasicNode::new(address))]);
    node.raft().initialize(founder).await.map_err(|error| error.to_string())
}

/// Takes the next step towards all members. Only on the leader.
async fn grow(node: &Node, members: &BTreeMap<u64, String>) -> Result<(), String> {
    let raft = node.raft();
    let change = async {
        let known: BTreeSet<u64> = {
            let reports = raft.server_metrics();
            let report = reports.borrow_watched();
            report.membership_config.nodes().map(|(id, _)| *id).collect()
        };
        for (&id, address) in members.iter().filter(|(id, _)| !known.contains(id)) {
            tracing::info!(replica = node.replica_id(), learner = id, "taking in");
            raft.add_learner(id, BasicNode::new(address), false).await.map_err(|error| error.to_string())?;
        }
        let behind = behind(node, members);
        if !behind.is_empty() {
            return Err(format!("waiting for replicas {behind:?} to take over the log"));
        }
        let voters: BTreeSet<u64> = members.keys().copied().collect();
        raft.change_membership(voters, false).await.map_err(|error| error.to_string())?;
        tracing::info!(replica = node.replica_id(), "the cluster is complete");
        Ok(())
    };
    tokio::time::timeout(CHANGE_TIMEOUT, change)
        .await
        .unwrap_or_else(|_| Err("a change of members hangs".to_owned()))
}

/// The members that do not have what is committed yet.
fn behind(node: &Node, members: &BTreeMap<u64, String>) -> Vec<u64> {
    let status = node.status();
    let has = |id: u64| status.matched_index.get(&id).copied().flatten() >= status.committed_index;
    members.keys().copied().filter(|&id| id != node.replica_id() && !has(id)).collect()
}
