//! Bytes on this host's disks: base images, volumes, cloud-init seeds.
//!
//! What never happens: a format is guessed from content; an image is handed to QEMU's tools before our own parser
//! accepted its header; an existing volume file is overwritten; a tenant's string reaches a path or a command line.

use crate::desired::{Blob, Seed};
use image::ImageState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use uuid::Uuid;
use volume::VolumeFile;

pub mod capture;
pub mod fetch;
pub mod image;
pub mod local;
pub mod seed;
pub mod simulated;
pub mod volume;

/// What a host keeps for its guests beside a hypervisor: what `world` looks at and what steps do to it. [`local`] is the real
/// one; [`simulated`] exists for scale tests. Calls block. Every one is idempotent: repeated after a crash it reaches the same.
pub trait Disks: Send + Sync + 'static {
    /// A volume's file; none if it has none.
    fn volume(&self, volume: Uuid) -> Result<Option<VolumeFile>, DiskError>;
    /// Makes a volume's file of `size_bytes`, blank or on a verified base image. One that is there is never overwritten.
    fn create_volume(&self, volume: Uuid, size_bytes: u64, base: Option<&Blob>) -> Result<(), DiskError>;
    /// Makes a volume larger that no guest has open.
    fn grow_volume(&self, volume: Uuid, size_bytes: u64) -> Result<(), DiskError>;
    /// Deletes a volume's file; one that is not there is fine.
    fn delete_volume(&self, volume: Uuid) -> Result<(), DiskError>;

    /// The complete copies of volumes: of which, for which images.
    fn captures(&self) -> io::Result<BTreeMap<Uuid, BTreeSet<Uuid>>>;
    /// Copies a volume that no guest has open.
    fn make_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError>;
    /// Gives a copy to the controllers.
    fn send_capture(&self, volume: Uuid, epoch: u64, image: Uuid) -> Result<(), DiskError>;
    /// Deletes a copy; one that is not there is fine.
    fn drop_capture(&self, volume: Uuid, image: Uuid) -> Result<(), DiskError>;

    /// Where a base image stands.
    fn image(&self, blob: &Blob) -> ImageState;
    /// Brings a base image from the controllers, verified.
    fn fetch_image(&self, blob: &Blob) -> Result<(), DiskError>;
    /// Reads a base image and compares it with what was declared.
    fn verify_image(&self, blob: &Blob) -> Result<(), DiskError>;

    /// Fingerprint of an instance's seed; empty where something is there that is no seed of ours.
    fn seed(&self, instance: Uuid) -> Option<String>;
    /// Writes an instance's seed.
    fn write_seed(&self, instance: Uuid, seed: &Seed) -> Result<(), DiskError>;
    /// Deletes an instance's seed; one that is not there is fine.
    fn remove_seed(&self, instance: Uuid) -> Result<(), DiskError>;

    /// Whether an instance has its directory for sockets and firmware variables.
    fn has_run_dir(&self, instance: Uuid) -> bool;
    /// Makes that directory.
    fn create_run_dir(&self, instance: Uuid) -> Result<(), DiskError>;
    /// Deletes that directory with what is in it; one that is not there is fine.
    fn remove_run_dir(&self, instance: Uuid) -> Result<(), DiskError>;
}

/// Reads at `offset`; less than asked for only at the end of the file.
fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Why work on disks failed. The words are an operator's; `report` decides what a tenant reads.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The base image's file is not in the cache.
    #[error("the base image {0} is not in the cache of images")]
    ImageMissing(crate::desired::Digest),
    /// The base image's file is not what was declared.
    #[error("the base image {digest} is refused: {cause}")]
    ImageRefused {
        /// Which image.
        digest: crate::desired::Digest,
        /// What is wrong with it.
        cause: String,
    },
    /// No controller gave the base image.
    #[error("the base image {digest} could not be fetched: {cause}")]
    ImageFetchFailed {
        /// Which image.
        digest: crate::desired::Digest,
        /// What the last controller said.
        cause: String,
    },
    /// No controller took the copy of a volume.
    #[error("the copy of the volume was not taken: {0}")]
    DepositFailed(String),
    /// A volume file is there already.
    #[error("the volume file {0} exists already and is never overwritten")]
    VolumeExists(std::path::PathBuf),
    /// qemu-img said no, or took too long.
    #[error("qemu-img {verb} failed: {cause}")]
    Tool {
        /// "create", "resize".
        verb: &'static str,
        /// Its own words.
        cause: String,
    },
    /// The seed does not fit its image.
    #[error("the cloud-init seed does not fit: {0}")]
    SeedTooLarge(String),
    /// A directory could not be made.
    #[error(transparent)]
    Layout(#[from] crate::layout::LayoutError),
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// What it said.
        cause: std::io::Error,
    },
}

impl DiskError {
    /// For `map_err`: an I/O error at `path`.
    pub(crate) fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |cause| Self::Io { path: path.to_path_buf(), cause }
    }

    /// Whether the file system had no room.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { cause, .. } => {
                matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            // The tool speaks English (LC_ALL is C); this is strerror's name of ENOSPC.
            Self::Tool { cause, .. } => cause.contains("No space left on device"),
            _ => false,
        }
    }
}
