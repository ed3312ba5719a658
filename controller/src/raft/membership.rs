//! Changing who takes part, one at a time, and who leads.
//!
//! ```text
//!   nothing --add_learner--> learner --(has caught up) promote--> voter --remove--> nothing
//! ```
//!
//! # Invariants
//!
//! - A voter is added when it has the log, and goes only if a majority of those that stay is at hand.
//! - The leader never removes itself: it hands over first.
//! - A change takes two entries. Whoever leads after the first writes the second.
//! - What was promised under an id goes with the replica that promised it: who decides about ids does not use one again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{BasicNode, ChangeMembers, Instant as _, ServerState, async_runtime::watch::WatchReceiver};
use tokio::time::timeout;

use super::{
    Node,
    error::{ChangeError, TransferError},
};

/// How long one change may take.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries that a learner may lack to be taken for one that has caught up: the rest arrives with the change itself.
const NEAR: u64 = 1000;

impl Node {
    /// How long ago each member was heard last; only the leader knows.
    #[must_use]
    pub fn heard(&self) -> BTreeMap<u64, Duration> {
        let metrics = self.raft().metrics();
        let report = metrics.borrow_watched();
        let mut heard: BTreeMap<u64, Duration> = report
            .heartbeat
            .iter()
            .flatten()
            .filter_map(|(id, at)| Some((*id, at.as_ref()?.elapsed())))
            .collect();
        heard.insert(self.replica_id(), Duration::ZERO);
        heard
    }

    /// Begins to send the log to a replica that has none yet. It does not count for a quorum.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn add_learner(&self, id: u64, address: &str) -> Result<(), ChangeError> {
        let node = BTreeMap::from([(id, BasicNode::new(address))]);
        self.change(ChangeMembers::AddNodes(node)).await
    }

    /// Whether learner `id` has nearly all of the log.
    #[must_use]
    pub fn has_caught_up(&self, id: u64) -> bool {
        let status = self.status();
        let matched = status.matched_index.get(&id).copied().flatten();
        matched.is_some_and(|matched| matched + NEAR >= status.committed_index.unwrap_or(0))
    }

    /// Makes a voter of a learner.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn promote(&self, id: u64) -> Result<(), ChangeError> {
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await
    }

    /// Members that were heard so lately that nobody would campaign for want of them.
    #[must_use]
    pub fn at_hand(&self) -> BTreeSet<u64> {
        let lately = self.silence_max();
        self.heard().into_iter().filter(|(_, since)| *since <= lately).map(|(id, _)| id).collect()
    }

    /// Whether consensus goes on without `id`: of those that stay, a majority is `at_hand`.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    pub fn check_goes_on_without(&self, id: u64, at_hand: &BTreeSet<u64>) -> Result<(), String> {
        goes_on_without(&self.status().members.voters, at_hand, id)
    }

    /// Takes a member out, whatever it is. If a change is half done it ends that one, and has to be asked again.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn remove(&self, id: u64) -> Result<(), ChangeError> {
        if id == self.replica_id() {
            return Err(ChangeError::Refused("the leader does not remove itself".to_owned()));
        }
        let voters = self.status().members.voters;
        if let [_, next] = &voters[..] {
            // A leader that is no more began this change. Nobody but a new one ends it.
            if !next.contains(&self.replica_id()) {
                return Err(ChangeError::Refused("the leader leaves, and does not remove itself".to_owned()));
            }
            return self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await;
        }
        if voters.iter().any(|voters| voters.contains(&id)) {
            self.check_goes_on_without(id, &self.at_hand()).map_err(ChangeError::Refused)?;
            // Not kept as a learner.
            return self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await;
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await
    }

    /// Hands leadership to the voter that has most of the log, if one has all of it.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub async fn transfer_leadership(&self) -> Result<(), TransferError> {
        self.transfer_leadership_to(|_| true).await
    }

    /// As [`Node::transfer_leadership`], to one of those that are `wanted`.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub async fn transfer_leadership_to(&self, wanted: impl Fn(u64) -> bool) -> Result<(), TransferError> {
        let heir = self.heir(wanted)?;
        let me = self.replica_id();
        tracing::info!(replica = me, heir, "handing over leadership");
        self.raft().trigger().transfer_leader(heir).await.map_err(|_| TransferError::NotLeader)?;
        let mut leadership = self.leadership();
        // No heartbeats are sent from now on, so after this time someone else campaigns in any case.
        let wait = self.silence_max();
        let taken_over = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != me));
        match timeout(wait, taken_over).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TransferError::Late),
        }
    }

    fn heir(&self, wanted: impl Fn(u64) -> bool) -> Result<u64, TransferError> {
        let reports = self.raft().metrics();
        let report = reports.borrow_watched();
        let Some(matched) = report.replication.as_ref().filter(|_| report.state == ServerState::Leader)
        else {
            return Err(TransferError::NotLeader);
        };
        report
            .membership_config
            .voter_ids()
            .filter(|voter| *voter != report.id && wanted(*voter))
            .filter_map(|voter| Some((matched.get(&voter)?.as_ref().map(|id| id.index), voter)))
            .filter(|(matched, _)| *matched >= report.local_committed.map(|id| id.index))
            .max()
            .map(|(_, voter)| voter)
            .ok_or(TransferError::NoHeir)
    }

    async fn change(&self, change: ChangeMembers<u64, BasicNode>) -> Result<(), ChangeError> {
        tracing::info!(replica = self.replica_id(), %change, "changing the members");
        match timeout(CHANGE_TIMEOUT, self.raft().change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(ChangeError::Refused(error.to_string())),
            Err(_) => Err(ChangeError::Unknown),
        }
    }
}

/// See [`Node::check_goes_on_without`]. More than one set of voters: a change is under way, and each has to agree.
fn goes_on_without(voters: &[BTreeSet<u64>], at_hand: &BTreeSet<u64>, id: u64) -> Result<(), String> {
    let [voters] = voters else {
        return Err("another change of the members is under way; wait for its end".to_owned());
    };
    let stay: BTreeSet<u64> = voters.iter().copied().filter(|voter| *voter != id).collect();
    if stay.is_empty() {
        return Err(format!("controller {id} is the only one that votes"));
    }
    let away: Vec<u64> = stay.iter().copied().filter(|voter| !at_hand.contains(voter)).collect();
    let needed = stay.len() / 2 + 1;
    if stay.len() - away.len() < needed {
        return Err(format!(
            "of the {} controllers that would stay, {needed} have to answer, and {away:?} do not: without {id} nothing could \
             be decided any more",
            stay.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
