//! Bytes on this host's disks: base images, volumes, cloud-init seeds.
//!
//! What never happens: a format is guessed from content; an image is handed to QEMU's tools before our own parser
//! accepted its header; an existing volume file is overwritten; a tenant's string reaches a path or a command line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

pub mod capture;
pub mod fetch;
pub mod image;
pub mod seed;
pub mod volume;

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
