//! The demo's directory: claimed by one command at a time, and known to be ours before anything in it is removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};

/// The first file that is made in the directory, and the last that goes.
const MARK: &str = ".rempart-demo";

/// The directory, held by this process alone.
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is not there, and takes it.
    ///
    /// # Errors
    /// When another command has it, or when it holds something that no demo made.
    pub(crate) fn claim(path: &Path) -> anyhow::Result<Directory> {
        let path = std::path::absolute(path)?;
        loop {
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
            let lock = File::open(&path)?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                bail!("another demo command is at work on {}; wait for it, or end it first", path.display());
            }
            // Whoever held it before may have removed it between our looking and locking.
            if fs::metadata(&path).is_ok_and(|now| lock.metadata().is_ok_and(|ours| now.ino() == ours.ino()))
            {
                let directory = Directory { path, _lock: lock };
                directory.check()?;
                return Ok(directory);
            }
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let empty = fs::read_dir(&self.path)?.next().is_none();
        if !empty && !self.is_in_use() {
            bail!(
                "{} holds something that no demo made, and stays untouched. Name another directory: \
                 REMPART_DEMO_DIR=/var/lib/another make demo",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a demo began in it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.path.join(MARK).exists()
    }

    /// Makes it ours.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub(crate) fn begin(&self) -> io::Result<()> {
        fs::write(
            self.path.join(MARK),
            "Made by Rempart's demo, which removes this directory: make demo-down\n",
        )
    }

    /// Removes it.
    ///
    /// # Errors
    /// When there is something in it that does not go.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        empty(&self.path).and_then(|()| fs::remove_dir(&self.path)).with_context(|| {
            format!("removing {}; what is mounted there, if anything: findmnt -R {0}", self.path.display())
        })
    }
}

/// Removes what is in the demo's directory, the mark last, so that an interrupted removal is taken up again.
///
/// # Errors
/// When something does not go.
pub(crate) fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != MARK {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_file(path.join(MARK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
