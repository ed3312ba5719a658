//! The demo's directory: claimed by one command at a time, and known to be ours before anything in it is removed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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
        loop {
            fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
            if let Some(directory) = Directory::find(path)? {
                return Ok(directory);
            }
        }
    }

    /// Takes the directory, if it is there.
    ///
    /// # Errors
    /// As [`Directory::claim`].
    pub(crate) fn find(path: &Path) -> anyhow::Result<Option<Directory>> {
        // One name for it, however it was written: processes are known by it.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.with_context(|| format!("looking for {}", path.display()))?,
        };
        let Some(lock) = File::open(&path).map(Some).or_else(absent)? else { return Ok(None) };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let who = holder(&lock).map_or_else(String::new, |pid| format!(" (process {pid})"));
            bail!(
                "another demo command{who} is at work in {}. Let it end, or end it with Ctrl-C where it runs, and run \
                 this again. A second demo beside the first needs a directory of its own: \
                 REMPART_DEMO_DIR=/var/lib/another make demo",
                path.display()
            );
        }
        // Whoever held it before may have removed it between our looking and locking.
        let Some(now) = fs::metadata(&path).map(Some).or_else(absent)? else { return Ok(None) };
        if now.ino() != lock.metadata()?.ino() {
            return Directory::find(&path);
        }
        let directory = Directory { path, _lock: lock };
        directory.check()?;
        Ok(Some(directory))
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

    /// Its path, absolute and without symbolic links.
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
        // Postgres runs as another user and passes through; what is secret has its own permissions.
        let mode = fs::metadata(&self.path)?.permissions().mode();
        fs::set_permissions(&self.path, Permissions::from_mode(mode | 0o011))?;
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

fn absent<T>(error: io::Error) -> io::Result<Option<T>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) }
}

/// Who has the lock on this file, as the kernel tells: `1: FLOCK  ADVISORY  WRITE PID MAJOR:MINOR:INODE ...`.
fn holder(file: &File) -> Option<u32> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let fields = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lock =
        fields.into_iter().find(|lock| lock.len() > 5 && lock[1] == "FLOCK" && lock[5].ends_with(&inode))?;
    lock[4].parse().ok()
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
