//! Placement of instances that could not be placed with their PUT.

use rempart_model::{Command, PlaceCommand};

use super::PAUSE;
use crate::fleet::propose_as_system;
use crate::raft::Node;
use crate::replica::Replica;

/// Places whatever waits and fits, again after every change.
pub(super) async fn run(node: &Node, replica: &Replica) {
    let mut states = replica.watch();
    loop {
        let state = states.borrow_and_update().clone();
        let proposal = state.waiting().find_map(|instance| {
            let host = rempart_model::placement::choose(&state, instance).ok()?;
            Some(PlaceCommand { uid: instance.uid, host })
        });
        match proposal {
            // One at a time: what it takes changes what the next one finds.
            Some(place) => match propose_as_system(node, Command::Place(place)).await {
                Ok(outcome) if outcome.is_ok() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error.message(), "placing"),
            },
            None => {
                if states.changed().await.is_err() {
                    return;
                }
                continue;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
