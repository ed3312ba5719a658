//! The log's directory: its lock, its listing, and the two ways its contents change.
//!
//! A file appears in one step: it is filled under a name ending in `.tmp`, fsynced, renamed, and the
//! directory is fsynced. So a file with a final name is complete, and a `.tmp` is what a crash left and is
//! removed on opening.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, disk};

const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".tmp";

/// The open and locked directory. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct LogDir {
    path: PathBuf,
    /// The directory itself, to fsync it.
    handle: File,
    /// Holds the flock for as long as it is open.
    _lock: File,
}

impl LogDir {
    /// Creates the directory if need be, locks it, and removes what unfinished creations left behind.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let created = !path.is_dir();
        // The owner's alone: entries hold what tenants confided. This keeps everyone from the files below, too.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))?;
        let handle = File::open(path).map_err(Error::io("open", path))?;
        if created && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // Else a power cut could take the directory away together with everything fsynced in it.
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(Error::io("fsync", parent))?;
        }
        let dir = Self { path: path.to_owned(), handle, _lock: lock(path)? };
        for name in dir.names()? {
            if name.ends_with(TEMPORARY) {
                dir.remove(&dir.path.join(name))?;
            }
        }
        Ok(dir)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, in no order. Names that are not UTF-8 are not ours and are left out.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        fs::read_dir(&self.path)
            .and_then(|entries| {
                entries
                    .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
                    .collect()
            })
            .map_err(Error::io("list", &self.path))
    }

    /// Makes a file appear under `name`, durable and complete, with what `fill` writes.
    pub(crate) fn publish(
        &self,
        name: &str,
        fill: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<(File, PathBuf), Error> {
        let (temporary, path) = (self.path.join(format!("{name}{TEMPORARY}")), self.path.join(name));
        disk::creating(&path).map_err(Error::io("create", &temporary))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(Error::io("create", &temporary))?;
        fill(&file).map_err(Error::io("write", &temporary))?;
        file.sync_all().map_err(Error::io("fsync", &temporary))?;
        fs::rename(&temporary, &path).map_err(Error::io("rename into place", &path))?;
        self.sync()?;
        disk::published(&path).map_err(Error::io("create", &path))?;
        Ok((file, path))
    }

    /// Removes a file. Durable after [`LogDir::sync`].
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.map_err(Error::io("remove", path)),
        }
    }

    /// Makes creations, renames and removals in the directory durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.handle.sync_all().map_err(Error::io("fsync", &self.path))
    }
}

/// Takes the lock and notes our process id in it, or says who has it.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false) // it is not ours yet
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let noted = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
            let holder = if noted { format!("process {}", pid.trim()) } else { "another process".to_owned() };
            return Err(Error::Locked { dir: dir.to_owned(), holder });
        }
        Err(errno) => return Err(Error::io("lock", path)(errno.into())),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
