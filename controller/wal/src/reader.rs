//! Reading, beside the appender.

use std::{
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use crate::{
    Error,
    format::{FRAME_HEAD_BYTES, FrameHead, Kind, frame_bytes, frame_checksum},
    index::{Index, Span},
};

/// Reads records of a log that a [`Wal`](crate::Wal) elsewhere appends to. Cheap to clone; every clone may be
/// used on its own thread, and none waits for an fsync.
///
/// It sees a record as soon as `append` has returned, so before it is durable. It outlives the `Wal` but then
/// sees no more than what was there.
#[derive(Debug, Clone)]
pub struct WalReader {
    index: Arc<RwLock<Index>>,
}

impl WalReader {
    pub(crate) fn new(index: Arc<RwLock<Index>>) -> Self {
        Self { index }
    }

    /// The index of the first record, or `None` when there is none.
    pub fn first_index(&self) -> Option<u64> {
        Some(self.index().live()).filter(|live| !live.is_empty()).map(|live| live.start)
    }

    /// The index of the last record, or `None` when there is none.
    pub fn last_index(&self) -> Option<u64> {
        Some(self.index().live()).filter(|live| !live.is_empty()).map(|live| live.end - 1)
    }

    /// What the live records of `range` take, in bytes.
    pub fn bytes(&self, range: Range<u64>) -> u64 {
        self.index().bytes(range)
    }

    /// The first of the live records before `end` that take at most `bytes` together, counted from the last; `end` itself
    /// when even that one alone takes more.
    pub fn first_of_last(&self, bytes: u64, end: u64) -> u64 {
        let index = self.index();
        let live = index.live();
        let end = end.min(live.end);
        let (mut low, mut high) = (live.start.min(end), end);
        while low < high {
            let middle = low + (high - low) / 2;
            if index.bytes(middle..end) <= bytes { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The space the segments take on disk, in bytes, including what is reserved in the newest.
    pub fn disk_bytes(&self) -> u64 {
        self.index().segments.iter().map(|segment| u64::from(segment.bytes)).sum()
    }

    /// The records of `range` with their indices, in order, without gaps.
    ///
    /// Indices that the log does not hold are left out: look at the first one returned when `range` may begin
    /// in what is being purged. Stops before the record with which the payloads would come to more than
    /// `max_bytes` bytes, but never returns nothing when there is something.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when a record no longer has the bytes that were written, [`Error::Io`] when it
    /// cannot be read.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let spans = self.index().plan(range, max_bytes);
        let mut records = Vec::with_capacity(spans.iter().map(|span| span.entries.len()).sum());
        for span in &spans {
            read_span(span, &mut records)?;
        }
        Ok(records)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        // No code that could panic half-way changes the index.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the frames of a span in one system call and checks each.
fn read_span(span: &Span, records: &mut Vec<(u64, Vec<u8>)>) -> Result<(), Error> {
    let (Some(first), Some(last)) = (span.entries.first(), span.entries.last()) else { return Ok(()) };
    let segment = &span.segment;
    let mut bytes = vec![0; (last.offset + frame_bytes(last.length) - first.offset) as usize];
    segment
        .file
        .read_exact_at(&mut bytes, u64::from(first.offset))
        .map_err(Error::io("read records of", &segment.path))?;
    for (index, entry) in (span.first_index..).zip(&span.entries) {
        let from = (entry.offset - first.offset) as usize;
        let frame = &bytes[from..from + frame_bytes(entry.length) as usize];
        let intact = frame.first_chunk().and_then(FrameHead::decode).is_some_and(|head| {
            (head.kind, head.index, head.length) == (Kind::Record, index, entry.length)
                && head.crc == frame_checksum(segment.header.salt, entry.offset, frame)
        });
        if !intact {
            let why = format!("record {index} no longer has the bytes that were written");
            return Err(Error::corrupt(&segment.path, entry.offset, why));
        }
        let payload = &frame[FRAME_HEAD_BYTES as usize..][..entry.length as usize];
        records.push((index, payload.to_vec()));
    }
    Ok(())
}
