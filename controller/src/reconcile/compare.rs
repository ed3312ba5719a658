//! Replicas compare what they have.
//!
//! ```text
//!   Digest ──(every replica notes its digest there)──> ask all ──> a majority has D
//!                                                                   all have D: that is it
//!                                                                   some have not: Digest { agreed: D } ──> those stop
//! ```
//!
//! The leader asks, and is judged like the others. Where no majority has the same, nobody can tell who is right: that is said
//! aloud, and nothing is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rempart_model::{Agreed, Command, DigestCommand};
use tokio::time::{Instant, sleep};

use super::AskReplicas;
use crate::raft::{Members, Node};
use crate::replica::{Replica, propose_as_system};

/// Who was asked too early is asked again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// What one cannot say after this long, it does not know.
const PATIENCE: Duration = Duration::from_secs(5);

/// Compares every so often, also when nothing was written: one that came back may have come back as another.
pub(super) async fn run(node: &Node, replica: &Replica, ask: &AskReplicas, every: Duration) {
    metrics::gauge!("rempart_state_differs").set(0.0);
    loop {
        sleep(every).await;
        let alone = node.members().borrow().addresses.len() < 2;
        let command = Command::Digest(DigestCommand { agreed: None });
        if alone || replica.state().core().version < command.since() {
            continue;
        }
        if let Err(why) = compare(node, replica, ask).await {
            tracing::warn!(why, "comparing what the controllers have; trying again");
        }
    }
}

async fn compare(node: &Node, replica: &Replica, ask: &AskReplicas) -> Result<(), String> {
    let index = propose(node, replica, None).await?;
    let members = node.members().borrow().clone();
    let deadline = Instant::now() + PATIENCE;
    let had = loop {
        let had = noted(index, ask().await);
        if had.len() == members.addresses.len() || Instant::now() >= deadline {
            break had;
        }
        sleep(AGAIN).await;
    };
    match judge(&members, &had) {
        Verdict::Same => metrics::gauge!("rempart_state_differs").set(0.0),
        Verdict::Unknown => {}
        Verdict::Differ { agreed, wrong } => {
            tracing::error!(
                index,
                digest = agreed,
                ?wrong,
                "controllers have another state than the majority; they stop"
            );
            let agreed = Agreed { index, digest: agreed };
            propose(node, replica, Some(agreed)).await?;
        }
        Verdict::NoMajority => {
            metrics::gauge!("rempart_state_differs").set(1.0);
            tracing::error!(index, ?had, "controllers have different states, and no majority has the same");
        }
    }
    Ok(())
}

/// Puts a comparison into the log, and says where it is.
async fn propose(node: &Node, replica: &Replica, agreed: Option<Agreed>) -> Result<u64, String> {
    let before = replica.noted().map(|noted| noted.index);
    let command = Command::Digest(DigestCommand { agreed });
    propose_as_system(node, command).await.map_err(|error| error.to_string())?.as_ref().as_ref().map_err(
        // It is not refused: what it needs was looked at.
        |refusal| refusal.detail.clone(),
    )?;
    // Only the leader proposes them, so the newest is this one.
    let noted = replica.noted().map(|noted| noted.index).filter(|index| Some(*index) > before);
    noted.ok_or_else(|| "nothing was noted at the entry".to_owned())
}

/// Who noted what at `index`. Who has noted nothing there is left out.
fn noted(
    index: u64,
    reports: Vec<(u64, Option<rempart_api::cluster::ReplicaReport>)>,
) -> BTreeMap<u64, String> {
    let noted = reports.into_iter().filter_map(|(id, report)| Some((id, report?.state_digest?)));
    noted
        .filter(|(_, compared)| compared.index == index)
        .map(|(id, compared)| (id, compared.digest))
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All that said something have the same.
    Same,
    /// Too few said something.
    Unknown,
    /// A majority has `agreed`, `wrong` have not.
    Differ { agreed: String, wrong: BTreeSet<u64> },
    /// They have different ones, and none is a majority's.
    NoMajority,
}

fn judge(members: &Members, had: &BTreeMap<u64, String>) -> Verdict {
    let digests: BTreeSet<&String> = had.values().collect();
    let agreed = digests.iter().find(|digest| {
        // While the members change, each set of voters has to agree.
        members.voters.iter().all(|voters| {
            let same = voters.iter().filter(|id| had.get(id) == Some(digest)).count();
            same > voters.len() / 2
        })
    });
    match agreed {
        Some(_) if digests.len() == 1 => Verdict::Same,
        Some(agreed) => Verdict::Differ {
            agreed: (*agreed).clone(),
            wrong: had.iter().filter(|(_, digest)| digest != agreed).map(|(id, _)| *id).collect(),
        },
        None if digests.len() > 1 => Verdict::NoMajority,
        None => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests;
