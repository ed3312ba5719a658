//! Who leads, and how a replica is doing.

use std::collections::BTreeMap;

use openraft::{ServerState, async_runtime::watch::WatchReceiver};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    engine::{LogId, Raft, StoredMembership},
    machine::Members,
    record,
};

/// Who leads, as far as this replica knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Leadership {
    /// The newest term this replica has heard of.
    pub term: u64,
    /// The leader of that term, once a quorum has elected it.
    pub leader: Option<u64>,
    /// Whether that is this replica. It may already have been replaced without knowing; only a commit, or
    /// [`Node::read_index`](super::Node::read_index), tells.
    pub is_me: bool,
    /// On a leader, if any one other voter is a majority with it.
    pub partners: Option<Partners>,
}

/// The other voters of a leader that has two of them at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Partners {
    /// The index of the entry that made them so.
    pub since: u64,
    /// They. Without any it leads alone.
    pub ids: [Option<u64>; 2],
}

/// The newest vote of a replica, given to a candidate or learned of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// In which term.
    pub term: u64,
    /// For whom.
    pub candidate: u64,
}

impl Partners {
    fn of(me: u64, known: &StoredMembership) -> Option<Partners> {
        let [voters] = known.membership().get_joint_config().as_slice() else { return None };
        let mut others = voters.iter().copied().filter(|id| *id != me);
        let ids = [others.next(), others.next()];
        let few = voters.contains(&me) && others.next().is_none();
        let since = known.log_id().as_ref()?.index;
        few.then_some(Partners { since, ids })
    }
}

/// The part a replica plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Listens, and does not count for a quorum.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Is stopping, or stopped.
    Stopped,
}

impl From<ServerState> for Role {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Learner => Self::Learner,
            ServerState::Follower => Self::Follower,
            ServerState::Candidate => Self::Candidate,
            ServerState::Leader => Self::Leader,
            ServerState::Shutdown => Self::Stopped,
        }
    }
}

/// How a replica is doing, for operators and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its id.
    pub replica_id: u64,
    /// The part it plays.
    pub role: Role,
    /// The newest term it has heard of.
    pub term: u64,
    /// Who leads.
    pub leader: Option<u64>,
    /// The index of the last entry in its log.
    pub last_log_index: Option<u64>,
    /// One after the last index that a power cut cannot take from it.
    pub durable_end: u64,
    /// The index up to which it knows entries to be committed.
    pub committed_index: Option<u64>,
    /// The index up to which its state contains them.
    pub applied_index: Option<u64>,
    /// Who takes part.
    pub members: Members,
    /// On a leader: the last index each other member is known to have.
    pub matched_index: BTreeMap<u64, Option<u64>>,
    /// The index that the newest snapshot is of.
    pub snapshot_index: Option<u64>,
    /// The index up to which the log was given up.
    pub purged_index: Option<u64>,
    /// What the log takes on disk, in bytes, with what is set aside for it.
    pub log_bytes: u64,
    /// What the newest snapshot takes on disk, in bytes.
    pub snapshot_bytes: u64,
    /// Groups of writes made durable since the start, each with one fsync.
    pub log_syncs: u64,
    /// Why consensus stopped, if it did so by itself.
    pub failure: Option<String>,
}

/// What openraft reports, in our words; what is not openraft's to know is left at zero.
pub(super) fn status(raft: &Raft) -> Status {
    let metrics = raft.metrics().borrow_watched().clone();
    let index = |id: Option<LogId>| id.map(|id| id.index);
    let membership = &metrics.membership_config;
    Status {
        replica_id: metrics.id,
        role: metrics.state.into(),
        term: metrics.current_term,
        leader: metrics.current_leader,
        last_log_index: metrics.last_log_index,
        durable_end: 0,
        committed_index: index(metrics.local_committed),
        applied_index: index(metrics.last_applied),
        members: record::members(*membership.log_id(), membership.membership()),
        matched_index: metrics
            .replication
            .into_iter()
            .flatten()
            .map(|(id, matched)| (id, index(matched)))
            .collect(),
        snapshot_index: None,
        purged_index: index(metrics.purged),
        log_bytes: 0,
        snapshot_bytes: 0,
        log_syncs: 0,
        failure: metrics.running_state.err().map(|fatal| fatal.to_string()),
    }
}

/// Follows openraft until it stops, then says that nobody leads. Returns why it stopped.
pub(super) async fn follow(
    raft: &Raft,
    leadership: &watch::Sender<Leadership>,
    members: &watch::Sender<Members>,
) -> String {
    let mut reports = raft.server_metrics();
    loop {
        let now = {
            let report = reports.borrow_watched();
            let is_me = report.state == ServerState::Leader && report.current_leader == Some(report.id);
            let known = &report.membership_config;
            let now_members = record::members(*known.log_id(), known.membership());
            members
                .send_if_modified(|members| std::mem::replace(members, now_members.clone()) != now_members);
            let partners = Partners::of(report.id, known).filter(|_| is_me);
            Leadership { term: report.vote.leader_id.term, leader: report.current_leader, is_me, partners }
        };
        leadership.send_if_modified(|known| std::mem::replace(known, now) != now);
        if reports.changed().await.is_err() {
            break;
        }
    }
    leadership
        .send_modify(|known| *known = Leadership { leader: None, is_me: false, partners: None, ..*known });
    match raft.metrics().borrow_watched().running_state.clone() {
        Ok(()) => "consensus stopped".to_owned(),
        Err(fatal) => fatal.to_string(),
    }
}
