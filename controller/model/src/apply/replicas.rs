//! Which controllers are to take part in consensus. Here it is only written down; the leader sees to it.

use std::sync::Arc;

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{ReplicaCommand, ReplicaIntent};
use crate::refusal::{Fault, Refusal};

/// Longest address: a DNS name has 253 characters at most (RFC 1035).
const MAX_ADDRESS: usize = 260;

impl Tx {
    pub(super) fn replica(&mut self, command: &ReplicaCommand) -> Outcome {
        let ReplicaCommand { replica_id, intent } = command;
        let known = self.state.core.replicas.get(replica_id);
        if let (Some(restored), ReplicaIntent::Join { .. }) = (&self.state.core.restored, intent)
            && *replica_id < restored.first_replica_id
        {
            return Err(Refusal::conflict(format!(
                "controller {replica_id} may have been one of those before this installation was restored from a backup; let it \
                 join under an id from {} on",
                restored.first_replica_id
            )));
        }
        match (known, intent) {
            (Some(known), intent) if known == intent => return Ok(Answer::Accepted),
            (Some(ReplicaIntent::Leave), ReplicaIntent::Join { .. }) => {
                return Err(Refusal::conflict(format!(
                    "controller {replica_id} was removed, and its id is not used again; wipe it and let it join under a \
                     new id"
                )));
            }
            (Some(ReplicaIntent::Join { address }), ReplicaIntent::Join { .. }) => {
                return Err(Refusal::conflict(format!(
                    "controller {replica_id} is joining from {address}; one that has moved is removed, and joins under \
                     a new id"
                )));
            }
            (_, ReplicaIntent::Join { address }) => check_address(address)?,
            (_, ReplicaIntent::Leave) => {}
        }
        Arc::make_mut(&mut self.state.core.replicas).insert(*replica_id, intent.clone());
        Ok(Answer::Accepted)
    }
}

fn check_address(address: &str) -> Result<(), Refusal> {
    let is_address = address.len() <= MAX_ADDRESS
        && address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
        });
    if is_address {
        return Ok(());
    }
    Err(Refusal::invalid(vec![Fault::new(
        "/spec/address",
        "it is HOST:PORT of the controller's internal listener",
    )]))
}
