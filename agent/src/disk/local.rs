//! A host's real disks: files below the data directory.

use super::fetch::ImageSource;
use super::image::{ImageState, ImageStore};
use super::volume::{self, VolumeFile};
use super::{DiskError, Disks, capture, seed};
use crate::desired::{Blob, Seed};
use crate::durable;
use crate::layout::{self, DataDir};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use uuid::Uuid;

/// Files of one data directory, and where base images come from.
#[derive(Clone)]
pub struct Local {
    /// Where files lie.
    pub data: DataDir,
    /// Where base images lie.
    pub images: ImageStore,
    /// Who gives base images, and takes copies.
    pub source: ImageSource,
}

impl Disks for Local {
    fn volume(&self, volume: Uuid) -> Result<Option<VolumeFile>, DiskError> {
        volume::read(&self.data.volume_file(volume))
    }

    fn create_volume(&self, volume: Uuid, size_bytes: u64, base: Option<&Blob>) -> Result<(), DiskError> {
        if let Some(blob) = base
            && self.images.state(blob) != ImageState::Verified
        {
            let cause = "it changed since it was verified".into();
            return Err(DiskError::ImageRefused { digest: blob.sha256.clone(), cause });
        }
        let base = base.map(|blob| (self.images.file(blob), blob.format));
        let base = base.as_ref().map(|(file, format)| (file.as_path(), *format));
        volume::create(&self.data.volume_file(volume), size_bytes, base)
    }

    fn grow_volume(&self, volume: Uuid, size_bytes: u64) -> Result<(), DiskError> {
        volume::grow(&self.data.volume_file(volume), size_bytes)
    }

    fn delete_volume(&self, volume: Uuid) -> Result<(), DiskError> {
        volume::delete(&self.data.volume_file(volume))
    }

    fn captures(&self) -> io::Result<BTreeMap<Uuid, BTreeSet<Uuid>>> {
        capture::list(&self.data.captures_dir())
    }

    fn make_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError> {
        capture::make(&self.data.volume_file(volume), &self.data.capture_file(volume, image))
    }

    fn send_capture(&self, volume: Uuid, epoch: u64, image: Uuid) -> Result<(), DiskError> {
        self.source.deposit(&self.data.capture_file(volume, image), volume, epoch, image)
    }

    fn drop_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError> {
        volume::delete(&self.data.capture_file(volume, image))
    }

    fn image(&self, blob: &Blob) -> ImageState {
        self.images.state(blob)
    }

    fn fetch_image(&self, blob: &Blob) -> Result<(), DiskError> {
        self.source.fetch(&self.images, blob)
    }

    fn verify_image(&self, blob: &Blob) -> Result<(), DiskError> {
        self.images.verify(blob)
    }

    fn seed(&self, instance: Uuid) -> Option<String> {
        let file = self.data.seed_file(instance);
        seed::read_fingerprint(&file).or_else(|| file.exists().then(String::new))
    }

    fn write_seed(&self, instance: Uuid, seed: &Seed) -> Result<(), DiskError> {
        seed::write(&self.data.seed_file(instance), seed)
    }

    fn remove_seed(&self, instance: Uuid) -> Result<(), DiskError> {
        let path = self.data.seed_file(instance);
        durable::remove(&path).map_err(DiskError::at(&path))
    }

    fn has_run_dir(&self, instance: Uuid) -> bool {
        self.data.run_dir(instance).is_dir()
    }

    fn create_run_dir(&self, instance: Uuid) -> Result<(), DiskError> {
        Ok(layout::make_directory(&self.data.run_dir(instance), 0o711)?)
    }

    fn remove_run_dir(&self, instance: Uuid) -> Result<(), DiskError> {
        let path = self.data.run_dir(instance);
        match fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(DiskError::Io { path, cause }),
            _ => Ok(()),
        }
    }
}
