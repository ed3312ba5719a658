//! Disks in memory, for tests of everything above them and for hundreds of hosts in one process.
//!
//! They keep the same contract as the real ones and have no bytes: an image that is fetched is merely known to be here, and a
//! copy of a volume cannot be given to anybody.

use super::image::{ImageState, ImageStore};
use super::seed;
use super::volume::VolumeFile;
use super::{DiskError, Disks};
use crate::desired::{Blob, Seed};
use crate::layout::DataDir;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The disks in memory.
#[derive(Debug)]
pub struct SimulatedDisks {
    /// Names of files: what is defined on them says where they would lie.
    data: DataDir,
    images: ImageStore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    volumes: HashMap<Uuid, VolumeFile>,
    captures: BTreeMap<Uuid, BTreeSet<Uuid>>,
    images: BTreeSet<Blob>,
    seeds: HashMap<Uuid, String>,
    run_dirs: HashSet<Uuid>,
}

/// How much is on simulated disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Volumes with a file.
    pub volumes: usize,
    /// Seeds.
    pub seeds: usize,
    /// Instances with a directory.
    pub run_dirs: usize,
}

impl SimulatedDisks {
    /// Empty disks of a host whose files would lie there.
    pub fn new(data: DataDir, images: ImageStore) -> Self {
        Self { data, images, state: Mutex::default() }
    }

    /// How much there is.
    pub fn content(&self) -> Content {
        let state = self.lock();
        Content { volumes: state.volumes.len(), seeds: state.seeds.len(), run_dirs: state.run_dirs.len() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, volume: Uuid) -> DiskError {
        let cause = io::ErrorKind::NotFound.into();
        DiskError::Io { path: self.data.volume_file(volume), cause }
    }
}

impl Disks for SimulatedDisks {
    fn volume(&self, volume: Uuid) -> Result<Option<VolumeFile>, DiskError> {
        Ok(self.lock().volumes.get(&volume).cloned())
    }

    fn create_volume(&self, volume: Uuid, size_bytes: u64, base: Option<&Blob>) -> Result<(), DiskError> {
        let mut state = self.lock();
        if state.volumes.contains_key(&volume) {
            return Err(DiskError::VolumeExists(self.data.volume_file(volume)));
        }
        if let Some(blob) = base.filter(|blob| !state.images.contains(blob)) {
            return Err(DiskError::ImageMissing(blob.sha256.clone()));
        }
        let base = base.map(|blob| (self.images.file(blob), blob.format.name().to_owned()));
        state.volumes.insert(volume, VolumeFile { virtual_size_bytes: size_bytes, base });
        Ok(())
    }

    fn grow_volume(&self, volume: Uuid, size_bytes: u64) -> Result<(), DiskError> {
        let mut state = self.lock();
        let file = state.volumes.get_mut(&volume).ok_or_else(|| self.missing(volume))?;
        file.virtual_size_bytes = size_bytes;
        Ok(())
    }

    fn delete_volume(&self, volume: Uuid) -> Result<(), DiskError> {
        self.lock().volumes.remove(&volume);
        Ok(())
    }

    fn captures(&self) -> io::Result<BTreeMap<Uuid, BTreeSet<Uuid>>> {
        Ok(self.lock().captures.clone())
    }

    fn make_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError> {
        let mut state = self.lock();
        if !state.volumes.contains_key(&volume) {
            return Err(self.missing(volume));
        }
        state.captures.entry(volume).or_default().insert(image);
        Ok(())
    }

    fn send_capture(&self, _volume: Uuid, _epoch: u64, _image: Uuid) -> Result<(), DiskError> {
        Err(DiskError::DepositFailed("a simulated disk has no bytes to give".into()))
    }

    fn drop_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError> {
        let mut state = self.lock();
        if let Some(images) = state.captures.get_mut(&volume) {
            images.remove(&image);
            if images.is_empty() {
                state.captures.remove(&volume);
            }
        }
        Ok(())
    }

    fn image(&self, blob: &Blob) -> ImageState {
        if self.lock().images.contains(blob) { ImageState::Verified } else { ImageState::Missing }
    }

    fn fetch_image(&self, blob: &Blob) -> Result<(), DiskError> {
        self.lock().images.insert(blob.clone());
        Ok(())
    }

    fn verify_image(&self, blob: &Blob) -> Result<(), DiskError> {
        if self.lock().images.contains(blob) {
            Ok(())
        } else {
            Err(DiskError::ImageMissing(blob.sha256.clone()))
        }
    }

    fn seed(&self, instance: Uuid) -> Option<String> {
        self.lock().seeds.get(&instance).cloned()
    }

    fn write_seed(&self, instance: Uuid, seed: &Seed) -> Result<(), DiskError> {
        self.lock().seeds.insert(instance, seed::fingerprint(seed));
        Ok(())
    }

    fn remove_seed(&self, instance: Uuid) -> Result<(), DiskError> {
        self.lock().seeds.remove(&instance);
        Ok(())
    }

    fn has_run_dir(&self, instance: Uuid) -> bool {
        self.lock().run_dirs.contains(&instance)
    }

    fn create_run_dir(&self, instance: Uuid) -> Result<(), DiskError> {
        self.lock().run_dirs.insert(instance);
        Ok(())
    }

    fn remove_run_dir(&self, instance: Uuid) -> Result<(), DiskError> {
        self.lock().run_dirs.remove(&instance);
        Ok(())
    }
}
