//! Tenants that are suspended or being deleted: what is theirs is turned off, or deleted, part by part.

use rempart_model::{Command, WindDownCommand};

use super::PAUSE;
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};

/// Goes on until nothing is left to do, and waits for more.
pub(super) async fn run(node: &Node, replica: &Replica) {
    let mut states = replica.watch();
    loop {
        let state = states.borrow_and_update().clone();
        let tenants: Vec<_> = state.winding_down().map(str::to_owned).collect();
        let mut moved = false;
        for tenant in tenants {
            let command = Command::WindDown(WindDownCommand { tenant: tenant.clone() });
            match propose_as_system(node, command).await {
                Ok(outcome) => moved |= outcome.is_ok(),
                Err(error) => tracing::warn!(tenant, %error, "winding down"),
            }
        }
        if moved {
            continue;
        }
        // Nothing to do, or everything waits for hosts: each of their reports is a change.
        tokio::time::sleep(PAUSE).await;
        if states.changed().await.is_err() {
            return;
        }
    }
}
