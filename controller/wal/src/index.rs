//! Where each record is: in memory, shared between the writer and the readers.
//!
//! The lock around it is held for as long as it takes to push an entry or to copy a few, never during I/O.
//! Segments are reference-counted, so one that is removed stays readable for whoever has just looked it up.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use crate::{format::frame_bytes, segment::Segment};

/// A record's place in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of its frame, in bytes.
    pub(crate) offset: u32,
    /// Of its payload, in bytes.
    pub(crate) length: u32,
}

/// A segment and the records it owns: consecutive from its first index on.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entries: Vec<Entry>,
    /// The length of its file.
    pub(crate) bytes: u32,
}

impl Indexed {
    fn first(&self) -> u64 {
        self.segment.header.first_index
    }

    /// One after its last index.
    pub(crate) fn next(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }
}

/// Consecutive records of one segment, to be read in one go.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) segment: Arc<Segment>,
    /// The index of the first of `entries`.
    pub(crate) first_index: u64,
    pub(crate) entries: Vec<Entry>,
}

/// All live segments, oldest first. Each takes over exactly where the one before ends.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The first index that has not been purged; `None` until the log has had a record.
    pub(crate) start: Option<u64>,
    pub(crate) segments: VecDeque<Indexed>,
}

impl Index {
    /// The index the next record has to have; `None` when it is free to choose.
    pub(crate) fn next(&self) -> Option<u64> {
        self.segments.back().map(Indexed::next).or(self.start)
    }

    /// The live indices.
    pub(crate) fn live(&self) -> Range<u64> {
        match (self.start, self.next()) {
            (Some(start), Some(next)) => start..next.max(start),
            _ => 0..0,
        }
    }

    /// Notes a record just written to the newest segment.
    pub(crate) fn push(&mut self, entry: Entry) {
        if let Some(newest) = self.segments.back_mut() {
            newest.entries.push(entry);
        }
    }

    /// Adds a new segment, which takes over from its first index on. Returns those left with nothing.
    pub(crate) fn supersede(&mut self, segment: Arc<Segment>, bytes: u32) -> Vec<Arc<Segment>> {
        let first = segment.header.first_index;
        let mut void = Vec::new();
        while let Some(older) = self.segments.pop_back_if(|older| older.first() >= first) {
            void.push(older.segment);
        }
        if let Some(older) = self.segments.back_mut() {
            let keep = usize::try_from(first - older.first()).unwrap_or(usize::MAX);
            older.entries.truncate(keep);
        }
        self.segments.push_back(Indexed { segment, entries: Vec::new(), bytes });
        void
    }

    /// Notes that the file of `segment` is now `bytes` long.
    pub(crate) fn trim(&mut self, segment: &Arc<Segment>, bytes: u32) {
        if let Some(indexed) = self.segments.iter_mut().find(|indexed| Arc::ptr_eq(&indexed.segment, segment))
        {
            indexed.bytes = bytes;
        }
    }

    /// Moves the start. Returns the segments that are wholly below it, oldest first; the newest is among them
    /// only when it cannot take the next record.
    pub(crate) fn purge(&mut self, start: u64) -> Vec<Arc<Segment>> {
        self.start = Some(start);
        let mut void = Vec::new();
        while let Some(oldest) = self.segments.front() {
            let is_newest = self.segments.len() == 1;
            if oldest.next() > start || (is_newest && oldest.next() == start) {
                break;
            }
            void.extend(self.segments.pop_front().map(|oldest| oldest.segment));
        }
        void
    }

    /// What the live records of `range` take in their segments, in bytes.
    pub(crate) fn bytes(&self, range: Range<u64>) -> u64 {
        let live = self.live();
        let (start, end) = (range.start.max(live.start), range.end.min(live.end));
        let of_segment = |indexed: &Indexed| {
            let at =
                |index: u64| usize::try_from(index.saturating_sub(indexed.first())).unwrap_or(usize::MAX);
            match indexed.entries.get(at(start)..at(end.min(indexed.next()))) {
                Some([first, .., last]) => u64::from(last.offset + frame_bytes(last.length) - first.offset),
                Some([only]) => u64::from(frame_bytes(only.length)),
                _ => 0,
            }
        };
        self.segments.iter().map(of_segment).sum()
    }

    /// The live records of `range`, in order, until their payloads exceed `max_bytes`; at least one if there
    /// is one.
    pub(crate) fn plan(&self, range: Range<u64>, max_bytes: usize) -> Vec<Span> {
        let live = self.live();
        let (mut at, end) = (range.start.max(live.start), range.end.min(live.end));
        let mut taken = 0_usize;
        let mut spans: Vec<Span> = Vec::new();
        let skip = self.segments.partition_point(|indexed| indexed.next() <= at);
        for indexed in self.segments.range(skip..) {
            let mut span =
                Span { segment: Arc::clone(&indexed.segment), first_index: at, entries: Vec::new() };
            let mut full = false;
            let from = usize::try_from(at.saturating_sub(indexed.first())).unwrap_or(usize::MAX);
            for entry in indexed.entries.get(from..).unwrap_or_default() {
                let is_first = spans.is_empty() && span.entries.is_empty();
                let total = taken.saturating_add(entry.length as usize);
                full = at >= end || (total > max_bytes && !is_first);
                if full {
                    break;
                }
                taken = total;
                span.entries.push(*entry);
                at += 1;
            }
            if !span.entries.is_empty() {
                spans.push(span);
            }
            if full || at >= end {
                break;
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests;
