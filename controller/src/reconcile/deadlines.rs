//! Steps that last too long.
//!
//! This replica counts, on its monotonic clock, from when it first saw an object where it stands (`rempart_model::stand`),
//! since it leads; so a leader whose clock jumps expires nothing, and a new one gives everybody their time anew. What is
//! over goes into the log as what was judged, and counts only if it is still so there.

use std::collections::BTreeMap;
use std::time::Duration;

use rempart_model::{Audience, Command, ExpireCommand, Expired, Object, Stand, State, overdue, stand};
use tokio::time::Instant;
use uuid::Uuid;

use super::PAUSE;
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};

/// Pause between two looks, at least. The shortest deadline is minutes; a look costs what is under way, not what there is.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A look that took long is followed by a pause this many times as long.
const PAUSE_PER_WORK: u32 = 50;
/// Most objects that one entry speaks of.
const PER_ENTRY: usize = 256;

/// Says of everything that is late that it is.
pub(super) async fn run(node: &Node, replica: &Replica, percent: u64) {
    let mut watch = Watch::new(percent);
    loop {
        let begun = Instant::now();
        let late = watch.look(&replica.state(), begun);
        let pause = LEAST_PAUSE.max(begun.elapsed() * PAUSE_PER_WORK);
        for objects in late.chunks(PER_ENTRY) {
            for late in objects {
                tracing::warn!(uid = %late.uid, step = late.step.info().name, after_s = late.after_s, "overdue");
            }
            let command = Command::Expire(ExpireCommand { objects: objects.to_vec() });
            if let Err(error) = propose_as_system(node, command).await {
                // They are late still at the next look.
                tracing::warn!(%error, "recording what is overdue");
                tokio::time::sleep(PAUSE).await;
                break;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// An object that was seen in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    stand: Stand,
    resource_version: u64,
    host_generation: u64,
    /// When this was first seen, by this replica since it leads.
    first: Instant,
}

/// What is on its way, and since when as far as this leader knows.
struct Watch {
    limits: Audience,
    seen: BTreeMap<Uuid, Seen>,
}

impl Watch {
    fn new(percent: u64) -> Watch {
        Watch { limits: Audience { operator: true, deadline_percent: percent }, seen: BTreeMap::new() }
    }

    /// What is late in `state`, and has not been said to be.
    fn look(&mut self, state: &State, now: Instant) -> Vec<Expired> {
        let before = std::mem::take(&mut self.seen);
        let mut late = Vec::new();
        for object in state.under_way() {
            let Some(stand) = stand(state, object) else { continue };
            let seen = seen(object, stand, now);
            let seen = match before.get(&object.uid) {
                Some(known) if (Seen { first: now, ..*known }) == seen => *known,
                _ => seen,
            };
            self.seen.insert(object.uid, seen);
            // No limit is shorter than a second.
            if now - seen.first < Duration::from_secs(1) || overdue(state, object).is_some() {
                continue;
            }
            let after_s = self.limits.limit_seconds(state, object, &stand);
            if now - seen.first >= Duration::from_secs(after_s) {
                late.push(Expired {
                    uid: object.uid,
                    resource_version: seen.resource_version,
                    host_generation: seen.host_generation,
                    step: stand.step,
                    since: stand.since,
                    after_s,
                });
            }
        }
        late
    }
}

fn seen(object: &Object, stand: Stand, first: Instant) -> Seen {
    let (resource_version, host_generation) = (object.resource_version, object.host_generation());
    Seen { stand, resource_version, host_generation, first }
}

#[cfg(test)]
mod tests;
