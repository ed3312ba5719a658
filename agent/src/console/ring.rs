//! The last bytes of an endless output, and where in it each reader is. Pure.
//!
//! Output is never held up by who reads it: a reader that falls behind by more than the ring holds misses what was
//! overwritten, and is told how much.

use std::collections::VecDeque;

/// The last bytes of an output. Positions count from its beginning.
#[derive(Debug)]
pub(super) struct Ring {
    kept: VecDeque<u8>,
    capacity: usize,
    end: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes that were overwritten before it could have them.
    pub(super) missed: u64,
    /// The next ones; empty when there is nothing new.
    pub(super) bytes: Vec<u8>,
    /// Where to go on.
    pub(super) next: u64,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: VecDeque::new(), capacity, end: 0 }
    }

    /// Position `back` bytes before the end, or as far back as the ring goes.
    pub(super) fn before_end(&self, back: usize) -> u64 {
        self.end - back.min(self.kept.len()) as u64
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let fits = &bytes[bytes.len().saturating_sub(self.capacity)..];
        let surplus = (self.kept.len() + fits.len()).saturating_sub(self.capacity);
        self.kept.drain(..surplus);
        self.kept.extend(fits);
    }

    /// At most `most` bytes from `position` on.
    pub(super) fn read(&self, position: u64, most: usize) -> Piece {
        let start = self.before_end(self.kept.len());
        let missed = start.saturating_sub(position);
        let from = position.clamp(start, self.end);
        let skip = usize::try_from(from - start).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = self.kept.iter().skip(skip).take(most).copied().collect();
        Piece { missed, next: from + bytes.len() as u64, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_all_or_are_told_what_they_missed() {
        let mut ring = Ring::new(4);
        assert_eq!(ring.read(0, 9), Piece { missed: 0, bytes: vec![], next: 0 });
        ring.push(b"abc");
        assert_eq!(ring.read(1, 1), Piece { missed: 0, bytes: b"b".to_vec(), next: 2 });
        ring.push(b"def");
        assert_eq!(ring.end, 6);
        assert_eq!(ring.read(0, 9), Piece { missed: 2, bytes: b"cdef".to_vec(), next: 6 });
        assert_eq!(ring.read(6, 9), Piece { missed: 0, bytes: vec![], next: 6 });
        ring.push(b"0123456789");
        assert_eq!(ring.read(6, 2), Piece { missed: 6, bytes: b"67".to_vec(), next: 14 });
        assert_eq!((ring.before_end(3), ring.before_end(99)), (13, 12));
        assert_eq!(ring.kept.len(), 4);
    }
}
