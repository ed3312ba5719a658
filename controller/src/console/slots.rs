//! How many consoles are open, so that neither an instance nor a caller has too many. The leader counts, and all
//! consoles pass through it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::refused::Refused;

/// Consoles of one instance at the same time.
pub const PER_INSTANCE: usize = 4;
/// Consoles of one caller at the same time, logs that are being read among them.
pub const PER_CALLER: usize = 16;

/// Counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    instances: BTreeMap<Uuid, usize>,
    callers: BTreeMap<String, usize>,
}

/// The right to one console; ends when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    instance: Option<Uuid>,
    caller: String,
}

impl Slots {
    /// A slot for `caller`, and for `instance` unless only its log is read.
    pub(super) fn take(&self, caller: &str, instance: Option<Uuid>) -> Result<Slot, Refused> {
        let mut counts = self.counts();
        if counts.callers.get(caller).is_some_and(|count| *count >= PER_CALLER) {
            return Err(Refused::TooMany(format!(
                "you have {PER_CALLER} consoles open, as many as one subject may; close one first"
            )));
        }
        if instance.and_then(|uid| counts.instances.get(&uid)).is_some_and(|count| *count >= PER_INSTANCE) {
            return Err(Refused::Conflict(format!(
                "{PER_INSTANCE} consoles of this instance are open, as many as one may have; close one first"
            )));
        }
        *counts.callers.entry(caller.to_owned()).or_default() += 1;
        if let Some(uid) = instance {
            *counts.instances.entry(uid).or_default() += 1;
        }
        Ok(Slot { slots: self.clone(), instance, caller: caller.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        give_back(&mut counts.callers, &self.caller);
        if let Some(uid) = &self.instance {
            give_back(&mut counts.instances, uid);
        }
    }
}

fn give_back<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_and_caller_have_their_limits_and_get_slots_back() {
        let slots = Slots::default();
        let busy = Uuid::from_u128(1);
        let mut held: Vec<Slot> = (0..PER_INSTANCE)
            .map(|index| slots.take(&format!("user-{index}"), Some(busy)).unwrap())
            .collect();
        assert!(matches!(slots.take("alice", Some(busy)), Err(Refused::Conflict(_))));
        let log = slots.take("alice", None).unwrap();
        for index in 1..PER_CALLER {
            held.push(slots.take("alice", Some(Uuid::from_u128(index as u128 + 10))).unwrap());
        }
        assert!(matches!(slots.take("alice", None), Err(Refused::TooMany(_))));
        drop(log);
        held.push(slots.take("alice", None).unwrap());
        held.clear();
        assert!(slots.counts().callers.is_empty() && slots.counts().instances.is_empty());
    }
}
