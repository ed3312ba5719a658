//! Files that are either wholly the old or wholly the new version, also after a power cut.
//!
//! What never happens: a reader sees a half-written file; a file reported as written is gone after a crash (the
//! content *and* the directory entry are synced before [`replace`] returns).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Suffix of files that are being written. Whoever owns a directory removes such leftovers when it starts.
pub const UNFINISHED_SUFFIX: &str = ".unfinished";

/// Writes `bytes` to `path` atomically and durably. The file is readable by its owner alone.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_content(path, bytes)?;
    sync_directory(parent(path)?)
}

/// As [`replace`], but leaves the directory entry to a later [`sync_directory`], so that many files share one.
pub fn replace_content(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// Removes a file durably; one that is not there is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(parent(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes renames and removals inside `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Where the next version of `path` is written before it takes its place.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED_SUFFIX);
    PathBuf::from(name)
}

/// Removes what a crash left half-written in `directory`.
pub fn sweep_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED_SUFFIX) {
            tracing::info!(file = %entry.path().display(), "removing a file a crash left unfinished");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a directory"))
}
