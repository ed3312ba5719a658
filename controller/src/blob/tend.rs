//! Every replica looks after its own blobs: what State refers to is here, what nothing refers to goes.
//!
//! Nobody tells this task anything. It wakes when State has changed, or time has passed, and compares State with the
//! directory; so it does not matter how a blob came to be missing. A pass costs one look at every volume and image, and
//! takes at most a fiftieth of the time.
//!
//! What never happens: a blob is removed on the word of a State that may be old. Before a removal, State is brought up
//! to date with the leader and looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rempart_api::Kind;
use rempart_api::storage::BlobSpec;
use rempart_model::{Detail, State};
use tokio::time::Instant;

use super::{BlobName, Blobs};

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

/// Blobs State refers to.
pub(super) fn referred(state: &State) -> BTreeMap<BlobName, BlobSpec> {
    let content = |detail: &Detail| match detail {
        Detail::Volume(volume) => volume.content.clone(),
        Detail::Image(image) => image.content.clone(),
        _ => None,
    };
    [Kind::BlockStorage, Kind::Image]
        .into_iter()
        .flat_map(|kind| state.of_kind(kind))
        .filter_map(|object| content(&object.detail))
        .filter_map(|blob| Some((BlobName::of(&blob)?, blob)))
        .collect()
}

#[derive(Default)]
struct Memory {
    /// Since when nothing refers to a blob that is here.
    idle: BTreeMap<BlobName, Instant>,
    /// Blobs that could not be had: attempts, and when to try again.
    missing: BTreeMap<BlobName, (u32, Instant)>,
}

impl Blobs {
    /// Looks after the blobs of this replica, pass after pass, until the task is dropped.
    pub async fn tend(self) {
        let mut states = self.inner.replica.watch();
        let mut memory = Memory::default();
        loop {
            let state = states.borrow_and_update().clone();
            let mut pause = PAUSE;
            // Before that, nothing is known of what is referred to.
            if state.core().cluster_id.is_some() {
                match self.pass(state, &mut memory).await {
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

    /// One pass. Returns how long looking took.
    async fn pass(
        &self,
        state: std::sync::Arc<State>,
        memory: &mut Memory,
    ) -> Result<Duration, super::BlobError> {
        let (store, begun) = (self.inner.store.clone(), Instant::now());
        let looked = tokio::task::spawn_blocking(move || {
            store.sweep(UNFINISHED_AGE)?;
            Ok::<_, super::BlobError>((referred(&state), store.list()?))
        });
        let (referred, here) = looked.await.map_err(|error| super::BlobError::Io {
            what: "looking at the blobs".to_owned(),
            error: std::io::Error::other(error),
        })??;
        let now = Instant::now();
        let work = now - begun;
        let lacks = |(name, blob): &(&BlobName, &BlobSpec)| here.get(name) != Some(&blob.size_bytes);
        memory.missing.retain(|name, _| referred.get_key_value(name).is_some_and(|entry| lacks(&entry)));
        for (name, blob) in referred.iter().filter(lacks) {
            let (attempts, again) = memory.missing.get(name).copied().unwrap_or((0, now));
            if again > now {
                continue;
            }
            if self.repair(blob).await {
                memory.missing.remove(name);
            } else {
                let wait = (RETRY * 2_u32.pow(attempts.min(6))).min(LONGEST_RETRY);
                memory.missing.insert(*name, (attempts + 1, Instant::now() + wait));
            }
        }
        self.remove_idle(&referred, here.keys().copied().collect(), memory).await?;
        Ok(work)
    }

    /// Takes a blob from whichever peer has it.
    async fn repair(&self, blob: &BlobSpec) -> bool {
        let mut trouble = Vec::new();
        for id in self.inner.peers.others() {
            match self.pull(id, blob).await {
                Ok(()) => return true,
                Err(error) => trouble.push(error.to_string()),
            }
        }
        tracing::warn!(
            sha256 = blob.sha256,
            why = trouble.join("; "),
            "a blob that volumes or images need is not here, and no peer gives it; trying again"
        );
        false
    }

    async fn remove_idle(
        &self,
        referred: &BTreeMap<BlobName, BlobSpec>,
        here: BTreeSet<BlobName>,
        memory: &mut Memory,
    ) -> Result<(), super::BlobError> {
        let now = Instant::now();
        let lately = {
            let mut wanted = self.inner.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            wanted.retain(|_, at| now.duration_since(*at) < self.inner.grace);
            wanted.keys().copied().collect::<BTreeSet<_>>()
        };
        let idle =
            |name: &BlobName| here.contains(name) && !referred.contains_key(name) && !lately.contains(name);
        memory.idle.retain(|name, _| idle(name));
        for name in here.iter().copied().filter(idle) {
            memory.idle.entry(name).or_insert(now);
        }
        let due: Vec<BlobName> = memory
            .idle
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= self.inner.grace)
            .map(|(name, _)| *name)
            .collect();
        if due.is_empty() || !self.inner.service.serves(CATCH_UP).await {
            return Ok(());
        }
        let (state, store) = (self.inner.replica.state(), self.inner.store.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let referred = super::tend::referred(&state);
            for name in due.iter().filter(|name| !referred.contains_key(name)) {
                store.remove(*name)?;
                tracing::info!(blob = %name, "removed a blob that nothing refers to");
            }
            Ok(())
        });
        removed.await.unwrap_or(Ok(()))
    }
}
