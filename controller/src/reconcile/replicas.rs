//! Controllers that operators want to take part, or to leave.
//!
//! ```text
//!   to join:   not a member --> learner --(has the log)--> voter
//!   to leave:  voter, learner --(the others go on without it)--> no member
//! ```

use std::time::Duration;

use rempart_model::ReplicaIntent;
use tokio::time::{sleep, timeout};

use crate::raft::{ChangeError, Node};
use crate::replica::Replica;

/// How often what is under way is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Goes on until nothing is left to do, and waits for more.
pub(super) async fn run(node: &Node, replica: &Replica) {
    let mut states = replica.watch();
    let mut said = None;
    loop {
        let state = states.borrow_and_update().clone();
        let mut waits = false;
        for (&id, intent) in state.core().replicas.iter() {
            match step(node, id, intent).await {
                Ok(Step::Done) => {}
                Ok(Step::Taken) => waits = true,
                Err(ChangeError::Refused(why)) => {
                    waits = true;
                    // Once for each obstacle, not once for each look.
                    if said.as_ref() != Some(&why) {
                        tracing::info!(replica = id, why, "a change of the members waits");
                        said = Some(why);
                    }
                }
                Err(ChangeError::Unknown) => waits = true,
            }
        }
        if waits {
            sleep(LOOK).await;
        } else if let Ok(Err(_)) = timeout(Duration::from_secs(5), states.changed()).await {
            return;
        }
    }
}

enum Step {
    Done,
    Taken,
}

async fn step(node: &Node, id: u64, intent: &ReplicaIntent) -> Result<Step, ChangeError> {
    let members = node.members().borrow().clone();
    let is_member = members.addresses.contains_key(&id);
    let votes = members.voters.iter().all(|voters| voters.contains(&id));
    match intent {
        ReplicaIntent::Join { address } if !is_member => node.add_learner(id, address).await?,
        ReplicaIntent::Join { .. } if votes => return Ok(Step::Done),
        ReplicaIntent::Join { .. } if node.has_caught_up(id) => node.promote(id).await?,
        ReplicaIntent::Join { .. } => {}
        ReplicaIntent::Leave if !is_member => return Ok(Step::Done),
        ReplicaIntent::Leave if id == node.replica_id() => {
            let handed_over = node.transfer_leadership().await;
            return handed_over
                .map(|()| Step::Taken)
                .map_err(|error| ChangeError::Refused(format!("the leader leaves: {error}")));
        }
        ReplicaIntent::Leave => node.remove(id).await?,
    }
    Ok(Step::Taken)
}
