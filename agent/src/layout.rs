//! Where things lie under the data directory. Every name in a path is made here, from UUIDs alone.
//!
//! ```text
//! data-dir/                       0711
//!   lock                          held for as long as an agent runs
//!   identity/                     0700  who this host is (see `identity`); files 0600
//!   ledger/                       0700  what is desired (see `ledger`)
//!   images/<sha256>.<format>      0711  base images from the controllers (see `disk::image`); files 0444
//!   image-records/                0700  which of them were verified
//!   volumes/<uid>.qcow2           0711  directory; files 0600, libvirt hands them to QEMU's user
//!   captures/<volume>.<image>.qcow2  0700  copies of volumes on their way to be images; files 0600
//!   seeds/<uid>.img               0711
//!   quarantine/<uid>/             0700  what was moved aside on an operator's order (see `leftovers`)
//!   guests/<uid>/                 0711  serial.log, serial.sock, nvram: made by the hypervisor
//! ```
//!
//! What never happens: a string from a tenant, or any string that is not a UUID, becomes part of a path; two agents
//! use one data directory.

use crate::durable;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The kernel's limit for the path of a Unix socket (`sun_path` is 108 bytes with its NUL).
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// Room kept for the longest socket name a guest's directory may hold ("/serial.sock" and kin).
const SOCKET_NAME_BYTES: usize = 16;

/// The data directory of one agent: pure path arithmetic, but for [`DataDir::prepare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

/// Proof that this process owns the data directory; the lock ends with it.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Sockets below it would have paths the kernel refuses.
    #[error(
        "the data directory {path} is too deep: sockets of guests need {needed_bytes} bytes of path, the kernel \
         takes {MAX_SOCKET_PATH_BYTES}; choose a shorter --data-dir"
    )]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// What the longest socket path would take.
        needed_bytes: usize,
    },
    /// Another agent runs on it.
    #[error("another agent holds the data directory {0}")]
    Held(PathBuf),
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

impl DataDir {
    /// Names a data directory without touching it. `root` should be absolute: QEMU runs elsewhere.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates what is missing, checks the depth, and takes the lock.
    pub fn prepare(&self) -> Result<DataDirLock, LayoutError> {
        let needed_bytes = self.run_dir(Uuid::nil()).as_os_str().as_bytes().len() + SOCKET_NAME_BYTES;
        if needed_bytes > MAX_SOCKET_PATH_BYTES {
            return Err(LayoutError::TooDeep { path: self.root.clone(), needed_bytes });
        }
        make_directory(&self.root, 0o711)?;
        let lock = self.lock()?;
        for (directory, mode) in [
            (self.identity_dir(), 0o700),
            (self.ledger_dir(), 0o700),
            (self.image_records_dir(), 0o700),
            (self.images_dir(), 0o711),
            (self.volumes_dir(), 0o711),
            (self.captures_dir(), 0o700),
            (self.quarantine_dir(), 0o700),
            (self.seeds_dir(), 0o711),
            (self.guests_dir(), 0o711),
        ] {
            make_directory(&directory, mode)?;
        }
        Ok(lock)
    }

    /// Removes what a crash left unfinished, here and among the images.
    pub fn sweep(&self, image_dir: &Path) -> Result<(), LayoutError> {
        let own = [self.volumes_dir(), self.captures_dir(), self.seeds_dir(), self.image_records_dir()];
        for path in own.into_iter().chain([image_dir.to_path_buf()]) {
            durable::sweep_unfinished(&path).map_err(|cause| LayoutError::Io { path, cause })?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<DataDirLock, LayoutError> {
        let path = self.root.join("lock");
        let io = |cause| LayoutError::Io { path: path.clone(), cause };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LayoutError::Held(self.root.clone())),
            Err(errno) => Err(io(errno.into())),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// This host's key and certificate.
    pub fn identity_dir(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// The ledger's directory.
    pub fn ledger_dir(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// Base images, unless they are kept elsewhere.
    pub fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Records of verified base images.
    pub fn image_records_dir(&self) -> PathBuf {
        self.root.join("image-records")
    }

    /// All volume files.
    pub fn volumes_dir(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The qcow2 file of a volume.
    pub fn volume_file(&self, volume: Uuid) -> PathBuf {
        self.volumes_dir().join(format!("{}.qcow2", volume.hyphenated()))
    }

    /// Copies of volumes on their way to be images.
    pub fn captures_dir(&self) -> PathBuf {
        self.root.join("captures")
    }

    /// The copy of a volume for an image.
    pub fn capture_file(&self, volume: Uuid, image: Uuid) -> PathBuf {
        self.captures_dir().join(format!("{}.{}.qcow2", volume.hyphenated(), image.hyphenated()))
    }

    /// All that was moved aside.
    pub fn quarantine_dir(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// What was moved aside of one object.
    pub fn quarantine_of(&self, uid: Uuid) -> PathBuf {
        self.quarantine_dir().join(uid.hyphenated().to_string())
    }

    /// All seed images.
    pub fn seeds_dir(&self) -> PathBuf {
        self.root.join("seeds")
    }

    /// The cloud-init seed image of an instance.
    pub fn seed_file(&self, instance: Uuid) -> PathBuf {
        self.seeds_dir().join(format!("{}.img", instance.hyphenated()))
    }

    /// All directories of guests.
    pub fn guests_dir(&self) -> PathBuf {
        self.root.join("guests")
    }

    /// Directory for sockets, serial log and firmware variables of an instance.
    pub fn run_dir(&self, instance: Uuid) -> PathBuf {
        self.guests_dir().join(instance.hyphenated().to_string())
    }
}

/// Creates `path` (and what is above it) with `mode`; corrects the mode of one that exists.
pub fn make_directory(path: &Path, mode: u32) -> Result<(), LayoutError> {
    let io = |cause| LayoutError::Io { path: path.to_path_buf(), cause };
    fs::create_dir_all(path).map_err(io)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io)
}
