//! Hosts that fell silent.

use std::collections::BTreeMap;

use rempart_api::Kind;
use rempart_model::{Command, Detail, HostName};
use tokio::time::{Duration, Instant};

use crate::fleet::{Fleet, SILENCE};
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};

/// Says so of every host that has had no session here for longer than [`SILENCE`]: since the session ended, or since
/// this replica leads, which gives agents the time to come over from the last leader.
pub(super) async fn run(node: &Node, replica: &Replica, fleet: &Fleet) {
    let mut missing: BTreeMap<String, Instant> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let state = replica.state();
        let reachable = state
            .of_kind(Kind::Host)
            .filter(|host| matches!(&host.detail, Detail::Host(detail) if detail.reachable));
        let silent: BTreeMap<String, u64> = reachable
            .filter(|host| !fleet.in_touch(&host.urn.name))
            .map(|host| (host.urn.name.clone(), host.changed_index))
            .collect();
        missing.retain(|host, _| silent.contains_key(host));
        let now = Instant::now();
        for (host, changed_index) in silent {
            let since = *missing.entry(host.clone()).or_insert(now);
            if now - since >= SILENCE {
                tracing::warn!(host, "out of touch");
                // A session that begins meanwhile changes the host, and then this changes nothing.
                let judged = HostName { host, changed_index: Some(changed_index) };
                if let Err(error) = propose_as_system(node, Command::HostUnreachable(judged)).await {
                    tracing::warn!(%error, "recording a host as unreachable");
                }
            }
        }
    }
}
