//! A cluster that was restored from a backup: what State becomes, and until when it is read-only.
//!
//! ```text
//!   State of the backup -- restored --> read-only -- Compare, host by host --> Resume --> as ever
//! ```
//!
//! What always holds: nothing that the cluster of before handed out after the backup is taken for this one's. Desired states are
//! ordered by the incarnation first, and reports by the placement's epoch, and both are above whatever there was.

use std::collections::BTreeMap;
use std::sync::Arc;

use rempart_api::{Kind, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::object::{Detail, HostDetail, Object};
use crate::state::State;
use crate::version::ClusterVersion;

/// Epochs of one incarnation of the cluster. A placement takes an entry of the log, so a cluster that hands out as many of one
/// object has written a million entries a second for twelve days, and nothing else; and 2^24 incarnations have room.
const EPOCHS_PER_INCARNATION: u64 = 1 << 40;
/// The reason a volume gives that is not made anew.
pub(crate) const VOLUME_LOST: &str = "VolumeLost";
/// Of each sort, how many are kept by name.
pub(crate) const MOST_NAMED: usize = 100;

/// Where a cluster that was restored comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Which backup.
    pub backup_id: Uuid,
    /// When that was taken.
    pub taken_at: Timestamp,
    /// The last entry of the log in it.
    pub taken_index: u64,
    /// When it was restored. What was called back, or used up, since it was taken is not known: tokens from before count no
    /// more.
    pub restored_at: Timestamp,
    /// Id of the first controller of this life. Lower ones are those of before, and count no more.
    pub first_replica_id: u64,
    /// When changes were let in again; none: it is read-only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened_at: Option<Timestamp>,
    /// The hosts that State has been compared with, while it is read-only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub hosts: BTreeMap<String, Compared>,
}

/// What came of comparing State with what a host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// When it was compared last.
    pub at: Timestamp,
    /// Objects of State that this host should have and has nothing of. They are not made anew.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub gone: u64,
    /// What contradicts State, and holds up the opening: the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub conflicts: Vec<Conflict>,
    /// What is there without a row: the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub strangers: Vec<Stranger>,
}

/// Something that is not where State has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Incarnation.
    pub uid: Uuid,
    /// In an operator's words.
    pub why: String,
}

/// Something of which there is no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranger {
    /// Incarnation.
    pub uid: Uuid,
    /// Its guest runs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub running: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a restored cluster that is read-only waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Hosts that it was not compared with yet.
    pub hosts: Vec<String>,
    /// Contradictions, each with the host that has it.
    pub conflicts: Vec<(String, Conflict)>,
}

impl State {
    /// The State of a cluster that is restored from this one, as the given incarnation (above this State's).
    #[must_use]
    pub fn restored(&self, from: Restored, incarnation: u64) -> State {
        let mut core = self.core.clone();
        core.incarnation = incarnation;
        core.clock = core.clock.max(from.restored_at);
        // All that takes part is the program that does this.
        core.version = core.version.max(ClusterVersion::NEWEST);
        // Who took part is gone; `first_replica_id` says so of all of them, those that joined after the backup among them.
        core.replicas = Arc::default();
        core.restored = Some(Arc::new(Restored { opened_at: None, hosts: BTreeMap::new(), ..from }));
        let raise = |object: &Arc<Object>| {
            let mut object = (**object).clone();
            raise_epochs(&mut object, incarnation);
            object
        };
        let answers = self.answers().map(|(id, index, recorded)| (id, index, recorded.clone()));
        State::load(core, self.applied_index, self.objects().map(raise), answers)
    }

    /// Where this cluster was restored from, if it was and is read-only since.
    pub fn read_only(&self) -> Option<&Restored> {
        self.core.restored.as_deref().filter(|restored| restored.opened_at.is_none())
    }

    /// What it waits for, but for the hosts `without`; none if it is not read-only.
    pub fn awaited(&self, without: &[String]) -> Option<Awaited> {
        let restored = self.read_only()?;
        // One that never was there has nothing; if it came after the backup, it has to enrol again, and counts then.
        let counts =
            |detail: &HostDetail| !detail.is_revoked() && (detail.identity.is_some() || detail.was_seen());
        let mut awaited = Awaited::default();
        for host in self.of_kind(Kind::Host) {
            let Detail::Host(detail) = &host.detail else { continue };
            let name = &host.urn.name;
            if !counts(detail) || without.contains(name) {
                continue;
            }
            match restored.hosts.get(name) {
                None => awaited.hosts.push(name.clone()),
                Some(compared) => {
                    let conflicts = compared.conflicts.iter();
                    awaited.conflicts.extend(conflicts.map(|conflict| (name.clone(), conflict.clone())));
                }
            }
        }
        Some(awaited)
    }

    /// Epoch of the first placement of an object: above those that the cluster of before can have handed out.
    pub(crate) fn first_epoch(&self) -> u64 {
        match &self.core.restored {
            Some(_) => base(self.core.incarnation) + 1,
            None => 1,
        }
    }
}

fn base(incarnation: u64) -> u64 {
    incarnation.saturating_mul(EPOCHS_PER_INCARNATION)
}

fn raise_epochs(object: &mut Object, incarnation: u64) {
    let base = base(incarnation);
    match &mut object.detail {
        Detail::Instance(instance) => {
            instance.epoch = instance.epoch.max(base) + u64::from(instance.placement.is_some());
            if let Some(placement) = &mut instance.placement {
                placement.epoch = instance.epoch;
            }
        }
        Detail::Volume(volume) => {
            if let Some(placement) = &mut volume.placement {
                placement.epoch = placement.epoch.max(base) + 1;
            }
        }
        // What was ordered then may have been carried out, and things may have come back since.
        Detail::Host(host) => host.orders.clear(),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
