//! What is known of the log without touching the disk: its end, and who voted for whom.
//!
//! # Invariants
//!
//! - An entry leaves memory only when the log on disk has it: every entry of the log can be read at any time.
//! - `durable` never counts an entry that a power cut could still take.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use rempart_wal::{Wal, WalReader};
use tokio::sync::watch;

use super::{
    Position,
    engine::{Entry, EntryPayload, LeaderId, LogId, Vote},
    error::StartError,
    log_writer::{COMMITTED, PURGED, VOTE, place},
    record,
    snapshot::SnapshotFile,
    workers::off_thread,
};

/// What an entry costs in memory beside its bytes, roughly.
const OVERHEAD_BYTES: usize = 128;

/// Where the log ends on disk, as far as power cuts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Durable {
    /// One after the last durable index.
    pub(crate) end: u64,
    /// Why it will not grow any more.
    pub(crate) failure: Option<String>,
    /// Groups that were made durable, each with one fsync.
    pub(crate) syncs: u64,
}

/// What the writing thread and the readers share.
pub(super) struct LogTail {
    disk: WalReader,
    memory: RwLock<Memory>,
    durable: watch::Sender<Durable>,
    limit_bytes: usize,
    /// What the last process noted as committed.
    committed_at_open: Option<LogId>,
}

/// The end of the log.
#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Index of the newest entry taken in by this process that changes who takes part.
    members: Option<u64>,
    /// Consecutive; the last one is the last of the log.
    tail: VecDeque<Entry>,
    bytes: usize,
    /// One after the last index that the log on disk has, durable or not.
    written: u64,
}

impl Memory {
    fn start(&self) -> Option<u64> {
        self.tail.front().map(|entry| entry.log_id.index)
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += record::entry_bytes(&entry) + OVERHEAD_BYTES;
        self.last = Some(entry.log_id);
        if matches!(entry.payload, EntryPayload::Membership(_)) {
            self.members = self.members.max(Some(entry.log_id.index));
        }
        self.tail.push_back(entry);
    }

    fn pop_back(&mut self) {
        if let Some(entry) = self.tail.pop_back() {
            self.bytes -= record::entry_bytes(&entry) + OVERHEAD_BYTES;
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.tail.pop_front() {
            self.bytes -= record::entry_bytes(&entry) + OVERHEAD_BYTES;
        }
    }

    /// Lets go of what is on disk and more than fits.
    fn shrink(&mut self, limit_bytes: usize) {
        while self.bytes > limit_bytes && self.start().is_some_and(|start| start < self.written) {
            self.pop_front();
        }
    }
}

/// Called by openraft.
impl LogTail {
    /// What the log on disk holds. Blocks.
    pub(super) fn load(wal: &Wal, limit_bytes: usize) -> io::Result<Self> {
        let slot = |name| wal.slot(name).map_err(io::Error::other);
        let vote = slot(VOTE)?.map(|bytes| record::read_vote(&bytes)).transpose()?;
        let purged = slot(PURGED)?.map(|bytes| record::read_log_id(&bytes)).transpose()?;
        let committed_at_open = slot(COMMITTED)?.map(|bytes| record::read_log_id(&bytes)).transpose()?;
        let end = wal.next_index().map_or(0, |next| next.saturating_sub(place(0)));
        let memory = Memory { vote, purged, last: purged, written: end, ..Memory::default() };
        let tail = Self {
            disk: wal.reader(),
            memory: RwLock::new(memory),
            durable: watch::Sender::new(Durable { end, failure: None, syncs: 0 }),
            limit_bytes,
            committed_at_open,
        };
        if let Some(last) = tail.disk.last_index() {
            let index = last - place(0);
            tail.write().last = tail.read_disk(index..index + 1, 0)?.first().map(|entry| entry.log_id);
        }
        Ok(tail)
    }

    pub(super) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.read().vote
    }

    /// The last vote, once it is on disk.
    pub(super) fn set_vote(&self, vote: Vote) {
        self.write().vote = Some(vote);
    }

    /// Whether the last vote is for `me` in `term`, and nothing after the entry `members` changed who takes part.
    ///
    /// openraft tells the store of both before anybody else can hear of them: a vote before it is given, an entry before
    /// it is sent. After members that were cut off with the log it is false for longer than it need be.
    pub(super) fn still(&self, me: u64, term: u64, members: u64) -> bool {
        let memory = self.read();
        let voted = |vote: &Vote| vote.leader_id == LeaderId { term, node_id: me };
        memory.vote.as_ref().is_some_and(voted) && memory.members <= Some(members)
    }

    /// The last entry that was purged, and the last there is (the same if there is no other).
    pub(super) fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        let memory = self.read();
        (memory.purged, memory.last)
    }

    /// Takes entries in, from now on to be read, before they are on disk.
    pub(super) fn push(&self, entries: &[Entry]) {
        let mut memory = self.write();
        for entry in entries {
            memory.push(entry.clone());
        }
    }

    /// Forgets what is after `last`, if there is anything, once the log on disk has.
    pub(super) fn cut(&self, last: Option<LogId>) {
        let end = last.map_or(0, |id| id.index + 1);
        let mut memory = self.write();
        while memory.tail.back().is_some_and(|entry| entry.log_id.index >= end) {
            memory.pop_back();
        }
        memory.last = memory.last.min(last).max(memory.purged);
    }

    /// Forgets what is up to `upto`, once the log on disk has.
    pub(super) fn purge(&self, upto: LogId) {
        let mut memory = self.write();
        while memory.start().is_some_and(|start| start <= upto.index) {
            memory.pop_front();
        }
        memory.purged = Some(upto);
        memory.last = memory.last.max(Some(upto));
        memory.written = memory.written.max(upto.index + 1);
    }

    /// What the last process noted as committed. The log decides whether it is true: an entry is taken for committed
    /// only if it is there.
    pub(super) async fn committed_at_open(self: &Arc<Self>) -> io::Result<Option<LogId>> {
        let Some(noted) = self.committed_at_open else { return Ok(None) };
        let (purged, _) = self.ends();
        if purged >= Some(noted) {
            return Ok(purged);
        }
        let found = self.entries(noted.index..noted.index + 1, 0).await?;
        Ok(found.first().map(|entry| entry.log_id).filter(|found| *found == noted))
    }

    /// The entries of `range` that the log has, until they exceed `max_bytes` bytes; at least one if there is one.
    pub(super) async fn entries(
        self: &Arc<Self>,
        range: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<Entry>> {
        let from_disk = {
            let memory = self.read();
            let tail_start = memory.start().unwrap_or(memory.written);
            // What is below was purged.
            let start = range.start.max(self.start_on_disk().unwrap_or(tail_start));
            if tail_start <= start {
                let skip = usize::try_from(start - tail_start).unwrap_or(usize::MAX);
                let wanted = memory.tail.iter().skip(skip).take_while(|entry| entry.log_id.index < range.end);
                return Ok(within(wanted.cloned(), max_bytes));
            }
            start..range.end.min(tail_start)
        };
        let shared = Arc::clone(self);
        off_thread(move || shared.read_disk(from_disk, max_bytes)).await?
    }

    fn read_disk(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let places = place(range.start)..place(range.end);
        let records = self.disk.read(places, max_bytes).map_err(io::Error::other)?;
        records
            .into_iter()
            .map(|(at, record)| record::read_entry(at - place(0), Bytes::from(record)))
            .collect()
    }

    /// What the entries of `range` take on disk, in bytes.
    pub(super) fn bytes(&self, range: Range<u64>) -> u64 {
        self.disk.bytes(place(range.start)..range.end.saturating_add(1))
    }

    /// The first of the entries before `end` that take at most `bytes` together, counted from the last.
    pub(super) fn first_of_last(&self, bytes: u64, end: u64) -> u64 {
        self.disk.first_of_last(bytes, place(end)).saturating_sub(place(0))
    }

    /// What the log takes on disk, in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk.disk_bytes()
    }

    /// The index of the first entry on disk.
    fn start_on_disk(&self) -> Option<u64> {
        self.disk.first_index().map(|first| first - place(0))
    }

    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Called by the thread that writes.
impl LogTail {
    /// The log on disk has everything below `end`.
    pub(super) fn written(&self, end: u64) {
        let mut memory = self.write();
        memory.written = end;
        memory.shrink(self.limit_bytes);
    }

    /// Everything written is durable.
    pub(super) fn synced(&self) {
        let end = self.read().written;
        self.durable.send_modify(|durable| {
            durable.end = end;
            durable.syncs += 1;
        });
    }

    /// The log on disk ends before `index`.
    pub(super) fn truncated(&self, index: u64) {
        let mut memory = self.write();
        memory.written = memory.written.min(index);
        drop(memory);
        self.durable.send_modify(|durable| durable.end = durable.end.min(index));
    }

    /// Nothing more will become durable.
    pub(super) fn failed(&self, why: &str) {
        self.durable.send_modify(|durable| durable.failure = Some(why.to_owned()));
    }
}

/// The first of `entries`, until they exceed `max_bytes` bytes; at least one if there is one.
fn within(entries: impl Iterator<Item = Entry>, max_bytes: usize) -> Vec<Entry> {
    let mut bytes = 0;
    let mut some = Vec::new();
    for entry in entries {
        bytes += record::entry_bytes(&entry);
        if bytes > max_bytes && !some.is_empty() {
            break;
        }
        some.push(entry);
    }
    some
}

/// What is applied is applied once and for all; so the log that said so has to be there, with the vote of this replica, or a
/// snapshot in its stead.
pub(super) fn check_whole(
    log: &LogTail,
    applied: Option<&Position>,
    snapshot: Option<&SnapshotFile>,
) -> Result<(), StartError> {
    let Some(applied) = applied.map(Position::index) else { return Ok(()) };
    let (_, last) = log.ends();
    let covered = last.map(|id| id.index).max(snapshot.map(|snapshot| snapshot.position().index()));
    if log.vote().is_none() || covered < Some(applied) {
        return Err(StartError::LogLost { applied, last: last.map(|id| id.index) });
    }
    Ok(())
}
