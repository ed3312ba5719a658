//! Who is told of changes: sessions of hosts, each of its own objects, and whoever watches a host itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rempart_api::{Kind, Urn};
use rempart_model::{Object, State};
use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// Changed objects per host, for the hosts whose sessions listen here.
///
/// ```text
///   applied ──> noted ──> State published ──> pending, bell; watched
/// ```
///
/// What never happens: a session takes a change before the State is published that has it. It would look it up in an older one,
/// find nothing new, and not be told again.
#[derive(Default)]
pub(super) struct Changes {
    pending: Mutex<BTreeMap<String, Pending>>,
    /// Per host, what was applied since State was published last.
    noted: Mutex<BTreeMap<String, BTreeSet<Arc<Urn>>>>,
    /// Per host, who is told when it has itself changed. There are as many as connections: each hears of its own host alone.
    watched: Mutex<BTreeMap<String, Vec<Arc<Notify>>>>,
}

struct Pending {
    bell: Arc<Notify>,
    objects: BTreeSet<Arc<Urn>>,
}

impl Changes {
    /// What a session listens with. A second session of the same host takes over; the first hears nothing any more.
    pub(super) fn of(self: &Arc<Self>, host: &str) -> HostChanges {
        let bell = Arc::new(Notify::new());
        self.hosts().insert(host.to_owned(), Pending { bell: bell.clone(), objects: BTreeSet::new() });
        HostChanges { host: host.to_owned(), bell, changes: self.clone() }
    }

    /// What a connection of a host watches that with.
    pub(super) fn watch(self: &Arc<Self>, host: &str) -> HostWatch {
        let bell = Arc::new(Notify::new());
        self.watched().entry(host.to_owned()).or_default().push(bell.clone());
        HostWatch { host: host.to_owned(), bell, changes: self.clone() }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Notify>>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<Arc<Urn>>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, object: &Object) {
        if object.urn.kind == Kind::Host {
            // What it may do at all may have changed.
            self.note_for(&object.urn.name, object);
        }
        if let Some(placement) = object.placement() {
            self.note_for(&placement.host, object);
        }
    }

    fn note_for(&self, host: &str, object: &Object) {
        let mut noted = self.noted();
        match noted.get_mut(host) {
            Some(objects) => _ = objects.insert(object.urn.clone()),
            None => _ = noted.insert(host.to_owned(), [object.urn.clone()].into()),
        }
    }

    /// Everything may have changed.
    pub(super) fn all(&self, state: &State) {
        for (host, pending) in self.hosts().iter_mut() {
            pending.objects.extend(state.on_host(host).map(|object| object.urn.clone()));
            pending.objects.insert(Arc::new(Urn::global(Kind::Host, host)));
            pending.bell.notify_one();
        }
        self.watched().values().flatten().for_each(|bell| bell.notify_one());
        self.ring();
    }

    /// The State that has what was noted is published.
    pub(super) fn ring(&self) {
        let noted = std::mem::take(&mut *self.noted());
        if noted.is_empty() {
            return;
        }
        let (mut hosts, watched) = (self.hosts(), self.watched());
        for (host, mut objects) in noted {
            if objects.iter().any(|urn| urn.kind == Kind::Host) {
                watched.get(&host).into_iter().flatten().for_each(|bell| bell.notify_one());
            }
            if let Some(pending) = hosts.get_mut(&host) {
                pending.objects.append(&mut objects);
                pending.bell.notify_one();
            }
        }
    }
}

/// One host's share of the changes; see [`Replica::host_changes`].
pub struct HostChanges {
    host: String,
    bell: Arc<Notify>,
    changes: Arc<Changes>,
}

impl HostChanges {
    /// Waits until there is something to take.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// What changed since the last call. To be looked up in a State that is asked for afterwards: an older one may not have it.
    pub fn take(&self) -> BTreeSet<Arc<Urn>> {
        let mut hosts = self.changes.hosts();
        match hosts.get_mut(&self.host) {
            Some(pending) if Arc::ptr_eq(&pending.bell, &self.bell) => std::mem::take(&mut pending.objects),
            _ => BTreeSet::new(),
        }
    }
}

/// One watcher of one host; see [`Replica::watch_host`].
pub struct HostWatch {
    host: String,
    bell: Arc<Notify>,
    changes: Arc<Changes>,
}

impl HostWatch {
    /// Waits until the host itself may have changed since the last call, or since this watch began.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }
}

impl Drop for HostWatch {
    fn drop(&mut self) {
        let mut watched = self.changes.watched();
        if let Some(bells) = watched.get_mut(&self.host) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                watched.remove(&self.host);
            }
        }
    }
}

impl Drop for HostChanges {
    fn drop(&mut self) {
        let mut hosts = self.changes.hosts();
        if hosts.get(&self.host).is_some_and(|pending| Arc::ptr_eq(&pending.bell, &self.bell)) {
            hosts.remove(&self.host);
        }
    }
}
