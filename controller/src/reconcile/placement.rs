//! Placement of instances that could not be placed with their PUT.
//!
//! ```text
//!   room changed ──> sweep: every waiting instance once, from behind the one that was last placed
//!                      demand refused before, and no room since ──> passed over, no host looked at
//!                      a host fits ──> Place (log), one at a time: what it takes changes what the next one finds
//!   anything else changed ──> a comparison of two numbers
//! ```
//!
//! So an entry that frees nothing costs nothing, a thousand instances that wait for the same cost one look at the
//! hosts, and nobody is passed over because of his name. Placing takes room and never makes any: what was refused
//! stays refused within a sweep.

use std::collections::BTreeSet;
use std::sync::Arc;

use rempart_api::Urn;
use rempart_model::placement::{Demand, demand};
use rempart_model::{Command, Object, PlaceCommand, State, placement};

use super::PAUSE;
use crate::raft::Node;
use crate::replica::Replica;
use crate::replica::propose_as_system;

/// Waiting instances looked at before other tasks get their turn.
const SLICE: usize = 128;

/// Places whatever waits and fits, whenever room may have appeared.
pub(super) async fn run(node: &Node, replica: &Replica) {
    let mut states = replica.watch();
    let mut sweeps = Sweeps::default();
    loop {
        let state = states.borrow_and_update().clone();
        if !sweeps.are_due(&state) {
            if states.changed().await.is_err() {
                return;
            }
            continue;
        }
        match sweeps.next(&state) {
            Step::Place(place) => match propose_as_system(node, Command::Place(place)).await {
                Ok(outcome) if outcome.is_ok() => {}
                Ok(outcome) => {
                    // State changed under the choice: another host may do.
                    tracing::debug!(outcome = ?outcome, "placing");
                    sweeps.start_anew();
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "placing");
                    sweeps.start_anew();
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Step::Pause => tokio::task::yield_now().await,
            Step::Done => {}
        }
    }
}

/// How far the search for room is.
#[derive(Default)]
struct Sweeps {
    /// Room as of which everything that waits was looked at.
    done: Option<u64>,
    /// Room as of which the current sweep began.
    current: Option<u64>,
    /// Demands that no host can meet, as of `current`.
    refused: BTreeSet<Demand>,
    /// The instance looked at last.
    last: Option<Arc<Urn>>,
    /// How many the current sweep still has to look at.
    left: usize,
}

/// What a sweep comes to next.
#[derive(Debug, PartialEq)]
enum Step {
    /// This fits.
    Place(PlaceCommand),
    /// Others first; there is more.
    Pause,
    /// Nothing that waits fits anywhere.
    Done,
}

impl Sweeps {
    fn are_due(&self, state: &State) -> bool {
        self.done != Some(state.room_changed())
    }

    fn start_anew(&mut self) {
        (self.done, self.current) = (None, None);
    }

    /// Looks at the next instances until one fits somewhere.
    fn next(&mut self, state: &State) -> Step {
        if self.current != Some(state.room_changed()) {
            self.current = Some(state.room_changed());
            self.refused.clear();
            self.left = state.waiting_count();
        }
        for instance in self.behind_last(state) {
            self.left = self.left.saturating_sub(1);
            self.last = Some(instance.urn.clone());
            if let Some(host) = self.host_for(state, &instance) {
                return Step::Place(PlaceCommand { uid: instance.uid, host });
            }
        }
        if self.left > 0 {
            return Step::Pause;
        }
        self.done = self.current.take();
        Step::Done
    }

    fn behind_last(&self, state: &State) -> Vec<Arc<Object>> {
        let some = self.left.min(SLICE);
        match &self.last {
            Some(last) => state.waiting_after(last).take(some).cloned().collect(),
            None => state.waiting().take(some).cloned().collect(),
        }
    }

    fn host_for(&mut self, state: &State, instance: &Object) -> Option<String> {
        let demand = demand(state, instance).ok()?;
        if self.refused.contains(&demand) {
            return None;
        }
        let host = placement::choose_for(state, &demand);
        if host.is_none() {
            self.refused.insert(demand);
        }
        host
    }
}

#[cfg(test)]
mod tests;
