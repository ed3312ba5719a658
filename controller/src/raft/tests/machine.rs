//! A machine that remembers what it was told.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use rempart_model::Answer;

use crate::raft::{Committed, Machine, Payload, Position, Response};

/// Every entry applied. It outlives the replica whose machine it is, as a database does.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    entries: Vec<(Position, Option<Bytes>)>,
    /// How many of them readers see.
    published: usize,
    /// Entries handed over, over all lives.
    handed_over: u64,
}

/// A proposal at which the machine fails.
pub(super) const POISON: &str = "poison";

impl Journal {
    /// The proposals that readers see, with their indices.
    pub(super) fn published(&self) -> Vec<(u64, Bytes)> {
        let pages = self.0.lock().unwrap();
        let seen = &pages.entries[..pages.published];
        seen.iter().filter_map(|(position, bytes)| Some((position.index(), bytes.clone()?))).collect()
    }

    /// Entries handed over, over all lives.
    pub(super) fn handed_over(&self) -> u64 {
        self.0.lock().unwrap().handed_over
    }

    /// Loses everything after the first `entries` entries.
    pub(super) fn forget_after(&self, entries: usize) {
        let mut pages = self.0.lock().unwrap();
        pages.entries.truncate(entries);
        pages.published = pages.entries.len();
    }
}

impl Machine for Journal {
    fn resume(&self) -> Option<Position> {
        self.0.lock().unwrap().entries.last().map(|(position, _)| position.clone())
    }

    fn apply(&mut self, entry: Committed<'_>) -> io::Result<Response> {
        let mut pages = self.0.lock().unwrap();
        assert_eq!(entry.index, pages.entries.len() as u64, "in order and without gaps");
        let bytes = match entry.payload {
            Payload::Proposal(bytes) if bytes == POISON => return Err(io::Error::other("poisoned")),
            Payload::Proposal(bytes) => Some(bytes.clone()),
            Payload::Blank | Payload::Membership(_) => None,
        };
        let response = bytes.as_ref().map(|_| Arc::new(Ok(Answer::Done)));
        pages.entries.push((entry.position.clone(), bytes));
        pages.handed_over += 1;
        Ok(Response(response))
    }

    fn batch_applied(&mut self) {
        let mut pages = self.0.lock().unwrap();
        pages.published = pages.entries.len();
    }
}
