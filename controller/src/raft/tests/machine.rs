//! A machine that remembers what it was told.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rempart_model::Answer;

use crate::raft::{Committed, Frozen, Machine, Payload, Position, Response};

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
    /// Snapshots installed, over all lives.
    installed: u64,
}

/// A proposal at which the machine fails.
pub(super) const POISON: &str = "poison";

impl Journal {
    /// Nothing is applied while it is held.
    pub(super) fn hold(&self) -> impl Sized {
        self.0.lock().unwrap()
    }

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

    /// Snapshots installed, over all lives.
    pub(super) fn installed(&self) -> u64 {
        self.0.lock().unwrap().installed
    }

    /// Loses everything after the first `entries` entries.
    pub(super) fn forget_after(&self, entries: usize) {
        let mut pages = self.0.lock().unwrap();
        pages.entries.truncate(entries);
        pages.published = pages.entries.len();
    }
}

/// What the journal was at one moment.
struct Copied(Vec<(Position, Option<Bytes>)>);

impl Frozen for Copied {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let entries: Vec<_> = self
            .0
            .iter()
            .map(|(position, bytes)| (position, bytes.as_ref().map(|bytes| bytes.to_vec())))
            .collect();
        Ok(serde_json::to_writer(out, &entries)?)
    }

    fn wait_durable(&self) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Machine for Journal {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        Box::new(Copied(self.0.lock().unwrap().entries.clone()))
    }

    async fn install(&mut self, position: &Position, content: &mut (dyn io::Read + Send)) -> io::Result<()> {
        let mut text = Vec::new();
        content.read_to_end(&mut text)?;
        let entries: Vec<(Position, Option<Vec<u8>>)> = serde_json::from_slice(&text)?;
        assert_eq!(entries.last().map(|(position, _)| position), Some(position));
        let mut pages = self.0.lock().unwrap();
        pages.entries =
            entries.into_iter().map(|(position, bytes)| (position, bytes.map(Bytes::from))).collect();
        pages.published = pages.entries.len();
        pages.installed += 1;
        Ok(())
    }

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
