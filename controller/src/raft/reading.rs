//! What a read has to see, and how a leader knows that it still is one.
//!
//! openraft asks a majority for every round of reads. A leader that is a majority by itself, or with the replica that asks, need not: what
//! that has voted, looked at after the read began, says that nobody else had been elected by then (`docs/design/0014`).

use openraft::{
    ReadPolicy,
    errors::{LinearizableReadError, RaftError},
};
use rempart_model::planted;
use tokio::time::{Instant, timeout};

use super::{
    Ballot, Node, Partners,
    error::{ProposeError, SeeError},
    node::not_leader,
};

impl Node {
    /// The index that a linearizable read must see applied: at least that of everything acknowledged before the call.
    /// Asks a quorum whether this replica still leads; concurrent calls share the question.
    ///
    /// # Errors
    ///
    /// [`ProposeError::NotLeader`], [`ProposeError::Unknown`] (no quorum answered) and [`ProposeError::Stopped`].
    pub async fn read_index(&self) -> Result<u64, ProposeError> {
        if planted("read-index-without-a-quorum") {
            return self.applied_index().ok_or(ProposeError::Unknown);
        }
        let ask = self.raft().get_read_linearizer(ReadPolicy::ReadIndex);
        match timeout(self.propose_timeout(), ask).await {
            Ok(Ok(read)) => Ok(read.read_log_id().index()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(not_leader(forward))
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                Err(ProposeError::Unknown)
            }
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
        }
    }

    /// The term in which this replica leads and is the only one that votes, at this moment: then what it has published
    /// contains all that was acknowledged in this term, and there is nobody to ask. Says nothing about earlier terms.
    ///
    /// openraft's reports come after the fact; what makes this exact is that the log has seen neither another vote nor
    /// other members since (see [`LogTail::still`]).
    #[must_use]
    pub fn leads_alone(&self) -> Option<u64> {
        self.leads_as(|partners| partners.ids == [None, None])
    }

    /// The term in which this replica leads, and led when `partner`, which is a majority with it, asked: that had voted for it
    /// and for nobody since, so nobody else can have been elected by then. As [`Node::leads_alone`], without asking anybody.
    #[must_use]
    pub fn leads_with(&self, partner: u64, voted: Ballot) -> Option<u64> {
        let term = self.leads_as(|partners| partners.ids.contains(&Some(partner)))?;
        let for_me = voted == Ballot { term, candidate: self.replica_id() };
        (for_me || planted("old-ballot")).then_some(term)
    }

    /// The term in which this replica leads, at this moment, with partners as wanted.
    fn leads_as(&self, wanted: impl FnOnce(&Partners) -> bool) -> Option<u64> {
        let known = self.known_leadership();
        let partners = known.partners.filter(wanted)?;
        self.log().still(self.replica_id(), known.term, partners.since).then_some(known.term)
    }

    /// What it voted last, as its disk has it.
    #[must_use]
    pub fn voted(&self) -> Option<Ballot> {
        let vote = self.log().vote()?;
        Some(Ballot { term: vote.leader_id.term, candidate: vote.leader_id.node_id })
    }

    /// Returns once a quorum has said that this replica leads, and everything acknowledged before is in its published
    /// state.
    ///
    /// # Errors
    ///
    /// [`SeeError`].
    pub async fn see_everything(&self, deadline: Instant) -> Result<(), SeeError> {
        let index = self.read_index().await.map_err(SeeError::Leads)?;
        self.wait_applied(index, deadline).await.map_err(|_| SeeError::Late)
    }

    /// The newest entry that this process told another replica to be committed, 0 if none. By its word no other has applied, or shown,
    /// anything beyond; up to there it may have done so sooner than this one.
    #[must_use]
    pub fn told_committed(&self) -> u64 {
        self.network().told_committed()
    }
}
