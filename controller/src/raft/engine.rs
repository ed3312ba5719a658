//! openraft, with its many type parameters chosen once.

use openraft::{OptionalSend, raft::responder::Responder};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    gather::Run,
    machine::{Proposal, Response},
    state_machine::StateMachine,
};

/// What our replicas agree on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

// By hand: `declare_raft_types!` has no syntax for a `Responder` of one's own.
impl openraft::RaftTypeConfig for Types {
    type D = Proposal;
    type R = Response;
    type NodeId = u64;
    type Node = openraft::BasicNode;
    type Term = u64;
    // Leaders are ordered by term and id, so two candidates of one term do not split the votes: the higher id wins.
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, u64, openraft::BasicNode>;
    type Entry = openraft::Entry<Self::LeaderId, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T: OptionalSend + 'static> = Reply<T>;
    type Batch<T: OptionalSend + 'static> = openraft::impls::InlineBatch<T>;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// What openraft runs on. In tests its lots can be drawn from a seed.
#[cfg(not(test))]
pub(crate) type Runtime = openraft::impls::TokioRuntime;
#[cfg(test)]
pub(crate) type Runtime = super::simulated::Seeded;

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type EntryPayload = openraft::alias::PayloadOf<Types>;
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<Types>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, openraft::BasicNode>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;

/// A log id from its parts.
pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: node }, index)
}

/// Where the answer to one proposal goes.
///
/// It holds the proposal's room in the queue, so that the room is free again when openraft is done with the entry and
/// not when the caller stops waiting: callers that hang up cannot push more in than the queue holds.
pub(crate) struct Reply<T> {
    to: oneshot::Sender<T>,
    _room: OwnedSemaphorePermit,
    run: Option<Run>,
}

impl<T> Reply<T> {
    pub(crate) fn new(to: oneshot::Sender<T>, room: OwnedSemaphorePermit) -> Self {
        Self { to, _room: room, run: None }
    }

    /// Whether its proposer has given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.to.is_closed()
    }

    /// The run it goes with is under way until it is answered.
    pub(super) fn in_run(self, run: Run) -> Self {
        Self { run: Some(run), ..self }
    }
}

impl<T: OptionalSend + 'static> Responder<Types, T> for Reply<T> {
    fn on_complete(self, result: T) {
        // Who follows may go before the caller is told.
        drop(self.run);
        // The caller may have given up. Its entry stands all the same.
        let _ = self.to.send(result);
    }
}
