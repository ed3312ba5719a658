//! The bytes of a snapshot, on disk and on the wire. Frozen: a change is a new format number, and the old one stays
//! readable for ever.
//!
//! ```text
//!   REMPSNAP | frame (header) | frame (content) ... | frame (end)
//!   frame    kind u8 | length u32 | crc32 u32 | bytes                                 little-endian
//!   header   JSON: the format, an id of this file, the position in the log
//!   end      JSON: how many frames and bytes of content there are
//! ```
//!
//! A frame's checksum also covers that of the frame before it, and the kind: a frame that was changed, moved, repeated or
//! left out breaks the chain. The content is the machine's own affair.

use std::io::{self, Read, Write};

use bytes::BufMut;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::raft::Position;

const MAGIC: [u8; 8] = *b"REMPSNAP";
const FORMAT: u32 = 1;
const HEADER: u8 = 1;
const CONTENT: u8 = 2;
const END: u8 = 3;
/// Kind, length, checksum.
const FRAME_HEAD_BYTES: usize = 9;

/// Content is cut into frames of this size.
const FRAME_BYTES: usize = 256 << 10;
/// The longest frame that is read: what a damaged length can make us allocate.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    /// Of this file: two snapshots of one index, by two replicas, have other bytes.
    pub(super) id: Uuid,
    /// Of the last entry in it.
    pub(super) position: Position,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    frames: u64,
    bytes: u64,
}

/// Takes content, and makes a snapshot of it.
pub(super) struct Writer<W> {
    out: W,
    chain: u32,
    end: End,
    frame: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W, id: Uuid, position: Position) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        let end = End { frames: 0, bytes: 0 };
        let mut writer = Self { out, chain: 0, end, frame: Vec::with_capacity(FRAME_BYTES) };
        writer.put(HEADER, &serde_json::to_vec(&Header { format: FORMAT, id, position })?)?;
        Ok(writer)
    }

    /// Everything was written: without this it is no snapshot.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.put_content()?;
        let end = serde_json::to_vec(&self.end)?;
        self.put(END, &end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put_content(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut frame = std::mem::take(&mut self.frame);
        self.put(CONTENT, &frame)?;
        self.end.frames += 1;
        self.end.bytes += frame.len() as u64;
        frame.clear();
        self.frame = frame;
        Ok(())
    }

    fn put(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        self.chain = checksum(self.chain, kind, bytes);
        let mut head = Vec::with_capacity(FRAME_HEAD_BYTES);
        head.put_u8(kind);
        head.put_u32_le(u32::try_from(bytes.len()).map_err(io::Error::other)?);
        head.put_u32_le(self.chain);
        self.out.write_all(&head)?;
        self.out.write_all(bytes)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME_BYTES - self.frame.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        if self.frame.len() == FRAME_BYTES {
            self.put_content()?;
        }
        Ok(taken)
    }

    /// What is not a whole frame yet waits for [`Writer::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the content of a snapshot, verifying it on the way. Says that the content has ended only when the snapshot was
/// whole.
pub(crate) struct Reader<R> {
    input: R,
    header: Header,
    chain: u32,
    read: End,
    frame: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// `InvalidData` if it is no snapshot, or damaged.
    pub(super) fn begin(mut input: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(cut_short)?;
        if magic != MAGIC {
            return Err(damaged("it is no snapshot"));
        }
        let mut frame = Vec::new();
        let (chain, kind) = next(&mut input, 0, &mut frame)?;
        if kind != HEADER {
            return Err(damaged("it has no header"));
        }
        let found: Format = serde_json::from_slice(&frame)?;
        if found.format != FORMAT {
            let why = format!("it has format {}, this program reads {FORMAT}", found.format);
            return Err(damaged(&why));
        }
        let header = serde_json::from_slice(&frame)?;
        frame.clear();
        let read = End { frames: 0, bytes: 0 };
        Ok(Self { input, header, chain, read, frame, at: 0, ended: false })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Reads what is left, to know that it is whole.
    pub(super) fn verify(mut self) -> io::Result<()> {
        while !self.ended {
            self.fill()?;
        }
        Ok(())
    }

    /// The next frame of content, or the end.
    fn fill(&mut self) -> io::Result<()> {
        let (chain, kind) = next(&mut self.input, self.chain, &mut self.frame)?;
        (self.chain, self.at) = (chain, 0);
        match kind {
            CONTENT => {
                self.read.frames += 1;
                self.read.bytes += self.frame.len() as u64;
                Ok(())
            }
            END if serde_json::from_slice::<End>(&self.frame)? == self.read => {
                if self.input.read(&mut [0])? != 0 {
                    return Err(damaged("something stands behind its end"));
                }
                self.frame.clear();
                self.ended = true;
                Ok(())
            }
            END => Err(damaged("its end counts other frames than there are")),
            _ => Err(damaged("it has a frame of an unknown kind")),
        }
    }
}

/// Only the format, which is the same in every format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.frame.len() && !self.ended {
            self.fill()?;
        }
        let count = out.len().min(self.frame.len() - self.at);
        out[..count].copy_from_slice(&self.frame[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Reads one frame into `frame`: the chain after it, and its kind.
fn next(input: &mut impl Read, chain: u32, frame: &mut Vec<u8>) -> io::Result<(u32, u8)> {
    let mut head = [0; FRAME_HEAD_BYTES];
    input.read_exact(&mut head).map_err(cut_short)?;
    let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(damaged("a frame is longer than any is made"));
    }
    frame.resize(length, 0);
    input.read_exact(frame).map_err(cut_short)?;
    let chain = checksum(chain, kind, frame);
    if chain != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(damaged("a frame does not have the bytes that were written"));
    }
    Ok((chain, kind))
}

fn checksum(chain: u32, kind: u8, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&chain.to_le_bytes());
    hasher.update(&[kind]);
    hasher.update(bytes);
    hasher.finalize()
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot is damaged: {why}"))
}

fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
        _ => error,
    }
}
