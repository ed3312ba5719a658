//! Base images that no volume needs any more leave the cache after a grace.
//!
//! What never happens: an image goes while a volume is desired on it, or while any volume file stands on it, whether the
//! ledger knows the file or not. If one file cannot be read, all images stay.

use crate::desired::ImageFormat;
use crate::disk::DiskError;
use crate::disk::volume;
use crate::ledger::Snapshot;
use crate::world::Host;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How often the cache is looked at, at most.
const INTERVAL: Duration = Duration::from_secs(60);

/// Files of the cache, and of those the ones in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    cached: BTreeSet<PathBuf>,
    used: BTreeSet<PathBuf>,
}

impl Look {
    /// Looks. Blocks.
    pub(super) fn at(host: &Host, ledger: &Snapshot) -> Result<Self, DiskError> {
        let mut look = Self { cached: host.images.list()?, used: BTreeSet::new() };
        if look.cached.is_empty() {
            return Ok(look);
        }
        let desired = ledger.volumes.values().filter_map(|record| record.volume.source.as_ref());
        look.used.extend(desired.map(|blob| host.images.file(blob)));
        let directory = host.data.volumes_dir();
        let at = DiskError::at(&directory);
        for entry in std::fs::read_dir(&directory).map_err(&at)? {
            let path = entry.map_err(&at)?.path();
            if path.extension().is_some_and(|extension| extension == ImageFormat::Qcow2.name())
                && let Some(file) = volume::read(&path)?
            {
                look.used.extend(file.base.map(|(base, _)| base));
            }
        }
        Ok(look)
    }
}

/// Since when images have not been needed, as far as this process has seen.
#[derive(Debug)]
pub(super) struct Cache {
    grace: Duration,
    next: Option<Instant>,
    idle_since: BTreeMap<PathBuf, Instant>,
}

impl Cache {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, next: None, idle_since: BTreeMap::new() }
    }

    /// Whether it is time to look; if so, it is not again for a while.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_none_or(|next| next <= now);
        if due {
            self.next = Some(now + INTERVAL.min(self.grace));
        }
        due
    }

    /// Files that were not needed for the whole grace.
    pub(super) fn unneeded(&mut self, look: &Look, now: Instant) -> Vec<PathBuf> {
        let idle = |file: &PathBuf| look.cached.contains(file) && !look.used.contains(file);
        self.idle_since.retain(|file, _| idle(file));
        for file in look.cached.iter().filter(|file| idle(file)) {
            self.idle_since.entry(file.clone()).or_insert(now);
        }
        let over = |since: &Instant| now.saturating_duration_since(*since) >= self.grace;
        self.idle_since.iter().filter(|(_, since)| over(since)).map(|(file, _)| file.clone()).collect()
    }
}
