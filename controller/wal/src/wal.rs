//! The log as its one writer sees it.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use crate::{
    Error, MAX_RECORD_BYTES, Options, WalReader,
    dir::LogDir,
    disk::planted,
    index::Index,
    manifest::{Facts, Manifest},
    recover::recover,
    segment::{Active, Segment, capacity_for},
    slot::{SLOT_FILE_BYTES, Slot},
};

/// What a slot's file name begins with.
const SLOT_PREFIX: &str = "slot-";
const MAX_SLOT_NAME: usize = 64;

/// An open log: the only one on its directory, and its only writer. See the [crate] for what it guarantees.
///
/// After a write or fsync failed, every later call that would write returns [`Error::Poisoned`]; reading
/// still works. Dropping it does not sync: what was appended since the last [`Wal::sync`] may or may not be
/// there next time.
#[derive(Debug)]
pub struct Wal {
    dir: LogDir,
    segment_bytes: u32,
    manifest: Manifest,
    slots: BTreeMap<String, Slot>,
    /// Shared with the readers. Changed only after the disk.
    index: Arc<RwLock<Index>>,
    reader: WalReader,
    /// The newest segment; none before the first record, and after a purge beyond the last one.
    active: Option<Active>,
    next_sequence: u64,
    /// The failure after which the disk is not trusted any more.
    poison: Option<String>,
}

impl Wal {
    /// Opens the log in `dir`, or creates it. Everything it then holds is durable, also what was not when the
    /// previous owner stopped.
    ///
    /// What a crash cut short is tidied up: an unfinished batch at the very end is cut off, with a warning,
    /// as are unfinished truncations and purges, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] when someone else has it open, [`Error::Corrupt`] when something that was once
    /// durable is damaged (nothing is changed then), [`Error::Version`] when a newer program wrote it,
    /// [`Error::SegmentBytes`], [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let segment_bytes = options.checked_segment_bytes()?;
        let dir = LogDir::open(dir)?;
        let manifest = Manifest::open(&dir)?;
        let mut slots = BTreeMap::new();
        for file_name in dir.names()? {
            if let Some(name) = file_name.strip_prefix(SLOT_PREFIX)
                && is_slot_name(name)
            {
                slots.insert(name.to_owned(), Slot::open(&dir, &file_name)?);
            }
        }
        let found = recover(&dir, &manifest)?;
        let index = Arc::new(RwLock::new(found.index));
        let mut wal = Self {
            dir,
            segment_bytes,
            manifest,
            slots,
            reader: WalReader::new(Arc::clone(&index)),
            index,
            active: found.active,
            next_sequence: found.next_sequence,
            poison: None,
        };
        if found.torn
            && let Some(next) = wal.next_index()
        {
            // The unfinished bytes stay where they are until then, and the next opening would find them
            // again.
            wal.start_segment(next, 0)?;
        }
        Ok(wal)
    }

    /// The index of the first record, or `None` when there is none.
    pub fn first_index(&self) -> Option<u64> {
        self.reader.first_index()
    }

    /// The index of the last record, durable or not, or `None` when there is none.
    pub fn last_index(&self) -> Option<u64> {
        self.reader.last_index()
    }

    /// The index the next record has to have. `None` on a log that has never had one: it is free to choose.
    pub fn next_index(&self) -> Option<u64> {
        self.index().next().map(|next| next.max(self.start()))
    }

    /// The last index that was purged, whether or not there had been a record with it; `None` when nothing
    /// was.
    ///
    /// A log whose very first record had the index n counts n - 1 as purged.
    pub fn purged_index(&self) -> Option<u64> {
        self.manifest.facts().and_then(|facts| facts.start.checked_sub(1))
    }

    /// The space the log takes on disk, in bytes, including what is reserved in the newest segment.
    pub fn disk_bytes(&self) -> u64 {
        let segments = self.reader.disk_bytes();
        let manifest = u64::from(self.manifest.facts().is_some());
        segments + (self.slots.len() as u64 + manifest) * SLOT_FILE_BYTES
    }

    /// A reader that can be cloned and sent to other threads.
    pub fn reader(&self) -> WalReader {
        self.reader.clone()
    }

    /// Reads records; see [`WalReader::read`].
    ///
    /// # Errors
    ///
    /// As [`WalReader::read`]; they do not poison the log.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.reader.read(range, max_bytes)
    }

    /// Appends one record. It can be read at once, but is NOT durable before [`Wal::sync`] has returned.
    ///
    /// `index` has to be [`Wal::next_index`]: one after the last record, or one after the purged index when
    /// there is no record. On a log that has never had a record it is free, but for `u64::MAX`, which nothing
    /// could follow.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] and [`Error::TooLarge`] (over [`MAX_RECORD_BYTES`]) leave the log as it was;
    /// [`Error::Io`] poisons it; [`Error::Poisoned`] when it already was.
    pub fn append(&mut self, index: u64, payload: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_RECORD_BYTES)
            .ok_or(Error::TooLarge { what: "record", bytes: payload.len(), limit: MAX_RECORD_BYTES })?;
        let expected = self.next_index().unwrap_or(index);
        if index != expected || index == u64::MAX {
            return Err(Error::OutOfOrder { expected, found: index });
        }
        self.write(|wal| {
            if wal.manifest.facts().is_none() {
                wal.manifest.put(&wal.dir, Facts { start: index, newest: 0 })?;
                wal.index_mut().start = Some(index);
            }
            if !wal.active.as_ref().is_some_and(|active| active.fits(length)) {
                wal.start_segment(index, length)?;
            }
            if let Some(active) = &mut wal.active {
                let entry = active.append(index, payload, length)?;
                wal.index_mut().push(entry);
            }
            Ok(())
        })
    }

    /// Makes everything appended so far durable (fdatasync). Returns at once when it already is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] poisons the log: what is on disk is then unknown, and syncing again would not tell.
    /// [`Error::Poisoned`] when it already was.
    pub fn sync(&mut self) -> Result<(), Error> {
        // Only the newest segment can have anything to sync: see start_segment.
        self.write(|wal| wal.active.as_mut().map_or(Ok(()), Active::sync))
    }

    /// Removes all records after `index`, durably; the next index is then `index` + 1. Syncs what remains.
    ///
    /// Does nothing when there is no such record. An `index` below the purged one removes every record.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] poisons the log; after reopening it is either as before or truncated.
    /// [`Error::Poisoned`] when it already was.
    pub fn truncate_after(&mut self, index: u64) -> Result<(), Error> {
        self.write(|wal| {
            let next = index.saturating_add(1).max(wal.start());
            if wal.active.is_none() || wal.next_index().is_none_or(|end| end <= next) {
                return Ok(());
            }
            wal.start_segment(next, 0)
        })
    }

    /// Gives up all records up to and including `index`, durably, and deletes the segments that hold nothing
    /// else.
    ///
    /// `index` may be beyond the last record: the log is then empty and continues at `index` + 1. Does
    /// nothing when as much was purged before.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] poisons the log; after reopening it is either as before or purged. [`Error::Poisoned`]
    /// when it already was.
    pub fn purge_to(&mut self, index: u64) -> Result<(), Error> {
        self.write(|wal| {
            let more = if planted("purge-takes-one-more") { 2 } else { 1 };
            let start = index.saturating_add(more);
            if wal.manifest.facts().is_some_and(|facts| start <= facts.start) {
                return Ok(());
            }
            let beyond = wal.index().next().is_none_or(|next| next < start);
            let newest = if beyond { 0 } else { wal.manifest.facts().map_or(0, |facts| facts.newest) };
            wal.manifest.put(&wal.dir, Facts { start, newest })?;
            if beyond {
                wal.active = None;
            }
            let void = wal.index_mut().purge(start);
            wal.remove(&void)
        })
    }

    /// Puts `bytes` into the slot `name` (a-z, 0-9, '_'), replacing what is there atomically.
    ///
    /// When `durable`, it survives everything once this has returned. When not, it costs no fsync and
    /// survives the death of the process, but a power cut may bring back the value before. The first value of
    /// a slot is always durable.
    ///
    /// # Errors
    ///
    /// [`Error::SlotName`] and [`Error::TooLarge`] (over [`MAX_SLOT_BYTES`](crate::MAX_SLOT_BYTES)) leave it
    /// as it was; [`Error::Io`] poisons the log; [`Error::Poisoned`] when it already was.
    pub fn put_slot(&mut self, name: &str, bytes: &[u8], durable: bool) -> Result<(), Error> {
        check_slot_name(name)?;
        self.write(|wal| {
            if let Some(slot) = wal.slots.get_mut(name) {
                return slot.put(bytes, durable);
            }
            let slot = Slot::create(&wal.dir, &format!("{SLOT_PREFIX}{name}"), bytes)?;
            wal.slots.insert(name.to_owned(), slot);
            Ok(())
        })
    }

    /// What is in the slot `name`; `None` when nothing was ever put there. Reads no disk.
    ///
    /// # Errors
    ///
    /// [`Error::SlotName`].
    pub fn slot(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_slot_name(name)?;
        Ok(self.slots.get(name).map(|slot| slot.value().to_vec()))
    }

    /// The one door to the disk: refuses when poisoned, and poisons.
    fn write<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(cause) = &self.poison {
            return Err(Error::Poisoned { cause: cause.clone() });
        }
        change(self).inspect_err(|error| {
            if error.poisons() {
                self.poison = Some(error.to_string());
            }
        })
    }

    /// Starts a new segment at `first_index`, for a record of `length` bytes. From there on older segments
    /// are void: this is how a full segment is left, how the log is truncated, and how a torn tail is cut.
    fn start_segment(&mut self, first_index: u64, length: u32) -> Result<(), Error> {
        if let Some(active) = &mut self.active {
            // First, so that no segment but the newest ever has anything that is not durable.
            active.sync()?;
        }
        let (sequence, capacity) = (self.next_sequence, capacity_for(self.segment_bytes, length));
        self.next_sequence += 1;
        let segment = Arc::new(Segment::create(&self.dir, sequence, first_index, capacity)?);
        self.manifest.put(&self.dir, Facts { start: self.start(), newest: sequence })?;

        let older =
            self.active.replace(Active::new(Arc::clone(&segment), crate::format::HEADER_BYTES, capacity));
        let void = self.index_mut().supersede(segment, capacity);
        if let Some(older) = older.filter(|older| !void.iter().any(|void| Arc::ptr_eq(void, &older.segment)))
        {
            older.trim()?;
            self.index_mut().trim(&older.segment, older.end);
        }
        self.remove(&void)
    }

    fn remove(&self, void: &[Arc<Segment>]) -> Result<(), Error> {
        for segment in void {
            self.dir.remove(&segment.path)?;
        }
        if void.is_empty() { Ok(()) } else { self.dir.sync() }
    }

    /// The first index that has not been purged.
    fn start(&self) -> u64 {
        self.manifest.facts().map_or(0, |facts| facts.start)
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_slot_name(name: &str) -> bool {
    (1..=MAX_SLOT_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn check_slot_name(name: &str) -> Result<(), Error> {
    if is_slot_name(name) { Ok(()) } else { Err(Error::SlotName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests;
