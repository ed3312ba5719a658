//! A hypervisor's bell, which remembers for whom it rang.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// Domains that may be different from when they were last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedDomains {
    /// All of them, or the hypervisor's service went or came back.
    pub all: bool,
    /// These.
    pub uuids: BTreeSet<Uuid>,
}

/// The bell. It has rung for all when it is made.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: watch::Sender<u64>,
    changed: Mutex<ChangedDomains>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        let changed = ChangedDomains { all: true, uuids: BTreeSet::new() };
        Self { rings: watch::Sender::new(0), changed: Mutex::new(changed) }
    }

    fn lock(&self) -> MutexGuard<'_, ChangedDomains> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring_for(&self, uuid: Uuid) {
        self.lock().uuids.insert(uuid);
        self.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    pub(crate) fn ring_for_all(&self) {
        self.lock().all = true;
        self.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.rings.subscribe()
    }

    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        *self.lock() == ChangedDomains::default()
    }

    pub(crate) fn take_changed(&self) -> ChangedDomains {
        std::mem::take(&mut *self.lock())
    }
}
