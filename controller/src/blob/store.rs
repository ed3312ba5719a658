//! The files: `<dir>/<sha256>.<format>`, mode 0600, each complete or not there; `<dir>/<uuid>.unfinished` while its bytes
//! arrive.
//!
//! What always holds: blobs leave the file system the space that Postgres and the log need (`floor`), and what is
//! promised to one upload is not promised to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{BlobError, BlobName};

const UNFINISHED: &str = "unfinished";
/// The floor when nobody set one: this part of the file system, but no more than the second.
const FLOOR_PART: u64 = 20;
const FLOOR_MOST_BYTES: u64 = 2 << 30;

/// The directory.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    floor_bytes: Option<u64>,
    promised: Mutex<Promised>,
}

#[derive(Debug, Default)]
struct Promised {
    /// Bytes that uploads under way may still write.
    bytes: u64,
    /// Their files, which no sweep touches.
    files: BTreeSet<PathBuf>,
}

impl Store {
    /// Makes the directory if need be, and removes all that is unfinished in it.
    pub(super) fn open(dir: PathBuf, floor_bytes: Option<u64>) -> Result<Store, BlobError> {
        let store = Store { dir, floor_bytes, promised: Mutex::default() };
        store.sweep(Duration::ZERO)?;
        Ok(store)
    }

    fn make_directory(&self) -> Result<(), BlobError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(BlobError::io(format!("making the directory of blobs {}", self.dir.display())))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of bytes of a blob that is here.
    pub(super) fn size(&self, name: BlobName) -> Option<u64> {
        let file = fs::symlink_metadata(self.path(name)).ok()?;
        file.is_file().then_some(file.len())
    }

    /// Opens a blob.
    pub(super) fn read(&self, name: BlobName) -> io::Result<File> {
        File::open(self.path(name))
    }

    fn path(&self, name: BlobName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// What is here, with sizes in bytes.
    pub(super) fn list(&self) -> Result<BTreeMap<BlobName, u64>, BlobError> {
        self.make_directory()?;
        let failed = || BlobError::io(format!("listing {}", self.dir.display()));
        let mut list = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name().to_str().and_then(|name| name.parse::<BlobName>().ok());
            // Gone between the two looks is not here.
            if let (Some(name), Ok(file)) = (name, entry.metadata()) {
                list.insert(name, file.len());
            }
        }
        Ok(list)
    }

    /// Removes a blob.
    pub(super) fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobError::Io { what: format!("removing {}", path.display()), error })
            }
            _ => Ok(()),
        }
    }

    /// Removes unfinished files that nobody writes and that nothing was written to for `age`.
    pub(super) fn sweep(&self, age: Duration) -> Result<(), BlobError> {
        self.make_directory()?;
        let failed = || BlobError::io(format!("sweeping {}", self.dir.display()));
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.dir).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
            if !unfinished || self.promised().files.contains(&path) {
                continue;
            }
            let written = fs::metadata(&path).and_then(|file| file.modified());
            if written.is_ok_and(|at| now.duration_since(at).unwrap_or_default() >= age) {
                tracing::info!(file = %path.display(), "removing a blob that was left unfinished");
                fs::remove_file(&path).map_err(failed())?;
            }
        }
        Ok(())
    }

    /// Makes an unfinished file for which there is room now, if it grows to `bytes`. Nothing is set aside for it yet: it
    /// would be kept from others on the word of a sender who may never send.
    pub(super) fn begin(&self, bytes: u64) -> Result<(Unfinished<'_>, File), BlobError> {
        self.make_directory()?;
        let path = self.dir.join(format!("{}.{UNFINISHED}", Uuid::now_v7()));
        let mut promised = self.promised();
        self.check_room(&promised, bytes)?;
        promised.files.insert(path.clone());
        drop(promised);
        let unfinished = Unfinished { store: self, path, promised_bytes: 0 };
        let made =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&unfinished.path);
        let file = made.map_err(|error| self.failed(error))?;
        Ok((unfinished, file))
    }

    /// An error of writing: a full disk is one of its own.
    pub(super) fn failed(&self, error: io::Error) -> BlobError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.full(0, 0),
            _ => BlobError::Io { what: format!("writing below {}", self.dir.display()), error },
        }
    }

    fn full(&self, free_bytes: u64, floor_bytes: u64) -> BlobError {
        BlobError::Full { dir: self.dir.clone(), free_bytes, floor_bytes }
    }

    fn check_room(&self, promised: &Promised, bytes: u64) -> Result<(), BlobError> {
        let disk = rustix::fs::statvfs(self.dir()).map_err(|error| BlobError::Io {
            what: "asking for free space".to_owned(),
            error: error.into(),
        })?;
        let floor_bytes = self.floor_bytes.unwrap_or_else(|| {
            let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
            (whole / FLOOR_PART).min(FLOOR_MOST_BYTES)
        });
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(promised.bytes);
        if free_bytes < floor_bytes.saturating_add(bytes) {
            return Err(self.full(free_bytes, floor_bytes));
        }
        Ok(())
    }

    fn promised(&self) -> MutexGuard<'_, Promised> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file on its way to become a blob. Removed when dropped, unless it was finished.
pub(super) struct Unfinished<'a> {
    store: &'a Store,
    path: PathBuf,
    promised_bytes: u64,
}

impl Unfinished<'_> {
    /// Has `bytes` more set aside for this file.
    pub(super) fn promise(&mut self, bytes: u64) -> Result<(), BlobError> {
        let mut promised = self.store.promised();
        self.store.check_room(&promised, bytes)?;
        promised.bytes += bytes;
        self.promised_bytes += bytes;
        Ok(())
    }

    /// That many of the promised bytes are written: the file system counts them from now on.
    pub(super) fn written(&mut self, bytes: u64) {
        let bytes = bytes.min(self.promised_bytes);
        self.promised_bytes -= bytes;
        self.store.promised().bytes -= bytes;
    }

    /// Gives the file its name for good. It must be synced.
    pub(super) fn finish(self, name: BlobName) -> Result<(), BlobError> {
        fs::rename(&self.path, self.store.path(name)).map_err(|error| self.store.failed(error))?;
        File::open(&self.store.dir).and_then(|dir| dir.sync_all()).map_err(|error| self.store.failed(error))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Under its final name it is not here any more; what cannot be removed now is swept later.
        let _ = fs::remove_file(&self.path);
        let mut promised = self.store.promised();
        promised.bytes -= self.promised_bytes;
        promised.files.remove(&self.path);
    }
}
