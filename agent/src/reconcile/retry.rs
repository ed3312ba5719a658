//! Which objects' steps failed, and when they are tried again: after 1 s, doubling up to 60 s; up to ten minutes where an
//! image is not what it should be, because each try brings the whole of it again.
//!
//! A change of what is desired starts over at once. So does the return of the hypervisor service, but only for
//! what failed because it was away: a guest that fails to start also makes the hypervisor ring, and starting over
//! at that bell would be a tight loop.

use crate::desired::Object;
use crate::disk::DiskError;
use crate::execute::ActionError;
use crate::ledger::{InstanceRecord, Snapshot, VolumeRecord};
use crate::report::failure;
use crate::vm::HypervisorError;
use rempart_proto::agent::v1::Failure;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT_FOR_IMAGE: Duration = Duration::from_secs(600);

/// What was desired when steps were handed out.
#[derive(Debug, Clone)]
pub(super) enum Desired {
    Volume(Arc<VolumeRecord>),
    Instance(Arc<InstanceRecord>),
}

impl Desired {
    /// Whether the same is still desired.
    pub(super) fn is_held_by(&self, ledger: &Snapshot) -> bool {
        match self {
            Self::Volume(then) => {
                ledger.volumes.get(&then.volume.uid).is_some_and(|now| now.volume == then.volume)
            }
            Self::Instance(then) => {
                ledger.instances.get(&then.instance.uid).is_some_and(|now| now.instance == then.instance)
            }
        }
    }
}

#[derive(Debug)]
struct Attempt {
    desired: Desired,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    not_before: Instant,
    failure: Failure,
    for_want_of_hypervisor: bool,
}

/// Attempts per object, from the first until one succeeds.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<Object, Attempt>);

impl Retries {
    /// Steps are handed out.
    pub(super) fn attempt(&mut self, object: Object, ledger: &Snapshot) {
        let desired = match object {
            Object::Volume(uid) => ledger.volumes.get(&uid).cloned().map(Desired::Volume),
            Object::Instance(uid) => ledger.instances.get(&uid).cloned().map(Desired::Instance),
        };
        if let Some(desired) = desired {
            self.0.entry(object).or_insert(Attempt { desired, failed: None });
        }
    }

    /// Its steps succeeded.
    pub(super) fn succeeded(&mut self, object: &Object) {
        self.0.remove(object);
    }

    /// One of its steps failed.
    pub(super) fn failed(&mut self, object: &Object, error: &ActionError, now: Instant) {
        let Some(attempt) = self.0.get_mut(object) else { return };
        let times = attempt.failed.as_ref().map_or(0, |failed| failed.times) + 1;
        let wait = FIRST_WAIT.saturating_mul(1 << (times - 1).min(10));
        let longest = match error {
            ActionError::Disk(DiskError::ImageRefused { .. }) => LONGEST_WAIT_FOR_IMAGE,
            _ => LONGEST_WAIT,
        };
        attempt.failed = Some(Failed {
            times,
            not_before: now + wait.min(longest),
            failure: failure::of_error(error),
            for_want_of_hypervisor: matches!(error, ActionError::Hypervisor(HypervisorError::Unavailable(_))),
        });
    }

    /// Forgets attempts for which `relevant` does not hold.
    pub(super) fn keep(&mut self, relevant: impl Fn(&Object, &Desired) -> bool) {
        self.0.retain(|object, attempt| attempt.failed.is_none() || relevant(object, &attempt.desired));
    }

    /// The hypervisor service answers again.
    pub(super) fn hypervisor_is_back(&mut self) {
        let waits =
            |attempt: &Attempt| attempt.failed.as_ref().is_some_and(|failed| failed.for_want_of_hypervisor);
        self.0.retain(|_, attempt| !waits(attempt));
    }

    /// How long the object has to wait for its next try; none if it need not.
    pub(super) fn wait(&self, object: &Object, now: Instant) -> Option<Duration> {
        let failed = self.0.get(object)?.failed.as_ref()?;
        failed.not_before.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// What failed and was not mended since.
    pub(super) fn failures(&self) -> BTreeMap<Object, Failure> {
        let failed = |attempt: &Attempt| attempt.failed.as_ref().map(|failed| failed.failure.clone());
        self.0.iter().filter_map(|(object, attempt)| Some((*object, failed(attempt)?))).collect()
    }
}
