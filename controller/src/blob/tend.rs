//! Every replica looks after its own blobs: what State refers to is here, what nothing refers to goes.
//!
//! Nobody tells this task anything. It wakes when State has changed, or time has passed, and compares State with the
//! directory; so it does not matter how a blob came to be missing. A pass costs one look at every volume and image, and
//! takes at most a fiftieth of the time.
//!
//! What never happens: a blob is removed on the word of a State that may be old. Before a removal, State is brought up
//! to date with the leader and looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use rempart_api::Kind;
use rempart_api::storage::BlobSpec;
use rempart_model::{Detail, State};
use tokio::time::Instant;

use super::{BlobError, BlobName, Blobs};

/// Pause between two passes, at least; and at most, even if State does not change: files may.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A pass that took long is followed by a pause this many times as long.
const PAUSE_PER_WORK: u32 = 50;
/// Unfinished files older than this are nobody's.
const UNFINISHED_AGE: Duration = Duration::from_secs(3600);
/// Wait after a blob could be had from no peer: the first, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long a State may take to be brought up to date before a removal is put off.
const CATCH_UP: Duration = Duration::from_secs(5);

/// What an object consists of, if those are bytes.
pub(super) fn content(detail: &Detail) -> Option<&BlobSpec> {
    match detail {
        Detail::Volume(volume) => volume.content.as_ref(),
        Detail::Image(image) => image.content.as_ref(),
        _ => None,
    }
}

/// Blobs State refers to.
pub(super) fn referred(state: &State) -> BTreeMap<BlobName, BlobSpec> {
    [Kind::BlockStorage, Kind::Image]
        .into_iter()
        .flat_map(|kind| state.of_kind(kind))
        .filter_map(|object| content(&object.detail))
        .filter_map(|blob| Some((BlobName::of(blob)?, blob.clone())))
        .collect()
}

/// What the passes found, and when; for the next one, and for those who ask (`orphans.rs`).
#[derive(Default)]
pub(super) struct Memory {
    /// Blobs that are here and nothing refers to.
    pub(super) idle: BTreeMap<BlobName, Idle>,
    /// Blobs that something refers to and are not here.
    pub(super) missing: BTreeMap<BlobName, Missing>,
}

pub(super) struct Idle {
    pub(super) since: Instant,
    /// Why it is still here although it is time.
    pub(super) trouble: String,
}

pub(super) struct Missing {
    pub(super) since: Instant,
    attempts: u32,
    /// When to try again.
    again: Instant,
    /// What the last attempt came to.
    pub(super) trouble: String,
}

impl Blobs {
    /// Looks after the blobs of this replica, pass after pass, until the task is dropped.
    pub async fn tend(self) {
        let mut states = self.inner.replica.watch();
        loop {
            let state = states.borrow_and_update().clone();
            let mut pause = PAUSE;
            // Before that, nothing is known of what is referred to.
            if state.core().cluster_id.is_some() {
                match self.pass(state).await {
                    Ok(work) => pause = pause.max(work * PAUSE_PER_WORK),
                    Err(error) => tracing::warn!(%error, "looking after the blobs; trying again"),
                }
            }
            tokio::time::sleep(pause).await;
            // It ends when State is published no more: this replica is stopping.
            if let Ok(Err(_)) = tokio::time::timeout(LONGEST_PAUSE, states.changed()).await {
                return;
            }
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.tended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One pass. Returns how long looking took.
    async fn pass(&self, state: Arc<State>) -> Result<Duration, BlobError> {
        let (store, begun) = (self.inner.store.clone(), Instant::now());
        let looked = tokio::task::spawn_blocking(move || {
            store.sweep(UNFINISHED_AGE)?;
            Ok::<_, BlobError>((referred(&state), store.list()?))
        });
        let (referred, here) = looked.await.map_err(|error| BlobError::Io {
            what: "looking at the blobs".to_owned(),
            error: std::io::Error::other(error),
        })??;
        let now = Instant::now();
        let work = now - begun;
        for name in self.lacking(&referred, &here, now) {
            let tried = self.repair(&referred[&name]).await;
            let mut memory = self.memory();
            match (tried, memory.missing.get_mut(&name)) {
                (Ok(()), _) => drop(memory.missing.remove(&name)),
                (Err(why), Some(missing)) => {
                    let wait = (RETRY * 2_u32.pow(missing.attempts.min(6))).min(LONGEST_RETRY);
                    missing.attempts += 1;
                    missing.again = Instant::now() + wait;
                    missing.trouble = why;
                }
                (Err(_), None) => {}
            }
        }
        self.remove_idle(&referred, here.keys().copied().collect()).await;
        Ok(work)
    }

    /// Notes what is missing. Returns what of it is to be fetched now.
    fn lacking(
        &self,
        referred: &BTreeMap<BlobName, BlobSpec>,
        here: &BTreeMap<BlobName, u64>,
        now: Instant,
    ) -> Vec<BlobName> {
        let lacks = |(name, blob): &(&BlobName, &BlobSpec)| here.get(name) != Some(&blob.size_bytes);
        let mut memory = self.memory();
        memory.missing.retain(|name, _| referred.get_key_value(name).is_some_and(|entry| lacks(&entry)));
        let mut due = Vec::new();
        for (name, _) in referred.iter().filter(lacks) {
            let new = || Missing { since: now, attempts: 0, again: now, trouble: String::new() };
            if memory.missing.entry(*name).or_insert_with(new).again <= now {
                due.push(*name);
            }
        }
        due
    }

    /// Takes a blob from whichever peer has it, or says why not.
    async fn repair(&self, blob: &BlobSpec) -> Result<(), String> {
        let mut trouble = Vec::new();
        for id in self.inner.peers.others() {
            match self.pull(id, blob).await {
                Ok(()) => return Ok(()),
                Err(error) => trouble.push(error.to_string()),
            }
        }
        let why =
            if trouble.is_empty() { "there is no other controller".to_owned() } else { trouble.join("; ") };
        tracing::warn!(
            sha256 = blob.sha256,
            why,
            "a blob that volumes or images need is not here, and no peer gives it; trying again"
        );
        Err(why)
    }

    async fn remove_idle(&self, referred: &BTreeMap<BlobName, BlobSpec>, here: BTreeSet<BlobName>) {
        let now = Instant::now();
        let lately = {
            let mut wanted = self.inner.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.retain(|_, at| now.duration_since(*at) < self.inner.grace);
            wanted.keys().copied().collect::<BTreeSet<_>>()
        };
        let idle =
            |name: &BlobName| here.contains(name) && !referred.contains_key(name) && !lately.contains(name);
        let due: Vec<BlobName> = {
            let mut memory = self.memory();
            memory.idle.retain(|name, _| idle(name));
            for name in here.iter().copied().filter(idle) {
                memory.idle.entry(name).or_insert_with(|| Idle { since: now, trouble: String::new() });
            }
            let old = memory.idle.iter().filter(|(_, idle)| now - idle.since >= self.inner.grace);
            old.map(|(name, _)| *name).collect()
        };
        if due.is_empty() {
            return;
        }
        if !self.inner.service.serves(CATCH_UP).await {
            let words = "whether something has begun to refer to it cannot be asked: no controller leads, or none that is reached";
            self.not_removed(due.into_iter().map(|name| (name, words.to_owned())));
            return;
        }
        let (state, store) = (self.inner.replica.state(), self.inner.store.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let referred = super::tend::referred(&state);
            let mut failed = Vec::new();
            // One that stays keeps none of the others.
            for name in due.into_iter().filter(|name| !referred.contains_key(name)) {
                match store.remove(name) {
                    Ok(()) => tracing::info!(blob = %name, "removed a blob that nothing refers to"),
                    Err(error) => failed.push((name, error.to_string())),
                }
            }
            failed
        });
        match removed.await {
            Ok(failed) => self.not_removed(failed.into_iter()),
            Err(error) => tracing::warn!(%error, "removing blobs that nothing refers to; trying again"),
        }
    }

    fn not_removed(&self, why: impl Iterator<Item = (BlobName, String)>) {
        let mut memory = self.memory();
        for (name, why) in why {
            tracing::warn!(blob = %name, why, "a blob that nothing refers to could not be removed; trying again");
            if let Some(idle) = memory.idle.get_mut(&name) {
                idle.trouble = why;
            }
        }
    }
}
