//! Segment files: opening and creating them ([`Segment`]), and writing the newest one ([`Active`]).
//!
//! A file that grows pays for a journal commit on every fdatasync, and so does the first write to space that
//! was only reserved. So a segment is reserved as a whole when it is created (contiguous, and no "disk full"
//! half-way), and the tail runs over zeros that were really written: each time it reaches the end of those,
//! [`ZERO_AHEAD_BYTES`] more are written, which costs one slower fsync per mebibyte.

use std::{
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::{
    Error,
    dir::LogDir,
    disk,
    format::{FRAME_HEAD_BYTES, HEADER_BYTES, Header, HeaderError, Kind, VERSION, encode_frame, frame_bytes},
    index::Entry,
};

/// How far zeros are written beyond the tail at a time.
const ZERO_AHEAD_BYTES: u32 = 1 << 20;

const SUFFIX: &str = ".wal";

/// An open segment file. Reading needs no lock: what is in it is never overwritten.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
}

impl Segment {
    /// Creates the file durably, with its header and `capacity` bytes reserved.
    pub(crate) fn create(
        dir: &LogDir,
        sequence: u64,
        first_index: u64,
        capacity: u32,
    ) -> Result<Self, Error> {
        let header = Header { sequence, first_index, salt: random() };
        let (file, path) = dir.publish(&file_name(sequence), |file| {
            reserve(file, u64::from(capacity))?;
            file.write_all_at(&header.encode(), 0)
        })?;
        Ok(Self { file, path, header })
    }

    /// Opens an existing segment and checks its header.
    pub(crate) fn open(dir: &Path, sequence: u64) -> Result<Self, Error> {
        let path = dir.join(file_name(sequence));
        let file = File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let length = file.metadata().map_err(Error::io("examine", &path))?.len();
        if u32::try_from(length).is_err() || length < u64::from(HEADER_BYTES) {
            return Err(Error::corrupt(path, 0_u64, format!("no segment is {length} bytes long")));
        }
        let mut bytes = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
        let header = Header::decode(&bytes).map_err(|error| match error {
            HeaderError::Damaged(why) => Error::corrupt(&path, 0_u64, why),
            HeaderError::Version(found) => Error::Version { path: path.clone(), found, supported: VERSION },
        })?;
        if header.sequence != sequence {
            let why = format!("the file has been renamed: it is segment {}", header.sequence);
            return Err(Error::corrupt(path, 0_u64, why));
        }
        Ok(Self { file, path, header })
    }

    /// The length of the file in bytes, reserved space included.
    pub(crate) fn length(&self) -> Result<u32, Error> {
        let length = self.file.metadata().map_err(Error::io("examine", &self.path))?.len();
        u32::try_from(length)
            .map_err(|_| Error::corrupt(&self.path, 0_u64, format!("no segment is {length} bytes long")))
    }
}

/// The capacity of a segment of `segment_bytes` whose first record has `length` bytes of payload: room for
/// that record and its seal at least.
pub(crate) fn capacity_for(segment_bytes: u32, length: u32) -> u32 {
    segment_bytes.max(HEADER_BYTES + frame_bytes(length) + FRAME_HEAD_BYTES)
}

/// The name of the segment's file: twenty digits, so that a listing by name is in order.
pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:020}{SUFFIX}")
}

/// The sequence number in a file name, if it is one of ours.
pub(crate) fn sequence_in(name: &str) -> Option<u64> {
    let sequence = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (name == file_name(sequence)).then_some(sequence)
}

/// The newest segment and its write position.
///
/// Between calls, `end` is where the next frame goes, only zeros are behind it, and there is room for a seal.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u32,
    pub(crate) capacity: u32,
    /// Up to where zeros (or frames) were really written, rather than only reserved.
    zeroed: u32,
    /// The last index written since the last fdatasync.
    unsynced: Option<u64>,
    /// Reused for every frame.
    frame: Vec<u8>,
}

impl Active {
    /// Continues `segment` at `end`; everything before it is durable.
    pub(crate) fn new(segment: Arc<Segment>, end: u32, capacity: u32) -> Self {
        Self { segment, end, capacity, zeroed: end, unsynced: None, frame: Vec::new() }
    }

    /// Whether a record with `length` bytes of payload fits, with a seal behind it.
    pub(crate) fn fits(&self, length: u32) -> bool {
        u64::from(self.end) + u64::from(frame_bytes(length) + FRAME_HEAD_BYTES) <= u64::from(self.capacity)
    }

    /// Writes a record that [fits](Active::fits), not durably.
    pub(crate) fn append(&mut self, index: u64, payload: &[u8], length: u32) -> Result<Entry, Error> {
        let entry = Entry { offset: self.end, length };
        self.write_frame(Kind::Record, index, payload, length)?;
        self.zero_ahead()?;
        self.unsynced = Some(index);
        Ok(entry)
    }

    /// Makes everything appended durable, then says so on disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let Some(last) = self.unsynced else { return Ok(()) };
        disk::sync_data(&self.segment.file, &self.segment.path)
            .map_err(Error::io("fsync", &self.segment.path))?;
        self.unsynced = None;
        // Durable with the next fdatasync, or when the kernel writes it back. If it is lost, nothing else is.
        self.write_frame(Kind::Seal, last, &[], 0)
    }

    /// Writes what is between `from` and the end again, with the same bytes, and makes it durable; then seals
    /// it, if `seal` says so. `last` is the last index before the end.
    ///
    /// For opening: what we read there may be in the page cache alone, marked clean by an fsync that failed.
    pub(crate) fn rewrite(&mut self, from: u32, last: u64, seal: bool) -> Result<(), Error> {
        let file = &self.segment.file;
        let mut bytes = vec![0; (self.end - from).min(ZERO_AHEAD_BYTES) as usize];
        let mut at = u64::from(from);
        while at < u64::from(self.end) {
            let left = usize::try_from(u64::from(self.end) - at).unwrap_or(usize::MAX);
            let part = bytes.len().min(left);
            file.read_exact_at(&mut bytes[..part], at)
                .and_then(|()| file.write_all_at(&bytes[..part], at))
                .map_err(Error::io("rewrite the tail of", &self.segment.path))?;
            at += part as u64;
        }
        disk::sync_data(file, &self.segment.path).map_err(Error::io("fsync", &self.segment.path))?;
        if seal { self.write_frame(Kind::Seal, last, &[], 0) } else { Ok(()) }
    }

    /// Makes the file end where the frames end, giving back what was reserved; for a segment being left.
    pub(crate) fn trim(&self) -> Result<(), Error> {
        self.segment.file.set_len(u64::from(self.end)).map_err(Error::io("shorten", &self.segment.path))
    }

    fn write_frame(&mut self, kind: Kind, index: u64, payload: &[u8], length: u32) -> Result<(), Error> {
        encode_frame(&mut self.frame, kind, index, payload, length, self.segment.header.salt, self.end);
        disk::write_all_at(&self.segment.file, &self.segment.path, &self.frame, u64::from(self.end))
            .map_err(Error::io("append to", &self.segment.path))?;
        self.end += frame_bytes(length);
        Ok(())
    }

    fn zero_ahead(&mut self) -> Result<(), Error> {
        // A seal comes next, and must not be what touches reserved space first.
        if self.end + FRAME_HEAD_BYTES <= self.zeroed {
            return Ok(());
        }
        let target = (self.end + ZERO_AHEAD_BYTES).next_multiple_of(ZERO_AHEAD_BYTES).min(self.capacity);
        let zeros = vec![0; (target - self.end) as usize];
        disk::write_all_at(&self.segment.file, &self.segment.path, &zeros, u64::from(self.end))
            .map_err(Error::io("prepare space in", &self.segment.path))?;
        self.zeroed = target;
        Ok(())
    }
}

/// Reserves `bytes` for the file. Where the file system cannot, its length is set; appends then are slower.
fn reserve(file: &File, bytes: u64) -> std::io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
        result => Ok(result?),
    }
}

/// Unlike in any other segment. The standard library seeds its hashers from the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
