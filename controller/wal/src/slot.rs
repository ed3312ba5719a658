//! One small value on disk, replaced atomically, either durably or lazily.
//!
//! ```text
//! file    0         4096      8192      12288
//!         | primary | mirror  | draft   |
//!
//! cell    0          8       12       16        24      32                 4096
//!         | REMPSLOT | crc32 | length | version | name  | value | anything |
//!                      u32     u32      u64       crc32
//!                                                 u32, 0
//! ```
//!
//! The checksum covers everything from `length` to the end of the value. `version` grows with every put.
//!
//! A durable put writes the primary, fdatasyncs, writes the mirror, fdatasyncs. At any moment at least one of
//! the two holds the value before or the value after, so a torn write loses nothing; and once the put has
//! returned both hold it, so a damaged sector does not bring an older value back (for Raft: a vote is never
//! forgotten). A lazy put writes only the draft, which therefore never puts a durable value at risk. The
//! valid cell with the highest version is the value. The file never changes its size, so an fdatasync needs
//! no metadata.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

use crate::{Error, dir::LogDir, disk};

/// The largest value of a slot, in bytes: a cell is one page.
pub const MAX_SLOT_BYTES: usize = CELL_BYTES - HEAD_BYTES;

/// The size of a slot's file.
pub(crate) const SLOT_FILE_BYTES: u64 = 3 * CELL_BYTES as u64;

const CELL_BYTES: usize = 4096;
const HEAD_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"REMPSLOT";
const PRIMARY: u64 = 0;
const MIRROR: u64 = CELL_BYTES as u64;
const DRAFT: u64 = 2 * CELL_BYTES as u64;

/// An open slot and its value.
#[derive(Debug)]
pub(crate) struct Slot {
    file: File,
    path: PathBuf,
    /// The file's name, in every checksum: a file copied over another is noticed.
    name: String,
    version: u64,
    value: Vec<u8>,
}

impl Slot {
    /// Creates the file `name`. Always durable: there is no older value that could stand in.
    pub(crate) fn create(dir: &LogDir, name: &str, value: &[u8]) -> Result<Self, Error> {
        let version = 1;
        let cell = encode(name, version, value)?;
        let (file, path) = dir.publish(name, |file| {
            file.set_len(SLOT_FILE_BYTES)?;
            file.write_all_at(&[0; CELL_BYTES], DRAFT)?;
            file.write_all_at(&cell, PRIMARY)?;
            file.write_all_at(&cell, MIRROR)
        })?;
        Ok(Self { file, path, name: name.to_owned(), version, value: value.to_vec() })
    }

    /// Opens the file `name`, heals a cell that a crash or the disk damaged, and makes what it found durable.
    pub(crate) fn open(dir: &LogDir, name: &str) -> Result<Self, Error> {
        let path = dir.path().join(name);
        let file = File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let cell = |offset| {
            let mut bytes = [0; CELL_BYTES];
            match file.read_exact_at(&mut bytes, offset) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
                result => result.map_err(Error::io("read", &path)).map(|()| decode(name, &bytes)),
            }
        };
        let (primary, mirror, draft) = (cell(PRIMARY)?, cell(MIRROR)?, cell(DRAFT)?);
        if primary.is_none() && mirror.is_none() {
            return Err(Error::corrupt(path, PRIMARY, "neither copy of the value has a matching checksum"));
        }
        let newest = [primary, mirror, draft].into_iter().flatten().max_by_key(|(version, _)| *version);
        let (version, value) = newest.unwrap_or_default();
        let slot = Self { file, path, name: name.to_owned(), version, value };
        // What we read may exist in the page cache only (killed before an fsync, or after one that failed).
        // Written and fsynced again, it is safe to act on.
        slot.write_durably(&encode(name, slot.version, &slot.value)?)?;
        Ok(slot)
    }

    /// The value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// Replaces the value. When not `durable`, a power cut (not a crash of the process) may bring back the
    /// one before.
    pub(crate) fn put(&mut self, value: &[u8], durable: bool) -> Result<(), Error> {
        let version = self.version + 1;
        let cell = encode(&self.name, version, value)?;
        if durable {
            self.write_durably(&cell)?;
        } else {
            disk::write_all_at(&self.file, &self.path, &cell, DRAFT)
                .map_err(Error::io("write", &self.path))?;
        }
        self.version = version;
        self.value.clear();
        self.value.extend_from_slice(value);
        Ok(())
    }

    fn write_durably(&self, cell: &[u8]) -> Result<(), Error> {
        for offset in [PRIMARY, MIRROR] {
            disk::write_all_at(&self.file, &self.path, cell, offset)
                .map_err(Error::io("write", &self.path))?;
            disk::sync_data(&self.file, &self.path).map_err(Error::io("fsync", &self.path))?;
        }
        Ok(())
    }
}

fn encode(name: &str, version: u64, value: &[u8]) -> Result<Vec<u8>, Error> {
    let length = u32::try_from(value.len())
        .ok()
        .filter(|_| value.len() <= MAX_SLOT_BYTES)
        .ok_or(Error::TooLarge { what: "slot value", bytes: value.len(), limit: MAX_SLOT_BYTES })?;
    let mut cell = Vec::with_capacity(HEAD_BYTES + value.len());
    cell.extend_from_slice(&MAGIC);
    cell.extend_from_slice(&[0; 4]);
    cell.extend_from_slice(&length.to_le_bytes());
    cell.extend_from_slice(&version.to_le_bytes());
    cell.extend_from_slice(&crc32fast::hash(name.as_bytes()).to_le_bytes());
    cell.extend_from_slice(&[0; 4]);
    cell.extend_from_slice(value);
    let crc = crc32fast::hash(&cell[12..]);
    cell[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(cell)
}

/// The version and value of a cell, if it is whole and belongs to the slot `name`.
fn decode(name: &str, cell: &[u8; CELL_BYTES]) -> Option<(u64, Vec<u8>)> {
    let (head, rest) = cell.split_first_chunk::<HEAD_BYTES>()?;
    let word = |at: usize| head[at..].first_chunk().copied().map(u32::from_le_bytes);
    let value = rest.get(..word(12)? as usize)?;
    let whole = head[..8] == MAGIC
        && word(8)? == crc32fast::hash(&cell[12..HEAD_BYTES + value.len()])
        && word(24)? == crc32fast::hash(name.as_bytes());
    whole.then_some((u64::from_le_bytes(*head[16..].first_chunk()?), value.to_vec()))
}

#[cfg(test)]
mod tests;
