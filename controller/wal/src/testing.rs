//! What the tests of several modules need.
#![allow(clippy::cast_possible_truncation)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Options, Wal};

/// The smallest segments, so that a few records cross a border.
pub(crate) const SMALL: Options = Options { segment_bytes: 4096 };

/// A directory of its own, in memory where there is such a place: these tests are not about the disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// Opens a log with small segments that has to be sound.
pub(crate) fn open(dir: &Path) -> Wal {
    Wal::open(dir, SMALL).unwrap()
}

/// Bytes that differ from index to index and from `life` to `life`.
pub(crate) fn payload(index: u64, length: usize, life: u8) -> Vec<u8> {
    (0..length).map(|at| (index as u8).wrapping_mul(31) ^ (at as u8) ^ life.wrapping_mul(77)).collect()
}

/// Appends the records of `range`, each `length` bytes, without syncing.
pub(crate) fn append(wal: &mut Wal, range: std::ops::RangeInclusive<u64>, length: usize, life: u8) {
    for index in range {
        wal.append(index, &payload(index, length, life)).unwrap();
    }
}

/// Everything the log holds.
pub(crate) fn all(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    wal.read(0..u64::MAX, usize::MAX).unwrap()
}

/// The indices the log holds.
pub(crate) fn indices(wal: &Wal) -> Vec<u64> {
    all(wal).into_iter().map(|(index, _)| index).collect()
}

/// The segment files, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    paths.sort();
    paths
}

/// A copy of a log's directory, as it is now.
pub(crate) fn copy(dir: &Path) -> TempDir {
    let target = scratch();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), target.path().join(entry.file_name())).unwrap();
    }
    target
}

/// Changes a file as a whole.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where `needle` begins in the file, which has to be once.
pub(crate) fn find(path: &Path, needle: &[u8]) -> usize {
    let bytes = fs::read(path).unwrap();
    let mut found = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle));
    let first = found.next().unwrap();
    assert_eq!(found.next(), None, "found twice");
    first
}
