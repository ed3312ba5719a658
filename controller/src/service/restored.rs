//! Where a cluster that was restored from a backup stands, in an operator's words.

use rempart_api::cluster::{ComparedHost, Restoration, RestoreConflict};
use rempart_model::State;

/// None for a cluster that was not restored.
pub(super) fn restoration(state: &State) -> Option<Restoration> {
    let core = state.core();
    let restored = core.restored.as_deref()?;
    let awaited = state.awaited(&[]).unwrap_or_default();
    let conflicts = awaited.conflicts.into_iter().map(|(host, conflict)| RestoreConflict {
        host,
        uid: conflict.uid,
        message: conflict.why,
    });
    let compared = restored.hosts.iter().map(|(host, compared)| ComparedHost {
        host: host.clone(),
        at: compared.at,
        orphans: compared.strangers.len() as u64,
        gone: compared.gone,
    });
    Some(Restoration {
        backup_id: restored.backup_id,
        taken_at: restored.taken_at,
        taken_index: restored.taken_index,
        restored_at: restored.restored_at,
        incarnation: core.incarnation,
        opened_at: restored.opened_at,
        waits_for: awaited.hosts,
        conflicts: conflicts.collect(),
        compared: compared.collect(),
    })
}
