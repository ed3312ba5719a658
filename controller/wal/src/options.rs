//! What the caller may choose.

use crate::Error;

/// The smallest segment: one page, so that tests can cross borders quickly.
const MIN_SEGMENT_BYTES: u32 = 4 << 10;

/// The largest segment. Offsets in a segment are `u32`s, and this leaves them far from overflow.
pub(crate) const MAX_SEGMENT_BYTES: u32 = 1 << 30;

/// How a [`Wal`](crate::Wal) lays itself out. May differ from one opening to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The size in bytes at which a segment is full, preallocated as a whole: 4 KiB to 1 GiB, 64 MiB by
    /// default. A record larger than that gets a segment of its own size.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

impl Options {
    /// `segment_bytes` as an offset, if it is within the bounds.
    pub(crate) fn checked_segment_bytes(&self) -> Result<u32, Error> {
        u32::try_from(self.segment_bytes)
            .ok()
            .filter(|bytes| (MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(bytes))
            .ok_or(Error::SegmentBytes {
                found: self.segment_bytes,
                min: MIN_SEGMENT_BYTES,
                max: MAX_SEGMENT_BYTES,
            })
    }
}
