//! The bytes of a segment file. Frozen: a change of anything here is a new format version.
//!
//! All integers are little-endian. Frames start at multiples of 16, so no frame head crosses a disk sector
//! and a seal is written entirely or not at all.
//!
//! ```text
//! segment   0          64
//!           | header   | frame | frame | ... | zeros to the end of the file
//!
//! header    0         8         12     16         24            32      40        60      64
//!           | REMPWAL | version | 0    | sequence | first index | salt  | zeros   | crc32 |
//!             and NUL    u32      u32    u64        u64           u64               of 0..60
//!
//! frame     0       4                      8       16                        multiple of 16
//!           | crc32 | kind, payload length | index | payload  | zero padding |
//!             u32     u8 in the top byte     u64
//!                     of a u32, then 24 bits
//! ```
//!
//! The checksum of a frame covers the segment's salt, the frame's offset, and everything in the frame behind
//! the checksum, padding included. Kinds: 1 is a record, 2 is a seal (no payload; its index is that of the
//! last record before it, and its presence proves that everything before it was durable). A head of 16 zero
//! bytes is where nothing has been written; kind is never 0, so no frame looks like that.

/// The largest payload of one record, in bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// The size of a segment's header, and the offset of its first frame.
pub(crate) const HEADER_BYTES: u32 = 64;

/// The size of a frame's head, the alignment of frames, and the size of a seal.
pub(crate) const FRAME_HEAD_BYTES: u32 = 16;

/// The format version this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"REMPWAL\0";
const LENGTH_BITS: u32 = 24;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// What identifies a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Segments are ordered by this; it only grows, and it is the file's name.
    pub(crate) sequence: u64,
    /// The index of the first record, and the index from which on older segments are void.
    pub(crate) first_index: u64,
    /// Random, in every checksum of the segment.
    pub(crate) salt: u64,
}

/// Why a header was not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Not a segment, or damaged.
    Damaged(&'static str),
    /// A segment of a later format.
    Version(u32),
}

impl Header {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back. Every later format keeps the magic, the version and the checksum where they are,
    /// so that a later version is told from damage.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Result<Self, HeaderError> {
        if bytes[0..8] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a segment of this log does"));
        }
        if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(HeaderError::Damaged("the checksum of the segment header does not match"));
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self {
                sequence: u64_at(bytes, 16),
                first_index: u64_at(bytes, 24),
                salt: u64_at(bytes, 32),
            }),
            found => Err(HeaderError::Version(found)),
        }
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record of the caller.
    Record,
    /// Proof that everything before it was durable.
    Seal,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Record => 1,
            Self::Seal => 2,
        }
    }
}

/// The first 16 bytes of a frame. Believe none of it before [`frame_checksum`] agrees with `crc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) crc: u32,
    pub(crate) kind: Kind,
    /// Of the payload, in bytes, without padding.
    pub(crate) length: u32,
    pub(crate) index: u64,
}

impl FrameHead {
    /// Reads a head; `None` when no frame begins like this (which includes zeros).
    pub(crate) fn decode(bytes: &[u8; FRAME_HEAD_BYTES as usize]) -> Option<Self> {
        let word = u32_at(bytes, 4);
        let length = word & LENGTH_MASK;
        let kind = match word >> LENGTH_BITS {
            1 if length as usize <= MAX_RECORD_BYTES => Kind::Record,
            2 if length == 0 => Kind::Seal,
            _ => return None,
        };
        Some(Self { crc: u32_at(bytes, 0), kind, length, index: u64_at(bytes, 8) })
    }
}

/// The size on disk of a frame with a payload of `length` bytes.
pub(crate) fn frame_bytes(length: u32) -> u32 {
    FRAME_HEAD_BYTES + length.next_multiple_of(FRAME_HEAD_BYTES)
}

/// Replaces what is in `frame` with a whole frame, as it has to be written at `offset` of the segment with
/// `salt`.
///
/// `length` is that of `payload`, which the caller has checked against [`MAX_RECORD_BYTES`].
pub(crate) fn encode_frame(
    frame: &mut Vec<u8>,
    kind: Kind,
    index: u64,
    payload: &[u8],
    length: u32,
    salt: u64,
    offset: u32,
) {
    frame.clear();
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&((kind.code() << LENGTH_BITS) | length).to_le_bytes());
    frame.extend_from_slice(&index.to_le_bytes());
    frame.extend_from_slice(payload);
    frame.resize(frame_bytes(length) as usize, 0);
    let crc = frame_checksum(salt, offset, frame);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum of a whole frame (head, payload, padding) at `offset` of the segment with `salt`.
pub(crate) fn frame_checksum(salt: u64, offset: u32, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(frame.get(4..).unwrap_or_default());
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut le = [0; 4];
    le.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(le)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut le = [0; 8];
    le.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(le)
}

#[cfg(test)]
pub(crate) mod tests;
