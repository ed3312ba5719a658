//! What an operator can read off a controller at any moment, set when somebody asks for `/metrics`. What happens (requests,
//! reports) is counted where it happens. `docs/operating/metrics.md` has the list, and which of it to be woken by.
//!
//! What always holds: nothing here waits, and no label is a tenant's or a host's name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use rempart_api::{Kind, Phase};
use rempart_model::{Detail, Object, STEPS, Spec, State, overdue};

use crate::fleet::Fleet;
use crate::raft::Node;
use crate::replica::Replica;
use crate::store::projection::{Health, Projection};

#[cfg(test)]
mod tests;

/// How old counts of objects may be: they take a walk over the whole State.
const CENSUS_AGE: Duration = Duration::from_secs(10);

/// Every state a resource can be in, so that a count that falls to nothing is shown as 0.
const PHASES: [(Phase, &str); 6] = [
    (Phase::Pending, "pending"),
    (Phase::Creating, "creating"),
    (Phase::Updating, "updating"),
    (Phase::Active, "active"),
    (Phase::Deleting, "deleting"),
    (Phase::Error, "error"),
];

/// The states of a host that are told apart, in the order in which they are looked for.
const HOST_STATES: [&str; 5] = ["revoked", "joining", "unreachable", "cordoned", "ready"];

/// What is looked at.
pub struct Telemetry {
    /// Consensus.
    pub node: Node,
    /// State.
    pub replica: Replica,
    /// Postgres.
    pub projection: Arc<Projection>,
    /// Agents' sessions.
    pub fleet: Fleet,
    /// When objects were counted last.
    pub counted: Mutex<Option<Instant>>,
}

impl Telemetry {
    /// Sets every gauge.
    pub fn look(&self) {
        self.look_at_consensus();
        self.look_at_postgres();
        whole("rempart_agent_sessions", self.fleet.session_count());
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.is_none_or(|at| at.elapsed() >= CENSUS_AGE) {
            *counted = Some(Instant::now());
            let census = Census::of(&self.replica.state());
            census.show();
        }
    }

    fn look_at_consensus(&self) {
        let status = self.node.status();
        whole("rempart_raft_is_leader", usize::from(self.node.is_leader()));
        whole("rempart_raft_has_leader", usize::from(status.leader.is_some()));
        number("rempart_raft_term", status.term);
        number("rempart_raft_last_log_index", status.last_log_index.unwrap_or(0));
        number("rempart_raft_durable_index", status.durable_end.saturating_sub(1));
        number("rempart_raft_committed_index", status.committed_index.unwrap_or(0));
        number("rempart_raft_applied_index", status.applied_index.unwrap_or(0));
        number("rempart_raft_log_syncs", status.log_syncs);
        number("rempart_raft_log_bytes", status.log_bytes);
        number("rempart_raft_snapshot_bytes", status.snapshot_bytes);
        number("rempart_raft_snapshot_index", status.snapshot_index.unwrap_or(0));
        number("rempart_raft_purged_index", status.purged_index.unwrap_or(0));
        whole("rempart_raft_proposals_in_flight_bytes", self.node.in_flight_bytes());
        let matched = status.matched_index.values().map(|index| index.unwrap_or(0)).min();
        let last = status.last_log_index.unwrap_or(0);
        number("rempart_raft_slowest_peer_lag_entries", last.saturating_sub(matched.unwrap_or(last)));
    }

    fn look_at_postgres(&self) {
        let up = matches!(*self.projection.health().borrow(), Health::Working);
        whole("rempart_postgres_up", usize::from(up));
        whole("rempart_projection_lag_bytes", self.projection.queued_bytes());
        let flushed = self.projection.flushed().borrow().unwrap_or(0);
        let applied = self.node.applied_index().unwrap_or(0);
        number("rempart_projection_lag_entries", applied.saturating_sub(flushed));
    }
}

/// How many there are of what.
#[derive(Debug, Default, PartialEq)]
struct Census {
    objects: BTreeMap<(&'static str, &'static str), usize>,
    hosts: BTreeMap<&'static str, usize>,
    waiting: usize,
    overdue: BTreeMap<(&'static str, &'static str), usize>,
}

impl Census {
    fn of(state: &State) -> Census {
        let mut census = Census { waiting: state.waiting().count(), ..Census::default() };
        for object in state.objects() {
            let info = object.urn.kind.info();
            *census.objects.entry((info.name, phase(object.status.state))).or_default() += 1;
            if object.urn.kind == Kind::Host {
                *census.hosts.entry(host_state(object)).or_default() += 1;
            }
        }
        for object in state.under_way() {
            if let Some(overdue) = overdue(state, object) {
                let key = (object.urn.kind.info().name, overdue.step.info().name);
                *census.overdue.entry(key).or_default() += 1;
            }
        }
        census
    }

    fn show(&self) {
        for kind in Kind::table() {
            for (_, phase) in PHASES {
                let kind = kind.name;
                let count = self.objects.get(&(kind, phase)).copied().unwrap_or(0);
                gauge!("rempart_objects", "kind" => kind, "state" => phase).set(float(count));
            }
        }
        for state in HOST_STATES {
            let count = self.hosts.get(state).copied().unwrap_or(0);
            gauge!("rempart_hosts", "state" => state).set(float(count));
        }
        whole("rempart_instances_waiting_for_a_host", self.waiting);
        for info in &STEPS {
            for kind in Kind::table() {
                if info.kinds.is_empty() || info.kinds.contains(&kind.kind) {
                    let count = self.overdue.get(&(kind.name, info.name)).copied().unwrap_or(0);
                    gauge!("rempart_objects_overdue", "kind" => kind.name, "step" => info.name)
                        .set(float(count));
                }
            }
        }
    }
}

fn phase(state: Phase) -> &'static str {
    PHASES.iter().find(|(phase, _)| *phase == state).map_or("other", |(_, name)| name)
}

fn host_state(host: &Object) -> &'static str {
    let cordoned = matches!(&host.spec, Spec::Host(spec) if spec.cordoned);
    match &host.detail {
        Detail::Host(detail) if detail.is_revoked() => "revoked",
        Detail::Host(detail) if !detail.was_seen() => "joining",
        Detail::Host(detail) if !detail.reachable => "unreachable",
        _ if cordoned => "cordoned",
        _ => "ready",
    }
}

fn whole(name: &'static str, value: usize) {
    gauge!(name).set(float(value));
}

fn number(name: &'static str, value: u64) {
    gauge!(name).set(float(usize::try_from(value).unwrap_or(usize::MAX)));
}

/// Prometheus knows no other numbers; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(value: usize) -> f64 {
    value as f64
}
