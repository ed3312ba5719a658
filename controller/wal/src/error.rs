//! What can go wrong with the log, worded for the operator who has to act on it.

use std::{io, path::PathBuf};

/// Why the log refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation. From a call that writes, this poisons the
    /// [`Wal`](crate::Wal).
    #[error(
        "cannot {action} {path}: {source}; check the disk (free space, permissions, kernel log), then \
         restart this process"
    )]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory it was done to.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },

    /// Another process (or another `Wal` in this one) has the log open.
    #[error(
        "the log in {dir} is in use by {holder}; stop that process first, or give this one its own directory \
         (the LOCK file is harmless when left behind and need not be deleted)"
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who holds the lock, as that process noted it: "process 4711", or "another process".
        holder: String,
    },

    /// Bytes that were once durable are damaged or missing. Nothing was changed on disk.
    #[error(
        "{path} is damaged at byte {offset}: {why}; do not delete or edit single files: keep a copy of the \
         directory for examination, check the disk, and let this replica start over with an empty directory \
         so that it is filled from the others"
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        why: String,
    },

    /// The file was written in a format this version does not know.
    #[error(
        "{path} has format version {found}, this program reads up to {supported}; run the version that wrote \
         it, or a newer one"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it says it has.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },

    /// A record was appended out of order. The log is unchanged and usable.
    #[error(
        "record {found} cannot follow: the next index of this log is {expected}; this is a bug in the caller"
    )]
    OutOfOrder {
        /// The only index the log accepts now.
        expected: u64,
        /// The index it was given.
        found: u64,
    },

    /// A record or slot value is over its limit. The log is unchanged and usable.
    #[error(
        "a {what} of {bytes} bytes is over the limit of {limit}; the caller has to split or refuse it earlier"
    )]
    TooLarge {
        /// "record" or "slot value".
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// A slot's name is not usable as part of a file name. The log is unchanged and usable.
    #[error("{name:?} cannot name a slot: use 1 to 64 characters out of a-z, 0-9 and '_'")]
    SlotName {
        /// The refused name.
        name: String,
    },

    /// An option is outside of what the format allows.
    #[error("segment_bytes is {found}; choose between {min} and {max}")]
    SegmentBytes {
        /// The refused size in bytes.
        found: u64,
        /// The smallest size in bytes.
        min: u32,
        /// The largest size in bytes.
        max: u32,
    },

    /// An earlier write or fsync failed, so it is unknown what is on disk; no further write is accepted.
    #[error(
        "the log is closed for writing since an earlier failure ({cause}); restart this process: opening the \
         log finds out what reached the disk"
    )]
    Poisoned {
        /// The failure that closed it.
        cause: String,
    },
}

impl Error {
    /// For `map_err`: an I/O failure while doing `action` to `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Damage at `offset` of `path`.
    pub(crate) fn corrupt(path: impl Into<PathBuf>, offset: impl Into<u64>, why: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), offset: offset.into(), why: why.into() }
    }

    /// Whether the state of the disk is unknown after this, as opposed to a request refused up front.
    pub(crate) fn poisons(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Corrupt { .. })
    }
}
