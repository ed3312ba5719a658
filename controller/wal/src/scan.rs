//! Reading a segment from front to back when the log is opened: what is in it, and where and why it ends.

use std::{
    io::{BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use crate::{
    Error,
    format::{FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES, Kind, frame_bytes, frame_checksum},
    index::Entry,
    segment::Segment,
};

const BUFFER_BYTES: usize = 1 << 20;

/// The sound part of a segment.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// Where the sound part ends.
    pub(crate) end: u32,
    /// Where the last seal ends, or the header: what is between this and `end` may never have been fsynced.
    pub(crate) sealed: u32,
    /// What is at `end` instead of a sound frame: `None` for the end of the file or a head of zeros.
    pub(crate) flaw: Option<&'static str>,
}

/// Reads the records that `segment` owns: from its first index on, below `limit`.
pub(crate) fn scan(segment: &Segment, limit: u64) -> Result<Scan, Error> {
    let length = segment.length()?;
    let mut file = BufReader::with_capacity(BUFFER_BYTES, &segment.file);
    file.seek(SeekFrom::Start(u64::from(HEADER_BYTES))).map_err(Error::io("read", &segment.path))?;
    let mut scan = Scan { entries: Vec::new(), end: HEADER_BYTES, sealed: HEADER_BYTES, flaw: None };
    let mut next = segment.header.first_index;
    let mut frame = Vec::new();
    while next < limit && length - scan.end >= FRAME_HEAD_BYTES {
        let mut head_bytes = [0; FRAME_HEAD_BYTES as usize];
        file.read_exact(&mut head_bytes).map_err(Error::io("read", &segment.path))?;
        if head_bytes == [0; FRAME_HEAD_BYTES as usize] {
            break;
        }
        let Some(head) = FrameHead::decode(&head_bytes) else {
            scan.flaw = Some("no frame begins like this");
            break;
        };
        let size = frame_bytes(head.length);
        if size > length - scan.end {
            scan.flaw = Some("the frame would reach beyond the end of the file");
            break;
        }
        frame.clear();
        frame.extend_from_slice(&head_bytes);
        frame.resize(size as usize, 0);
        file.read_exact(&mut frame[FRAME_HEAD_BYTES as usize..]).map_err(Error::io("read", &segment.path))?;
        if head.crc != frame_checksum(segment.header.salt, scan.end, &frame) {
            scan.flaw = Some("the checksum of the frame does not match");
            break;
        }
        // It is ours and whole, so a wrong index is no matter of the disk.
        let expected = if head.kind == Kind::Record { next } else { next.saturating_sub(1) };
        if head.index != expected {
            let why = format!("a sound frame has index {} where {expected} has to be", head.index);
            return Err(Error::corrupt(&segment.path, scan.end, why));
        }
        if head.kind == Kind::Record {
            scan.entries.push(Entry { offset: scan.end, length: head.length });
            next += 1;
        }
        scan.end += size;
        if head.kind == Kind::Seal {
            scan.sealed = scan.end;
        }
    }
    Ok(scan)
}

/// What is behind the sound part of the newest segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros only: the log simply ends.
    Blank,
    /// Something, but no seal: a batch that was being written. It was never promised to anyone.
    Unfinished,
    /// A seal, here: what is before it had been durable.
    Sealed(u32),
}

/// Examines everything from `from` (a multiple of 16) to the end of the file.
pub(crate) fn tail(segment: &Segment, from: u32) -> Result<Tail, Error> {
    let length = segment.length()?;
    let mut tail = Tail::Blank;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = from;
    while at < length {
        let chunk = &mut buffer[..BUFFER_BYTES.min((length - at) as usize)];
        segment.file.read_exact_at(chunk, u64::from(at)).map_err(Error::io("read", &segment.path))?;
        for head_bytes in chunk.chunks(FRAME_HEAD_BYTES as usize) {
            if head_bytes.iter().any(|byte| *byte != 0) {
                tail = Tail::Unfinished;
                let head = head_bytes.try_into().ok().and_then(FrameHead::decode);
                if let Some(head) = head.filter(|head| head.kind == Kind::Seal)
                    && head.crc == frame_checksum(segment.header.salt, at, head_bytes)
                {
                    return Ok(Tail::Sealed(at));
                }
            }
            at += FRAME_HEAD_BYTES;
        }
    }
    Ok(tail)
}
