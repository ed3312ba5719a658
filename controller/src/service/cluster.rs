//! The controllers themselves: who takes part, and who leads. For operators.
//!
//! What is wanted is written into the log, with who wanted it; the leader sees to it (`reconcile/replicas.rs`). What would
//! take the quorum away is refused before it is written.

use std::collections::BTreeSet;
use std::time::Duration;

use rempart_api::Timestamp;
use rempart_api::cluster::{
    Replica, ReplicaList, ReplicaReport, ReplicaRole, ReplicaSpec, ReplicaStatus, StateDigest,
};
use rempart_model::{
    Command, Envelope, Refusal, RefusalClass, ReplicaCommand, ReplicaIntent, ResumeCommand, State,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::accounts::check_proof;
use super::error::{Fault, ServiceError};
use super::{Caller, PATIENCE, Service};
use crate::raft::{Proposal, Status, TransferError};
use crate::replica::now;

/// How long a controller may take to say how it is doing.
const REPORT_WITHIN: Duration = Duration::from_secs(2);

/// How long a list waits for a leader.
const LIST_PATIENCE: Duration = Duration::from_secs(8);

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterRequest {
    /// Identifies it among retries.
    pub id: Uuid,
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub call: ClusterCall,
}

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ClusterCall {
    /// How all of them are doing.
    List,
    /// This one is to vote.
    Join {
        /// Its id.
        replica_id: u64,
        /// Where it listens for its peers.
        address: String,
    },
    /// This one is to leave.
    Leave {
        /// Its id.
        replica_id: u64,
    },
    /// This one is to lead.
    Lead {
        /// Its id.
        replica_id: u64,
    },
    /// A restored cluster is to take changes again.
    Resume {
        /// Hosts that are not waited for.
        without: Vec<String>,
    },
}

/// How far what is kept of the log has come; said by those who keep it.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The last entry whose effects are in Postgres.
    pub flushed: watch::Receiver<Option<u64>>,
    /// Entries whose audit rows are yet to be fetched.
    pub missing_history: watch::Receiver<u64>,
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ClusterReply {
    /// To [`ClusterCall::List`].
    Replicas(ReplicaList),
    /// Written down.
    Accepted,
}

impl Service {
    /// Answers one authenticated call, on whichever replica it arrived.
    ///
    /// # Errors
    /// A refusal, a missing right, or a fault of ours.
    pub async fn cluster(&self, request: ClusterRequest) -> Result<ClusterReply, ServiceError> {
        if !matches!(request.call, ClusterCall::List) {
            return self.cluster_through_leader(&request, Instant::now() + PATIENCE).await;
        }
        match self.cluster_through_leader(&request, Instant::now() + LIST_PATIENCE).await {
            // Who asks this needs the answer most when nobody leads.
            Err(ServiceError::Fault(fault)) if fault.helps_to_retry() || fault.leaves_doubt() => {
                self.list_alone(&request.caller).await
            }
            other => other,
        }
    }

    /// What this controller knows by itself.
    async fn list_alone(&self, caller: &Caller) -> Result<ClusterReply, ServiceError> {
        let state = self.inner.replica.state();
        check_proof(&state, caller)?;
        if !caller.operates {
            return Err(ServiceError::Forbidden);
        }
        let mut list = self.replicas(&state).await;
        list.warning = Some(format!(
            "no controller leads, or none that controller {} reaches: this is what it knows by itself. A majority has to run and to \
             reach one another",
            self.inner.node.replica_id()
        ));
        Ok(ClusterReply::Replicas(list))
    }

    async fn cluster_through_leader(
        &self,
        request: &ClusterRequest,
        deadline: Instant,
    ) -> Result<ClusterReply, ServiceError> {
        let mut leadership = self.inner.node.leadership();
        loop {
            leadership.mark_unchanged();
            let attempt = async {
                if self.inner.node.is_leader() {
                    return self.cluster_as_leader(request).await;
                }
                let leader = self.inner.node.leader();
                let (leader, address) = leader.ok_or(ServiceError::Fault(Fault::NoLeader))?;
                self.while_it_leads(leader, self.inner.forwarder.cluster(leader, &address, request)).await
            };
            match timeout_at(deadline, attempt).await {
                // Doing any of it twice is the same as doing it once.
                Ok(Err(ServiceError::Fault(fault)))
                    if fault.helps_to_retry() && Instant::now() < deadline =>
                {
                    let _ = timeout(Duration::from_millis(100), leadership.changed()).await;
                }
                Ok(result) => return result,
                Err(_) => return Err(ServiceError::Fault(Fault::OutcomeUnknown)),
            }
        }
    }

    /// A call that a follower passed on, or one's own: executed here or not at all.
    pub(super) async fn cluster_as_leader(
        &self,
        request: &ClusterRequest,
    ) -> Result<ClusterReply, ServiceError> {
        if !self.inner.node.is_leader() {
            return Err(ServiceError::Fault(Fault::NoLeader));
        }
        self.see_everything().await?;
        let state = self.inner.replica.state();
        check_proof(&state, &request.caller)?;
        if !request.caller.operates {
            return Err(ServiceError::Forbidden);
        }
        match &request.call {
            ClusterCall::List => Ok(ClusterReply::Replicas(self.replicas(&state).await)),
            ClusterCall::Resume { without } => {
                let command = Command::Resume(ResumeCommand { without: without.clone() });
                self.decide(request, command).await
            }
            ClusterCall::Lead { replica_id } => self.lead(*replica_id).await,
            ClusterCall::Join { replica_id, address } => {
                self.check_join(*replica_id, address)?;
                let intent = ReplicaIntent::Join { address: address.clone() };
                self.intend(request, *replica_id, intent).await
            }
            ClusterCall::Leave { replica_id } => {
                self.check_leave(&state, *replica_id).await?;
                if *replica_id == self.inner.node.replica_id() {
                    // Who leaves does not lead: the one that takes over is asked next.
                    return Err(ServiceError::Fault(match self.inner.node.transfer_leadership().await {
                        Ok(()) | Err(TransferError::NotLeader | TransferError::Late) => Fault::NoLeader,
                        Err(TransferError::NoHeir) => {
                            return Err(conflict(format!(
                                "controller {replica_id} leads, and no other one has all of the log yet; try again"
                            )));
                        }
                    }));
                }
                self.intend(request, *replica_id, ReplicaIntent::Leave).await
            }
        }
    }

    async fn intend(
        &self,
        request: &ClusterRequest,
        replica_id: u64,
        intent: ReplicaIntent,
    ) -> Result<ClusterReply, ServiceError> {
        self.decide(request, Command::Replica(ReplicaCommand { replica_id, intent })).await
    }

    async fn decide(&self, request: &ClusterRequest, command: Command) -> Result<ClusterReply, ServiceError> {
        let envelope = Envelope {
            format: rempart_model::ENVELOPE_FORMAT,
            request_id: request.id,
            actor: request.caller.subject.clone(),
            trace: None,
            time: now(),
            command,
        };
        match &*self.inner.node.propose(Proposal(envelope.encode().into())).await? {
            Ok(_) => Ok(ClusterReply::Accepted),
            Err(refusal) => Err(refusal.clone().into()),
        }
    }

    fn check_join(&self, replica_id: u64, address: &str) -> Result<(), ServiceError> {
        let members = self.inner.node.members().borrow().clone();
        if let Some(known) = members.addresses.get(&replica_id)
            && known != address
        {
            return Err(conflict(format!(
                "controller {replica_id} takes part already, at {known}; one that has moved is removed, and joins under a \
                 new id"
            )));
        }
        let same = members.addresses.iter().find(|(id, known)| **id != replica_id && *known == address);
        if let Some((other, _)) = same {
            return Err(conflict(format!("{address} is the address of controller {other}")));
        }
        Ok(())
    }

    async fn check_leave(&self, state: &State, replica_id: u64) -> Result<(), ServiceError> {
        let members = self.inner.node.members().borrow().clone();
        if !members.addresses.contains_key(&replica_id) && !state.core().replicas.contains_key(&replica_id) {
            return Err(ServiceError::Refused(Refusal {
                class: RefusalClass::NotFound,
                detail: format!("there is no controller {replica_id}"),
                sources: Vec::new(),
            }));
        }
        if !members.voters.iter().any(|voters| voters.contains(&replica_id)) {
            return Ok(());
        }
        // Another one that is to leave counts as gone already.
        let leaving = state.core().replicas.iter().find(|(id, intent)| {
            **id != replica_id && **intent == ReplicaIntent::Leave && members.addresses.contains_key(id)
        });
        if let Some((other, _)) = leaving {
            return Err(conflict(format!("controller {other} is leaving; one after the other")));
        }
        // Who died a moment ago was heard lately: they are asked.
        let asked = members
            .addresses
            .iter()
            .map(|(id, address)| async move { self.report_of(*id, address).await.map(|_| *id) });
        let at_hand = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        self.inner.node.check_goes_on_without(replica_id, &at_hand).map_err(conflict)
    }

    async fn lead(&self, replica_id: u64) -> Result<ClusterReply, ServiceError> {
        let node = &self.inner.node;
        if replica_id == node.replica_id() {
            return Ok(ClusterReply::Accepted);
        }
        let is_voter = node.members().borrow().voters.iter().all(|voters| voters.contains(&replica_id));
        if !is_voter {
            return Err(conflict(format!("controller {replica_id} does not vote, so it cannot lead")));
        }
        match node.transfer_leadership_to(|id| id == replica_id).await {
            Ok(()) => Ok(ClusterReply::Accepted),
            Err(TransferError::NotLeader) => Err(ServiceError::Fault(Fault::NoLeader)),
            Err(TransferError::NoHeir) => Err(conflict(format!(
                "controller {replica_id} is away, or does not have all of the log yet; try again"
            ))),
            Err(TransferError::Late) => Err(conflict(format!(
                "controller {replica_id} did not take over in time; whoever leads now goes on"
            ))),
        }
    }

    /// How all of them are doing, from where this one leads.
    async fn replicas(&self, state: &State) -> ReplicaList {
        let node = &self.inner.node;
        let (status, heard) = (node.status(), node.heard());
        let members = status.members.clone();
        let voters: BTreeSet<u64> = members.voters.iter().flatten().copied().collect();
        let items = self.ask_all(state).await.into_iter().map(|(id, address, own)| {
            let intent = state.core().replicas.get(&id);
            let role = role(id, status.leader, voters.contains(&id), intent);
            Replica {
                id,
                spec: ReplicaSpec { address },
                status: ReplicaStatus {
                    role,
                    waiting_for: self.waiting_for(id, role, &status, own.is_some()),
                    heard_at: heard.get(&id).map(|since| ago(*since)),
                    matched_index: match id == status.replica_id {
                        true => status.last_log_index,
                        false => status.matched_index.get(&id).copied().flatten(),
                    },
                    own,
                },
            }
        });
        ReplicaList {
            items: items.collect(),
            cluster_version: state.core().version.0,
            warning: None,
            restored: super::restored::restoration(state),
        }
    }

    /// What each member, and each that is to be one, says of itself; none from who does not answer.
    pub async fn reports(&self) -> Vec<(u64, Option<ReplicaReport>)> {
        let state = self.inner.replica.state();
        self.ask_all(&state).await.into_iter().map(|(id, _, own)| (id, own)).collect()
    }

    async fn ask_all(&self, state: &State) -> Vec<(u64, String, Option<ReplicaReport>)> {
        let mut addresses = self.inner.node.members().borrow().addresses.clone();
        for (id, intent) in state.core().replicas.iter() {
            if let ReplicaIntent::Join { address } = intent {
                addresses.entry(*id).or_insert_with(|| address.clone());
            }
        }
        let asked = addresses.into_iter().map(|(id, address)| async move {
            let own = self.report_of(id, &address).await;
            (id, address, own)
        });
        futures_util::future::join_all(asked).await
    }

    fn waiting_for(&self, id: u64, role: ReplicaRole, status: &Status, answers: bool) -> Option<String> {
        match role {
            ReplicaRole::Leader | ReplicaRole::Voter => None,
            ReplicaRole::Joining if !answers => {
                Some("it to run, with the identity of a controller of its id".to_owned())
            }
            ReplicaRole::Joining => {
                let has = status.matched_index.get(&id).copied().flatten().unwrap_or(0);
                let all = status.committed_index.unwrap_or(0);
                Some(format!("it to take over the log: {has} of {all} entries, or a snapshot on its way"))
            }
            ReplicaRole::Leaving => {
                let node = &self.inner.node;
                let why = node.check_goes_on_without(id, &node.at_hand()).err();
                Some(why.unwrap_or_else(|| "the leading controller to take it out".to_owned()))
            }
        }
    }

    async fn report_of(&self, id: u64, address: &str) -> Option<ReplicaReport> {
        if id == self.inner.node.replica_id() {
            return Some(self.report());
        }
        timeout(REPORT_WITHIN, self.inner.forwarder.report(id, address)).await.ok()?
    }

    /// How this replica is doing.
    pub(super) fn report(&self) -> ReplicaReport {
        let status = self.inner.node.status();
        let keeping = &self.inner.keeping;
        ReplicaReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            last_log_index: status.last_log_index,
            applied_index: status.applied_index,
            flushed_index: *keeping.flushed.borrow(),
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            log_bytes: status.log_bytes,
            snapshot_bytes: status.snapshot_bytes,
            missing_history: *keeping.missing_history.borrow(),
            newest_cluster_version: self.inner.settings.cluster_version_limit.0,
            state_digest: self
                .inner
                .replica
                .noted()
                .map(|noted| StateDigest { index: noted.index, digest: noted.digest.to_string() }),
        }
    }
}

fn role(id: u64, leader: Option<u64>, votes: bool, intent: Option<&ReplicaIntent>) -> ReplicaRole {
    match intent {
        Some(ReplicaIntent::Leave) => ReplicaRole::Leaving,
        _ if Some(id) == leader => ReplicaRole::Leader,
        _ if votes => ReplicaRole::Voter,
        _ => ReplicaRole::Joining,
    }
}

fn ago(since: Duration) -> Timestamp {
    let ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now().unix_ms().saturating_sub(ms))
}

fn conflict(why: String) -> ServiceError {
    ServiceError::Refused(Refusal { class: RefusalClass::Conflict, detail: why, sources: Vec::new() })
}
